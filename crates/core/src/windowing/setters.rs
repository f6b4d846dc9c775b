//! The setters of [`WindowingStrategy`] on the window functions themselves, so that
//! `FixedWindows::of(size).allowed_lateness(lateness)` reads as one sentence.

use std::time::Duration;

use crate::trigger::Trigger;
use crate::windowing::{
    CalendarWindows, ClosingBehavior, FixedWindows, GlobalWindows, OnTimeBehavior, Sessions,
    SlidingWindows, TimestampCombiner, WindowingStrategy,
};

macro_rules! strategy_setters {
    ($($window_fn:ty),+ $(,)?) => {$(
        impl $window_fn {
            /// Keeps a window's state this long after its end, for late elements.
            #[must_use]
            pub fn allowed_lateness(self, lateness: Duration) -> WindowingStrategy {
                WindowingStrategy::from(self).allowed_lateness(lateness)
            }

            /// Fires when `trigger` says so.
            #[must_use]
            pub fn triggering(self, trigger: Trigger) -> WindowingStrategy {
                WindowingStrategy::from(self).triggering(trigger)
            }

            /// Adds speculative firings before the end of a window.
            #[must_use]
            pub fn early_firings(self, trigger: Trigger) -> WindowingStrategy {
                WindowingStrategy::from(self).early_firings(trigger)
            }

            /// Chooses the firings for late elements.
            #[must_use]
            pub fn late_firings(self, trigger: Trigger) -> WindowingStrategy {
                WindowingStrategy::from(self).late_firings(trigger)
            }

            /// Each pane holds all elements of its window so far.
            #[must_use]
            pub fn accumulating(self) -> WindowingStrategy {
                WindowingStrategy::from(self).accumulating()
            }

            /// Each pane holds the elements since the pane before.
            #[must_use]
            pub fn discarding(self) -> WindowingStrategy {
                WindowingStrategy::from(self).discarding()
            }

            /// Each pane holds all elements so far and takes the pane before back.
            #[must_use]
            pub fn retracting(self) -> WindowingStrategy {
                WindowingStrategy::from(self).retracting()
            }

            /// Chooses the event time of what a grouping emits.
            #[must_use]
            pub fn timestamp_combiner(self, combiner: TimestampCombiner) -> WindowingStrategy {
                WindowingStrategy::from(self).timestamp_combiner(combiner)
            }

            /// Chooses whether a window without new elements fires a last time when it closes.
            #[must_use]
            pub fn closing_behavior(self, behavior: ClosingBehavior) -> WindowingStrategy {
                WindowingStrategy::from(self).closing_behavior(behavior)
            }

            /// Chooses whether a window without new elements fires on time.
            #[must_use]
            pub fn on_time_behavior(self, behavior: OnTimeBehavior) -> WindowingStrategy {
                WindowingStrategy::from(self).on_time_behavior(behavior)
            }
        }
    )+};
}

strategy_setters!(CalendarWindows, FixedWindows, GlobalWindows, Sessions, SlidingWindows);
