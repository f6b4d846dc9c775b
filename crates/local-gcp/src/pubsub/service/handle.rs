//! The handle on one Pub/Sub: every access to the state goes through it, from the wire and in-process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::puller::Puller;
use crate::clock::{Clock, Timestamp};
use crate::journal::{self, DataDirectory, Journal, Position};
use crate::proto::pubsub as proto;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::message::{AckId, Delivery, NewMessage};
use crate::pubsub::state::{
    Limits, SessionId, SessionOptions, State, SubscriptionStatistics, TopicStatistics,
};

/// A local Pub/Sub. Clones are handles on the same one.
///
/// A change is answered only after it is in the journal, if there is one. The lock is held for the time of
/// one step on one batch, and never across an `await`.
#[derive(Clone, Debug)]
pub struct PubSub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    journal: Option<Arc<Journal>>,
    /// Told when a deadline came up that is earlier than the one slept for.
    alarm: Notify,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Who sleeps for which session.
    sleepers: FxHashMap<SessionId, Arc<Notify>>,
    /// The deadline that the timer sleeps for.
    armed: Timestamp,
}

impl PubSub {
    /// An empty Pub/Sub that lives in memory only.
    #[must_use]
    pub fn in_memory(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self::new(State::new(limits), clock, None)
    }

    /// The Pub/Sub kept in a data directory (file `pubsub.journal`).
    ///
    /// # Errors
    /// When the journal cannot be opened or read.
    pub fn open(
        directory: &DataDirectory,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> journal::Result<Self> {
        let mut state = State::new(limits);
        let journal = directory.journal("pubsub", |record| state.replay(record))?;
        state.start_recording();
        let pubsub = Self::new(state, clock, Some(journal));
        // The new life must be on file before it gives out its first id.
        match pubsub.change(|_, _| Ok(())) {
            Err(Error::Journal(error)) => Err(error),
            _ => Ok(pubsub),
        }
    }

    fn new(state: State, clock: Arc<dyn Clock>, journal: Option<Arc<Journal>>) -> Self {
        let inner = Inner { state, sleepers: FxHashMap::default(), armed: Timestamp::MAX };
        let shared = Shared {
            inner: Mutex::new(inner),
            clock,
            journal,
            alarm: Notify::new(),
            shutdown: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs one step on the state, puts what it changed on file, then wakes whom it concerns.
    ///
    /// The state machine is at the current time when `step` sees it.
    ///
    /// # Errors
    /// Those of `step`; [`Error::Journal`] when the change could not be put on file.
    pub fn change<T>(&self, step: impl FnOnce(&mut State, Timestamp) -> Result<T>) -> Result<T> {
        let now = self.shared.clock.now();
        let mut inner = self.lock();
        inner.state.advance(now);
        let result = step(&mut inner.state, now);
        let appended = self.append_records(&mut inner.state);
        let sleepers = inner.take_sleepers();
        let rearm = inner.state.next_deadline() < inner.armed;
        drop(inner);
        if let Some(position) = appended.map_err(Error::Journal)?
            && let Some(journal) = &self.shared.journal
        {
            journal.commit(position).map_err(Error::Journal)?;
        }
        sleepers.iter().for_each(|sleeper| sleeper.notify_one());
        if rearm {
            self.shared.alarm.notify_one();
        }
        result
    }

    fn append_records(&self, state: &mut State) -> journal::Result<Option<Position>> {
        let Some(journal) = &self.shared.journal else { return Ok(None) };
        let mut position = None;
        for record in state.take_records() {
            position = Some(journal.append(&record)?);
        }
        Ok(position)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside a step is a bug, but one that must not take every other request down with it.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the state machine at its deadlines until shutdown.
    pub(crate) async fn run_timers(self) {
        loop {
            let deadline = {
                let mut inner = self.lock();
                inner.armed = inner.state.next_deadline();
                inner.armed
            };
            tokio::select! {
                () = self.shared.shutdown.cancelled() => return,
                () = self.shared.alarm.notified() => {}
                () = self.shared.clock.sleep_until(deadline) => {
                    // A journal that fails here also fails the next request, which can tell somebody.
                    let _ = self.change(|_, _| Ok(()));
                }
            }
        }
    }

    /// Rewrites the journal when most of it is garbage. Blocks, and holds the lock, for the time it takes
    /// to write the unacknowledged messages.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one stays in use.
    pub fn compact(&self) -> journal::Result<()> {
        let Some(journal) = &self.shared.journal else { return Ok(()) };
        let inner = self.lock();
        let live_bytes = inner.state.unacked_bytes() + inner.state.retained_bytes();
        if !journal.is_worth_rewriting(live_bytes) {
            return Ok(());
        }
        journal.rewrite(inner.state.snapshot())
    }

    /// Ends all streaming pulls and timers; requests after this still work.
    pub(crate) fn shut_down(&self) {
        self.shared.shutdown.cancel();
    }

    pub(super) fn shutdown_token(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    /// Opens a session that waits for messages; it closes when dropped.
    ///
    /// # Errors
    /// When there is no such subscription, it is detached, or an option is out of range.
    pub fn puller(&self, subscription: &str, options: SessionOptions) -> Result<Puller> {
        let sleeper = Arc::new(Notify::new());
        let id = self.change(|state, _| state.open_session(subscription, options))?;
        self.lock().sleepers.insert(id, Arc::clone(&sleeper));
        Ok(Puller::new(self.clone(), id, sleeper))
    }

    pub(super) fn close_session(&self, id: SessionId) {
        self.lock().sleepers.remove(&id);
        let _ = self.change(|state, _| {
            state.close_session(id);
            Ok(())
        });
    }
}

impl Inner {
    fn take_sleepers(&mut self) -> Vec<Arc<Notify>> {
        let woken = self.state.take_woken();
        woken.iter().filter_map(|id| self.sleepers.get(id)).map(Arc::clone).collect()
    }
}

/// In-process use, without a client.
impl PubSub {
    /// Creates a topic with default settings, unless it exists.
    ///
    /// # Errors
    /// When the name is invalid or the change cannot be recorded.
    pub fn ensure_topic(&self, name: &str) -> Result<()> {
        let topic = proto::Topic { name: name.to_owned(), ..Default::default() };
        ignore_existing(self.change(|state, _| state.create_topic(topic)))
    }

    /// Creates a pull subscription with default settings, unless it exists.
    ///
    /// # Errors
    /// When a name is invalid, the topic does not exist, or the change cannot be recorded.
    pub fn ensure_subscription(&self, name: &str, topic: &str) -> Result<()> {
        let (name, topic) = (name.to_owned(), topic.to_owned());
        let subscription = proto::Subscription { name, topic, ..Default::default() };
        ignore_existing(self.change(|state, _| state.create_subscription(subscription)))
    }

    /// Publishes up to 1,000 messages; returns the id of the first, the others follow.
    ///
    /// # Errors
    /// When there is no such topic, a limit is broken, or the change cannot be recorded.
    pub fn publish(&self, topic: &str, messages: Vec<NewMessage>) -> Result<u64> {
        self.change(|state, now| state.publish(topic, messages, now))
    }

    /// Leases up to `messages_max` messages that are available now.
    ///
    /// # Errors
    /// When there is no such subscription or it is detached.
    pub fn pull(&self, subscription: &str, messages_max: i32) -> Result<Vec<Delivery>> {
        self.change(|state, now| state.pull(subscription, messages_max, now))
    }

    /// Acknowledges deliveries.
    ///
    /// # Errors
    /// When there is no such subscription, or the change cannot be recorded.
    pub fn acknowledge(&self, subscription: &str, ack_ids: &[AckId]) -> Result<()> {
        self.change(|state, _| state.acknowledge(subscription, ack_ids))
    }

    /// All subscriptions by name, with their backlogs.
    #[must_use]
    pub fn subscription_statistics(&self) -> BTreeMap<String, SubscriptionStatistics> {
        let mut inner = self.lock();
        inner.state.advance(self.shared.clock.now());
        inner.state.subscription_statistics().map(|(name, it)| (name.to_owned(), it)).collect()
    }

    /// All topics by name, with what was published to them.
    #[must_use]
    pub fn topic_statistics(&self) -> BTreeMap<String, TopicStatistics> {
        let inner = self.lock();
        inner.state.topic_statistics().map(|(name, it)| (name.to_owned(), it)).collect()
    }

    /// Messages not acknowledged, over all subscriptions (a message counts once for each).
    #[must_use]
    pub fn unacked(&self) -> u64 {
        self.lock().state.unacked()
    }
}

fn ignore_existing<T>(created: Result<T>) -> Result<()> {
    match created {
        Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
