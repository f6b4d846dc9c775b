//! Snapshots of what a subscription has not acknowledged, and steps that move a subscription to one or to a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::admin::{Page, page};
use super::machine::State;
use super::record::{Record, next_backlog_record};
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::config;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::message::Message;
use crate::pubsub::names;

/// A snapshot lives this long, less the age of its oldest message.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A snapshot that would live shorter is refused.
const LIFE_MIN: Duration = Duration::from_secs(3_600);

/// What a subscription had not acknowledged, and what its topic got since.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) config: proto::Snapshot,
    messages: BTreeMap<u64, Arc<Message>>,
    bytes: u64,
}

impl Snapshot {
    fn new(config: proto::Snapshot) -> Self {
        Self { config, messages: BTreeMap::new(), bytes: 0 }
    }

    fn expires(&self) -> Timestamp {
        self.config.expire_time.as_ref().map_or(Timestamp::MAX, config::to_instant)
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values()
    }
}

/// Steps on snapshots.
impl State {
    /// Keeps what a subscription has not acknowledged, and what is published to its topic from now on.
    ///
    /// # Errors
    /// When a name is invalid or taken, there is no such subscription, or its backlog is too old to be kept.
    pub fn create_snapshot(
        &mut self,
        request: proto::CreateSnapshotRequest,
        now: Timestamp,
    ) -> Result<proto::Snapshot> {
        let proto::CreateSnapshotRequest { name, subscription, labels, .. } = request;
        names::check_snapshot(&name)?;
        config::check_labels(labels.len())?;
        self.advance(now);
        self.check_attached(&subscription)?;
        if self.snapshots.contains_key(&name) {
            return Err(Error::already_exists(&name));
        }
        let source = self.subscription(&subscription)?;
        let oldest = source.unacked().map(|message| message.publish_time).min();
        let expires = oldest.unwrap_or(now) + LIFE;
        if expires < now + LIFE_MIN {
            let reason = "The backlog is too old for a snapshot: it would expire within an hour.";
            return Err(Error::FailedPrecondition { reason: reason.to_owned() });
        }
        let topic = source.config.topic.clone();
        let expire_time = Some(config::from_instant(expires));
        let snapshot = proto::Snapshot { name, topic, expire_time, labels };
        self.apply(Record::snapshot_taken(&snapshot, subscription));
        Ok(snapshot)
    }

    /// The snapshot called `name`.
    ///
    /// # Errors
    /// When the name is invalid or there is no such snapshot.
    pub fn get_snapshot(&self, name: &str) -> Result<proto::Snapshot> {
        Ok(self.snapshot_called(name)?.config.clone())
    }

    /// Changes the fields named in `mask`: labels, expiry.
    ///
    /// # Errors
    /// When there is no such snapshot, the mask names a field that cannot change, or a value is invalid.
    pub fn update_snapshot(
        &mut self,
        update: proto::Snapshot,
        mask: &[String],
        now: Timestamp,
    ) -> Result<proto::Snapshot> {
        let current = &self.snapshot_called(&update.name)?.config;
        let snapshot = config::update_snapshot(current, update, mask)?;
        let expires = snapshot.expire_time.as_ref().map(config::to_instant);
        if !expires.is_some_and(|at| at > now && at <= now + LIFE) {
            return Err(Error::invalid(
                "Invalid expire_time given: it must be in the future, within seven days.",
            ));
        }
        self.apply(Record::snapshot(&snapshot));
        // The machine must wake in time for it.
        self.wake_at(expires.unwrap_or(Timestamp::MAX));
        Ok(snapshot)
    }

    /// Snapshots of `projects/P`.
    ///
    /// # Errors
    /// When the project name, page size or token is invalid.
    pub fn list_snapshots(
        &self,
        project: &str,
        size: i32,
        token: &str,
    ) -> Result<Page<proto::Snapshot>> {
        names::check_project(project)?;
        let prefix = format!("{project}/snapshots/");
        page(&self.snapshots, &prefix, size, token, |_, it| it.config.clone())
    }

    /// Names of the snapshots of a topic.
    ///
    /// # Errors
    /// When there is no such topic, or page size or token are invalid.
    pub fn list_topic_snapshots(&self, name: &str, size: i32, token: &str) -> Result<Page<String>> {
        names::check_topic(name)?;
        self.topic(name)?;
        let of_topic = self.snapshots.iter().filter(|(_, it)| it.config.topic == name);
        let of_topic: BTreeMap<String, ()> = of_topic.map(|(name, _)| (name.clone(), ())).collect();
        page(&of_topic, "projects/", size, token, |name, ()| name.to_owned())
    }

    /// Deletes a snapshot with what it keeps.
    ///
    /// # Errors
    /// When the name is invalid or there is no such snapshot.
    pub fn delete_snapshot(&mut self, name: &str) -> Result<()> {
        self.snapshot_called(name)?;
        self.apply(Record::SnapshotDeleted { name: name.to_owned() });
        Ok(())
    }

    fn snapshot_called(&self, name: &str) -> Result<&Snapshot> {
        names::check_snapshot(name)?;
        self.snapshots.get(name).ok_or_else(|| Error::not_found(name))
    }

    /// Deletes the snapshots whose time is over; tells when the next one's is.
    pub(super) fn expire_snapshots(&mut self, now: Timestamp) -> Timestamp {
        let over = |it: &&Snapshot| it.expires() <= now;
        let expired = self.snapshots.values().filter(over).map(|it| it.config.name.clone());
        for name in expired.collect::<Vec<_>>() {
            self.apply(Record::SnapshotDeleted { name });
        }
        self.snapshots.values().map(Snapshot::expires).min().unwrap_or(Timestamp::MAX)
    }
}

/// Moving a subscription.
impl State {
    /// Marks what was published before `time` as acknowledged, and what was published since as not acknowledged, as far as
    /// the subscription or its topic retains it; also what was published before the subscription was there.
    ///
    /// # Errors
    /// When there is no such subscription, or it is detached.
    pub fn seek_to_time(&mut self, name: &str, time: Timestamp, now: Timestamp) -> Result<()> {
        self.advance(now);
        self.check_attached(name)?;
        let subscription = self.subscription(name)?;
        let of_topic = self.topics.get(&subscription.config.topic);
        let of_topic = of_topic.into_iter().flat_map(|topic| topic.retained());
        // By id, as a message may be retained by both.
        let retained: BTreeMap<u64, Arc<Message>> =
            subscription.retained().chain(of_topic).map(|it| (it.id, Arc::clone(it))).collect();
        let retained = retained.into_values().collect();
        self.seek(name, |message| message.publish_time >= time, retained, now)
    }

    /// Gives a subscription the backlog of a snapshot of the same topic, and all that was published since.
    ///
    /// # Errors
    /// When there is no such subscription or snapshot, the subscription is detached, or the snapshot is of another topic.
    pub fn seek_to_snapshot(&mut self, name: &str, snapshot: &str, now: Timestamp) -> Result<()> {
        self.advance(now);
        self.check_attached(name)?;
        let source = self.snapshot_called(snapshot)?;
        if source.config.topic != self.subscription(name)?.config.topic {
            return Err(Error::invalid(
                "The snapshot's topic must be the same as that of the subscription.",
            ));
        }
        let backlog = source.messages.clone();
        let messages = backlog.values().cloned().collect();
        self.seek(name, |message| backlog.contains_key(&message.id), messages, now)
    }

    fn seek(
        &mut self,
        name: &str,
        is_wanted: impl Fn(&Message) -> bool,
        kept: Vec<Arc<Message>>,
        now: Timestamp,
    ) -> Result<()> {
        let (acknowledged, restored) =
            self.change(name, |subscription| subscription.seek(is_wanted, kept, now))?;
        if !acknowledged.is_empty() {
            let subscription = name.to_owned();
            self.record(|_| Record::Acknowledged { subscription, messages: acknowledged });
        }
        let mut restored = restored.into_iter().map(|message| (message, vec![name]));
        while let Some(record) = next_backlog_record(&mut restored) {
            self.record(|_| record);
        }
        Ok(())
    }
}

/// The changes behind these steps; the same at run time and in a replay.
impl State {
    pub(super) fn put_snapshot(&mut self, config: proto::Snapshot) {
        match self.snapshots.get_mut(&config.name) {
            Some(snapshot) => snapshot.config = config,
            None => {
                let snapshot = Snapshot::new(config);
                self.wake_at(snapshot.expires());
                self.snapshots.insert(snapshot.config.name.clone(), snapshot);
            }
        }
    }

    pub(super) fn take_snapshot(&mut self, config: proto::Snapshot, subscription: &str) {
        let name = config.name.clone();
        self.put_snapshot(config);
        let Some(source) = self.subscriptions.get(subscription) else { return };
        let backlog: Vec<_> = source.unacked().cloned().collect();
        self.add_to_snapshot(&name, &backlog);
    }

    pub(super) fn remove_snapshot(&mut self, name: &str) {
        if let Some(snapshot) = self.snapshots.remove(name) {
            self.retained_bytes -= snapshot.bytes;
        }
    }

    pub(super) fn add_to_snapshot(&mut self, name: &str, messages: &[Arc<Message>]) {
        let Some(snapshot) = self.snapshots.get_mut(name) else { return };
        let before = snapshot.bytes;
        for message in messages {
            if snapshot.messages.insert(message.id, Arc::clone(message)).is_none() {
                snapshot.bytes += message.size();
            }
        }
        self.retained_bytes += snapshot.bytes - before;
    }

    /// Names of the snapshots that get what is published to a topic.
    pub(super) fn snapshots_of(&self, topic: &str) -> Vec<String> {
        let of_topic = self.snapshots.iter().filter(|(_, it)| it.config.topic == topic);
        of_topic.map(|(name, _)| name.clone()).collect()
    }
}
