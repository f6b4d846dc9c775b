//! Windows of one length, one behind the other: [`FixedWindows`].

use std::time::Duration;

use crate::time::{Timestamp, duration_micros};
use crate::windowing::window::Window;
use crate::windowing::window_fn::{Slices, WindowFn};

/// Cuts event time into windows of one length that neither overlap nor leave gaps.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::{FixedWindows, Window, WindowFn};
/// use std::time::Duration;
///
/// let minutes = FixedWindows::of(Duration::from_secs(60));
/// let mut windows = Vec::new();
/// minutes.assign(Timestamp::from_secs(-1), &mut windows);
/// assert_eq!(windows, [Window::new(Timestamp::from_secs(-60), Timestamp::from_secs(0))]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindows {
    size: i64,
    offset: i64,
}

impl FixedWindows {
    /// Windows of length `size` that start at multiples of it since the epoch.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        Self { size: duration_micros(size), offset: 0 }
    }

    /// Moves the starts by `offset`, which must be less than the size.
    #[must_use]
    pub fn with_offset(self, offset: Duration) -> Self {
        Self { offset: duration_micros(offset), ..self }
    }

    /// The window of `timestamp`.
    #[must_use]
    pub fn window_of(&self, timestamp: Timestamp) -> Window {
        let size = self.size.max(1);
        let at = timestamp.min(Window::GLOBAL.max_timestamp()).as_micros();
        let since_start = since_grid(at, size, self.offset);
        Window::cut(at.saturating_sub(since_start), at.saturating_add(size - since_start))
    }
}

/// Microseconds from the last point of the grid (multiples of `period` moved by `offset`) to `at`.
pub(super) fn since_grid(at: i64, period: i64, offset: i64) -> i64 {
    // A valid offset is less than the period; this runs per element, so the second division is rare.
    let offset = if offset < period { offset } else { offset % period };
    let since = at.rem_euclid(period) - offset;
    if since < 0 { since + period } else { since }
}

/// Checks that a length can be a window's.
pub(super) fn check_length(what: &str, micros: i64) -> Result<(), String> {
    if micros > 0 { Ok(()) } else { Err(format!("{what} must be at least one microsecond")) }
}

/// Checks that an offset is less than the distance of the windows.
pub(super) fn check_offset(offset: i64, period_name: &str, period: i64) -> Result<(), String> {
    if offset < period {
        Ok(())
    } else {
        Err(format!("the offset ({offset} us) must be less than the {period_name} ({period} us)"))
    }
}

impl WindowFn for FixedWindows {
    fn name(&self) -> &'static str {
        "FixedWindows"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(self.window_of(timestamp));
    }

    fn slices(&self) -> Option<Slices> {
        let Self { size, offset } = *self;
        self.validate().is_ok().then_some(Slices { size, period: size, offset })
    }

    fn fingerprint(&self) -> String {
        format!("fixed(size={}us,offset={}us)", self.size, self.offset)
    }

    fn validate(&self) -> Result<(), String> {
        check_length("the size of fixed windows", self.size)?;
        check_offset(self.offset, "size", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(start: i64, end: i64) -> Window {
        Window::new(Timestamp::from_millis(start), Timestamp::from_millis(end))
    }

    fn of_millis(size: u64, offset: u64) -> FixedWindows {
        FixedWindows::of(Duration::from_millis(size)).with_offset(Duration::from_millis(offset))
    }

    #[test]
    fn simple_fixed_windows() {
        let tens = of_millis(10, 0);
        for (at, expected) in [(1, (0, 10)), (9, (0, 10)), (10, (10, 20)), (100, (100, 110))] {
            let found = tens.window_of(Timestamp::from_millis(at));
            assert_eq!(found, millis(expected.0, expected.1), "at {at}");
        }
    }

    #[test]
    fn fixed_windows_with_an_offset() {
        let moved = of_millis(10, 5);
        for (at, expected) in [(1, (-5, 5)), (5, (5, 15)), (-6, (-15, -5)), (-5, (-5, 5))] {
            let found = moved.window_of(Timestamp::from_millis(at));
            assert_eq!(found, millis(expected.0, expected.1), "at {at}");
        }
    }

    #[test]
    fn the_last_window_is_cut_at_the_end_of_the_global_one() {
        let hours = FixedWindows::of(Duration::from_secs(3_600));
        let last = hours.window_of(Window::GLOBAL.max_timestamp());
        assert_eq!(last.end, Window::GLOBAL.end);
        assert!(last.contains(Window::GLOBAL.max_timestamp()));
        assert_eq!(hours.window_of(Timestamp::MAX), last, "behind the global window");
        let first = hours.window_of(Timestamp::MIN);
        assert_eq!(first.start, Timestamp::MIN);
        assert_eq!(first.end.as_micros() % 3_600_000_000, 0);
    }

    #[test]
    fn zero_sizes_and_large_offsets_are_reported_and_do_not_panic() {
        let none = FixedWindows::of(Duration::ZERO);
        assert!(none.validate().unwrap_err().contains("at least one microsecond"));
        assert_eq!(none.window_of(Timestamp::EPOCH).start, Timestamp::EPOCH);
        assert_eq!(none.slices(), None);
        assert!(of_millis(10, 10).validate().unwrap_err().contains("less than the size"));
        assert!(of_millis(10, 9).validate().is_ok());
    }
}
