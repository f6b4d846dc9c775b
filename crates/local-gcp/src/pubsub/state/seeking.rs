//! Seeks of one subscription, and the acknowledged messages that it keeps for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::leases::is_too_old;
use super::subscription::Subscription;
use crate::clock::Timestamp;
use crate::pubsub::message::Message;

impl Subscription {
    /// Acknowledges every message that is not wanted, and makes deliverable again what of `kept` is wanted and was
    /// acknowledged; tells both. Leases on wanted messages stay, except on those of ordering keys that get
    /// messages back.
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
                self.retain(&message);
            }
        }
        let is_missing = |it: &Arc<Message>| {
            let is_held = self.open.contains_key(&it.id) || fresh.contains_key(&it.id);
            let is_lost = is_too_old(it, self.retention, now) || !self.is_wanted(it);
            !is_held && is_wanted(it) && !is_lost
        };
        let restored: Vec<_> = kept.into_iter().filter(is_missing).collect();
        self.take_back_keys_of(&restored);
        for message in &restored {
            self.release_retained(message.id);
            self.unacked_bytes += message.size();
            if self.is_in_order(message) {
                self.open_in_order(Arc::clone(message));
            } else {
                fresh.insert(message.id, Arc::clone(message));
            }
        }
        self.fresh = fresh.into_values().collect();
        self.clean_expiries();
        self.wake();
        (acknowledged, restored)
    }

    /// Ends the deliveries of keys that get older messages back, so that the order holds.
    fn take_back_keys_of(&mut self, restored: &[Arc<Message>]) {
        let ordered = restored.iter().filter(|message| self.is_in_order(message));
        let keys: BTreeSet<&str> = ordered.map(|message| message.ordering_key.as_str()).collect();
        for key in keys {
            self.take_back(key, None);
        }
    }

    /// Keeps an acknowledged message if that is asked for.
    pub(super) fn retain(&mut self, message: &Arc<Message>) {
        if self.config.retain_acked_messages {
            self.retained_bytes += message.size();
            self.retained.insert(message.id, Arc::clone(message));
        }
    }

    pub(super) fn release_retained(&mut self, id: u64) {
        if let Some(message) = self.retained.remove(&id) {
            self.retained_bytes -= message.size();
        }
    }

    pub(super) fn forget_retained(&mut self) {
        self.retained.clear();
        self.retained_bytes = 0;
    }

    pub(super) fn drop_old_retained(&mut self, now: Timestamp) {
        while let Some(oldest) = self.retained.first_entry()
            && is_too_old(oldest.get(), self.retention, now)
        {
            self.retained_bytes -= oldest.remove().size();
        }
    }
}
