//! [`EventTimeReader`]: the event time of a message that is not parsed yet, for the source's watermark.
//!
//! It looks at the one or two fields concerned and skips the rest. Where the message turns out to be unusable, the parsing
//! step makes a dead letter of it; here it only must not disturb the watermark: were it given its publish time, one
//! bad message in a replay of old data would make everything behind it late.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use millstream::Timestamp;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::config::EventTimeConfig;

/// Microseconds of a minute.
const MINUTE_MICROS: i64 = 60_000_000;

/// Reads the event time out of messages; clones share the latest time seen.
#[derive(Clone, Debug)]
pub struct EventTimeReader {
    field: Arc<str>,
    plus_minutes: Option<Arc<str>>,
    is_required: bool,
    /// The latest event time seen, in microseconds: where an unusable message is put.
    latest: Arc<AtomicI64>,
}

impl EventTimeReader {
    /// Reads the event time as configured; a message without it is unusable when the field `is_required`.
    #[must_use]
    pub fn new(config: &EventTimeConfig, is_required: bool) -> Self {
        Self {
            field: config.field.as_str().into(),
            plus_minutes: config.plus_minutes.as_deref().map(Arc::from),
            is_required,
            latest: Arc::new(AtomicI64::new(Timestamp::MIN.as_micros())),
        }
    }

    /// A reader of the same fields that knows of no messages yet.
    #[must_use]
    pub fn unshared(&self) -> Self {
        let latest = Arc::new(AtomicI64::new(Timestamp::MIN.as_micros()));
        Self { latest, ..self.clone() }
    }

    /// The event time of a message; nothing for one that has none, which counts by its publish time.
    #[must_use]
    pub fn read(&self, data: &[u8]) -> Option<Timestamp> {
        let mut deserializer = serde_json::Deserializer::from_slice(data);
        match deserializer.deserialize_map(FieldsVisitor { reader: self }) {
            Ok(Found::Absent) if !self.is_required => None,
            Ok(Found::At(at)) => {
                self.latest.fetch_max(at.as_micros(), Ordering::Relaxed);
                Some(at)
            }
            Ok(Found::Absent | Found::Unusable) | Err(_) => {
                Some(Timestamp::from_micros(self.latest.load(Ordering::Relaxed)))
            }
        }
    }
}

enum Found {
    Absent,
    At(Timestamp),
    Unusable,
}

struct FieldsVisitor<'a> {
    reader: &'a EventTimeReader,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = Found;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let (mut base, mut minutes) = (Value::Null, Value::Null);
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if *name == *self.reader.field {
                base = map.next_value()?;
            } else if self.reader.plus_minutes.as_deref() == Some(&*name) {
                minutes = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(event_time(&base, &minutes))
    }
}

fn event_time(base: &Value, minutes: &Value) -> Found {
    let base = match base {
        Value::Null => return Found::Absent,
        Value::String(text) => Timestamp::parse(text).ok(),
        _ => None,
    };
    let minutes = if minutes.is_null() { Some(0) } else { minutes.as_i64() };
    let moved = base
        .zip(minutes)
        .map(|(base, minutes)| base.saturating_add_micros(minutes.saturating_mul(MINUTE_MICROS)));
    moved.filter(|at| super::message::fits_a_column(*at)).map_or(Found::Unusable, Found::At)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> EventTimeReader {
        EventTimeReader::new(&EventTimeConfig::new("time_hour").plus_minutes("minute"), false)
    }

    #[test]
    fn the_minutes_are_added_wherever_they_stand() {
        let expected = Timestamp::parse("2013-01-01T10:15:00Z").unwrap();
        for text in [
            r#"{"minute": 15, "x": {"time_hour": 1}, "time_hour": "2013-01-01T10:00:00Z"}"#,
            r#"{"time_hour": "2013-01-01T11:00:00+01:00", "y": [[]], "minute": 15}"#,
            r#"{"time_hour": "2013-01-01T10:15:00Z", "minute": null}"#,
        ] {
            assert_eq!(reader().read(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_message_without_the_field_counts_by_its_publish_time() {
        assert_eq!(reader().read(b"{\"minute\": 15}"), None);
        assert_eq!(reader().read(b"{\"time_hour\": null}"), None);
    }

    #[test]
    fn a_message_without_a_required_time_does_not_move_the_watermark() {
        let reader = EventTimeReader::new(&EventTimeConfig::new("at"), true);
        let at = reader.read(br#"{"at": "2013-01-01T10:00:00Z"}"#);
        assert!(at.is_some());
        assert_eq!(reader.read(b"{\"minute\": 15}"), at);
    }

    #[test]
    fn an_unusable_message_stands_with_the_latest_usable_one() {
        let reader = reader();
        assert_eq!(reader.read(b"]["), Some(Timestamp::MIN));
        let at = reader.read(br#"{"time_hour": "2013-01-01T10:00:00Z"}"#).unwrap();
        for text in [
            "",
            "7",
            "{\"time_hour\"",
            r#"{"time_hour": "soon"}"#,
            r#"{"time_hour": 12}"#,
            r#"{"time_hour": "2013-01-01T12:00:00Z", "minute": "5"}"#,
            r#"{"time_hour": "2013-01-01T12:00:00Z", "minute": 9223372036854775807}"#,
        ] {
            assert_eq!(reader.read(text.as_bytes()), Some(at), "{text}");
        }
    }
}
