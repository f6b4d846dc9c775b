//! What is persisted of the state, and how it is restored.
//!
//! Leases, sessions and backoffs are not persisted: after a restart every unacknowledged message is
//! deliverable at once, which at-least-once delivery allows. A delivery that the restart cut short counts as
//! neither failed nor made.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::machine::State;
use crate::journal::BoxError;
use crate::proto::pubsub as proto;
use crate::pubsub::message::Message;

/// Bytes of messages after which a record of a snapshot is closed: a record must fit the journal's frame.
const SNAPSHOT_RECORD_BYTES: u64 = 4 << 20;

/// One change of the state. The order of variants and fields is free, their names are the format.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Record {
    /// A server was started on this state for the n-th time.
    Started {
        /// n.
        incarnation: u64,
    },
    /// Message ids below the bound may have been given out; so may subscription numbers.
    Reserved {
        /// The bound.
        messages_below: u64,
        /// The next number of a subscription.
        next_subscription: u64,
        /// The next number of a revision of a schema.
        #[serde(default)]
        next_schema_revision: u64,
    },
    /// A topic was created or changed.
    Topic {
        /// The encoded `google.pubsub.v1.Topic`.
        topic: Bytes,
    },
    /// A topic was deleted.
    TopicDeleted {
        /// Its name.
        name: String,
    },
    /// A schema was created or got a revision.
    Schema {
        /// The revision's number among all.
        number: u64,
        /// The encoded `google.pubsub.v1.Schema`.
        schema: Bytes,
    },
    /// A revision of a schema was deleted.
    SchemaRevisionDeleted {
        /// The schema's name.
        name: String,
        /// The revision's id.
        revision_id: String,
    },
    /// A schema was deleted with all revisions.
    SchemaDeleted {
        /// Its name.
        name: String,
    },
    /// A subscription was created, changed or detached.
    Subscription {
        /// Its number in acknowledgement ids.
        number: u64,
        /// The encoded `google.pubsub.v1.Subscription`.
        subscription: Bytes,
    },
    /// A subscription was deleted.
    SubscriptionDeleted {
        /// Its name.
        name: String,
    },
    /// Messages were published to a topic with subscriptions.
    Published {
        /// The topic's name.
        topic: String,
        /// The messages, with their ids.
        messages: Vec<Arc<Message>>,
    },
    /// A subscription has no further interest in messages.
    Acknowledged {
        /// The subscription's name.
        subscription: String,
        /// Ids of the messages.
        messages: Vec<u64>,
    },
    /// Deliveries failed, on a subscription with a dead letter policy.
    Failed {
        /// The subscription's name.
        subscription: String,
        /// Ids of messages, and how often they failed by now.
        attempts: Vec<(u64, u32)>,
    },
    /// A message left a subscription for a dead letter topic.
    DeadLettered {
        /// The subscription's name.
        subscription: String,
        /// The message's id there.
        message: u64,
        /// The dead letter topic's name.
        topic: String,
        /// The message as published there, with an id of its own.
        forwarded: Arc<Message>,
    },
    /// A snapshot (of a subscription, not of this state) was taken of what a subscription has not acknowledged.
    SnapshotTaken {
        /// The encoded `google.pubsub.v1.Snapshot`.
        snapshot: Bytes,
        /// The subscription's name.
        subscription: String,
    },
    /// A snapshot of a subscription was changed; in a rewritten journal, was taken.
    Snapshot {
        /// The encoded `google.pubsub.v1.Snapshot`.
        snapshot: Bytes,
    },
    /// A snapshot of a subscription was deleted, or its time was over.
    SnapshotDeleted {
        /// Its name.
        name: String,
    },
    /// In a rewritten journal, or after a seek: messages, and who has not acknowledged them.
    Backlog {
        /// The messages.
        messages: Vec<Arc<Message>>,
        /// Positions in `messages`, by subscription, snapshot, or topic that retains them.
        unacked: BTreeMap<String, Vec<u32>>,
    },
}

impl Record {
    pub(super) fn topic(topic: &proto::Topic) -> Self {
        Self::Topic { topic: topic.encode_to_vec().into() }
    }

    pub(super) fn schema(number: u64, schema: &proto::Schema) -> Self {
        Self::Schema { number, schema: schema.encode_to_vec().into() }
    }

    pub(super) fn subscription(number: u64, subscription: &proto::Subscription) -> Self {
        Self::Subscription { number, subscription: subscription.encode_to_vec().into() }
    }

    pub(super) fn snapshot(snapshot: &proto::Snapshot) -> Self {
        Self::Snapshot { snapshot: snapshot.encode_to_vec().into() }
    }

    pub(super) fn snapshot_taken(snapshot: &proto::Snapshot, subscription: String) -> Self {
        Self::SnapshotTaken { snapshot: snapshot.encode_to_vec().into(), subscription }
    }
}

impl State {
    /// Applies a record of an earlier life of the server.
    ///
    /// # Errors
    /// When the record does not decode.
    pub fn replay(&mut self, record: Record) -> Result<(), BoxError> {
        match record {
            Record::Started { incarnation } => self.incarnation = incarnation,
            Record::Reserved { messages_below, next_subscription, next_schema_revision } => {
                let schemas = &mut self.schemas;
                schemas.next_revision = schemas.next_revision.max(next_schema_revision);
                self.messages_reserved_below = self.messages_reserved_below.max(messages_below);
                self.next_subscription = self.next_subscription.max(next_subscription);
            }
            Record::Published { topic, messages } => self.replay_published(&topic, &messages),
            Record::Acknowledged { subscription, messages } => {
                self.replay_acknowledged(&subscription, &messages);
            }
            Record::Failed { subscription, attempts } => {
                let _ = self.change(&subscription, |it| {
                    attempts.iter().for_each(|&(id, failures)| it.restore_failures(id, failures));
                });
            }
            Record::DeadLettered { subscription, message, topic, forwarded } => {
                self.replay_acknowledged(&subscription, &[message]);
                self.replay_published(&topic, &[forwarded]);
            }
            Record::Backlog { messages, unacked } => self.replay_backlog(&messages, &unacked),
            admin => self.apply_admin(&admin)?,
        }
        Ok(())
    }

    fn replay_acknowledged(&mut self, subscription: &str, messages: &[u64]) {
        let _ = self.change(subscription, |it| {
            messages.iter().for_each(|&id| {
                it.remove(id);
            });
        });
    }

    fn replay_published(&mut self, topic: &str, messages: &[Arc<Message>]) {
        self.note_ids(messages);
        for snapshot in self.snapshots_of(topic) {
            self.add_to_snapshot(&snapshot, messages);
        }
        self.retain_in_topic(topic, messages);
        let Some(topic) = self.topics.get(topic) else { return };
        for subscription in topic.subscriptions.clone() {
            let _ = self.change(&subscription, |it| {
                messages.iter().for_each(|message| it.restore(Arc::clone(message)));
            });
        }
    }

    fn replay_backlog(&mut self, messages: &[Arc<Message>], unacked: &BTreeMap<String, Vec<u32>>) {
        self.note_ids(messages);
        for (holder, positions) in unacked {
            let positions = positions.iter();
            let held = positions.filter_map(|&position| messages.get(position as usize).cloned());
            if self.topics.contains_key(holder) {
                self.retain_in_topic(holder, &held.collect::<Vec<_>>());
            } else if self.snapshots.contains_key(holder) {
                self.add_to_snapshot(holder, &held.collect::<Vec<_>>());
            } else {
                let _ = self.change(holder, |it| held.for_each(|message| it.restore(message)));
            }
        }
    }

    fn note_ids(&mut self, messages: &[Arc<Message>]) {
        let next = messages.last().map_or(0, |message| message.id + 1);
        self.next_message = self.next_message.max(next);
    }

    /// Records that lead to the current state, for a rewritten journal.
    pub fn snapshot(&self) -> impl Iterator<Item = Record> {
        let head = [
            Record::Started { incarnation: self.incarnation },
            Record::Reserved {
                messages_below: self.messages_reserved_below,
                next_subscription: self.next_subscription,
                next_schema_revision: self.schemas.next_revision,
            },
        ];
        let topics = self.topics.values().map(|topic| Record::topic(&topic.config));
        let subscriptions = self
            .subscriptions
            .values()
            .map(|subscription| Record::subscription(subscription.number, &subscription.config));
        let snapshots = self.snapshots.values().map(|it| Record::snapshot(&it.config));
        let config = self.schemas.records().chain(topics).chain(subscriptions).chain(snapshots);
        let messages = self.backlog().chain(self.acknowledged()).chain(self.failed());
        head.into_iter().chain(config).chain(messages)
    }

    /// All messages kept by id, each once, cut into records.
    fn backlog(&self) -> impl Iterator<Item = Record> {
        let mut holders: BTreeMap<u64, (Arc<Message>, Vec<&str>)> = BTreeMap::new();
        for (name, subscription) in &self.subscriptions {
            for message in subscription.unacked().chain(subscription.retained()) {
                hold(&mut holders, message, name);
            }
        }
        for (name, topic) in &self.topics {
            topic.retained().for_each(|message| hold(&mut holders, message, name));
        }
        for (name, snapshot) in &self.snapshots {
            snapshot.messages().for_each(|message| hold(&mut holders, message, name));
        }
        let mut rest = holders.into_values();
        std::iter::from_fn(move || next_backlog_record(&mut rest))
    }

    /// How often deliveries failed, where that is counted.
    fn failed(&self) -> impl Iterator<Item = Record> {
        self.subscriptions.iter().filter_map(|(name, subscription)| {
            let (subscription, attempts) = (name.clone(), subscription.failures());
            (!attempts.is_empty()).then_some(Record::Failed { subscription, attempts })
        })
    }

    /// What subscriptions retain though it is acknowledged: in the backlog before, and acknowledged here.
    fn acknowledged(&self) -> impl Iterator<Item = Record> {
        self.subscriptions.iter().filter_map(|(name, subscription)| {
            let messages: Vec<_> = subscription.retained().map(|message| message.id).collect();
            let subscription = name.clone();
            (!messages.is_empty()).then_some(Record::Acknowledged { subscription, messages })
        })
    }
}

fn hold<'a>(
    holders: &mut BTreeMap<u64, (Arc<Message>, Vec<&'a str>)>,
    message: &Arc<Message>,
    name: &'a str,
) {
    let entry = holders.entry(message.id).or_insert_with(|| (Arc::clone(message), Vec::new()));
    entry.1.push(name);
}

pub(super) fn next_backlog_record<'a>(
    rest: &mut impl Iterator<Item = (Arc<Message>, Vec<&'a str>)>,
) -> Option<Record> {
    let mut bytes = 0;
    let mut messages = Vec::new();
    let mut unacked: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    while bytes < SNAPSHOT_RECORD_BYTES
        && let Some((message, names)) = rest.next()
    {
        let position = messages.len() as u32;
        bytes += message.size();
        messages.push(message);
        for name in names {
            unacked.entry(name.to_owned()).or_default().push(position);
        }
    }
    (!messages.is_empty()).then_some(Record::Backlog { messages, unacked })
}
