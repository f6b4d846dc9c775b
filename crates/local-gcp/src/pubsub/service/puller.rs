//! A session that can be awaited.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::handle::PubSub;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::message::Delivery;
use crate::pubsub::state::{BatchLimit, SessionId};

/// An open pull session; closes when dropped. What it holds stays leased until its deadline.
#[derive(Debug)]
pub struct Puller {
    pubsub: PubSub,
    id: SessionId,
    sleeper: Arc<Notify>,
}

impl Puller {
    pub(super) fn new(pubsub: PubSub, id: SessionId, sleeper: Arc<Notify>) -> Self {
        Self { pubsub, id, sleeper }
    }

    /// Leases what is available now, within the session's flow control.
    ///
    /// # Errors
    /// When the subscription was deleted or detached.
    pub fn take(&self, limit: BatchLimit) -> Result<Vec<Delivery>> {
        self.pubsub.change(|state, now| state.take(self.id, limit, now))
    }

    /// Completes when it makes sense to call [`take`](Self::take) again after it returned nothing.
    /// Cancelling the wait loses no wake-up.
    pub async fn woken(&self) {
        self.sleeper.notified().await;
    }

    /// Waits for messages and leases them.
    ///
    /// # Errors
    /// When the subscription was deleted or detached, or the server shuts down.
    pub async fn next(&self, limit: BatchLimit) -> Result<Vec<Delivery>> {
        loop {
            let batch = self.take(limit)?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            tokio::select! {
                () = self.woken() => {}
                () = self.pubsub.shutdown_token().cancelled() => return Err(Error::ShuttingDown),
            }
        }
    }

    /// Changes the deadline of the deliveries to come.
    ///
    /// # Errors
    /// When it is outside 10 to 600 seconds, or the subscription was deleted.
    pub fn set_ack_deadline(&self, deadline: Duration) -> Result<()> {
        self.pubsub.change(|state, _| state.set_session_deadline(self.id, deadline))
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        self.pubsub.close_session(self.id);
    }
}
