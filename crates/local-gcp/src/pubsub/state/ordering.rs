//! Ordering keys: for each, what is out and what waits, and which session may go on with it.
//!
//! Messages of a key that are out are held by one session, and only that session gets the next ones until all
//! are acknowledged. So there is one outstanding batch per key for a unary pull, whose session ends with it.
//! Source: <https://cloud.google.com/pubsub/docs/ordering>.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::session::SessionId;
use crate::clock::Timestamp;
use crate::pubsub::message::Message;

/// One ordering key with unacknowledged messages.
#[derive(Debug, Default)]
struct Key {
    /// Delivered, oldest first: leased, or acknowledged before an older one is.
    out: VecDeque<u64>,
    /// To be delivered, oldest first; all younger than those out.
    waiting: VecDeque<u64>,
    /// Who holds what is out.
    holder: Option<SessionId>,
    /// A message that backs off; nothing is delivered while it is the next.
    backing_off: Option<u64>,
    is_shared: bool,
    offered_to: Option<SessionId>,
}

impl Key {
    fn has_next(&self) -> bool {
        self.waiting.front().is_some_and(|next| self.backing_off != Some(*next))
    }

    fn is_for(&self, session: SessionId) -> bool {
        self.has_next() && (self.out.is_empty() || self.holder == Some(session))
    }
}

/// All keys of a subscription.
#[derive(Debug)]
pub(super) struct Ordering {
    keys: FxHashMap<Arc<str>, Key>,
    /// Keys of which nothing is out. An entry may be stale: it is looked at again when it comes up, and whatever
    /// makes a key deliverable offers it.
    shared: VecDeque<Arc<str>>,
    /// Keys that a session holds and may go on with, likewise. Has an entry for every open session.
    held: FxHashMap<SessionId, VecDeque<Arc<str>>>,
    waiting: usize,
    /// No waiting message is older than this.
    oldest: Timestamp,
}

impl Default for Ordering {
    fn default() -> Self {
        Self {
            keys: FxHashMap::default(),
            shared: VecDeque::new(),
            held: FxHashMap::default(),
            waiting: 0,
            oldest: Timestamp::MAX,
        }
    }
}

/// Sessions, and what there is for them.
impl Ordering {
    pub(super) fn open_session(&mut self, id: SessionId) {
        self.held.insert(id, VecDeque::new());
    }

    pub(super) fn close_session(&mut self, id: SessionId) {
        self.held.remove(&id);
    }

    /// Messages that wait, those whose turn has not come included.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// At least the messages that any session could take now.
    pub(super) fn available(&self) -> usize {
        if self.shared.is_empty() { 0 } else { self.waiting }
    }

    /// Sessions that could go on with keys they hold.
    pub(super) fn holders_with_more(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.held.iter().filter(|(_, keys)| !keys.is_empty()).map(|(id, _)| *id)
    }

    /// The next message for a session, which holds its key from now on.
    pub(super) fn next(&mut self, session: SessionId) -> Option<u64> {
        loop {
            // New keys first: a key with a long backlog must not keep others waiting.
            let shared = self.shared.pop_front();
            let is_shared = shared.is_some();
            let own = || self.held.get_mut(&session).and_then(VecDeque::pop_front);
            let name = shared.or_else(own)?;
            let Some(key) = self.keys.get_mut(&name) else { continue };
            if is_shared {
                key.is_shared = false;
            } else {
                key.offered_to = None;
            }
            if !key.is_for(session) {
                continue;
            }
            let Some(next) = key.waiting.pop_front() else { continue };
            key.out.push_back(next);
            key.holder = Some(session);
            self.waiting -= 1;
            self.offer(&name);
            return Some(next);
        }
    }

    /// Puts a key where sessions that may take from it look.
    fn offer(&mut self, name: &str) {
        let Some((name, key)) = self.keys.get_key_value(name) else { return };
        let name = Arc::clone(name);
        if key.out.is_empty() && key.waiting.is_empty() {
            self.keys.remove(&name);
            return;
        }
        let Some(key) = self.keys.get_mut(&name) else { return };
        if !key.has_next() {
            return;
        }
        if key.out.is_empty() {
            if !std::mem::replace(&mut key.is_shared, true) {
                self.shared.push_back(name);
            }
        } else if let Some(holder) = key.holder
            && key.offered_to != Some(holder)
            && let Some(keys) = self.held.get_mut(&holder)
        {
            key.offered_to = Some(holder);
            keys.push_back(name);
        }
    }
}

/// Messages.
impl Ordering {
    /// Adds a message to those that wait, at its place by id.
    pub(super) fn add(&mut self, message: &Message) {
        let name = message.ordering_key.as_str();
        if !self.keys.contains_key(name) {
            self.keys.insert(Arc::from(name), Key::default());
        }
        let Some(key) = self.keys.get_mut(name) else { return };
        let place = match key.waiting.back() {
            Some(last) if *last > message.id => {
                key.waiting.partition_point(|other| *other < message.id)
            }
            _ => key.waiting.len(),
        };
        key.waiting.insert(place, message.id);
        self.waiting += 1;
        self.oldest = self.oldest.min(message.publish_time);
        self.offer(name);
    }

    /// Removes a message wherever it stands.
    pub(super) fn remove(&mut self, name: &str, id: u64) {
        let Some(key) = self.keys.get_mut(name) else { return };
        if let Ok(place) = key.out.binary_search(&id) {
            key.out.remove(place);
        } else if let Ok(place) = key.waiting.binary_search(&id) {
            key.waiting.remove(place);
            self.waiting -= 1;
        }
        self.offer(name);
    }

    /// The oldest message of a key.
    pub(super) fn first(&self, name: &str) -> Option<u64> {
        let key = self.keys.get(name)?;
        key.out.front().or_else(|| key.waiting.front()).copied()
    }

    /// Puts a message that is out, and all of its key after it, back to those that wait; tells them, oldest
    /// first. Without an id, everything that is out. Nothing of it is offered before [`resume`](Self::resume).
    pub(super) fn take_back(&mut self, name: &str, id: Option<u64>) -> Vec<u64> {
        let Some(key) = self.keys.get_mut(name) else { return Vec::new() };
        let from = id.map_or(0, |id| key.out.partition_point(|other| *other < id));
        let back: Vec<_> = key.out.drain(from..).collect();
        for id in back.iter().rev() {
            key.waiting.push_front(*id);
        }
        self.waiting += back.len();
        back
    }

    /// Nothing of the key is delivered before [`resume`](Self::resume), as long as this message is the next.
    pub(super) fn back_off(&mut self, name: &str, id: u64) {
        if let Some(key) = self.keys.get_mut(name) {
            key.backing_off = Some(id);
        }
        self.offer(name);
    }

    /// Goes on with a key after something was taken back or a backoff ended.
    pub(super) fn resume(&mut self, name: &str) {
        if let Some(key) = self.keys.get_mut(name) {
            key.backing_off = None;
        }
        self.offer(name);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.shared.clear();
        self.held.values_mut().for_each(VecDeque::clear);
        self.waiting = 0;
    }

    /// A time before which no message that waits was published.
    pub(super) fn oldest(&self) -> Timestamp {
        if self.waiting == 0 { Timestamp::MAX } else { self.oldest }
    }

    pub(super) fn set_oldest(&mut self, oldest: Timestamp) {
        self.oldest = oldest;
    }

    /// A message published then waits again.
    pub(super) fn note_age(&mut self, published: Timestamp) {
        self.oldest = self.oldest.min(published);
    }

    /// Every message that waits, in no particular order of keys.
    pub(super) fn all_waiting(&self) -> impl Iterator<Item = u64> + '_ {
        self.keys.values().flat_map(|key| key.waiting.iter().copied())
    }
}
