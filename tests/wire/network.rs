//! [`Network`]: what is on its way and when it arrives, in virtual time and from a seed; and the journal of what happened.
//!
//! Knows neither what the messages mean nor who sends them.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use fastrand::Rng;
use millstream::Timestamp;

/// The last events that the report of a failing seed shows; with `{:#}` it shows all.
const RECENT_MAX: usize = 60;

/// One thing that happened.
#[derive(Clone, Copy, Debug, Hash)]
struct Note {
    at: i64,
    what: &'static str,
    who: usize,
    number: u64,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    notes: Vec<Note>,
    hash: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Journal {
    /// A hash of everything that happened.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Mixes what somebody else saw into the hash.
    pub(crate) fn mix(&mut self, other: u64) {
        let mut hasher = DefaultHasher::new();
        (self.hash, other).hash(&mut hasher);
        self.hash = hasher.finish();
    }

    /// How often each thing happened.
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed_over =
            if formatter.alternate() { 0 } else { self.notes.len().saturating_sub(RECENT_MAX) };
        for Note { at, what, who, number } in &self.notes[passed_over..] {
            let at = Timestamp::from_micros(*at);
            writeln!(formatter, "  {at} {what} (of {who}: {number})")?;
        }
        Ok(())
    }
}

/// What is on its way; `M` is what travels.
#[derive(Debug)]
pub(crate) struct Network<M> {
    /// Decides everything.
    pub(crate) rng: Rng,
    /// What happened.
    pub(crate) journal: Journal,
    now: Timestamp,
    is_calm: bool,
    /// By arrival, then by the order of sending.
    messages: BTreeMap<(Timestamp, u64), M>,
    sent: u64,
}

impl<M> Network<M> {
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            journal: Journal::default(),
            now,
            is_calm: false,
            messages: BTreeMap::new(),
            sent: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// It is `now`.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&mut self) {
        self.is_calm = true;
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm
    }

    /// Whether something that goes wrong in so many of 1,000 cases does so now; it is noted as `what`.
    pub(crate) fn fault(&mut self, per_mille: u32, what: &'static str) -> bool {
        let happens = !self.is_calm && per_mille > 0 && self.rng.u32(..1_000) < per_mille;
        if happens {
            self.note(what, 0, 0);
        }
        happens
    }

    /// Notes that something happened.
    pub(crate) fn note(&mut self, what: &'static str, who: usize, number: u64) {
        let note = Note { at: self.now.as_micros(), what, who, number };
        let mut hasher = DefaultHasher::new();
        (self.journal.hash, note).hash(&mut hasher);
        self.journal.hash = hasher.finish();
        *self.journal.counts.entry(what).or_default() += 1;
        self.journal.notes.push(note);
    }

    /// A time up to `max` long, at least 1 ms.
    pub(crate) fn delay(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.u64(1_000..=max.max(1_000)))
    }

    /// Sends `message`, to arrive after `delay`.
    pub(crate) fn post(&mut self, delay: Duration, message: M) {
        self.sent += 1;
        self.messages.insert((self.now + delay, self.sent), message);
    }

    /// Sends `message` so that it does not overtake what arrives at `last`, which it moves on.
    pub(crate) fn post_behind(&mut self, last: &mut Timestamp, delay: Duration, message: M) {
        *last = (self.now + delay).max(*last);
        self.sent += 1;
        self.messages.insert((*last, self.sent), message);
    }

    /// When the next message arrives.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.messages.keys().next().map(|(at, _)| *at)
    }

    /// The next message that has arrived.
    pub(crate) fn receive(&mut self) -> Option<M> {
        let entry = self.messages.first_entry()?;
        (entry.key().0 <= self.now).then(|| entry.remove())
    }
}
