//! The deterministic driver: all workers on one thread, a virtual clock, and a seeded choice of who steps next.
//!
//! Time moves only when nobody can do anything: then it jumps to the next timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;

use crate::checkpoint::CheckpointStore;
use crate::engine::coordinator::{Coordinator, Order};
use crate::engine::plan::Plan;
use crate::engine::wiring::{WorkerWaker, build_workers, metrics};
use crate::engine::worker::Worker;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::io::Io;
use crate::metrics::{JobState, Status, StatusTracker, StepMetrics};
use crate::time::{Clock as _, ManualClock, Timestamp};

/// Elements a step may take, at most: few, so that steps interleave in many ways.
const BUDGET_MAX: usize = 300;

/// How a deterministic run is set up.
#[derive(Clone, Debug)]
pub struct SingleOptions {
    /// Number of workers.
    pub workers: usize,
    /// Decides who steps next and how far.
    pub seed: u64,
    /// Virtual time between checkpoints; `None` for only the last one.
    pub checkpoint_interval: Option<std::time::Duration>,
    /// Name of the job.
    pub job: String,
}

impl Default for SingleOptions {
    fn default() -> Self {
        Self { workers: 1, seed: 0, checkpoint_interval: None, job: "test".to_owned() }
    }
}

/// One life of a job on one thread.
#[derive(Debug)]
pub struct SingleDriver {
    workers: Vec<Worker>,
    coordinator: Coordinator,
    clock: ManualClock,
    rng: Rng,
    metrics: Vec<StepMetrics>,
    tracker: StatusTracker,
    idle: Vec<bool>,
    /// Set by what wakes a parked worker in production: a queue, a connector.
    stirred: Vec<Arc<AtomicBool>>,
    wakes: Vec<Option<Timestamp>>,
    /// When something outside happens next.
    outside_at: Option<Timestamp>,
    trace: u64,
}

/// What a step of the driver found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The job goes on.
    Running,
    /// Everything is read and committed.
    Finished,
    /// Nothing moves, and no timer will make it: only something outside can.
    Stuck,
}

impl SingleDriver {
    /// Starts a life of the job from the latest checkpoint in `store`.
    ///
    /// # Errors
    /// What a step failed with, or a checkpoint that cannot be used.
    pub fn start(
        graph: Graph,
        options: &SingleOptions,
        store: &dyn CheckpointStore,
        clock: ManualClock,
    ) -> Result<Self> {
        let now = clock.now();
        let checkpoint = Coordinator::load_or_begin(&options.job, &graph, store, now)?;
        let plan = Plan::new(graph.clone(), options.workers);
        let metrics = metrics(&plan);
        let stirred: Vec<Arc<AtomicBool>> = (0..options.workers).map(|_| Arc::default()).collect();
        let wakers: Vec<_> =
            stirred.iter().map(|flag| WorkerWaker::flag(Arc::clone(flag))).collect();
        let state = checkpoint.as_ref().map(|checkpoint| &checkpoint.state);
        let mut workers = build_workers(&plan, &metrics, &wakers, &Io::none(), state)?;
        let epoch = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.manifest.epoch);
        let state = checkpoint.map(|checkpoint| Arc::new(checkpoint.state));
        for worker in &mut workers {
            worker.start(state.clone(), now)?;
        }
        let count = workers.len();
        Ok(Self {
            workers,
            coordinator: Coordinator::new(
                &options.job,
                graph,
                count,
                options.checkpoint_interval,
                epoch,
                now,
            ),
            clock,
            rng: Rng::with_seed(options.seed),
            metrics,
            tracker: StatusTracker::new(options.job.clone(), count, now),
            idle: vec![false; count],
            stirred,
            wakes: vec![None; count],
            outside_at: None,
            trace: 0,
        })
    }

    /// Lets one worker step, or time jump when all are idle.
    ///
    /// # Errors
    /// What a step failed with, or a checkpoint that cannot be stored: the life is over then.
    ///
    /// # Panics
    /// When a worker can do nothing and sets a timer that is due: a thread would be busy with it.
    pub fn step(&mut self, store: &dyn CheckpointStore) -> Result<Outcome> {
        if self.coordinator.is_over() {
            return Ok(Outcome::Finished);
        }
        let now = self.clock.now();
        if let Some(order) = self.coordinator.tick(now) {
            self.give(order)?;
        }
        self.wake_stirred();
        let Some(index) = self.choose() else { return Ok(self.jump()) };
        let budget = self.rng.usize(1..=BUDGET_MAX);
        let worker = &mut self.workers[index];
        let report = worker.step(now, budget)?;
        let is_sound = report.progress || report.wake_at.is_none_or(|at| at > now);
        assert!(is_sound, "worker {index} can do nothing and wants to be stepped at once");
        self.trace = trace(self.trace, &(index, budget, now, report.progress, report.wake_at));
        self.coordinator.on_standing(index, worker.standing());
        self.wakes[index] = report.wake_at;
        self.idle[index] = !report.progress;
        if let Some((_, part)) = report.passed
            && let Some(order) = self.coordinator.on_passed(index, part, store, now)?
        {
            self.give(order)?;
        }
        Ok(Outcome::Running)
    }

    /// Whoever was woken steps again, as a parked thread does.
    fn wake_stirred(&mut self) {
        for (idle, stirred) in self.idle.iter_mut().zip(&self.stirred) {
            *idle &= !stirred.swap(false, Ordering::AcqRel);
        }
    }

    /// One of the workers that may have something to do.
    fn choose(&mut self) -> Option<usize> {
        let ready: Vec<_> = (0..self.idle.len()).filter(|index| !self.idle[*index]).collect();
        (!ready.is_empty()).then(|| ready[self.rng.usize(0..ready.len())])
    }

    fn give(&mut self, order: Order) -> Result<()> {
        self.idle.fill(false);
        self.workers.iter_mut().try_for_each(|worker| match order {
            Order::Cut(barrier) => {
                worker.cut(barrier);
                Ok(())
            }
            Order::Committed(epoch) => worker.committed(epoch),
        })
    }

    /// All are idle: time jumps to the next timer.
    fn jump(&mut self) -> Outcome {
        let now = self.clock.now();
        // A checkpoint that is due and cannot begin yet begins with an event.
        let cut_at = Some(self.coordinator.next_at()).filter(|at| *at > now);
        let timers = self.wakes.iter().copied().chain([cut_at, self.outside_at]);
        let next = timers.flatten().min().unwrap_or(Timestamp::MAX);
        if next >= Timestamp::MAX {
            return Outcome::Stuck;
        }
        self.clock.advance_to(next);
        for (idle, wake) in self.idle.iter_mut().zip(&self.wakes) {
            *idle = wake.is_none_or(|at| at > next);
        }
        Outcome::Running
    }

    /// Steps until the job is finished.
    ///
    /// # Errors
    /// What a step failed with, or that nothing moves any more.
    pub fn run(&mut self, store: &dyn CheckpointStore) -> Result<Status> {
        loop {
            match self.step(store)? {
                Outcome::Running => {}
                Outcome::Finished => {
                    self.workers.iter_mut().for_each(Worker::teardown);
                    return Ok(self.status(JobState::Finished));
                }
                Outcome::Stuck => {
                    let what = format!("nothing moves any more; {}", self.describe());
                    return Err(Error::Stopped(what));
                }
            }
        }
    }

    /// Where everything stands, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let now = self.clock.now();
        let mut text = format!("at {now}, {:?}", self.coordinator);
        for worker in &self.workers {
            text.push_str(&format!("\n  {:?}", worker.standing()));
            for (path, backlog, reason) in worker.waiting() {
                text.push_str(&format!("\n    {path}: backlog {backlog:?}, {reason}"));
            }
        }
        text
    }

    /// Asks all sources to stop.
    pub fn stop(&mut self, drain: bool) {
        self.workers.iter_mut().for_each(|worker| worker.stop(drain));
        self.idle.fill(false);
    }

    /// Something outside happens at `at` and not before: time does not jump over it. `None` when nothing will.
    pub fn expect_outside(&mut self, at: Option<Timestamp>) {
        self.outside_at = at;
    }

    /// Something outside changed: everybody looks again.
    pub fn wake(&mut self) {
        self.idle.fill(false);
    }

    /// The status as of now.
    pub fn status(&mut self, state: JobState) -> Status {
        self.tracker.status(self.clock.now(), state, &self.metrics)
    }

    /// A hash of everything that happened: equal seeds give equal traces.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// Number of the latest durable checkpoint.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.coordinator.status().epoch
    }
}

fn trace(before: u64, step: &impl std::hash::Hash) -> u64 {
    crate::state::key_hash(&(before, crate::state::key_hash(step)))
}
