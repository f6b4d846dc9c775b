//! One subscription: what is to be delivered, what is out, and when it comes back.
//!
//! A message is *fresh* until first delivered, then *open* until acknowledged. An open one is leased to a
//! session, backing off after a failed delivery, or ready again. Each step costs O(1), a lease's expiry
//! O(log n) of the leases.
//!
//! What acknowledgements and passing time do is in `leases`, ordered messages are in `ordered`, seeks in
//! `seeking`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::dead_letters::DeadLetters;
use super::leases::{is_too_old, schedule};
use super::ordering::Ordering;
use super::session::{SessionId, SessionOptions, Sessions};
use super::statistics::{Counters, SubscriptionStatistics};
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::config::{Backoff, to_std};
use crate::pubsub::filter::Filter;
use crate::pubsub::message::{AckId, Delivery, Message};

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

/// A message that was delivered at least once, was restored after a restart, or has a place in the order of
/// its key.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) message: Arc<Message>,
    /// Deliveries that failed, and the current one.
    pub(super) attempt: u32,
    /// Number of the newest delivery; 0 for none in this life of the server.
    pub(super) delivery: u64,
    /// Who holds it, or held it last.
    pub(super) session: SessionId,
    pub(super) phase: Phase,
    /// The earliest entry in `expiries` that is meant for this message.
    pub(super) scheduled: Option<Timestamp>,
    /// Acknowledged before an older message of its ordering key was.
    pub(super) acknowledged: bool,
    /// Of an earlier life of the server, and not delivered since.
    pub(super) is_restored: bool,
}

impl Open {
    /// A message that nobody holds.
    pub(super) fn waiting(message: Arc<Message>) -> Self {
        Self {
            message,
            attempt: 0,
            delivery: 0,
            session: NOBODY,
            phase: Phase::Ready,
            scheduled: None,
            acknowledged: false,
            is_restored: false,
        }
    }

    /// Whether an id names the newest delivery on subscription `number`, and it has not ended.
    pub(super) fn is_held_by(&self, number: u64, ack_id: AckId) -> bool {
        ack_id.subscription == number && ack_id.delivery == self.delivery && self.is_leased()
    }

    pub(super) fn is_leased(&self) -> bool {
        matches!(self.phase, Phase::Leased { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Leased {
        deadline: Timestamp,
    },
    /// Out like a leased one, and acknowledged before an older message of its key.
    Acknowledged,
    BackingOff {
        until: Timestamp,
    },
    Ready,
}

/// What the state machine must do after a step on a subscription.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Messages given up because they were older than the retention, or acknowledged in the order of their key.
    pub(super) done: Vec<u64>,
    /// Deliveries that failed, with their number, if they are counted.
    pub(super) failed: Vec<(u64, u32)>,
    /// Messages whose last allowed delivery failed, and when.
    pub(super) dead: Vec<(u64, Timestamp)>,
}

/// Queue and leases of one subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) config: proto::Subscription,
    /// Part of acknowledgement ids: a subscription created again under the same name has another.
    pub(super) number: u64,
    pub(super) ack_deadline: Duration,
    pub(super) backoff: Option<Backoff>,
    pub(super) dead_letters: Option<DeadLetters>,
    filter: Option<Filter>,
    pub(super) exactly_once: bool,
    pub(super) retention: Duration,
    pub(super) fresh: VecDeque<Arc<Message>>,
    /// Messages by key; `None` when this subscription does not order them.
    pub(super) ordering: Option<Ordering>,
    pub(super) open: FxHashMap<u64, Open>,
    /// Ids of ready open messages without order, in the order they became ready; acknowledged ones are skipped.
    pub(super) redelivery: VecDeque<u64>,
    pub(super) ready: usize,
    pub(super) leased: usize,
    pub(super) expiries: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// Acknowledged messages within the retention, if they are to be retained.
    pub(super) retained: BTreeMap<u64, Arc<Message>>,
    pub(super) retained_bytes: u64,
    pub(super) sessions: Sessions,
    pub(super) unacked_bytes: u64,
    pub(super) next_delivery: u64,
    pub(super) counters: Counters,
    /// Sessions to be woken; taken by the state machine after each step.
    pub(super) woken: Vec<SessionId>,
    /// What became of messages; taken likewise.
    pub(super) outcome: Outcome,
}

/// No session: for messages that nobody held in this life of the server.
const NOBODY: SessionId = SessionId(0);

impl Subscription {
    /// An empty subscription; deliveries are numbered from `first_delivery`.
    pub(super) fn new(config: proto::Subscription, number: u64, first_delivery: u64) -> Self {
        let mut subscription = Self {
            config: proto::Subscription::default(),
            number,
            ack_deadline: Duration::ZERO,
            backoff: None,
            dead_letters: None,
            filter: None,
            exactly_once: false,
            retention: Duration::ZERO,
            fresh: VecDeque::new(),
            ordering: config.enable_message_ordering.then(Ordering::default),
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
            outcome: Outcome::default(),
        };
        subscription.configure(config);
        subscription
    }

    /// Takes a new configuration; leases given out keep their deadlines.
    pub(super) fn configure(&mut self, config: proto::Subscription) {
        let seconds = u64::try_from(config.ack_deadline_seconds).unwrap_or(0);
        self.ack_deadline = Duration::from_secs(seconds);
        self.backoff = config.retry_policy.as_ref().map(Backoff::of);
        self.dead_letters = config.dead_letter_policy.as_ref().map(DeadLetters::of);
        self.exactly_once = config.enable_exactly_once_delivery;
        let own = config.message_retention_duration.map_or(Duration::MAX, to_std);
        // What a topic retains is available to its subscriptions as long.
        self.retention = config.topic_message_retention_duration.map_or(own, to_std).max(own);
        if self.config.filter != config.filter {
            // It was read before, when the subscription was created.
            self.filter = Filter::parse(&config.filter).ok();
        }
        self.config = config;
        if !self.config.retain_acked_messages {
            self.forget_retained();
        }
    }

    /// Takes the retention of the topic, which is told with the subscription.
    pub(super) fn set_topic_retention(&mut self, retention: Option<prost_types::Duration>) {
        let topic_message_retention_duration = retention;
        let config = self.config.clone();
        self.configure(proto::Subscription { topic_message_retention_duration, ..config });
    }

    pub(super) fn has_outcome(&self) -> bool {
        let Outcome { done, failed, dead } = &self.outcome;
        !(done.is_empty() && failed.is_empty() && dead.is_empty())
    }

    pub(super) fn take_outcome(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }

    /// Adds published messages.
    pub(super) fn publish(&mut self, messages: &[Arc<Message>], bytes: u64) {
        if self.filter.is_none() && self.ordering.is_none() {
            self.fresh.extend(messages.iter().cloned());
            self.unacked_bytes += bytes;
        } else {
            for message in messages {
                if !self.is_wanted(message) {
                    continue;
                }
                self.unacked_bytes += message.size();
                if self.is_in_order(message) {
                    self.open_in_order(Arc::clone(message));
                } else {
                    self.fresh.push_back(Arc::clone(message));
                }
            }
        }
        self.wake();
    }

    /// Whether the filter lets a message pass; others count as acknowledged from the start.
    pub(super) fn is_wanted(&self, message: &Message) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(&message.attributes))
    }

    /// Adds a message of an earlier life of the server: deliverable at once, and known by its id, so that
    /// acknowledgements of deliveries made before the restart still count.
    pub(super) fn restore(&mut self, message: Arc<Message>) {
        if !self.is_wanted(&message) {
            return;
        }
        self.release_retained(message.id);
        self.unacked_bytes += message.size();
        if self.is_in_order(&message) {
            let id = message.id;
            self.open_in_order(message);
            if let Some(open) = self.open.get_mut(&id) {
                open.is_restored = true;
            }
        } else {
            self.redelivery.push_back(message.id);
            self.ready += 1;
            self.open.insert(message.id, Open::waiting(message));
        }
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
        if let Some(ordering) = &mut self.ordering {
            ordering.clear();
        }
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
        if let Some(ordering) = &mut self.ordering {
            ordering.open_session(id);
        }
    }

    /// Ends a session; what it holds stays leased until its deadline, as a subscriber may still acknowledge.
    pub(super) fn close_session(&mut self, id: SessionId) {
        self.sessions.close(id);
        if let Some(ordering) = &mut self.ordering {
            ordering.close_session(id);
        }
        self.wake();
    }

    /// Leases the next messages to a session; with none, the session will be woken when there are some.
    pub(super) fn take(
        &mut self,
        id: SessionId,
        limit: BatchLimit,
        now: Timestamp,
    ) -> Vec<Delivery> {
        let share = self.undelivered().div_ceil(self.sessions.len().max(1));
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
            // Acknowledged ones are skipped, also when a seek brought them back.
            let Some(open) = self.open.get_mut(&id).filter(|it| it.phase == Phase::Ready) else {
                continue;
            };
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
        if let Some(delivery) = self.lease_next_in_order(session, deadline, now) {
            return Some(delivery);
        }
        self.drop_old_fresh(now);
        let message = self.fresh.pop_front()?;
        let id = message.id;
        self.open.insert(id, Open { attempt: 1, session, ..Open::waiting(message) });
        Some(self.lease(id, deadline))
    }

    /// Gives an open message, which is in no queue any more, a lease and a delivery number.
    pub(super) fn lease(&mut self, id: u64, deadline: Timestamp) -> Delivery {
        let open = self.open.get_mut(&id).expect("the caller found or inserted it");
        open.phase = Phase::Leased { deadline };
        open.delivery = self.next_delivery;
        self.next_delivery += 1;
        self.leased += 1;
        schedule(&mut self.expiries, open, deadline);
        let ack_id = AckId { subscription: self.number, message: id, delivery: open.delivery };
        Delivery { ack_id, message: Arc::clone(&open.message), attempt: open.attempt }
    }

    pub(super) fn wake(&mut self) {
        let in_order = match &self.ordering {
            Some(ordering) => {
                for holder in ordering.holders_with_more() {
                    self.sessions.wake_one(holder, &mut self.woken);
                }
                ordering.available()
            }
            None => 0,
        };
        let available = self.fresh.len() + self.ready + in_order;
        if available > 0 {
            self.sessions.wake(available, &mut self.woken);
        }
    }

    /// Messages that are not out; those of a key whose turn has not come are among them.
    fn undelivered(&self) -> usize {
        self.fresh.len() + self.ready + self.ordering.as_ref().map_or(0, Ordering::waiting)
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

    /// How often deliveries of messages failed, if that is counted.
    pub(super) fn failures(&self) -> Vec<(u64, u32)> {
        if self.dead_letters.is_none() {
            return Vec::new();
        }
        let failures = |open: &Open| {
            open.attempt
                .saturating_sub(u32::from(open.is_leased() || open.phase == Phase::Acknowledged))
        };
        let all = self.open.iter().map(|(id, open)| (*id, failures(open)));
        all.filter(|(_, failures)| *failures > 0).collect()
    }

    /// Continues the count of an earlier life of the server.
    pub(super) fn restore_failures(&mut self, id: u64, failures: u32) {
        if let Some(open) = self.open.get_mut(&id) {
            open.attempt = failures;
        }
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
