//! [`Feeder`]: publishes the next slice of a file at each tick of a schedule.
//!
//! A slice counts as published when every message of it is acknowledged by the service; one that fails is published again at the
//! next tick. Messages may therefore be published twice, under the same id: the pipeline deduplicates by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_io_gcp::pubsub::{PubSubMessage, PubSubPublisher};
use millstream_local_gcp::clock::Timestamp;
use millstream_local_gcp::scheduler::{BoxError, Target};
use tokio::sync::{Mutex, watch};

use super::error::ReplayError;
use super::pace::Replay;
use super::position::PositionFile;

/// Publishes a replay slice by slice; clones are handles on the same feeder.
#[derive(Clone, Debug)]
pub struct Feeder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    publisher: PubSubPublisher,
    id_attribute: String,
    position_file: Option<PositionFile>,
    life: Mutex<Life>,
    status: watch::Sender<FeederStatus>,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Life {
    replay: Replay,
    started: Option<Timestamp>,
}

/// How far a feeder came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeederStatus {
    /// Messages published since the process started.
    pub published: u64,
    /// Messages left to publish.
    pub left: u64,
}

impl FeederStatus {
    /// Whether everything is published.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.left == 0
    }
}

impl Feeder {
    /// Publishes `replay` through `publisher`, the id of each message in the attribute `id_attribute`.
    #[must_use]
    pub fn new(publisher: PubSubPublisher, replay: Replay, id_attribute: &str) -> Self {
        let left = replay.len() - replay.position();
        let (status, _) = watch::channel(FeederStatus { published: 0, left });
        Self {
            shared: Arc::new(Shared {
                publisher,
                id_attribute: id_attribute.to_owned(),
                position_file: None,
                life: Mutex::new(Life { replay, started: None }),
                status,
                bytes: AtomicU64::new(0),
            }),
        }
    }

    /// Writes to `file` how far it came after each slice.
    ///
    /// # Panics
    /// When the feeder was cloned before.
    #[must_use]
    pub fn remember_in(mut self, file: PositionFile) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("it is set up before it is shared");
        shared.position_file = Some(file);
        self
    }

    /// How far it came.
    #[must_use]
    pub fn status(&self) -> FeederStatus {
        *self.shared.status.borrow()
    }

    /// Payload bytes published since the process started.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Completes once everything is published.
    pub async fn finished(&self) {
        // The sender lives as long as this handle, so the wait ends only when the condition holds.
        let _ = self.shared.status.subscribe().wait_for(FeederStatus::is_done).await;
    }

    /// What a scheduled job calls.
    #[must_use]
    pub fn target(&self) -> Target {
        let feeder = self.clone();
        Target::call(move |tick| {
            let feeder = feeder.clone();
            async move { feeder.tick(tick.scheduled).await.map_err(BoxError::from) }
        })
    }

    /// Publishes what is due at `now`, the time of the tick; event time starts to pass with the first one.
    ///
    /// # Errors
    /// When a message is not published or the position cannot be written; the next tick publishes the slice again.
    pub async fn tick(&self, now: Timestamp) -> Result<(), ReplayError> {
        let mut life = self.shared.life.lock().await;
        let started = *life.started.get_or_insert(now);
        let due = life.replay.due(now.since(started));
        let count = due.len();
        if count == 0 {
            return Ok(());
        }
        let bytes: usize = due.iter().map(|message| message.data.len()).sum();
        let messages = due.iter().map(|message| {
            let outgoing = PubSubMessage::new(message.data.clone());
            match &message.id {
                Some(id) => outgoing.with_attribute(self.shared.id_attribute.as_str(), id),
                None => outgoing,
            }
        });
        let messages: Vec<_> = messages.collect();
        let published = self.shared.publisher.publish(messages).await;
        published.map_err(|source| ReplayError::Publish { source })?;
        life.replay.advance(count);
        if let Some(file) = &self.shared.position_file {
            file.write(life.replay.position())?;
        }
        self.shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.shared.status.send_modify(|status| {
            status.published += count as u64;
            status.left = life.replay.len() - life.replay.position();
        });
        Ok(())
    }
}
