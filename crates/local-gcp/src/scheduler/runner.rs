//! The scheduler: a set of named jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::definition::Definition;
use super::error::{Error, Result};
use super::job::{Handle, JobStatus, Known, Shared, run_now};
use super::record::{Jobs, Ledger, Record};
use super::schedule::Schedule;
use super::target::Target;
use super::task::{Runner, Task};
use crate::clock::Clock;
use crate::journal::{self, DataDirectory};
use crate::pubsub::PubSub;

/// Commands that may wait for a job that is just running.
const COMMANDS_QUEUED_MAX: usize = 16;

/// Runs jobs on the tokio runtime it is used from. Clones are handles on the same scheduler.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use millstream_local_gcp::LocalGcp;
/// use millstream_local_gcp::pubsub::NewMessage;
/// use millstream_local_gcp::scheduler::{Schedule, Target};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let local = LocalGcp::start().await?;
/// local.pubsub().ensure_topic("projects/demo/topics/ticks")?;
/// let tick = Target::publish(local.pubsub().clone(), "projects/demo/topics/ticks", NewMessage::new("tick"));
/// local.scheduler().add("ticks", Schedule::every(Duration::from_secs(60))?, tick)?;
/// local.scheduler().run_now("ticks").await?;
/// assert_eq!(local.scheduler().status("ticks")?.runs, 1);
/// # local.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LocalScheduler {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    jobs: Mutex<BTreeMap<String, Handle>>,
    ledger: Arc<Ledger>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl LocalScheduler {
    /// A scheduler without jobs.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_ledger(clock, Ledger::default())
    }

    /// The scheduler kept in a data directory (file `scheduler.journal`), its jobs running again from now on.
    ///
    /// # Errors
    /// When the journal cannot be opened or read, or holds a job that this version does not take.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(
        directory: &DataDirectory,
        pubsub: &PubSub,
        clock: Arc<dyn Clock>,
    ) -> journal::Result<Self> {
        let (ledger, jobs) = Ledger::open(directory)?;
        let scheduler = Self::with_ledger(clock, ledger);
        let refused = |error: Error| journal::Error::Replay {
            path: directory.path().join("scheduler.journal"),
            offset: 0,
            source: error.into(),
        };
        scheduler.restore(jobs, pubsub).map_err(refused)?;
        Ok(scheduler)
    }

    fn with_ledger(clock: Arc<dyn Clock>, ledger: Ledger) -> Self {
        let (jobs, ledger) = (Mutex::default(), Arc::new(ledger));
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        Self { inner: Arc::new(Inner { clock, jobs, ledger, tasks, shutdown }) }
    }

    fn restore(&self, restored: Jobs, pubsub: &PubSub) -> Result<()> {
        let mut jobs = self.jobs();
        for (name, job) in restored {
            let definition = Definition::new(job.clone(), pubsub)?;
            jobs.insert(name, self.start(Known::restored(definition, &job)));
        }
        Ok(())
    }

    /// Adds a job, which is due from now on.
    ///
    /// # Errors
    /// When a job of this name exists.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn add(&self, name: &str, schedule: Schedule, target: Target) -> Result<()> {
        let mut jobs = self.jobs();
        if jobs.contains_key(name) {
            return Err(Error::JobExists { name: name.to_owned() });
        }
        let definition = Definition::of_process(name, schedule, target);
        jobs.insert(name.to_owned(), self.start(Known::new(definition, true)));
        Ok(())
    }

    /// Starts the task of a job.
    pub(super) fn start(&self, mut known: Known) -> Handle {
        let (sender, commands) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let started = self.inner.clock.now();
        if !known.status.is_paused {
            known.status.next_run = known.definition.schedule.next_after(started);
        }
        let shared = Arc::new(Shared::new(known));
        let task = Task { runner: self.runner(&shared), commands };
        self.inner.tasks.spawn(task.run(started));
        Handle { shared, commands: sender }
    }

    /// What makes attempts of a job.
    fn runner(&self, shared: &Arc<Shared>) -> Runner {
        let (inner, shared) = (&self.inner, Arc::clone(shared));
        let (clock, ledger) = (Arc::clone(&inner.clock), Arc::clone(&inner.ledger));
        Runner { clock, shared, ledger, shutdown: inner.shutdown.clone() }
    }

    /// Removes a job; a run under way ends first.
    ///
    /// # Errors
    /// When there is no such job, or the change cannot be recorded.
    pub fn remove(&self, name: &str) -> Result<()> {
        let mut jobs = self.jobs();
        let job = jobs.get(name).ok_or_else(|| no_such_job(name))?;
        let is_of_process = {
            let mut known = job.shared.lock();
            known.is_removed = true;
            known.is_of_process
        };
        jobs.remove(name);
        if is_of_process {
            return Ok(());
        }
        let deleted = Record::Deleted { name: name.to_owned() };
        self.inner.ledger.record(&deleted).map_err(Error::Journal)
    }

    /// Stops running a job by its schedule until it is resumed.
    ///
    /// # Errors
    /// When there is no such job, or the change cannot be recorded.
    pub fn pause(&self, name: &str) -> Result<()> {
        let now = self.inner.clock.now();
        self.with(name, |job| {
            job.pause(now);
            self.keep(job)
        })?
    }

    /// Lets a paused job run again, from its next tick.
    ///
    /// # Errors
    /// When there is no such job, or the change cannot be recorded.
    pub fn resume(&self, name: &str) -> Result<()> {
        let now = self.inner.clock.now();
        self.with(name, |job| {
            job.resume(now);
            self.keep(job)
        })?
    }

    /// Runs a job now, also a paused one, besides its schedule; waits for the end of the run.
    ///
    /// # Errors
    /// When there is no such job, or its target fails.
    pub async fn run_now(&self, name: &str) -> Result<()> {
        let commands = self.with(name, |job| job.commands.clone())?;
        run_now(name, commands).await
    }

    /// How a job is doing.
    ///
    /// # Errors
    /// When there is no such job, or the change cannot be recorded.
    pub fn status(&self, name: &str) -> Result<JobStatus> {
        self.with(name, |job| job.shared.lock().status.clone())
    }

    /// All jobs, by name.
    #[must_use]
    pub fn list(&self) -> Vec<JobStatus> {
        self.jobs().values().map(|job| job.shared.lock().status.clone()).collect()
    }

    /// Stops all jobs; runs under way end first.
    pub async fn shutdown(&self) {
        self.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Stops all jobs without waiting.
    pub(crate) fn cancel(&self) {
        self.inner.shutdown.cancel();
    }

    /// Puts a job on file, if it is one of the API.
    pub(super) fn keep(&self, job: &Handle) -> Result<()> {
        let record = {
            let known = job.shared.lock();
            (!known.is_of_process).then(|| Record::job(&known.to_proto()))
        };
        record.map_or(Ok(()), |record| self.inner.ledger.record(&record)).map_err(Error::Journal)
    }

    /// Rewrites the journal when most of it is garbage.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one stays in use.
    pub(crate) fn compact(&self) -> journal::Result<()> {
        let jobs = self.jobs();
        let kept = |handle: &Handle| {
            let known = handle.shared.lock();
            (!known.is_of_process).then(|| known.to_proto())
        };
        self.inner.ledger.compact(|| jobs.values().filter_map(kept).collect())
    }

    /// Runs a job besides its schedule and besides a run under way, without waiting for the end.
    pub(super) fn dispatch(&self, job: &Handle) {
        let runner = self.runner(&job.shared);
        // The job's status has the error.
        self.inner.tasks.spawn(async move { drop(runner.by_hand().await) });
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    pub(super) fn with<T>(&self, name: &str, read: impl FnOnce(&Handle) -> T) -> Result<T> {
        self.jobs().get(name).map(read).ok_or_else(|| no_such_job(name))
    }

    pub(super) fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.inner.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn no_such_job(name: &str) -> Error {
    Error::NoSuchJob { name: name.to_owned() }
}
