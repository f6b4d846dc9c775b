//! `datasets`: insert, get, list, patch, update, delete.

use axum::extract::{Path, State};
use http::HeaderMap;
use serde_json::{Value as Json, json};

use super::error::{Answer, no_content, ok};
use super::properties;
use super::request::{Body, Params, if_match, page};
use crate::bigquery::error::ApiError;
use crate::bigquery::handle::{BigQuery, LOCATION};
use crate::bigquery::names::DatasetName;
use crate::bigquery::state::Dataset;

/// The resource of a dataset.
fn resource(dataset: &Dataset) -> Json {
    let DatasetName { project, dataset: id } = &dataset.name;
    let mut resource = dataset.properties.clone();
    let managed = json!({
        "kind": "bigquery#dataset",
        "etag": dataset.etag(),
        "id": dataset.name.to_string(),
        "selfLink": format!("/bigquery/v2/projects/{project}/datasets/{id}"),
        "datasetReference": { "projectId": project, "datasetId": id },
        "location": dataset.location,
        "creationTime": millis(dataset.created.as_micros()),
        "lastModifiedTime": millis(dataset.modified.as_micros()),
        "type": "DEFAULT",
    });
    if let Json::Object(managed) = managed {
        resource.extend(managed);
    }
    resource.into()
}

/// Microseconds as text of milliseconds, the form of times in resources.
pub(super) fn millis(micros: i64) -> String {
    micros.div_euclid(1_000).to_string()
}

pub(super) async fn insert(
    State(bigquery): State<BigQuery>,
    Path(project): Path<String>,
    Body(body): Body,
) -> Answer {
    let reference = &body.get("datasetReference").cloned().unwrap_or_default();
    let id = reference["datasetId"].as_str().unwrap_or_default();
    let project = reference["projectId"].as_str().unwrap_or(&project);
    let name = DatasetName::new(project, id);
    let location = body.get("location").and_then(Json::as_str).unwrap_or(LOCATION).to_owned();
    let properties = properties::of_resource(body);
    let dataset =
        bigquery.change(|state, now| state.create_dataset(now, name, &location, properties))?;
    ok(resource(&dataset))
}

pub(super) async fn get(
    State(bigquery): State<BigQuery>,
    Path((project, dataset)): Path<(String, String)>,
) -> Answer {
    let name = DatasetName::new(project, dataset);
    let found = bigquery.read(|state| state.dataset(&name).map(resource));
    ok(found.ok_or_else(|| ApiError::dataset_not_found(&name))?)
}

pub(super) async fn list(
    State(bigquery): State<BigQuery>,
    Path(project): Path<String>,
    params: Params,
) -> Answer {
    let entries = bigquery.read(|state| {
        let datasets = state.datasets().filter(|dataset| dataset.name.project == project);
        datasets.map(list_entry).collect::<Vec<_>>()
    });
    let (entries, next) = page(entries, &params)?;
    let mut body = json!({ "kind": "bigquery#datasetList", "datasets": entries });
    if let Some(token) = next {
        body["nextPageToken"] = token.into();
    }
    ok(body)
}

/// The short form of a dataset in lists.
fn list_entry(dataset: &Dataset) -> Json {
    let mut entry = resource(dataset);
    const SHORT: [&str; 6] =
        ["kind", "id", "datasetReference", "labels", "friendlyName", "location"];
    if let Json::Object(fields) = &mut entry {
        fields.retain(|name, _| SHORT.contains(&name.as_str()));
    }
    entry
}

pub(super) async fn patch(
    State(bigquery): State<BigQuery>,
    Path((project, dataset)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let name = DatasetName::new(project, dataset);
    let dataset = bigquery.change(|state, now| {
        let old = state.dataset(&name).ok_or_else(|| ApiError::dataset_not_found(&name))?;
        let properties = properties::patched(old.properties.clone(), body);
        state.update_dataset(now, &name, if_match(&headers), properties)
    })?;
    ok(resource(&dataset))
}

pub(super) async fn update(
    State(bigquery): State<BigQuery>,
    Path((project, dataset)): Path<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let name = DatasetName::new(project, dataset);
    let properties = properties::of_resource(body);
    let dataset = bigquery
        .change(|state, now| state.update_dataset(now, &name, if_match(&headers), properties))?;
    ok(resource(&dataset))
}

pub(super) async fn delete(
    State(bigquery): State<BigQuery>,
    Path((project, dataset)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let name = DatasetName::new(project, dataset);
    let contents = params.flag("deleteContents");
    bigquery.change(|state, _| state.delete_dataset(&name, contents))?;
    no_content()
}
