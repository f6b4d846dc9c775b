//! Runs the readers of a source on one worker and feeds what they read into a stage.

use crate::batch::Batch;
use crate::coder;
use crate::error::Result;
use crate::io::IoContext;
use crate::metrics::Counter;
use crate::operator::erased::{Linked, SourceFactory, SourcePoll, SourceTask};
use crate::operator::link::{Push, StepIdentity};
use crate::operator::seam::{Progress, Signal, StageContext};
use crate::source::{Backlog, Boundedness, Finalizer, ReadStatus, Reader, Source};
use crate::time::Timestamp;

/// Name of the cell that residual restrictions are kept in.
pub const RESTRICTIONS: &str = "restrictions";

struct Split<R> {
    reader: R,
    /// When to look again; `MIN` for at once, `MAX` for when woken.
    look_at: Timestamp,
    /// Everything was read.
    is_done: bool,
    /// Everything was read and a checkpoint was taken after that.
    is_closed: bool,
}

/// The readers of one source on one worker.
pub struct ReaderTask<S: Source> {
    step: StepIdentity,
    splits: Vec<Split<S::Reader>>,
    head: Box<dyn Push<S::Item>>,
    batch: Batch<S::Item>,
    next_split: usize,
    watermark: Timestamp,
    sent_watermark: Timestamp,
    pending_watermark: bool,
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Suspended,
    Drained,
}

impl<S: Source> ReaderTask<S> {
    /// Opens a reader for each restriction.
    ///
    /// # Errors
    /// What a reader failed with, or a restriction that cannot be decoded.
    pub fn open(
        source: &S,
        step: StepIdentity,
        io: &IoContext,
        restrictions: &[Vec<u8>],
        head: Box<dyn Push<S::Item>>,
    ) -> Result<Self> {
        let open = |bytes: &Vec<u8>| {
            let reader =
                source.reader(coder::decode(bytes)?, io).map_err(|cause| step.blame(cause))?;
            Ok(Split { reader, look_at: Timestamp::MIN, is_done: false, is_closed: false })
        };
        let splits = restrictions.iter().map(open).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            step,
            splits,
            head,
            batch: Batch::with_capacity(Batch::<S::Item>::stage_len()),
            next_split: 0,
            watermark: Timestamp::MIN,
            sent_watermark: Timestamp::MIN,
            pending_watermark: false,
            stopped: None,
        })
    }

    /// The next split that may have something, in turn.
    fn ready_split(&mut self, now: Timestamp) -> Option<usize> {
        let count = self.splits.len();
        let ready = (0..count).map(|offset| (self.next_split + offset) % count).find(|&index| {
            let split = &self.splits[index];
            !split.is_done && split.look_at <= now
        });
        self.next_split = ready.map_or(self.next_split, |index| index + 1);
        ready
    }

    fn read(&mut self, index: usize, ctx: &mut StageContext) -> Result<usize> {
        ctx.current = self.step.index;
        let split = &mut self.splits[index];
        let status = split
            .reader
            .poll_read(&mut self.batch, ctx.now)
            .map_err(|cause| self.step.blame(cause))?;
        match status {
            ReadStatus::More => {}
            ReadStatus::Pending { wake_at } => split.look_at = wake_at.unwrap_or(Timestamp::MAX),
            ReadStatus::Done => split.is_done = true,
        }
        let count = self.batch.len();
        if count > 0 {
            self.step.counters.add(Counter::RecordsOut, count as u64);
            self.head.push(&mut self.batch, ctx)?;
            self.batch.clear();
        }
        Ok(count)
    }

    fn send_watermark(&mut self, ctx: &mut StageContext) -> Result<bool> {
        let watermark = match self.stopped {
            Some(Stopped::Drained) => Timestamp::MAX,
            Some(Stopped::Suspended) => self.watermark,
            None => self.splits_watermark(),
        };
        self.watermark = self.watermark.max(watermark);
        if self.watermark <= self.sent_watermark && !self.pending_watermark {
            return Ok(false);
        }
        let progress = self.head.signal(&Signal::Watermark(self.watermark), ctx)?;
        self.pending_watermark = progress == Progress::Pending;
        if !self.pending_watermark {
            self.sent_watermark = self.watermark;
            self.step.counters.set_watermark(self.watermark);
        }
        Ok(true)
    }

    fn splits_watermark(&self) -> Timestamp {
        let open = self.splits.iter().filter(|split| !split.is_done);
        open.map(|split| split.reader.watermark()).min().unwrap_or(Timestamp::MAX)
    }

    fn publish_counts(&self) {
        let sum =
            |of: fn(&S::Reader) -> u64| self.splits.iter().map(|split| of(&split.reader)).sum();
        self.step.counters.set(Counter::Bytes, sum(Reader::bytes_read));
        self.step.counters.set(Counter::Duplicates, sum(Reader::duplicates));
    }
}

impl<S: Source> SourceTask for ReaderTask<S> {
    fn poll(&mut self, budget: usize, ctx: &mut StageContext) -> Result<SourcePoll> {
        let mut progress = false;
        let mut read = 0;
        if self.stopped.is_none() && !self.pending_watermark {
            while read < budget && !ctx.full {
                let Some(index) = self.ready_split(ctx.now) else { break };
                let count = self.read(index, ctx)?;
                // A read that gave nothing, such as one of duplicates only, counts too: it must not go on for ever.
                read += count.max(1);
                progress |= count > 0 || self.splits[index].is_done;
            }
            self.publish_counts();
        }
        progress |= self.send_watermark(ctx)?;
        let open = || self.splits.iter().filter(|split| !split.is_done && self.stopped.is_none());
        let wake_at = open().map(|split| split.look_at).filter(|at| *at < Timestamp::MAX).min();
        let more = open().any(|split| split.look_at <= ctx.now) || self.pending_watermark;
        Ok(SourcePoll { progress, more, wake_at })
    }

    fn barrier(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Vec<Finalizer>> {
        let mut finalizers = Vec::new();
        let mut residuals = Vec::new();
        for split in self.splits.iter_mut().filter(|split| !split.is_closed) {
            let residual = split.reader.checkpoint();
            finalizers.extend(residual.finalizer);
            residuals.extend(residual.restriction);
            split.is_closed = split.is_done;
        }
        let mut part = std::mem::take(&mut ctx.snapshot);
        let written = part.add_step(&self.step.path, |writer| {
            residuals.iter().try_for_each(|restriction| {
                writer.put_unkeyed(RESTRICTIONS, &coder::encode(restriction)?)
            })?;
            writer.put_unkeyed("source", &true)
        });
        ctx.snapshot = part;
        written?;
        let progress = self.head.signal(signal, ctx)?;
        assert_eq!(progress, Progress::Done, "only the root of a stage may hold a barrier back");
        Ok(finalizers)
    }

    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        self.head.signal(signal, ctx)
    }

    fn is_cuttable(&self) -> bool {
        !self.pending_watermark
    }

    fn wake(&mut self) {
        for split in self.splits.iter_mut().filter(|split| !split.is_done) {
            split.look_at = Timestamp::MIN;
        }
    }

    fn stop(&mut self, drain: bool) {
        self.stopped = Some(if drain { Stopped::Drained } else { Stopped::Suspended });
    }

    fn is_done(&self) -> bool {
        let at_end = self.stopped.is_some() || self.splits.iter().all(|split| split.is_done);
        at_end && !self.pending_watermark && self.sent_watermark == self.final_watermark()
    }

    fn wants_checkpoint(&self) -> bool {
        self.splits.iter().any(|split| split.reader.wants_checkpoint())
    }

    fn backlog(&self) -> Backlog {
        let add = |left: Option<u64>, right: Option<u64>| match (left, right) {
            (Some(left), Some(right)) => Some(left + right),
            (known, None) | (None, known) => known,
        };
        self.splits.iter().map(|split| split.reader.backlog()).fold(
            Backlog::default(),
            |sum, one| Backlog {
                records: add(sum.records, one.records),
                bytes: add(sum.bytes, one.bytes),
            },
        )
    }

    fn watermark_reason(&self) -> String {
        let open = self.splits.iter().enumerate().filter(|(_, split)| !split.is_done);
        open.min_by_key(|(_, split)| split.reader.watermark())
            .map(|(index, split)| format!("split {index}: {}", split.reader.watermark_reason()))
            .unwrap_or_default()
    }
}

impl<S: Source> ReaderTask<S> {
    fn final_watermark(&self) -> Timestamp {
        match self.stopped {
            Some(Stopped::Suspended) => self.sent_watermark,
            _ => Timestamp::MAX,
        }
    }
}

impl<S: Source> std::fmt::Debug for ReaderTask<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ReaderTask")
            .field("step", &self.step.path)
            .field("splits", &self.splits.len())
            .finish_non_exhaustive()
    }
}

/// A source as the graph keeps it.
#[derive(Debug)]
pub struct SourceBox<S> {
    /// The source.
    pub source: S,
    /// Path of its step.
    pub path: String,
}

impl<S: Source> SourceFactory for SourceBox<S> {
    fn split(&self, desired: usize) -> Result<Vec<Vec<u8>>> {
        let restrictions = self
            .source
            .split(desired)
            .map_err(|cause| crate::Error::step(self.path.clone(), cause))?;
        restrictions.iter().map(coder::encode).collect()
    }

    fn task(
        &self,
        step: StepIdentity,
        io: IoContext,
        restrictions: Vec<Vec<u8>>,
        head: Linked,
    ) -> Result<Box<dyn SourceTask>> {
        Ok(Box::new(ReaderTask::open(&self.source, step, &io, &restrictions, head.open())?))
    }

    fn is_bounded(&self) -> bool {
        self.source.boundedness() == Boundedness::Bounded
    }
}
