//! Steps that move messages: publish, pull sessions, acknowledge, change deadlines.

use std::sync::Arc;
use std::time::Duration;

use super::leases::{AckFailures, Acknowledged};
use super::machine::State;
use super::record::Record;
use super::session::{SessionId, SessionOptions};
use super::subscription::{BatchLimit, Subscription};
use crate::clock::Timestamp;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::message::{AckId, Delivery, Message, NewMessage};
use crate::pubsub::names;

/// Messages in one publish request.
const PUBLISH_MESSAGES_MAX: usize = 1_000;
/// Bytes of the messages of one publish request.
const PUBLISH_BYTES_MAX: usize = 10_000_000;
const ATTRIBUTES_MAX: usize = 100;
const ATTRIBUTE_KEY_BYTES_MAX: usize = 256;
const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1_024;
const ORDERING_KEY_BYTES_MAX: usize = 1_024;
/// Longest extension of a deadline, in seconds.
const EXTENSION_SECONDS_MAX: i32 = 600;
/// Deadlines of streams, in seconds.
const STREAM_DEADLINE_SECONDS: std::ops::RangeInclusive<u64> = 10..=600;

impl State {
    /// Accepts messages and hands them to every subscription of the topic; returns the first of their ids,
    /// which follow one another.
    ///
    /// # Errors
    /// When there is no such topic, a message or the request breaks a limit, or the server is full.
    pub fn publish(
        &mut self,
        name: &str,
        messages: Vec<NewMessage>,
        now: Timestamp,
    ) -> Result<u64> {
        names::check_topic(name)?;
        let topic = self.topics.get(name).ok_or_else(|| Error::not_found(name))?;
        check_messages(&messages)?;
        let messages = match &topic.config.schema_settings {
            Some(settings) => self.conform(settings, messages)?,
            None => messages,
        };
        let snapshots = self.snapshots_of(name);
        let holders = topic.subscriptions.len() + snapshots.len();
        self.check_room(holders + usize::from(topic.retention().is_some()), &messages)?;
        let count = messages.len() as u64;
        let first = self.reserve_message_ids(count);
        let messages: Vec<Arc<Message>> =
            (first..).zip(messages).map(|(id, m)| stamp(id, m, now)).collect();
        let bytes = messages.iter().map(|message| message.size()).sum();
        let Some(topic) = self.topics.get_mut(name) else { return Err(Error::not_found(name)) };
        topic.published_messages += count;
        topic.published_bytes += bytes;
        let is_retained = topic.retention().is_some();
        if topic.subscriptions.is_empty() && snapshots.is_empty() && !is_retained {
            return Ok(first);
        }
        for subscription in topic.subscriptions.clone() {
            self.change(&subscription, |it| it.publish(&messages, bytes))?;
        }
        for snapshot in snapshots {
            self.add_to_snapshot(&snapshot, &messages);
        }
        if is_retained {
            self.retain_in_topic(name, &messages);
        }
        self.record(|_| Record::Published { topic: name.to_owned(), messages });
        Ok(first)
    }

    fn check_room(&self, subscriptions: usize, messages: &[NewMessage]) -> Result<()> {
        let bytes: usize = messages.iter().map(|message| message.data.len()).sum();
        let held = self.unacked_bytes + self.retained_bytes;
        let limit = self.limits.unacked_bytes_max;
        if held.saturating_add((bytes * subscriptions) as u64) > limit {
            return Err(Error::Full { held, limit });
        }
        Ok(())
    }

    /// Opens a session that takes messages from a subscription; close it after use.
    ///
    /// # Errors
    /// When there is no such subscription, it is detached, or an option is out of range.
    pub fn open_session(&mut self, name: &str, options: SessionOptions) -> Result<SessionId> {
        self.check_attached(name)?;
        if let Some(deadline) = options.ack_deadline {
            check_stream_deadline(deadline)?;
        }
        let id = self.new_session_id();
        self.change(name, |subscription| subscription.open_session(id, options))?;
        self.sessions.insert(id, name.to_owned());
        Ok(id)
    }

    /// Changes the acknowledgement deadline of the deliveries to come of a session.
    ///
    /// # Errors
    /// When the session ended with its subscription, or the deadline is out of range.
    pub fn set_session_deadline(&mut self, id: SessionId, deadline: Duration) -> Result<()> {
        check_stream_deadline(deadline)?;
        self.change_of_session(id, |subscription| {
            if let Some(session) = subscription.sessions.get_mut(id) {
                session.options.ack_deadline = Some(deadline);
            }
        })
    }

    /// Ends a session; what it holds stays leased until its deadline. Ending it twice is harmless.
    pub fn close_session(&mut self, id: SessionId) {
        if let Some(name) = self.sessions.remove(&id) {
            // The subscription may be gone, and the session with it.
            let _ = self.change(&name, |subscription| subscription.close_session(id));
        }
    }

    /// Leases messages to a session. When none is returned the session waits: it will be among
    /// [`take_woken`](Self::take_woken) once there is something.
    ///
    /// # Errors
    /// When the subscription was deleted or detached since the session was opened.
    pub fn take(
        &mut self,
        id: SessionId,
        limit: BatchLimit,
        now: Timestamp,
    ) -> Result<Vec<Delivery>> {
        self.advance(now);
        if let Some(name) = self.sessions.get(&id) {
            self.check_attached(name)?;
        }
        self.change_of_session(id, |subscription| subscription.take(id, limit, now))
    }

    /// Leases messages to nobody in particular, at once or not at all: a unary pull that does not wait.
    ///
    /// # Errors
    /// When there is no such subscription, it is detached, or `messages_max` is not positive.
    pub fn pull(&mut self, name: &str, messages_max: i32, now: Timestamp) -> Result<Vec<Delivery>> {
        let limit = check_pull(messages_max)?;
        let id = self.open_session(name, SessionOptions::default())?;
        let taken = self.take(id, limit, now);
        self.close_session(id);
        taken
    }

    /// Acknowledges deliveries; ids that mean nothing any more are ignored.
    ///
    /// # Errors
    /// When there is no such subscription; where delivery is exactly once, when some ids mean nothing any more (the
    /// others count).
    pub fn acknowledge(&mut self, name: &str, ack_ids: &[AckId]) -> Result<()> {
        names::check_subscription(name)?;
        let Acknowledged { messages, failures } =
            self.change(name, |subscription| subscription.acknowledge(ack_ids))?;
        if !messages.is_empty() {
            self.record(|_| Record::Acknowledged { subscription: name.to_owned(), messages });
        }
        all_or(failures)
    }

    /// Sets the deadlines of deliveries to so many seconds from now each; 0 makes the message available
    /// for redelivery. Ids that mean nothing any more are ignored.
    ///
    /// # Errors
    /// When there is no such subscription, or a number of seconds is outside 0 to 600; where delivery is exactly
    /// once, when some ids mean nothing any more (the others count).
    pub fn modify_ack_deadline(
        &mut self,
        name: &str,
        changes: &[(AckId, i32)],
        now: Timestamp,
    ) -> Result<()> {
        names::check_subscription(name)?;
        if let Some((_, wrong)) =
            changes.iter().find(|(_, s)| !(0..=EXTENSION_SECONDS_MAX).contains(s))
        {
            return Err(Error::invalid(format!(
                "Invalid ack deadline given: {wrong} seconds; it must be between 0 and {EXTENSION_SECONDS_MAX}."
            )));
        }
        let changes = changes
            .iter()
            .map(|&(id, seconds)| (id, Duration::from_secs(u64::try_from(seconds).unwrap_or(0))));
        let failures =
            self.change(name, |subscription| subscription.modify_ack_deadline(changes, now))?;
        all_or(failures)
    }

    fn change_of_session<T>(
        &mut self,
        id: SessionId,
        step: impl FnOnce(&mut Subscription) -> T,
    ) -> Result<T> {
        let ended = || Error::NotFound { resource: "subscription of this pull".to_owned() };
        // Taken out for the call, so that the hot path does not clone the name.
        let name = self.sessions.remove(&id).ok_or_else(ended)?;
        let result = self.change(&name, step);
        self.sessions.insert(id, name);
        result
    }

    pub(super) fn check_attached(&self, name: &str) -> Result<()> {
        names::check_subscription(name)?;
        if self.subscription(name)?.config.detached {
            let reason = format!("Subscription is detached (subscription={name}).");
            return Err(Error::FailedPrecondition { reason });
        }
        Ok(())
    }
}

/// An error if there are failures.
fn all_or(failures: AckFailures) -> Result<()> {
    if failures.is_empty() { Ok(()) } else { Err(Error::AckIds { failures }) }
}

/// How much a unary pull may return, from its `max_messages`.
pub(in crate::pubsub) fn check_pull(messages_max: i32) -> Result<BatchLimit> {
    match usize::try_from(messages_max) {
        Ok(messages) if messages > 0 => {
            Ok(BatchLimit { messages: messages.min(PUBLISH_MESSAGES_MAX), ..BatchLimit::default() })
        }
        _ => Err(Error::invalid(format!(
            "Invalid max_messages given: {messages_max}; it must be positive."
        ))),
    }
}

fn check_stream_deadline(deadline: Duration) -> Result<()> {
    if !STREAM_DEADLINE_SECONDS.contains(&deadline.as_secs()) {
        return Err(Error::invalid(format!(
            "Invalid stream_ack_deadline_seconds given: {}; it must be between 10 and 600.",
            deadline.as_secs()
        )));
    }
    Ok(())
}

/// Gives a message its id and time, and memory of its own: its parts are slices of the request they came
/// in, and one message left unacknowledged must not keep the other 999 in memory.
fn stamp(id: u64, message: NewMessage, now: Timestamp) -> Arc<Message> {
    Arc::new(Message {
        id,
        publish_time: now,
        data: bytes::Bytes::copy_from_slice(&message.data),
        attributes: message.attributes,
        ordering_key: message.ordering_key,
    })
}

fn check_messages(messages: &[NewMessage]) -> Result<()> {
    if messages.is_empty() {
        return Err(Error::invalid(
            "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.",
        ));
    }
    if messages.len() > PUBLISH_MESSAGES_MAX {
        return Err(Error::invalid(format!(
            "The value for message_count is too large. You passed {} in the request, but the maximum value is {PUBLISH_MESSAGES_MAX}.",
            messages.len()
        )));
    }
    let bytes: usize = messages.iter().map(|message| message.data.len()).sum();
    if bytes > PUBLISH_BYTES_MAX {
        return Err(Error::invalid(format!(
            "The value for request_size is too large. You passed {bytes} in the request, but the maximum value is {PUBLISH_BYTES_MAX}."
        )));
    }
    messages.iter().try_for_each(check_message)
}

fn check_message(message: &NewMessage) -> Result<()> {
    if message.data.is_empty() && message.attributes.is_empty() {
        return Err(Error::invalid(
            "One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.",
        ));
    }
    if message.attributes.len() > ATTRIBUTES_MAX {
        return Err(Error::invalid(format!(
            "A message has {} attributes, the maximum is {ATTRIBUTES_MAX}.",
            message.attributes.len()
        )));
    }
    for (key, value) in &message.attributes {
        if key.is_empty() || key.len() > ATTRIBUTE_KEY_BYTES_MAX || key.starts_with("goog") {
            return Err(Error::invalid(format!(
                "Invalid attribute key: it must have 1 to {ATTRIBUTE_KEY_BYTES_MAX} bytes and not begin with 'goog'."
            )));
        }
        if value.len() > ATTRIBUTE_VALUE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "Invalid attribute value: it has {} bytes, the maximum is {ATTRIBUTE_VALUE_BYTES_MAX}.",
                value.len()
            )));
        }
    }
    if message.ordering_key.len() > ORDERING_KEY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "Invalid ordering key: it has {} bytes, the maximum is {ORDERING_KEY_BYTES_MAX}.",
            message.ordering_key.len()
        )));
    }
    Ok(())
}
