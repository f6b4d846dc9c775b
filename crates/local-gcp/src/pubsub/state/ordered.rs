//! Messages with ordering keys on a subscription that orders them.
//!
//! They are open from the start. One that fails takes with it all later ones of its key, also those that were
//! acknowledged: so an acknowledgement is final only once every older message of the key is acknowledged, and one
//! of a delivery that ended has no effect.

use std::sync::Arc;

use super::leases::{is_too_old, schedule};
use super::session::SessionId;
use super::subscription::{Open, Phase, Subscription};
use crate::clock::Timestamp;
use crate::pubsub::message::{AckId, Delivery, Message};

impl Subscription {
    /// Adds a message that has a key.
    pub(super) fn open_in_order(&mut self, message: Arc<Message>) {
        if let Some(ordering) = &mut self.ordering {
            ordering.add(&message);
            self.open.insert(message.id, Open::waiting(message));
        }
    }

    pub(super) fn lease_next_in_order(
        &mut self,
        session: SessionId,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Option<Delivery> {
        loop {
            let id = self.ordering.as_mut()?.next(session)?;
            let Some(open) = self.open.get_mut(&id) else { continue };
            if is_too_old(&open.message, self.retention, now) {
                self.drop_in_order(id);
                continue;
            }
            open.attempt = open.attempt.saturating_add(1);
            open.session = session;
            open.acknowledged = false;
            open.is_restored = false;
            self.counters.redelivered += u64::from(open.delivery > 0);
            return Some(self.lease(id, deadline));
        }
    }

    /// Whether a message has a place in the order of a key.
    pub(super) fn is_in_order(&self, message: &Message) -> bool {
        self.ordering.is_some() && message.is_ordered()
    }

    /// Notes that a message was processed.
    pub(super) fn acknowledge_in_order(&mut self, ack_id: AckId) {
        let Some(open) = self.open.get(&ack_id.message) else { return };
        if !open.is_restored && !self.is_held(open, ack_id) {
            return;
        }
        let Some(open) = self.open.get_mut(&ack_id.message) else { return };
        let message = Arc::clone(&open.message);
        open.acknowledged = true;
        if open.is_leased() {
            open.phase = Phase::Acknowledged;
            self.leased -= 1;
            self.sessions.release(open.session, message.size());
        }
        self.commit(&message.ordering_key);
    }

    /// Is done with acknowledged messages that have become the oldest of their key.
    pub(super) fn commit(&mut self, key: &str) {
        while let Some(first) = self.ordering.as_ref().and_then(|it| it.first(key))
            && self.open.get(&first).is_some_and(|open| open.acknowledged)
        {
            self.remove_alone(first);
            self.counters.acknowledged += 1;
            self.outcome.done.push(first);
        }
    }

    /// Whether every older message of the same key is acknowledged.
    pub(super) fn is_first_of_key(&self, message: &Message) -> bool {
        let ordering = self.ordering.as_ref();
        ordering.is_none_or(|it| it.first(&message.ordering_key) == Some(message.id))
    }

    /// Ends a lease without success, and with it the deliveries of all later messages of the key, which do not
    /// count as failed.
    pub(super) fn fail_in_order(&mut self, id: u64, now: Timestamp) {
        let Some(open) = self.open.get(&id) else { return };
        let message = Arc::clone(&open.message);
        self.take_back(&message.ordering_key, Some(id));
        let Some(open) = self.open.get_mut(&id) else { return };
        // The one to blame keeps the count of the delivery that failed.
        open.attempt = open.attempt.saturating_add(1);
        let Some(ordering) = &mut self.ordering else { return };
        match self.backoff {
            Some(backoff) => {
                let until = now + backoff.after(open.attempt);
                open.phase = Phase::BackingOff { until };
                schedule(&mut self.expiries, open, until);
                ordering.back_off(&message.ordering_key, id);
            }
            None => ordering.resume(&message.ordering_key),
        }
        if is_too_old(&message, self.retention, now) {
            self.drop_in_order(id);
        }
    }

    /// Ends deliveries of a key from `id` on, or all, as if they had not been.
    pub(super) fn take_back(&mut self, key: &str, id: Option<u64>) {
        let Some(ordering) = &mut self.ordering else { return };
        for id in ordering.take_back(key, id) {
            let Some(open) = self.open.get_mut(&id) else { continue };
            if open.is_leased() {
                self.leased -= 1;
                self.sessions.release(open.session, open.message.size());
            }
            ordering.note_age(open.message.publish_time);
            open.attempt = open.attempt.saturating_sub(1);
            open.acknowledged = false;
            open.phase = Phase::Ready;
        }
    }

    /// The backoff of the next message of a key is over.
    pub(super) fn resume(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.phase = Phase::Ready;
        if let Some(ordering) = &mut self.ordering {
            ordering.resume(&open.message.ordering_key);
        }
    }

    fn drop_in_order(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        if let Some(ordering) = &mut self.ordering {
            ordering.remove(&open.message.ordering_key, id);
        }
        self.note_dropped(&open.message);
        self.commit(&open.message.ordering_key);
    }

    /// Gives up messages that wait and are older than the retention.
    pub(super) fn drop_old_in_order(&mut self, now: Timestamp) {
        let Some(ordering) = &self.ordering else { return };
        if ordering.oldest() + self.retention > now {
            return;
        }
        let mut oldest = Timestamp::MAX;
        let mut old = Vec::new();
        for message in ordering.all_waiting().filter_map(|id| self.open.get(&id)) {
            let message = &message.message;
            if is_too_old(message, self.retention, now) {
                old.push(message.id);
            } else {
                oldest = oldest.min(message.publish_time);
            }
        }
        if let Some(ordering) = &mut self.ordering {
            ordering.set_oldest(oldest);
        }
        old.into_iter().for_each(|id| self.drop_in_order(id));
    }
}
