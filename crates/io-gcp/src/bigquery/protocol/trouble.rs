//! [`Trouble`]: when to try again, and when to give up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use millstream::Timestamp;

use super::messages::{Failure, ProtocolError};

/// The first pause; with jitter up to twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause, before jitter: a request every 5 to 10 s is no load for BigQuery, and its return is noticed soon.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A row of failures without a success in between.
#[derive(Debug)]
pub(super) struct Trouble {
    seed: u64,
    pauses: Option<ExponentialBackoff>,
    since: Timestamp,
    retry_at: Option<Timestamp>,
}

impl Trouble {
    /// No trouble so far; pauses are jittered from `seed`.
    pub(super) const fn none(seed: u64) -> Self {
        Self { seed, pauses: None, since: Timestamp::EPOCH, retry_at: None }
    }

    /// Something failed that may be tried again after a pause.
    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        give_up_after: Duration,
        what: &str,
        failure: &Failure,
    ) -> Result<(), ProtocolError> {
        if self.pauses.is_none() {
            self.since = now;
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        if now.since(self.since) >= give_up_after {
            let seconds = give_up_after.as_secs();
            let what = format!("gave up after {seconds} s: {what}");
            return Err(ProtocolError::because(&what, failure));
        }
        let seed = self.seed;
        let pauses = self.pauses.get_or_insert_with(|| {
            ExponentialBuilder::default()
                .with_min_delay(PAUSE_MIN)
                .with_max_delay(PAUSE_MAX)
                .without_max_times()
                .with_jitter()
                .with_jitter_seed(seed)
                .build()
        });
        let pause = pauses.next().unwrap_or(PAUSE_MAX);
        tracing::warn!(%failure, ?pause, "{what}; trying again");
        self.retry_at = Some(now + pause);
        Ok(())
    }

    /// Something succeeded.
    pub(super) fn succeeded(&mut self) {
        self.pauses = None;
        self.retry_at = None;
    }

    /// A new try starts: there is no pause to wait for until it fails.
    pub(super) const fn started(&mut self) {
        self.retry_at = None;
    }

    /// Whether the pause is over.
    pub(super) fn may_try(&self, now: Timestamp) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// When the pause is over, if there is one.
    pub(super) const fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }
}

/// The earlier of two times, where there are any.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::FailureKind;
    use super::*;

    fn failure() -> Failure {
        Failure::new(FailureKind::Unavailable, "try later")
    }

    #[test]
    fn pauses_grow_with_jitter_and_end_with_a_success() {
        let mut trouble = Trouble::none(7);
        let patience = Duration::from_secs(3_600);
        let mut now = Timestamp::EPOCH;
        for power in 0..12 {
            trouble.failed(now, patience, "append", &failure()).unwrap();
            let pause = trouble.retry_at().unwrap().since(now);
            let least = PAUSE_MAX.min(PAUSE_MIN * 2_u32.pow(power));
            assert!(pause >= least && pause <= least * 2, "{power}: {pause:?}");
            assert!(!trouble.may_try(now));
            now = trouble.retry_at().unwrap();
            assert!(trouble.may_try(now));
        }
        trouble.succeeded();
        assert!(trouble.may_try(Timestamp::EPOCH));
    }

    #[test]
    fn patience_counts_from_the_first_failure_in_a_row() {
        let mut trouble = Trouble::none(7);
        let patience = Duration::from_secs(10);
        let at = Timestamp::from_secs;
        trouble.failed(at(0), patience, "append", &failure()).unwrap();
        trouble.failed(at(9), patience, "append", &failure()).unwrap();
        let error = trouble.failed(at(10), patience, "append", &failure()).unwrap_err();
        assert_eq!(error.to_string(), "gave up after 10 s: append: try later (unavailable)");
        trouble.succeeded();
        trouble.failed(at(20), patience, "append", &failure()).unwrap();
    }
}
