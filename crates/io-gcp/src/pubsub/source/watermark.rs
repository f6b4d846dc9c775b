//! [`WatermarkEstimator`]: how far event time has come, and why no further; [`QuietWatch`]: whether nothing comes because
//! nothing is there.
//!
//! Pub/Sub tells nobody how old its oldest message is, and its client keeps silent while it cannot reach the service. So
//! silence alone proves nothing: before the clock may carry the watermark on, the service is asked whether it is there, and after
//! an outage the stream is opened anew.

use std::fmt::Write as _;
use std::time::Duration;

use millstream::Timestamp;

/// How far event time has come.
#[derive(Debug)]
pub(super) struct WatermarkEstimator {
    value: Timestamp,
    skew: Duration,
    /// How long messages leased to an earlier process may take to come back; zero when there was none.
    lease_horizon: Duration,
    hold_until: Option<Timestamp>,
    reason: Reason,
}

/// What the watermark goes by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The greatest event time received.
    pub(super) greatest: Option<Timestamp>,
    /// The least event time of messages received and not yet in a checkpoint: the watermark does not pass it.
    pub(super) unchecked: Option<Timestamp>,
    /// The latest time at which nothing waited.
    pub(super) quiet: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    NothingSeen,
    Restored,
    Unchecked(Timestamp),
    Seen(Timestamp),
    Quiet(Timestamp),
}

impl WatermarkEstimator {
    /// An estimator that starts at `restored`, and stays there for `lease_horizon` of its first round.
    pub(super) fn new(restored: Timestamp, lease_horizon: Duration, skew: Duration) -> Self {
        let reason = if lease_horizon.is_zero() { Reason::NothingSeen } else { Reason::Restored };
        Self { value: restored, skew, lease_horizon, hold_until: None, reason }
    }

    /// Moves the watermark on as far as what is `known` lets it go.
    pub(super) fn update(&mut self, now: Timestamp, known: Known) {
        if !self.lease_horizon.is_zero() && now < self.hold_end(now) {
            self.reason = Reason::Restored;
            return;
        }
        let seen = known.greatest.map(|at| (at - self.skew, Reason::Seen(at)));
        let quiet = known.quiet.map(|at| (at - self.skew, Reason::Quiet(at)));
        let Some((mut estimate, mut reason)) =
            seen.into_iter().chain(quiet).max_by_key(|(estimate, _)| *estimate)
        else {
            self.reason = Reason::NothingSeen;
            return;
        };
        if let Some(earliest) = known.unchecked.filter(|earliest| *earliest < estimate) {
            (estimate, reason) = (earliest, Reason::Unchecked(earliest));
        }
        self.value = self.value.max(estimate);
        self.reason = reason;
    }

    /// When the hold after a restart ends, counted from the first round.
    fn hold_end(&mut self, now: Timestamp) -> Timestamp {
        let horizon = self.lease_horizon;
        *self.hold_until.get_or_insert_with(|| now + horizon)
    }

    /// When the hold after a restart ends, while it lasts.
    pub(super) fn held_until(&self) -> Option<Timestamp> {
        self.hold_until.filter(|_| matches!(self.reason, Reason::Restored))
    }

    /// The horizon of the earlier reader while its messages may still come back, otherwise zero.
    pub(super) fn inherited_horizon(&self) -> Duration {
        if matches!(self.reason, Reason::Restored) { self.lease_horizon } else { Duration::ZERO }
    }

    /// The watermark.
    pub(super) fn value(&self) -> Timestamp {
        self.value
    }

    /// Why the watermark stands where it does.
    pub(super) fn reason(&self) -> String {
        let skew = self.skew;
        match self.reason {
            Reason::NothingSeen => String::from("no message was received yet"),
            Reason::Restored => match self.hold_until {
                Some(until) => format!(
                    "held at its restored value until {until}: messages leased to the earlier process come back late"
                ),
                None => String::from("restored, nothing was read yet"),
            },
            Reason::Unchecked(at) => {
                format!("held by a message of {at}, received and not yet in a checkpoint")
            }
            Reason::Seen(at) => {
                format!("the greatest event time seen, {at}, less an allowed skew of {skew:?}")
            }
            Reason::Quiet(at) => {
                format!("nothing waited at {at}; less an allowed skew of {skew:?}")
            }
        }
    }
}

/// Whether nothing comes because nothing is there.
#[derive(Debug)]
pub(super) struct QuietWatch {
    /// Silence must last this long before it means anything.
    after: Duration,
    /// Time between two questions.
    interval: Duration,
    since: Option<Timestamp>,
    asked: Option<Timestamp>,
    is_waiting: bool,
    proven: Option<Timestamp>,
    trouble: Option<String>,
}

/// What an answer to the question leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuietAnswer {
    /// Nothing to do.
    Noted,
    /// The service is back: the stream is to be opened anew.
    Reopen,
}

impl QuietWatch {
    /// A watch for messages that come at most `skew` out of order.
    pub(super) fn new(skew: Duration) -> Self {
        Self {
            after: (skew / 2).clamp(Duration::from_millis(250), Duration::from_secs(1)),
            interval: (skew / 2).clamp(Duration::from_millis(250), Duration::from_secs(2)),
            since: None,
            asked: None,
            is_waiting: false,
            proven: None,
            trouble: None,
        }
    }

    /// Notes whether there is silence, and tells whether to ask the service now.
    pub(super) fn look(&mut self, now: Timestamp, is_quiet: bool) -> bool {
        if !is_quiet {
            (self.since, self.proven) = (None, None);
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if self.is_waiting || now < self.due(since) {
            return false;
        }
        (self.asked, self.is_waiting) = (Some(now), true);
        true
    }

    fn due(&self, since: Timestamp) -> Timestamp {
        let silence = since + self.after;
        self.asked.map_or(silence, |asked| silence.max(asked + self.interval))
    }

    /// When to look again, while there is silence and no question is open.
    pub(super) fn look_at(&self) -> Option<Timestamp> {
        self.since.filter(|_| !self.is_waiting).map(|since| self.due(since))
    }

    /// The service answered, or could not be asked.
    pub(super) fn answered(&mut self, result: Result<(), String>) -> QuietAnswer {
        self.is_waiting = false;
        match result {
            Err(trouble) => {
                (self.trouble, self.proven) = (Some(trouble), None);
                QuietAnswer::Noted
            }
            Ok(()) if self.trouble.take().is_some() => {
                // What was published during the outage still has to come: the silence starts anew.
                (self.since, self.asked) = (None, None);
                QuietAnswer::Reopen
            }
            Ok(()) => {
                let asked_in_silence = self.since.is_some_and(|since| Some(since) <= self.asked);
                self.proven = self.asked.filter(|_| asked_in_silence);
                QuietAnswer::Noted
            }
        }
    }

    /// The latest time at which nothing waited, while the silence lasts.
    pub(super) fn proven(&self) -> Option<Timestamp> {
        self.proven
    }

    /// Adds to `reason` that the service cannot be asked, if so.
    pub(super) fn explain(&self, reason: &mut String) {
        if let Some(trouble) = &self.trouble {
            let _ = write!(reason, "; the subscription cannot be reached: {trouble}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn the_watermark_follows_the_greatest_event_time_and_never_goes_back() {
        let mut watermark =
            WatermarkEstimator::new(Timestamp::MIN, Duration::ZERO, Duration::from_secs(5));
        watermark.update(at(100), Known::default());
        assert_eq!(watermark.value(), Timestamp::MIN);
        let known = Known { greatest: Some(at(50)), ..Known::default() };
        watermark.update(at(100), Known { unchecked: Some(at(40)), ..known });
        assert_eq!(watermark.value(), at(40));
        assert!(watermark.reason().contains("not yet in a checkpoint"));
        watermark.update(at(100), known);
        assert_eq!(watermark.value(), at(45));
        watermark.update(at(100), Known { unchecked: Some(at(10)), ..known });
        assert_eq!(watermark.value(), at(45));
    }

    #[test]
    fn a_restored_watermark_stays_until_the_leases_ran_out() {
        let mut watermark =
            WatermarkEstimator::new(at(10), Duration::from_secs(60), Duration::ZERO);
        let known = Known { greatest: Some(at(500)), ..Known::default() };
        for now in [1_000, 1_059] {
            watermark.update(at(now), Known { quiet: Some(at(now)), ..known });
            assert_eq!(watermark.value(), at(10));
        }
        assert!(watermark.reason().contains("1970-01-01T00:17:40Z"), "{}", watermark.reason());
        assert_eq!(watermark.inherited_horizon(), Duration::from_secs(60));
        watermark.update(at(1_060), known);
        assert_eq!(watermark.value(), at(500));
        assert_eq!(watermark.inherited_horizon(), Duration::ZERO);
    }

    #[test]
    fn silence_counts_only_when_the_service_answers() {
        let mut watch = QuietWatch::new(Duration::from_secs(2));
        assert!(!watch.look(at(0), true), "the silence is too short");
        assert!(watch.look(at(1), true));
        assert!(!watch.look(at(9), true), "a question is open");
        assert_eq!(watch.answered(Ok(())), QuietAnswer::Noted);
        assert_eq!(watch.proven(), Some(at(1)));
        assert!(!watch.look(at(9), false));
        assert_eq!(watch.proven(), None);
    }

    #[test]
    fn an_answer_from_before_the_silence_proves_nothing() {
        let mut watch = QuietWatch::new(Duration::from_secs(2));
        watch.look(at(0), true);
        assert!(watch.look(at(1), true));
        watch.look(at(2), false);
        watch.look(at(3), true);
        watch.answered(Ok(()));
        assert_eq!(watch.proven(), None);
    }

    #[test]
    fn after_an_outage_the_stream_is_opened_anew_before_silence_counts() {
        let mut watch = QuietWatch::new(Duration::from_secs(2));
        watch.look(at(0), true);
        assert!(watch.look(at(1), true));
        watch.answered(Err(String::from("connection refused")));
        let mut reason = String::new();
        watch.explain(&mut reason);
        assert!(reason.contains("connection refused"));
        assert!(watch.look(at(2), true));
        assert_eq!(watch.answered(Ok(())), QuietAnswer::Reopen);
        assert_eq!(watch.proven(), None);
        assert!(!watch.look(at(2), true));
        assert!(watch.look(at(3), true));
        watch.answered(Ok(()));
        assert_eq!(watch.proven(), Some(at(3)));
    }
}
