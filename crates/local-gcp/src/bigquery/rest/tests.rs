//! Tests of the REST API as clients of any language see it: paths, parameters, JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

use super::router;
use crate::bigquery::{
    BigQuery, CheckedRows, Field, FieldType, StreamName, TableName, TableSchema, Value,
};
use crate::clock::{ManualClock, Timestamp};

const PROJECT: &str = "/bigquery/v2/projects/p";
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A BigQuery with five rows in `p.d.t`, and its routes.
pub(super) struct Server {
    pub(super) bigquery: BigQuery,
    pub(super) clock: ManualClock,
    routes: Router,
}

impl Server {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new(START);
        let bigquery = BigQuery::in_memory(Arc::new(clock.clone()));
        let server = Self { routes: router(bigquery.clone()), bigquery, clock };
        let schema = TableSchema::new(vec![
            Field::required("n", FieldType::Int64),
            Field::nullable("at", FieldType::Timestamp),
            Field::repeated("tags", FieldType::String),
        ]);
        server.bigquery.ensure_table(&table(), &schema).unwrap();
        server.append(0..5);
        server
    }

    fn append(&self, numbers: std::ops::Range<i64>) {
        let rows: Vec<_> = numbers.map(row).collect();
        let schema = self.bigquery.read(|state| state.table(&table()).unwrap().schema.clone());
        let rows = CheckedRows::from_values(&schema, &rows).unwrap();
        let stream = StreamName::default_of(table());
        self.bigquery.change(|state, now| state.append_rows(now, &stream, None, rows)).unwrap();
    }

    /// The answer as it came.
    pub(super) async fn raw(&self, request: Request<Body>) -> axum::response::Response {
        self.routes.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> (StatusCode, Json) {
        let response = self.raw(request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Json::Null))
    }

    pub(super) async fn get(&self, path: &str) -> Json {
        let (status, body) = self.call(Method::GET, path, &Json::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(super) async fn call(&self, method: Method, path: &str, body: &Json) -> (StatusCode, Json) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(format!("{PROJECT}{path}"));
        self.send(request.body(body).unwrap()).await
    }

    async fn query(&self, body: Json) -> (StatusCode, Json) {
        self.call(Method::POST, "/queries", &body).await
    }
}

pub(super) fn table() -> TableName {
    TableName::new("p", "d", "t")
}

fn row(n: i64) -> Vec<Value> {
    let tag = Value::string(format!("tag{n}"));
    vec![Value::Int64(n), Value::Timestamp(n * 1_500_000), Value::Array(Arc::from([tag]))]
}

/// The first column of the rows of an answer.
fn first_column(body: &Json) -> Vec<&str> {
    let rows = body["rows"].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().filter_map(|row| row["f"][0]["v"].as_str()).collect()
}

#[tokio::test]
async fn table_data_comes_in_pages_of_the_fields_selected() {
    let server = Server::new();
    let data = "/datasets/d/tables/t/data";
    let first = server.get(&format!("{data}?maxResults=2")).await;
    assert_eq!((first["totalRows"].as_str(), first_column(&first)), (Some("5"), vec!["0", "1"]));
    assert_eq!(first["rows"][1]["f"][1]["v"], "1.5");
    assert_eq!(first["rows"][1]["f"][2]["v"][0]["v"], "tag1");
    let token = first["pageToken"].as_str().unwrap();
    // Rows that come in between do not move the pages.
    server.append(5..7);
    let second = server.get(&format!("{data}?maxResults=3&pageToken={token}")).await;
    assert_eq!(first_column(&second), ["2", "3", "4"]);
    let last = server.get(&format!("{data}?startIndex=5")).await;
    assert_eq!((first_column(&last), &last["pageToken"]), (vec!["5", "6"], &Json::Null));
    let beyond = server.get(&format!("{data}?startIndex=99")).await;
    assert_eq!((first_column(&beyond).len(), &beyond["totalRows"]), (0, &json!("7")));

    let options = "selectedFields=at&formatOptions.useInt64Timestamp=true&maxResults=2";
    let selected = server.get(&format!("{data}?{options}")).await;
    assert_eq!(selected["rows"][1], json!({"f": [{"v": "1500000"}]}));
    for bad in ["selectedFields=nope", "pageToken=nope", "maxResults=many"] {
        let (status, body) = server.call(Method::GET, &format!("{data}?{bad}"), &Json::Null).await;
        assert_eq!(
            (status, &body["error"]["errors"][0]["reason"]),
            (StatusCode::BAD_REQUEST, &json!("invalid"))
        );
    }
}

#[tokio::test]
async fn errors_have_googles_shape() {
    let server = Server::new();
    let (status, body) = server.call(Method::GET, "/datasets/d/tables/nope", &Json::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let message = "Not found: Table p:d.nope";
    let item = json!({"message": message, "domain": "global", "reason": "notFound"});
    let expected = json!({"error": {"code": 404, "message": message, "errors": [item], "status": "NOT_FOUND"}});
    assert_eq!(body, expected);

    let dataset = json!({"datasetReference": {"projectId": "p", "datasetId": "d"}});
    let (status, body) = server.call(Method::POST, "/datasets", &dataset).await;
    assert_eq!(
        (status, &body["error"]["errors"][0]["reason"]),
        (StatusCode::CONFLICT, &json!("duplicate"))
    );
    let (status, body) =
        server.query(json!({"query": "SELECT 1 / 0", "useLegacySql": false})).await;
    assert_eq!(
        (status, &body["error"]["errors"][0]["reason"]),
        (StatusCode::BAD_REQUEST, &json!("invalidQuery"))
    );

    let request = Request::post(format!("{PROJECT}/queries")).body(Body::from("{")).unwrap();
    assert_eq!(server.send(request).await.0, StatusCode::BAD_REQUEST);
    for (method, path) in [(Method::GET, "/datasets/d/routines"), (Method::POST, "/datasets/d")] {
        let (status, body) = server.call(method, path, &Json::Null).await;
        assert_eq!(
            (status, &body["error"]["errors"][0]["reason"]),
            (StatusCode::NOT_IMPLEMENTED, &json!("notImplemented")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn resources_keep_what_clients_said_of_them() {
    let server = Server::new();
    let given = json!({
        "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "labelled"},
        "schema": {"fields": [{"name": "a", "type": "STRING", "description": "first"}]},
        "labels": {"team": "tea"},
        "timePartitioning": {"type": "DAY"},
        "numRows": "99",
    });
    let (status, created) = server.call(Method::POST, "/datasets/d/tables", &given).await;
    assert_eq!(status, StatusCode::OK);
    for field in ["labels", "timePartitioning", "tableReference"] {
        assert_eq!(created[field], given[field]);
    }
    assert_eq!((&created["numRows"], &created["type"]), (&json!("0"), &json!("TABLE")));
    assert_eq!(created["creationTime"], "1700000000000");
    assert_eq!(server.get("/datasets/d/tables/labelled").await, created);

    let path = format!("{PROJECT}/datasets/d/tables/labelled");
    let patch = |etag: &str, body: Json| {
        let request =
            Request::patch(&path).header("if-match", etag).body(Body::from(body.to_string()));
        server.send(request.unwrap())
    };
    let body = json!({"labels": {"team": null, "kind": "x"}, "description": "new"});
    let (status, patched) = patch(created["etag"].as_str().unwrap(), body).await;
    assert_eq!((status, &patched["labels"]), (StatusCode::OK, &json!({"kind": "x"})));
    assert_eq!(
        (&patched["description"], &patched["timePartitioning"]["type"]),
        (&json!("new"), &json!("DAY"))
    );
    let (status, body) = patch(created["etag"].as_str().unwrap(), json!({})).await;
    assert_eq!(
        (status, &body["error"]["errors"][0]["reason"]),
        (StatusCode::PRECONDITION_FAILED, &json!("conditionNotMet"))
    );

    let list = server.get("/datasets/d/tables?maxResults=1").await;
    assert_eq!((list["tables"].as_array().unwrap().len(), &list["totalItems"]), (1, &json!(2)));
    let token = list["nextPageToken"].as_str().unwrap();
    let rest = server.get(&format!("/datasets/d/tables?maxResults=1&pageToken={token}")).await;
    assert_eq!((&rest["tables"][0]["id"], &rest["nextPageToken"]), (&json!("p:d.t"), &Json::Null));

    let filled = server.get("/datasets/d/tables/t").await;
    assert_eq!((&filled["numRows"], &filled["numBytes"]), (&json!("5"), &json!("110")));
    let (status, _) = server.call(Method::DELETE, "/datasets/d/tables/t", &Json::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let view = json!({"tableReference": {"tableId": "v"}, "view": {"query": "SELECT 1"}});
    let (status, _) = server.call(Method::POST, "/datasets/d/tables", &view).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn a_query_answers_its_first_page_and_its_job_the_others() {
    let server = Server::new();
    let body = json!({
        "query": "SELECT n, at FROM t WHERE n >= @least ORDER BY n",
        "useLegacySql": false,
        "defaultDataset": {"projectId": "p", "datasetId": "d"},
        "maxResults": 2,
        "formatOptions": {"useInt64Timestamp": true},
        "queryParameters": [
            {"name": "least", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}},
        ],
    });
    let (status, answer) = server.query(body).await;
    assert_eq!((status, &answer["jobComplete"]), (StatusCode::OK, &json!(true)));
    assert_eq!((&answer["totalRows"], first_column(&answer)), (&json!("4"), vec!["1", "2"]));
    assert_eq!(answer["rows"][0]["f"][1]["v"], "1500000");
    let fields = json!([
        {"name": "n", "type": "INTEGER", "mode": "NULLABLE"},
        {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    ]);
    assert_eq!(answer["schema"]["fields"], fields);

    let job = answer["jobReference"]["jobId"].as_str().unwrap();
    let token = answer["pageToken"].as_str().unwrap();
    let rest = server.get(&format!("/queries/{job}?pageToken={token}&location=US")).await;
    assert_eq!((first_column(&rest), &rest["pageToken"]), (vec!["3", "4"], &Json::Null));
    let polled = server.get(&format!("/queries/{job}?maxResults=0")).await;
    assert_eq!(
        (&polled["totalRows"], &polled["rows"], &polled["pageToken"]),
        (&json!("4"), &Json::Null, &Json::Null)
    );
    let (status, _) =
        server.call(Method::GET, &format!("/queries/{job}?location=EU"), &Json::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    // A result is of its time: rows that come later are not in it.
    server.append(5..9);
    assert_eq!(server.get(&format!("/queries/{job}")).await["totalRows"], "4");
}

#[tokio::test]
async fn a_request_id_makes_a_query_run_once() {
    let server = Server::new();
    let ask = || server.query(json!({"query": "SELECT COUNT(*) FROM d.t", "requestId": "r1"}));
    let (_, first) = ask().await;
    server.append(5..6);
    let (_, again) = ask().await;
    assert_eq!(again, first);
    server.clock.advance(std::time::Duration::from_secs(16 * 60));
    let (_, later) = ask().await;
    assert_eq!((first_column(&first), first_column(&later)), (vec!["5"], vec!["6"]));
    assert_ne!(later["jobReference"], first["jobReference"]);
}

#[tokio::test]
async fn jobs_are_inserted_listed_cancelled_and_deleted() {
    let server = Server::new();
    let server = &server;
    let insert = |id: &str, sql: &str| {
        let body = json!({
            "jobReference": {"projectId": "p", "jobId": id},
            "configuration": {"query": {"query": sql, "useLegacySql": false}},
        });
        async move { server.call(Method::POST, "/jobs", &body).await }
    };
    let (status, done) = insert("good", "SELECT 1").await;
    assert_eq!((status, &done["status"]), (StatusCode::OK, &json!({"state": "DONE"})));
    assert_eq!(done["id"], "p:US.good");
    let (status, failed) = insert("bad", "SELECT 1 / 0").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(failed["status"]["errorResult"]["reason"], "invalidQuery");
    let (status, body) = server.call(Method::GET, "/queries/bad", &Json::Null).await;
    assert_eq!(
        (status, &body["error"]["message"]),
        (StatusCode::BAD_REQUEST, &json!("division by zero: 1 / 0"))
    );
    let (status, body) = insert("good", "SELECT 2").await;
    assert_eq!(
        (status, &body["error"]["message"]),
        (StatusCode::CONFLICT, &json!("Already Exists: Job p:US.good"))
    );

    let list = server.get("/jobs").await;
    let ids: Vec<_> =
        list["jobs"].as_array().unwrap().iter().map(|job| &job["jobReference"]["jobId"]).collect();
    assert_eq!(ids, ["bad", "good"]);
    assert_eq!(server.get("/jobs?stateFilter=running").await["jobs"], json!([]));
    let (status, cancelled) = server.call(Method::POST, "/jobs/good/cancel", &Json::Null).await;
    assert_eq!((status, &cancelled["job"]["status"]["state"]), (StatusCode::OK, &json!("DONE")));
    let (status, _) = server.call(Method::DELETE, "/jobs/good/delete", &Json::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = server.call(Method::GET, "/jobs/good", &Json::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let copy = json!({"configuration": {"copy": {}}});
    assert_eq!(server.call(Method::POST, "/jobs", &copy).await.0, StatusCode::NOT_IMPLEMENTED);
    let none = json!({"configuration": {}});
    assert_eq!(server.call(Method::POST, "/jobs", &none).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_dry_run_makes_no_job() {
    let server = Server::new();
    let (status, answer) =
        server.query(json!({"query": "SELECT n FROM d.t", "dryRun": true})).await;
    assert_eq!((status, &answer["totalBytesProcessed"]), (StatusCode::OK, &json!("40")));
    assert_eq!((&answer["jobReference"], &answer["rows"]), (&Json::Null, &Json::Null));
    let configuration = json!({"dryRun": true, "query": {"query": "SELECT n FROM d.t"}});
    let body = json!({"configuration": configuration});
    let (_, job) = server.call(Method::POST, "/jobs", &body).await;
    assert_eq!(job["statistics"]["totalBytesProcessed"], "40");
    assert_eq!(job["statistics"]["query"]["schema"]["fields"][0]["name"], "n");
    assert_eq!(server.get("/jobs").await["jobs"], json!([]));
    let (status, _) = server.query(json!({"query": "SELECT nope", "dryRun": true})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_queries_may_not_ask_for_is_refused_by_name() {
    let server = Server::new();
    for (field, value) in
        [("useLegacySql", json!(true)), ("createSession", json!(true)), ("continuous", json!(true))]
    {
        let (status, body) = server.query(json!({"query": "SELECT 1", field: value})).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
        assert!(body["error"]["message"].as_str().unwrap().contains(field), "{body}");
    }
    let (status, _) = server.query(json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
