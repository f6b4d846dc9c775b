//! [`PubSubLink`]: the far side of a reader, for whoever carries its messages.
//!
//! In production that is the shell over Google's client; a simulation puts a network of its own there, and what stands above,
//! reader and machine, does not know the difference. Knows neither sockets nor a runtime.

use std::sync::Arc;

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::machine::{AckOutcome, Delivery, Request};
use super::options::PubSubSource;
use super::reader::Shared;

/// The far side of a reader: messages go in here, requests come out. Clones are the same link.
///
/// Made by [`PubSubSource::link`]. A handle `H` acknowledges its delivery when used and gives it back to the service when dropped.
#[derive(Debug)]
pub struct PubSubLink<H> {
    pub(super) shared: Arc<Shared<H>>,
    pub(super) source: PubSubSource,
}

impl<H> Clone for PubSubLink<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), source: self.source.clone() }
    }
}

impl<H> PubSubLink<H> {
    /// Whether more messages may be taken from the service.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.has_room_or_closed() == Some(true)
    }

    /// Messages were received, and wake the worker. A reader that reads no more gives their handles back.
    #[must_use]
    pub fn deliver(&self, messages: Vec<(PubSubMessage, H)>) -> Vec<H> {
        let deliveries = messages.into_iter().map(|(message, handle)| Delivery {
            key: self.source.identity.of(&message),
            event_time: self.source.event_time.of(&message),
            bytes: message.size() as u64,
            message,
            handle,
        });
        let deliveries = deliveries.collect();
        let returned = self.shared.machine().deliver(deliveries);
        self.shared.waker.wake();
        returned.into_iter().map(|delivery| delivery.handle).collect()
    }

    /// Takes what the reader wants done.
    #[must_use]
    pub fn requests(&self) -> Vec<Request<H>> {
        self.shared.take_requests().0
    }

    /// The acknowledgements of group `seq` were sent or answered: there may be room again.
    pub fn acknowledged(&self, seq: u64, outcome: AckOutcome) {
        self.shared.machine().acknowledged(seq, outcome);
        self.shared.room.notify_one();
    }

    /// The service answered for the subscription, or why it did not.
    pub fn probed(&self, result: Result<(), String>) {
        self.shared.machine().probed(result);
        self.shared.requested.notify_one();
        self.shared.waker.wake();
    }

    /// Reading on is impossible: the job fails with `error`.
    pub fn fail(&self, error: PubSubError) {
        self.shared.fail(error);
    }

    /// Whether the reader and all its finalizers are gone: what was asked for before is still to be done.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.machine().is_closed()
    }
}
