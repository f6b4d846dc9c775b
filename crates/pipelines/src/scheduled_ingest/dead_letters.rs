//! [`DeadLetterRow`]: a message that cannot be used, or a row that BigQuery refused, as it is kept for people.

use bytes::Bytes;
use millstream::dofn::{DoFn, ProcessContext};
use millstream::sink::Refused;
use millstream::{BoxError, DeadLetter, Timestamp};
use millstream_io_gcp::bigquery::{Field, FieldType, TableSchema};
use millstream_io_gcp::pubsub::PubSubMessage;
use serde::{Deserialize, Serialize};

use super::message::fits_a_column;

/// Bytes of a letter that are kept: a row has 9.5 MB of room for them and the reason, a message 10 MB.
const BYTES_MAX: usize = 9_000_000;

/// The reason of rows that BigQuery refused.
pub const REFUSED: &str = "refused_by_bigquery";

/// A message that cannot be used, or a row that BigQuery refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetterRow {
    /// The step that could not use it.
    pub step: String,
    /// Why, in a word.
    pub reason: String,
    /// What exactly is wrong.
    pub detail: String,
    /// The original bytes of the message; of a refused row its JSON. Of more than 9,000,000 bytes the first, as `detail` then says.
    pub bytes: Bytes,
    /// Where in event time it stood, if anywhere; RFC 3339.
    pub event_time: Option<String>,
    /// When it was found to be unusable; RFC 3339.
    pub received_at: String,
}

impl DeadLetterRow {
    /// The table of dead letters.
    #[must_use]
    pub fn table() -> TableSchema {
        TableSchema::new()
            .field(Field::required("step", FieldType::String))
            .field(Field::required("reason", FieldType::String))
            .field(Field::nullable("detail", FieldType::String))
            .field(Field::required("bytes", FieldType::Bytes))
            .field(Field::nullable("event_time", FieldType::Timestamp))
            .field(Field::required("received_at", FieldType::Timestamp))
    }

    /// The letter as a message: the original bytes, the rest as attributes.
    #[must_use]
    pub fn into_message(self) -> PubSubMessage {
        let message = PubSubMessage::new(self.bytes)
            .with_attribute("step", self.step)
            .with_attribute("reason", self.reason)
            .with_attribute("detail", self.detail)
            .with_attribute("received_at", self.received_at);
        match self.event_time {
            Some(at) => message.with_attribute("event_time", at),
            None => message,
        }
    }

    fn of_letter(letter: DeadLetter, now: Timestamp) -> Self {
        let mut reasons = letter.reasons.into_iter();
        let reason = reasons.next().unwrap_or_default();
        Self {
            step: letter.step,
            reason,
            detail: reasons.collect::<Vec<_>>().join(": "),
            bytes: letter.bytes.into(),
            event_time: column_time(letter.event_time),
            received_at: now.to_string(),
        }
        .within_bounds()
    }

    fn of_refused(step: &str, refused: Refused, at: Timestamp, now: Timestamp) -> Self {
        Self {
            step: step.to_owned(),
            reason: REFUSED.to_owned(),
            detail: format!("{}: {}", refused.destination, refused.reason),
            bytes: refused.element.into(),
            event_time: column_time(at),
            received_at: now.to_string(),
        }
        .within_bounds()
    }

    /// Leaves out what has no room in a row, and says so.
    fn within_bounds(mut self) -> Self {
        let bytes = self.bytes.len();
        if bytes > BYTES_MAX {
            self.bytes.truncate(BYTES_MAX);
            self.detail.push_str(&format!("; the first {BYTES_MAX} of {bytes} bytes are kept"));
        }
        self
    }
}

fn column_time(at: Timestamp) -> Option<String> {
    fits_a_column(at).then(|| at.to_string())
}

/// Turns dead letters into rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct DescribeLetters;

impl DoFn<DeadLetter> for DescribeLetters {
    type Out = DeadLetterRow;

    fn process(
        &mut self,
        letter: DeadLetter,
        ctx: &mut ProcessContext<'_, DeadLetterRow>,
    ) -> Result<(), BoxError> {
        let row = DeadLetterRow::of_letter(letter, ctx.now());
        ctx.emit(row);
        Ok(())
    }
}

/// Turns what a step's destination refused into rows.
#[derive(Clone, Debug)]
pub(super) struct DescribeRefused {
    step: &'static str,
}

impl DescribeRefused {
    /// What the destination of `step` refused.
    #[must_use]
    pub(super) const fn of(step: &'static str) -> Self {
        Self { step }
    }
}

impl DoFn<Refused> for DescribeRefused {
    type Out = DeadLetterRow;

    fn process(
        &mut self,
        refused: Refused,
        ctx: &mut ProcessContext<'_, DeadLetterRow>,
    ) -> Result<(), BoxError> {
        let row = DeadLetterRow::of_refused(self.step, refused, ctx.timestamp(), ctx.now());
        ctx.emit(row);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_too_long_for_a_row_is_cut_and_says_so() {
        let letter = |bytes: usize| {
            let refused = Refused::new("demo.shop.orders", "too large", vec![b'x'; bytes]);
            DeadLetterRow::of_refused("Write", refused, Timestamp::EPOCH, Timestamp::EPOCH)
        };
        let whole = letter(BYTES_MAX);
        assert_eq!(
            (whole.bytes.len(), whole.detail.as_str()),
            (BYTES_MAX, "demo.shop.orders: too large")
        );
        let cut = letter(BYTES_MAX + 1);
        assert_eq!(cut.bytes.len(), BYTES_MAX);
        assert!(
            cut.detail.ends_with("; the first 9000000 of 9000001 bytes are kept"),
            "{}",
            cut.detail
        );
    }
}
