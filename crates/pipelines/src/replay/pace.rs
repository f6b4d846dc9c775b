//! [`Pace`] and [`Replay`]: which messages are due when; pure arithmetic.

use std::time::Duration;

use super::file::{ReplayFile, ReplayMessage};

/// Messages of one slice at most: what a publisher takes at once, so that progress is remembered often.
const SLICE_MAX: usize = 10_000;

/// How fast a file is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Pace {
    /// So many hours of event time pass in a second.
    HoursPerSecond(f64),
    /// So many messages are published in a second, whatever their event times.
    MessagesPerSecond(f64),
    /// As fast as it goes.
    AtOnce,
}

/// The messages of a file, of which those up to a position are published.
#[derive(Clone, Debug)]
pub struct Replay {
    messages: Vec<ReplayMessage>,
    pace: Pace,
    position: usize,
    /// Where this life of the feeder began.
    resumed_at: usize,
}

impl Replay {
    /// A replay of which the first `position` messages are published already.
    #[must_use]
    pub fn new(file: ReplayFile, pace: Pace, position: u64) -> Self {
        let messages = file.into_messages();
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(messages.len());
        Self { messages, pace, position, resumed_at: position }
    }

    /// The messages that are due `elapsed` after the start of this life and not published yet, as many as fit a slice.
    #[must_use]
    pub fn due(&self, elapsed: Duration) -> &[ReplayMessage] {
        let rest = &self.messages[self.position..];
        let due = match self.pace {
            Pace::AtOnce => rest.len(),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a count from a rate, cut to what there is"
            )]
            Pace::MessagesPerSecond(rate) => {
                let until = self.resumed_at as f64 + elapsed.as_secs_f64() * rate;
                (until.max(0.0) as usize).saturating_sub(self.position)
            }
            Pace::HoursPerSecond(hours) => match self.messages.get(self.resumed_at) {
                Some(first) => {
                    let passed =
                        Duration::try_from_secs_f64(elapsed.as_secs_f64() * hours * 3_600.0);
                    let until = first.at + passed.unwrap_or(Duration::MAX);
                    rest.partition_point(|message| message.at <= until)
                }
                None => 0,
            },
        };
        &rest[..due.min(rest.len()).min(SLICE_MAX)]
    }

    /// The first `count` messages that were due are published.
    pub fn advance(&mut self, count: usize) {
        self.position = (self.position + count).min(self.messages.len());
    }

    /// How many messages are published, in all lives.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position as u64
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Whether there are no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether all are published.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.position == self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::file::tests::flights_at;

    /// A replay of messages at these hours.
    fn replay(hours: &[u32], pace: Pace, position: u64) -> Replay {
        Replay::new(flights_at(hours), pace, position)
    }

    fn published(replay: &mut Replay, elapsed_ms: u64) -> usize {
        let count = replay.due(Duration::from_millis(elapsed_ms)).len();
        replay.advance(count);
        count
    }

    #[test]
    fn event_time_passes_at_the_chosen_speed() {
        let mut replay = replay(&[0, 0, 1, 2, 3, 10], Pace::HoursPerSecond(2.0), 0);
        assert_eq!(published(&mut replay, 0), 2);
        assert_eq!(published(&mut replay, 499), 0);
        assert_eq!(published(&mut replay, 1_000), 2);
        assert_eq!(published(&mut replay, 4_999), 1);
        assert!(!replay.is_done());
        assert_eq!(published(&mut replay, 5_000), 1);
        assert!(replay.is_done());
        assert_eq!(published(&mut replay, 9_000), 0);
    }

    #[test]
    fn a_resumed_replay_goes_on_where_it_was_without_catching_up() {
        let mut speed = replay(&[0, 5, 6, 7], Pace::HoursPerSecond(1.0), 2);
        assert_eq!(published(&mut speed, 0), 1);
        assert_eq!(published(&mut speed, 1_000), 1);
        let mut rate = replay(&[0, 1, 2, 3, 4], Pace::MessagesPerSecond(2.0), 3);
        assert_eq!(published(&mut rate, 400), 0);
        assert_eq!(published(&mut rate, 1_000), 2);
        assert!(rate.is_done() && replay(&[1], Pace::AtOnce, 9).is_done());
    }

    #[test]
    fn a_slice_is_bounded() {
        let hours: Vec<u32> = vec![0; SLICE_MAX + 1];
        let mut replay = replay(&hours, Pace::AtOnce, 0);
        assert_eq!(published(&mut replay, 0), SLICE_MAX);
        assert_eq!(published(&mut replay, 0), 1);
    }
}
