//! Windows that end where a key falls silent: [`Sessions`].

use std::time::Duration;

use crate::time::{Timestamp, duration_micros};
use crate::windowing::fixed::check_length;
use crate::windowing::window::Window;
use crate::windowing::window_fn::{Merge, WindowFn};

/// Joins the elements of a key that are less than a gap apart.
///
/// An element starts as a window from its event time to the gap behind it; windows that intersect merge.
///
/// ```
/// use millstream::Timestamp;
/// use millstream::windowing::{Sessions, Window, WindowFn};
/// use std::time::Duration;
///
/// let at = Timestamp::from_secs;
/// let sessions = Sessions::with_gap(Duration::from_secs(10));
/// let mut windows = Vec::new();
/// for second in [1, 8, 30] {
///     sessions.assign(at(second), &mut windows);
/// }
/// let merges = sessions.merge(&windows);
/// assert_eq!(merges.len(), 1, "the element at 30 stays alone");
/// assert_eq!(merges[0].into, Window::new(at(1), at(18)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    gap: i64,
}

impl Sessions {
    /// Sessions that a silence of `gap` ends.
    #[must_use]
    pub fn with_gap(gap: Duration) -> Self {
        Self { gap: duration_micros(gap) }
    }
}

impl WindowFn for Sessions {
    fn name(&self) -> &'static str {
        "Sessions"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        let at = timestamp.as_micros();
        windows.push(Window::cut(at, at.saturating_add(self.gap.max(1))));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Merge> {
        let mut sorted = windows.to_vec();
        sorted.sort_unstable_by_key(|window| (window.start, window.end));
        sorted.dedup();
        let mut merges: Vec<Merge> = Vec::new();
        for window in sorted {
            match merges.last_mut() {
                Some(last) if last.into.intersects(&window) => {
                    last.into = last.into.span(&window);
                    last.from.push(window);
                }
                _ => merges.push(Merge { into: window, from: vec![window] }),
            }
        }
        merges.retain(|merge| merge.from.len() > 1);
        merges
    }

    fn merges_overlapping(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        format!("sessions(gap={}us)", self.gap)
    }

    fn validate(&self) -> Result<(), String> {
        check_length("the gap of sessions", self.gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(gap_ms: u64, times_ms: &[i64]) -> (Sessions, Vec<Window>) {
        let sessions = Sessions::with_gap(Duration::from_millis(gap_ms));
        let mut windows = Vec::new();
        for at in times_ms {
            sessions.assign(Timestamp::from_millis(*at), &mut windows);
        }
        (sessions, windows)
    }

    fn merged(gap_ms: u64, times_ms: &[i64]) -> Vec<(i64, i64)> {
        let (sessions, windows) = assigned(gap_ms, times_ms);
        let ends = |merge: &Merge| (merge.into.start.as_millis(), merge.into.end.as_millis());
        sessions.merge(&windows).iter().map(ends).collect()
    }

    #[test]
    fn consecutive_elements_merge_and_those_a_gap_apart_do_not() {
        assert_eq!(merged(10, &[1, 2, 5, 9]), [(1, 19)]);
        assert!(merged(10, &[1, 11, 21]).is_empty(), "exactly a gap apart");
        assert_eq!(merged(10, &[1, 15, 30, 13, 29, 95]), [(13, 25), (29, 40)]);
        assert_eq!(merged(10, &[15, 1, 8]), [(1, 25)], "in any order");
    }

    #[test]
    fn equal_windows_are_one_window() {
        assert!(merged(10, &[7, 7, 7]).is_empty());
        assert_eq!(merged(10, &[7, 8, 7]), [(7, 18)]);
    }

    #[test]
    fn sessions_end_with_the_global_window() {
        let sessions = Sessions::with_gap(Duration::MAX);
        let mut windows = Vec::new();
        for at in [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX] {
            sessions.assign(at, &mut windows);
        }
        assert!(windows.iter().all(|window| window.end <= Window::GLOBAL.end));
        assert!(windows.iter().all(|window| window.start < window.end));
        assert!(Sessions::with_gap(Duration::ZERO).validate().is_err());
    }
}
