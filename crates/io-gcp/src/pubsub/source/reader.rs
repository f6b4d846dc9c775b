//! [`PubSubReader`]: the machine behind core's `Reader`, shared with whoever carries its messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use google_cloud_pubsub::subscriber::handler::Handler;
use millstream::batch::Batch;
use millstream::io::{IoContext, Waker};
use millstream::source::{Backlog, ReadStatus, Reader, Residual};
use millstream::{BoxError, Timestamp};
use tokio::sync::Notify;

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::link::PubSubLink;
use super::machine::{Machine, Request};
use super::options::PubSubSource;
use super::restriction::PubSubRestriction;

/// Reads one share of a subscription. `H` acknowledges a delivery when used and gives it back when dropped.
#[derive(Debug)]
pub struct PubSubReader<H = Handler> {
    life: Arc<Life<H>>,
}

impl<H> PubSubReader<H> {
    /// A reader, and the link through which its messages come.
    pub(super) fn start(
        source: &PubSubSource,
        restriction: PubSubRestriction,
        ctx: &IoContext,
    ) -> Result<(Self, PubSubLink<H>), PubSubError> {
        let settings = source.settings(restriction.splits);
        let registry = source.registry.clone();
        let machine = Machine::new(restriction, settings, registry).map_err(|what| {
            PubSubError::Restored { resource: source.subscription.clone(), what }
        })?;
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            requested: Notify::new(),
            room: Notify::new(),
            waker: ctx.waker.clone(),
        });
        let link = PubSubLink { shared: Arc::clone(&shared), source: source.clone() };
        Ok((Self { life: Arc::new(Life { shared }) }, link))
    }

    fn machine(&self) -> MutexGuard<'_, Machine<H>> {
        self.life.shared.machine()
    }
}

impl<H: Send + 'static> Reader for PubSubReader<H> {
    type Item = PubSubMessage;
    type Restriction = PubSubRestriction;

    fn poll_read(
        &mut self,
        out: &mut Batch<PubSubMessage>,
        now: Timestamp,
    ) -> Result<ReadStatus, BoxError> {
        let mut machine = self.machine();
        let status = machine.read(out, now);
        let is_requested = machine.has_requests();
        drop(machine);
        if is_requested {
            self.life.shared.requested.notify_one();
        }
        Ok(status?)
    }

    fn watermark(&self) -> Timestamp {
        self.machine().watermark()
    }

    fn checkpoint(&mut self) -> Residual<PubSubRestriction> {
        let (restriction, seq) = self.machine().checkpoint();
        let life = Arc::clone(&self.life);
        Residual::new(Some(restriction)).with_finalizer(move || life.finish(seq))
    }

    fn backlog(&self) -> Backlog {
        self.machine().backlog()
    }

    fn bytes_read(&self) -> u64 {
        self.machine().bytes_read()
    }

    fn duplicates(&self) -> u64 {
        self.machine().duplicates()
    }

    fn wants_checkpoint(&self) -> bool {
        self.machine().wants_checkpoint()
    }

    fn watermark_reason(&self) -> String {
        self.machine().watermark_reason()
    }
}

impl<H> Drop for PubSubReader<H> {
    fn drop(&mut self) {
        self.machine().retire();
    }
}

/// What the reader and the tasks of its shell share.
#[derive(Debug)]
pub(super) struct Shared<H> {
    machine: Mutex<Machine<H>>,
    /// The machine wants something done.
    pub(super) requested: Notify,
    /// There may be room for more deliveries.
    pub(super) room: Notify,
    pub(super) waker: Waker,
}

impl<H> Shared<H> {
    pub(super) fn machine(&self) -> MutexGuard<'_, Machine<H>> {
        // The machine's own code does not panic; if it did, the worker that polls it reports that.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the machine wants done, and whether the reader's life has ended.
    pub(super) fn take_requests(&self) -> (Vec<Request<H>>, bool) {
        let mut machine = self.machine();
        (machine.requests(), machine.is_closed())
    }

    /// True when there is room for deliveries, false when the reader's life has ended.
    pub(super) fn has_room_or_closed(&self) -> Option<bool> {
        let machine = self.machine();
        if machine.is_closed() {
            return Some(false);
        }
        machine.has_room().then_some(true)
    }

    pub(super) fn fail(&self, error: PubSubError) {
        self.machine().fail(error);
        self.waker.wake();
    }
}

/// The life of a reader: held by it and by the finalizers of its checkpoints, it ends with the last of them.
#[derive(Debug)]
struct Life<H> {
    shared: Arc<Shared<H>>,
}

impl<H> Life<H> {
    fn finish(&self, seq: u64) {
        self.shared.machine().finish(seq);
        self.shared.requested.notify_one();
    }
}

impl<H> Drop for Life<H> {
    fn drop(&mut self) {
        self.shared.machine().close();
        self.shared.requested.notify_one();
        self.shared.room.notify_one();
    }
}
