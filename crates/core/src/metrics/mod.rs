//! What a running job counts, and the status that every view of it is made from.

mod counters;
pub(crate) mod facade;
mod status;
mod tracker;

pub use counters::{Counter, StepCounters, StepMetrics};
pub use status::{CheckpointStatus, JobState, Status, StepStatus};
pub use tracker::StatusTracker;
