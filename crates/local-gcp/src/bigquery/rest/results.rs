//! Results of queries as tables: the destination that a query has when it names none.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::datasets::millis;
use super::rows::page_length;
use super::schema;
use crate::bigquery::handle::LOCATION;
use crate::bigquery::names::{DatasetName, TableName};
use crate::bigquery::sql::QueryResult;
use crate::bigquery::state::Table;
use crate::bigquery::value::Value;
use crate::clock::Timestamp;

/// When the job of a result was created, and the result.
type Created = (Timestamp, Arc<QueryResult>);

/// The resource of such a table.
pub(super) fn resource(name: &TableName, (created, result): &Created) -> Json {
    let DatasetName { project, dataset } = &name.dataset;
    json!({
        "kind": "bigquery#table",
        "etag": table(name, *created, result).etag(),
        "id": name.to_string(),
        "tableReference": { "projectId": project, "datasetId": dataset, "tableId": name.table },
        "schema": schema::to_json(&result.schema),
        "numRows": result.rows.len().to_string(),
        "numBytes": bytes(result).to_string(),
        "location": LOCATION,
        "creationTime": millis(created.as_micros()),
        "lastModifiedTime": millis(created.as_micros()),
        "type": "TABLE",
    })
}

/// The table, the number of its rows, and a page of them.
pub(super) fn page(
    name: &TableName,
    (created, result): &Created,
    start: u64,
    limit: u64,
) -> (Table, u64, Vec<Vec<Value>>) {
    let rest = result.rows.get(usize::try_from(start).unwrap_or(usize::MAX)..).unwrap_or_default();
    let window = &rest[..rest.len().min(usize::try_from(limit).unwrap_or(usize::MAX))];
    let rows = window[..page_length(window.iter())].to_vec();
    (table(name, *created, result), result.rows.len() as u64, rows)
}

fn table(name: &TableName, created: Timestamp, result: &QueryResult) -> Table {
    Table {
        name: name.clone(),
        schema: result.schema.clone(),
        created,
        modified: created,
        version: 1,
        properties: Map::new(),
    }
}

fn bytes(result: &QueryResult) -> u64 {
    result.rows.iter().flatten().map(Value::logical_bytes).sum()
}
