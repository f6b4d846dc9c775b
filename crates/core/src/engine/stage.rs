//! A stage at run time: fed by its edges or by its own source, a round at a time.

use std::collections::BTreeMap;

use crate::engine::mailbox::Receiver;
use crate::error::Result;
use crate::operator::erased::{SourceTask, StageRoot};
use crate::operator::exchange::Message;
use crate::operator::link::StepIdentity;
use crate::operator::seam::{Barrier, Progress, Signal, StageContext};
use crate::sink::Epoch;
use crate::source::Finalizer;
use crate::time::Timestamp;

/// What one round of a stage did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Anything moved.
    pub progress: bool,
    /// There is more to do at once.
    pub more: bool,
    /// The barrier that passed in this round.
    pub passed: Option<Barrier>,
}

/// Timers and outboxes, which every stage has.
#[derive(Debug, Default)]
struct Common {
    /// The next timer; never one that is due, or a stage that waits for something else would be run for it again and again.
    wake_at: Option<Timestamp>,
    /// A timer was due and the stage could not take it yet.
    is_due: bool,
    is_full: bool,
    /// The last barrier has passed: what a timer did now would be part of no checkpoint.
    is_over: bool,
}

impl Common {
    /// Whether the stage may emit: what did not fit is sent first.
    fn may_emit(
        &mut self,
        ctx: &mut StageContext,
        signal: impl FnOnce(&Signal, &mut StageContext) -> Result<Progress>,
    ) -> Result<bool> {
        ctx.full = false;
        ctx.wake_at = None;
        if self.wake_at.is_some_and(|at| at <= ctx.now) {
            self.wake_at = None;
            self.is_due = true;
        }
        if self.is_full {
            let _ = signal(&Signal::Retry, ctx)?;
            self.is_full = ctx.full;
        }
        Ok(!self.is_full)
    }

    /// Whether a timer is due; taken.
    fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.is_due) && !self.is_over
    }

    fn end_round(&mut self, ctx: &StageContext) {
        self.is_full = ctx.full;
        self.wake_at = match (self.wake_at, ctx.wake_at) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (known, None) | (None, known) => known,
        };
    }
}

struct Channel {
    receiver: Receiver,
    watermark: Timestamp,
    is_cut: bool,
}

/// A stage fed by edges.
pub struct InputStage {
    step: StepIdentity,
    root: Box<dyn StageRoot>,
    channels: Vec<Channel>,
    next_channel: usize,
    watermark: Timestamp,
    pending: Option<Signal>,
    common: Common,
}

impl InputStage {
    /// A stage with `root`, fed through `receivers`.
    #[must_use]
    pub fn new(step: StepIdentity, root: Box<dyn StageRoot>, receivers: Vec<Receiver>) -> Self {
        let channel = |receiver| Channel { receiver, watermark: Timestamp::MIN, is_cut: false };
        Self {
            step,
            root,
            channels: receivers.into_iter().map(channel).collect(),
            next_channel: 0,
            watermark: Timestamp::MIN,
            pending: None,
            common: Common::default(),
        }
    }

    fn run(&mut self, budget: usize, ctx: &mut StageContext) -> Result<Round> {
        let mut round = Round::default();
        let may_emit = self.common.may_emit(ctx, |signal, ctx| self.root.signal(signal, ctx))?;
        // Completions are taken in any case: they may be what makes room.
        round.progress |= self.root.poll(ctx)?;
        if !may_emit {
            self.common.end_round(ctx);
            self.common.is_full = true;
            return Ok(round);
        }
        if let Some(signal) = self.pending.take() {
            self.send(signal, ctx, &mut round)?;
        }
        if self.pending.is_none() && self.common.take_due() {
            self.send(Signal::Time, ctx, &mut round)?;
        }
        self.take_messages(budget, ctx, &mut round)?;
        self.common.end_round(ctx);
        Ok(round)
    }

    fn take_messages(
        &mut self,
        budget: usize,
        ctx: &mut StageContext,
        round: &mut Round,
    ) -> Result<()> {
        let mut left = budget;
        let mut fed = false;
        while left > 0 && !ctx.full && self.pending.is_none() && !self.root.is_blocked() {
            let Some((channel, message)) = self.receive() else { break };
            round.progress = true;
            match message {
                Message::Batch(batch, len) => {
                    fed = true;
                    left = left.saturating_sub(len);
                    self.root.feed(batch, ctx)?;
                }
                Message::Watermark(watermark) => {
                    self.channels[channel].watermark = watermark;
                    self.advance_watermark(ctx, round)?;
                }
                Message::Barrier(barrier) => {
                    self.channels[channel].is_cut = true;
                    if self.channels.iter().all(|channel| channel.is_cut) {
                        self.send(Signal::Barrier(barrier), ctx, round)?;
                    }
                }
            }
        }
        let is_idle = left > 0 && self.pending.is_none();
        round.more = round.progress && !is_idle;
        if fed {
            let _ = self.root.signal(&Signal::FinishBundle, ctx)?;
        }
        if is_idle && round.progress {
            let _ = self.root.signal(&Signal::Flush, ctx)?;
        }
        Ok(())
    }

    /// A message of the next channel that has one and is not cut.
    fn receive(&mut self) -> Option<(usize, Message)> {
        let count = self.channels.len();
        for offset in 0..count {
            let index = (self.next_channel + offset) % count;
            let channel = &mut self.channels[index];
            if !channel.is_cut
                && let Some(message) = channel.receiver.receive()
            {
                self.next_channel = index + 1;
                return Some((index, message));
            }
        }
        None
    }

    fn advance_watermark(&mut self, ctx: &mut StageContext, round: &mut Round) -> Result<()> {
        let watermark = self.channels.iter().map(|channel| channel.watermark).min();
        let watermark = watermark.unwrap_or(Timestamp::MAX);
        if watermark > self.watermark {
            self.watermark = watermark;
            self.send(Signal::Watermark(watermark), ctx, round)?;
        }
        Ok(())
    }

    fn send(&mut self, signal: Signal, ctx: &mut StageContext, round: &mut Round) -> Result<()> {
        if let Signal::Barrier(_) = signal {
            let _ = self.root.signal(&Signal::FinishBundle, ctx)?;
        }
        match self.root.signal(&signal, ctx)? {
            Progress::Pending => self.pending = Some(signal),
            Progress::Done => {
                round.progress = true;
                if let Signal::Barrier(barrier) = signal {
                    self.channels.iter_mut().for_each(|channel| channel.is_cut = false);
                    self.common.is_over |= barrier.last;
                    round.passed = Some(barrier);
                }
            }
        }
        Ok(())
    }

    fn watermark_reason(&self) -> String {
        let slowest = self.channels.iter().enumerate().min_by_key(|(_, channel)| channel.watermark);
        slowest
            .map_or_else(String::new, |(index, _)| format!("input channel {index} is the slowest"))
    }
}

/// A stage that reads.
pub struct SourceStage {
    step: StepIdentity,
    task: Box<dyn SourceTask>,
    barrier: Option<Barrier>,
    finalizers: BTreeMap<Epoch, Vec<Finalizer>>,
    pending_time: bool,
    common: Common,
}

impl SourceStage {
    /// A stage that `task` feeds.
    #[must_use]
    pub fn new(step: StepIdentity, task: Box<dyn SourceTask>) -> Self {
        Self {
            step,
            task,
            barrier: None,
            finalizers: BTreeMap::new(),
            pending_time: false,
            common: Common::default(),
        }
    }

    fn run(&mut self, budget: usize, ctx: &mut StageContext) -> Result<Round> {
        let mut round = Round::default();
        if !self.common.may_emit(ctx, |signal, ctx| self.task.signal(signal, ctx))? {
            self.common.end_round(ctx);
            self.common.is_full = true;
            return Ok(round);
        }
        if self.task.is_cuttable() && (self.pending_time || self.common.take_due()) {
            self.pending_time = self.task.signal(&Signal::Time, ctx)? == Progress::Pending;
            round.progress = true;
        }
        if !self.pending_time {
            self.read(budget, ctx, &mut round)?;
        }
        self.common.end_round(ctx);
        Ok(round)
    }

    fn read(&mut self, budget: usize, ctx: &mut StageContext, round: &mut Round) -> Result<()> {
        if self.task.is_cuttable()
            && let Some(barrier) = self.barrier.take()
        {
            let _ = self.task.signal(&Signal::FinishBundle, ctx)?;
            let finalizers = self.task.barrier(&Signal::Barrier(barrier), ctx)?;
            self.finalizers.insert(barrier.epoch, finalizers);
            self.common.is_over |= barrier.last;
            round.passed = Some(barrier);
            round.progress = true;
        }
        let poll = self.task.poll(budget, ctx)?;
        round.progress |= poll.progress;
        round.more |= poll.more;
        if let Some(at) = poll.wake_at {
            ctx.wake(at);
        }
        if poll.progress {
            let _ = self.task.signal(&Signal::FinishBundle, ctx)?;
            if !poll.more {
                let _ = self.task.signal(&Signal::Flush, ctx)?;
            }
        }
        Ok(())
    }

    fn committed(&mut self, epoch: Epoch) {
        let later = self.finalizers.split_off(&(epoch + 1));
        for (_, finalizers) in std::mem::replace(&mut self.finalizers, later) {
            finalizers.into_iter().for_each(Finalizer::call);
        }
    }
}

/// A stage of either kind.
pub enum Stage {
    /// Fed by edges.
    Input(InputStage),
    /// Fed by a source.
    Source(SourceStage),
}

impl Stage {
    /// Who its root is.
    #[must_use]
    pub fn step(&self) -> &StepIdentity {
        match self {
            Self::Input(stage) => &stage.step,
            Self::Source(stage) => &stage.step,
        }
    }

    /// Runs one round of about `budget` elements.
    ///
    /// # Errors
    /// What a step failed with.
    pub fn run(&mut self, budget: usize, ctx: &mut StageContext) -> Result<Round> {
        match self {
            Self::Input(stage) => stage.run(budget, ctx),
            Self::Source(stage) => stage.run(budget, ctx),
        }
    }

    /// Passes a signal that is not part of the stream: start and teardown.
    ///
    /// # Errors
    /// What a step failed with.
    ///
    /// # Panics
    /// When a step wants to wait while it is started or ended: operators must not.
    pub fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<()> {
        let progress = match self {
            Self::Input(stage) => stage.root.signal(signal, ctx)?,
            Self::Source(stage) => stage.task.signal(signal, ctx)?,
        };
        assert_eq!(progress, Progress::Done, "starting and ending a stage waits for nothing");
        match self {
            Self::Input(stage) => stage.common.end_round(ctx),
            Self::Source(stage) => stage.common.end_round(ctx),
        }
        Ok(())
    }

    /// The checkpoint of `epoch` is durable.
    ///
    /// # Errors
    /// What a step failed with.
    pub fn committed(&mut self, epoch: Epoch, ctx: &mut StageContext) -> Result<()> {
        match self {
            Self::Input(stage) => stage.root.committed(epoch, ctx),
            Self::Source(stage) => {
                stage.committed(epoch);
                Ok(())
            }
        }
    }

    /// Whether everything that was committed is done.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Input(stage) => stage.root.is_settled(),
            Self::Source(_) => true,
        }
    }

    /// Puts a barrier in front of what is read next; nothing for a stage without a source.
    pub fn cut(&mut self, barrier: Barrier) {
        if let Self::Source(stage) = self {
            stage.barrier = Some(barrier);
        }
    }

    /// Stops reading; nothing for a stage without a source.
    pub fn stop(&mut self, drain: bool) {
        if let Self::Source(stage) = self {
            stage.task.stop(drain);
        }
    }

    /// Looks at the source again.
    pub fn wake(&mut self) {
        if let Self::Source(stage) = self {
            stage.task.wake();
        }
    }

    /// Whether its source is read to the end; true for a stage without one.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Self::Input(_) => true,
            Self::Source(stage) => stage.task.is_done(),
        }
    }

    /// Whether its source wants a checkpoint before the next is due.
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        match self {
            Self::Input(_) => false,
            Self::Source(stage) => stage.task.wants_checkpoint(),
        }
    }

    /// When to run it without being woken.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        match self {
            Self::Input(stage) => stage.common.wake_at,
            Self::Source(stage) => stage.common.wake_at,
        }
    }

    /// Elements that wait in front of it, where known.
    #[must_use]
    pub fn backlog(&self) -> Option<u64> {
        match self {
            Self::Input(stage) => {
                Some(stage.channels.iter().map(|channel| channel.receiver.queued()).sum())
            }
            Self::Source(stage) => stage.task.backlog().records,
        }
    }

    /// Why its watermark stands where it does.
    #[must_use]
    pub fn watermark_reason(&self) -> String {
        match self {
            Self::Input(stage) => stage.watermark_reason(),
            Self::Source(stage) => stage.task.watermark_reason(),
        }
    }
}

impl std::fmt::Debug for InputStage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("InputStage").field("root", &self.step.path).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SourceStage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SourceStage").field("root", &self.step.path).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stage").field("root", &self.step().path).finish_non_exhaustive()
    }
}
