//! Counters of one step on one worker: added to once per batch, read at any time by anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::time::Timestamp;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Elements that came in.
    RecordsIn,
    /// Elements that went out, over all outputs.
    RecordsOut,
    /// Bytes exchanged with the outside, for sources and sinks.
    Bytes,
    /// Elements whose processing failed and that went to a dead-letter output.
    Errors,
    /// Elements dropped because they came after their window expired.
    Late,
    /// Elements dropped because they came twice.
    Duplicates,
    /// Requests that were sent again.
    Retries,
    /// Microseconds spent working.
    BusyMicros,
}

const COUNTERS: usize = Counter::BusyMicros as usize + 1;

/// Counters of one step on one worker. Only that worker adds to them, so adding needs no locked instruction.
#[derive(Debug)]
#[repr(align(128))]
pub struct StepCounters {
    counts: [AtomicU64; COUNTERS],
    watermark: AtomicI64,
}

impl Default for StepCounters {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            watermark: AtomicI64::new(Timestamp::MIN.as_micros()),
        }
    }
}

impl StepCounters {
    /// Adds to a counter; to be called by the owning worker only.
    #[inline]
    pub fn add(&self, counter: Counter, count: u64) {
        let cell = &self.counts[counter as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Sets a counter that is kept elsewhere, such as the bytes a reader has read.
    pub fn set(&self, counter: Counter, count: u64) {
        self.counts[counter as usize].store(count, Ordering::Relaxed);
    }

    /// The current count.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        self.counts[counter as usize].load(Ordering::Relaxed)
    }

    /// Notes the watermark that the step gave on.
    #[inline]
    pub fn set_watermark(&self, watermark: Timestamp) {
        self.watermark.store(watermark.as_micros(), Ordering::Relaxed);
    }

    /// The watermark that the step gave on last.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        Timestamp::from_micros(self.watermark.load(Ordering::Relaxed))
    }
}

/// The counters of one step on all workers.
#[derive(Clone, Debug)]
pub struct StepMetrics {
    /// Path of the step.
    pub path: Arc<str>,
    /// One entry per worker.
    pub workers: Vec<Arc<StepCounters>>,
    /// Shown by views: plumbing steps are not.
    pub visible: bool,
}

impl StepMetrics {
    /// Counters for `workers` workers.
    #[must_use]
    pub fn new(path: Arc<str>, workers: usize, visible: bool) -> Self {
        let workers = (0..workers).map(|_| Arc::new(StepCounters::default())).collect();
        Self { path, workers, visible }
    }

    /// The sum over all workers.
    #[must_use]
    pub fn total(&self, counter: Counter) -> u64 {
        self.workers.iter().map(|counters| counters.count(counter)).sum()
    }

    /// The least watermark over all workers.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.workers.iter().map(|counters| counters.watermark()).min().unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_sums_and_the_watermark_is_the_least() {
        let metrics = StepMetrics::new("Parse".into(), 2, true);
        metrics.workers[0].add(Counter::RecordsIn, 3);
        metrics.workers[1].add(Counter::RecordsIn, 4);
        metrics.workers[0].set_watermark(Timestamp::from_secs(9));
        metrics.workers[1].set_watermark(Timestamp::from_secs(5));
        assert_eq!(metrics.total(Counter::RecordsIn), 7);
        assert_eq!(metrics.watermark(), Timestamp::from_secs(5));
    }
}
