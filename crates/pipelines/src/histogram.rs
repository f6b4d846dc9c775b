//! [`Histogram`]: how often which duration occurred, at a precision of about three per cent in a fixed amount of memory.

use std::time::Duration;

/// Buckets per power of two: neighbours differ by at most 1/32.
const STEPS: u64 = 32;
/// Up to 2^40 microseconds, twelve days; longer ones count as that.
const POWERS: u64 = 36;

/// How often which duration occurred.
///
/// ```
/// use millstream_pipelines::Histogram;
/// use std::time::Duration;
///
/// let mut latencies = Histogram::default();
/// (1..=100).for_each(|millis| latencies.record(Duration::from_millis(millis), 1));
/// let median = latencies.percentile(50.0).unwrap_or_default();
/// assert!((0.049..0.053).contains(&median.as_secs_f64()), "{median:?}");
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    greatest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = usize::try_from(STEPS * (POWERS + 1)).unwrap_or(0);
        Self { counts: vec![0; buckets], total: 0, greatest: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts `duration` `times` times.
    pub fn record(&mut self, duration: Duration, times: u64) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        self.counts[bucket(micros).min(last)] += times;
        self.total += times;
        self.greatest = self.greatest.max(duration);
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
        self.greatest = self.greatest.max(other.greatest);
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// The longest.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.greatest
    }

    /// A duration that about `percent` per cent are not longer than; nothing where nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among counts, cut to its range right here"
        )]
        let rank = ((self.total as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64).max(1);
        let mut passed = 0;
        for (index, count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= rank {
                return Some(Duration::from_micros(upper_bound(index)).min(self.greatest));
            }
        }
        None
    }
}

/// Small values have a bucket each, larger ones share one with those that differ by less than 1/32.
fn bucket(micros: u64) -> usize {
    let power = u64::from((micros | (STEPS - 1)).ilog2()) + 1 - u64::from(STEPS.ilog2());
    let shifted = micros >> power.saturating_sub(1);
    let index = if power <= 1 { micros } else { (power - 1) * STEPS + shifted };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The greatest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    ((index - power * STEPS + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_a_bucket_whose_bounds_are_close() {
        let mut before = 0;
        for micros in (0..5_000).chain((13..40).map(|power| (1 << power) + 7)) {
            let index = bucket(micros);
            assert!(index >= before, "{micros}");
            before = index;
            let upper = upper_bound(index);
            assert!(upper >= micros && upper - micros <= micros / STEPS, "{micros} {upper}");
            assert_eq!(bucket(upper), index);
        }
        assert!(upper_bound(bucket(1 << 40)) >= 1 << 40);
    }

    #[test]
    fn percentiles_of_merged_parts_are_those_of_the_whole() {
        let (mut even, mut odd, mut whole) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for millis in 1..=1_000_u64 {
            let part = if millis % 2 == 0 { &mut even } else { &mut odd };
            part.record(Duration::from_millis(millis), 1);
            whole.record(Duration::from_millis(millis), 1);
        }
        even.merge(&odd);
        for percent in [0.0, 50.0, 99.0, 100.0] {
            assert_eq!(even.percentile(percent), whole.percentile(percent));
        }
        assert_eq!(whole.percentile(100.0), Some(Duration::from_secs(1)));
        assert_eq!(whole.count(), 1_000);
        assert_eq!(Histogram::default().percentile(50.0), None);
    }
}
