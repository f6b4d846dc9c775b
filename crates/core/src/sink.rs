//! [`Sink`] and [`SinkWriter`]: output of a pipeline, in two phases or at least once.
//!
//! A writer takes batches, and when the barrier of an epoch reaches it, prepares: it waits (by being polled)
//! until every request of the epoch is answered and names what a commit needs, its committable. The committable becomes
//! part of the checkpoint; once that is durable, the writer is told to commit. After a crash the committables
//! of the restored checkpoint are committed again, so a commit must be idempotent. A writer whose elements are visible
//! as soon as they are written is the at-least-once case: its committable is `()`.
//!
//! What a destination refuses is not an error: it leaves through the writer's output as [`Refused`] elements.

use std::sync::Arc;
use std::task::Poll;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::time::Timestamp;

/// Number of a checkpoint, from 1, counted through all lives of a job.
pub type Epoch = u64;

/// What elements are sharded by, such as a hash of where they go to.
pub type ShardBy<T> = Arc<dyn Fn(&T) -> u64 + Send + Sync>;

/// Output of a pipeline.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink for elements of type `{T}`",
    note = "implement `Sink<{T}>` for it, or map the elements to what it takes"
)]
pub trait Sink<T: Data>: Clone + Send + Sync + 'static {
    /// Writes one worker's share.
    type Writer: SinkWriter<T>;

    /// Makes a writer for one worker.
    ///
    /// # Errors
    /// Whatever keeps the destination from being opened.
    fn writer(&self, ctx: &IoContext) -> Result<Self::Writer, BoxError>;

    /// What elements are sharded by: those for which it returns the same meet at one writer. By default an element is written by
    /// the worker that it is on.
    fn shard_by(&self) -> Option<ShardBy<T>> {
        None
    }

    /// Whether the destination may refuse single elements: they then have to be read or ignored explicitly.
    fn may_refuse(&self) -> bool {
        false
    }
}

/// Writes elements; polled by its worker, never blocking.
pub trait SinkWriter<T>: Send {
    /// What a commit needs to know; part of the checkpoint.
    type Committable: Data;

    /// Takes elements from the front of `batch`; what it leaves is offered again later, and until then
    /// nothing else is: that is the backpressure.
    ///
    /// # Errors
    /// What makes writing on impossible; the job then restarts from its last checkpoint.
    fn write(&mut self, batch: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<(), BoxError>;

    /// Takes completions and sends what is due. Called in every round in which the worker looks at this writer.
    ///
    /// # Errors
    /// Like [`SinkWriter::write`].
    fn poll(&mut self, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }

    /// Everything written so far belongs to `epoch`: ready once every request of it is answered.
    /// Nothing is written between the first call for an epoch and the answer `Ready`.
    ///
    /// # Errors
    /// Like [`SinkWriter::write`].
    fn poll_prepare(
        &mut self,
        epoch: Epoch,
        ctx: &mut WriteContext<'_>,
    ) -> Poll<Result<Self::Committable, BoxError>>;

    /// The checkpoint of `epoch` is durable: starts to make its elements visible. Also called with the committables
    /// of a restored checkpoint before the first write, `restored` being true then. Must be idempotent.
    ///
    /// # Errors
    /// Like [`SinkWriter::write`].
    fn commit(
        &mut self,
        epoch: Epoch,
        committable: Self::Committable,
        restored: bool,
    ) -> Result<(), BoxError> {
        let _ = (epoch, committable, restored);
        Ok(())
    }

    /// Ready once every commit that was started is done.
    ///
    /// # Errors
    /// Like [`SinkWriter::write`].
    fn poll_committed(&mut self, ctx: &mut WriteContext<'_>) -> Poll<Result<(), BoxError>> {
        let _ = ctx;
        Poll::Ready(Ok(()))
    }

    /// Bytes sent to the destination since the writer was made; 0 where they are not counted.
    fn bytes_written(&self) -> u64 {
        0
    }

    /// Requests that were sent again since the writer was made.
    fn retries(&self) -> u64 {
        0
    }
}

/// An element that the destination refused, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The destination, such as a table.
    pub destination: String,
    /// Why it was refused, in the destination's words.
    pub reason: String,
    /// The element as it was to be written, as JSON where the destination takes rows.
    pub element: Vec<u8>,
}

impl Refused {
    /// An element that `destination` refused for `reason`.
    pub fn new(
        destination: impl Into<String>,
        reason: impl Into<String>,
        element: impl Into<Vec<u8>>,
    ) -> Self {
        Self { destination: destination.into(), reason: reason.into(), element: element.into() }
    }
}

/// What a writer may use while it is called.
#[derive(Debug)]
pub struct WriteContext<'a> {
    now: Timestamp,
    refused: &'a mut Batch<Refused>,
    wake_at: Option<Timestamp>,
}

impl<'a> WriteContext<'a> {
    /// A context at `now` that collects refused elements in `refused`.
    pub fn new(now: Timestamp, refused: &'a mut Batch<Refused>) -> Self {
        Self { now, refused, wake_at: None }
    }

    /// The processing time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Reports an element, written with event time `timestamp`, that the destination refused for good.
    pub fn refuse(&mut self, timestamp: Timestamp, refused: Refused) {
        self.refused.push(timestamp, refused);
    }

    /// Asks to be polled at `at` without being woken, for example to try again.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// The earliest time that was asked for.
    #[must_use]
    pub fn requested_wake(&self) -> Option<Timestamp> {
        self.wake_at
    }
}
