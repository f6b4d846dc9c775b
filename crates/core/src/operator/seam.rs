//! The seam between operators and whoever runs them: [`Operator`], [`Signal`], [`Progress`], [`StageContext`].

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::{BoxError, Result};
use crate::operator::output::Output;
use crate::sink::Epoch;
use crate::state::{RestoredState, SnapshotPart, SnapshotWriter, StepState, key_group, owner};
use crate::time::Timestamp;

/// Whether a call did everything it was called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a pending call has to be repeated"]
pub enum Progress {
    /// Everything is done.
    Done,
    /// The outbox filled up: call again with the same signal, before anything else.
    Pending,
}

/// One step of a stage: monomorphic, called once per batch, without threads, clocks or I/O of its own.
///
/// Every method but [`Operator::on_batch`] has a default that does nothing.
pub trait Operator<T>: Send {
    /// What its main output carries.
    type Out: Send + 'static;

    /// Takes all elements out of `input`.
    ///
    /// # Errors
    /// What the user's code failed with; the job stops.
    fn on_batch(
        &mut self,
        input: &mut Batch<T>,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<(), BoxError>;

    /// No element of an earlier event time will come, as far as the sources know. A call that returns
    /// [`Progress::Pending`] because [`Output::is_full`] is repeated with the same watermark.
    ///
    /// # Errors
    /// Like [`Operator::on_batch`].
    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<Progress, BoxError> {
        let _ = (watermark, out);
        Ok(Progress::Done)
    }

    /// Processing time moved to or past [`Operator::wake_at`].
    ///
    /// # Errors
    /// Like [`Operator::on_batch`].
    fn on_time(
        &mut self,
        now: Timestamp,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<Progress, BoxError> {
        let _ = (now, out);
        Ok(Progress::Done)
    }

    /// A bundle ends here: what was held back within it is emitted now.
    ///
    /// # Errors
    /// Like [`Operator::on_batch`].
    fn finish_bundle(&mut self, out: &mut Output<'_, Self::Out>) -> Result<(), BoxError> {
        let _ = out;
        Ok(())
    }

    /// The processing time at which [`Operator::on_time`] should be called.
    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    /// The output watermark must not pass this: event time of the earliest element that may still be emitted
    /// behind the input watermark.
    fn hold(&self) -> Timestamp {
        Timestamp::MAX
    }

    /// Writes the state that a restart needs.
    ///
    /// # Errors
    /// When state cannot be encoded.
    fn snapshot(&mut self, writer: &mut SnapshotWriter) -> Result<()> {
        let _ = writer;
        Ok(())
    }

    /// Takes over the part of the state that belongs to this worker; called before the first element.
    ///
    /// # Errors
    /// When state cannot be decoded.
    fn restore(&mut self, state: &StepState<'_>, share: Share) -> Result<()> {
        let _ = (state, share);
        Ok(())
    }

    /// Says which part of the key space this instance owns; called once before `setup`.
    fn own(&mut self, share: Share) {
        let _ = share;
    }

    /// Called once before anything else, on the worker's thread.
    ///
    /// # Errors
    /// What the user's code failed with.
    fn setup(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once when the stage is taken down, also after a failure.
    fn teardown(&mut self) {}
}

/// The watermark that a step goes on from when a checkpoint had `watermark`.
///
/// At the end of time all windows were closed and nothing is kept of them. Whatever comes after such a checkpoint, of a drained job
/// whose subscription or file has more by now, is a new beginning and not late.
#[must_use]
pub(crate) fn resumed(watermark: Timestamp) -> Timestamp {
    if watermark == Timestamp::MAX { Timestamp::MIN } else { watermark }
}

/// The part of the key space, and of unkeyed state, that a worker owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of the worker, from 0.
    pub worker: usize,
    /// How many workers there are.
    pub workers: usize,
}

impl Share {
    /// The share of the only worker.
    pub const ALL: Self = Self { worker: 0, workers: 1 };

    /// Whether this worker owns the key with this hash.
    #[must_use]
    pub fn owns(self, hash: u64) -> bool {
        owner(key_group(hash), self.workers) == self.worker
    }

    /// Whether unkeyed entry number `index` of a restored cell belongs to this worker.
    #[must_use]
    pub fn takes(self, index: usize) -> bool {
        index % self.workers == self.worker
    }
}

/// The cut that a checkpoint makes through the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint it belongs to.
    pub epoch: Epoch,
    /// Nothing follows it: the job ends once the checkpoint is committed.
    pub last: bool,
}

/// What is sent down a stage beside batches.
#[derive(Clone, Debug)]
pub enum Signal {
    /// No element of an earlier event time will come.
    Watermark(Timestamp),
    /// Processing time moved on.
    Time,
    /// A bundle ends.
    FinishBundle,
    /// Nothing more is at hand: what waits in front of an exchange is sent now.
    Flush,
    /// Outboxes may have room again: what did not fit is sent.
    Retry,
    /// A checkpoint's cut: everything before it is in, nothing behind it.
    Barrier(Barrier),
    /// The stage is about to start, from the state of a checkpoint if there is one.
    Start(Option<Arc<RestoredState>>, Share),
    /// The stage is taken down.
    Teardown,
}

/// What the steps of a stage share while the stage runs.
#[derive(Debug)]
pub struct StageContext {
    /// Processing time, read once per round.
    pub now: Timestamp,
    /// An outbox is full: emit no more than what is at hand.
    pub full: bool,
    /// The earliest processing time at which a step wants to be called.
    pub wake_at: Option<Timestamp>,
    /// Where the steps write their state while a barrier passes.
    pub snapshot: SnapshotPart,
    /// Number of the step that is working, to blame a panic on.
    pub current: usize,
}

impl StageContext {
    /// A context at processing time `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now, full: false, wake_at: None, snapshot: SnapshotPart::new(), current: 0 }
    }

    /// Asks for a call at `at`.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}
