//! [`RetryPolicy`]: when a failed run is tried again; pure arithmetic.

use std::time::Duration;

use crate::proto::scheduler::RetryConfig;

/// What Cloud Scheduler documents for settings that are not given.
const MIN_BACKOFF: Duration = Duration::from_secs(5);
const MAX_BACKOFF: Duration = Duration::from_secs(3_600);
pub(super) const MAX_DOUBLINGS: i32 = 5;

/// When a failed run is tried again; by default it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryPolicy {
    count: u32,
    max_duration: Duration,
    min_backoff: Duration,
    max_backoff: Duration,
    max_doublings: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(&RetryConfig::default())
    }
}

impl RetryPolicy {
    pub(super) fn new(config: &RetryConfig) -> Self {
        let span = |span: Option<prost_types::Duration>| {
            span.and_then(|span| Duration::try_from(span).ok()).unwrap_or_default()
        };
        let or = |span: Duration, default| if span.is_zero() { default } else { span };
        let max_doublings =
            if config.max_doublings == 0 { MAX_DOUBLINGS } else { config.max_doublings };
        Self {
            count: u32::try_from(config.retry_count).unwrap_or(0),
            max_duration: span(config.max_retry_duration),
            min_backoff: or(span(config.min_backoff_duration), MIN_BACKOFF),
            max_backoff: or(span(config.max_backoff_duration), MAX_BACKOFF),
            max_doublings: u32::try_from(max_doublings).unwrap_or(0),
        }
    }

    /// The configuration with what was not given, as the service shows it.
    pub(super) fn to_config(self) -> RetryConfig {
        let span = |span: Duration| prost_types::Duration::try_from(span).ok();
        RetryConfig {
            retry_count: self.count as i32,
            max_retry_duration: span(self.max_duration),
            min_backoff_duration: span(self.min_backoff),
            max_backoff_duration: span(self.max_backoff),
            max_doublings: self.max_doublings as i32,
        }
    }

    /// How long to wait before the `number`th retry (from 1), `elapsed` after the first attempt; `None` when there is none.
    ///
    /// Without a count nothing is retried. With a count and a duration retries end when both are used up.
    pub(super) fn delay(&self, number: u32, elapsed: Duration) -> Option<Duration> {
        let allowed = number <= self.count || (self.count > 0 && elapsed < self.max_duration);
        allowed.then(|| self.backoff(number))
    }

    /// Doubles so many times, then grows by the last step, up to the maximum.
    fn backoff(&self, number: u32) -> Duration {
        let doublings = number.saturating_sub(1).min(self.max_doublings).min(30);
        let steps = number.saturating_sub(self.max_doublings).max(1);
        let backoff = self.min_backoff.saturating_mul(1 << doublings).saturating_mul(steps);
        backoff.min(self.max_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn backoff_doubles_then_grows_evenly_as_documented() {
        let config = RetryConfig {
            retry_count: 5,
            max_retry_duration: seconds(3_600),
            min_backoff_duration: seconds(10),
            max_backoff_duration: seconds(300),
            max_doublings: 3,
        };
        let policy = RetryPolicy::new(&config);
        let delays = (1..=8).map(|number| policy.delay(number, Duration::ZERO).unwrap().as_secs());
        assert_eq!(delays.collect::<Vec<_>>(), [10, 20, 40, 80, 160, 240, 300, 300]);
        assert_eq!(policy.to_config(), config);
    }

    #[test]
    fn retries_end_when_both_limits_are_reached() {
        let policy = |retry_count, duration| {
            let max_retry_duration = seconds(duration);
            RetryPolicy::new(&RetryConfig { retry_count, max_retry_duration, ..Default::default() })
        };
        let at = Duration::from_secs;
        assert_eq!(policy(2, 0).delay(2, at(9)), Some(at(10)));
        assert_eq!(policy(2, 0).delay(3, at(9)), None);
        assert_eq!(policy(2, 60).delay(3, at(59)), Some(at(20)));
        assert_eq!(policy(2, 60).delay(3, at(60)), None);
        assert_eq!(policy(2, 60).delay(1, at(600)), Some(at(5)));
        assert_eq!(policy(0, 60).delay(1, at(0)), None);
    }

    #[test]
    fn what_is_not_given_has_the_documented_defaults() {
        let config = RetryPolicy::default().to_config();
        assert_eq!(config.min_backoff_duration, seconds(5));
        assert_eq!(config.max_backoff_duration, seconds(3_600));
        assert_eq!((config.retry_count, config.max_doublings), (0, 5));
    }
}
