//! [`Summary`]: a run in figures, as JSON for machines and as a few lines for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream::Timestamp;
use millstream::engine::display::count;
use millstream::metrics::{Status, StepStatus};
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::scheduled_ingest::{Observations, step};

/// A run in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Messages that the feeder published.
    pub published: u64,
    /// Messages that the pipeline received, repeated deliveries included.
    pub received: u64,
    /// Messages dropped because they came twice.
    pub duplicates_removed: u64,
    /// Rows in the table of rows.
    pub rows_written: u64,
    /// Messages and rows that could not be used, by reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Windows of a group for which there are aggregates.
    pub windows_written: u64,
    /// Rows in the table of aggregates, by timing.
    pub panes_written: BTreeMap<String, u64>,
    /// Messages that came too late for their window; their rows are written all the same.
    pub late: u64,
    /// From the start of the pipeline to its end.
    pub seconds: f64,
    /// Messages received per second.
    pub messages_per_second: f64,
    /// Payload bytes published per second.
    pub bytes_per_second: f64,
    /// From the start of the pipeline until the first rows were visible.
    pub first_rows_visible_after_seconds: Option<f64>,
    /// From the publishing of a message until its row was visible.
    pub publish_to_visible_ms: Option<Latency>,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Restarts after failures.
    pub restarts: u64,
}

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Latency {
    /// Half took at most this.
    pub p50: f64,
    /// 90 % took at most this.
    pub p90: f64,
    /// 99 % took at most this.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Option<Self> {
        let millis = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
        let percentile = |percent| histogram.percentile(percent).map(millis);
        Some(Self {
            p50: percentile(50.0)?,
            p90: percentile(90.0)?,
            p99: percentile(99.0)?,
            max: millis(histogram.max()),
        })
    }
}

/// What the feeder did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fed {
    pub(super) published: u64,
    pub(super) bytes: u64,
}

impl Summary {
    /// The figures of a run that began at `started`.
    pub(super) fn new(
        fed: Fed,
        status: &Status,
        observations: &Observations,
        started: Timestamp,
    ) -> Self {
        let nothing = StepStatus::default();
        let of = |path: &str| status.step(path).unwrap_or(&nothing);
        let (read, rows) = (of(step::READ), of(step::WRITE_ROWS));
        let received = read.records_out + read.duplicates;
        let seconds = status.seconds;
        let first = observations.first_visible().map(|at| at.since(started).as_secs_f64());
        Self {
            published: fed.published,
            received,
            duplicates_removed: read.duplicates,
            rows_written: rows.records_out.saturating_sub(rows.errors),
            dead_letters: observations.dead_letters(),
            windows_written: observations.windows(),
            panes_written: observations.panes(),
            late: status.steps.iter().map(|step| step.late).sum(),
            seconds: rounded(seconds),
            messages_per_second: rounded(per_second(received, seconds)),
            bytes_per_second: rounded(per_second(fed.bytes, seconds)),
            first_rows_visible_after_seconds: first.map(rounded),
            publish_to_visible_ms: Latency::of(&observations.visible_after()),
            checkpoints: status.checkpoint.completed,
            restarts: status.restarts,
        }
    }

    /// Messages and rows that could not be used.
    #[must_use]
    pub fn dead_letter_count(&self) -> u64 {
        self.dead_letters.values().sum()
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { as_f64(count) / seconds } else { 0.0 }
}

/// To a thousandth, so that the report reads well.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: u64| count(as_f64(value));
        let by_name = |counts: &BTreeMap<String, u64>| {
            let parts = counts.iter().map(|(name, value)| format!("{name} {}", number(*value)));
            parts.collect::<Vec<_>>().join(", ")
        };
        writeln!(out, "published          {}", number(self.published))?;
        writeln!(out, "received           {}", number(self.received))?;
        writeln!(out, "duplicates removed {}", number(self.duplicates_removed))?;
        writeln!(out, "rows written       {}", number(self.rows_written))?;
        write!(out, "dead letters       {}", number(self.dead_letter_count()))?;
        if !self.dead_letters.is_empty() {
            write!(out, " ({})", by_name(&self.dead_letters))?;
        }
        if self.late > 0 {
            write!(out, "\nlate, not counted  {}", number(self.late))?;
        }
        writeln!(out, "\nwindows written    {}", number(self.windows_written))?;
        writeln!(out, "panes written      {}", by_name(&self.panes_written))?;
        writeln!(
            out,
            "took               {:.1} s, {} messages/s",
            self.seconds,
            count(self.messages_per_second)
        )?;
        if let Some(first) = self.first_rows_visible_after_seconds {
            writeln!(out, "first rows         visible {first:.1} s after the start")?;
        }
        if let Some(Latency { p50, p90, p99, max }) = self.publish_to_visible_ms {
            let line =
                format!("p50 {p50:.0} ms, p90 {p90:.0} ms, p99 {p99:.0} ms, max {max:.0} ms");
            writeln!(out, "publish to visible {line}")?;
        }
        Ok(())
    }
}
