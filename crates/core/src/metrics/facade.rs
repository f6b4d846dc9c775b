//! Publishes a status through the `metrics` facade, from which exporters such as Prometheus read.

use metrics::{counter, gauge};

use crate::metrics::{JobState, Status, StepStatus};

/// Names of the metrics, one place for all.
mod name {
    pub(super) const RECORDS_IN: &str = "millstream_step_records_in_total";
    pub(super) const RECORDS_OUT: &str = "millstream_step_records_out_total";
    pub(super) const BYTES: &str = "millstream_step_bytes_total";
    pub(super) const ERRORS: &str = "millstream_step_errors_total";
    pub(super) const LATE: &str = "millstream_step_late_total";
    pub(super) const DUPLICATES: &str = "millstream_step_duplicates_total";
    pub(super) const RETRIES: &str = "millstream_step_retries_total";
    pub(super) const WATERMARK_LAG: &str = "millstream_step_watermark_lag_seconds";
    pub(super) const BUSY: &str = "millstream_step_busy_share";
    pub(super) const BACKLOG: &str = "millstream_step_backlog_records";
    pub(super) const EPOCH: &str = "millstream_checkpoint_epoch";
    pub(super) const CHECKPOINT_SECONDS: &str = "millstream_checkpoint_duration_seconds";
    pub(super) const CHECKPOINT_BYTES: &str = "millstream_checkpoint_bytes";
    pub(super) const RESTARTS: &str = "millstream_job_restarts_total";
    pub(super) const RUNNING: &str = "millstream_job_running";
}

/// Sets all metrics of a job to what `status` says.
#[allow(clippy::cast_precision_loss, reason = "gauges are floating point")]
pub(crate) fn publish(status: &Status) {
    let job = || status.job.clone();
    for step in &status.steps {
        publish_step(&status.job, step);
    }
    gauge!(name::EPOCH, "job" => job()).set(status.checkpoint.epoch as f64);
    gauge!(name::CHECKPOINT_SECONDS, "job" => job()).set(status.checkpoint.duration_ms / 1e3);
    gauge!(name::CHECKPOINT_BYTES, "job" => job()).set(status.checkpoint.bytes as f64);
    counter!(name::RESTARTS, "job" => job()).absolute(status.restarts);
    let is_running = matches!(status.state, JobState::Running | JobState::Stopping);
    gauge!(name::RUNNING, "job" => job()).set(if is_running { 1.0 } else { 0.0 });
}

#[allow(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn publish_step(job: &str, step: &StepStatus) {
    let counters = [
        (name::RECORDS_IN, step.records_in),
        (name::RECORDS_OUT, step.records_out),
        (name::BYTES, step.bytes),
        (name::ERRORS, step.errors),
        (name::LATE, step.late),
        (name::DUPLICATES, step.duplicates),
        (name::RETRIES, step.retries),
    ];
    for (name, count) in counters {
        counter!(name, "job" => job.to_owned(), "step" => step.path.clone()).absolute(count);
    }
    let lag = step.watermark_lag_seconds.unwrap_or(0.0);
    gauge!(name::WATERMARK_LAG, "job" => job.to_owned(), "step" => step.path.clone()).set(lag);
    gauge!(name::BUSY, "job" => job.to_owned(), "step" => step.path.clone()).set(step.busy_share);
    if let Some(backlog) = step.backlog {
        gauge!(name::BACKLOG, "job" => job.to_owned(), "step" => step.path.clone())
            .set(backlog as f64);
    }
}
