//! [`Registry`]: which messages the job has taken already, shared by all splits of a source in one process.
//!
//! Keys are held in groups: what one reader handed out in one epoch. A group is *in flight* until its checkpoint is durable and
//! *final* from then on. A reader's life owns its groups: when the reader goes, they go, because what was in flight comes
//! back from the service and what was acknowledged stands in the checkpoint. Knows nothing of acknowledgements.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};

use super::ids::{IdSet, MessageKey};

/// How long messages may be under way to one reader when another has received what was published after them. What a reader has
/// received counts for the others after this.
pub(super) const SPREAD: Duration = Duration::from_secs(1);

/// Observations closer to each other than this are taken as one.
const GRAIN: Duration = Duration::from_millis(50);

/// One reader from its making to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LifeId(u64);

/// What one reader handed out in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupId(u64);

/// How far a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupStatus {
    /// Its checkpoint is not durable.
    InFlight,
    /// Its checkpoint is durable.
    Final,
    /// Its reader is gone, or it was forgotten.
    Gone,
}

/// What claiming a key found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The message was not taken before.
    New,
    /// It was, and its effects are durable no later than those of the claiming group.
    Duplicate,
    /// It was by another reader, whose checkpoint must be durable before the duplicate may be acknowledged.
    DuplicateOf(GroupId),
}

/// Which messages the job has taken already; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    state: Arc<Mutex<State>>,
}

impl Registry {
    /// The state, locked.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the maps whole: every change is a single insertion or removal.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys and their groups.
#[derive(Debug, Default)]
pub(super) struct State {
    numbers: FxHashMap<u64, GroupId>,
    texts: FxHashMap<Box<str>, GroupId>,
    groups: FxHashMap<GroupId, Group>,
    readers: BTreeMap<u32, LifeId>,
    /// Groups that were final when their life ended, since a life began last: others may still wait for them.
    ended: FxHashSet<GroupId>,
    /// The greatest event times received, and when; both grow.
    observed: VecDeque<(Timestamp, Timestamp)>,
    lives: u64,
    made: u64,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    life: LifeId,
    is_final: bool,
}

impl State {
    /// Starts the life of the reader of `split`.
    pub(super) fn start_life(&mut self, split: u32) -> LifeId {
        self.lives += 1;
        let life = LifeId(self.lives);
        self.readers.insert(split, life);
        self.ended.clear();
        life
    }

    /// Forgets everything that belongs to `life`.
    pub(super) fn end_life(&mut self, life: LifeId) {
        self.readers.retain(|_, reader| *reader != life);
        if self.readers.is_empty() {
            self.observed.clear();
        }
        let of_life = self.groups.iter().filter(|(_, group)| group.life == life && group.is_final);
        self.ended.extend(of_life.map(|(id, _)| *id));
        self.groups.retain(|_, group| group.life != life);
        let groups = &self.groups;
        self.numbers.retain(|_, group| groups.contains_key(group));
        self.texts.retain(|_, group| groups.contains_key(group));
    }

    /// How many splits have a reader.
    pub(super) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Messages up to event time `at` were received by `now`, by whichever reader.
    pub(super) fn observe(&mut self, at: Timestamp, now: Timestamp) {
        match self.observed.back_mut() {
            Some((_, greatest)) if at <= *greatest => {}
            Some((since, greatest)) if now.since(*since) < GRAIN => *greatest = at,
            _ => self.observed.push_back((now, at)),
        }
    }

    /// The greatest event time that somebody received so long before `now` that what was published earlier has reached every
    /// reader. The service spreads messages over the readers as it likes, so what one has seen tells the others how far event
    /// time has come; a reader that gets nothing would hold the job back for ever.
    pub(super) fn greatest(&mut self, now: Timestamp) -> Option<Timestamp> {
        let is_settled = |(since, _): &(Timestamp, Timestamp)| *since + SPREAD <= now;
        while self.observed.get(1).is_some_and(is_settled) {
            self.observed.pop_front();
        }
        self.observed.front().filter(|first| is_settled(first)).map(|(_, greatest)| *greatest)
    }

    /// When [`State::greatest`] will tell more than at `now`, if nothing else is received.
    pub(super) fn settles_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.observed.iter().map(|(since, _)| *since + SPREAD).find(|at| *at > now)
    }

    /// How many keys are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.texts.len()
    }

    /// Opens a group of `life`, in flight.
    pub(super) fn open_group(&mut self, life: LifeId) -> GroupId {
        self.made += 1;
        let id = GroupId(self.made);
        self.groups.insert(id, Group { life, is_final: false });
        id
    }

    /// The checkpoint of `group` is durable.
    pub(super) fn finish_group(&mut self, group: GroupId) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.is_final = true;
        }
    }

    /// Forgets a group and those of its keys that did not move to another one.
    pub(super) fn forget_group(&mut self, id: GroupId, keys: &IdSet) {
        self.groups.remove(&id);
        // The keys of a set made here or checked when restored: nothing in it can be damaged.
        let _ = keys.for_each(|key| {
            if self.group_of(&key) == Some(id) {
                self.remove(&key);
            }
        });
    }

    /// How far a group is.
    pub(super) fn status(&self, group: GroupId) -> GroupStatus {
        match self.groups.get(&group) {
            Some(Group { is_final: true, .. }) => GroupStatus::Final,
            Some(_) => GroupStatus::InFlight,
            None => GroupStatus::Gone,
        }
    }

    /// How far a group is, or was when its life ended; for a reader whose own life has ended.
    pub(super) fn last_status(&self, group: GroupId) -> GroupStatus {
        match self.ended.contains(&group) {
            true => GroupStatus::Final,
            false => self.status(group),
        }
    }

    /// Claims `key` for `group`. A duplicate moves to the group where that cannot lose it, so that it is remembered as
    /// long as its latest acknowledgement is uncertain.
    pub(super) fn claim(&mut self, key: &MessageKey, group: GroupId) -> Claim {
        let Some(before) = self.group_of(key) else {
            self.assign(key.clone(), group);
            return Claim::New;
        };
        if before == group {
            return Claim::Duplicate;
        }
        let life = self.groups.get(&group).map(|group| group.life);
        match self.groups.get(&before) {
            Some(known) if known.is_final || Some(known.life) == life => {
                self.assign(key.clone(), group);
                Claim::Duplicate
            }
            Some(_) => Claim::DuplicateOf(before),
            None => {
                self.assign(key.clone(), group);
                Claim::New
            }
        }
    }

    /// Puts `key` into `group`, wherever it was.
    pub(super) fn assign(&mut self, key: MessageKey, group: GroupId) {
        match key {
            MessageKey::Number(number) => self.numbers.insert(number, group),
            MessageKey::Text(text) => self.texts.insert(text, group),
        };
    }

    /// The group that holds `key`.
    pub(super) fn group_of(&self, key: &MessageKey) -> Option<GroupId> {
        match key {
            MessageKey::Number(number) => self.numbers.get(number).copied(),
            MessageKey::Text(text) => self.texts.get(text).copied(),
        }
    }

    fn remove(&mut self, key: &MessageKey) {
        match key {
            MessageKey::Number(number) => self.numbers.remove(number),
            MessageKey::Text(text) => self.texts.remove(text),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> MessageKey {
        MessageKey::Number(number)
    }

    #[test]
    fn a_duplicate_of_another_readers_message_in_flight_waits_for_it() {
        let registry = Registry::default();
        let mut state = registry.lock();
        let (first, second) = (state.start_life(0), state.start_life(1));
        let (mine, other) = (state.open_group(first), state.open_group(second));
        assert_eq!(state.claim(&key(1), mine), Claim::New);
        assert_eq!(state.claim(&key(1), mine), Claim::Duplicate);
        assert_eq!(state.claim(&key(1), other), Claim::DuplicateOf(mine));
        state.finish_group(mine);
        assert_eq!(state.claim(&key(1), other), Claim::Duplicate);
        assert_eq!(state.group_of(&key(1)), Some(other));
    }

    #[test]
    fn what_a_reader_took_is_free_again_when_it_goes() {
        let registry = Registry::default();
        let mut state = registry.lock();
        let (first, second) = (state.start_life(0), state.start_life(1));
        let (mine, other) = (state.open_group(first), state.open_group(second));
        state.claim(&key(1), mine);
        state.claim(&MessageKey::new("a"), mine);
        state.claim(&key(2), other);
        state.end_life(first);
        assert_eq!(state.readers(), 1);
        assert_eq!(state.len(), 1);
        assert_eq!(state.status(mine), GroupStatus::Gone);
        assert_eq!(state.claim(&key(1), other), Claim::New);
    }

    #[test]
    fn a_forgotten_group_keeps_what_moved_on() {
        let registry = Registry::default();
        let mut state = registry.lock();
        let life = state.start_life(0);
        let (early, late) = (state.open_group(life), state.open_group(life));
        state.claim(&key(1), early);
        state.claim(&key(2), early);
        state.claim(&key(2), late);
        state.forget_group(early, &IdSet::new([key(1), key(2)].iter()));
        assert_eq!(state.group_of(&key(1)), None);
        assert_eq!(state.group_of(&key(2)), Some(late));
    }
}
