//! What is persisted of the jobs made over the API, and how it is restored.
//!
//! Retries under way are not persisted: after a restart a job goes on with its next tick, and ticks that fell due while no
//! server ran are not made up for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::journal::{self, BoxError, DataDirectory, Journal};
use crate::proto::rpc::Status;
use crate::proto::scheduler as proto;

/// One change of the jobs. The order of variants and fields is free, their names are the format.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Record {
    /// A job was created or changed.
    Job {
        /// The encoded `google.cloud.scheduler.v1.Job`, with its state and last attempt.
        job: Bytes,
    },
    /// A job was attempted.
    Attempted {
        /// The job's name.
        name: String,
        /// When.
        at: Timestamp,
        /// The encoded `google.rpc.Status`.
        status: Bytes,
    },
    /// A job was deleted.
    Deleted {
        /// Its name.
        name: String,
    },
}

impl Record {
    pub(super) fn job(job: &proto::Job) -> Self {
        Self::Job { job: job.encode_to_vec().into() }
    }

    pub(super) fn attempted(name: &str, at: Timestamp, status: &Status) -> Self {
        Self::Attempted { name: name.to_owned(), at, status: status.encode_to_vec().into() }
    }
}

/// Jobs by name, as records make them.
pub(super) type Jobs = BTreeMap<String, proto::Job>;

fn apply(jobs: &mut Jobs, record: Record) -> Result<(), BoxError> {
    match record {
        Record::Job { job } => {
            let job = proto::Job::decode(job)?;
            jobs.insert(job.name.clone(), job);
        }
        Record::Attempted { name, at, status } => {
            let status = Status::decode(status)?;
            if let Some(job) = jobs.get_mut(&name) {
                let (seconds, nanos) = at.as_seconds_and_nanos();
                job.last_attempt_time = Some(prost_types::Timestamp { seconds, nanos });
                job.status = Some(status);
            }
        }
        Record::Deleted { name } => {
            jobs.remove(&name);
        }
    }
    Ok(())
}

/// Where records go: a journal, or nowhere.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    journal: Option<Arc<Journal>>,
    /// Held while a record is added or the journal rewritten, so that no record falls between.
    order: Mutex<()>,
}

impl Ledger {
    /// The journal of a data directory (file `scheduler.journal`), and the jobs in it.
    pub(super) fn open(directory: &DataDirectory) -> journal::Result<(Self, Jobs)> {
        let mut jobs = Jobs::new();
        let journal = directory.journal("scheduler", |record| apply(&mut jobs, record))?;
        Ok((Self { journal: Some(journal), order: Mutex::default() }, jobs))
    }

    /// Puts a record on file.
    pub(super) fn record(&self, record: &Record) -> journal::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        journal.commit(journal.append(record)?)
    }

    /// Rewrites the journal from `jobs` when most of it is garbage.
    pub(super) fn compact(&self, jobs: impl Fn() -> Vec<proto::Job>) -> journal::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs();
        let live_bytes = jobs.iter().map(|job| job.encoded_len() as u64).sum();
        if !journal.is_worth_rewriting(live_bytes) {
            return Ok(());
        }
        journal.rewrite(jobs.iter().map(Record::job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_follow_from_their_records() {
        let job = |schedule: &str| proto::Job {
            name: "j".to_owned(),
            schedule: schedule.to_owned(),
            ..Default::default()
        };
        let status = Status { code: 5, ..Default::default() };
        let mut jobs = Jobs::new();
        for record in [
            Record::job(&job("* * * * *")),
            Record::job(&job("1 * * * *")),
            Record::attempted("j", Timestamp::from_millis(1_500), &status),
            Record::attempted("gone", Timestamp::EPOCH, &status),
            Record::Deleted { name: "gone".to_owned() },
        ] {
            apply(&mut jobs, record).unwrap();
        }
        let held = &jobs["j"];
        assert_eq!((held.schedule.as_str(), held.status.as_ref()), ("1 * * * *", Some(&status)));
        let attempted = held.last_attempt_time.unwrap();
        assert_eq!((attempted.seconds, attempted.nanos), (1, 500_000_000));
        apply(&mut jobs, Record::Deleted { name: "j".to_owned() }).unwrap();
        assert!(jobs.is_empty());
        apply(&mut jobs, Record::Job { job: Bytes::from_static(b"\xff") }).unwrap_err();
    }
}
