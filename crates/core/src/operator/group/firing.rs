//! [`Firing`]: the trigger as the operator runs it. The usual shapes keep 16 bytes per key and window; any other is run by
//! [`TriggerState`], to which the short cuts are equal (a property test below).

use std::time::Duration;

use crate::operator::group::alarms::NEVER;
use crate::time::{Timestamp, duration_micros};
use crate::trigger::{Trigger, TriggerContext, TriggerState};

/// How panes of a grouping come to fire.
#[derive(Clone, Debug)]
pub(super) enum Firing {
    /// [`Trigger::Default`].
    AtEnd,
    /// [`Trigger::AfterWatermark`] with simple parts.
    Around { early: Part, late: Option<Part> },
    /// A simple part, again and again.
    Repeated(Part),
    /// Any trigger.
    General(Trigger),
}

/// A part of a trigger that needs a count or a delay, and starts anew when it has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Never,
    Count(u32),
    /// Processing time after the first element of the pane, then up to the next multiple of `align` microseconds.
    Delay {
        delay: Duration,
        align: i64,
    },
}

/// What one key and window has seen of a simple trigger, with the flags of its pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Processing time that must pass; [`NEVER`] when no delay runs.
    pub(super) until: Timestamp,
    /// Elements in the pane.
    pub(super) count: u32,
    /// The pane at or behind the end of the window has fired.
    pub(super) is_past_end: bool,
    /// The trigger has finished: the window is closed.
    pub(super) is_finished: bool,
    /// No element came since the pane before.
    pub(super) is_empty: bool,
    /// It is to be looked at when the batch is done.
    pub(super) is_touched: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            until: NEVER,
            count: 0,
            is_past_end: false,
            is_finished: false,
            is_empty: true,
            is_touched: false,
        }
    }
}

impl Part {
    fn of(trigger: &Trigger) -> Option<Self> {
        match trigger {
            Trigger::Never => Some(Self::Never),
            Trigger::AfterCount(count) => u32::try_from(*count).ok().map(Self::Count),
            Trigger::AfterSynchronizedProcessingTime => {
                Some(Self::Delay { delay: Duration::ZERO, align: 0 })
            }
            Trigger::AfterProcessingTime { delay, align_to } => {
                let align = align_to.map_or(0, duration_micros);
                Some(Self::Delay { delay: *delay, align })
            }
            Trigger::Repeatedly(part) => Self::of(part),
            _ => None,
        }
    }

    /// Notes an element; gives the time at which to look again, when a delay begins to run.
    #[inline]
    fn on_element(self, seen: &mut Seen, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::Count(_) => {
                seen.count = seen.count.saturating_add(1);
                None
            }
            Self::Delay { delay, align } => {
                if seen.until != NEVER {
                    return None;
                }
                let target = now + delay;
                let past = if align == 0 { 0 } else { target.as_micros().rem_euclid(align) };
                let wait = if past == 0 { 0 } else { align - past };
                seen.until = target.saturating_add_micros(wait);
                Some(look_at(seen.until))
            }
        }
    }

    #[inline]
    fn is_ready(self, seen: &Seen, now: Timestamp) -> bool {
        match self {
            Self::Never => false,
            Self::Count(count) => seen.count >= count,
            Self::Delay { .. } => seen.until < now,
        }
    }
}

/// A delay is over once its time has passed: the microsecond behind it.
pub(super) fn look_at(until: Timestamp) -> Timestamp {
    if until == NEVER { NEVER } else { until.saturating_add_micros(1) }
}

impl Firing {
    /// How `trigger` is run. Where windows merge, only its general machine knows what a merge does.
    pub(super) fn new(trigger: &Trigger, is_merging: bool) -> Self {
        let general = || Self::General(trigger.clone());
        if is_merging {
            return general();
        }
        match trigger {
            Trigger::Default => Self::AtEnd,
            Trigger::AfterWatermark { early, late } => {
                let early = early.as_deref().map_or(Some(Part::Never), Part::of);
                let has_late = late.is_some();
                let late = late.as_deref().and_then(Part::of);
                match early {
                    Some(early) if has_late == late.is_some() => Self::Around { early, late },
                    _ => general(),
                }
            }
            Trigger::Repeatedly(part) => Part::of(part).map_or_else(general, Self::Repeated),
            _ => general(),
        }
    }

    /// The trigger state a new pane needs beside [`Seen`].
    pub(super) fn new_state(&self) -> Option<TriggerState> {
        match self {
            Self::General(trigger) => Some(TriggerState::new(trigger)),
            _ => None,
        }
    }

    /// Notes an element; gives the time at which to look again, when the element begins a delay.
    #[inline]
    pub(super) fn on_element(&self, seen: &mut Seen, ctx: &TriggerContext) -> Option<Timestamp> {
        match self {
            Self::AtEnd | Self::General(_) => None,
            Self::Around { late, .. } if seen.is_past_end => {
                late.as_ref()?.on_element(seen, ctx.now)
            }
            Self::Around { early, .. } => early.on_element(seen, ctx.now),
            Self::Repeated(part) => part.on_element(seen, ctx.now),
        }
    }

    /// Whether a pane should be emitted now; not asked of the general machine.
    #[inline]
    pub(super) fn should_fire(&self, seen: &Seen, ctx: &TriggerContext) -> bool {
        match self {
            Self::AtEnd => ctx.is_past_end_of_window(),
            Self::Around { late, .. } if seen.is_past_end => {
                late.is_some_and(|late| late.is_ready(seen, ctx.now))
            }
            Self::Around { early, .. } => {
                ctx.is_past_end_of_window() || early.is_ready(seen, ctx.now)
            }
            Self::Repeated(part) => part.is_ready(seen, ctx.now),
            Self::General(_) => false,
        }
    }

    /// Notes that a pane was emitted.
    pub(super) fn on_fire(&self, seen: &mut Seen, ctx: &TriggerContext) {
        seen.count = 0;
        seen.until = NEVER;
        if let Self::Around { late, .. } = self
            && ctx.is_past_end_of_window()
        {
            seen.is_past_end = true;
            seen.is_finished |= late.is_none();
        }
    }

    /// Whether the passing of a window's end can make it fire.
    pub(super) fn watches_end(&self) -> bool {
        match self {
            Self::AtEnd | Self::Around { .. } => true,
            Self::Repeated(_) => false,
            Self::General(trigger) => watches_end(trigger),
        }
    }
}

fn watches_end(trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Default | Trigger::AfterWatermark { .. } | Trigger::Always => true,
        Trigger::Repeatedly(part) => watches_end(part),
        Trigger::AfterEach(parts) | Trigger::AfterAll(parts) | Trigger::AfterAny(parts) => {
            parts.iter().any(watches_end)
        }
        Trigger::OrFinally { main, until } => watches_end(main) || watches_end(until),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windowing::Window;
    use proptest::prelude::*;

    fn any_part() -> impl Strategy<Value = Trigger> {
        let delay = (0_u64..9, prop::option::of(1_u64..7)).prop_map(|(delay, align)| {
            let trigger = Trigger::after_processing_time(Duration::from_micros(delay));
            let align = align.map(Duration::from_micros);
            align.into_iter().fold(trigger, Trigger::aligned_to)
        });
        let part = prop_oneof![
            Just(Trigger::Never),
            Just(Trigger::AfterSynchronizedProcessingTime),
            (1_u64..4).prop_map(Trigger::after_count),
            delay,
        ];
        (part, any::<bool>()).prop_map(|(part, again)| if again { part.repeatedly() } else { part })
    }

    fn any_simple() -> impl Strategy<Value = Trigger> {
        let around = (prop::option::of(any_part()), prop::option::of(any_part()));
        prop_oneof![
            Just(Trigger::Default),
            any_part().prop_map(Trigger::repeatedly),
            around.prop_map(|(early, late)| Trigger::AfterWatermark {
                early: early.map(Box::new),
                late: late.map(Box::new),
            }),
        ]
    }

    proptest! {
        #[test]
        fn the_short_cuts_equal_the_general_machine(
            trigger in any_simple(),
            steps in prop::collection::vec((0_u8..4, 1_i64..12), 0..40),
        ) {
            let firing = Firing::new(&trigger, false);
            prop_assert!(!matches!(firing, Firing::General(_)), "{trigger} has a short cut");
            let (mut seen, mut state) = (Seen::default(), TriggerState::new(&trigger));
            let window = Window::new(Timestamp::EPOCH, Timestamp::from_micros(30));
            let mut ctx = TriggerContext::new(window, Timestamp::MIN, Timestamp::EPOCH);
            for (kind, amount) in steps {
                match kind {
                    0 => ctx.now = ctx.now.saturating_add_micros(amount),
                    1 => ctx.watermark =
                        ctx.watermark.max(Timestamp::EPOCH).saturating_add_micros(amount),
                    _ if state.is_finished() => {}
                    _ => {
                        let wake = firing.on_element(&mut seen, &ctx);
                        state.on_element(&trigger, &ctx);
                        let next = state.next_wake_up(&trigger, &ctx);
                        prop_assert!(wake.is_none_or(|wake| next == Some(wake)));
                    }
                }
                let fires = !seen.is_finished && firing.should_fire(&seen, &ctx);
                prop_assert_eq!(fires, state.should_fire(&trigger, &ctx), "{}", trigger);
                if fires {
                    firing.on_fire(&mut seen, &ctx);
                    state.on_fire(&trigger, &ctx);
                }
                prop_assert_eq!(seen.is_finished, state.is_finished());
            }
        }
    }

    #[test]
    fn merging_windows_and_nested_triggers_use_the_general_machine() {
        let early = Trigger::after_any([Trigger::after_count(1), Trigger::Never]);
        for (trigger, merging) in
            [(Trigger::Default, true), (Trigger::after_watermark().early(early), false)]
        {
            assert!(matches!(Firing::new(&trigger, merging), Firing::General(_)));
        }
        assert!(!Firing::new(&Trigger::after_count(1).repeatedly(), true).watches_end());
        assert!(Firing::new(&Trigger::Default, true).watches_end());
    }
}
