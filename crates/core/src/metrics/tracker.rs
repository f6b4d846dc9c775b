//! From counters to a [`Status`]: totals, and rates since the status before.

use rustc_hash::FxHashMap;

use crate::metrics::{CheckpointStatus, Counter, JobState, Status, StepMetrics, StepStatus};
use crate::time::Timestamp;

/// Makes the statuses of one job, each with rates since the one before.
#[derive(Debug)]
pub struct StatusTracker {
    job: String,
    workers: usize,
    started: Timestamp,
    last_at: Timestamp,
    last: FxHashMap<String, StepStatus>,
    last_busy: FxHashMap<String, u64>,
}

impl StatusTracker {
    /// A tracker for a job that starts at `started`.
    pub fn new(job: impl Into<String>, workers: usize, started: Timestamp) -> Self {
        Self {
            job: job.into(),
            workers,
            started,
            last_at: started,
            last: FxHashMap::default(),
            last_busy: FxHashMap::default(),
        }
    }

    /// The status at `at`; `state`, restarts, checkpoint and failure are the caller's to fill in.
    pub fn status(&mut self, at: Timestamp, state: JobState, steps: &[StepMetrics]) -> Status {
        let elapsed = at.since(self.last_at).as_secs_f64();
        let steps: Vec<_> = steps
            .iter()
            .filter(|step| step.visible)
            .map(|step| self.step_status(step, at, elapsed))
            .collect();
        self.last_at = at;
        self.last = steps.iter().map(|step| (step.path.clone(), step.clone())).collect();
        Status {
            job: self.job.clone(),
            state,
            at,
            seconds: at.since(self.started).as_secs_f64(),
            workers: self.workers,
            restarts: 0,
            steps,
            checkpoint: CheckpointStatus::default(),
            failure: Vec::new(),
        }
    }

    fn step_status(&mut self, step: &StepMetrics, at: Timestamp, elapsed: f64) -> StepStatus {
        let path = step.path.to_string();
        let before = self.last.get(&path).cloned().unwrap_or_default();
        let busy = step.total(Counter::BusyMicros);
        let busy_before = self.last_busy.insert(path.clone(), busy).unwrap_or(0);
        let watermark = step.watermark();
        let known = watermark > Timestamp::MIN && watermark < Timestamp::MAX;
        let rate = |now: u64, before: u64| {
            if elapsed > 0.0 { as_f64(now.saturating_sub(before)) / elapsed } else { 0.0 }
        };
        let records_in = step.total(Counter::RecordsIn);
        let records_out = step.total(Counter::RecordsOut);
        let bytes = step.total(Counter::Bytes);
        StepStatus {
            records_in_rate: rate(records_in, before.records_in),
            records_out_rate: rate(records_out, before.records_out),
            bytes_rate: rate(bytes, before.bytes),
            busy_share: rate(busy, busy_before) / 1e6,
            path,
            records_in,
            records_out,
            bytes,
            errors: step.total(Counter::Errors),
            late: step.total(Counter::Late),
            duplicates: step.total(Counter::Duplicates),
            retries: step.total(Counter::Retries),
            watermark_micros: known.then(|| watermark.as_micros()),
            watermark_lag_seconds: known.then(|| at.since(watermark).as_secs_f64()),
            watermark_reason: String::new(),
            backlog: None,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "rates for people need no more than 52 bits")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_taken_since_the_status_before() {
        let start = Timestamp::from_secs(100);
        let steps =
            [StepMetrics::new("Read".into(), 1, true), StepMetrics::new("Hop".into(), 1, false)];
        let mut tracker = StatusTracker::new("job", 1, start);
        steps[0].workers[0].add(Counter::RecordsOut, 1_000);
        let first = tracker.status(Timestamp::from_secs(102), JobState::Running, &steps);
        assert_eq!(first.steps.len(), 1, "plumbing is not shown");
        assert!((first.steps[0].records_out_rate - 500.0).abs() < 1e-9);
        steps[0].workers[0].add(Counter::RecordsOut, 30);
        steps[0].workers[0].add(Counter::BusyMicros, 500_000);
        let second = tracker.status(Timestamp::from_secs(103), JobState::Running, &steps);
        let step = second.step("Read").unwrap();
        assert!((step.records_out_rate - 30.0).abs() < 1e-9);
        assert!((step.busy_share - 0.5).abs() < 1e-9);
        assert_eq!(step.watermark_lag_seconds, None);
    }
}
