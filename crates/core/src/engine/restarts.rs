//! [`Restarts`]: how often a failed job begins again, and how soon. It must not know why it failed.

use std::time::Duration;

/// Wait before the first restart of a row; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(200);

/// The wait doubles at most so often, to 13 s.
const DOUBLINGS_MAX: u32 = 6;

/// A life this long was a healthy one: what ends it begins a new row, or a job of many months would end of one mishap a month.
const HEALTHY_LIFE: Duration = Duration::from_secs(600);

/// Counts restarts.
#[derive(Debug)]
pub(crate) struct Restarts {
    most: u64,
    in_a_row: u64,
    all: u64,
}

impl Restarts {
    /// At most `most` in a row.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, in_a_row: 0, all: 0 }
    }

    /// A life failed that lasted so long: how long to wait before the next, if there is to be one.
    pub(crate) fn next(&mut self, lasted: Duration) -> Option<Duration> {
        if lasted >= HEALTHY_LIFE {
            self.in_a_row = 0;
        }
        if self.in_a_row >= self.most {
            return None;
        }
        let doublings = u32::try_from(self.in_a_row).unwrap_or(u32::MAX).min(DOUBLINGS_MAX);
        self.in_a_row += 1;
        self.all += 1;
        Some(BACKOFF * 2_u32.pow(doublings))
    }

    /// How many there were.
    pub(crate) fn all(&self) -> u64 {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_life_begins_a_new_row() {
        let mut restarts = Restarts::new(2);
        let short = Duration::from_secs(1);
        assert_eq!(restarts.next(short), Some(BACKOFF));
        assert_eq!(restarts.next(short), Some(BACKOFF * 2));
        assert_eq!(restarts.next(HEALTHY_LIFE), Some(BACKOFF));
        assert_eq!(restarts.next(short), Some(BACKOFF * 2));
        assert_eq!(restarts.next(short), None);
        assert_eq!(restarts.all(), 4);
        assert_eq!(Restarts::new(0).next(HEALTHY_LIFE), None);
    }

    #[test]
    fn the_wait_has_an_end() {
        let mut restarts = Restarts::new(u64::MAX);
        let waits: Vec<_> = (0..20).map_while(|_| restarts.next(Duration::ZERO)).collect();
        assert_eq!(waits.last(), Some(&(BACKOFF * 64)));
    }
}
