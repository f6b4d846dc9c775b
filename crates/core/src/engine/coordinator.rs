//! Decides when to cut, makes checkpoints durable, and tells when to commit: a state machine, called by a driver.

use std::time::Duration;

use crate::checkpoint::{Checkpoint, CheckpointStore, Manifest, confirm, load_latest, save};
use crate::engine::worker::Standing;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::metrics::CheckpointStatus;
use crate::operator::seam::Barrier;
use crate::sink::Epoch;
use crate::state::SnapshotPart;
use crate::time::Timestamp;

/// What all workers are to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin a checkpoint.
    Cut(Barrier),
    /// A checkpoint is durable: commit.
    Committed(Epoch),
}

#[derive(Debug)]
enum Phase {
    Running {
        next_at: Timestamp,
    },
    Cutting {
        barrier: Barrier,
        since: Timestamp,
        parts: Vec<Option<SnapshotPart>>,
    },
    /// The last checkpoint is durable.
    Ended,
}

/// Coordinates the checkpoints of one life of a job.
#[derive(Debug)]
pub struct Coordinator {
    job: String,
    graph: Graph,
    interval: Option<Duration>,
    epoch: Epoch,
    phase: Phase,
    standings: Vec<Standing>,
    status: CheckpointStatus,
}

impl Coordinator {
    /// A coordinator that goes on behind checkpoint `epoch`. Without an interval only the last checkpoint is taken.
    #[must_use]
    pub fn new(
        job: &str,
        graph: Graph,
        workers: usize,
        interval: Option<Duration>,
        epoch: Epoch,
        now: Timestamp,
    ) -> Self {
        let standing = Standing { is_read: false, wants_checkpoint: false, is_settled: true };
        let mut coordinator = Self {
            job: job.to_owned(),
            graph,
            interval,
            epoch,
            phase: Phase::Ended,
            standings: vec![standing; workers],
            status: CheckpointStatus { epoch, ..CheckpointStatus::default() },
        };
        coordinator.phase = Phase::Running { next_at: coordinator.next_cut(now) };
        coordinator
    }

    /// Loads the checkpoint to start from and checks that it fits the graph.
    ///
    /// # Errors
    /// When checkpoints exist but none is whole, or the graph has changed so that state would be lost.
    pub fn load(store: &dyn CheckpointStore, graph: &Graph) -> Result<Option<Checkpoint>> {
        let Some(checkpoint) = load_latest(store)? else { return Ok(None) };
        for problem in &checkpoint.passed_over {
            tracing::warn!(problem, "a damaged checkpoint was passed over for the one before it");
        }
        checkpoint.manifest.check(graph, &checkpoint.state)?;
        Ok(Some(checkpoint))
    }

    /// The checkpoint to start from, made sure to be durable. A store that has none notes first that the job has begun, before it
    /// takes anything from anywhere: checkpoint 0, which is empty. Whoever finds it knows that there was a life before, whose
    /// leases have to run out.
    ///
    /// # Errors
    /// As [`Coordinator::load`], and when the beginning cannot be stored.
    pub fn load_or_begin(
        job: &str,
        graph: &Graph,
        store: &dyn CheckpointStore,
        now: Timestamp,
    ) -> Result<Option<Checkpoint>> {
        let checkpoint = Self::load(store, graph)?;
        match &checkpoint {
            Some(checkpoint) => confirm(store, &checkpoint.manifest)?,
            None if store.is_durable() => {
                save(store, Manifest::new(0, now, job, false, graph), &[])?;
            }
            None => {}
        }
        Ok(checkpoint)
    }

    fn next_cut(&self, now: Timestamp) -> Timestamp {
        self.interval.map_or(Timestamp::MAX, |interval| now + interval)
    }

    /// Notes where a worker stands.
    pub fn on_standing(&mut self, worker: usize, standing: Standing) {
        self.standings[worker] = standing;
    }

    /// What is to be done at `now`, if anything.
    pub fn tick(&mut self, now: Timestamp) -> Option<Order> {
        let Phase::Running { next_at } = self.phase else { return None };
        let is_read = self.standings.iter().all(|standing| standing.is_read);
        let wants = self.standings.iter().any(|standing| standing.wants_checkpoint);
        let is_settled = self.standings.iter().all(|standing| standing.is_settled);
        if !is_settled || !(is_read || wants || now >= next_at) {
            return None;
        }
        let barrier = Barrier { epoch: self.epoch + 1, last: is_read };
        let parts = vec![None; self.standings.len()];
        self.phase = Phase::Cutting { barrier, since: now, parts };
        Some(Order::Cut(barrier))
    }

    /// A worker passed a barrier. Once all have, the checkpoint is made durable.
    ///
    /// # Errors
    /// When it cannot be stored: the job then has to restart from the one before.
    pub fn on_passed(
        &mut self,
        worker: usize,
        part: SnapshotPart,
        store: &dyn CheckpointStore,
        now: Timestamp,
    ) -> Result<Option<Order>> {
        let Phase::Cutting { barrier, since, parts } = &mut self.phase else {
            return Err(Error::Stopped(format!("worker {worker} passed a barrier nobody sent")));
        };
        parts[worker] = Some(part);
        if parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let (barrier, since) = (*barrier, *since);
        let parts: Vec<_> = parts.iter_mut().filter_map(Option::take).collect();
        let manifest = Manifest::new(barrier.epoch, since, &self.job, barrier.last, &self.graph);
        let bytes = save(store, manifest, &parts)?;
        self.epoch = barrier.epoch;
        self.status = CheckpointStatus {
            epoch: self.epoch,
            completed: self.status.completed + 1,
            duration_ms: now.since(since).as_secs_f64() * 1e3,
            bytes,
            durable: store.is_durable(),
        };
        self.phase = if barrier.last {
            Phase::Ended
        } else {
            Phase::Running { next_at: self.next_cut(since) }
        };
        // Nobody has committed yet: do not cut again before they say that they have.
        self.standings.iter_mut().for_each(|standing| standing.is_settled = false);
        Ok(Some(Order::Committed(self.epoch)))
    }

    /// Whether the last checkpoint is durable and everything is committed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended)
            && self.standings.iter().all(|standing| standing.is_settled)
    }

    /// When something is due without an event; `MAX` for never.
    #[must_use]
    pub fn next_at(&self) -> Timestamp {
        match self.phase {
            Phase::Running { next_at } => next_at,
            _ => Timestamp::MAX,
        }
    }

    /// The latest checkpoint, for the status.
    #[must_use]
    pub fn status(&self) -> &CheckpointStatus {
        &self.status
    }
}
