//! `jobs`: query, insert, get, list, cancel, delete, getQueryResults.

use axum::extract::{Path, State};
use serde_json::{Map, Value as Json, json};

use super::datasets::millis;
use super::effects;
use super::error::{Answer, error_item, no_content, ok};
use super::load_jobs;
use super::request::{Body, Params, page, page_start, page_token};
use super::rows::{PAGE_ROWS_MAX, RowFormat, page_length};
use super::schema;
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::{BigQuery, LOCATION};
use crate::bigquery::jobs::{Job, JobKey, Outcome, QueryRequest, run};
use crate::bigquery::load::LoadOptions;
use crate::bigquery::names::TableName;
use crate::bigquery::sql::QueryResult;

fn reference(job: &Job) -> Json {
    json!({ "projectId": job.key.project, "jobId": job.key.id, "location": job.location })
}

/// The resource of a job.
fn resource(job: &Job) -> Json {
    let JobKey { project, id } = &job.key;
    let mut resource = json!({
        "kind": "bigquery#job",
        "etag": format!("{:x}", job.created.as_micros()),
        "id": format!("{project}:{}.{id}", job.location),
        "selfLink": format!("/bigquery/v2/projects/{project}/jobs/{id}"),
        "jobReference": reference(job),
        "configuration": job.configuration,
        "status": { "state": "DONE" },
        "statistics": statistics(job),
    });
    if let Outcome::Done(result) = &job.outcome
        && let Some(effect) = &result.effect
    {
        effects::add_statistics(&mut resource["statistics"]["query"], effect);
    }
    if let Some(TableName { dataset, table }) = job.result_table() {
        resource["configuration"]["query"]["destinationTable"] =
            json!({ "projectId": dataset.project, "datasetId": dataset.dataset, "tableId": table });
    }
    let errors = job.errors();
    if let Some(error) = job.error() {
        resource["status"]["errorResult"] = error_item(error);
    }
    if !errors.is_empty() {
        resource["status"]["errors"] = errors.into_iter().map(error_item).collect();
    }
    if let Outcome::Done(result) = &job.outcome
        && is_dry_run(&job.configuration)
    {
        resource["statistics"]["query"]["schema"] = schema::to_json(&result.schema);
    }
    resource
}

fn statistics(job: &Job) -> Json {
    let mut statistics = json!({
        "creationTime": millis(job.created.as_micros()),
        "startTime": millis(job.created.as_micros()),
        "endTime": millis(job.ended.as_micros()),
    });
    let bytes = match &job.outcome {
        Outcome::Done(result) => result.bytes_processed,
        Outcome::Loaded(loaded) => {
            statistics["load"] = load_jobs::statistics(loaded);
            return statistics;
        }
        Outcome::Expired | Outcome::Failed(_) => 0,
    };
    statistics["totalBytesProcessed"] = bytes.to_string().into();
    statistics["query"] = json!({
        "statementType": "SELECT",
        "totalBytesProcessed": bytes.to_string(),
        "totalBytesBilled": "0",
        "cacheHit": false,
    });
    statistics
}

fn is_dry_run(configuration: &Json) -> bool {
    configuration["dryRun"] == true
}

/// Adds schema and a page of rows to an answer.
fn add_rows(body: &mut Json, result: &QueryResult, start: u64, limit: u64, format: RowFormat) {
    let limit = limit.min(PAGE_ROWS_MAX) as usize;
    let rest = result.rows.get(start as usize..).unwrap_or_default();
    let window = &rest[..rest.len().min(limit)];
    let page = &window[..page_length(window.iter())];
    let end = start + page.len() as u64;
    if let Some(effect) = &result.effect {
        effects::add_answer(body, effect);
        return;
    }
    body["schema"] = schema::to_json(&result.schema);
    body["totalRows"] = result.rows.len().to_string().into();
    body["totalBytesProcessed"] = result.bytes_processed.to_string().into();
    if !page.is_empty() {
        body["rows"] = page.iter().map(|row| format.row(row)).collect();
        if end < result.rows.len() as u64 {
            body["pageToken"] = page_token(end).into();
        }
    }
}

/// `jobs.query`: runs a query and answers its first page.
pub(super) async fn query(
    State(bigquery): State<BigQuery>,
    Path(project): Path<String>,
    Body(body): Body,
) -> Answer {
    let body = Json::Object(body);
    let request_id = body["requestId"].as_str().filter(|id| !id.is_empty());
    let now = bigquery.now();
    if let Some(id) = request_id {
        let earlier = bigquery.jobs().of_request(now, &project, id).cloned();
        if let Some(job) = earlier {
            return query_answer(&job, &body);
        }
    }
    let dry_run = body["dryRun"] == true;
    let mut request = QueryRequest::read(&project, &body, now.as_micros(), dry_run)?;
    request.limit_time(&body["jobTimeoutMs"]);
    let location = body["location"].as_str().unwrap_or(LOCATION).to_owned();
    let result = run(&bigquery, request).await?;
    let mut configuration = json!({ "jobType": "QUERY", "query": query_configuration(&body) });
    if dry_run {
        configuration["dryRun"] = true.into();
    }
    let key = JobKey { project, id: bigquery.jobs().new_id() };
    let outcome = Outcome::Done(result.into());
    let job = Job { key, location, created: now, ended: bigquery.now(), configuration, outcome };
    if !dry_run {
        let mut jobs = bigquery.jobs();
        jobs.insert(job.clone())?;
        if let Some(id) = request_id {
            jobs.remember_request(now, id.to_owned(), job.key.clone());
        }
    }
    query_answer(&job, &body)
}

/// The part of a `QueryRequest` that a job's configuration shows.
fn query_configuration(body: &Json) -> Json {
    let shown = ["query", "defaultDataset", "parameterMode", "queryParameters", "useQueryCache"];
    let fields = shown.iter().filter(|field| !body[**field].is_null());
    let mut configuration: Map<_, _> =
        fields.map(|field| ((*field).to_owned(), body[*field].clone())).collect();
    configuration.insert("useLegacySql".to_owned(), false.into());
    configuration.into()
}

fn query_answer(job: &Job, body: &Json) -> Answer {
    let result = job.result()?;
    let format = RowFormat { int64_timestamps: body["formatOptions"]["useInt64Timestamp"] == true };
    let mut answer = json!({
        "kind": "bigquery#queryResponse",
        "jobComplete": true,
        "cacheHit": false,
        "location": job.location,
        "statementType": result.effect.as_ref().map_or("SELECT", |effect| effect.statement_type),
        "creationTime": millis(job.created.as_micros()),
        "startTime": millis(job.created.as_micros()),
        "endTime": millis(job.ended.as_micros()),
        "totalBytesBilled": "0",
        "totalSlotMs": "0",
    });
    if !is_dry_run(&job.configuration) {
        answer["jobReference"] = reference(job);
        answer["queryId"] = job.key.id.clone().into();
    }
    // Wrapped integers come as numbers or as texts.
    let limit = &body["maxResults"];
    let limit = limit.as_u64().or_else(|| limit.as_str()?.parse().ok()).unwrap_or(PAGE_ROWS_MAX);
    add_rows(&mut answer, result, 0, limit, format);
    ok(answer)
}

/// `jobs.insert`: runs a query job; what goes wrong in the query is told in the job's status.
pub(super) async fn insert(
    State(bigquery): State<BigQuery>,
    Path(project): Path<String>,
    Body(body): Body,
) -> Answer {
    let body = Json::Object(body);
    let mut configuration = body["configuration"].clone();
    if configuration["load"].is_object() {
        // Reading the options tells of sources that this server does not read.
        LoadOptions::read(&configuration["load"])?;
        return Err(ApiError::invalid(
            "The load job has nothing to load: send the file to /upload/bigquery/v2/projects/{project}/jobs",
        ));
    }
    let other = ["extract", "copy"].into_iter().find(|kind| !configuration[*kind].is_null());
    if let Some(kind) = other {
        let message = format!("A {kind} job is not supported by this local BigQuery");
        return Err(ApiError::new(Reason::NotImplemented, message));
    }
    if !configuration["query"].is_object() {
        return Err(ApiError::invalid(
            "Job configuration must contain exactly one job-specific configuration object (e.g., query, load, extract, spark), but there were 0: ",
        ));
    }
    let now = bigquery.now();
    let dry_run = is_dry_run(&configuration);
    let location = body["jobReference"]["location"].as_str().unwrap_or(LOCATION).to_owned();
    let key = new_key(&bigquery, project, &body, &location)?;

    let mut request =
        QueryRequest::read(&key.project, &configuration["query"], now.as_micros(), dry_run)?;
    request.limit_time(&configuration["jobTimeoutMs"]);
    let outcome = match run(&bigquery, request).await {
        Ok(result) => Outcome::Done(result.into()),
        Err(error) if dry_run => return Err(error),
        Err(error) => Outcome::Failed(error),
    };
    configuration["jobType"] = "QUERY".into();
    let job = Job { key, location, created: now, ended: bigquery.now(), configuration, outcome };
    answer_job(&bigquery, job)
}

/// The key of a job about to run: the one asked for, else a new one.
///
/// # Errors
/// When the key asked for is taken.
pub(super) fn new_key(
    bigquery: &BigQuery,
    project: String,
    body: &Json,
    location: &str,
) -> Result<JobKey, ApiError> {
    let wanted = body["jobReference"]["jobId"].as_str();
    let id = wanted.filter(|id| !id.is_empty()).map(str::to_owned);
    let id = id.unwrap_or_else(|| bigquery.jobs().new_id());
    let key = JobKey { project, id };
    bigquery.jobs().check_free(&key, location)?;
    Ok(key)
}

/// Remembers a job, unless it was a dry run, and answers its resource.
pub(super) fn answer_job(bigquery: &BigQuery, job: Job) -> Answer {
    if !is_dry_run(&job.configuration) {
        bigquery.jobs().insert(job.clone())?;
    }
    ok(resource(&job))
}

fn find(
    bigquery: &BigQuery,
    project: String,
    id: String,
    params: &Params,
) -> Result<Job, ApiError> {
    bigquery.jobs().get(&JobKey { project, id }, params.text("location")).cloned()
}

pub(super) async fn get(
    State(bigquery): State<BigQuery>,
    Path((project, id)): Path<(String, String)>,
    params: Params,
) -> Answer {
    ok(resource(&find(&bigquery, project, id, &params)?))
}

pub(super) async fn list(
    State(bigquery): State<BigQuery>,
    Path(project): Path<String>,
    params: Params,
) -> Answer {
    // All jobs here are done; a filter for others finds none.
    let wanted = params.text("stateFilter").is_none_or(|state| state.eq_ignore_ascii_case("done"));
    let entries: Vec<_> = if wanted {
        bigquery.jobs().of_project(&project).map(list_entry).collect()
    } else {
        Vec::new()
    };
    let (entries, next) = page(entries, &params)?;
    let mut body = json!({ "kind": "bigquery#jobList", "jobs": entries });
    if let Some(token) = next {
        body["nextPageToken"] = token.into();
    }
    ok(body)
}

/// A job in lists: its resource and its state.
fn list_entry(job: &Job) -> Json {
    let mut entry = resource(job);
    entry["state"] = "DONE".into();
    if let Some(error) = job.error() {
        entry["errorResult"] = error_item(error);
    }
    entry
}

/// `jobs.cancel`: jobs are done before anyone can cancel them, which the API allows for.
pub(super) async fn cancel(
    State(bigquery): State<BigQuery>,
    Path((project, id)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let job = find(&bigquery, project, id, &params)?;
    ok(json!({ "kind": "bigquery#jobCancelResponse", "job": resource(&job) }))
}

pub(super) async fn delete(
    State(bigquery): State<BigQuery>,
    Path((project, id)): Path<(String, String)>,
    params: Params,
) -> Answer {
    bigquery.jobs().remove(&JobKey { project, id }, params.text("location"))?;
    no_content()
}

/// `jobs.getQueryResults`: a page of a job's result.
pub(super) async fn results(
    State(bigquery): State<BigQuery>,
    Path((project, id)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let job = find(&bigquery, project, id, &params)?;
    let result = job.result()?;
    let start = match params.text("pageToken") {
        Some(token) => page_start(Some(token))?,
        None => params.count("startIndex")?.unwrap_or(0),
    };
    let limit = params.count("maxResults")?.unwrap_or(PAGE_ROWS_MAX);
    let mut body = json!({
        "kind": "bigquery#getQueryResultsResponse",
        "etag": format!("{:x}", job.created.as_micros()),
        "jobReference": reference(&job),
        "jobComplete": true,
        "cacheHit": false,
    });
    add_rows(&mut body, result, start, limit, RowFormat::of_params(&params));
    ok(body)
}
