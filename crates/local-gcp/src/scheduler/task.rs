//! [`Task`]: what runs one job, at its instants and at the retries of what failed.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::BoxError;
use super::job::{Command, Shared, Tick};
use super::record::{Ledger, Record};
use super::target::{self, Late};
use crate::clock::{Clock, Timestamp};

/// What an attempt needs; clones are for attempts beside the job's task.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) shutdown: CancellationToken,
}

/// The task that runs a job.
pub(super) struct Task {
    pub(super) runner: Runner,
    pub(super) commands: mpsc::Receiver<Command>,
}

/// A run that failed and is tried again.
struct Retry {
    tick: Tick,
    first_attempt: Timestamp,
    /// From 1.
    number: u32,
    at: Timestamp,
    generation: u64,
}

impl Task {
    /// Runs until shutdown or until the job is removed.
    pub(super) async fn run(mut self, started: Timestamp) {
        // Ticks up to here are done with.
        let mut done = started;
        let mut retry = None;
        loop {
            let due = self.runner.plan_next(done, &mut retry);
            tokio::select! {
                biased;
                () = self.runner.shutdown.cancelled() => return,
                command = self.commands.recv() => match command {
                    None => return,
                    // The next plan takes it into account.
                    Some(Command::Changed) => {}
                    Some(Command::Run(reply)) => {
                        let result = self.runner.by_hand().await;
                        // Whoever asked may not wait any more.
                        let _ = reply.send(result);
                    }
                },
                () = self.runner.clock.sleep_until(due.unwrap_or(Timestamp::MAX)) => {
                    let Some(due) = due else { continue };
                    retry = match retry.take() {
                        Some(again) => self.runner.again(again).await,
                        None => self.runner.first(due, &mut done).await,
                    };
                }
            }
        }
    }
}

impl Runner {
    /// When the job is due next, by its schedule or as a retry. Retries end with the next tick, and with any change of the job.
    fn plan_next(&self, done: Timestamp, retry: &mut Option<Retry>) -> Option<Timestamp> {
        let mut known = self.shared.lock();
        let done = done.max(known.resumed_at);
        let is_paused = known.status.is_paused;
        let next = if is_paused { None } else { known.definition.schedule.next_after(done) };
        retry.take_if(|it| {
            is_paused || it.generation != known.generation || next.is_some_and(|next| next <= it.at)
        });
        known.status.next_run = retry.as_ref().map(|it| it.at).or(next);
        known.status.next_run
    }

    /// The first attempt of the run that was due at `scheduled`.
    async fn first(&self, scheduled: Timestamp, done: &mut Timestamp) -> Option<Retry> {
        let now = self.clock.now();
        *done = now.max(scheduled);
        let (tick, generation, is_after_run) = {
            let known = self.shared.lock();
            let schedule = &known.definition.schedule;
            let missed = schedule.count_between(scheduled, *done);
            let tick = Tick { number: known.status.runs, scheduled, is_scheduled: true, missed };
            (tick, known.generation, schedule.is_after_run())
        };
        let failed = self.attempt(tick, false).await.is_err();
        if is_after_run {
            *done = self.clock.now();
        }
        let retry = Retry { tick, first_attempt: now, number: 0, at: now, generation };
        failed.then(|| self.after_failure(retry)).flatten()
    }

    async fn again(&self, retry: Retry) -> Option<Retry> {
        let failed = self.attempt(retry.tick, true).await.is_err();
        failed.then(|| self.after_failure(retry)).flatten()
    }

    fn after_failure(&self, failed: Retry) -> Option<Retry> {
        let now = self.clock.now();
        let number = failed.number + 1;
        let policy = self.shared.lock().definition.retry;
        let delay = policy.delay(number, now.since(failed.first_attempt))?;
        Some(Retry { number, at: now + delay, ..failed })
    }

    /// A run besides the schedule.
    pub(super) async fn by_hand(&self) -> Result<(), BoxError> {
        let number = self.shared.lock().status.runs;
        let tick = Tick { number, scheduled: self.clock.now(), is_scheduled: false, missed: 0 };
        self.attempt(tick, false).await
    }

    async fn attempt(&self, tick: Tick, is_retry: bool) -> Result<(), BoxError> {
        let started = self.clock.now();
        let (target, deadline, name) = {
            let mut known = self.shared.lock();
            known.last_attempt = Some(started);
            let definition = &known.definition;
            let name: Arc<str> = definition.config.name.as_str().into();
            (definition.target.clone(), definition.deadline, name)
        };
        let called = tokio::time::timeout(deadline, target.run(&name, tick));
        let called = async { called.await.unwrap_or_else(|_| Err(Late.into())) };
        let result = if target.is_remote() {
            // Nobody here decides how long it takes; a shutdown does not wait for it.
            let stopped = || Err("the server is shutting down".into());
            self.shutdown.run_until_cancelled(called).await.unwrap_or_else(stopped)
        } else {
            called.await
        };
        self.note(tick, is_retry, started, &result);
        result
    }

    fn note(&self, tick: Tick, is_retry: bool, at: Timestamp, result: &Result<(), BoxError>) {
        let outcome = target::status(result);
        let record = {
            let mut known = self.shared.lock();
            let status = &mut known.status;
            if !is_retry {
                status.runs += 1;
                status.missed += tick.missed;
            }
            status.last_run = Some(tick.scheduled);
            status.last_error = result.as_ref().err().map(ToString::to_string);
            if let Err(error) = result {
                status.failures += 1;
                tracing::warn!(job = status.name, error, "scheduled job failed");
            }
            known.outcome = Some(outcome.clone());
            let is_kept = !known.is_of_process && !known.is_removed;
            is_kept.then(|| Record::attempted(&known.definition.config.name, at, &outcome))
        };
        // What is known is changed first: a journal rewritten in between has it.
        if let Some(Err(error)) = record.map(|record| self.ledger.record(&record)) {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot record an attempt");
        }
    }
}
