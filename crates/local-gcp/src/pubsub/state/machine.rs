//! The state itself and what every step shares: lookups, records, wake-ups, the next deadline.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::record::Record;
use super::schemas::Schemas;
use super::session::SessionId;
use super::snapshots::Snapshot;
use super::statistics::{SubscriptionStatistics, TopicStatistics};
use super::subscription::{Outcome, Subscription};
use super::topic::Topic;
use crate::clock::Timestamp;
use crate::pubsub::error::{Error, Result};

/// The first message id: long like Google's, so that nobody relies on short ones.
const FIRST_MESSAGE_ID: u64 = 1_000_000_000_000;

/// Message ids are set aside in the journal by this many at a time.
const MESSAGE_IDS_RESERVED: u64 = 1 << 20;

/// Bits left for the deliveries of one subscription within one life of the server.
const DELIVERY_BITS: u32 = 40;

/// What the server may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(super) unacked_bytes_max: u64,
}

impl Limits {
    /// Bytes of unacknowledged or retained messages over all subscriptions and snapshots (a message counts once for each);
    /// a publish beyond is refused with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn unacked_bytes_max(mut self, bytes: u64) -> Self {
        self.unacked_bytes_max = bytes;
        self
    }
}

impl Default for Limits {
    /// 2 GiB: several million small messages, and well below a developer's machine.
    fn default() -> Self {
        Self { unacked_bytes_max: 2 << 30 }
    }
}

/// All topics, subscriptions and messages of one server.
#[derive(Debug)]
pub struct State {
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) snapshots: BTreeMap<String, Snapshot>,
    pub(super) schemas: Schemas,
    pub(super) sessions: FxHashMap<SessionId, String>,
    pub(super) limits: Limits,
    pub(super) unacked_bytes: u64,
    /// Bytes of what snapshots and subscriptions keep beyond that.
    pub(super) retained_bytes: u64,
    pub(super) next_message: u64,
    pub(super) messages_reserved_below: u64,
    pub(super) next_subscription: u64,
    next_session: u64,
    /// How many times a server was started on this state.
    pub(super) incarnation: u64,
    recording: bool,
    records: Vec<Record>,
    woken: Vec<SessionId>,
    /// Never later than the earliest deadline of any subscription.
    alarm: Timestamp,
}

impl State {
    /// An empty state that records nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            topics: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            schemas: Schemas::default(),
            sessions: FxHashMap::default(),
            limits,
            unacked_bytes: 0,
            retained_bytes: 0,
            next_message: FIRST_MESSAGE_ID,
            messages_reserved_below: 0,
            next_subscription: 1,
            next_session: 1,
            incarnation: 0,
            recording: false,
            records: Vec::new(),
            woken: Vec::new(),
            alarm: Timestamp::MAX,
        }
    }

    /// Starts a new life after [`replay`](Self::replay): from here on every change is recorded, and no
    /// message or acknowledgement id of an earlier life is given out again.
    pub fn start_recording(&mut self) {
        self.recording = true;
        self.incarnation += 1;
        self.next_message = self.next_message.max(self.messages_reserved_below);
        let first = self.first_delivery();
        for subscription in self.subscriptions.values_mut() {
            subscription.start_life(first);
        }
        self.record(|state| Record::Started { incarnation: state.incarnation });
    }

    /// The number of the first delivery of a subscription in this life of the server.
    pub(super) fn first_delivery(&self) -> u64 {
        (self.incarnation << DELIVERY_BITS) + 1
    }

    /// Records to persist, in order, since the last call.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Sessions that waited and should call [`take`](Self::take) again, since the last call.
    pub fn take_woken(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.woken)
    }

    /// When [`advance`](Self::advance) must be called next; may be too early, never too late.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.alarm
    }

    /// Ends leases and backoffs whose time has come. Cheap when there are none.
    pub fn advance(&mut self, now: Timestamp) {
        if now < self.alarm {
            return;
        }
        let mut alarm = Timestamp::MAX;
        let mut outcomes = Vec::new();
        for (name, subscription) in &mut self.subscriptions {
            let before = subscription.unacked_bytes();
            let retained_before = subscription.retained_bytes();
            subscription.advance(now);
            self.unacked_bytes -= before - subscription.unacked_bytes();
            self.retained_bytes -= retained_before - subscription.retained_bytes();
            self.woken.append(&mut subscription.woken);
            if subscription.has_outcome() {
                outcomes.push((name.clone(), subscription.take_outcome()));
            }
            alarm = alarm.min(subscription.next_deadline());
        }
        self.alarm = alarm.min(self.expire_snapshots(now)).min(self.drop_old_in_topics(now));
        for (subscription, outcome) in outcomes {
            self.settle(&subscription, outcome);
        }
    }

    /// Changes one subscription and takes note of everything that follows from it.
    pub(super) fn change<T>(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut Subscription) -> T,
    ) -> Result<T> {
        let subscription =
            self.subscriptions.get_mut(name).ok_or_else(|| Error::not_found(name))?;
        let before = subscription.unacked_bytes();
        let retained_before = subscription.retained_bytes();
        let result = step(subscription);
        self.unacked_bytes = self.unacked_bytes + subscription.unacked_bytes() - before;
        self.retained_bytes = self.retained_bytes + subscription.retained_bytes() - retained_before;
        self.woken.append(&mut subscription.woken);
        self.alarm = self.alarm.min(subscription.next_deadline());
        if subscription.has_outcome() {
            let outcome = subscription.take_outcome();
            self.settle(name, outcome);
        }
        Ok(result)
    }

    /// Records what became of messages, and forwards dead ones.
    fn settle(&mut self, name: &str, outcome: Outcome) {
        let Outcome { done: messages, failed: attempts, dead } = outcome;
        let subscription = || name.to_owned();
        if !messages.is_empty() {
            self.record(|_| Record::Acknowledged { subscription: subscription(), messages });
        }
        if !attempts.is_empty() {
            self.record(|_| Record::Failed { subscription: subscription(), attempts });
        }
        self.bury(name, dead);
    }

    /// Makes sure that [`advance`](Self::advance) has its turn at this time.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.alarm = self.alarm.min(at);
    }

    /// Notes a change for the journal; costs nothing when there is none.
    pub(super) fn record(&mut self, record: impl FnOnce(&Self) -> Record) {
        if self.recording {
            let record = record(self);
            self.records.push(record);
        }
    }

    /// Sets aside ids, so that a later life of the server starts above all that were given out, also those
    /// of messages that nobody subscribed to and that were thus not recorded.
    pub(super) fn reserve_message_ids(&mut self, count: u64) -> u64 {
        let first = self.next_message;
        self.next_message += count;
        if self.next_message > self.messages_reserved_below {
            self.messages_reserved_below = self.next_message + MESSAGE_IDS_RESERVED;
            self.record(|state| Record::Reserved {
                messages_below: state.messages_reserved_below,
                next_subscription: state.next_subscription,
                next_schema_revision: state.schemas.next_revision,
            });
        }
        first
    }

    pub(super) fn new_session_id(&mut self) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        id
    }

    pub(super) fn wake(&mut self, sessions: impl IntoIterator<Item = SessionId>) {
        self.woken.extend(sessions);
    }

    pub(super) fn topic(&self, name: &str) -> Result<&Topic> {
        self.topics.get(name).ok_or_else(|| Error::not_found(name))
    }

    pub(super) fn subscription(&self, name: &str) -> Result<&Subscription> {
        self.subscriptions.get(name).ok_or_else(|| Error::not_found(name))
    }

    /// Messages not acknowledged, over all subscriptions (a message counts once for each).
    #[must_use]
    pub fn unacked(&self) -> u64 {
        self.subscriptions.values().map(|subscription| subscription.unacked_count() as u64).sum()
    }

    /// Their bytes.
    #[must_use]
    pub fn unacked_bytes(&self) -> u64 {
        self.unacked_bytes
    }

    /// Bytes of the messages that snapshots keep, that topics retain, and of acknowledged ones that subscriptions retain.
    #[must_use]
    pub fn retained_bytes(&self) -> u64 {
        self.retained_bytes
    }

    /// Every topic by name, with what happened to it.
    pub fn topic_statistics(&self) -> impl Iterator<Item = (&str, TopicStatistics)> {
        self.topics.iter().map(|(name, topic)| {
            let statistics = TopicStatistics {
                published_messages: topic.published_messages,
                published_bytes: topic.published_bytes,
                subscriptions: topic.subscriptions.len() as u64,
            };
            (name.as_str(), statistics)
        })
    }

    /// Every subscription by name, with its backlog. Costs time in proportion to the messages delivered and
    /// not acknowledged.
    pub fn subscription_statistics(&self) -> impl Iterator<Item = (&str, SubscriptionStatistics)> {
        self.subscriptions.iter().map(|(name, it)| (name.as_str(), it.statistics()))
    }
}
