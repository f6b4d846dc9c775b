//! A worker: a deterministic step function over its stages.
//!
//! No thread, clock, randomness, socket or runtime is in here. A driver calls [`Worker::step`] with the time, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::stage::Stage;
use crate::error::Result;
use crate::metrics::Counter;
use crate::operator::seam::{Barrier, Share, Signal, StageContext};
use crate::sink::Epoch;
use crate::state::{RestoredState, SnapshotPart};
use crate::time::{Clock, Timestamp};

/// What one step of a worker did.
#[derive(Debug, Default)]
pub struct StepReport {
    /// Anything moved.
    pub progress: bool,
    /// When to step again without being woken; at once if `progress`.
    pub wake_at: Option<Timestamp>,
    /// The worker's share of a checkpoint that all its stages have passed.
    pub passed: Option<(Barrier, SnapshotPart)>,
}

/// Where a worker stands, for whoever coordinates the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// All its sources are read to their ends, or stopped.
    pub is_read: bool,
    /// A source wants a checkpoint before the next is due.
    pub wants_checkpoint: bool,
    /// Everything that was committed is done.
    pub is_settled: bool,
}

/// One worker with its stages.
#[derive(Debug)]
pub struct Worker {
    share: Share,
    /// Downstream first: what is under way goes on before more is read.
    stages: Vec<Stage>,
    ctx: StageContext,
    passed: usize,
    woken: Arc<AtomicBool>,
    meter: Option<Arc<dyn Clock>>,
}

impl Worker {
    /// A worker over `stages`, in the order of the plan. Set `woken` to make it look at its sources again.
    #[must_use]
    pub fn new(share: Share, mut stages: Vec<Stage>, woken: Arc<AtomicBool>) -> Self {
        stages.reverse();
        let ctx = StageContext::new(Timestamp::MIN);
        Self { share, stages, ctx, passed: 0, woken, meter: None }
    }

    /// Measures how long the stages work with `clock`, for the busy share.
    #[must_use]
    pub fn with_meter(mut self, clock: Arc<dyn Clock>) -> Self {
        self.meter = Some(clock);
        self
    }

    /// Sets everything up, from the state of a checkpoint if there is one.
    ///
    /// # Errors
    /// What a step failed with.
    pub fn start(&mut self, state: Option<Arc<RestoredState>>, now: Timestamp) -> Result<()> {
        self.ctx.now = now;
        let signal = Signal::Start(state, self.share);
        self.stages.iter_mut().try_for_each(|stage| stage.signal(&signal, &mut self.ctx))
    }

    /// Runs every stage once, for about `budget` elements each.
    ///
    /// # Errors
    /// What a step failed with; the worker is then to be torn down.
    pub fn step(&mut self, now: Timestamp, budget: usize) -> Result<StepReport> {
        self.ctx.now = now;
        if self.woken.swap(false, Ordering::AcqRel) {
            self.stages.iter_mut().for_each(Stage::wake);
        }
        let mut report = StepReport::default();
        for index in 0..self.stages.len() {
            self.run_stage(index, budget, &mut report)?;
        }
        let wakes = self.stages.iter().filter_map(Stage::wake_at);
        report.wake_at = wakes.min();
        Ok(report)
    }

    fn run_stage(&mut self, index: usize, budget: usize, report: &mut StepReport) -> Result<()> {
        let stage = &mut self.stages[index];
        let started = self.meter.as_ref().map(|clock| clock.now());
        let round = stage.run(budget, &mut self.ctx)?;
        if round.progress
            && let (Some(clock), Some(started)) = (&self.meter, started)
        {
            let micros = clock.now().since(started).as_micros();
            let micros = u64::try_from(micros).unwrap_or(u64::MAX);
            stage.step().counters.add(Counter::BusyMicros, micros);
        }
        report.progress |= round.progress || round.more;
        if let Some(barrier) = round.passed {
            self.passed += 1;
            if self.passed == self.stages.len() {
                self.passed = 0;
                report.passed = Some((barrier, std::mem::take(&mut self.ctx.snapshot)));
            }
        }
        Ok(())
    }

    /// Begins a checkpoint.
    pub fn cut(&mut self, barrier: Barrier) {
        self.stages.iter_mut().for_each(|stage| stage.cut(barrier));
    }

    /// The checkpoint of `epoch` is durable.
    ///
    /// # Errors
    /// What a sink failed with.
    pub fn committed(&mut self, epoch: Epoch) -> Result<()> {
        self.stages.iter_mut().try_for_each(|stage| stage.committed(epoch, &mut self.ctx))
    }

    /// Stops reading; `drain`: as if all input had ended.
    pub fn stop(&mut self, drain: bool) {
        self.stages.iter_mut().for_each(|stage| stage.stop(drain));
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            is_read: self.stages.iter().all(Stage::is_read),
            wants_checkpoint: self.stages.iter().any(Stage::wants_checkpoint),
            is_settled: self.stages.iter().all(Stage::is_settled),
        }
    }

    /// Number of the step that works or worked last, to blame a panic on.
    #[must_use]
    pub fn current_step(&self) -> usize {
        self.ctx.current
    }

    /// What waits in front of each stage, and why its watermark stands where it does, by the path of its root.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arc<str>, Option<u64>, String)> {
        self.stages
            .iter()
            .map(|stage| (&stage.step().path, stage.backlog(), stage.watermark_reason()))
    }

    /// Takes everything down. Errors cannot be reported any more and are ignored.
    pub fn teardown(&mut self) {
        for stage in &mut self.stages {
            if let Err(error) = stage.signal(&Signal::Teardown, &mut self.ctx) {
                tracing::warn!(%error, "a step failed while it was taken down");
            }
        }
    }
}
