//! One window: [`Window`], a half-open interval of event time.
//!
//! Owns its arithmetic and its order. Must not know which function made it.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A window holds the event times from `start` (included) to `end` (excluded).
///
/// Windows are ordered by end, then start, then tag: the order in which a watermark closes them.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::Window;
///
/// let minute = Window::new(Timestamp::from_secs(0), Timestamp::from_secs(60));
/// assert!(minute.contains(Timestamp::from_secs(0)));
/// assert!(!minute.contains(Timestamp::from_secs(60)));
/// assert_eq!(minute.max_timestamp(), Timestamp::from_micros(59_999_999));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First event time in the window.
    pub start: Timestamp,
    /// First event time behind the window.
    pub end: Timestamp,
    /// Tells custom windows of the same interval apart; 0 for ordinary ones.
    pub tag: u64,
}

/// Time between the end of the global window and [`Timestamp::MAX`], in microseconds: Beam keeps a
/// day, so that a watermark can pass the global window without reaching the end of time.
const AFTER_GLOBAL_MICROS: i64 = 86_400_000_000;

impl Window {
    /// The one window that holds all data.
    pub const GLOBAL: Self = Self {
        start: Timestamp::MIN,
        end: Timestamp::from_micros(Timestamp::MAX.as_micros() - AFTER_GLOBAL_MICROS + 1),
        tag: 0,
    };

    /// The ordinary window from `start` to before `end`.
    #[must_use]
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end, tag: 0 }
    }

    /// This window with another tag.
    #[must_use]
    pub const fn with_tag(self, tag: u64) -> Self {
        Self { tag, ..self }
    }

    /// The window from `start` to before `end` in microseconds, cut to the interval of the global window.
    ///
    /// A window that would lie behind the global one becomes its last microsecond, so that every
    /// window can still be closed by a watermark.
    pub(crate) fn cut(start_micros: i64, end_micros: i64) -> Self {
        let end = Timestamp::from_micros(end_micros).min(Self::GLOBAL.end);
        let start = Timestamp::from_micros(start_micros).min(end.saturating_add_micros(-1));
        Self::new(start, end)
    }

    /// The last event time in the window: one microsecond before its end.
    #[must_use]
    pub const fn max_timestamp(&self) -> Timestamp {
        self.end.saturating_add_micros(-1)
    }

    /// Whether `timestamp` lies in the window.
    #[must_use]
    pub fn contains(&self, timestamp: Timestamp) -> bool {
        self.start <= timestamp && timestamp < self.end
    }

    /// Whether the two intervals share an instant; windows that only touch do not.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The smallest window that holds both, under this one's tag.
    #[must_use]
    pub fn span(&self, other: &Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end), tag: self.tag }
    }
}

impl Ord for Window {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.end, self.start, self.tag).cmp(&(other.end, other.start, other.tag))
    }
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::GLOBAL {
            return formatter.write_str("[global)");
        }
        write!(formatter, "[{}, {})", self.start, self.end)?;
        if self.tag == 0 { Ok(()) } else { write!(formatter, "#{}", self.tag) }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window::new(Timestamp::from_secs(start), Timestamp::from_secs(end))
    }

    #[test]
    fn the_global_window_ends_a_day_before_the_end_of_time() {
        let last = Window::GLOBAL.max_timestamp();
        assert_eq!(last.as_micros(), 9_223_371_950_454_775_000);
        assert!(Window::GLOBAL.contains(Timestamp::MIN) && Window::GLOBAL.contains(last));
        assert!(!Window::GLOBAL.contains(Timestamp::MAX));
    }

    #[test]
    fn windows_that_touch_do_not_intersect_and_the_order_is_by_end() {
        assert!(window(0, 10).intersects(&window(9, 20)));
        assert!(!window(0, 10).intersects(&window(10, 20)));
        assert_eq!(window(0, 10).span(&window(30, 40)), window(0, 40));
        let mut windows = [window(5, 20), window(0, 20), window(7, 8), window(0, 20).with_tag(3)];
        windows.sort_unstable();
        let sorted = [window(7, 8), window(0, 20), window(0, 20).with_tag(3), window(5, 20)];
        assert_eq!(windows, sorted);
    }

    #[test]
    fn a_window_behind_the_global_one_is_cut_to_its_last_microsecond() {
        let cut = Window::cut(i64::MAX - 10, i64::MAX);
        assert_eq!(cut.max_timestamp(), Window::GLOBAL.max_timestamp());
        assert_eq!(cut.start, cut.max_timestamp());
        assert_eq!(Window::cut(i64::MIN, 0).start, Timestamp::MIN);
    }

    #[test]
    fn text_shows_interval_and_tag() {
        assert_eq!(window(0, 60).to_string(), "[1970-01-01T00:00:00Z, 1970-01-01T00:01:00Z)");
        assert!(window(0, 60).with_tag(7).to_string().ends_with(")#7"));
        assert_eq!(Window::GLOBAL.to_string(), "[global)");
    }
}
