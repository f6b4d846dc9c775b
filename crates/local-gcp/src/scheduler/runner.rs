//! The scheduler: a set of named jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{Error, Result};
use super::job::{Handle, Job, JobStatus, Shared, Target, run_now};
use super::schedule::Schedule;
use crate::clock::Clock;

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
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl LocalScheduler {
    /// A scheduler without jobs.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let jobs = Mutex::default();
        let inner =
            Inner { clock, jobs, tasks: TaskTracker::new(), shutdown: CancellationToken::new() };
        Self { inner: Arc::new(inner) }
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
        let (sender, commands) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let shared = Arc::new(Shared::new(name, &schedule));
        let clock = Arc::clone(&self.inner.clock);
        let shutdown = self.inner.shutdown.clone();
        let started = clock.now();
        shared.lock().status.next_run = schedule.next_after(started);
        let job = Job { schedule, target, clock, shared: Arc::clone(&shared), commands, shutdown };
        self.inner.tasks.spawn(job.run(started));
        jobs.insert(name.to_owned(), Handle { shared, commands: sender });
        Ok(())
    }

    /// Removes a job; a run under way ends first.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.jobs().remove(name).map(|_| ()).ok_or_else(|| no_such_job(name))
    }

    /// Stops running a job by its schedule until it is resumed.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn pause(&self, name: &str) -> Result<()> {
        self.with(name, Handle::pause)
    }

    /// Lets a paused job run again, from its next tick.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn resume(&self, name: &str) -> Result<()> {
        let now = self.inner.clock.now();
        self.with(name, |job| job.resume(now))
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
    /// When there is no such job.
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

    fn with<T>(&self, name: &str, read: impl FnOnce(&Handle) -> T) -> Result<T> {
        self.jobs().get(name).map(read).ok_or_else(|| no_such_job(name))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.inner.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_such_job(name: &str) -> Error {
    Error::NoSuchJob { name: name.to_owned() }
}
