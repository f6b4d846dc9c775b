//! A discovery document: which calls there are, for clients that ask the server before they call it (Google's `bq`).
//!
//! It names the methods of BigQuery v2 that are served here, with their paths and parameters, and no types: bodies are any JSON.

use axum::Json;
use http::HeaderMap;
use http::header::HOST;
use serde_json::{Map, Value, json};

const DATASETS: &str = "projects/{projectId}/datasets";
const DATASET: &str = "projects/{projectId}/datasets/{datasetId}";
const TABLES: &str = "projects/{projectId}/datasets/{datasetId}/tables";
const TABLE: &str = "projects/{projectId}/datasets/{datasetId}/tables/{tableId}";
const DATA: &str = "projects/{projectId}/datasets/{datasetId}/tables/{tableId}/data";
const INSERT_ALL: &str = "projects/{projectId}/datasets/{datasetId}/tables/{tableId}/insertAll";
const JOBS: &str = "projects/{projectId}/jobs";
const JOB: &str = "projects/{projectId}/jobs/{jobId}";
const QUERIES: &str = "projects/{projectId}/queries";
const RESULTS: &str = "projects/{projectId}/queries/{jobId}";

/// Parameters of calls that give rows.
const ROWS: &str = "maxResults pageToken startIndex selectedFields timeoutMs location \
                    formatOptions.useInt64Timestamp formatOptions.timestampOutputFormat";
const LISTED_JOBS: &str = "allUsers maxCreationTime maxResults minCreationTime pageToken parentJobId projection stateFilter";

/// Collection, method, HTTP method, path, query parameters.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

const METHODS: [Row; 20] = [
    ("datasets", "list", "GET", DATASETS, "all filter maxResults pageToken"),
    ("datasets", "insert", "POST", DATASETS, "accessPolicyVersion"),
    ("datasets", "get", "GET", DATASET, "accessPolicyVersion datasetView"),
    ("datasets", "patch", "PATCH", DATASET, "accessPolicyVersion updateMode"),
    ("datasets", "update", "PUT", DATASET, "accessPolicyVersion updateMode"),
    ("datasets", "delete", "DELETE", DATASET, "deleteContents"),
    ("tables", "list", "GET", TABLES, "maxResults pageToken"),
    ("tables", "insert", "POST", TABLES, ""),
    ("tables", "get", "GET", TABLE, "selectedFields view"),
    ("tables", "patch", "PATCH", TABLE, "autodetect_schema"),
    ("tables", "update", "PUT", TABLE, "autodetect_schema"),
    ("tables", "delete", "DELETE", TABLE, ""),
    ("tabledata", "list", "GET", DATA, ROWS),
    ("tabledata", "insertAll", "POST", INSERT_ALL, ""),
    ("jobs", "list", "GET", JOBS, LISTED_JOBS),
    ("jobs", "insert", "POST", JOBS, ""),
    ("jobs", "get", "GET", JOB, "location"),
    ("jobs", "cancel", "POST", "projects/{projectId}/jobs/{jobId}/cancel", "location"),
    ("jobs", "query", "POST", QUERIES, ""),
    ("jobs", "getQueryResults", "GET", RESULTS, ROWS),
];

/// The document, with the address under which the server was asked.
pub(super) async fn document(headers: HeaderMap) -> Json<Value> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let root = format!("http://{host}/");
    let mut resources = Map::new();
    for row in METHODS {
        let collection = resources.entry(row.0).or_insert_with(|| json!({ "methods": {} }));
        collection["methods"][row.1] = method(row);
    }
    let common = ["alt", "fields", "key", "prettyPrint", "quotaUser"];
    let common: Map<_, _> =
        common.map(|name| (name.to_owned(), query_parameter())).into_iter().collect();
    Json(json!({
        "kind": "discovery#restDescription",
        "id": "bigquery:v2",
        "name": "bigquery",
        "version": "v2",
        "protocol": "rest",
        "baseUrl": format!("{root}bigquery/v2/"),
        "basePath": "/bigquery/v2/",
        "servicePath": "bigquery/v2/",
        "batchPath": "batch/bigquery/v2",
        "rootUrl": root,
        "parameters": common,
        "schemas": { "Any": { "id": "Any", "type": "object" } },
        "resources": resources,
    }))
}

fn query_parameter() -> Value {
    json!({ "type": "string", "location": "query" })
}

fn method((collection, name, http, path, query): Row) -> Value {
    let parts = path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let order: Vec<&str> = parts.collect();
    let in_path = json!({ "type": "string", "location": "path", "required": true });
    let path_parameters = order.iter().map(|name| ((*name).to_owned(), in_path.clone()));
    let query = query.split_whitespace().map(|name| (name.to_owned(), query_parameter()));
    let mut method = json!({
        "id": format!("bigquery.{collection}.{name}"),
        "httpMethod": http,
        "path": path,
        "parameterOrder": order,
        "parameters": path_parameters.chain(query).collect::<Map<_, _>>(),
    });
    let any = || json!({ "$ref": "Any" });
    if http != "DELETE" {
        method["response"] = any();
    }
    if ["POST", "PUT", "PATCH"].contains(&http) && name != "cancel" {
        method["request"] = any();
    }
    if (collection, name) == ("jobs", "insert") {
        method["supportsMediaUpload"] = json!(true);
        method["mediaUpload"] = json!({
            "accept": ["*/*"],
            "protocols": {
                "simple": { "multipart": true, "path": format!("/upload/bigquery/v2/{path}") },
                "resumable": { "multipart": true, "path": format!("/resumable/upload/bigquery/v2/{path}") },
            },
        });
    }
    method
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_document_names_paths_and_parameters() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, http::HeaderValue::from_static("localhost:9"));
        let Json(document) = document(headers).await;
        assert_eq!(document["rootUrl"], "http://localhost:9/");
        let list = &document["resources"]["tabledata"]["methods"]["list"];
        assert_eq!(list["parameterOrder"], json!(["projectId", "datasetId", "tableId"]));
        assert_eq!(list["parameters"]["tableId"]["location"], "path");
        assert_eq!(list["parameters"]["startIndex"]["location"], "query");
        assert_eq!(list["request"], Value::Null);
        let insert = &document["resources"]["jobs"]["methods"]["insert"];
        assert_eq!(insert["request"], json!({ "$ref": "Any" }));
    }
}
