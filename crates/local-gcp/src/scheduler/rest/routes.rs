//! Paths, methods and bodies of the REST face.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::json::Job;
use crate::proto::scheduler as proto;
use crate::pubsub::rest::values::field_mask;
use crate::scheduler::api::CloudScheduler;
use crate::scheduler::error::{Error, Result, chain};
use crate::status::json_error;

/// All routes below `/v1/projects/{project}/locations`.
pub(crate) fn router(scheduler: CloudScheduler) -> Router {
    let job = get(get_job).patch(patch_job).delete(delete_job).post(post_job);
    Router::new()
        .route("/v1/projects/{project}/locations", get(list_locations))
        .route("/v1/projects/{project}/locations/{location}", get(get_location))
        .route("/v1/projects/{project}/locations/{location}/jobs", get(list_jobs).post(create_job))
        .route("/v1/projects/{project}/locations/{location}/jobs/{job}", job)
        .with_state(scheduler)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.code();
        (code.http(), Json(json_error(code.http(), code.name(), &chain(&self)))).into_response()
    }
}

/// Query parameters that some route knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    #[serde(rename = "pageSize")]
    page_size: i32,
    #[serde(rename = "pageToken")]
    page_token: String,
    #[serde(rename = "updateMask")]
    update_mask: String,
    #[serde(rename = "$alt")]
    alt: String,
}

impl Parameters {
    fn job(&self, job: proto::Job) -> Json<Job> {
        Json(Job::from_proto(job, self.enums_as_numbers()))
    }

    fn enums_as_numbers(&self) -> bool {
        self.alt.contains("enum-encoding=int")
    }
}

type Answer<T> = Result<Json<T>>;

/// The parts of a path below `/v1`.
#[derive(Debug, Deserialize)]
struct Place {
    project: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    job: String,
}

impl Place {
    fn parent(&self) -> String {
        format!("projects/{}/locations/{}", self.project, self.location)
    }

    /// The job's name, and the verb behind its colon.
    fn job(&self) -> (String, &str) {
        let (id, verb) = self.job.split_once(':').unwrap_or((&self.job, ""));
        (format!("{}/jobs/{id}", self.parent()), verb)
    }

    fn job_without_verb(&self) -> Result<String> {
        match self.job() {
            (name, "") => Ok(name),
            (_, verb) => Err(unknown_verb(verb)),
        }
    }
}

fn unknown_verb(verb: &str) -> Error {
    Error::invalid(format!("there is no method {verb:?} on a job with this HTTP method"))
}

/// A body as JSON; an empty one reads as `{}`.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    let text = if body.is_empty() { b"{}" } else { body.as_ref() };
    serde_json::from_slice(text).map_err(|error| {
        Error::invalid(format!("the body is not the JSON that is wanted: {error}"))
    })
}

fn job_in(body: &Bytes, name: Option<String>) -> Result<proto::Job> {
    let job: Job = parse(body)?;
    let job = name.into_iter().fold(job, Job::with_name);
    job.into_proto().map_err(Error::invalid)
}

async fn list_jobs(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
    Query(it): Query<Parameters>,
) -> Answer<Value> {
    let request = proto::ListJobsRequest {
        parent: place.parent(),
        page_size: it.page_size,
        page_token: it.page_token.clone(),
    };
    let page = scheduler.list(&request)?;
    let numbers = it.enums_as_numbers();
    let jobs: Vec<_> = page.jobs.into_iter().map(|job| Job::from_proto(job, numbers)).collect();
    Ok(Json(json!({ "jobs": jobs, "nextPageToken": page.next_page_token })))
}

async fn create_job(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
    Query(parameters): Query<Parameters>,
    body: Bytes,
) -> Answer<Job> {
    Ok(parameters.job(scheduler.create(&place.parent(), job_in(&body, None)?)?))
}

async fn get_job(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
    Query(parameters): Query<Parameters>,
) -> Answer<Job> {
    Ok(parameters.job(scheduler.get(&place.job_without_verb()?)?))
}

async fn patch_job(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
    Query(parameters): Query<Parameters>,
    body: Bytes,
) -> Answer<Job> {
    let update = job_in(&body, Some(place.job_without_verb()?))?;
    Ok(parameters.job(scheduler.update(update, &field_mask(&parameters.update_mask))?))
}

async fn delete_job(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
) -> Answer<Value> {
    scheduler.delete(&place.job_without_verb()?)?;
    Ok(Json(json!({})))
}

async fn post_job(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
    Query(parameters): Query<Parameters>,
) -> Answer<Job> {
    let (name, verb) = place.job();
    let job = match verb {
        "pause" => scheduler.pause(&name)?,
        "resume" => scheduler.resume(&name)?,
        "run" => scheduler.run(&name).await?,
        verb => return Err(unknown_verb(verb)),
    };
    Ok(parameters.job(job))
}

async fn list_locations(
    State(scheduler): State<CloudScheduler>,
    Path(place): Path<Place>,
) -> Json<Value> {
    let project = format!("projects/{}", place.project);
    let locations = scheduler.locations(&project);
    let locations: Vec<_> = locations.iter().map(|id| location(&project, id)).collect();
    Json(json!({ "locations": locations }))
}

async fn get_location(Path(place): Path<Place>) -> Json<Value> {
    Json(location(&format!("projects/{}", place.project), &place.location))
}

fn location(project: &str, id: &str) -> Value {
    json!({
        "name": format!("{project}/locations/{id}"),
        "locationId": id,
        "labels": { "cloud.googleapis.com/region": id },
    })
}
