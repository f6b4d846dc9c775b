//! `tabledata.insertAll`: rows as JSON, refused one by one.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::error::{Answer, ok};
use super::tables::{TablePath, name_of};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::BigQuery;
use crate::bigquery::ingest::{JsonFault, JsonRows, missing_values};
use crate::bigquery::names::TableName;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::state::{self, CheckedRows};
use crate::clock::Timestamp;

/// Google's limits of one request.
const ROWS_MAX: usize = 50_000;
const REQUEST_BYTES_MAX: usize = 10 << 20;
const INSERT_ID_CHARACTERS_MAX: usize = 128;

/// Words for a row that is fine but in bad company.
const STOPPED: &str = "stopped";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InsertAll {
    rows: Vec<Row>,
    #[serde(deserialize_with = "null_is_default")]
    skip_invalid_rows: bool,
    #[serde(deserialize_with = "null_is_default")]
    ignore_unknown_values: bool,
    #[serde(deserialize_with = "null_is_default")]
    template_suffix: String,
}

/// Google's `bq` sends what it does not set as null.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    insert_id: Option<String>,
    json: Map<String, Json>,
}

/// The rows of a request that may be inserted, with their ids, and what is wrong with the others.
struct Sorted {
    rows: Option<CheckedRows>,
    ids: Vec<Option<String>>,
    faults: BTreeMap<usize, JsonFault>,
}

pub(super) async fn insert_all(
    State(bigquery): State<BigQuery>,
    path: TablePath,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let template = name_of(path);
    let request = read_request(&body.map_err(|_| too_large())?)?;
    let mut target = template.clone();
    target.table.push_str(&request.template_suffix);
    let schema = bigquery.read(|state| {
        let table = state.table(&target).or_else(|| state.table(&template));
        table.map(|table| table.schema.clone())
    });
    let schema = schema.ok_or_else(|| ApiError::table_not_found(&template))?;
    let count = request.rows.len();
    let skip_invalid = request.skip_invalid_rows;
    let sorted = sort(request, &schema, bigquery.now())?;
    if let Some(rows) = sorted.rows
        && (skip_invalid || sorted.faults.is_empty())
    {
        bigquery.change(|state, now| {
            ensure_table(state, now, &target, &schema)?;
            state.insert_rows(now, &target, rows, &sorted.ids)
        })?;
    }
    ok(answer(count, skip_invalid, &sorted.faults))
}

fn read_request(body: &[u8]) -> Result<InsertAll, ApiError> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(too_large());
    }
    let request: InsertAll = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))?;
    if request.rows.is_empty() {
        return Err(ApiError::invalid("No rows present in the request."));
    }
    let count = request.rows.len();
    if count > ROWS_MAX {
        return Err(ApiError::invalid(format!(
            "too many rows present in the request, limit: {ROWS_MAX} row count: {count}."
        )));
    }
    Ok(request)
}

fn too_large() -> ApiError {
    let message = format!("Request payload size exceeds the limit: {REQUEST_BYTES_MAX} bytes.");
    ApiError::new(Reason::BadRequest, message)
}

/// Creates the table of a template's suffix.
fn ensure_table(
    state: &mut state::State,
    now: Timestamp,
    name: &TableName,
    schema: &TableSchema,
) -> Result<(), ApiError> {
    match state.table(name) {
        Some(_) => Ok(()),
        None => state.create_table(now, name.clone(), schema.clone(), Map::new()).map(drop),
    }
}

/// Reads and checks every row.
fn sort(request: InsertAll, schema: &TableSchema, now: Timestamp) -> Result<Sorted, ApiError> {
    let reader = JsonRows {
        schema,
        missing: missing_values(schema, now)?,
        ignore_unknown: request.ignore_unknown_values,
        any_json: false,
    };
    let mut faults = BTreeMap::new();
    let mut good = Vec::with_capacity(request.rows.len());
    for (index, row) in request.rows.into_iter().enumerate() {
        match check_id(row.insert_id.as_deref()).and_then(|()| reader.read(&row.json)) {
            Ok(values) => good.push(((index, row.insert_id), values)),
            Err(fault) => {
                faults.insert(index, fault);
            }
        }
    }
    let rows = CheckedRows::sift(schema, &mut good, |(index, _), message| {
        faults.insert(index, JsonFault { location: String::new(), message });
    })?;
    let ids = good.into_iter().map(|((_, id), _)| id).collect();
    Ok(Sorted { rows, ids, faults })
}

fn check_id(id: Option<&str>) -> Result<(), JsonFault> {
    let length = id.map_or(0, |id| id.chars().count());
    if length <= INSERT_ID_CHARACTERS_MAX {
        return Ok(());
    }
    let message =
        format!("insertId has {length} characters, the maximum is {INSERT_ID_CHARACTERS_MAX}.");
    Err(JsonFault { location: String::new(), message })
}

fn answer(count: usize, skip_invalid: bool, faults: &BTreeMap<usize, JsonFault>) -> Json {
    let mut body = json!({ "kind": "bigquery#tableDataInsertAllResponse" });
    if faults.is_empty() {
        return body;
    }
    let entry = |index: usize| match faults.get(&index) {
        Some(fault) => Some(row_error(index, "invalid", &fault.location, &fault.message)),
        None if skip_invalid => None,
        None => Some(row_error(index, STOPPED, "", "")),
    };
    body["insertErrors"] = (0..count).filter_map(entry).collect();
    body
}

fn row_error(index: usize, reason: &str, location: &str, message: &str) -> Json {
    let error =
        json!({ "reason": reason, "location": location, "debugInfo": "", "message": message });
    json!({ "index": index, "errors": [error] })
}
