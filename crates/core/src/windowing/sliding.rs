//! Windows of one length that start more often than they end: [`SlidingWindows`].

use std::time::Duration;

use crate::time::{Timestamp, duration_micros};
use crate::windowing::fixed::{check_length, check_offset, since_grid};
use crate::windowing::window::Window;
use crate::windowing::window_fn::{Slices, WindowFn};

/// Most windows that one element may be in: a day by the second fits; more is a slip of the unit, and
/// every element would be emitted that many times.
const WINDOWS_PER_ELEMENT_MAX: i64 = 100_000;

/// Windows of one length, a new one every period; an element is in all windows that hold it.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::{SlidingWindows, WindowFn};
/// use std::time::Duration;
///
/// let minutes = Duration::from_secs(60);
/// let hour_by_minute = SlidingWindows::of(60 * minutes).every(minutes);
/// let mut windows = Vec::new();
/// hour_by_minute.assign(Timestamp::from_secs(90), &mut windows);
/// assert_eq!(windows.len(), 60);
/// assert!(windows.iter().all(|window| window.contains(Timestamp::from_secs(90))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    size: i64,
    period: i64,
    offset: i64,
}

impl SlidingWindows {
    /// Windows of length `size`, one after the other until [`SlidingWindows::every`] says otherwise.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        let size = duration_micros(size);
        Self { size, period: size, offset: 0 }
    }

    /// Starts a window every `period`; longer than the size, it leaves gaps whose elements are dropped.
    #[must_use]
    pub fn every(self, period: Duration) -> Self {
        Self { period: duration_micros(period), ..self }
    }

    /// Moves the starts by `offset`, which must be less than the period.
    #[must_use]
    pub fn with_offset(self, offset: Duration) -> Self {
        Self { offset: duration_micros(offset), ..self }
    }
}

impl WindowFn for SlidingWindows {
    fn name(&self) -> &'static str {
        "SlidingWindows"
    }

    /// Appends the windows of `timestamp`, the one that starts first at the front.
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        let (size, period) = (self.size.max(1), self.period.max(1));
        let at = timestamp.min(Window::GLOBAL.max_timestamp()).as_micros();
        let since_last_start = since_grid(at, period, self.offset);
        if since_last_start >= size {
            return;
        }
        // The last window ends `until_last_end` from now; each earlier one a period before.
        let until_last_end = size - since_last_start;
        let earlier = (until_last_end - 1) / period;
        for step in (0..=earlier).rev() {
            let back = step * period;
            let start = at.saturating_sub(since_last_start).saturating_sub(back);
            windows.push(Window::cut(start, at.saturating_add(until_last_end - back)));
        }
    }

    /// Keeps the output of a window from being held back by the windows before it: an element counts
    /// at the start of the window's last period at the earliest.
    fn output_time(&self, timestamp: Timestamp, window: &Window) -> Timestamp {
        timestamp.max(window.end.saturating_add_micros(-self.period.max(1)))
    }

    fn slices(&self) -> Option<Slices> {
        let Self { size, period, offset } = *self;
        let regular = self.validate().is_ok() && period <= size;
        regular.then_some(Slices { size, period, offset })
    }

    fn fingerprint(&self) -> String {
        let Self { size, period, offset } = self;
        format!("sliding(size={size}us,period={period}us,offset={offset}us)")
    }

    fn validate(&self) -> Result<(), String> {
        check_length("the size of sliding windows", self.size)?;
        check_length("the period of sliding windows", self.period)?;
        check_offset(self.offset, "period", self.period)?;
        if self.size / self.period > WINDOWS_PER_ELEMENT_MAX {
            return Err(format!(
                "a size of {} us every {} us puts each element into more than {} windows",
                self.size, self.period, WINDOWS_PER_ELEMENT_MAX
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_millis(size: u64, period: u64, offset: u64) -> SlidingWindows {
        SlidingWindows::of(Duration::from_millis(size))
            .every(Duration::from_millis(period))
            .with_offset(Duration::from_millis(offset))
    }

    fn starts(windows: &SlidingWindows, at: i64) -> Vec<i64> {
        let mut assigned = Vec::new();
        windows.assign(Timestamp::from_millis(at), &mut assigned);
        assigned.iter().map(|window| window.start.as_millis()).collect()
    }

    #[test]
    fn windows_start_every_period() {
        let simple = of_millis(10, 5, 0);
        assert_eq!(starts(&simple, 1), [-5, 0]);
        assert_eq!(starts(&simple, 5), [0, 5]);
        assert_eq!(starts(&simple, -1), [-10, -5]);
        assert_eq!(
            starts(&of_millis(7, 5, 0), 1),
            [-5, 0],
            "a size that is no multiple of the period"
        );
        assert_eq!(starts(&of_millis(7, 5, 0), 3), [0]);
        assert_eq!(starts(&of_millis(10, 5, 2), 1), [-8, -3], "an offset");
    }

    #[test]
    fn gaps_between_windows_hold_nothing() {
        let gaps = of_millis(3, 10, 0);
        assert_eq!(starts(&gaps, 2), [0]);
        assert!(starts(&gaps, 3).is_empty());
        assert_eq!(gaps.slices(), None);
        assert!(gaps.validate().is_ok(), "Beam allows gaps");
    }

    #[test]
    fn output_times_do_not_wait_for_earlier_windows() {
        let at = Timestamp::from_millis;
        let simple = of_millis(1_000, 500, 0);
        let first = Window::new(at(-500), at(500));
        let second = Window::new(at(0), at(1_000));
        assert_eq!(
            simple.output_time(at(10), &first),
            at(10),
            "the earliest window keeps its time"
        );
        assert_eq!(simple.output_time(at(10), &second), at(500));
        assert_eq!(simple.output_time(at(700), &second), at(700));
    }

    #[test]
    fn impossible_windows_are_reported() {
        assert!(of_millis(0, 5, 0).validate().is_err());
        assert!(of_millis(5, 0, 0).validate().is_err());
        assert!(of_millis(10, 5, 5).validate().is_err());
        let slip = SlidingWindows::of(Duration::from_secs(86_400)).every(Duration::from_micros(1));
        assert!(slip.validate().unwrap_err().contains("100000 windows"));
    }
}
