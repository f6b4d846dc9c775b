//! The metrics of a job, from its status, under the names by which core publishes them through the `metrics` facade.

use millstream::metrics::{JobState, Status, StepStatus};

use crate::exposition::{Exposition, Kind};

type StepValue = fn(&StepStatus) -> Option<f64>;

/// The metrics that each step has.
const STEP_METRICS: [(&str, Kind, &str, StepValue); 10] = [
    ("millstream_step_records_in_total", Kind::Counter, "Elements that came in.", |step| {
        Some(count(step.records_in))
    }),
    ("millstream_step_records_out_total", Kind::Counter, "Elements that went out.", |step| {
        Some(count(step.records_out))
    }),
    ("millstream_step_bytes_total", Kind::Counter, "Bytes exchanged with the outside.", |step| {
        Some(count(step.bytes))
    }),
    ("millstream_step_errors_total", Kind::Counter, "Elements that became dead letters.", |step| {
        Some(count(step.errors))
    }),
    ("millstream_step_late_total", Kind::Counter, "Elements dropped as late.", |step| {
        Some(count(step.late))
    }),
    (
        "millstream_step_duplicates_total",
        Kind::Counter,
        "Elements dropped as duplicates.",
        |step| Some(count(step.duplicates)),
    ),
    ("millstream_step_retries_total", Kind::Counter, "Requests sent again.", |step| {
        Some(count(step.retries))
    }),
    (
        "millstream_step_watermark_lag_seconds",
        Kind::Gauge,
        "How far the step's watermark is behind processing time.",
        |step| Some(step.watermark_lag_seconds.unwrap_or(0.0)),
    ),
    (
        "millstream_step_busy_share",
        Kind::Gauge,
        "Share of one worker's time spent in the step's stage, 0 to the number of workers.",
        |step| Some(step.busy_share),
    ),
    (
        "millstream_step_backlog_records",
        Kind::Gauge,
        "Records that wait in front of the step, where known.",
        |step| step.backlog.map(count),
    ),
];

/// Writes the metrics of a job.
pub(crate) fn write(status: &Status, page: &mut Exposition) {
    for (name, kind, help, value) in STEP_METRICS {
        page.family(name, kind, help);
        for step in &status.steps {
            if let Some(value) = value(step) {
                let labels = [("job", status.job.as_str()), ("step", step.path.as_str())];
                page.sample(name, labels, value);
            }
        }
    }
    let is_running = matches!(status.state, JobState::Running | JobState::Stopping);
    let checkpoint = &status.checkpoint;
    for (name, kind, help, value) in [
        (
            "millstream_checkpoint_epoch",
            Kind::Gauge,
            "Number of the latest durable checkpoint.",
            count(checkpoint.epoch),
        ),
        (
            "millstream_checkpoint_duration_seconds",
            Kind::Gauge,
            "Time from the start of the latest checkpoint until it was durable.",
            checkpoint.duration_ms / 1e3,
        ),
        (
            "millstream_checkpoint_bytes",
            Kind::Gauge,
            "Size of the latest checkpoint's state.",
            count(checkpoint.bytes),
        ),
        (
            "millstream_job_restarts_total",
            Kind::Counter,
            "Restarts from a checkpoint after a failure.",
            count(status.restarts),
        ),
        (
            "millstream_job_running",
            Kind::Gauge,
            "1 while the job runs.",
            if is_running { 1.0 } else { 0.0 },
        ),
    ] {
        page.family(name, kind, help);
        page.sample(name, [("job", status.job.as_str())], value);
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus' values are floating point")]
fn count(value: u64) -> f64 {
    value as f64
}
