//! The one status model: what a job is doing, from which the terminal display, the metrics facade,
//! the HTTP endpoints and the final summary are all made.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Opening sources and sinks, restoring state.
    Starting,
    /// Processing.
    Running,
    /// Told to stop; finishing what is in flight.
    Stopping,
    /// Over, everything committed.
    Finished,
    /// Over, with an error.
    Failed,
}

/// A job at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Name of the job.
    pub job: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Processing time of this status.
    pub at: Timestamp,
    /// Seconds since the job started.
    pub seconds: f64,
    /// Number of workers.
    pub workers: usize,
    /// How often the job was restarted from a checkpoint after a failure.
    pub restarts: u64,
    /// The steps in topological order.
    pub steps: Vec<StepStatus>,
    /// The latest checkpoint.
    pub checkpoint: CheckpointStatus,
    /// Why the job failed, outermost reason first.
    pub failure: Vec<String>,
}

/// One step at one moment, summed over the workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepStatus {
    /// Path of the step.
    pub path: String,
    /// Elements in, in total.
    pub records_in: u64,
    /// Elements out, in total.
    pub records_out: u64,
    /// Elements in per second since the status before.
    pub records_in_rate: f64,
    /// Elements out per second since the status before.
    pub records_out_rate: f64,
    /// Bytes exchanged with the outside, in total; 0 where they are not counted.
    pub bytes: u64,
    /// Bytes per second since the status before.
    pub bytes_rate: f64,
    /// Elements that went to a dead-letter output.
    pub errors: u64,
    /// Elements dropped as late.
    pub late: u64,
    /// Elements dropped as duplicates.
    pub duplicates: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Watermark the step gave on, in microseconds since the epoch; `None` before the first and after the last.
    pub watermark_micros: Option<i64>,
    /// Seconds by which the watermark lags behind processing time.
    pub watermark_lag_seconds: Option<f64>,
    /// Share of one worker's time that was spent in this step's stage since the status before, from 0 to the number of workers.
    pub busy_share: f64,
    /// Why the watermark stands where it does, where the step knows.
    pub watermark_reason: String,
    /// What waits in front of the step: records in its queues or its source's backlog, where known.
    pub backlog: Option<u64>,
}

/// The latest checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckpointStatus {
    /// Number of the latest durable checkpoint; 0 for none.
    pub epoch: u64,
    /// Checkpoints completed in this life of the job.
    pub completed: u64,
    /// Milliseconds from the barrier's start to durability.
    pub duration_ms: f64,
    /// Encoded size of its state in bytes.
    pub bytes: u64,
    /// Whether checkpoints survive the process.
    pub durable: bool,
}

impl Status {
    /// The step with this path.
    #[must_use]
    pub fn step(&self, path: &str) -> Option<&StepStatus> {
        self.steps.iter().find(|step| step.path == path)
    }
}
