//! One job: what it calls, how it went, and the task that runs it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::{BoxError, Error, Result};
use super::schedule::Schedule;
use crate::clock::{Clock, Timestamp};
use crate::pubsub::{NewMessage, PubSub};

/// A target that has not answered by then counts as failed, as in Cloud Scheduler.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(180);

/// One run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Counts the runs of the job, from 0.
    pub number: u64,
    /// When it was due; when it was asked for, if run by hand.
    pub scheduled: Timestamp,
    /// How many ticks fell due since the previous run and were left out, because that took too long.
    pub missed: u64,
}

type Called = Pin<Box<dyn Future<Output = std::result::Result<(), BoxError>> + Send>>;

/// What a job does at each tick.
#[derive(Clone)]
pub struct Target(Arc<dyn Fn(Tick) -> Called + Send + Sync>);

impl Target {
    /// Calls an asynchronous function.
    pub fn call<F, R>(function: F) -> Self
    where
        F: Fn(Tick) -> R + Send + Sync + 'static,
        R: Future<Output = std::result::Result<(), BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |tick| Box::pin(function(tick))))
    }

    /// Publishes the same message to a topic of a local Pub/Sub each time.
    #[must_use]
    pub fn publish(pubsub: PubSub, topic: impl Into<String>, message: NewMessage) -> Self {
        let topic: Arc<str> = topic.into().into();
        Self::call(move |_| {
            let published = pubsub.publish(&topic, vec![message.clone()]);
            std::future::ready(published.map(|_| ()).map_err(BoxError::from))
        })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target")
    }
}

/// A job at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// Its schedule, for people.
    pub schedule: String,
    /// Whether it is paused.
    pub is_paused: bool,
    /// When it is due next; `None` while paused, or if never.
    pub next_run: Option<Timestamp>,
    /// When it ran last.
    pub last_run: Option<Timestamp>,
    /// Why its last run failed, if it did.
    pub last_error: Option<String>,
    /// Runs so far.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Ticks left out because the previous run took too long.
    pub missed: u64,
}

/// What a job's task is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Paused or resumed.
    Changed,
    /// Run now and tell how it went.
    Run(oneshot::Sender<std::result::Result<(), BoxError>>),
}

/// What is known of a job, shared between its task and the scheduler.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Known>);

#[derive(Debug)]
pub(super) struct Known {
    pub(super) status: JobStatus,
    /// Ticks up to here are not made up for: the job was paused until then.
    resumed_at: Timestamp,
}

impl Shared {
    pub(super) fn new(name: &str, schedule: &Schedule) -> Self {
        let status = JobStatus {
            name: name.to_owned(),
            schedule: schedule.to_string(),
            is_paused: false,
            next_run: None,
            last_run: None,
            last_error: None,
            runs: 0,
            failures: 0,
            missed: 0,
        };
        Self(Mutex::new(Known { status, resumed_at: Timestamp::from_micros(i64::MIN) }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that runs a job.
pub(super) struct Job {
    pub(super) schedule: Schedule,
    pub(super) target: Target,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) shutdown: CancellationToken,
}

impl Job {
    /// Runs until shutdown or until the job is removed.
    pub(super) async fn run(mut self, started: Timestamp) {
        // Ticks up to here are done with.
        let mut done = started;
        loop {
            let next = self.plan_next(done);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                command = self.commands.recv() => match command {
                    None => return,
                    // The next plan takes it into account.
                    Some(Command::Changed) => {}
                    Some(Command::Run(reply)) => {
                        let result = self.execute(self.clock.now(), 0).await;
                        // Whoever asked may not wait any more.
                        let _ = reply.send(result);
                    }
                },
                () = self.clock.sleep_until(next.unwrap_or(Timestamp::MAX)) => {
                    let Some(scheduled) = next else { continue };
                    done = self.clock.now().max(scheduled);
                    let missed = self.schedule.count_between(scheduled, done);
                    // The status has the error.
                    let _ = self.execute(scheduled, missed).await;
                }
            }
        }
    }

    fn plan_next(&self, done: Timestamp) -> Option<Timestamp> {
        let mut known = self.shared.lock();
        let done = done.max(known.resumed_at);
        let is_paused = known.status.is_paused;
        known.status.next_run = if is_paused { None } else { self.schedule.next_after(done) };
        known.status.next_run
    }

    async fn execute(
        &self,
        scheduled: Timestamp,
        missed: u64,
    ) -> std::result::Result<(), BoxError> {
        let tick = Tick { number: self.shared.lock().status.runs, scheduled, missed };
        let called = tokio::time::timeout(ATTEMPT_DEADLINE, (self.target.0)(tick)).await;
        let result = called.unwrap_or_else(|_| Err("no answer within the deadline".into()));
        let status = &mut self.shared.lock().status;
        status.runs += 1;
        status.missed += missed;
        status.last_run = Some(scheduled);
        status.last_error = result.as_ref().err().map(ToString::to_string);
        if let Err(error) = &result {
            status.failures += 1;
            tracing::warn!(job = status.name, error, "scheduled job failed");
        }
        result
    }
}

/// How the scheduler reaches a job's task.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Sender<Command>,
}

impl Handle {
    pub(super) fn pause(&self) {
        let mut known = self.shared.lock();
        known.status.is_paused = true;
        known.status.next_run = None;
        drop(known);
        self.tell();
    }

    /// The moment counts at which this is called, not the one at which the task gets to it.
    pub(super) fn resume(&self, now: Timestamp) {
        let mut known = self.shared.lock();
        if std::mem::take(&mut known.status.is_paused) {
            known.resumed_at = now;
        }
        drop(known);
        self.tell();
    }

    fn tell(&self) {
        // A full queue holds commands after which the task looks at the status anyway.
        let _ = self.commands.try_send(Command::Changed);
    }
}

/// Asks a job's task to run now, and waits for the outcome.
pub(super) async fn run_now(name: &str, commands: mpsc::Sender<Command>) -> Result<()> {
    let gone = || Error::NoSuchJob { name: name.to_owned() };
    let (reply, outcome) = oneshot::channel();
    commands.send(Command::Run(reply)).await.map_err(|_| gone())?;
    let result = outcome.await.map_err(|_| gone())?;
    result.map_err(|source| Error::Failed { name: name.to_owned(), source })
}
