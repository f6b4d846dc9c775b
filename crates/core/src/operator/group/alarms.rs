//! [`Alarms`]: who wants to be looked at when; and [`Holds`], the event times the output watermark must not pass.

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// No hold, no alarm, no delay: behind every time there is.
pub(super) const NEVER: Timestamp = Timestamp::MAX;

/// Alarms in the order of their times. Many share a time, so setting one rarely touches more than the end of a vector.
#[derive(Debug)]
pub(super) struct Alarms<T> {
    by_time: BTreeMap<Timestamp, Vec<T>>,
}

impl<T> Default for Alarms<T> {
    fn default() -> Self {
        Self { by_time: BTreeMap::new() }
    }
}

impl<T> Alarms<T> {
    /// Sets an alarm. It cannot be taken back: whoever is called checks whether there is a reason still.
    pub(super) fn set(&mut self, at: Timestamp, who: T) {
        if at < NEVER {
            self.by_time.entry(at).or_default().push(who);
        }
    }

    /// The time of the first alarm.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.by_time.first_key_value().map(|(at, _)| *at)
    }

    /// Takes all alarms of the first time out, if it is before `end`.
    pub(super) fn take_before(&mut self, end: Timestamp) -> Option<(Timestamp, Vec<T>)> {
        if self.first()? >= end {
            return None;
        }
        self.by_time.pop_first()
    }
}

/// The holds of all panes, counted by time.
#[derive(Debug, Default)]
pub(super) struct Holds {
    counts: BTreeMap<Timestamp, u64>,
}

impl Holds {
    /// The least hold; [`NEVER`] when there is none.
    pub(super) fn least(&self) -> Timestamp {
        self.counts.first_key_value().map_or(NEVER, |(at, _)| *at)
    }

    /// Moves a hold from `held` to `to`; [`NEVER`] stands for none.
    pub(super) fn replace(&mut self, held: &mut Timestamp, to: Timestamp) {
        if *held == to {
            return;
        }
        if *held != NEVER
            && let Some(count) = self.counts.get_mut(held)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(held);
            }
        }
        *held = to;
        self.add(to);
    }

    /// Adds a hold, if it is one.
    pub(super) fn add(&mut self, at: Timestamp) {
        if at != NEVER {
            *self.counts.entry(at).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_go_off_in_the_order_of_time_and_strictly_before_the_bound() {
        let at = Timestamp::from_secs;
        let mut alarms = Alarms::default();
        for (second, who) in [(3, 'c'), (1, 'a'), (1, 'b'), (5, 'd')] {
            alarms.set(at(second), who);
        }
        alarms.set(NEVER, 'x');
        assert_eq!(alarms.take_before(at(3)), Some((at(1), vec!['a', 'b'])));
        assert_eq!(alarms.take_before(at(3)), None);
        assert_eq!(alarms.first(), Some(at(3)));
    }

    #[test]
    fn the_least_hold_moves_on_when_the_last_of_its_time_is_released() {
        let at = Timestamp::from_secs;
        let mut holds = Holds::default();
        let (mut one, mut other) = (NEVER, NEVER);
        holds.replace(&mut one, at(1));
        holds.replace(&mut other, at(1));
        holds.replace(&mut one, NEVER);
        assert_eq!(holds.least(), at(1));
        holds.replace(&mut other, at(4));
        assert_eq!(holds.least(), at(4));
        holds.replace(&mut other, NEVER);
        assert_eq!(holds.least(), NEVER);
    }
}
