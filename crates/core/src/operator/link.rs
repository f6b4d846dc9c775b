//! Links between steps: [`Push`], the one virtual call per batch, and [`Step`], an operator with what follows it.

use std::fmt;
use std::sync::Arc;

use crate::batch::Batch;
use crate::error::{BoxError, Error, Result};
use crate::metrics::{Counter, StepCounters};
use crate::operator::output::{Output, SidePort};
use crate::operator::seam::{Operator, Progress, Share, Signal, StageContext, resumed};
use crate::state::RestoredState;
use crate::time::Timestamp;

/// Takes batches and signals of one element type: the head of a tree of steps.
pub trait Push<T>: Send {
    /// Takes all elements out of `batch`.
    ///
    /// # Errors
    /// What a step failed with.
    fn push(&mut self, batch: &mut Batch<T>, ctx: &mut StageContext) -> Result<()>;

    /// Takes a signal; to be repeated before anything else while it is pending.
    ///
    /// # Errors
    /// What a step failed with.
    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress>;
}

/// Who a step is: its path, the place where it was applied, and its counters.
#[derive(Clone, Debug)]
pub struct StepIdentity {
    /// Path of the step.
    pub path: Arc<str>,
    /// Source file and line where it was applied.
    pub location: Arc<str>,
    /// Its counters on this worker.
    pub counters: Arc<StepCounters>,
    /// Its number in the job.
    pub index: usize,
}

impl StepIdentity {
    /// An identity for tests and for operators that are embedded without an engine.
    #[must_use]
    pub fn detached(path: &str) -> Self {
        Self { path: path.into(), location: "".into(), counters: Arc::default(), index: 0 }
    }

    /// The failure of this step.
    #[must_use]
    pub fn blame(&self, cause: BoxError) -> Error {
        let location = (!self.location.is_empty()).then(|| self.location.to_string());
        Error::Step { step: self.path.to_string(), location, source: cause }
    }
}

/// An operator, its output batch, and what follows it.
pub struct Step<T, O: Operator<T>> {
    operator: O,
    identity: StepIdentity,
    batch: Batch<O::Out>,
    next: Box<dyn Push<O::Out>>,
    sides: Vec<Box<dyn SidePort>>,
    watermark_in: Timestamp,
    watermark_out: Timestamp,
    in_bundle: bool,
}

impl<T, O: Operator<T>> Step<T, O> {
    /// Puts `operator` in front of `next` and of its further outputs.
    pub fn new(
        identity: StepIdentity,
        operator: O,
        next: Box<dyn Push<O::Out>>,
        sides: Vec<Box<dyn SidePort>>,
    ) -> Self {
        Self {
            operator,
            identity,
            batch: Batch::with_capacity(Batch::<O::Out>::stage_len()),
            next,
            sides,
            watermark_in: Timestamp::MIN,
            watermark_out: Timestamp::MIN,
            in_bundle: false,
        }
    }

    /// Calls the operator with its output at hand, then hands on what it emitted.
    #[inline]
    fn call<R>(
        &mut self,
        ctx: &mut StageContext,
        call: impl FnOnce(&mut O, &mut Output<'_, O::Out>) -> Result<R, BoxError>,
    ) -> Result<R> {
        ctx.current = self.identity.index;
        let mut failure = None;
        let mut output = Output {
            index: self.identity.index,
            batch: &mut self.batch,
            next: &mut *self.next,
            sides: &mut self.sides,
            ctx,
            counters: &self.identity.counters,
            watermark: self.watermark_in,
            failure: &mut failure,
        };
        let result = call(&mut self.operator, &mut output);
        output.flush();
        if let Some(error) = failure {
            return Err(error);
        }
        let value = result.map_err(|cause| self.identity.blame(cause))?;
        for side in &mut self.sides {
            let count = side.flush_port(ctx)?;
            self.identity.counters.add(Counter::RecordsOut, count);
        }
        if let Some(at) = self.operator.wake_at() {
            ctx.wake(at);
        }
        Ok(value)
    }

    fn signal_all(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        let mut progress = self.next.signal(signal, ctx)?;
        for side in &mut self.sides {
            if side.signal_port(signal, ctx)? == Progress::Pending {
                progress = Progress::Pending;
            }
        }
        Ok(progress)
    }

    fn finish_bundle(&mut self, ctx: &mut StageContext) -> Result<()> {
        if std::mem::take(&mut self.in_bundle) {
            self.call(ctx, |operator, out| operator.finish_bundle(out))?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Timestamp, ctx: &mut StageContext) -> Result<Progress> {
        self.finish_bundle(ctx)?;
        self.watermark_in = self.watermark_in.max(watermark);
        let watermark = self.watermark_in;
        match self.call(ctx, |operator, out| operator.on_watermark(watermark, out))? {
            Progress::Pending => Ok(Progress::Pending),
            Progress::Done => self.forward_watermark(ctx),
        }
    }

    /// Gives the watermark on as far as the operator's holds allow.
    fn forward_watermark(&mut self, ctx: &mut StageContext) -> Result<Progress> {
        let watermark = self.watermark_in.min(self.operator.hold());
        if watermark <= self.watermark_out {
            return Ok(Progress::Done);
        }
        let progress = self.signal_all(&Signal::Watermark(watermark), ctx)?;
        if progress == Progress::Done {
            self.watermark_out = watermark;
            self.identity.counters.set_watermark(watermark);
        }
        Ok(progress)
    }

    fn on_time(&mut self, ctx: &mut StageContext) -> Result<Progress> {
        let now = ctx.now;
        if self.operator.wake_at().is_some_and(|at| at <= now) {
            if self.call(ctx, |operator, out| operator.on_time(now, out))? == Progress::Pending {
                return Ok(Progress::Pending);
            }
            if self.forward_watermark(ctx)? == Progress::Pending {
                return Ok(Progress::Pending);
            }
        } else if let Some(at) = self.operator.wake_at() {
            ctx.wake(at);
        }
        self.signal_all(&Signal::Time, ctx)
    }

    fn on_barrier(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        self.finish_bundle(ctx)?;
        let mut part = std::mem::take(&mut ctx.snapshot);
        let written = part.add_step(&self.identity.path, |writer| {
            writer.put_unkeyed("watermark", &self.watermark_in)?;
            self.operator.snapshot(writer)
        });
        ctx.snapshot = part;
        written?;
        self.signal_all(signal, ctx)
    }

    fn on_start(
        &mut self,
        state: Option<&RestoredState>,
        share: Share,
        ctx: &mut StageContext,
    ) -> Result<()> {
        ctx.current = self.identity.index;
        self.operator.own(share);
        self.operator.setup().map_err(|cause| self.identity.blame(cause))?;
        if let Some(state) = state {
            let state = state.step(&self.identity.path);
            self.operator.restore(&state, share)?;
            let watermarks = state.values::<Timestamp>("watermark")?;
            self.watermark_in = watermarks.into_iter().min().map_or(Timestamp::MIN, resumed);
        }
        if let Some(at) = self.operator.wake_at() {
            ctx.wake(at);
        }
        Ok(())
    }
}

impl<T: Send, O: Operator<T>> Push<T> for Step<T, O> {
    #[inline]
    fn push(&mut self, batch: &mut Batch<T>, ctx: &mut StageContext) -> Result<()> {
        self.identity.counters.add(Counter::RecordsIn, batch.len() as u64);
        self.in_bundle = true;
        self.call(ctx, |operator, out| operator.on_batch(batch, out))?;
        debug_assert!(batch.is_empty(), "step {} left elements in its input", self.identity.path);
        Ok(())
    }

    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        match signal {
            Signal::Watermark(watermark) => self.on_watermark(*watermark, ctx),
            Signal::Time => self.on_time(ctx),
            Signal::FinishBundle => {
                self.finish_bundle(ctx)?;
                self.signal_all(signal, ctx)
            }
            Signal::Flush | Signal::Retry => self.signal_all(signal, ctx),
            Signal::Barrier(_) => self.on_barrier(signal, ctx),
            Signal::Start(state, share) => {
                self.on_start(state.as_deref(), *share, ctx)?;
                self.signal_all(signal, ctx)
            }
            Signal::Teardown => {
                self.operator.teardown();
                self.signal_all(signal, ctx)
            }
        }
    }
}

impl<T, O: Operator<T>> fmt::Debug for Step<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Step").field("path", &self.identity.path).finish_non_exhaustive()
    }
}

/// Gives a copy of every batch to each of several consumers.
pub struct Tee<T> {
    nexts: Vec<Box<dyn Push<T>>>,
    copy: Batch<T>,
}

impl<T> Tee<T> {
    /// A tee in front of `nexts`, of which there is at least one.
    #[must_use]
    pub fn new(nexts: Vec<Box<dyn Push<T>>>) -> Self {
        Self { nexts, copy: Batch::new() }
    }
}

impl<T: Clone + Send> Push<T> for Tee<T> {
    fn push(&mut self, batch: &mut Batch<T>, ctx: &mut StageContext) -> Result<()> {
        let Some((last, others)) = self.nexts.split_last_mut() else {
            batch.clear();
            return Ok(());
        };
        for next in others {
            self.copy.values.extend_from_slice(&batch.values);
            self.copy.timestamps.extend_from_slice(&batch.timestamps);
            self.copy.panes.clone_from(&batch.panes);
            next.push(&mut self.copy, ctx)?;
            self.copy.clear();
        }
        last.push(batch, ctx)
    }

    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        let mut progress = Progress::Done;
        for next in &mut self.nexts {
            if next.signal(signal, ctx)? == Progress::Pending {
                progress = Progress::Pending;
            }
        }
        Ok(progress)
    }
}

impl<T> fmt::Debug for Tee<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tee").field("consumers", &self.nexts.len()).finish()
    }
}

/// The end of a branch that nobody reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl<T> Push<T> for Discard {
    fn push(&mut self, batch: &mut Batch<T>, _ctx: &mut StageContext) -> Result<()> {
        batch.clear();
        Ok(())
    }

    fn signal(&mut self, _signal: &Signal, _ctx: &mut StageContext) -> Result<Progress> {
        Ok(Progress::Done)
    }
}
