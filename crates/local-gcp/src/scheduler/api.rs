//! [`CloudScheduler`]: the calls of the Cloud Scheduler API, as the gRPC and the REST face pass them on.

use std::sync::atomic::{AtomicU64, Ordering};

use super::definition::{Definition, updated};
use super::error::{Error, Result};
use super::job::{Handle, Known};
use super::names;
use super::runner::LocalScheduler;
use crate::proto::scheduler as proto;
use crate::pubsub::PubSub;

/// Google's default quota of jobs in a location.
const JOBS_MAX: usize = 1_000;
/// Documented: also what a page without a size holds.
const PAGE_JOBS_MAX: usize = 500;

/// The jobs of a scheduler, administered over the API; their messages go to a local Pub/Sub.
#[derive(Clone, Debug)]
pub(crate) struct CloudScheduler {
    scheduler: LocalScheduler,
    pubsub: PubSub,
}

impl CloudScheduler {
    pub(crate) fn new(scheduler: LocalScheduler, pubsub: PubSub) -> Self {
        Self { scheduler, pubsub }
    }

    /// Adds a job, which is due from now on; one without a name gets one.
    pub(super) fn create(&self, parent: &str, mut job: proto::Job) -> Result<proto::Job> {
        names::check_location(parent)?;
        let now = self.scheduler.clock().now();
        if job.name.is_empty() {
            job.name = unused_name(parent, now.as_micros());
        }
        if names::check_job(&job.name)? != parent {
            return Err(Error::invalid(format!(
                "the job {:?} does not belong to {parent}",
                job.name
            )));
        }
        let definition = Definition::new(job, &self.pubsub)?;
        let name = definition.config.name.clone();
        let mut jobs = self.scheduler.jobs();
        if jobs.contains_key(&name) {
            return Err(Error::JobExists { name });
        }
        if within(&jobs, parent).count() >= JOBS_MAX {
            return Err(Error::Full { parent: parent.to_owned(), limit: JOBS_MAX });
        }
        let mut known = Known::new(definition, false);
        known.change(now);
        let handle = self.scheduler.start(known);
        self.scheduler.keep(&handle)?;
        let created = handle.shared.lock().to_proto();
        jobs.insert(name, handle);
        Ok(created)
    }

    pub(super) fn get(&self, name: &str) -> Result<proto::Job> {
        names::check_job(name)?;
        self.scheduler.with(name, shown)
    }

    /// The jobs of a location by name, from behind the one that the token names.
    pub(super) fn list(&self, request: &proto::ListJobsRequest) -> Result<proto::ListJobsResponse> {
        let parent = &request.parent;
        names::check_location(parent)?;
        let size = match usize::try_from(request.page_size) {
            Err(_) => return Err(Error::invalid("page_size is negative")),
            Ok(0) => PAGE_JOBS_MAX,
            Ok(size) => size.min(PAGE_JOBS_MAX),
        };
        if !request.page_token.is_empty()
            && !request.page_token.starts_with(&format!("{parent}/jobs/"))
        {
            return Err(Error::invalid("page_token is not one that a list of this location gave"));
        }
        let jobs = self.scheduler.jobs();
        let mut rest = within(&jobs, parent).filter(|(name, _)| **name > request.page_token);
        let page: Vec<proto::Job> = rest.by_ref().take(size).map(|(_, job)| shown(job)).collect();
        let has_more = rest.next().is_some();
        let last = page.last().filter(|_| has_more).map(|job| job.name.clone());
        Ok(proto::ListJobsResponse { jobs: page, next_page_token: last.unwrap_or_default() })
    }

    /// Changes the fields of the mask, or all that are given where there is none.
    pub(super) fn update(&self, update: proto::Job, mask: &[String]) -> Result<proto::Job> {
        names::check_job(&update.name)?;
        let now = self.scheduler.clock().now();
        self.scheduler.with(&update.name.clone(), |job| {
            self.refuse_own(job, "updated")?;
            let current = job.shared.lock().definition.config.clone();
            let definition = Definition::new(updated(current, update, mask)?, &self.pubsub)?;
            job.change(|known| {
                known.status.schedule = definition.schedule.to_string();
                known.definition = definition;
                known.resumed_at = now;
                known.change(now);
                let next = known.definition.schedule.next_after(now);
                known.status.next_run = if known.status.is_paused { None } else { next };
            });
            self.scheduler.keep(job)?;
            Ok(shown(job))
        })?
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        names::check_job(name)?;
        self.scheduler.with(name, |job| self.refuse_own(job, "deleted"))??;
        self.scheduler.remove(name)
    }

    pub(super) fn pause(&self, name: &str) -> Result<proto::Job> {
        self.expect_state(name, false)?;
        self.scheduler.pause(name)?;
        self.get(name)
    }

    pub(super) fn resume(&self, name: &str) -> Result<proto::Job> {
        self.expect_state(name, true)?;
        self.scheduler.resume(name)?;
        self.get(name)
    }

    /// Runs a job now, also a paused one. The answer waits for a message to be published, not for somebody's HTTP server.
    pub(super) async fn run(&self, name: &str) -> Result<proto::Job> {
        names::check_job(name)?;
        let is_remote = self.scheduler.with(name, |job| {
            let is_remote = job.shared.lock().definition.target.is_remote();
            if is_remote {
                self.scheduler.dispatch(job);
            }
            is_remote
        })?;
        if !is_remote {
            match self.scheduler.run_now(name).await {
                // The job's status tells, as Google's does.
                Ok(()) | Err(Error::Failed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.get(name)
    }

    /// The locations of a project that have jobs, and the one that Google's examples use.
    pub(super) fn locations(&self, project: &str) -> Vec<String> {
        let prefix = format!("{project}/locations/");
        let jobs = self.scheduler.jobs();
        let used = jobs.keys().filter_map(|name| name.strip_prefix(&prefix)?.split('/').next());
        let mut ids: Vec<String> =
            used.map(str::to_owned).chain(["us-central1".to_owned()]).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    fn expect_state(&self, name: &str, is_paused: bool) -> Result<()> {
        names::check_job(name)?;
        if self.scheduler.status(name)?.is_paused == is_paused {
            return Ok(());
        }
        let reason = if is_paused {
            "only a paused job can be resumed"
        } else {
            "only an enabled job can be paused"
        };
        Err(Error::FailedPrecondition { reason: format!("{reason}, not {name:?}") })
    }

    fn refuse_own(&self, job: &Handle, done: &str) -> Result<()> {
        if !job.shared.lock().is_of_process {
            return Ok(());
        }
        Err(Error::FailedPrecondition {
            reason: format!(
                "a job of the process that serves it cannot be {done}, only paused and run"
            ),
        })
    }
}

fn shown(job: &Handle) -> proto::Job {
    job.shared.lock().to_proto()
}

/// The jobs of a location.
fn within<'a>(
    jobs: &'a std::collections::BTreeMap<String, Handle>,
    parent: &str,
) -> impl Iterator<Item = (&'a String, &'a Handle)> {
    let prefix = format!("{parent}/jobs/");
    let from = prefix.clone();
    jobs.range(from..).take_while(move |(name, _)| name.starts_with(&prefix))
}

/// A name that no other job has, within this server and most likely beyond.
fn unused_name(parent: &str, micros: i64) -> String {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    format!("{parent}/jobs/job-{micros:x}-{number:x}")
}
