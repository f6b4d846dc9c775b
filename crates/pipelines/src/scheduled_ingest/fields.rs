//! [`CellSeed`]: reads one JSON value as the cell of a field, strictly by the field's type.
//!
//! The types a message may have are those that JSON and BigQuery share without loss: text, numbers, truth values, points in time,
//! days, times of day, and JSON itself.

use std::fmt;

use millstream::Timestamp;
use millstream_io_gcp::bigquery::{Field, FieldType, Mode};
use serde::Deserialize as _;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problem::{Problem, shown};
use super::row::Cell;

/// How a field's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Float,
    Bool,
    Timestamp,
    Date,
    Time,
    DateTime,
    Json,
}

impl Kind {
    /// How values of `field` are read, or why a message cannot have such a field.
    pub(super) fn of(field: &Field) -> Result<Self, String> {
        let name = &field.name;
        if field.mode == Mode::Repeated {
            return Err(format!("field {name:?} is REPEATED: use the type JSON for lists"));
        }
        Ok(match &field.field_type {
            FieldType::String => Self::Text,
            FieldType::Int64 => Self::Int,
            FieldType::Float64 => Self::Float,
            FieldType::Bool => Self::Bool,
            FieldType::Timestamp => Self::Timestamp,
            FieldType::Date => Self::Date,
            FieldType::Time => Self::Time,
            FieldType::DateTime => Self::DateTime,
            FieldType::Json => Self::Json,
            other => {
                let known =
                    "STRING, INT64, FLOAT64, BOOL, TIMESTAMP, DATE, TIME, DATETIME and JSON";
                return Err(format!("field {name:?} has type {other}; messages may have {known}"));
            }
        })
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int => "a whole number of 64 bits",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::Timestamp => "an RFC 3339 timestamp such as \"2013-01-01T10:00:00Z\"",
            Self::Date => "a day such as \"2013-01-01\"",
            Self::Time => "a time of day such as \"10:00:00\"",
            Self::DateTime => "a day and time such as \"2013-01-01T10:00:00\"",
            Self::Json => "JSON",
        }
    }

    /// Text of this kind in its one normal form, or nothing when it is no such text.
    pub(super) fn normal_text(self, text: &str) -> Option<String> {
        match self {
            Self::Text => Some(text.to_owned()),
            Self::Timestamp => Timestamp::parse(text).ok().map(|at| at.to_string()),
            Self::Date => text.parse::<jiff::civil::Date>().ok().map(|day| day.to_string()),
            Self::Time => text.parse::<jiff::civil::Time>().ok().map(|time| time.to_string()),
            Self::DateTime => text.parse::<jiff::civil::DateTime>().ok().map(|at| at.to_string()),
            Self::Int | Self::Float | Self::Bool | Self::Json => None,
        }
    }
}

/// Reads the value of one field; a problem is left in `problem`.
pub(super) struct CellSeed<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) problem: &'a mut Option<Problem>,
}

impl CellSeed<'_> {
    fn refuse<E: serde::de::Error>(self, got: impl fmt::Display) -> E {
        *self.problem = Some(Problem::wrong_type(self.name, self.kind.expected(), got));
        E::custom("wrong type")
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        if self.kind == Kind::Json {
            let value = serde_json::Value::deserialize(deserializer)?;
            return Ok(if value.is_null() { Cell::Null } else { Cell::Text(value.to_string()) });
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = Cell;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind.expected())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Cell, E> {
        match self.kind {
            Kind::Bool => Ok(Cell::Bool(value)),
            _ => Err(self.refuse(value)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Cell, E> {
        match self.kind {
            Kind::Int => Ok(Cell::Int(value)),
            #[allow(clippy::cast_precision_loss, reason = "a FLOAT64 column holds no more")]
            Kind::Float => Ok(Cell::Float(value as f64)),
            _ => Err(self.refuse(format_args!("the number {value}"))),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Cell, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            #[allow(clippy::cast_precision_loss, reason = "a FLOAT64 column holds no more")]
            Err(_) if self.kind == Kind::Float => Ok(Cell::Float(value as f64)),
            Err(_) => Err(self.refuse(format_args!("the number {value}"))),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Cell, E> {
        match self.kind {
            Kind::Float => Ok(Cell::Float(value)),
            _ => Err(self.refuse(format_args!("the number {value:?}"))),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Cell, E> {
        match self.kind.normal_text(value) {
            Some(text) => Ok(Cell::Text(text)),
            None => Err(self.refuse(format_args!("the text {}", shown(value)))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Cell, A::Error> {
        // Read to its end, so that a message that is no JSON at all is called that.
        serde::de::IgnoredAny::deserialize(SeqAccessDeserializer::new(list))?;
        Err(self.refuse("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cell, A::Error> {
        serde::de::IgnoredAny::deserialize(MapAccessDeserializer::new(map))?;
        Err(self.refuse("an object"))
    }
}

/// Fails a deserialization with `problem`, which is left where the caller looks for it.
pub(super) fn fail<E: serde::de::Error>(place: &mut Option<Problem>, problem: Problem) -> E {
    let error = E::custom(problem.reason().as_str());
    *place = Some(problem);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, json: &str) -> Result<Cell, String> {
        let mut problem = None;
        let seed = CellSeed { name: "f", kind, problem: &mut problem };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = seed.deserialize(&mut deserializer);
        read.map_err(|_| problem.map_or_else(String::new, |problem| problem.detail().to_owned()))
    }

    #[test]
    fn every_type_takes_its_own_values_and_null() {
        let text = |text: &str| Cell::Text(text.to_owned());
        for (kind, json, cell) in [
            (Kind::Text, "\"x\\u0041\"", text("xA")),
            (Kind::Int, "-3", Cell::Int(-3)),
            (Kind::Float, "3", Cell::Float(3.0)),
            (Kind::Float, "18446744073709551615", Cell::Float(18_446_744_073_709_551_615.0)),
            (Kind::Float, "0.5", Cell::Float(0.5)),
            (Kind::Bool, "true", Cell::Bool(true)),
            (Kind::Timestamp, "\"2013-01-01T11:00:00+01:00\"", text("2013-01-01T10:00:00Z")),
            (Kind::Date, "\"2013-01-31\"", text("2013-01-31")),
            (Kind::Time, "\"10:05:00\"", text("10:05:00")),
            (Kind::DateTime, "\"2013-01-31T10:05:00\"", text("2013-01-31T10:05:00")),
            (Kind::Json, "{\"b\": [1, null]}", text("{\"b\":[1,null]}")),
        ] {
            assert_eq!(read(kind, json).unwrap(), cell, "{kind:?} {json}");
            assert_eq!(read(kind, "null").unwrap(), Cell::Null);
        }
    }

    #[test]
    fn other_values_are_refused_with_what_they_are() {
        for (kind, json, got) in [
            (Kind::Int, "\"12\"", "the text \"12\""),
            (Kind::Int, "1.0", "the number 1.0"),
            (Kind::Int, "9223372036854775808", "the number 9223372036854775808"),
            (Kind::Float, "true", "true"),
            (Kind::Text, "5", "the number 5"),
            (Kind::Bool, "[1, 2]", "a list"),
            (Kind::Text, "{\"a\": 1}", "an object"),
            (Kind::Timestamp, "\"yesterday\"", "the text \"yesterday\""),
            (Kind::Date, "\"2013-02-30\"", "the text \"2013-02-30\""),
        ] {
            let detail = read(kind, json).unwrap_err();
            let expected = format!("field \"f\" is {got}, expected {}", kind.expected());
            assert_eq!(detail, expected, "{kind:?} {json}");
        }
    }
}
