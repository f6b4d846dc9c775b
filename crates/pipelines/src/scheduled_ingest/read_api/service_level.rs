//! [`ServiceLevel`]: an objective, what was reached, and how much of the error budget is left.

use millstream::metrics::Status;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::super::build::step;

/// The objective of the API's availability: at most one answer in a thousand may be a server error.
pub const AVAILABILITY: f64 = 0.999;
/// The objective of processing: at most one message in a hundred may become no row.
pub const PROCESSING: f64 = 0.99;

/// An objective and the events that count for it, since the start of the process.
///
/// ```
/// use millstream_pipelines::scheduled_ingest::ServiceLevel;
///
/// let level = ServiceLevel::new("processing", 0.99, 995, 1_000);
/// assert!(level.is_met());
/// // 10 of 1,000 may fail; 5 did.
/// assert!((level.error_budget_left() - 0.5).abs() < 1e-9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceLevel {
    name: &'static str,
    objective: f64,
    good: u64,
    total: u64,
}

impl ServiceLevel {
    /// A service level of which `good` of `total` events were as they should be.
    #[must_use]
    pub const fn new(name: &'static str, objective: f64, good: u64, total: u64) -> Self {
        Self { name, objective, good, total }
    }

    /// How much of what a job read became rows; dead letters and refused rows did not.
    #[must_use]
    pub fn of_job(status: &Status) -> Self {
        let parsed = status.step(step::PARSE);
        let refused = status.step(step::WRITE_ROWS).map_or(0, |rows| rows.errors);
        let total = parsed.map_or(0, |parsed| parsed.records_in);
        let bad = parsed.map_or(0, |parsed| parsed.errors).saturating_add(refused);
        Self::new("processing", PROCESSING, total.saturating_sub(bad), total)
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The share of events that should be good.
    #[must_use]
    pub const fn objective(&self) -> f64 {
        self.objective
    }

    /// How many events were good.
    #[must_use]
    pub const fn good(&self) -> u64 {
        self.good
    }

    /// How many events there were.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The share of events that were good; all of none.
    #[must_use]
    pub fn reached(&self) -> f64 {
        if self.total == 0 { 1.0 } else { float(self.good) / float(self.total) }
    }

    /// Whether the objective is reached.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.reached() >= self.objective
    }

    /// The share of the error budget that is left: 1 while nothing failed, 0 when it is used up, less when it is overdrawn.
    #[must_use]
    pub fn error_budget_left(&self) -> f64 {
        1.0 - (1.0 - self.reached()) / (1.0 - self.objective)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share needs no more")]
const fn float(count: u64) -> f64 {
    count as f64
}

impl Serialize for ServiceLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut level = serializer.serialize_struct("ServiceLevel", 7)?;
        level.serialize_field("name", self.name)?;
        level.serialize_field("objective", &self.objective)?;
        level.serialize_field("reached", &self.reached())?;
        level.serialize_field("is_met", &self.is_met())?;
        level.serialize_field("error_budget_left", &self.error_budget_left())?;
        level.serialize_field("good", &self.good)?;
        level.serialize_field("total", &self.total)?;
        level.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_whole_used_up_or_overdrawn() {
        let left = |good, total| ServiceLevel::new("x", 0.99, good, total).error_budget_left();
        assert_eq!(left(0, 0), 1.0);
        assert_eq!(left(7, 7), 1.0);
        assert!(left(99, 100).abs() < 1e-9);
        assert!((left(98, 100) + 1.0).abs() < 1e-9);
    }
}
