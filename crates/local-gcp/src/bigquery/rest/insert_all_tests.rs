//! Tests of `tabledata.insertAll` as clients see it.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::tests::{Server, table};
use crate::bigquery::{Field, FieldType, TableName, TableSchema, Value};

/// The table begins with this many rows.
const FIRST: u64 = 5;

impl Server {
    async fn insert(&self, body: &Json) -> (StatusCode, Json) {
        self.call(Method::POST, "/datasets/d/tables/t/insertAll", body).await
    }
}

fn rows(rows: &[Json]) -> Json {
    rows.iter().map(|row| json!({ "json": row })).collect()
}

/// Index, reason and location of each error.
fn errors(body: &Json) -> Vec<(u64, &str, &str)> {
    let list = body["insertErrors"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|entry| {
            let first = &entry["errors"][0];
            let text = |name: &str| first[name].as_str().unwrap();
            (entry["index"].as_u64().unwrap(), text("reason"), text("location"))
        })
        .collect()
}

#[tokio::test]
async fn rows_are_visible_at_once() {
    let server = Server::new();
    let given =
        rows(&[json!({"n": 7, "at": "2026-01-01T12:00:00Z", "tags": ["a"]}), json!({"n": "8"})]);
    let (status, body) = server.insert(&json!({ "rows": given })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, json!({"kind": "bigquery#tableDataInsertAllResponse"}));
    let all = server.bigquery.rows(&table());
    assert_eq!(all[5][..2], [Value::Int64(7), Value::Timestamp(1_767_268_800_000_000)]);
    assert_eq!(all[6][..2], [Value::Int64(8), Value::Null]);
}

#[tokio::test]
async fn one_invalid_row_stops_all_unless_it_is_to_be_skipped() {
    let server = Server::new();
    let given =
        rows(&[json!({"n": 1}), json!({"n": "x"}), json!({"m": 1}), json!({"n": 2, "at": 1e15})]);
    let (status, body) = server.insert(&json!({ "rows": given })).await;
    assert_eq!(status, StatusCode::OK);
    let stopped = (0, "stopped", "");
    let invalid = [(1, "invalid", "n"), (2, "invalid", ""), (3, "invalid", "at")];
    assert_eq!(errors(&body), [&[stopped][..], &invalid[..]].concat());
    assert_eq!(server.bigquery.row_count(&table()), FIRST);

    let (_, body) = server.insert(&json!({ "rows": given, "skipInvalidRows": true })).await;
    assert_eq!(errors(&body), invalid);
    assert_eq!(server.bigquery.row_count(&table()), FIRST + 1);
}

#[tokio::test]
async fn values_beyond_their_column_are_told_by_row() {
    let server = Server::new();
    let mut short = Field::nullable("s", FieldType::String);
    short.max_length = Some(2);
    let schema = TableSchema::new(vec![short]);
    let name = TableName::new("p", "d", "short");
    server.bigquery.ensure_table(&name, &schema).unwrap();
    let given =
        rows(&[json!({"s": "ab"}), json!({"s": "abc"}), json!({"s": 1}), json!({"s": "abcd"})]);
    let body = json!({ "rows": given, "skipInvalidRows": true });
    let (_, body) = server.call(Method::POST, "/datasets/d/tables/short/insertAll", &body).await;
    assert_eq!(errors(&body), [(1, "invalid", ""), (3, "invalid", "")]);
    let kept = [vec![Value::string("ab")], vec![Value::string("1")]];
    assert_eq!(server.bigquery.rows(&name), kept);
}

#[tokio::test]
async fn unknown_fields_are_faults_or_ignored() {
    let server = Server::new();
    let given = rows(&[json!({"n": 1, "other": 2})]);
    let (_, body) = server.insert(&json!({ "rows": given })).await;
    assert_eq!(errors(&body), [(0, "invalid", "other")]);
    let (_, body) = server.insert(&json!({ "rows": given, "ignoreUnknownValues": true })).await;
    assert_eq!((errors(&body).len(), server.bigquery.row_count(&table())), (0, FIRST + 1));
}

#[tokio::test]
async fn an_insert_id_repeated_within_a_minute_is_inserted_once() {
    let server = Server::new();
    let request = json!({ "rows": [{"insertId": "a", "json": {"n": 1}}, {"json": {"n": 2}}] });
    for (after, count) in [(0, 2), (59, 3), (1, 5)] {
        server.clock.advance(Duration::from_secs(after));
        let (status, body) = server.insert(&request).await;
        assert_eq!((status, errors(&body).len()), (StatusCode::OK, 0));
        assert_eq!(server.bigquery.row_count(&table()), FIRST + count, "after {after} s");
    }
}

#[tokio::test]
async fn a_template_suffix_makes_a_table_of_the_same_schema() {
    let server = Server::new();
    let request = json!({ "rows": rows(&[json!({"n": 1})]), "templateSuffix": "_eu" });
    for count in 1..=2 {
        let (status, body) = server.insert(&request).await;
        assert_eq!((status, errors(&body).len()), (StatusCode::OK, 0));
        assert_eq!(server.bigquery.row_count(&TableName::new("p", "d", "t_eu")), count);
    }
}

#[tokio::test]
async fn requests_beyond_the_limits_are_refused_whole() {
    let server = Server::new();
    let many: Vec<_> = (0..50_001).map(|n| json!({ "n": n })).collect();
    let large = json!({"n": 1, "tags": ["x".repeat(10 << 20)]});
    for (request, reason) in [
        (json!({}), "invalid"),
        (json!({"rows": []}), "invalid"),
        (json!({"rows": [{"json": 1}]}), "invalid"),
        (json!({ "rows": rows(&many) }), "invalid"),
        (json!({ "rows": rows(&[large]) }), "badRequest"),
    ] {
        let (status, body) = server.insert(&request).await;
        let given = body["error"]["errors"][0]["reason"].as_str();
        assert_eq!((status, given), (StatusCode::BAD_REQUEST, Some(reason)), "{body}");
    }
    let id = "i".repeat(129);
    let (_, body) = server.insert(&json!({"rows": [{"insertId": id, "json": {"n": 1}}]})).await;
    assert_eq!(errors(&body), [(0, "invalid", "")]);
    assert_eq!(server.bigquery.row_count(&table()), FIRST);
    let nowhere = "/datasets/d/tables/nowhere/insertAll";
    let request = json!({ "rows": rows(&[json!({"n": 1})]) });
    let (status, _) = server.call(Method::POST, nowhere, &request).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn null_means_not_given() {
    let server = Server::new();
    let body = json!({
        "rows": rows(&[json!({"n": 7})]),
        "skipInvalidRows": null,
        "ignoreUnknownValues": null,
        "templateSuffix": null,
    });
    let (status, answer) = server.insert(&body).await;
    assert_eq!((status, errors(&answer)), (StatusCode::OK, vec![]), "{answer}");
}
