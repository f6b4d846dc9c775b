//! Triggers: when a window's elements are emitted.
//!
//! A [`Trigger`] is a description, part of the windowing strategy. A [`TriggerState`] is what one key and window has
//! seen so far. Both are pure: the watermark and the processing time come in through a
//! [`TriggerContext`], and [`TriggerState::next_wake_up`] says when to look again.
//!
//! ```
//! use millstream::Timestamp;
//! use millstream::trigger::{Trigger, TriggerContext, TriggerState};
//! use millstream::windowing::Window;
//!
//! let at = Timestamp::from_secs;
//! let trigger = Trigger::after_watermark().late(Trigger::after_count(2));
//! let window = Window::new(at(0), at(60));
//! let mut state = TriggerState::new(&trigger);
//!
//! let open = TriggerContext::new(window, at(30), at(0));
//! state.on_element(&trigger, &open);
//! assert!(!state.should_fire(&trigger, &open));
//!
//! let passed = TriggerContext::new(window, at(60), at(1));
//! assert!(state.should_fire(&trigger, &passed));
//! state.on_fire(&trigger, &passed);
//! assert!(!state.should_fire(&trigger, &passed), "the next firing takes two late elements");
//! ```

mod ast;
mod machine;
mod state;

#[cfg(test)]
mod tests;

pub use ast::Trigger;
pub use state::{TriggerContext, TriggerState};
