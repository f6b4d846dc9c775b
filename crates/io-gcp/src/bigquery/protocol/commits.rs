//! [`Commits`]: brings streams to where a durable checkpoint wants them, flushed and where due finalised. Idempotent.

use std::collections::BTreeMap;

use millstream::Timestamp;

use super::messages::{
    Failure, FailureKind, ProtocolError, ProtocolOptions, Request, StreamCommit,
};
use super::trouble::{Trouble, earlier};

/// What a stream is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Its next request.
    Next,
    /// The answer to a flush of so many rows.
    Flushing(u64, Timestamp),
    /// The answer to its end.
    Finalizing(Timestamp),
}

/// How far a stream is.
#[derive(Debug)]
struct Progress {
    target: u64,
    flushed: u64,
    finalize: bool,
    /// Whether an earlier life wrote the stream.
    is_restored: bool,
    step: Step,
    trouble: Trouble,
}

/// Commits that were started and are not done.
#[derive(Debug)]
pub(super) struct Commits {
    streams: BTreeMap<String, Progress>,
    options: ProtocolOptions,
    retries: u64,
}

impl Commits {
    pub(super) const fn new(options: ProtocolOptions) -> Self {
        Self { streams: BTreeMap::new(), options, retries: 0 }
    }

    /// Starts to bring a stream to where `commit` wants it.
    pub(super) fn start(&mut self, commit: &StreamCommit, finalize: bool, is_restored: bool) {
        let seed = self.options.seed;
        let progress = self.streams.entry(commit.stream.clone()).or_insert_with(|| Progress {
            target: 0,
            flushed: 0,
            finalize: false,
            is_restored,
            step: Step::Next,
            trouble: Trouble::none(seed),
        });
        progress.target = progress.target.max(commit.rows);
        progress.flushed = progress.flushed.max(commit.flushed);
        progress.finalize |= finalize;
    }

    pub(super) fn is_done(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether streams of an earlier life are not flushed to where their checkpoint wants them.
    pub(super) fn is_restoring(&self) -> bool {
        let is_behind = |progress: &Progress| progress.flushed < progress.target;
        self.streams.values().any(|progress| progress.is_restored && is_behind(progress))
    }

    /// Requests that were sent again.
    pub(super) const fn retries(&self) -> u64 {
        self.retries
    }

    /// Sends what is due.
    pub(super) fn poll<Body>(
        &mut self,
        now: Timestamp,
        out: &mut Vec<Request<Body>>,
    ) -> Result<(), ProtocolError> {
        for (stream, progress) in &mut self.streams {
            progress.expire(now, &self.options, &mut self.retries)?;
            if progress.step != Step::Next || !progress.trouble.may_try(now) {
                continue;
            }
            if progress.flushed < progress.target {
                let rows = progress.target;
                progress.step = Step::Flushing(rows, now);
                out.push(Request::Flush { stream: stream.clone(), rows });
            } else if progress.finalize {
                progress.step = Step::Finalizing(now);
                out.push(Request::Finalize { stream: stream.clone() });
            }
        }
        self.streams.retain(|_, progress| !progress.is_done());
        Ok(())
    }

    /// When to poll again without an answer.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let timeout = self.options.control_timeout;
        self.streams.values().fold(None, |soonest, progress| {
            earlier(
                soonest,
                match progress.step {
                    Step::Next => progress.trouble.retry_at(),
                    Step::Flushing(_, since) | Step::Finalizing(since) => Some(since + timeout),
                },
            )
        })
    }

    /// A flush was answered; `Some(rows)` when so many rows are known to be visible now.
    pub(super) fn flushed(
        &mut self,
        stream: &str,
        rows: u64,
        result: Result<(), Failure>,
        now: Timestamp,
    ) -> Result<Option<u64>, ProtocolError> {
        let Some(progress) = self.streams.get_mut(stream) else { return Ok(None) };
        let Step::Flushing(asked, _) = progress.step else { return Ok(None) };
        if asked != rows {
            return Ok(None);
        }
        progress.step = Step::Next;
        let Err(failure) = result else {
            progress.flushed = progress.flushed.max(rows);
            progress.trouble.succeeded();
            return Ok(Some(progress.flushed));
        };
        match failure.kind {
            FailureKind::AlreadyExists => {
                progress.flushed = progress.flushed.max(rows);
                Ok(Some(progress.flushed))
            }
            // A stream is finalised only after a checkpoint behind which all of its rows were flushed.
            FailureKind::StreamFinalized if progress.is_restored => {
                progress.end();
                Ok(None)
            }
            FailureKind::NotFound if progress.is_restored && self.options.skip_missing_streams => {
                tracing::warn!(
                    stream,
                    rows,
                    "a stream of the checkpoint no longer exists; skipped"
                );
                progress.end();
                Ok(None)
            }
            kind if kind.is_retryable() => {
                let failure = Failure { kind, message: failure.message };
                self.retries += 1;
                let patience = self.options.give_up_after;
                progress.trouble.failed(now, patience, "cannot flush", &failure)?;
                Ok(None)
            }
            kind => {
                let failure = Failure { kind, message: failure.message };
                let (target, known) = (progress.target, progress.flushed);
                let what = format!(
                    "cannot flush {stream} to row {target} ({known} rows are known to be visible)"
                );
                Err(ProtocolError::because(&what, &failure))
            }
        }
    }

    /// The end of a stream was answered; true when it has ended.
    pub(super) fn finalized(
        &mut self,
        stream: &str,
        result: Result<(), Failure>,
        now: Timestamp,
    ) -> Result<bool, ProtocolError> {
        let Some(progress) = self.streams.get_mut(stream) else { return Ok(false) };
        if !matches!(progress.step, Step::Finalizing(_)) {
            return Ok(false);
        }
        progress.step = Step::Next;
        match result {
            Ok(()) => progress.end(),
            Err(failure) => match &failure.kind {
                FailureKind::NotFound | FailureKind::StreamFinalized => progress.end(),
                kind if kind.is_retryable() => {
                    self.retries += 1;
                    let patience = self.options.give_up_after;
                    progress.trouble.failed(now, patience, "cannot finalise", &failure)?;
                    return Ok(false);
                }
                _ => {
                    let what = format!("cannot finalise {stream}");
                    return Err(ProtocolError::because(&what, &failure));
                }
            },
        }
        self.streams.remove(stream);
        Ok(true)
    }
}

impl Progress {
    fn is_done(&self) -> bool {
        self.step == Step::Next && self.flushed >= self.target && !self.finalize
    }

    fn end(&mut self) {
        self.flushed = self.flushed.max(self.target);
        self.finalize = false;
    }

    /// Gives up waiting for an answer that does not come.
    fn expire(
        &mut self,
        now: Timestamp,
        options: &ProtocolOptions,
        retries: &mut u64,
    ) -> Result<(), ProtocolError> {
        let since = match self.step {
            Step::Flushing(_, since) | Step::Finalizing(since) => since,
            Step::Next => return Ok(()),
        };
        if now.since(since) < options.control_timeout {
            return Ok(());
        }
        self.step = Step::Next;
        *retries += 1;
        let failure = Failure::new(FailureKind::Unavailable, "no answer in time");
        self.trouble.failed(now, options.give_up_after, "cannot commit", &failure)
    }
}
