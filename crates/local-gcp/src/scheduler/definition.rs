//! [`Definition`]: what a job of the API is, checked as Cloud Scheduler checks it; and its update by a field mask.

use std::time::Duration;

use prost::Message as _;

use super::error::{Error, Result};
use super::http::HttpCall;
use super::names;
use super::retry::RetryPolicy;
use super::schedule::Schedule;
use super::target::Target;
use crate::proto::scheduler as proto;
use crate::proto::scheduler::job::Target as Kind;
use crate::pubsub::{NewMessage, PubSub};

/// Cloud Scheduler's limit for a job.
const JOB_BYTES_MAX: usize = 1 << 20;
const DESCRIPTION_CHARACTERS_MAX: usize = 500;
const RETRY_COUNT_MAX: i32 = 5;
/// Documented default and bounds of an attempt over HTTP.
pub(super) const ATTEMPT_DEADLINE: Duration = Duration::from_secs(180);
const ATTEMPT_DEADLINES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(15)..=Duration::from_secs(30 * 60);

/// A job as its user wants it, and what follows from that.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// The user's part of the job, with the defaults.
    pub(super) config: proto::Job,
    pub(super) schedule: Schedule,
    pub(super) target: Target,
    pub(super) retry: RetryPolicy,
    pub(super) deadline: Duration,
}

impl Definition {
    /// Checks a job; fields that only the service sets are ignored.
    pub(super) fn new(job: proto::Job, pubsub: &PubSub) -> Result<Self> {
        names::check_job(&job.name)?;
        check_sizes(&job)?;
        if job.schedule.trim().is_empty() {
            return Err(Error::invalid("a job needs a schedule"));
        }
        let schedule = Schedule::parse(&job.schedule, &job.time_zone)?;
        let (target, deadline) = target(&job, pubsub)?;
        let retry = retry(job.retry_config)?;
        let is_http = matches!(job.target, Some(Kind::HttpTarget(_)));
        let config = proto::Job {
            name: job.name,
            description: job.description,
            schedule: job.schedule,
            time_zone: if job.time_zone.is_empty() { "Etc/UTC".to_owned() } else { job.time_zone },
            retry_config: Some(retry.to_config()),
            attempt_deadline: if is_http {
                prost_types::Duration::try_from(deadline).ok()
            } else {
                None
            },
            target: job.target.map(with_method),
            ..Default::default()
        };
        Ok(Self { config, schedule, target, retry, deadline })
    }

    /// The definition of a job that this process added itself, for lists.
    pub(super) fn of_process(name: &str, schedule: Schedule, target: Target) -> Self {
        let (schedule_text, time_zone) = schedule.as_fields();
        let retry = RetryPolicy::default();
        let config = proto::Job {
            name: name.to_owned(),
            description: "added by the process that serves it".to_owned(),
            schedule: schedule_text,
            time_zone,
            retry_config: Some(retry.to_config()),
            target: target.as_field(),
            ..Default::default()
        };
        Self { config, schedule, target, retry, deadline: ATTEMPT_DEADLINE }
    }
}

/// A method that was not given is POST.
fn with_method(target: Kind) -> Kind {
    match target {
        Kind::HttpTarget(mut http) => {
            if http.http_method == proto::HttpMethod::Unspecified as i32 {
                http.http_method = proto::HttpMethod::Post as i32;
            }
            Kind::HttpTarget(http)
        }
        other => other,
    }
}

fn check_sizes(job: &proto::Job) -> Result<()> {
    if job.encoded_len() > JOB_BYTES_MAX {
        return Err(Error::invalid(format!("a job has at most {JOB_BYTES_MAX} bytes")));
    }
    if job.description.chars().count() > DESCRIPTION_CHARACTERS_MAX {
        return Err(Error::invalid(format!(
            "a description has at most {DESCRIPTION_CHARACTERS_MAX} characters"
        )));
    }
    Ok(())
}

fn target(job: &proto::Job, pubsub: &PubSub) -> Result<(Target, Duration)> {
    match &job.target {
        None => Err(Error::invalid("a job needs a target: pubsub_target or http_target")),
        Some(Kind::PubsubTarget(target)) => {
            check_pubsub(&job.name, target)?;
            let mut message = NewMessage::new(target.data.clone());
            message.attributes = target.attributes.clone();
            // Cloud Scheduler ignores the deadline here.
            Ok((
                Target::publish(pubsub.clone(), target.topic_name.as_str(), message),
                ATTEMPT_DEADLINE,
            ))
        }
        Some(Kind::HttpTarget(target)) => {
            Ok((Target::http(HttpCall::new(target)?), deadline(job.attempt_deadline)?))
        }
        Some(Kind::AppEngineHttpTarget(_)) => {
            Err(Error::Unimplemented { what: "an App Engine target" })
        }
    }
}

fn check_pubsub(job: &str, target: &proto::PubsubTarget) -> Result<()> {
    let topic = &target.topic_name;
    let project = topic.split_once("/topics/").map(|(project, _)| project);
    if project.is_none() || crate::pubsub::check_topic(topic).is_err() {
        return Err(Error::invalid(format!(
            "pubsub_target.topic_name {topic:?} is not of the form projects/PROJECT/topics/TOPIC"
        )));
    }
    if project != Some(names::project(job)) {
        return Err(Error::invalid(format!("the topic {topic:?} is not of the job's project")));
    }
    if target.data.is_empty() && target.attributes.is_empty() {
        return Err(Error::invalid("pubsub_target needs data or at least one attribute"));
    }
    Ok(())
}

fn deadline(given: Option<prost_types::Duration>) -> Result<Duration> {
    let Some(span) = given.filter(|span| *span != prost_types::Duration::default()) else {
        return Ok(ATTEMPT_DEADLINE);
    };
    let deadline = Duration::try_from(span).ok().filter(|it| ATTEMPT_DEADLINES.contains(it));
    deadline.ok_or_else(|| {
        Error::invalid(format!("attempt_deadline is {span}, not between 15s and 1800s"))
    })
}

fn retry(given: Option<proto::RetryConfig>) -> Result<RetryPolicy> {
    let config = given.unwrap_or_default();
    if !(0..=RETRY_COUNT_MAX).contains(&config.retry_count) {
        return Err(Error::invalid(format!(
            "retry_count is {}, not 0 to {RETRY_COUNT_MAX}",
            config.retry_count
        )));
    }
    if config.max_doublings < 0 {
        return Err(Error::invalid("max_doublings is negative"));
    }
    for (name, span) in [
        ("max_retry_duration", config.max_retry_duration),
        ("min_backoff_duration", config.min_backoff_duration),
        ("max_backoff_duration", config.max_backoff_duration),
    ] {
        if span.is_some_and(|span| Duration::try_from(span).is_err()) {
            return Err(Error::invalid(format!("{name} is negative")));
        }
    }
    let policy = RetryPolicy::new(&config);
    let effective = policy.to_config();
    let span =
        |span: Option<prost_types::Duration>| span.and_then(|it| Duration::try_from(it).ok());
    if span(effective.min_backoff_duration) > span(effective.max_backoff_duration) {
        return Err(Error::invalid("min_backoff_duration is above max_backoff_duration"));
    }
    Ok(policy)
}

/// A job with the fields of `mask` taken from `update`; without a mask all that `update` gives.
pub(super) fn updated(
    mut job: proto::Job,
    update: proto::Job,
    mask: &[String],
) -> Result<proto::Job> {
    if mask.is_empty() {
        return Ok(merged(job, update));
    }
    for path in mask {
        let (field, rest) = path.split_once('.').unwrap_or((path, ""));
        match (field, rest) {
            ("description", "") => job.description.clone_from(&update.description),
            ("schedule", "") => job.schedule.clone_from(&update.schedule),
            ("time_zone", "") => job.time_zone.clone_from(&update.time_zone),
            ("attempt_deadline", "") => job.attempt_deadline = update.attempt_deadline,
            ("retry_config", "") => job.retry_config = update.retry_config,
            ("retry_config", field) => {
                let from = update.retry_config.unwrap_or_default();
                update_retry(job.retry_config.get_or_insert_default(), &from, field)?;
            }
            ("pubsub_target" | "http_target" | "app_engine_http_target", rest) => {
                job.target = update_target(job.target.take(), &update, field, rest)?;
            }
            // Set by the service, or the job's identity.
            (
                "name" | "state" | "status" | "user_update_time" | "schedule_time"
                | "last_attempt_time",
                _,
            ) => {}
            _ => return Err(unknown_path(path)),
        }
    }
    Ok(job)
}

fn merged(mut job: proto::Job, update: proto::Job) -> proto::Job {
    for (field, given) in [
        (&mut job.description, update.description),
        (&mut job.schedule, update.schedule),
        (&mut job.time_zone, update.time_zone),
    ] {
        if !given.is_empty() {
            *field = given;
        }
    }
    job.retry_config = update.retry_config.or(job.retry_config);
    job.attempt_deadline = update.attempt_deadline.or(job.attempt_deadline);
    job.target = update.target.or(job.target);
    job
}

fn unknown_path(path: &str) -> Error {
    Error::invalid(format!("update_mask names {path:?}, which is no field of a job"))
}

fn update_retry(to: &mut proto::RetryConfig, from: &proto::RetryConfig, field: &str) -> Result<()> {
    match field {
        "retry_count" => to.retry_count = from.retry_count,
        "max_retry_duration" => to.max_retry_duration = from.max_retry_duration,
        "min_backoff_duration" => to.min_backoff_duration = from.min_backoff_duration,
        "max_backoff_duration" => to.max_backoff_duration = from.max_backoff_duration,
        "max_doublings" => to.max_doublings = from.max_doublings,
        _ => return Err(unknown_path(&format!("retry_config.{field}"))),
    }
    Ok(())
}

fn update_target(
    old: Option<Kind>,
    update: &proto::Job,
    field: &str,
    rest: &str,
) -> Result<Option<Kind>> {
    if rest.is_empty() {
        return Ok(update.target.clone());
    }
    match field {
        "pubsub_target" => {
            let mut target = match old {
                Some(Kind::PubsubTarget(target)) => target,
                _ => proto::PubsubTarget::default(),
            };
            let from = match &update.target {
                Some(Kind::PubsubTarget(target)) => target.clone(),
                _ => proto::PubsubTarget::default(),
            };
            match rest {
                "topic_name" => target.topic_name = from.topic_name,
                "data" => target.data = from.data,
                "attributes" => target.attributes = from.attributes,
                _ => return Err(unknown_path(&format!("{field}.{rest}"))),
            }
            Ok(Some(Kind::PubsubTarget(target)))
        }
        "http_target" => {
            let mut target = match old {
                Some(Kind::HttpTarget(target)) => target,
                _ => proto::HttpTarget::default(),
            };
            let from = match &update.target {
                Some(Kind::HttpTarget(target)) => target.clone(),
                _ => proto::HttpTarget::default(),
            };
            update_http(&mut target, from, rest)?;
            Ok(Some(Kind::HttpTarget(target)))
        }
        _ => Err(Error::Unimplemented { what: "an App Engine target" }),
    }
}

fn update_http(to: &mut proto::HttpTarget, from: proto::HttpTarget, path: &str) -> Result<()> {
    use proto::http_target::AuthorizationHeader::{OauthToken, OidcToken};
    let is_oidc = matches!(to.authorization_header, Some(OidcToken(_)));
    let is_oauth = matches!(to.authorization_header, Some(OauthToken(_)));
    match path.split('.').next().unwrap_or(path) {
        "uri" => to.uri = from.uri,
        "http_method" => to.http_method = from.http_method,
        "headers" => to.headers = from.headers,
        "body" => to.body = from.body,
        // The parts of a token go together: nobody checks them here.
        "oidc_token" if is_oidc || from.authorization_header.is_some() => {
            to.authorization_header = from.authorization_header;
        }
        "oauth_token" if is_oauth || from.authorization_header.is_some() => {
            to.authorization_header = from.authorization_header;
        }
        "oidc_token" | "oauth_token" => {}
        _ => return Err(unknown_path(&format!("http_target.{path}"))),
    }
    Ok(())
}
