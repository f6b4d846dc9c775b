//! [`PubSubWriter`]: the machine behind core's `SinkWriter`, shared with the shell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use millstream::BoxError;
use millstream::batch::Batch;
use millstream::io::{IoContext, Waker};
use millstream::sink::{Epoch, SinkWriter, WriteContext};
use tokio::sync::Notify;

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::machine::{PublishMachine, PublishRequest};
use super::options::PubSubSink;
use super::shell;

/// Publishes one worker's share.
#[derive(Debug)]
pub struct PubSubWriter {
    shared: Arc<Shared>,
}

impl PubSubWriter {
    pub(super) fn start(sink: &PubSubSink, ctx: &IoContext) -> Self {
        let PubSubSink { topic, in_flight_messages, in_flight_bytes, .. } = sink.clone();
        let machine = PublishMachine::new(topic, in_flight_messages, in_flight_bytes);
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            requested: Notify::new(),
            waker: ctx.waker.clone(),
            retries: Arc::default(),
        });
        ctx.io.spawn(shell::run(Arc::clone(&shared), sink.clone()));
        Self { shared }
    }

    /// Uses the machine, hands over what it wants done, and reports what was refused.
    fn with_machine<R>(
        &self,
        ctx: &mut WriteContext<'_>,
        act: impl FnOnce(&mut PublishMachine) -> R,
    ) -> R {
        let mut machine = self.shared.machine();
        let result = act(&mut machine);
        for (timestamp, refused) in machine.refused() {
            ctx.refuse(timestamp, refused);
        }
        let is_requested = machine.has_requests();
        drop(machine);
        if is_requested {
            self.shared.requested.notify_one();
        }
        result
    }
}

impl<T: Into<PubSubMessage>> SinkWriter<T> for PubSubWriter {
    type Committable = ();

    fn write(&mut self, batch: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        self.with_machine(ctx, |machine| {
            machine.check()?;
            let room = usize::try_from(machine.room()).unwrap_or(usize::MAX);
            if room < batch.len() {
                stage(machine, &mut batch.split_front(room));
            } else {
                stage(machine, batch);
            }
            machine.fill();
            Ok::<_, PubSubError>(())
        })?;
        Ok(())
    }

    fn poll(&mut self, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        self.with_machine(ctx, |machine| {
            machine.fill();
            machine.check()
        })?;
        Ok(())
    }

    fn poll_prepare(
        &mut self,
        _epoch: Epoch,
        ctx: &mut WriteContext<'_>,
    ) -> Poll<Result<(), BoxError>> {
        match self.with_machine(ctx, PublishMachine::settle) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn bytes_written(&self) -> u64 {
        self.shared.machine().bytes_written()
    }

    fn retries(&self) -> u64 {
        self.shared.retries.load(Ordering::Relaxed)
    }
}

fn stage<T: Into<PubSubMessage>>(machine: &mut PublishMachine, batch: &mut Batch<T>) {
    for (timestamp, _, value) in batch.drain() {
        machine.stage(timestamp, value.into());
    }
}

impl Drop for PubSubWriter {
    fn drop(&mut self) {
        self.shared.machine().close();
        self.shared.requested.notify_one();
    }
}

/// What the writer and the task of its shell share.
#[derive(Debug)]
pub(super) struct Shared {
    machine: Mutex<PublishMachine>,
    /// The machine wants something done.
    pub(super) requested: Notify,
    pub(super) waker: Waker,
    pub(super) retries: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn machine(&self) -> MutexGuard<'_, PublishMachine> {
        // The machine's own code does not panic; if it did, the worker that polls it reports that.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the machine wants done, and whether the writer is gone.
    pub(super) fn take_requests(&self) -> (Vec<PublishRequest>, bool) {
        let mut machine = self.machine();
        (machine.requests(), machine.is_closed())
    }
}
