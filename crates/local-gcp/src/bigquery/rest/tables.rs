//! `tables`: insert, get, list, patch, update, delete; and `tabledata.list`.

use axum::extract::{Path, State};
use http::HeaderMap;
use serde_json::{Map, Value as Json, json};

use super::datasets::millis;
use super::error::{Answer, no_content, ok};
use super::request::{Body, Params, if_match, page, page_start, page_token};
use super::rows::{PAGE_ROWS_MAX, RowFormat, page_length};
use super::{properties, results, schema};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::{BigQuery, LOCATION};
use crate::bigquery::names::{DatasetName, TableName};
use crate::bigquery::schema::TableSchema;
use crate::bigquery::state::{self, Table};
use crate::bigquery::value::Value;

/// Project, dataset and table of a path.
pub(super) type TablePath = Path<(String, String, String)>;

pub(super) fn name_of(Path((project, dataset, table)): TablePath) -> TableName {
    TableName::new(project, dataset, table)
}

/// The resource of a table.
fn resource(state: &state::State, table: &Table) -> Json {
    let DatasetName { project, dataset } = &table.name.dataset;
    let id = &table.name.table;
    let location = state.dataset(&table.name.dataset);
    let location = location.map_or(LOCATION, |dataset| dataset.location.as_str());
    let mut resource = table.properties.clone();
    let managed = json!({
        "kind": "bigquery#table",
        "etag": table.etag(),
        "id": table.name.to_string(),
        "selfLink": format!("/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{id}"),
        "tableReference": { "projectId": project, "datasetId": dataset, "tableId": id },
        "schema": schema::to_json(&table.schema),
        "numRows": state.row_count(&table.name).to_string(),
        "numBytes": state.row_bytes(&table.name).to_string(),
        "numLongTermBytes": "0",
        "location": location,
        "creationTime": millis(table.created.as_micros()),
        "lastModifiedTime": millis(table.modified.as_micros()),
        "type": "TABLE",
    });
    if let Json::Object(managed) = managed {
        resource.extend(managed);
    }
    resource.into()
}

/// Refuses resources that are no plain tables.
fn check_plain(body: &Map<String, Json>) -> Result<(), ApiError> {
    let special = [
        "view",
        "materializedView",
        "externalDataConfiguration",
        "snapshotDefinition",
        "cloneDefinition",
    ];
    match special.iter().find(|field| body.get(**field).is_some_and(|value| !value.is_null())) {
        Some(field) => {
            let message = format!("A table with {field} is not supported by this local BigQuery");
            Err(ApiError::new(Reason::NotImplemented, message))
        }
        None => Ok(()),
    }
}

fn schema_of(body: &Map<String, Json>) -> Result<Option<TableSchema>, ApiError> {
    body.get("schema").map_or(Ok(None), schema::from_json)
}

pub(super) async fn insert(
    State(bigquery): State<BigQuery>,
    Path((project, dataset)): Path<(String, String)>,
    Body(body): Body,
) -> Answer {
    check_plain(&body)?;
    let id = body.get("tableReference").and_then(|reference| reference["tableId"].as_str());
    let name = TableName::new(project, dataset, id.unwrap_or_default());
    let schema = schema_of(&body)?.unwrap_or_default();
    let properties = properties::of_resource(body);
    let created = bigquery.change(|state, now| {
        let table = state.create_table(now, name, schema, properties)?;
        Ok::<_, ApiError>(resource(state, &table))
    })?;
    ok(created)
}

pub(super) async fn get(State(bigquery): State<BigQuery>, path: TablePath) -> Answer {
    let name = name_of(path);
    if let Some(result) = bigquery.jobs().result_table(&name) {
        return ok(results::resource(&name, &result));
    }
    let found = bigquery.read(|state| state.table(&name).map(|table| resource(state, table)));
    ok(found.ok_or_else(|| ApiError::table_not_found(&name))?)
}

pub(super) async fn list(
    State(bigquery): State<BigQuery>,
    Path((project, dataset)): Path<(String, String)>,
    params: Params,
) -> Answer {
    let name = DatasetName::new(project, dataset);
    let entries = bigquery.read(|state| {
        state.dataset(&name).ok_or_else(|| ApiError::dataset_not_found(&name))?;
        let tables = state.tables().filter(|table| table.name.dataset == name);
        Ok::<_, ApiError>(tables.map(|table| list_entry(state, table)).collect::<Vec<_>>())
    })?;
    let total = entries.len();
    let (entries, next) = page(entries, &params)?;
    let mut body = json!({ "kind": "bigquery#tableList", "tables": entries, "totalItems": total });
    if let Some(token) = next {
        body["nextPageToken"] = token.into();
    }
    ok(body)
}

/// The short form of a table in lists.
fn list_entry(state: &state::State, table: &Table) -> Json {
    const LONG: [&str; 9] = [
        "etag",
        "selfLink",
        "schema",
        "numRows",
        "numBytes",
        "numLongTermBytes",
        "location",
        "lastModifiedTime",
        "description",
    ];
    let mut entry = resource(state, table);
    if let Json::Object(fields) = &mut entry {
        fields.retain(|name, _| !LONG.contains(&name.as_str()));
    }
    entry
}

pub(super) async fn patch(
    State(bigquery): State<BigQuery>,
    path: TablePath,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let name = name_of(path);
    check_plain(&body)?;
    let schema = schema_of(&body)?;
    let changed = bigquery.change(|state, now| {
        let old = state.table(&name).ok_or_else(|| ApiError::table_not_found(&name))?;
        let properties = properties::patched(old.properties.clone(), body);
        let table = state.update_table(now, &name, if_match(&headers), schema, properties)?;
        Ok::<_, ApiError>(resource(state, &table))
    })?;
    ok(changed)
}

pub(super) async fn update(
    State(bigquery): State<BigQuery>,
    path: TablePath,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let name = name_of(path);
    check_plain(&body)?;
    let schema = schema_of(&body)?;
    let properties = properties::of_resource(body);
    let changed = bigquery.change(|state, now| {
        let table = state.update_table(now, &name, if_match(&headers), schema, properties)?;
        Ok::<_, ApiError>(resource(state, &table))
    })?;
    ok(changed)
}

pub(super) async fn delete(State(bigquery): State<BigQuery>, path: TablePath) -> Answer {
    let name = name_of(path);
    bigquery.change(|state, _| state.delete_table(&name))?;
    no_content()
}

/// `tabledata.list`: a page of a table's rows.
pub(super) async fn data(
    State(bigquery): State<BigQuery>,
    path: TablePath,
    params: Params,
) -> Answer {
    let name = name_of(path);
    let start = match params.text("pageToken") {
        Some(token) => page_start(Some(token))?,
        None => params.count("startIndex")?.unwrap_or(0),
    };
    let limit = params.count("maxResults")?.unwrap_or(PAGE_ROWS_MAX).min(PAGE_ROWS_MAX);
    let result = bigquery.jobs().result_table(&name);
    let (table, total, rows) = match result {
        Some(result) => results::page(&name, &result, start, limit),
        None => bigquery.read(|state| {
            let table = state.table(&name).ok_or_else(|| ApiError::table_not_found(&name))?;
            // Rows are read in pieces until the page is full, so that wide rows cost no more than they show.
            let rows = read_page(state, &name, start, limit);
            Ok::<_, ApiError>((table.clone(), state.row_count(&name), rows))
        })?,
    };
    let selected = selected_columns(&table.schema, params.text("selectedFields"))?;
    let format = RowFormat::of_params(&params);
    let end = start.saturating_add(rows.len() as u64);
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| match &selected {
            None => format.row(&row),
            Some(columns) => {
                let picked: Vec<_> = columns.iter().map(|column| row[*column].clone()).collect();
                format.row(&picked)
            }
        })
        .collect();
    let mut body = json!({
        "kind": "bigquery#tableDataList",
        "etag": table.etag(),
        "totalRows": total.to_string(),
    });
    if end < total && !rows.is_empty() {
        body["pageToken"] = page_token(end).into();
    }
    if !rows.is_empty() {
        body["rows"] = rows.into();
    }
    ok(body)
}

fn read_page(state: &state::State, name: &TableName, start: u64, limit: u64) -> Vec<Vec<Value>> {
    /// Rows read at once.
    const PIECE: u64 = 1_000;
    let mut rows = Vec::new();
    while (rows.len() as u64) < limit {
        let at = start.saturating_add(rows.len() as u64);
        let piece = state.rows(name, at, PIECE.min(limit - rows.len() as u64));
        let ended = piece.is_empty();
        rows.extend(piece);
        let fits = page_length(rows.iter());
        if ended || fits < rows.len() {
            rows.truncate(fits);
            return rows;
        }
    }
    rows
}

/// The columns named in `selectedFields`, in the table's order; all if there are none.
fn selected_columns(
    schema: &TableSchema,
    fields: Option<&str>,
) -> Result<Option<Vec<usize>>, ApiError> {
    let Some(fields) = fields else { return Ok(None) };
    let mut columns = Vec::new();
    for field in fields.split(',').map(str::trim) {
        let column = schema.index_of(field);
        columns.push(column.ok_or_else(|| ApiError::invalid(format!("No such field: {field}")))?);
    }
    columns.sort_unstable();
    columns.dedup();
    Ok(Some(columns))
}
