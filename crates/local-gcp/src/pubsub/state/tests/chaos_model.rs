//! What must be true of a subscription after any steps, in the simplest form.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::pubsub::AckFailure;
use crate::pubsub::message::Delivery;
use crate::pubsub::state::SessionId;

/// Deliveries that the dead letter policy allows.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// How the subscription delivers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) ordered: bool,
    pub(super) exactly_once: bool,
    pub(super) filtered: bool,
    pub(super) dead_letters: bool,
    pub(super) retaining: bool,
    pub(super) backing_off: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) key: String,
    pub(super) at: Timestamp,
}

/// A message that is not acknowledged for good.
#[derive(Clone, Debug, Default)]
struct Live {
    /// Delivered and not failed since.
    is_out: bool,
    held: Option<Held>,
    /// Acknowledged before an older one of its key.
    is_acked: bool,
    /// Delivered since it was last made deliverable by a seek.
    is_known: bool,
    failures: u32,
    /// Of before a restart, and not delivered since.
    is_restored: bool,
}

#[derive(Clone, Debug)]
struct Held {
    delivery: Delivery,
    until: Timestamp,
    /// `None` for a unary pull.
    session: Option<SessionId>,
}

#[derive(Debug)]
pub(super) struct Model {
    options: Options,
    pub(super) published: BTreeMap<u64, Published>,
    live: BTreeMap<u64, Live>,
    /// The same by key.
    live_of_key: BTreeMap<String, BTreeSet<u64>>,
    acknowledged: BTreeSet<u64>,
    /// Ever acknowledged, forwarded or left behind by a seek.
    pub(super) seen: BTreeSet<u64>,
    pub(super) dead: Vec<u64>,
    /// What snapshots hold.
    pub(super) snapshots: BTreeMap<String, BTreeSet<u64>>,
}

impl Model {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            published: BTreeMap::new(),
            live: BTreeMap::new(),
            live_of_key: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            seen: BTreeSet::new(),
            dead: Vec::new(),
            snapshots: BTreeMap::new(),
        }
    }

    pub(super) fn is_wanted(&self, payload: u64) -> bool {
        !self.options.filtered || !payload.is_multiple_of(3)
    }

    pub(super) fn publish(&mut self, payload: u64, key: &str, at: Timestamp) {
        self.published.insert(payload, Published { key: key.to_owned(), at });
        self.snapshots.values_mut().for_each(|snapshot| {
            snapshot.insert(payload);
        });
        if self.is_wanted(payload) {
            self.bring(payload);
        }
    }

    fn bring(&mut self, payload: u64) {
        self.live.insert(payload, Live::default());
        let key = self.published[&payload].key.clone();
        self.live_of_key.entry(key).or_default().insert(payload);
    }

    fn is_ordered(&self, payload: u64) -> bool {
        self.options.ordered && !self.published[&payload].key.is_empty()
    }

    /// Live messages of the same key, oldest first.
    fn of_key(&self, payload: u64) -> Vec<u64> {
        let of_key = self.live_of_key.get(&self.published[&payload].key);
        of_key.into_iter().flatten().copied().collect()
    }

    pub(super) fn deliver(
        &mut self,
        payload: u64,
        delivery: &Delivery,
        until: Timestamp,
        session: Option<SessionId>,
    ) {
        if self.is_ordered(payload) {
            for other in self.of_key(payload) {
                let live = &self.live[&other];
                assert_eq!(live.is_out, other < payload, "{payload} out of order with {other}");
                let same = live.held.as_ref().is_none_or(|held| {
                    // The messages of one unary pull come in one batch.
                    held.session == session && (session.is_some() || held.until == until)
                });
                assert!(same, "{payload} goes to another session than {other}");
            }
        }
        let live = self.live.get_mut(&payload);
        let live = live.unwrap_or_else(|| panic!("{payload} came back"));
        assert!(!live.is_out, "{payload} is held twice");
        if self.options.dead_letters {
            assert_eq!(delivery.attempt, live.failures + 1, "{payload}");
            assert!(delivery.attempt <= ATTEMPTS_MAX);
        }
        let held = Some(Held { delivery: delivery.clone(), until, session });
        *live = Live {
            is_out: true,
            held,
            is_acked: false,
            is_known: true,
            is_restored: false,
            ..*live
        };
    }

    /// What an acknowledgement answers where delivery is exactly once.
    pub(super) fn acknowledge(&mut self, payload: u64, delivery: &Delivery) -> Option<AckFailure> {
        let Some(live) = self.live.get(&payload) else { return Some(AckFailure::Invalid) };
        if self.options.exactly_once {
            if !self.is_held(payload, delivery) {
                return Some(AckFailure::Invalid);
            }
            if self.is_ordered(payload) && self.of_key(payload)[0] != payload {
                return Some(AckFailure::Unordered);
            }
        } else if self.is_ordered(payload) {
            if !live.is_restored && !self.is_held(payload, delivery) {
                return None;
            }
        } else if !live.is_known {
            return None;
        }
        if let Some(live) = self.live.get_mut(&payload) {
            live.is_acked = true;
            live.held = None;
        }
        self.commit(payload);
        None
    }

    fn commit(&mut self, payload: u64) {
        if !self.is_ordered(payload) {
            if self.live.get(&payload).is_some_and(|live| live.is_acked) {
                self.finish(payload);
            }
            return;
        }
        for first in self.of_key(payload) {
            if !self.live[&first].is_acked {
                break;
            }
            self.finish(first);
        }
    }

    fn finish(&mut self, payload: u64) {
        self.live.remove(&payload);
        if let Some(of_key) = self.live_of_key.get_mut(&self.published[&payload].key) {
            of_key.remove(&payload);
        }
        self.acknowledged.insert(payload);
        self.seen.insert(payload);
    }

    pub(super) fn is_held(&self, payload: u64, delivery: &Delivery) -> bool {
        let held = self.live.get(&payload).and_then(|live| live.held.as_ref());
        held.is_some_and(|held| held.delivery.ack_id == delivery.ack_id)
    }

    pub(super) fn extend(&mut self, payload: u64, until: Timestamp) {
        if let Some(held) = self.live.get_mut(&payload).and_then(|live| live.held.as_mut()) {
            held.until = until;
        }
    }

    pub(super) fn fail(&mut self, payload: u64) {
        let Some(live) = self.live.get_mut(&payload) else { return };
        live.failures += 1;
        if self.options.dead_letters && live.failures >= ATTEMPTS_MAX {
            self.dead.push(payload);
            self.finish(payload);
            return self.commit(payload);
        }
        let later = if self.is_ordered(payload) { self.of_key(payload) } else { vec![payload] };
        self.take_back(later.into_iter().filter(|other| *other >= payload));
    }

    fn take_back(&mut self, payloads: impl Iterator<Item = u64>) {
        for payload in payloads {
            if let Some(live) = self.live.get_mut(&payload).filter(|live| live.is_out) {
                *live = Live { is_out: false, held: None, is_acked: false, ..*live };
            }
        }
    }

    /// Fails what expired until `now`, in the order of time.
    pub(super) fn expire(&mut self, now: Timestamp) {
        loop {
            let until = |(id, live): (&u64, &Live)| live.held.as_ref().map(|it| (it.until, *id));
            match self.live.iter().filter_map(until).min() {
                Some((until, payload)) if until <= now => self.fail(payload),
                _ => return,
            }
        }
    }

    /// A restart ends leases and early acknowledgements, and counts failures only where they matter.
    pub(super) fn restart(&mut self) {
        for live in self.live.values_mut() {
            let failures = if self.options.dead_letters { live.failures } else { 0 };
            *live = Live { is_known: true, is_restored: true, failures, ..Live::default() };
        }
    }

    pub(super) fn take_snapshot(&mut self, name: String) {
        self.snapshots.insert(name, self.live.keys().copied().collect());
    }

    pub(super) fn seek_to_time(&mut self, at: Timestamp) {
        let wanted = self.published.iter().filter(|(_, it)| it.at >= at).map(|(id, _)| *id);
        let wanted: BTreeSet<u64> = wanted.collect();
        let kept = if self.options.retaining { self.acknowledged.clone() } else { BTreeSet::new() };
        self.seek(&wanted, &kept);
    }

    pub(super) fn seek_to_snapshot(&mut self, name: &str) {
        let wanted = self.snapshots[name].clone();
        self.seek(&wanted, &wanted);
    }

    fn seek(&mut self, wanted: &BTreeSet<u64>, kept: &BTreeSet<u64>) {
        let unwanted = self.live.keys().filter(|id| !wanted.contains(id)).copied();
        for payload in unwanted.collect::<Vec<_>>() {
            self.finish(payload);
            self.commit(payload);
        }
        let is_missing = |id: &u64| self.is_wanted(*id) && !self.live.contains_key(id);
        let restored = kept.intersection(wanted).copied().filter(is_missing);
        let restored: Vec<u64> = restored.collect();
        for payload in &restored {
            if self.is_ordered(*payload) {
                let of_key = self.of_key(*payload);
                self.take_back(of_key.into_iter());
            }
        }
        for payload in restored {
            self.acknowledged.remove(&payload);
            self.bring(payload);
        }
    }

    pub(super) fn unacked(&self) -> usize {
        self.live.len()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.live.values().filter(|live| live.held.is_some()).count()
    }
}
