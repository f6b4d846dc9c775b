//! What becomes of deliveries: acknowledged, extended, refused, expired, given up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use super::subscription::{Open, Phase, Subscription};
use crate::clock::Timestamp;
use crate::pubsub::error::AckFailure;
use crate::pubsub::message::{AckId, Message};

/// Expiry entries beyond twice the open messages that are tolerated before the heap is cleaned.
const STALE_EXPIRIES_MAX: usize = 1024;

/// Acknowledgement ids without effect, on a subscription that tells them.
pub(super) type AckFailures = Vec<(AckId, AckFailure)>;

/// What acknowledgements did.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// Ids of the messages that are done with, but for those with keys.
    pub(super) messages: Vec<u64>,
    pub(super) failures: AckFailures,
}

impl Subscription {
    /// Forgets acknowledged messages.
    ///
    /// An id of an older delivery counts too, the message was processed, whoever holds it now; but not where
    /// delivery is exactly once.
    pub(super) fn acknowledge(&mut self, ack_ids: &[AckId]) -> Acknowledged {
        let messages = Vec::with_capacity(ack_ids.len());
        let mut done = Acknowledged { messages, failures: Vec::new() };
        if self.exactly_once && self.ordering.is_some() {
            // Acknowledgements of one request count in the order of their messages.
            let mut ack_ids = ack_ids.to_vec();
            ack_ids.sort_unstable_by_key(|ack_id| ack_id.message);
            ack_ids.into_iter().for_each(|ack_id| self.acknowledge_one(ack_id, &mut done));
        } else {
            ack_ids.iter().for_each(|ack_id| self.acknowledge_one(*ack_id, &mut done));
        }
        self.counters.acknowledged += done.messages.len() as u64;
        self.clean_expiries();
        self.wake();
        done
    }

    fn acknowledge_one(&mut self, ack_id: AckId, done: &mut Acknowledged) {
        if self.exactly_once
            && let Err(failure) = self.check_ack(ack_id)
        {
            done.failures.push((ack_id, failure));
        } else if ack_id.subscription != self.number {
            // Of a subscription that had this name before.
        } else if self.ordering.is_some() && self.has_key(ack_id.message) {
            self.acknowledge_in_order(ack_id);
        } else if self.remove(ack_id.message) {
            done.messages.push(ack_id.message);
        }
    }

    fn has_key(&self, id: u64) -> bool {
        self.open.get(&id).is_some_and(|open| open.message.is_ordered())
    }

    /// Whether an id names the newest delivery of a message, which has not ended.
    fn check_ack(&self, ack_id: AckId) -> Result<(), AckFailure> {
        let Some(open) = self.open.get(&ack_id.message).filter(|it| self.is_held(it, ack_id))
        else {
            // Google does not say what a second acknowledgement gets; here its delivery has ended.
            return Err(AckFailure::Invalid);
        };
        if self.is_in_order(&open.message) && !self.is_first_of_key(&open.message) {
            return Err(AckFailure::Unordered);
        }
        Ok(())
    }

    pub(super) fn is_held(&self, open: &Open, ack_id: AckId) -> bool {
        open.is_held_by(self.number, ack_id)
    }

    /// Removes an open message whatever its phase, as acknowledged; returns whether it was there.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        match self.remove_alone(id) {
            Some(message) if self.is_in_order(&message) => self.commit(&message.ordering_key),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// Removes it without regard to later ones of its key that were waiting for that.
    pub(super) fn remove_alone(&mut self, id: u64) -> Option<Arc<Message>> {
        let open = self.open.remove(&id)?;
        let size = open.message.size();
        self.unacked_bytes -= size;
        if open.is_leased() {
            self.leased -= 1;
            self.sessions.release(open.session, size);
        }
        if self.is_in_order(&open.message) {
            if let Some(ordering) = &mut self.ordering {
                ordering.remove(&open.message.ordering_key, id);
            }
        } else if open.phase == Phase::Ready {
            // Its id stays in the redelivery queue and is skipped there.
            self.ready -= 1;
        }
        self.retain(&open.message);
        Some(open.message)
    }

    /// Gives leases a new deadline, `extension` from now; zero fails the delivery at once.
    ///
    /// Only the newest delivery of a message can be changed, and only while it is leased; other ids are told
    /// where delivery is exactly once.
    pub(super) fn modify_ack_deadline(
        &mut self,
        ack_ids: impl Iterator<Item = (AckId, Duration)>,
        now: Timestamp,
    ) -> AckFailures {
        let mut failures = Vec::new();
        let number = self.number;
        for (ack_id, extension) in ack_ids {
            let open = self.open.get_mut(&ack_id.message);
            let Some(open) = open.filter(|open| open.is_held_by(number, ack_id)) else {
                if self.exactly_once {
                    failures.push((ack_id, AckFailure::Invalid));
                }
                continue;
            };
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
        failures
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
                Phase::Acknowledged | Phase::Ready => {}
            }
        }
        self.drop_old_fresh(now);
        self.drop_old_in_order(now);
        self.drop_old_retained(now);
        self.wake();
    }

    /// Ends a lease without success. After the last delivery that the dead letter policy allows, the lease
    /// stays until the message was forwarded or [`give_back`](Self::give_back) is called.
    fn fail(&mut self, id: u64, now: Timestamp) {
        let Some(open) = self.open.get(&id) else { return };
        if self.dead_letters.as_ref().is_some_and(|policy| open.attempt >= policy.attempts_max) {
            self.outcome.dead.push((id, now));
        } else {
            self.give_back(id, now);
        }
    }

    /// Ends a lease without success and without regard to its number.
    pub(super) fn give_back(&mut self, id: u64, now: Timestamp) {
        let Some(open) = self.open.get_mut(&id).filter(|open| open.is_leased()) else { return };
        if self.dead_letters.is_some() {
            self.outcome.failed.push((id, open.attempt));
        }
        let message = &open.message;
        if self.ordering.is_some() && message.is_ordered() {
            return self.fail_in_order(id, now);
        }
        self.leased -= 1;
        self.sessions.release(open.session, message.size());
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
        if self.ordering.is_some() && open.message.is_ordered() {
            self.resume(id);
        } else if is_too_old(&open.message, self.retention, now) {
            self.drop_open(id);
        } else {
            open.phase = Phase::Ready;
            self.ready += 1;
            self.redelivery.push_back(id);
        }
    }

    /// Gives up an open message that is neither leased nor counted as ready.
    pub(super) fn drop_open(&mut self, id: u64) {
        if let Some(open) = self.open.remove(&id) {
            self.note_dropped(&open.message);
        }
    }

    pub(super) fn drop_old_fresh(&mut self, now: Timestamp) {
        while let Some(message) = self.fresh.pop_front_if(|m| is_too_old(m, self.retention, now)) {
            self.note_dropped(&message);
        }
    }

    pub(super) fn note_dropped(&mut self, message: &Message) {
        self.unacked_bytes -= message.size();
        self.counters.dropped += 1;
        self.outcome.done.push(message.id);
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(super) fn next_deadline(&self) -> Timestamp {
        let expiry = self.expiries.peek().map_or(Timestamp::MAX, |Reverse((at, _))| *at);
        let oldest = self.fresh.front().map_or(Timestamp::MAX, |m| m.publish_time + self.retention);
        let retained = self.retained.first_key_value();
        let retained = retained.map_or(Timestamp::MAX, |(_, m)| m.publish_time + self.retention);
        let in_order =
            self.ordering.as_ref().map_or(Timestamp::MAX, |it| it.oldest() + self.retention);
        expiry.min(oldest).min(retained).min(in_order)
    }

    /// Drops entries of acknowledged messages when they outweigh the live ones, so that long deadlines do
    /// not keep memory in proportion to the rate.
    pub(super) fn clean_expiries(&mut self) {
        if self.expiries.len() > 2 * self.open.len() + STALE_EXPIRIES_MAX {
            let open = &self.open;
            self.expiries.retain(|Reverse((at, id))| {
                open.get(id).is_some_and(|open| open.scheduled == Some(*at))
            });
        }
    }
}

pub(super) fn is_too_old(message: &Message, retention: Duration, now: Timestamp) -> bool {
    message.publish_time + retention <= now
}

/// Makes sure that `open` is looked at no later than `at`. An entry made earlier for an earlier time
/// serves too: when it comes up, the real deadline is entered. So extending a lease costs nothing.
pub(super) fn schedule(
    expiries: &mut BinaryHeap<Reverse<(Timestamp, u64)>>,
    open: &mut Open,
    at: Timestamp,
) {
    if open.scheduled.is_none_or(|scheduled| at < scheduled) {
        open.scheduled = Some(at);
        expiries.push(Reverse((at, open.message.id)));
    }
}
