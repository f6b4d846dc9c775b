//! One job: what is known of it, and how others reach its task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::definition::Definition;
use super::error::{BoxError, Error, Result};
use crate::clock::Timestamp;
use crate::proto::rpc::Status;
use crate::proto::scheduler as proto;
use crate::proto::scheduler::job::State;

/// One run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Counts the runs of the job, from 0; a retry has the number of its run.
    pub number: u64,
    /// When it was due; when it was asked for, if run by hand.
    pub scheduled: Timestamp,
    /// Whether it is due by the schedule, not run by hand.
    pub is_scheduled: bool,
    /// How many ticks fell due since the previous run and were left out, because that took too long.
    pub missed: u64,
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
    /// When it is due next, by its schedule or as a retry; `None` while paused, or if never.
    pub next_run: Option<Timestamp>,
    /// The tick it ran for last.
    pub last_run: Option<Timestamp>,
    /// Why its last attempt failed, if it did.
    pub last_error: Option<String>,
    /// Runs since the server started, each with its retries.
    pub runs: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Ticks left out because the previous run took too long.
    pub missed: u64,
}

/// What a job's task is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Paused, resumed or updated.
    Changed,
    /// Run now and tell how it went.
    Run(oneshot::Sender<std::result::Result<(), BoxError>>),
}

/// What is known of a job, shared between its task and the scheduler.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Known>);

#[derive(Debug)]
pub(super) struct Known {
    pub(super) definition: Definition,
    /// Added by this process and gone with it; the API may pause and run it, and no more.
    pub(super) is_of_process: bool,
    pub(super) is_removed: bool,
    pub(super) status: JobStatus,
    pub(super) last_attempt: Option<Timestamp>,
    pub(super) outcome: Option<Status>,
    /// When a user changed it last, which ends retries that began before.
    pub(super) changed_at: Option<Timestamp>,
    /// Counts the changes.
    pub(super) generation: u64,
    /// Ticks up to here are not made up for: the job was paused until then.
    pub(super) resumed_at: Timestamp,
}

impl Known {
    pub(super) fn new(definition: Definition, is_of_process: bool) -> Self {
        let status = JobStatus {
            name: definition.config.name.clone(),
            schedule: definition.schedule.to_string(),
            is_paused: false,
            next_run: None,
            last_run: None,
            last_error: None,
            runs: 0,
            failures: 0,
            missed: 0,
        };
        Self {
            definition,
            is_of_process,
            is_removed: false,
            status,
            last_attempt: None,
            outcome: None,
            changed_at: None,
            generation: 0,
            resumed_at: Timestamp::from_micros(i64::MIN),
        }
    }

    /// A job as an earlier life of the server left it.
    pub(super) fn restored(definition: Definition, job: &proto::Job) -> Self {
        let mut known = Self::new(definition, false);
        known.status.is_paused = job.state() == State::Paused;
        known.changed_at = job.user_update_time.as_ref().and_then(from_proto);
        known.last_attempt = job.last_attempt_time.as_ref().and_then(from_proto);
        known.outcome.clone_from(&job.status);
        known
    }

    /// A user changed the job now.
    pub(super) fn change(&mut self, now: Timestamp) {
        self.changed_at = Some(now);
        self.generation += 1;
    }

    /// The job as the API shows it.
    pub(super) fn to_proto(&self) -> proto::Job {
        let state = if self.status.is_paused { State::Paused } else { State::Enabled };
        proto::Job {
            user_update_time: self.changed_at.map(to_proto),
            state: state.into(),
            status: self.outcome.clone(),
            schedule_time: self.status.next_run.map(to_proto),
            last_attempt_time: self.last_attempt.map(to_proto),
            ..self.definition.config.clone()
        }
    }
}

fn to_proto(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.as_seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }
}

fn from_proto(at: &prost_types::Timestamp) -> Option<Timestamp> {
    let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos) / 1_000)?;
    Some(Timestamp::from_micros(micros))
}

impl Shared {
    pub(super) fn new(known: Known) -> Self {
        Self(Mutex::new(known))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the scheduler reaches a job's task.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Changes what is known and lets the task take note.
    pub(super) fn change<T>(&self, step: impl FnOnce(&mut Known) -> T) -> T {
        let result = step(&mut self.shared.lock());
        // A full queue holds commands after which the task looks at what is known anyway.
        let _ = self.commands.try_send(Command::Changed);
        result
    }

    pub(super) fn pause(&self, now: Timestamp) {
        self.change(|known| {
            if !std::mem::replace(&mut known.status.is_paused, true) {
                known.change(now);
            }
            known.status.next_run = None;
        });
    }

    /// The moment counts at which this is called, not the one at which the task gets to it.
    pub(super) fn resume(&self, now: Timestamp) {
        self.change(|known| {
            if std::mem::take(&mut known.status.is_paused) {
                known.resumed_at = now;
                known.status.next_run = known.definition.schedule.next_after(now);
                known.change(now);
            }
        });
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
