//! How a collection is grouped in event time: [`WindowingStrategy`].
//!
//! Owns the options around a window function, their check and their fingerprint. Must not know the operators that
//! apply them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, duration_micros};
use crate::trigger::Trigger;
use crate::windowing::global::GlobalWindows;
use crate::windowing::window::Window;
use crate::windowing::window_fn::WindowFn;

/// What a pane holds of the elements that earlier panes of its window held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccumulationMode {
    /// Nothing: the panes of a window add up to its result.
    #[default]
    Discarding,
    /// Everything: each pane replaces the one before.
    Accumulating,
    /// Everything, and the pane before is taken back by a retraction.
    Retracting,
}

/// The event time of what a grouping emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimestampCombiner {
    /// The last instant of the window.
    #[default]
    EndOfWindow,
    /// The earliest event time in the pane; it holds the watermark back until the pane is emitted.
    Earliest,
    /// The latest event time in the pane.
    Latest,
}

impl TimestampCombiner {
    /// The output time of a pane whose only element is at `timestamp`.
    #[must_use]
    pub fn assign(self, timestamp: Timestamp, window: &Window) -> Timestamp {
        match self {
            Self::EndOfWindow => window.max_timestamp(),
            Self::Earliest | Self::Latest => timestamp,
        }
    }

    /// The output time of a pane from those of two parts of it.
    #[must_use]
    pub fn combine(self, one: Timestamp, other: Timestamp) -> Timestamp {
        match self {
            Self::Earliest => one.min(other),
            Self::EndOfWindow | Self::Latest => one.max(other),
        }
    }

    /// The output time of a pane in the window `into` that others merged into, from their output times.
    #[must_use]
    pub fn merge(self, into: &Window, one: Timestamp, other: Timestamp) -> Timestamp {
        match self {
            Self::EndOfWindow => into.max_timestamp(),
            Self::Earliest | Self::Latest => self.combine(one, other),
        }
    }
}

/// Whether a window fires a last time when it closes, if nothing came since its last pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClosingBehavior {
    /// Only if there are elements that no pane has held.
    #[default]
    FireIfNonEmpty,
    /// Always, so that every window has a pane marked as the last.
    FireAlways,
}

/// Whether a window fires when the watermark passes its end, if nothing came since its last pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnTimeBehavior {
    /// Always, so that every window has a pane that is on time.
    #[default]
    FireAlways,
    /// Only if there are elements that no pane has held.
    FireIfNonEmpty,
}

/// How elements are assigned to windows and when and how the windows fire.
///
/// ```
/// use millstream::trigger::Trigger;
/// use millstream::windowing::{AccumulationMode, Sessions, WindowingStrategy};
/// use std::time::Duration;
///
/// let visits: WindowingStrategy = Sessions::with_gap(Duration::from_secs(1_800))
///     .allowed_lateness(Duration::from_secs(3_600))
///     .late_firings(Trigger::after_count(1))
///     .accumulating();
/// assert_eq!(visits.accumulation, AccumulationMode::Accumulating);
/// visits.validate()?;
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct WindowingStrategy {
    /// Assigns and merges windows.
    pub window_fn: Arc<dyn WindowFn>,
    /// Decides when a window fires.
    pub trigger: Trigger,
    /// What a pane holds of earlier panes' elements.
    pub accumulation: AccumulationMode,
    /// How long behind the end of a window its late elements still count.
    pub allowed_lateness: Duration,
    /// The event time of what a grouping emits.
    pub timestamp_combiner: TimestampCombiner,
    /// Whether an empty pane is emitted when a window closes.
    pub closing_behavior: ClosingBehavior,
    /// Whether an empty pane is emitted on time.
    pub on_time_behavior: OnTimeBehavior,
}

impl WindowingStrategy {
    /// The strategy of Beam's defaults: the default trigger, discarding, no lateness.
    #[must_use]
    pub fn new(window_fn: impl WindowFn) -> Self {
        Self {
            window_fn: Arc::new(window_fn),
            trigger: Trigger::Default,
            accumulation: AccumulationMode::default(),
            allowed_lateness: Duration::ZERO,
            timestamp_combiner: TimestampCombiner::default(),
            closing_behavior: ClosingBehavior::default(),
            on_time_behavior: OnTimeBehavior::default(),
        }
    }

    /// Keeps a window's state this long after its end, for late elements.
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { allowed_lateness: lateness, ..self }
    }

    /// Fires when `trigger` says so, in place of the trigger so far.
    #[must_use]
    pub fn triggering(self, trigger: Trigger) -> Self {
        Self { trigger, ..self }
    }

    /// Adds speculative firings before the end of a window, as [`Trigger::early`] does.
    #[must_use]
    pub fn early_firings(self, trigger: Trigger) -> Self {
        Self { trigger: self.trigger.early(trigger), ..self }
    }

    /// Chooses the firings for late elements, as [`Trigger::late`] does.
    #[must_use]
    pub fn late_firings(self, trigger: Trigger) -> Self {
        Self { trigger: self.trigger.late(trigger), ..self }
    }

    /// Each pane holds all elements of its window so far.
    #[must_use]
    pub fn accumulating(self) -> Self {
        Self { accumulation: AccumulationMode::Accumulating, ..self }
    }

    /// Each pane holds the elements since the pane before.
    #[must_use]
    pub fn discarding(self) -> Self {
        Self { accumulation: AccumulationMode::Discarding, ..self }
    }

    /// Each pane holds all elements so far and takes the pane before back.
    #[must_use]
    pub fn retracting(self) -> Self {
        Self { accumulation: AccumulationMode::Retracting, ..self }
    }

    /// Chooses the event time of what a grouping emits.
    #[must_use]
    pub fn timestamp_combiner(self, combiner: TimestampCombiner) -> Self {
        Self { timestamp_combiner: combiner, ..self }
    }

    /// Chooses whether a window without new elements fires a last time when it closes.
    #[must_use]
    pub fn closing_behavior(self, behavior: ClosingBehavior) -> Self {
        Self { closing_behavior: behavior, ..self }
    }

    /// Chooses whether a window without new elements fires on time.
    #[must_use]
    pub fn on_time_behavior(self, behavior: OnTimeBehavior) -> Self {
        Self { on_time_behavior: behavior, ..self }
    }

    /// The last watermark at which late elements of `window` still count and its state is kept.
    ///
    /// Cut to the end of the global window, so that every state is dropped in the end.
    #[must_use]
    pub fn garbage_collection_time(&self, window: &Window) -> Timestamp {
        (window.max_timestamp() + self.allowed_lateness).min(Window::GLOBAL.max_timestamp())
    }

    /// Whether the watermark has passed `window` and the allowed lateness: its state is dropped and its
    /// elements are too late. The global window expires only at the end of time.
    #[must_use]
    pub fn is_expired(&self, window: &Window, watermark: Timestamp) -> bool {
        if *window == Window::GLOBAL {
            return watermark >= Timestamp::MAX;
        }
        self.garbage_collection_time(window) < watermark
    }

    /// Whether nothing would be emitted before all input has ended: the global window with a trigger
    /// that waits for its end. An unbounded collection cannot be grouped so.
    #[must_use]
    pub fn needs_bounded_input(&self) -> bool {
        self.window_fn.is_global() && self.trigger.is_watermark_only()
    }

    /// Whether the trigger may stop for good while elements of the window can still come.
    #[must_use]
    pub fn has_unsafe_trigger(&self) -> bool {
        self.trigger.is_unsafe(self.allowed_lateness)
    }

    /// The strategy behind a grouping: the same windows, and a trigger that passes on what the grouping
    /// emits without delaying it again.
    #[must_use]
    pub fn continuation(&self) -> Self {
        Self { trigger: self.trigger.continuation(), ..self.clone() }
    }

    /// Everything that is wrong with the strategy, one line each; nothing when it can run.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.window_fn.validate().err());
        self.trigger.validate(&mut problems);
        if self.has_unsafe_trigger() {
            problems.push(format!(
                "trigger {} may finish and lose the data that comes after: repeat it, or give it late firings",
                self.trigger
            ));
        }
        problems
    }

    /// Checks that the strategy can run.
    ///
    /// # Errors
    /// All of [`WindowingStrategy::problems`] in one line.
    pub fn validate(&self) -> Result<(), String> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// A text that changes whenever state kept under this strategy could not be used under another.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!(
            "{};trigger={};{:?};lateness={}us;{:?};closing={:?};on_time={:?}",
            self.window_fn.fingerprint(),
            self.trigger,
            self.accumulation,
            duration_micros(self.allowed_lateness),
            self.timestamp_combiner,
            self.closing_behavior,
            self.on_time_behavior,
        )
    }
}

impl Default for WindowingStrategy {
    fn default() -> Self {
        Self::new(GlobalWindows)
    }
}

impl<W: WindowFn> From<W> for WindowingStrategy {
    fn from(window_fn: W) -> Self {
        Self::new(window_fn)
    }
}

impl PartialEq for WindowingStrategy {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for WindowingStrategy {}

impl fmt::Debug for WindowingStrategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WindowingStrategy({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windowing::{FixedWindows, Sessions, SlidingWindows};

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn a_window_expires_when_the_watermark_passes_end_and_lateness() {
        let strategy = FixedWindows::of(MINUTE).allowed_lateness(2 * MINUTE);
        let window = Window::new(at(0), at(60));
        let last = window.max_timestamp() + 2 * MINUTE;
        assert_eq!(strategy.garbage_collection_time(&window), last);
        assert!(!strategy.is_expired(&window, last));
        assert!(strategy.is_expired(&window, at(180)));
    }

    #[test]
    fn lateness_never_reaches_behind_the_end_of_time() {
        let strategy = FixedWindows::of(MINUTE).allowed_lateness(Duration::MAX);
        let window = Window::new(at(0), at(60));
        let end = Window::GLOBAL.max_timestamp();
        assert_eq!(strategy.garbage_collection_time(&window), end);
        assert!(!strategy.is_expired(&window, end));
        assert!(strategy.is_expired(&window, Timestamp::MAX));
    }

    #[test]
    fn the_global_window_expires_only_at_the_end_of_time() {
        let strategy = WindowingStrategy::default();
        let almost = Timestamp::from_micros(Timestamp::MAX.as_micros() - 1);
        assert!(!strategy.is_expired(&Window::GLOBAL, almost));
        assert!(strategy.is_expired(&Window::GLOBAL, Timestamp::MAX));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let strategy = SlidingWindows::of(MINUTE)
            .every(Duration::ZERO)
            .triggering(Trigger::after_count(0))
            .allowed_lateness(MINUTE);
        let problems = strategy.problems();
        assert_eq!(strategy.validate(), Err(problems.join("; ")));
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("period"));
        assert!(problems[1].contains("at least 1"));
        assert!(problems[2].contains("may finish"));
        assert_eq!(WindowingStrategy::default().validate(), Ok(()));
    }

    #[test]
    fn early_firings_keep_the_default_triggers_late_ones() {
        let strategy = FixedWindows::of(MINUTE)
            .allowed_lateness(MINUTE)
            .early_firings(Trigger::after_count(10));
        assert_eq!(strategy.validate(), Ok(()));
        let both = Trigger::after_watermark()
            .early(Trigger::after_count(10))
            .late(Trigger::after_count(1));
        assert_eq!(strategy.trigger, both);
        assert_eq!(strategy.late_firings(Trigger::after_count(1)).trigger, both);
    }

    #[test]
    fn unbounded_input_needs_windows_or_a_trigger() {
        assert!(WindowingStrategy::default().needs_bounded_input());
        let late_only = GlobalWindows.late_firings(Trigger::after_count(1));
        assert!(late_only.needs_bounded_input());
        assert!(GlobalWindows.early_firings(Trigger::Never).needs_bounded_input());
        assert!(!GlobalWindows.early_firings(Trigger::after_count(1)).needs_bounded_input());
        let counted = GlobalWindows.triggering(Trigger::after_count(1).repeatedly());
        assert!(!counted.needs_bounded_input());
        assert!(!WindowingStrategy::from(FixedWindows::of(MINUTE)).needs_bounded_input());
    }

    #[test]
    fn output_times_follow_the_combiner_and_the_merged_window() {
        let window = Window::new(at(0), at(60));
        let end = window.max_timestamp();
        let outputs = |combiner: TimestampCombiner| {
            let one = combiner.assign(at(10), &window);
            let other = combiner.assign(at(20), &window);
            combiner.combine(one, other)
        };
        assert_eq!(outputs(TimestampCombiner::EndOfWindow), end);
        assert_eq!(outputs(TimestampCombiner::Earliest), at(10));
        assert_eq!(outputs(TimestampCombiner::Latest), at(20));
        let merged = Window::new(at(0), at(90));
        let into = |combiner: TimestampCombiner| combiner.merge(&merged, at(10), at(20));
        assert_eq!(into(TimestampCombiner::EndOfWindow), merged.max_timestamp());
        assert_eq!(into(TimestampCombiner::Earliest), at(10));
        assert_eq!(into(TimestampCombiner::Latest), at(20));
    }

    #[test]
    fn fingerprints_tell_strategies_apart() {
        let minute = FixedWindows::of(MINUTE);
        let strategies = [
            minute.into(),
            minute.accumulating(),
            minute.retracting(),
            minute.allowed_lateness(MINUTE),
            minute.early_firings(Trigger::after_count(2)),
            minute.timestamp_combiner(TimestampCombiner::Latest),
            minute.closing_behavior(ClosingBehavior::FireAlways),
            minute.on_time_behavior(OnTimeBehavior::FireIfNonEmpty),
            minute.with_offset(Duration::from_secs(1)).into(),
            Sessions::with_gap(MINUTE).into(),
            WindowingStrategy::default(),
        ];
        for (position, one) in strategies.iter().enumerate() {
            for (other_position, other) in strategies.iter().enumerate() {
                assert_eq!(one == other, position == other_position, "{one:?} {other:?}");
            }
        }
    }
}
