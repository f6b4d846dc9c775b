//! The jobs of a server's life: bounded in number, their results bounded in size.
//!
//! Pure; jobs are not journalled, so that a restart forgets them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::load::Loaded;
use crate::bigquery::names::TableName;
use crate::bigquery::sql::QueryResult;
use crate::clock::Timestamp;

/// Jobs remembered; the oldest go first. Google keeps them for six months.
const JOBS_MAX: usize = 1_000;

/// Results kept, in bytes as BigQuery counts them; the oldest go first. Google keeps them for a day.
const RESULT_BYTES_MAX: u64 = 512 << 20;

/// How long a request id stands for the request that had it first.
const REQUEST_KEPT: Duration = Duration::from_secs(15 * 60);

/// The hidden dataset of query results: each is a table there, named by its job. Google's has a name of its own for each user.
pub(crate) const RESULTS: &str = "_results";

/// Names a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobKey {
    pub(crate) project: String,
    pub(crate) id: String,
}

/// A job that has run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) key: JobKey,
    pub(crate) location: String,
    pub(crate) created: Timestamp,
    pub(crate) ended: Timestamp,
    /// The `configuration` of the REST resource.
    pub(crate) configuration: serde_json::Value,
    pub(crate) outcome: Outcome,
}

/// What a job gave.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Done(Arc<QueryResult>),
    /// A file was loaded, or was not.
    Loaded(Arc<Loaded>),
    /// It was done, but its result was let go.
    Expired,
    Failed(ApiError),
}

/// Project and request id.
type RequestKey = (String, String);

/// All jobs remembered.
#[derive(Debug)]
pub(crate) struct Jobs {
    jobs: BTreeMap<JobKey, Job>,
    /// Oldest first.
    order: VecDeque<JobKey>,
    result_bytes: u64,
    /// By project and request id.
    requests: FxHashMap<RequestKey, (Timestamp, JobKey)>,
    /// The same, oldest first.
    request_order: VecDeque<(Timestamp, RequestKey)>,
    /// Tells apart the ids of this life from those of earlier ones.
    life: i64,
    next: u64,
}

impl Jobs {
    /// No jobs yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            jobs: BTreeMap::new(),
            order: VecDeque::new(),
            result_bytes: 0,
            requests: FxHashMap::default(),
            request_order: VecDeque::new(),
            life: now.as_micros(),
            next: 1,
        }
    }

    /// An id no job has.
    pub(crate) fn new_id(&mut self) -> String {
        let id = format!("job_{:x}_{}", self.life, self.next);
        self.next += 1;
        id
    }

    /// Remembers a job.
    ///
    /// # Errors
    /// When its id is taken.
    pub(crate) fn insert(&mut self, job: Job) -> Result<(), ApiError> {
        self.check_free(&job.key, &job.location)?;
        self.result_bytes += job.result_bytes();
        self.order.push_back(job.key.clone());
        self.jobs.insert(job.key.clone(), job);
        self.shrink();
        Ok(())
    }

    /// Checks that an id is free.
    ///
    /// # Errors
    /// When it is taken.
    pub(crate) fn check_free(&self, key: &JobKey, location: &str) -> Result<(), ApiError> {
        if !self.jobs.contains_key(key) {
            return Ok(());
        }
        let message = format!("Already Exists: Job {}:{location}.{}", key.project, key.id);
        Err(ApiError::new(Reason::Duplicate, message))
    }

    fn shrink(&mut self) {
        while self.order.len() > JOBS_MAX {
            if let Some(job) = self.order.pop_front().and_then(|key| self.jobs.remove(&key)) {
                self.result_bytes -= job.result_bytes();
            }
        }
        let mut oldest = self.order.iter();
        while self.result_bytes > RESULT_BYTES_MAX {
            // The newest stays whatever its size: somebody is about to read it.
            let Some(key) = oldest.next().filter(|key| Some(*key) != self.order.back()) else {
                return;
            };
            if let Some(job) = self.jobs.get_mut(key) {
                self.result_bytes -= job.result_bytes();
                if matches!(job.outcome, Outcome::Done(_)) {
                    job.outcome = Outcome::Expired;
                }
            }
        }
    }

    /// A job.
    ///
    /// # Errors
    /// When there is none of this name, or it is in another location than the one given.
    pub(crate) fn get(&self, key: &JobKey, location: Option<&str>) -> Result<&Job, ApiError> {
        let here = |job: &&Job| {
            location.is_none_or(|location| location.eq_ignore_ascii_case(&job.location))
        };
        self.jobs.get(key).filter(here).ok_or_else(|| {
            let message = format!("Not found: Job {}:{}", key.project, key.id);
            ApiError::new(Reason::NotFound, message)
        })
    }

    /// Forgets a job.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub(crate) fn remove(&mut self, key: &JobKey, location: Option<&str>) -> Result<(), ApiError> {
        self.result_bytes -= self.get(key, location)?.result_bytes();
        self.jobs.remove(key);
        self.order.retain(|other| other != key);
        Ok(())
    }

    /// A project's jobs, newest first.
    pub(crate) fn of_project<'a>(&'a self, project: &'a str) -> impl Iterator<Item = &'a Job> {
        let keys = self.order.iter().rev().filter(move |key| key.project == project);
        keys.filter_map(|key| self.jobs.get(key))
    }

    /// The job that a request of this id made before, if it is not long ago.
    pub(crate) fn of_request(
        &mut self,
        now: Timestamp,
        project: &str,
        request: &str,
    ) -> Option<&Job> {
        self.forget_requests(now);
        let (_, key) = self.requests.get(&(project.to_owned(), request.to_owned()))?;
        self.jobs.get(key)
    }

    /// The result that a table of the dataset [`RESULTS`] stands for, and when its job was created.
    pub(crate) fn result_table(&self, table: &TableName) -> Option<(Timestamp, Arc<QueryResult>)> {
        if table.dataset.dataset != RESULTS {
            return None;
        }
        let key = JobKey { project: table.dataset.project.clone(), id: table.table.clone() };
        let job = self.jobs.get(&key).filter(|job| job.result_table().is_some())?;
        Some((job.created, Arc::clone(job.result().ok()?)))
    }

    /// Remembers which job a request made.
    pub(crate) fn remember_request(&mut self, now: Timestamp, request: String, key: JobKey) {
        let request = (key.project.clone(), request);
        self.request_order.push_back((now, request.clone()));
        self.requests.insert(request, (now, key));
        self.forget_requests(now);
    }

    /// Forgets requests that are too old, and those of jobs that must be forgotten by now. Each is looked at once.
    fn forget_requests(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.request_order.front()
            && (now.since(*at) > REQUEST_KEPT || self.request_order.len() > JOBS_MAX)
        {
            let Some((at, request)) = self.request_order.pop_front() else { return };
            // Unless the same id came again since.
            if self.requests.get(&request).is_some_and(|(latest, _)| *latest == at) {
                self.requests.remove(&request);
            }
        }
    }
}

impl Job {
    fn result_bytes(&self) -> u64 {
        match &self.outcome {
            Outcome::Done(result) => {
                // The fixed part keeps results of many tiny rows in bounds too.
                const ROW_BYTES: u64 = 64;
                let row = |row: &Vec<_>| {
                    ROW_BYTES + row.iter().map(crate::bigquery::Value::logical_bytes).sum::<u64>()
                };
                result.rows.iter().map(row).sum()
            }
            Outcome::Loaded(_) | Outcome::Expired | Outcome::Failed(_) => 0,
        }
    }

    /// The table that stands for the result of a query which has no destination of its own.
    pub(crate) fn result_table(&self) -> Option<TableName> {
        let Outcome::Done(result) = &self.outcome else { return None };
        let has_own = !self.configuration["query"]["destinationTable"].is_null();
        let is_query = result.effect.is_none() && !has_own && self.configuration["dryRun"] != true;
        is_query.then(|| TableName::new(&self.key.project, RESULTS, &self.key.id))
    }

    /// The job's result.
    ///
    /// # Errors
    /// The job's own error, or that its result was let go.
    pub(crate) fn result(&self) -> Result<&Arc<QueryResult>, ApiError> {
        match &self.outcome {
            Outcome::Done(result) => Ok(result),
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Loaded(_) => {
                let message = format!("Job {} is not a query job", self.key.id);
                Err(ApiError::invalid(message))
            }
            Outcome::Expired => {
                let message = format!("Not found: the result of job {} has expired", self.key.id);
                Err(ApiError::new(Reason::NotFound, message))
            }
        }
    }

    /// The error of a failed job.
    pub(crate) fn error(&self) -> Option<&ApiError> {
        match &self.outcome {
            Outcome::Failed(error) => Some(error),
            Outcome::Loaded(loaded) => loaded.failure.as_ref(),
            Outcome::Done(_) | Outcome::Expired => None,
        }
    }

    /// All errors of a job, also of those that did not make it fail.
    pub(crate) fn errors(&self) -> Vec<&ApiError> {
        let of_rows: &[ApiError] = match &self.outcome {
            Outcome::Loaded(loaded) => &loaded.errors,
            _ => &[],
        };
        self.error().into_iter().chain(of_rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn job(id: &str, outcome: Outcome) -> Job {
        Job {
            key: JobKey { project: "p".to_owned(), id: id.to_owned() },
            location: "US".to_owned(),
            created: NOW,
            ended: NOW,
            configuration: serde_json::Value::Null,
            outcome,
        }
    }

    fn done() -> Outcome {
        Outcome::Done(Arc::new(QueryResult::default()))
    }

    #[test]
    fn ids_are_taken_once_and_found_in_their_location() {
        let mut jobs = Jobs::new(NOW);
        jobs.insert(job("a", done())).unwrap();
        let error = jobs.insert(job("a", done())).unwrap_err();
        assert_eq!(error, ApiError::new(Reason::Duplicate, "Already Exists: Job p:US.a"));
        let key = JobKey { project: "p".to_owned(), id: "a".to_owned() };
        jobs.get(&key, Some("us")).unwrap();
        assert_eq!(jobs.get(&key, Some("EU")).unwrap_err().reason, Reason::NotFound);
        jobs.remove(&key, None).unwrap();
        assert_eq!(jobs.get(&key, None).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn old_jobs_and_large_results_are_let_go() {
        let mut jobs = Jobs::new(NOW);
        let huge = || {
            let row = vec![crate::bigquery::Value::string("x".repeat(1 << 20))];
            let rows = vec![row; 200];
            Outcome::Done(Arc::new(QueryResult { rows, ..QueryResult::default() }))
        };
        for id in ["a", "b", "c"] {
            jobs.insert(job(id, huge())).unwrap();
        }
        let outcome = |jobs: &Jobs, id: &str| {
            let key = JobKey { project: "p".to_owned(), id: id.to_owned() };
            jobs.get(&key, None).map(|job| job.result().is_ok())
        };
        assert_eq!(outcome(&jobs, "a"), Ok(false));
        assert_eq!(outcome(&jobs, "c"), Ok(true));
        for n in 0..JOBS_MAX {
            jobs.insert(job(&n.to_string(), done())).unwrap();
        }
        assert!(outcome(&jobs, "c").is_err());
        assert_eq!(jobs.of_project("p").count(), JOBS_MAX);
        assert_eq!(jobs.result_bytes, 0);
    }

    #[test]
    fn a_request_id_stands_for_its_first_job_for_a_while() {
        let mut jobs = Jobs::new(NOW);
        let first = job("a", done());
        jobs.insert(first.clone()).unwrap();
        jobs.remember_request(NOW, "r".to_owned(), first.key);
        assert_eq!(jobs.of_request(NOW, "p", "r").map(|job| job.key.id.as_str()), Some("a"));
        assert!(jobs.of_request(NOW, "q", "r").is_none());
        let later = NOW + REQUEST_KEPT + Duration::from_secs(1);
        assert!(jobs.of_request(later, "p", "r").is_none());
        for n in 0..2 * JOBS_MAX {
            let key = JobKey { project: "p".to_owned(), id: n.to_string() };
            jobs.remember_request(later, n.to_string(), key);
        }
        assert_eq!((jobs.requests.len(), jobs.request_order.len()), (JOBS_MAX, JOBS_MAX));
    }
}
