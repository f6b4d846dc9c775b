//! Faults on request: what tests of clients need to see them retry.

use crate::bigquery::error::WriteError;
use crate::clock::Timestamp;
use crate::status::Code;

/// For how long appends are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// So many requests.
    Requests(u32),
    /// Until this instant.
    Until(Timestamp),
}

/// Faults that appends meet; none by default. Not journalled.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    refusal: Option<(Code, Refusal)>,
    lost_answers: u32,
}

impl Faults {
    /// Refuses appends with `code` (RESOURCE_EXHAUSTED and UNAVAILABLE are what Google answers), unapplied.
    pub fn refuse_appends(&mut self, code: Code, refusal: Refusal) {
        self.refusal = Some((code, refusal));
    }

    /// Applies the next `count` appends but breaks the connection instead of answering them.
    pub fn lose_append_answers(&mut self, count: u32) {
        self.lost_answers = count;
    }

    /// Ends all faults.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Refuses this append if one is due to be refused.
    pub(super) fn check_append(&mut self, now: Timestamp) -> Result<(), WriteError> {
        let Some((code, refusal)) = self.refusal else { return Ok(()) };
        let left = match refusal {
            Refusal::Requests(0) => None,
            Refusal::Requests(count) => Some(Refusal::Requests(count - 1)),
            Refusal::Until(end) => (now < end).then_some(refusal),
        };
        self.refusal = left.map(|left| (code, left));
        match left {
            Some(_) => {
                Err(WriteError::new(code, "Append refused on request of a test")
                    .ending_connection())
            }
            None => Ok(()),
        }
    }

    /// Whether the answer of the append just applied is to be lost.
    pub(super) fn loses_answer(&mut self) -> bool {
        let loses = self.lost_answers > 0;
        self.lost_answers = self.lost_answers.saturating_sub(1);
        loses
    }
}
