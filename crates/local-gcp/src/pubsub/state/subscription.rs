//! One subscription: what is to be delivered, what is out, and when it comes back.
//!
//! A message is *fresh* until first delivered, then *open* until acknowledged. An open one is leased to a
//! session, backing off after a failed delivery, or ready again. Each step costs O(1), a lease's expiry
//! O(log n) of the leases.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::session::{SessionId, SessionOptions, Sessions};
use super::statistics::{Counters, SubscriptionStatistics};
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::config::{Backoff, to_std};
use crate::pubsub::message::{AckId, Delivery, Message};

/// Expiry entries beyond twice the open messages that are tolerated before the heap is cleaned.
const STALE_EXPIRIES_MAX: usize = 1024;

/// How much one delivery may carry.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimit {
    /// Messages at most.
    pub messages: usize,
    /// Bytes after which no further message is added.
    pub bytes: u64,
}

impl Default for BatchLimit {
    /// 1,000 messages or 1 MiB: large enough to cost little per message, small enough for the 4 MiB that
    /// gRPC clients accept by default, whatever the last message adds short of that.
    fn default() -> Self {
        Self { messages: 1_000, bytes: 1 << 20 }
    }
}

/// A message that was delivered at least once, or restored after a restart.
#[derive(Debug)]
struct Open {
    message: Arc<Message>,
    attempt: u32,
    /// Number of the newest delivery.
    delivery: u64,
    /// Who holds it, or held it last.
    session: SessionId,
    phase: Phase,
    /// The earliest entry in `expiries` that is meant for this message.
    scheduled: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Leased { deadline: Timestamp },
    BackingOff { until: Timestamp },
    Ready,
}

/// Queue and leases of one subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) config: proto::Subscription,
    /// Part of acknowledgement ids: a subscription created again under the same name has another.
    pub(super) number: u64,
    ack_deadline: Duration,
    backoff: Option<Backoff>,
    retention: Duration,
    fresh: VecDeque<Arc<Message>>,
    open: FxHashMap<u64, Open>,
    /// Ids of ready open messages, in the order they became ready; acknowledged ones are skipped.
    redelivery: VecDeque<u64>,
    ready: usize,
    leased: usize,
    expiries: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// Acknowledged messages within the retention, if they are to be retained.
    retained: BTreeMap<u64, Arc<Message>>,
    retained_bytes: u64,
    pub(super) sessions: Sessions,
    unacked_bytes: u64,
    next_delivery: u64,
    counters: Counters,
    /// Sessions to be woken; taken by the state machine after each step.
    pub(super) woken: Vec<SessionId>,
    /// Messages given up because they were older than the retention; taken likewise.
    pub(super) dropped: Vec<u64>,
}

/// No session: for messages restored from the journal.
const NOBODY: SessionId = SessionId(0);

impl Subscription {
    /// An empty subscription; deliveries are numbered from `first_delivery`.
    pub(super) fn new(config: proto::Subscription, number: u64, first_delivery: u64) -> Self {
        let mut subscription = Self {
            config: proto::Subscription::default(),
            number,
            ack_deadline: Duration::ZERO,
            backoff: None,
            retention: Duration::ZERO,
            fresh: VecDeque::new(),
            open: FxHashMap::default(),
            redelivery: VecDeque::new(),
            ready: 0,
            leased: 0,
            expiries: BinaryHeap::new(),
            retained: BTreeMap::new(),
            retained_bytes: 0,
            sessions: Sessions::default(),
            unacked_bytes: 0,
            next_delivery: first_delivery,
            counters: Counters::default(),
            woken: Vec::new(),
            dropped: Vec::new(),
        };
        subscription.configure(config);
        subscription
    }

    /// Takes a new configuration; leases given out keep their deadlines.
    pub(super) fn configure(&mut self, config: proto::Subscription) {
        let seconds = u64::try_from(config.ack_deadline_seconds).unwrap_or(0);
        self.ack_deadline = Duration::from_secs(seconds);
        self.backoff = config.retry_policy.as_ref().map(Backoff::of);
        self.retention = config.message_retention_duration.map_or(Duration::MAX, to_std);
        self.config = config;
        if !self.config.retain_acked_messages {
            self.forget_retained();
        }
    }

    /// Adds published messages.
    pub(super) fn publish(&mut self, messages: &[Arc<Message>], bytes: u64) {
        self.fresh.extend(messages.iter().cloned());
        self.unacked_bytes += bytes;
        self.wake();
    }

    /// Adds a message of an earlier life of the server: deliverable at once, and known by its id, so that
    /// acknowledgements of deliveries made before the restart still count.
    pub(super) fn restore(&mut self, message: Arc<Message>) {
        self.release_retained(message.id);
        self.unacked_bytes += message.size();
        self.redelivery.push_back(message.id);
        self.ready += 1;
        let open = Open {
            attempt: 0,
            delivery: 0,
            session: NOBODY,
            phase: Phase::Ready,
            scheduled: None,
            message,
        };
        self.open.insert(open.message.id, open);
    }

    /// Begins another life of the server after a replay: deliveries are numbered from `first`, so that no
    /// acknowledgement id repeats.
    pub(super) fn start_life(&mut self, first: u64) {
        self.next_delivery = self.next_delivery.max(first);
        let open = &self.open;
        self.redelivery.retain(|id| open.contains_key(id));
    }

    /// Forgets all messages and sessions (the subscription is detached).
    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.open.clear();
        self.redelivery.clear();
        self.expiries.clear();
        self.forget_retained();
        self.ready = 0;
        self.leased = 0;
        self.unacked_bytes = 0;
        self.woken.extend(self.sessions.ids());
    }

    pub(super) fn open_session(&mut self, id: SessionId, options: SessionOptions) {
        self.sessions.open(id, options);
    }

    /// Ends a session; what it holds stays leased until its deadline, as a subscriber may still acknowledge.
    pub(super) fn close_session(&mut self, id: SessionId) {
        self.sessions.close(id);
        self.wake();
    }

    /// Leases the next messages to a session; with none, the session will be woken when there are some.
    pub(super) fn take(
        &mut self,
        id: SessionId,
        limit: BatchLimit,
        now: Timestamp,
    ) -> Vec<Delivery> {
        let share = self.available().div_ceil(self.sessions.len().max(1));
        let Some(session) = self.sessions.get_mut(id) else { return Vec::new() };
        let messages_room = usize::try_from(session.messages_room()).unwrap_or(usize::MAX);
        let messages_max = limit.messages.min(share).min(messages_room);
        let bytes_max = limit.bytes.min(session.bytes_room());
        let deadline = now + session.options.ack_deadline.unwrap_or(self.ack_deadline);
        let mut batch = Vec::with_capacity(messages_max);
        let mut bytes = 0;
        while batch.len() < messages_max && bytes < bytes_max {
            let Some(delivery) = self.lease_next(id, deadline, now) else { break };
            bytes += delivery.message.size();
            batch.push(delivery);
        }
        if batch.is_empty() {
            self.sessions.wait(id);
        } else if let Some(session) = self.sessions.get_mut(id) {
            session.charge(batch.len() as u64, bytes);
            self.counters.delivered += batch.len() as u64;
        }
        self.clean_expiries();
        batch
    }

    fn lease_next(
        &mut self,
        session: SessionId,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Option<Delivery> {
        while let Some(id) = self.redelivery.pop_front() {
            let Some(open) = self.open.get_mut(&id) else { continue };
            self.ready -= 1;
            if is_too_old(&open.message, self.retention, now) {
                self.drop_open(id);
                continue;
            }
            open.attempt = open.attempt.saturating_add(1);
            open.session = session;
            self.counters.redelivered += u64::from(open.attempt > 1);
            return Some(self.lease(id, deadline));
        }
        self.drop_old_fresh(now);
        let message = self.fresh.pop_front()?;
        let id = message.id;
        let phase = Phase::Ready;
        let open = Open { message, attempt: 1, delivery: 0, session, phase, scheduled: None };
        self.open.insert(id, open);
        Some(self.lease(id, deadline))
    }

    /// Gives an open message, which is in no queue any more, a lease and a delivery number.
    fn lease(&mut self, id: u64, deadline: Timestamp) -> Delivery {
        let open = self.open.get_mut(&id).expect("the caller found or inserted it");
        open.phase = Phase::Leased { deadline };
        open.delivery = self.next_delivery;
        self.next_delivery += 1;
        self.leased += 1;
        schedule(&mut self.expiries, open, deadline);
        let ack_id = AckId { subscription: self.number, message: id, delivery: open.delivery };
        Delivery { ack_id, message: Arc::clone(&open.message), attempt: open.attempt }
    }

    /// Forgets acknowledged messages; returns the ids of those that were there.
    ///
    /// An id of an older delivery counts too: the message was processed, whoever holds it now.
    pub(super) fn acknowledge(&mut self, ack_ids: &[AckId]) -> Vec<u64> {
        let mut acknowledged = Vec::with_capacity(ack_ids.len());
        let number = self.number;
        for ack_id in ack_ids.iter().filter(|ack_id| ack_id.subscription == number) {
            if self.remove(ack_id.message) {
                acknowledged.push(ack_id.message);
            }
        }
        self.counters.acknowledged += acknowledged.len() as u64;
        self.clean_expiries();
        self.wake();
        acknowledged
    }

    /// Removes an open message whatever its phase, as acknowledged; returns whether it was there.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(open) = self.open.remove(&id) else { return false };
        let size = open.message.size();
        self.unacked_bytes -= size;
        match open.phase {
            Phase::Leased { .. } => {
                self.leased -= 1;
                self.sessions.release(open.session, size);
            }
            // Its id stays in the redelivery queue and is skipped there.
            Phase::Ready => self.ready -= 1,
            Phase::BackingOff { .. } => {}
        }
        self.retain(open.message);
        true
    }

    /// Gives leases a new deadline, `extension` from now; zero fails the delivery at once.
    ///
    /// Only the newest delivery of a message can be changed, and only while it is leased.
    pub(super) fn modify_ack_deadline(
        &mut self,
        ack_ids: impl Iterator<Item = (AckId, Duration)>,
        now: Timestamp,
    ) {
        for (ack_id, extension) in ack_ids {
            let Some(open) = self.open.get_mut(&ack_id.message) else { continue };
            let is_current = ack_id.subscription == self.number && ack_id.delivery == open.delivery;
            if !is_current || !matches!(open.phase, Phase::Leased { .. }) {
                continue;
            }
            if extension.is_zero() {
                self.counters.nacked += 1;
                self.fail(ack_id.message, now);
            } else {
                let deadline = now + extension;
                open.phase = Phase::Leased { deadline };
                schedule(&mut self.expiries, open, deadline);
            }
        }
        self.clean_expiries();
        self.wake();
    }

    /// Ends leases and backoffs whose time has come, and gives up what is too old.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while let Some(&Reverse((at, id))) = self.expiries.peek()
            && at <= now
        {
            self.expiries.pop();
            let Some(open) = self.open.get_mut(&id) else { continue };
            if open.scheduled != Some(at) {
                continue;
            }
            open.scheduled = None;
            match open.phase {
                Phase::Leased { deadline } if deadline <= now => {
                    self.counters.expired += 1;
                    self.fail(id, now);
                }
                Phase::BackingOff { until } if until <= now => self.make_ready(id, now),
                // Moved to later since the entry was made.
                Phase::Leased { deadline: later } | Phase::BackingOff { until: later } => {
                    schedule(&mut self.expiries, open, later);
                }
                Phase::Ready => {}
            }
        }
        self.drop_old_fresh(now);
        self.drop_old_retained(now);
        self.wake();
    }

    /// Ends a lease without success.
    fn fail(&mut self, id: u64, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        self.leased -= 1;
        self.sessions.release(open.session, open.message.size());
        match self.backoff {
            Some(backoff) => {
                let until = now + backoff.after(open.attempt);
                open.phase = Phase::BackingOff { until };
                schedule(&mut self.expiries, open, until);
            }
            None => self.make_ready(id, now),
        }
    }

    fn make_ready(&mut self, id: u64, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id) else { return };
        if is_too_old(&open.message, self.retention, now) {
            self.drop_open(id);
        } else {
            open.phase = Phase::Ready;
            self.ready += 1;
            self.redelivery.push_back(id);
        }
    }

    /// Gives up an open message that is neither leased nor counted as ready.
    fn drop_open(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            self.note_dropped(&open.message);
        }
    }

    fn drop_old_fresh(&mut self, now: Timestamp) {
        while let Some(message) = self.fresh.pop_front_if(|m| is_too_old(m, self.retention, now)) {
            self.note_dropped(&message);
        }
    }

    fn note_dropped(&mut self, message: &Message) {
        self.unacked_bytes -= message.size();
        self.counters.dropped += 1;
        self.dropped.push(message.id);
    }

    fn wake(&mut self) {
        let available = self.available();
        if available > 0 {
            self.sessions.wake(available, &mut self.woken);
        }
    }

    /// Messages that could be delivered now.
    fn available(&self) -> usize {
        self.fresh.len() + self.ready
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(super) fn next_deadline(&self) -> Timestamp {
        let expiry = self.expiries.peek().map_or(Timestamp::MAX, |Reverse((at, _))| *at);
        let oldest = self.fresh.front().map_or(Timestamp::MAX, |m| m.publish_time + self.retention);
        let retained = self.retained.first_key_value();
        let retained = retained.map_or(Timestamp::MAX, |(_, m)| m.publish_time + self.retention);
        expiry.min(oldest).min(retained)
    }

    /// Drops entries of acknowledged messages when they outweigh the live ones, so that long deadlines do
    /// not keep memory in proportion to the rate.
    fn clean_expiries(&mut self) {
        if self.expiries.len() > 2 * self.open.len() + STALE_EXPIRIES_MAX {
            let open = &self.open;
            self.expiries.retain(|Reverse((at, id))| {
                open.get(id).is_some_and(|open| open.scheduled == Some(*at))
            });
        }
    }

    /// Acknowledges every message that is not wanted, and makes deliverable again what of `kept` is wanted and was
    /// acknowledged; tells both. Leases on wanted messages stay.
    pub(super) fn seek(
        &mut self,
        is_wanted: impl Fn(&Message) -> bool,
        kept: Vec<Arc<Message>>,
        now: Timestamp,
    ) -> (Vec<u64>, Vec<Arc<Message>>) {
        let unwanted = self.open.values().filter(|open| !is_wanted(&open.message));
        let mut acknowledged: Vec<_> = unwanted.map(|open| open.message.id).collect();
        for id in &acknowledged {
            self.remove(*id);
        }
        // By id, which is the order of publication.
        let mut fresh = BTreeMap::new();
        for message in std::mem::take(&mut self.fresh) {
            if is_wanted(&message) {
                fresh.insert(message.id, message);
            } else {
                acknowledged.push(message.id);
                self.unacked_bytes -= message.size();
                self.retain(message);
            }
        }
        let is_missing = |it: &Arc<Message>| {
            let is_held = self.open.contains_key(&it.id) || fresh.contains_key(&it.id);
            !is_held && is_wanted(it) && !is_too_old(it, self.retention, now)
        };
        let restored: Vec<_> = kept.into_iter().filter(is_missing).collect();
        for message in &restored {
            self.release_retained(message.id);
            self.unacked_bytes += message.size();
            fresh.insert(message.id, Arc::clone(message));
        }
        self.fresh = fresh.into_values().collect();
        self.clean_expiries();
        self.wake();
        (acknowledged, restored)
    }

    /// Keeps an acknowledged message if that is asked for.
    fn retain(&mut self, message: Arc<Message>) {
        if self.config.retain_acked_messages {
            self.retained_bytes += message.size();
            self.retained.insert(message.id, message);
        }
    }

    fn release_retained(&mut self, id: u64) {
        if let Some(message) = self.retained.remove(&id) {
            self.retained_bytes -= message.size();
        }
    }

    fn forget_retained(&mut self) {
        self.retained.clear();
        self.retained_bytes = 0;
    }

    fn drop_old_retained(&mut self, now: Timestamp) {
        while let Some(oldest) = self.retained.first_entry()
            && is_too_old(oldest.get(), self.retention, now)
        {
            self.retained_bytes -= oldest.remove().size();
        }
    }

    /// Acknowledged messages that are retained, oldest first.
    pub(super) fn retained(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.retained.values()
    }

    pub(super) fn retained_bytes(&self) -> u64 {
        self.retained_bytes
    }

    pub(super) fn unacked_bytes(&self) -> u64 {
        self.unacked_bytes
    }

    /// Every message not acknowledged, in no particular order.
    pub(super) fn unacked(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.fresh.iter().chain(self.open.values().map(|open| &open.message))
    }

    pub(super) fn unacked_count(&self) -> usize {
        self.fresh.len() + self.open.len()
    }

    pub(super) fn statistics(&self) -> SubscriptionStatistics {
        let unacked = self.unacked_count();
        let oldest_open = self.open.values().map(|open| open.message.publish_time).min();
        let oldest_fresh = self.fresh.front().map(|message| message.publish_time);
        SubscriptionStatistics {
            undelivered: (unacked - self.leased) as u64,
            outstanding: self.leased as u64,
            unacked: unacked as u64,
            unacked_bytes: self.unacked_bytes,
            oldest_unacked: [oldest_open, oldest_fresh].into_iter().flatten().min(),
            sessions: self.sessions.len() as u64,
            counters: self.counters,
        }
    }
}

fn is_too_old(message: &Message, retention: Duration, now: Timestamp) -> bool {
    message.publish_time + retention <= now
}

/// Makes sure that `open` is looked at no later than `at`. An entry made earlier for an earlier time
/// serves too: when it comes up, the real deadline is entered. So extending a lease costs nothing.
fn schedule(expiries: &mut BinaryHeap<Reverse<(Timestamp, u64)>>, open: &mut Open, at: Timestamp) {
    if open.scheduled.is_none_or(|scheduled| at < scheduled) {
        open.scheduled = Some(at);
        expiries.push(Reverse((at, open.message.id)));
    }
}
