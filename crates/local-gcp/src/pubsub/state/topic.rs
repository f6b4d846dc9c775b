//! A topic: who gets its messages, and those it retains for seeks.
//!
//! Source: <https://cloud.google.com/pubsub/docs/replay-overview>.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::leases::is_too_old;
use super::machine::State;
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::config::to_std;
use crate::pubsub::message::Message;

/// A topic and who gets its messages.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) config: proto::Topic,
    pub(super) subscriptions: BTreeSet<String>,
    pub(super) published_messages: u64,
    pub(super) published_bytes: u64,
    /// Messages within the retention of the topic, by id; none without one.
    retained: BTreeMap<u64, Arc<Message>>,
    retained_bytes: u64,
}

impl Topic {
    pub(super) fn new(config: proto::Topic) -> Self {
        Self {
            config,
            subscriptions: BTreeSet::new(),
            published_messages: 0,
            published_bytes: 0,
            retained: BTreeMap::new(),
            retained_bytes: 0,
        }
    }

    pub(super) fn retention(&self) -> Option<Duration> {
        self.config.message_retention_duration.map(to_std)
    }

    pub(super) fn retained(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.retained.values()
    }

    pub(super) fn retained_bytes(&self) -> u64 {
        self.retained_bytes
    }

    fn retain(&mut self, messages: &[Arc<Message>]) {
        for message in messages {
            if self.retained.insert(message.id, Arc::clone(message)).is_none() {
                self.retained_bytes += message.size();
            }
        }
    }

    /// Forgets what is too old, or all when nothing is to be retained.
    fn drop_old(&mut self, now: Timestamp) {
        let retention = self.retention().unwrap_or(Duration::ZERO);
        while let Some(oldest) = self.retained.first_entry()
            && is_too_old(oldest.get(), retention, now)
        {
            self.retained_bytes -= oldest.remove().size();
        }
    }

    /// When the oldest message becomes too old.
    fn next_deadline(&self) -> Timestamp {
        let oldest = self.retained.first_key_value().map(|(_, oldest)| oldest.publish_time);
        oldest.map_or(Timestamp::MAX, |at| at + self.retention().unwrap_or(Duration::ZERO))
    }
}

impl State {
    /// Keeps messages of a topic that retains them.
    pub(super) fn retain_in_topic(&mut self, name: &str, messages: &[Arc<Message>]) {
        let Some(topic) = self.topics.get_mut(name).filter(|it| it.retention().is_some()) else {
            return;
        };
        let before = topic.retained_bytes;
        topic.retain(messages);
        self.retained_bytes += topic.retained_bytes - before;
        let deadline = topic.next_deadline();
        self.wake_at(deadline);
    }

    /// Forgets what topics need not retain any more; tells when there is more to forget.
    pub(super) fn drop_old_in_topics(&mut self, now: Timestamp) -> Timestamp {
        let mut next = Timestamp::MAX;
        for topic in self.topics.values_mut() {
            let before = topic.retained_bytes;
            topic.drop_old(now);
            self.retained_bytes -= before - topic.retained_bytes;
            next = next.min(topic.next_deadline());
        }
        next
    }

    /// The retention of a subscription's topic changed; it is told with the subscription, and reaches its seeks.
    pub(super) fn spread_retention(&mut self, name: &str) {
        let Some(topic) = self.topics.get(name) else { return };
        let retention = topic.config.message_retention_duration;
        for subscription in &topic.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(subscription) {
                subscription.set_topic_retention(retention);
            }
        }
        // What is retained without reason goes with the next step.
        self.wake_at(Timestamp::EPOCH);
    }
}
