//! The trait that assigns event times to windows: [`WindowFn`].
//!
//! Owns the contract between a window function and the grouping operators. Must not know triggers.

use std::fmt::Debug;

use crate::time::Timestamp;
use crate::windowing::window::Window;

/// Windows that become one: the elements and state of `from` belong to `into` from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The window that results; it may be one of `from`, or new.
    pub into: Window,
    /// The windows that cease to exist on their own.
    pub from: Vec<Window>,
}

/// Windows of one size at a regular distance: what lets a grouping aggregate by slice.
///
/// All in microseconds; `0 < period <= size` and `0 <= offset < period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// Length of each window.
    pub size: i64,
    /// Distance between the starts of two windows.
    pub period: i64,
    /// Start of the first window at or after the epoch.
    pub offset: i64,
}

/// Assigns elements to windows by their event time, and says which windows merge.
///
/// A function must be pure: the same arguments give the same result in every process, because state
/// is found again by its window after a restart.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::{Window, WindowFn, WindowingStrategy};
///
/// /// Each event time is in the half of the year 1970 it falls in, or in "after".
/// #[derive(Debug)]
/// struct Halves;
///
/// impl WindowFn for Halves {
///     fn name(&self) -> &'static str {
///         "Halves"
///     }
///     fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
///         let middle = Timestamp::from_secs(181 * 86_400);
///         windows.push(if timestamp < middle {
///             Window::new(Timestamp::MIN, middle)
///         } else {
///             Window::new(middle, Window::GLOBAL.end)
///         });
///     }
///     fn fingerprint(&self) -> String {
///         "halves".to_owned()
///     }
/// }
///
/// WindowingStrategy::from(Halves).validate()?;
/// # Ok::<(), String>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a window function",
    note = "use FixedWindows, SlidingWindows, Sessions, CalendarWindows or GlobalWindows, or implement WindowFn"
)]
pub trait WindowFn: Debug + Send + Sync + 'static {
    /// A short name for people, such as `FixedWindows`.
    fn name(&self) -> &'static str;

    /// Appends the windows of an element at `timestamp` to `windows`; none drops the element.
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>);

    /// A text that changes whenever windows would be assigned or merged otherwise; it is compared
    /// when a checkpoint is restored.
    fn fingerprint(&self) -> String;

    /// Whether windows can merge.
    fn is_merging(&self) -> bool {
        false
    }

    /// The merges that the active `windows` of one key ask for; each window is in one merge at most.
    fn merge(&self, windows: &[Window]) -> Vec<Merge> {
        let _ = windows;
        Vec::new()
    }

    /// Whether [`WindowFn::merge`] joins exactly the windows that intersect into their span: a shortcut
    /// for the engine, true of sessions.
    fn merges_overlapping(&self) -> bool {
        false
    }

    /// The event time that an element at `timestamp` contributes to the output time of `window`.
    fn output_time(&self, timestamp: Timestamp, window: &Window) -> Timestamp {
        let _ = window;
        timestamp
    }

    /// The regular grid of the windows, when there is one: a shortcut for the engine.
    fn slices(&self) -> Option<Slices> {
        None
    }

    /// Whether every element is in [`Window::GLOBAL`].
    fn is_global(&self) -> bool {
        false
    }

    /// Checks the function's own parameters; reported with the other problems of the graph.
    ///
    /// # Errors
    /// What is wrong, in one line.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}
