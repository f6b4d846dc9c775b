//! Dead letters: what failed as often as its subscription allows goes to another topic.
//!
//! Source: <https://cloud.google.com/pubsub/docs/handling-failures>.

use std::sync::Arc;

use super::machine::State;
use super::record::Record;
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::message::Message;

/// The dead letter policy of a subscription.
#[derive(Debug)]
pub(super) struct DeadLetters {
    topic: String,
    /// Deliveries of a message at most.
    pub(super) attempts_max: u32,
    /// Whether it was said that the topic does not exist.
    is_reported: bool,
}

impl DeadLetters {
    pub(super) fn of(policy: &proto::DeadLetterPolicy) -> Self {
        Self {
            topic: policy.dead_letter_topic.clone(),
            attempts_max: u32::try_from(policy.max_delivery_attempts).unwrap_or(u32::MAX),
            is_reported: false,
        }
    }

    /// Says once that messages cannot be forwarded.
    fn report(&mut self, subscription: &str) {
        if !std::mem::replace(&mut self.is_reported, true) {
            let topic = self.topic.as_str();
            tracing::warn!(
                subscription,
                topic,
                "the dead letter topic does not exist: redelivering"
            );
        }
    }
}

impl State {
    /// Forwards messages whose last delivery failed, each with one record, so that none is lost or doubled by a crash; without
    /// a topic to forward to, they go on being delivered.
    pub(super) fn bury(&mut self, name: &str, dead: Vec<(u64, Timestamp)>) {
        for (id, now) in dead {
            let Some(subscription) = self.subscriptions.get_mut(name) else { return };
            let Some(open) = subscription.open.get(&id).filter(|it| it.is_leased()) else {
                continue;
            };
            let (message, attempt) = (Arc::clone(&open.message), open.attempt);
            let Some(policy) = &mut subscription.dead_letters else { continue };
            if !self.topics.contains_key(&policy.topic) {
                policy.report(name);
                let _ = self.change(name, |it| {
                    it.give_back(id, now);
                    it.wake();
                });
                continue;
            }
            let topic = policy.topic.clone();
            let id = self.reserve_message_ids(1);
            let forwarded = Arc::new(forwarded(&message, name, attempt, id, now));
            let (subscription, message) = (name.to_owned(), message.id);
            let record = Record::DeadLettered { subscription, message, topic, forwarded };
            self.apply_dead_letter(&record);
            self.record(|_| record);
        }
    }

    /// Moves a message from a subscription to a topic; the same at run time and in a replay, but for the
    /// deliverability of what was restored.
    fn apply_dead_letter(&mut self, record: &Record) {
        let Record::DeadLettered { subscription, message, topic, forwarded } = record else {
            return;
        };
        let _ = self.change(subscription, |it| {
            it.counters.dead_lettered += u64::from(it.remove(*message));
            it.wake();
        });
        let messages = [Arc::clone(forwarded)];
        let Some(topic) = self.topics.get_mut(topic) else { return };
        topic.published_messages += 1;
        topic.published_bytes += forwarded.size();
        let name = topic.config.name.clone();
        for subscription in topic.subscriptions.clone() {
            let _ = self.change(&subscription, |it| it.publish(&messages, forwarded.size()));
        }
        self.retain_in_topic(&name, &messages);
        for snapshot in self.snapshots_of(&name) {
            self.add_to_snapshot(&snapshot, &messages);
        }
    }
}

/// A message as the dead letter topic gets it.
fn forwarded(
    message: &Message,
    subscription: &str,
    attempt: u32,
    id: u64,
    now: Timestamp,
) -> Message {
    let mut parts = subscription.split('/').skip(1);
    let project = parts.next().unwrap_or_default().to_owned();
    let subscription = parts.nth(1).unwrap_or_default().to_owned();
    let mut attributes = message.attributes.clone();
    attributes.extend(
        [
            ("DeliveryCount", attempt.to_string()),
            ("Subscription", subscription),
            ("SubscriptionProject", project),
            ("TopicPublishTime", rfc3339(message.publish_time)),
        ]
        .map(|(name, value)| (format!("CloudPubSubDeadLetterSource{name}"), value)),
    );
    // Whether Google keeps the ordering key is not said; here it does no harm.
    Message { id, publish_time: now, attributes, ..message.clone() }
}

/// Milliseconds and a numeric offset, as Google writes this attribute.
fn rfc3339(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(at) => format!("{}+00:00", at.strftime("%Y-%m-%dT%H:%M:%S%.3f")),
        Err(_) => at.to_string(),
    }
}
