//! The description of a trigger: [`Trigger`], what it promises, and its check.
//!
//! Owns the words; the machines that run them are in `state` and `machine`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, duration_micros};
use crate::windowing::Window;

/// When the elements of a window are emitted.
///
/// A trigger fires any number of times and may finish; a finished trigger never fires again, and what
/// comes to its window after that is dropped. [`Trigger::repeatedly`] makes one that never finishes.
///
/// ```
/// use millstream::trigger::Trigger;
/// use std::time::Duration;
///
/// // Every ten seconds while a window is open, once when it closes, then for each late element.
/// let trigger = Trigger::after_watermark()
///     .early(Trigger::after_processing_time(Duration::from_secs(10)))
///     .late(Trigger::after_count(1));
/// assert!(!trigger.may_finish());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Trigger {
    /// When the watermark passes the end of the window, and again for all that is late.
    #[default]
    Default,
    /// When the watermark passes the end of the window; before and after it as the parts say, each
    /// repeated by itself. Finishes at the end of the window unless `late` is given.
    AfterWatermark {
        /// Firings before the end of the window.
        early: Option<Box<Trigger>>,
        /// Firings after the end of the window.
        late: Option<Box<Trigger>>,
    },
    /// Once, when the pane holds at least this many elements.
    AfterCount(u64),
    /// Once, when processing time has passed a delay after the first element of the pane.
    AfterProcessingTime {
        /// Time from the arrival of the first element.
        delay: Duration,
        /// Puts the firing off to the next multiple of this period since the epoch.
        align_to: Option<Duration>,
    },
    /// Once, when processing time has passed the arrival of the first element of the pane.
    ///
    /// It follows [`Trigger::AfterProcessingTime`] behind a grouping, where one delay is enough.
    AfterSynchronizedProcessingTime,
    /// Whenever the part fires, starting it anew when it finishes.
    Repeatedly(Box<Trigger>),
    /// The parts one after the other, each until it finishes.
    AfterEach(Vec<Trigger>),
    /// Once, when all parts have fired.
    AfterAll(Vec<Trigger>),
    /// Once, when any part fires.
    AfterAny(Vec<Trigger>),
    /// Like `main`, until `until` fires a last time.
    OrFinally {
        /// The trigger to follow.
        main: Box<Trigger>,
        /// Fires the last pane.
        until: Box<Trigger>,
    },
    /// Whenever it is asked.
    Always,
    /// Never; a window still emits what it holds when it closes.
    Never,
}

impl Trigger {
    /// Fires when the watermark passes the end of the window; see [`Trigger::early`] and [`Trigger::late`].
    #[must_use]
    pub const fn after_watermark() -> Self {
        Self::AfterWatermark { early: None, late: None }
    }

    /// Fires when the pane holds at least `count` elements.
    #[must_use]
    pub const fn after_count(count: u64) -> Self {
        Self::AfterCount(count)
    }

    /// Fires when `delay` has passed since the first element of the pane arrived.
    #[must_use]
    pub const fn after_processing_time(delay: Duration) -> Self {
        Self::AfterProcessingTime { delay, align_to: None }
    }

    /// Runs the triggers one after the other.
    #[must_use]
    pub fn after_each(triggers: impl IntoIterator<Item = Self>) -> Self {
        Self::AfterEach(triggers.into_iter().collect())
    }

    /// Fires once all triggers have fired.
    #[must_use]
    pub fn after_all(triggers: impl IntoIterator<Item = Self>) -> Self {
        Self::AfterAll(triggers.into_iter().collect())
    }

    /// Fires once any of the triggers fires.
    #[must_use]
    pub fn after_any(triggers: impl IntoIterator<Item = Self>) -> Self {
        Self::AfterAny(triggers.into_iter().collect())
    }

    /// Puts a processing-time firing off to the next multiple of `period`; other triggers stay as they are.
    #[must_use]
    pub fn aligned_to(self, period: Duration) -> Self {
        match self {
            Self::AfterProcessingTime { delay, .. } => {
                Self::AfterProcessingTime { delay, align_to: Some(period) }
            }
            other => other,
        }
    }

    /// Adds firings before the end of the window.
    ///
    /// [`Trigger::Default`] keeps firing for each late element; any trigger but it and
    /// [`Trigger::AfterWatermark`] is replaced, because it has no end of window to be before.
    #[must_use]
    pub fn early(self, trigger: Self) -> Self {
        let late = match self {
            Self::Default => Some(Box::new(Self::after_count(1))),
            Self::AfterWatermark { late, .. } => late,
            _ => None,
        };
        Self::AfterWatermark { early: Some(Box::new(trigger)), late }
    }

    /// Chooses the firings after the end of the window.
    ///
    /// Any trigger but [`Trigger::Default`] and [`Trigger::AfterWatermark`] is replaced, because it has
    /// no end of window to be after.
    #[must_use]
    pub fn late(self, trigger: Self) -> Self {
        let early = match self {
            Self::AfterWatermark { early, .. } => early,
            _ => None,
        };
        Self::AfterWatermark { early, late: Some(Box::new(trigger)) }
    }

    /// Starts this trigger anew whenever it finishes.
    #[must_use]
    pub fn repeatedly(self) -> Self {
        Self::Repeatedly(Box::new(self))
    }

    /// Stops this trigger for good when `until` fires.
    #[must_use]
    pub fn or_finally(self, until: Self) -> Self {
        Self::OrFinally { main: Box::new(self), until: Box::new(until) }
    }

    /// Whether the trigger may stop firing for good.
    #[must_use]
    pub fn may_finish(&self) -> bool {
        match self {
            Self::Default | Self::Repeatedly(_) | Self::Always | Self::Never => false,
            // The last two fire once, whatever their parts would go on to do.
            Self::AfterCount(_)
            | Self::AfterProcessingTime { .. }
            | Self::AfterSynchronizedProcessingTime
            | Self::AfterAll(_)
            | Self::AfterAny(_) => true,
            Self::AfterWatermark { late, .. } => late.is_none(),
            Self::AfterEach(parts) => parts.iter().all(Self::may_finish),
            Self::OrFinally { main, until } => main.may_finish() || until.may_finish(),
        }
    }

    /// Whether nothing is emitted before the watermark passes the end of the window.
    #[must_use]
    pub fn is_watermark_only(&self) -> bool {
        match self {
            Self::Default | Self::Never => true,
            Self::AfterWatermark { early, .. } => {
                early.as_deref().is_none_or(|early| *early == Self::Never)
            }
            _ => false,
        }
    }

    /// Whether the trigger may finish while elements can still come, so that they would be lost.
    ///
    /// Finishing at the end of the window is safe when nothing behind it is allowed.
    #[must_use]
    pub fn is_unsafe(&self, allowed_lateness: Duration) -> bool {
        let ends_with_window =
            matches!(self, Self::AfterWatermark { .. }) && allowed_lateness.is_zero();
        self.may_finish() && !ends_with_window
    }

    /// A watermark behind which the trigger has fired in `window`, if an element came; [`Timestamp::MAX`]
    /// when the watermark alone makes no firing sure.
    #[must_use]
    pub fn watermark_that_guarantees_firing(&self, window: &Window) -> Timestamp {
        let of = |part: &Self| part.watermark_that_guarantees_firing(window);
        match self {
            Self::Default | Self::AfterWatermark { .. } => window.max_timestamp(),
            Self::Always => Timestamp::MIN,
            Self::AfterCount(_)
            | Self::AfterProcessingTime { .. }
            | Self::AfterSynchronizedProcessingTime
            | Self::Never => Timestamp::MAX,
            Self::Repeatedly(part) => of(part),
            Self::AfterEach(parts) => parts.first().map_or(Timestamp::MAX, of),
            Self::AfterAll(parts) => parts.iter().map(of).max().unwrap_or(Timestamp::MAX),
            Self::AfterAny(parts) => parts.iter().map(of).min().unwrap_or(Timestamp::MAX),
            Self::OrFinally { main, until } => of(main).min(of(until)),
        }
    }

    /// The trigger behind a grouping with this one: it passes on what the grouping fires, soon, and adds
    /// no delay or count of its own.
    #[must_use]
    pub fn continuation(&self) -> Self {
        let of = |part: &Self| part.continuation();
        let boxed = |part: &Option<Box<Self>>| part.as_deref().map(|part| Box::new(of(part)));
        match self {
            Self::Default => Self::Default,
            Self::Always => Self::Always,
            Self::Never => Self::Never,
            Self::AfterWatermark { early, late } => {
                Self::AfterWatermark { early: boxed(early), late: boxed(late) }
            }
            Self::AfterCount(_) => Self::AfterCount(1),
            Self::AfterProcessingTime { .. } | Self::AfterSynchronizedProcessingTime => {
                Self::AfterSynchronizedProcessingTime
            }
            Self::Repeatedly(part) => of(part).repeatedly(),
            Self::AfterEach(parts) => Self::after_any(parts.iter().map(of)).repeatedly(),
            Self::AfterAll(parts) => Self::after_all(parts.iter().map(of)),
            Self::AfterAny(parts) => Self::after_any(parts.iter().map(of)),
            Self::OrFinally { main, until } => of(main).or_finally(of(until)).repeatedly(),
        }
    }

    /// Adds what is wrong with the trigger's parameters to `problems`, one line each.
    pub fn validate(&self, problems: &mut Vec<String>) {
        match self {
            Self::AfterCount(0) => {
                problems.push("a trigger's count must be at least 1".to_owned());
            }
            Self::AfterProcessingTime { align_to: Some(period), .. }
                if duration_micros(*period) == 0 =>
            {
                problems.push("a trigger cannot be aligned to a period of zero".to_owned());
            }
            Self::AfterEach(parts) | Self::AfterAll(parts) | Self::AfterAny(parts)
                if parts.is_empty() =>
            {
                problems.push(format!("trigger {self} has no parts"));
            }
            _ => self.parts().for_each(|part| part.validate(problems)),
        }
    }

    /// The triggers this one is made of.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        let (boxed, listed): ([Option<&Self>; 2], &[Self]) = match self {
            Self::AfterWatermark { early, late } => ([early.as_deref(), late.as_deref()], &[]),
            Self::Repeatedly(part) => ([Some(part), None], &[]),
            Self::OrFinally { main, until } => ([Some(main), Some(until)], &[]),
            Self::AfterEach(parts) | Self::AfterAll(parts) | Self::AfterAny(parts) => {
                ([None, None], parts)
            }
            _ => ([None, None], &[]),
        };
        boxed.into_iter().flatten().chain(listed)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Default => "Default",
            Self::AfterWatermark { .. } => "AfterWatermark",
            Self::AfterCount(_) => "AfterCount",
            Self::AfterProcessingTime { .. } => "AfterProcessingTime",
            Self::AfterSynchronizedProcessingTime => "AfterSynchronizedProcessingTime",
            Self::Repeatedly(_) => "Repeatedly",
            Self::AfterEach(_) => "AfterEach",
            Self::AfterAll(_) => "AfterAll",
            Self::AfterAny(_) => "AfterAny",
            Self::OrFinally { .. } => "OrFinally",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// One line of text that tells any two different triggers apart; it is part of a checkpoint's fingerprint.
impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        match self {
            Self::AfterWatermark { early, late } => {
                for (word, part) in [("early", early), ("late", late)] {
                    if let Some(part) = part {
                        write!(formatter, ".{word}({part})")?;
                    }
                }
                return Ok(());
            }
            Self::AfterCount(count) => return write!(formatter, "({count})"),
            Self::AfterProcessingTime { delay, align_to } => {
                write!(formatter, "({delay:?}")?;
                if let Some(period) = align_to {
                    write!(formatter, " aligned to {period:?}")?;
                }
                return formatter.write_str(")");
            }
            Self::Default | Self::AfterSynchronizedProcessingTime | Self::Always | Self::Never => {
                return Ok(());
            }
            _ => {}
        }
        formatter.write_str("(")?;
        for (position, part) in self.parts().enumerate() {
            formatter.write_str(if position == 0 { "" } else { ", " })?;
            write!(formatter, "{part}")?;
        }
        formatter.write_str(")")
    }
}
