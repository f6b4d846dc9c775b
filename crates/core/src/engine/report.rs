//! The result of a run: the final status.

use std::fmt;
use std::ops::Deref;

use crate::engine::display;
use crate::metrics::Status;

/// The final status of a job. Displays as a summary for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    status: Status,
}

impl Report {
    pub(crate) fn new(status: Status) -> Self {
        Self { status }
    }

    /// The final status.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl Deref for Report {
    type Target = Status;

    fn deref(&self) -> &Status {
        &self.status
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&display::summary(&self.status))
    }
}
