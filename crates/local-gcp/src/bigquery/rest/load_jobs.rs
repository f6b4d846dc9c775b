//! Load jobs: what is asked for, and what is told of them.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::error::Answer;
use super::jobs::{answer_job, new_key};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::{BigQuery, LOCATION};
use crate::bigquery::jobs::{Job, Outcome};
use crate::bigquery::load::{LoadOptions, Loaded, load};

/// Loads a file; what goes wrong with it is told in the job's status.
pub(super) async fn insert_load(
    bigquery: &BigQuery,
    project: String,
    body: Json,
    file: Bytes,
) -> Answer {
    let mut configuration = body["configuration"].clone();
    if !configuration["load"].is_object() {
        let message =
            "Job configuration must contain a load configuration: only load jobs take a file";
        return Err(ApiError::invalid(message));
    }
    let options = LoadOptions::read(&configuration["load"])?;
    let location = body["jobReference"]["location"].as_str().unwrap_or(LOCATION).to_owned();
    let key = new_key(bigquery, project, &body, &location)?;
    let created = bigquery.now();
    let worker = bigquery.clone();
    let loading = tokio::task::spawn_blocking(move || load(&worker, options, &file));
    let loaded = loading.await.map_err(|error| {
        ApiError::new(
            Reason::InternalError,
            format!("The load job ended without a result: {error}"),
        )
    })?;
    configuration["jobType"] = "LOAD".into();
    let outcome = Outcome::Loaded(loaded.into());
    answer_job(
        bigquery,
        Job { key, location, created, ended: bigquery.now(), configuration, outcome },
    )
}

/// The `statistics.load` of a job.
pub(super) fn statistics(loaded: &Loaded) -> Json {
    json!({
        "inputFiles": "1",
        "inputFileBytes": loaded.file_bytes.to_string(),
        "outputRows": loaded.rows.to_string(),
        "outputBytes": loaded.bytes.to_string(),
        "badRecords": loaded.bad_rows.to_string(),
    })
}
