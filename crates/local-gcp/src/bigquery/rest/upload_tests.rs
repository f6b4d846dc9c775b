//! Tests of uploads as clients see them.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value as Json, json};

use super::tests::{Server, table};

const UPLOAD: &str = "/upload/bigquery/v2/projects/p/jobs";
/// The table begins with this many rows.
const FIRST: u64 = 5;
const FILE: &str = "{\"n\": 7}\n{\"n\": 8, \"tags\": [\"a\"]}\n";

fn job(id: &str) -> Json {
    let table = json!({"projectId": "p", "datasetId": "d", "tableId": "t"});
    let load = json!({"destinationTable": table, "sourceFormat": "NEWLINE_DELIMITED_JSON"});
    json!({"jobReference": {"projectId": "p", "jobId": id}, "configuration": {"load": load}})
}

fn multipart(job: &Json, file: &str) -> Request<Body> {
    let head = "Content-Type: application/json; charset=UTF-8";
    let body = format!(
        "--==b==\r\n{head}\r\n\r\n{job}\r\n--==b==\r\ncontent-type: */*\r\n\r\n{file}\r\n--==b==--"
    );
    Request::post(format!("{UPLOAD}?uploadType=multipart"))
        .header("content-type", "multipart/related; boundary=\"==b==\"")
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_multipart_upload_is_a_job_and_its_file() {
    let server = Server::new();
    let (status, answer) = server.send(multipart(&job("a"), FILE)).await;
    assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!({"state": "DONE"})));
    assert_eq!(answer["configuration"]["jobType"], "LOAD");
    assert_eq!(answer["statistics"]["load"]["outputRows"], "2");
    assert_eq!(answer["statistics"]["load"]["inputFileBytes"], FILE.len().to_string());
    assert_eq!(server.bigquery.row_count(&table()), FIRST + 2);
    assert_eq!(server.get("/jobs/a").await["statistics"], answer["statistics"]);
    // A job of this name is there: the file is not loaded again.
    let (status, _) = server.send(multipart(&job("a"), FILE)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(server.bigquery.row_count(&table()), FIRST + 2);
    let (status, answer) = server.call(Method::GET, "/queries/a", &Json::Null).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}

#[tokio::test]
async fn bad_rows_are_told_in_the_jobs_status() {
    let server = Server::new();
    let (status, answer) = server.send(multipart(&job("a"), "{\"n\": 7}\n{\"n\": \"x\"}\n")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["status"]["errorResult"]["reason"], "invalid");
    let errors = answer["status"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2);
    assert!(errors[1]["message"].as_str().unwrap().ends_with("(bad value): x; line 2"));
    assert_eq!(server.bigquery.row_count(&table()), FIRST);
}

async fn put(
    server: &Server,
    location: &str,
    range: &str,
    part: &str,
) -> (StatusCode, String, Json) {
    let request = Request::put(location).header("content-range", range);
    let answer = server.raw(request.body(Body::from(part.to_owned())).unwrap()).await;
    let status = answer.status();
    let range = answer.headers().get("range").map(|it| it.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, range.unwrap_or_default(), serde_json::from_slice(&body).unwrap_or(Json::Null))
}

#[tokio::test]
async fn a_resumable_upload_comes_in_parts() {
    let server = Server::new();
    let start = Request::post(format!("{UPLOAD}?uploadType=resumable"))
        .header("host", "localhost:1")
        .body(Body::from(job("b").to_string()))
        .unwrap();
    let answer = server.raw(start).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("http://localhost:1/upload/bigquery/v2/projects/p/jobs?"));
    let (first, second) = FILE.split_at(10);
    let total = FILE.len();
    let more = StatusCode::PERMANENT_REDIRECT;
    let (status, range, _) = put(&server, &location, "bytes */*", "").await;
    assert_eq!((status, range.as_str()), (more, ""));
    let (status, range, _) = put(&server, &location, "bytes 0-9/*", first).await;
    assert_eq!((status, range.as_str()), (more, "bytes=0-9"));
    assert_eq!(server.bigquery.row_count(&table()), FIRST);
    let last = format!("bytes 10-{}/{total}", total - 1);
    let (status, _, answer) = put(&server, &location, &last, second).await;
    assert_eq!(
        (status, &answer["statistics"]["load"]["outputRows"]),
        (StatusCode::OK, &json!("2"))
    );
    assert_eq!(server.bigquery.row_count(&table()), FIRST + 2);
    assert_eq!(put(&server, &location, &last, second).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn malformed_uploads_are_refused() {
    let server = Server::new();
    let post = |query: &str, content_type: &str, body: &str| {
        let request =
            Request::post(format!("{UPLOAD}{query}")).header("content-type", content_type);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    let related = "multipart/related; boundary=b";
    let mut other = job("x");
    other["configuration"] = json!({"query": {"query": "SELECT 1"}});
    for (request, told) in [
        (post("", related, "{}"), "uploadType must be"),
        (post("?uploadType=media", related, "{}"), "uploadType must be"),
        (post("?uploadType=nope", related, "{}"), "uploadType: nope"),
        (post("?uploadType=multipart", "text/plain", "{}"), "no boundary"),
        (post("?uploadType=multipart", related, "{}"), "no part starts"),
        (post("?uploadType=multipart", related, "--b\r\n\r\n{}"), "the job, has no end"),
        (
            post("?uploadType=multipart", related, "--b\r\n\r\n{}\r\n--b\r\n\r\nx"),
            "the file, has no end",
        ),
        (
            post("?uploadType=multipart", related, "--b\r\n\r\n{\r\n--b\r\n\r\nx\r\n--b--"),
            "Invalid JSON",
        ),
        (multipart(&other, FILE), "load configuration"),
    ] {
        let (status, answer) = server.send(request).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{message}");
        assert!(message.contains(told), "{message}");
    }
    let (status, answer) = server.call(Method::POST, "/jobs", &job("y")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let mut parquet = job("z");
    parquet["configuration"]["load"]["sourceFormat"] = "PARQUET".into();
    assert_eq!(server.send(multipart(&parquet, FILE)).await.0, StatusCode::NOT_IMPLEMENTED);
}
