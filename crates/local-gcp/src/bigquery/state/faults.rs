//! Faults on request: what tests of clients need to see them retry.

use crate::bigquery::error::{ApiError, Reason, WriteError};
use crate::clock::Timestamp;
use crate::status::Code;

/// What clients are told, so that nobody takes it for trouble of their own.
const REFUSED: &str = "Refused on request of a test";

/// For how long requests are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// So many requests.
    Requests(u32),
    /// Until this instant.
    Until(Timestamp),
}

/// Which requests a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Calls {
    /// Appends.
    Appends,
    /// Every call of the Storage Write API, appends included.
    Writes,
    /// Every REST request: queries, jobs, tables, datasets.
    Rest,
}

impl Calls {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Appends, Self::Writes, Self::Rest];
}

/// What one kind of requests meets.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    refusal: Option<(Code, Refusal)>,
    refused: u64,
}

/// Faults that requests meet; none by default. Not journalled.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    gates: [Gate; Calls::ALL.len()],
    lost_answers: u32,
}

impl Faults {
    /// Refuses requests with `code` (RESOURCE_EXHAUSTED and UNAVAILABLE are what Google answers), unapplied.
    pub fn refuse(&mut self, calls: Calls, code: Code, refusal: Refusal) {
        self.gates[calls as usize].refusal = Some((code, refusal));
    }

    /// Refuses appends; see [`refuse`](Self::refuse).
    pub fn refuse_appends(&mut self, code: Code, refusal: Refusal) {
        self.refuse(Calls::Appends, code, refusal);
    }

    /// Applies the next `count` appends but breaks the connection instead of answering them.
    pub fn lose_append_answers(&mut self, count: u32) {
        self.lost_answers = count;
    }

    /// What requests are refused with now, and for how much longer.
    #[must_use]
    pub fn refusal(&self, calls: Calls, now: Timestamp) -> Option<(Code, Refusal)> {
        self.gates[calls as usize].refusal.filter(|(_, refusal)| match refusal {
            Refusal::Requests(left) => *left > 0,
            Refusal::Until(end) => now < *end,
        })
    }

    /// How many requests were refused, also by faults that are over.
    #[must_use]
    pub fn refused(&self, calls: Calls) -> u64 {
        self.gates[calls as usize].refused
    }

    /// How many appends are still to lose their answers.
    #[must_use]
    pub fn answers_to_lose(&self) -> u32 {
        self.lost_answers
    }

    /// Ends all faults and forgets what they refused.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Refuses this append if one is due to be refused.
    pub(super) fn check_append(&mut self, now: Timestamp) -> Result<(), WriteError> {
        self.check_write(now)?;
        self.check(Calls::Appends, now).map_err(write_error)
    }

    /// Refuses this call of the Storage Write API if one is due to be refused.
    pub(in crate::bigquery) fn check_write(&mut self, now: Timestamp) -> Result<(), WriteError> {
        self.check(Calls::Writes, now).map_err(write_error)
    }

    /// Refuses this REST request if one is due to be refused.
    pub(in crate::bigquery) fn check_rest(&mut self, now: Timestamp) -> Result<(), ApiError> {
        let refused = |code| ApiError::new(Reason::of_code(code), REFUSED);
        self.check(Calls::Rest, now).map_err(refused)
    }

    fn check(&mut self, calls: Calls, now: Timestamp) -> Result<(), Code> {
        let Some((code, refusal)) = self.refusal(calls, now) else { return Ok(()) };
        let gate = &mut self.gates[calls as usize];
        gate.refused += 1;
        if let Refusal::Requests(left) = refusal {
            gate.refusal = Some((code, Refusal::Requests(left - 1)));
        }
        Err(code)
    }

    /// Whether the answer of the append just applied is to be lost.
    pub(super) fn loses_answer(&mut self) -> bool {
        let loses = self.lost_answers > 0;
        self.lost_answers = self.lost_answers.saturating_sub(1);
        loses
    }
}

fn write_error(code: Code) -> WriteError {
    WriteError::new(code, REFUSED).ending_connection()
}
