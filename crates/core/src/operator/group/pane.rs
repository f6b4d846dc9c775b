//! [`Pane`]: what is kept for one key and window, and how it looks in a checkpoint.

use serde::{Deserialize, Serialize};

use crate::operator::group::alarms::NEVER;
use crate::operator::group::firing::Seen;
use crate::pane::{PaneInfo, Timing};
use crate::time::Timestamp;
use crate::trigger::TriggerState;
use crate::windowing::Window;

/// One key and window: its elements since the last pane (or since ever), and which panes went out.
#[derive(Debug)]
pub(super) struct Pane<A, O> {
    pub(super) accumulator: A,
    /// The output time of the elements that came on time, which the output watermark must not pass.
    pub(super) hold: Timestamp,
    pub(super) seen: Seen,
    /// Panes that went out.
    pub(super) fired: u64,
    /// Those of them that were early; they come before all others.
    pub(super) fired_early: u64,
    /// What only some strategies need.
    pub(super) extra: Option<Box<Extra<O>>>,
}

/// State of general triggers and of retractions.
#[derive(Debug)]
pub(super) struct Extra<O> {
    pub(super) trigger: Option<TriggerState>,
    /// The processing time for which an alarm is set.
    pub(super) wake: Timestamp,
    /// What the last pane held, to be taken back by the next.
    pub(super) previous: Option<O>,
    /// Panes of windows that merged into this one, to be taken back by the next.
    pub(super) merged: Vec<Merged<O>>,
}

impl<O> Default for Extra<O> {
    fn default() -> Self {
        Self { trigger: None, wake: NEVER, previous: None, merged: Vec::new() }
    }
}

/// The last pane of a window that is no more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Merged<O> {
    pub(super) window: Window,
    pub(super) fired: u64,
    pub(super) fired_early: u64,
    pub(super) output: O,
}

impl<A, O> Pane<A, O> {
    pub(super) fn new(accumulator: A, trigger: Option<TriggerState>) -> Self {
        let extra =
            trigger.map(|trigger| Box::new(Extra { trigger: Some(trigger), ..Extra::default() }));
        Self { accumulator, hold: NEVER, seen: Seen::default(), fired: 0, fired_early: 0, extra }
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra<O> {
        self.extra.get_or_insert_default()
    }

    /// The last pane that went out.
    pub(super) fn last_pane(&self) -> Option<PaneInfo> {
        last_pane(self.fired, self.fired_early)
    }

    /// Notes that a pane went out.
    pub(super) fn count_pane(&mut self, timing: Timing) {
        self.fired += 1;
        self.fired_early += u64::from(timing == Timing::Early);
    }
}

/// The last of `fired` panes, as far as the next one depends on it.
pub(super) fn last_pane(fired: u64, fired_early: u64) -> Option<PaneInfo> {
    let index = fired.checked_sub(1)?;
    let only_early = fired == fired_early;
    Some(PaneInfo {
        index,
        non_speculative_index: if only_early { 0 } else { index - fired_early },
        timing: if only_early { Timing::Early } else { Timing::Late },
        is_first: index == 0,
        is_last: false,
        ..PaneInfo::NO_FIRING
    })
}

/// A pane as a checkpoint has it: a list, because there is one per key and window.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredPane<A, O>(
    A,
    Option<Timestamp>,
    Option<Timestamp>,
    u32,
    u8,
    u64,
    u64,
    Option<StoredExtra<O>>,
);

#[derive(Debug, Serialize, Deserialize)]
struct StoredExtra<O>(Option<TriggerState>, Option<O>, Vec<Merged<O>>);

const PAST_END: u8 = 1;
const FINISHED: u8 = 2;
const EMPTY: u8 = 4;

fn some(at: Timestamp) -> Option<Timestamp> {
    (at != NEVER).then_some(at)
}

impl<A, O: Clone> Pane<A, O> {
    pub(super) fn store(&self) -> StoredPane<&A, O> {
        let Seen { until, count, is_past_end, is_finished, is_empty, .. } = self.seen;
        let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
        let flags =
            flag(is_past_end, PAST_END) | flag(is_finished, FINISHED) | flag(is_empty, EMPTY);
        let extra = self.extra.as_ref().map(|extra| {
            StoredExtra(extra.trigger.clone(), extra.previous.clone(), extra.merged.clone())
        });
        StoredPane(
            &self.accumulator,
            some(self.hold),
            some(until),
            count,
            flags,
            self.fired,
            self.fired_early,
            extra,
        )
    }
}

impl<A, O> StoredPane<A, O> {
    pub(super) fn restore(self) -> Pane<A, O> {
        let Self(accumulator, hold, until, count, flags, fired, fired_early, extra) = self;
        let seen = Seen {
            until: until.unwrap_or(NEVER),
            count,
            is_past_end: flags & PAST_END != 0,
            is_finished: flags & FINISHED != 0,
            is_empty: flags & EMPTY != 0,
            is_touched: false,
        };
        let extra = extra.map(|StoredExtra(trigger, previous, merged)| {
            Box::new(Extra { trigger, wake: NEVER, previous, merged })
        });
        Pane { accumulator, hold: hold.unwrap_or(NEVER), seen, fired, fired_early, extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_of_a_sum_stays_small() {
        assert!(size_of::<Pane<u64, u64>>() <= 56, "{}", size_of::<Pane<u64, u64>>());
        let with_key = size_of::<Option<(u64, Pane<u64, u64>)>>();
        assert!(with_key <= 64, "{with_key}");
    }

    #[test]
    fn the_next_pane_follows_from_the_counts() {
        let mut pane: Pane<u64, u64> = Pane::new(0, None);
        let mut last = None;
        for timing in [Timing::Early, Timing::Early, Timing::OnTime, Timing::Late, Timing::Late] {
            let expected = PaneInfo::following(last.as_ref(), timing, false);
            assert_eq!(PaneInfo::following(pane.last_pane().as_ref(), timing, false), expected);
            pane.count_pane(timing);
            last = Some(expected);
        }
    }

    #[test]
    fn everything_but_the_touch_survives_a_checkpoint() {
        let mut pane: Pane<u64, u64> = Pane::new(7, None);
        pane.hold = Timestamp::from_secs(3);
        pane.seen.count = 2;
        pane.seen.is_past_end = true;
        pane.seen.is_empty = false;
        pane.fired = 4;
        pane.fired_early = 1;
        pane.extra_mut().previous = Some(9);
        let bytes = crate::coder::encode(&pane.store()).unwrap();
        let restored: StoredPane<u64, u64> = crate::coder::decode(&bytes).unwrap();
        let restored = restored.restore();
        assert_eq!(format!("{restored:?}"), format!("{pane:?}"));
    }
}
