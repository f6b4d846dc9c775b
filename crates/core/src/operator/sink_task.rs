//! Runs the writer of a sink on one worker: the root of a stage that may hold a barrier back until everything of its epoch is answered.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::Result;
use crate::io::IoContext;
use crate::metrics::Counter;
use crate::operator::erased::{
    Elements, Linked, PortFactory, ShardPort, SinkFactory, StageRoot, downcast_batch,
};
use crate::operator::link::{Push, StepIdentity};
use crate::operator::seam::{Progress, Share, Signal, StageContext};
use crate::sink::{Epoch, Refused, Sink, SinkWriter, WriteContext};
use crate::state::RestoredState;

/// Name of the cell that committables are kept in.
const COMMITTABLES: &str = "committables";

/// The writer of one sink on one worker.
pub struct WriterTask<T: Data, S: Sink<T>> {
    step: StepIdentity,
    writer: S::Writer,
    refused: Box<dyn Push<Refused>>,
    refused_batch: Batch<Refused>,
    /// What the writer had no room for.
    rest: Batch<T>,
    /// Prepared epochs whose commit is not known to be done, and the latest one in any case: a restart commits it again.
    committables: BTreeMap<Epoch, Committable<<S::Writer as SinkWriter<T>>::Committable>>,
    committing: bool,
    /// Commits of a restored checkpoint are under way: no new one may complete before them.
    restoring: bool,
}

struct Committable<C> {
    value: C,
    /// The checkpoint is durable and the writer was told.
    told: bool,
}

impl<T: Data, S: Sink<T>> WriterTask<T, S> {
    /// Opens the writer.
    ///
    /// # Errors
    /// What the sink failed with.
    pub fn open(
        sink: &S,
        step: StepIdentity,
        io: &IoContext,
        refused: Box<dyn Push<Refused>>,
    ) -> Result<Self> {
        let writer = sink.writer(io).map_err(|cause| step.blame(cause))?;
        Ok(Self {
            step,
            writer,
            refused,
            refused_batch: Batch::new(),
            rest: Batch::new(),
            committables: BTreeMap::new(),
            committing: false,
            restoring: false,
        })
    }

    /// Calls the writer, then hands on what it refused.
    fn call<R>(
        &mut self,
        ctx: &mut StageContext,
        call: impl FnOnce(&mut S::Writer, &mut Batch<T>, &mut WriteContext<'_>) -> R,
    ) -> Result<R> {
        ctx.current = self.step.index;
        let mut write = WriteContext::new(ctx.now, &mut self.refused_batch);
        let result = call(&mut self.writer, &mut self.rest, &mut write);
        if let Some(at) = write.requested_wake() {
            ctx.wake(at);
        }
        let refused = self.refused_batch.len() as u64;
        if refused > 0 {
            self.step.counters.add(Counter::Errors, refused);
            self.refused.push(&mut self.refused_batch, ctx)?;
            self.refused_batch.clear();
        }
        self.step.counters.set(Counter::Bytes, self.writer.bytes_written());
        self.step.counters.set(Counter::Retries, self.writer.retries());
        Ok(result)
    }

    fn write_rest(&mut self, ctx: &mut StageContext) -> Result<bool> {
        let before = self.rest.len();
        if before == 0 {
            return Ok(false);
        }
        self.call(ctx, |writer, rest, write| writer.write(rest, write))?
            .map_err(|cause| self.step.blame(cause))?;
        let written = before - self.rest.len();
        self.step.counters.add(Counter::RecordsOut, written as u64);
        Ok(written > 0)
    }

    fn on_barrier(
        &mut self,
        signal: &Signal,
        epoch: Epoch,
        ctx: &mut StageContext,
    ) -> Result<Progress> {
        self.write_rest(ctx)?;
        if !self.rest.is_empty() || self.restoring {
            return Ok(Progress::Pending);
        }
        let value = match self.call(ctx, |writer, _, write| writer.poll_prepare(epoch, write))? {
            Poll::Pending => return Ok(Progress::Pending),
            Poll::Ready(prepared) => prepared.map_err(|cause| self.step.blame(cause))?,
        };
        self.committables.insert(epoch, Committable { value, told: false });
        let mut part = std::mem::take(&mut ctx.snapshot);
        let written = part.add_step(&self.step.path, |writer| {
            let mut known = self.committables.iter();
            known.try_for_each(|(epoch, known)| {
                writer.put_unkeyed(COMMITTABLES, &(epoch, &known.value))
            })
        });
        ctx.snapshot = part;
        written?;
        self.refused.signal(signal, ctx)
    }

    fn on_start(&mut self, state: Option<&RestoredState>, share: Share) -> Result<()> {
        let Some(state) = state else { return Ok(()) };
        let stored = state.step(&self.step.path).values(COMMITTABLES)?;
        for (index, (epoch, value)) in stored.into_iter().enumerate() {
            if share.takes(index) {
                self.writer.commit(epoch, value, true).map_err(|cause| self.step.blame(cause))?;
                self.committing = true;
                self.restoring = true;
            }
        }
        Ok(())
    }
}

impl<T: Data, S: Sink<T>> StageRoot for WriterTask<T, S> {
    fn feed(&mut self, batch: Box<dyn Any + Send>, ctx: &mut StageContext) -> Result<()> {
        let mut batch = downcast_batch::<T>(batch);
        self.step.counters.add(Counter::RecordsIn, batch.len() as u64);
        self.rest.append(&mut batch);
        self.write_rest(ctx)?;
        Ok(())
    }

    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        match signal {
            Signal::Barrier(barrier) => self.on_barrier(signal, barrier.epoch, ctx),
            Signal::Watermark(watermark) => {
                self.step.counters.set_watermark(*watermark);
                self.refused.signal(signal, ctx)
            }
            Signal::Start(state, share) => {
                self.on_start(state.as_deref(), *share)?;
                self.refused.signal(signal, ctx)
            }
            _ => self.refused.signal(signal, ctx),
        }
    }

    fn poll(&mut self, ctx: &mut StageContext) -> Result<bool> {
        let mut progress = self.write_rest(ctx)?;
        self.call(ctx, |writer, _, write| writer.poll(write))?
            .map_err(|cause| self.step.blame(cause))?;
        if self.committing
            && let Poll::Ready(done) =
                self.call(ctx, |writer, _, write| writer.poll_committed(write))?
        {
            done.map_err(|cause| self.step.blame(cause))?;
            self.committing = false;
            self.restoring = false;
            progress = true;
            let latest = self.committables.last_key_value().map(|(epoch, _)| *epoch);
            self.committables.retain(|epoch, known| !known.told || Some(*epoch) == latest);
        }
        Ok(progress)
    }

    fn is_blocked(&self) -> bool {
        !self.rest.is_empty()
    }

    fn committed(&mut self, epoch: Epoch, ctx: &mut StageContext) -> Result<()> {
        ctx.current = self.step.index;
        for (&prepared, committable) in self.committables.range_mut(..=epoch) {
            if !std::mem::replace(&mut committable.told, true) {
                self.writer
                    .commit(prepared, committable.value.clone(), false)
                    .map_err(|cause| self.step.blame(cause))?;
                self.committing = true;
            }
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        !self.committing && self.committables.values().all(|known| known.told)
    }
}

/// A sink as the graph keeps it.
#[derive(Debug)]
pub struct SinkBox<T, S> {
    sink: S,
    of: PhantomData<fn(T)>,
}

impl<T: Data, S: Sink<T>> SinkBox<T, S> {
    /// Keeps `sink`.
    pub const fn new(sink: S) -> Self {
        Self { sink, of: PhantomData }
    }
}

impl<T: Data, S: Sink<T>> SinkFactory for SinkBox<T, S> {
    fn port(&self) -> Arc<dyn PortFactory> {
        match self.sink.shard_by() {
            Some(shard) => Arc::new(ShardPort(shard)),
            None => Elements::<T>::ops().forward_port(),
        }
    }

    fn root(
        &self,
        step: StepIdentity,
        io: IoContext,
        refused: Linked,
    ) -> Result<Box<dyn StageRoot>> {
        Ok(Box::new(WriterTask::open(&self.sink, step, &io, refused.open())?))
    }
}

impl<T: Data, S: Sink<T>> std::fmt::Debug for WriterTask<T, S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WriterTask").field("step", &self.step.path).finish_non_exhaustive()
    }
}
