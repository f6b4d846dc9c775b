//! Windowing: which intervals of event time an element belongs to, and how a collection is grouped by them.
//!
//! Pure arithmetic on [`Timestamp`](crate::Timestamp)s: no clock, no input or output, no threads. A
//! [`WindowFn`] assigns and merges [`Window`]s; a [`WindowingStrategy`] joins it with a trigger, the
//! allowed lateness and what a firing does with what was emitted before.
//!
//! ```
//! use millstream::trigger::Trigger;
//! use millstream::windowing::{FixedWindows, WindowingStrategy};
//! use std::time::Duration;
//!
//! let minute = Duration::from_secs(60);
//! let per_minute: WindowingStrategy = FixedWindows::of(minute)
//!     .allowed_lateness(5 * minute)
//!     .early_firings(Trigger::after_processing_time(Duration::from_secs(10)))
//!     .accumulating();
//! per_minute.validate()?;
//! # Ok::<(), String>(())
//! ```

pub mod active;
mod calendar;
mod fixed;
mod global;
mod sessions;
mod setters;
mod sliding;
mod strategy;
mod window;
mod window_fn;

#[cfg(test)]
mod tests;

pub use active::MergingWindowSet;
pub use calendar::CalendarWindows;
pub use fixed::FixedWindows;
pub use global::GlobalWindows;
pub use sessions::Sessions;
pub use sliding::SlidingWindows;
pub use strategy::{
    AccumulationMode, ClosingBehavior, OnTimeBehavior, TimestampCombiner, WindowingStrategy,
};
pub use window::Window;
pub use window_fn::{Merge, Slices, WindowFn};
