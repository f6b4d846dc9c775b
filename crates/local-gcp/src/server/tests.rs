//! The server seen by a plain HTTP client: limits, hosts, errors, the REST face, ports and directories.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Error, LocalGcp};
use crate::clock::{ManualClock, Timestamp};
use crate::journal;

const TOPIC: &str = "/v1/projects/p/topics/orders";
const SUBSCRIPTION: &str = "/v1/projects/p/subscriptions/first";

/// One HTTP/1.1 request on a connection of its own.
struct Http<'a> {
    local: &'a LocalGcp,
    host: &'a str,
    gzip: bool,
}

impl<'a> Http<'a> {
    fn new(local: &'a LocalGcp) -> Self {
        Self { local, host: "localhost", gzip: false }
    }

    async fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let address = self.local.endpoint().replace("http://", "");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let encoding = if self.gzip { "content-encoding: gzip\r\n" } else { "" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n{encoding}connection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may refuse before it has read a large body.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send(method, path, body.to_string().as_bytes()).await
    }

    /// A request that must succeed.
    async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.json(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn messages_go_round_over_rest() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http::new(&local);
    let created = http.ok("PUT", TOPIC, json!({ "labels": { "team": "a" } })).await;
    assert_eq!(created["name"], "projects/p/topics/orders");
    assert_eq!(created["state"], "ACTIVE");
    let created = http
        .ok(
            "PUT",
            &format!("{SUBSCRIPTION}?$alt=json;enum-encoding=int"),
            json!({
                "topic": "projects/p/topics/orders",
                "ackDeadlineSeconds": 20,
                "retryPolicy": { "minimumBackoff": "1.500s" },
            }),
        )
        .await;
    assert_eq!(created["state"], 1);
    assert_eq!(created["messageRetentionDuration"], "604800s");
    assert_eq!(created["retryPolicy"], json!({ "minimumBackoff": "1.500s" }));

    let message = json!({ "data": "aGVsbG8=", "attributes": { "k": "v" }, "orderingKey": "o" });
    let published =
        http.ok("POST", &format!("{TOPIC}:publish"), json!({ "messages": [message] })).await;
    let pull = json!({ "maxMessages": 10, "returnImmediately": true });
    let pulled = http.ok("POST", &format!("{SUBSCRIPTION}:pull"), pull.clone()).await;
    let received = &pulled["receivedMessages"][0];
    assert_eq!(received["message"]["data"], "aGVsbG8=");
    assert_eq!(received["message"]["attributes"], json!({ "k": "v" }));
    assert_eq!(received["message"]["orderingKey"], "o");
    assert_eq!(received["message"]["messageId"], published["messageIds"][0]);
    let time = received["message"]["publishTime"].as_str().unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");

    let extend = json!({ "ackIds": [received["ackId"]], "ackDeadlineSeconds": 60 });
    http.ok("POST", &format!("{SUBSCRIPTION}:modifyAckDeadline"), extend).await;
    let ack = json!({ "ackIds": [received["ackId"]] });
    http.ok("POST", &format!("{SUBSCRIPTION}:acknowledge"), ack).await;
    assert_eq!(http.ok("POST", &format!("{SUBSCRIPTION}:pull"), pull).await, json!({}));
    assert_eq!(local.pubsub().unacked(), 0);
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn topics_and_subscriptions_are_administered_over_rest() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http::new(&local);
    http.ok("PUT", TOPIC, json!({})).await;
    let body = json!({ "topic": "projects/p/topics/orders" });
    http.ok("PUT", SUBSCRIPTION, body.clone()).await;
    let (status, error) = http.json("PUT", SUBSCRIPTION, body).await;
    assert_eq!((status, &error["error"]["status"]), (409, &json!("ALREADY_EXISTS")));
    assert_eq!(
        error["error"]["message"],
        "Resource already exists in the project (resource=first)."
    );

    let update = json!({
        "subscription": { "ackDeadlineSeconds": 42 },
        "updateMask": "ackDeadlineSeconds",
    });
    assert_eq!(http.ok("PATCH", SUBSCRIPTION, update).await["ackDeadlineSeconds"], 42);
    let update = json!({ "topic": { "labels": { "a": "b" } }, "updateMask": "labels" });
    assert_eq!(http.ok("PATCH", TOPIC, update).await["labels"], json!({ "a": "b" }));
    let listed = http.ok("GET", "/v1/projects/p/topics?pageSize=5", json!({})).await;
    assert_eq!(listed["topics"][0]["name"], "projects/p/topics/orders");
    let listed = http.ok("GET", &format!("{TOPIC}/subscriptions"), json!({})).await;
    assert_eq!(listed["subscriptions"], json!(["projects/p/subscriptions/first"]));
    let listed = http.ok("GET", "/v1/projects/p/subscriptions", json!({})).await;
    assert_eq!(listed["subscriptions"][0]["ackDeadlineSeconds"], 42);

    http.ok("DELETE", TOPIC, json!({})).await;
    assert_eq!(http.ok("GET", SUBSCRIPTION, json!({})).await["topic"], "_deleted-topic_");
    http.ok("POST", &format!("{SUBSCRIPTION}:detach"), json!({})).await;
    http.ok("DELETE", SUBSCRIPTION, json!({})).await;
    let (status, error) = http.json("GET", SUBSCRIPTION, json!({})).await;
    assert_eq!((status, &error["error"]["status"]), (404, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn snapshots_and_seeks_go_over_rest() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http::new(&local);
    http.ok("PUT", TOPIC, json!({})).await;
    let body = json!({ "topic": "projects/p/topics/orders", "retainAckedMessages": true });
    http.ok("PUT", SUBSCRIPTION, body).await;
    let snapshot = "/v1/projects/p/snapshots/noon";
    let body = json!({ "subscription": "projects/p/subscriptions/first" });
    let made = http.ok("PUT", snapshot, body).await;
    assert_eq!(made["topic"], "projects/p/topics/orders");
    assert_eq!(http.ok("GET", snapshot, json!({})).await, made);
    let update = json!({ "snapshot": { "labels": { "a": "b" } }, "updateMask": "labels" });
    assert_eq!(http.ok("PATCH", snapshot, update).await["labels"], json!({ "a": "b" }));
    let listed = http.ok("GET", "/v1/projects/p/snapshots", json!({})).await;
    assert_eq!(listed["snapshots"][0]["name"], "projects/p/snapshots/noon");
    let listed = http.ok("GET", &format!("{TOPIC}/snapshots"), json!({})).await;
    assert_eq!(listed["snapshots"], json!(["projects/p/snapshots/noon"]));

    let message = json!({ "messages": [{ "data": "eA==" }] });
    http.ok("POST", &format!("{TOPIC}:publish"), message).await;
    let seek = format!("{SUBSCRIPTION}:seek");
    http.ok("POST", &seek, json!({ "time": "2100-01-01T00:00:00Z" })).await;
    assert_eq!(local.pubsub().unacked(), 0);
    http.ok("POST", &seek, json!({ "snapshot": "projects/p/snapshots/noon" })).await;
    assert_eq!(local.pubsub().unacked(), 1);
    http.ok("POST", &seek, json!({ "time": "2100-01-01T00:00:00Z" })).await;
    http.ok("POST", &seek, json!({ "time": "2020-01-01T00:00:00Z" })).await;
    assert_eq!(local.pubsub().unacked(), 1);
    http.ok("DELETE", snapshot, json!({})).await;
}

#[tokio::test]
async fn bad_requests_get_errors_in_googles_form() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http::new(&local);
    http.ok("PUT", TOPIC, json!({})).await;
    let publish = format!("{TOPIC}:publish");
    for (method, path, body, expected) in [
        ("GET", "/nowhere", "", 404),
        ("PUT", TOPIC, "{", 400),
        ("PUT", TOPIC, r#"{"lables":{}}"#, 400),
        ("PUT", "/v1/projects/p/topics/x", "", 400),
        ("POST", TOPIC, "", 400),
        ("POST", &publish, "", 400),
        ("POST", &publish, r#"{"messages":[{"data":"?"}]}"#, 400),
        ("POST", "/v1/projects/p/subscriptions/first:seek", "{}", 400),
        ("POST", "/v1/projects/p/subscriptions/first:seek", r#"{"time":"noon"}"#, 400),
        ("GET", "/v1/projects/p/snapshots/none", "", 404),
        ("PUT", "/v1/projects/p/topics/other", r#"{"ingestionDataSourceSettings":{}}"#, 501),
        ("POST", "/v1/projects/p/subscriptions/none:acknowledge", r#"{"ackIds":["1-2-3"]}"#, 404),
        ("POST", "/v1/projects/p/subscriptions/none:acknowledge", r#"{"ackIds":["x"]}"#, 400),
    ] {
        let (status, answer) = http.send(method, path, body.as_bytes()).await;
        assert_eq!(status, expected, "{method} {path} {body}: {answer}");
        assert_eq!(answer["error"]["code"], expected);
        assert!(answer["error"]["message"].as_str().unwrap().len() > 10, "{answer}");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http { host: "evil.example", ..Http::new(&local) };
    let (status, answer) = http.json("PUT", TOPIC, json!({})).await;
    assert_eq!((status, &answer["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
    assert!(local.pubsub().topic_statistics().is_empty());
}

#[tokio::test]
async fn bodies_are_limited_after_decompression() {
    let local = LocalGcp::builder().http_body_bytes_max(100_000).start().await.unwrap();
    let plain = Http::new(&local);
    let zipped = Http { gzip: true, ..Http::new(&local) };
    plain.ok("PUT", TOPIC, json!({})).await;
    let publish = format!("{TOPIC}:publish");
    let body = |bytes: usize| {
        json!({ "messages": [{ "data": "A".repeat(bytes) }] }).to_string().into_bytes()
    };
    assert_eq!(plain.send("POST", &publish, &body(80_000)).await.0, 200);
    assert_eq!(zipped.send("POST", &publish, &gzip(&body(80_000))).await.0, 200);
    assert_eq!(plain.send("POST", &publish, &body(120_000)).await.0, 413);
    // The compressed body is within the limit, so only a limit on what comes out of it can refuse.
    let bomb = gzip(&body(10_000_000));
    assert!(bomb.len() < 100_000, "{} bytes compressed", bomb.len());
    let (status, answer) = zipped.send("POST", &publish, &bomb).await;
    assert_eq!(status, 413, "{answer}");
    assert_eq!(local.pubsub().topic_statistics()["projects/p/topics/orders"].published_messages, 2);
}

#[tokio::test]
async fn rest_and_grpc_can_have_ports_of_their_own() {
    let local = LocalGcp::builder().grpc_port(0).start().await.unwrap();
    assert_ne!(local.endpoint(), local.grpc_endpoint());
    Http::new(&local).ok("PUT", TOPIC, json!({})).await;
    let variables = local.emulator_variables();
    let grpc = local.grpc_endpoint().replace("http://", "");
    assert!(variables.contains(&("PUBSUB_EMULATOR_HOST", grpc)));
    assert!(variables.contains(&("BIGQUERY_EMULATOR_HOST", local.endpoint())));
    assert!(variables.contains(&("BIGQUERY_STORAGE_EMULATOR_HOST", local.grpc_endpoint())));
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_and_a_taken_directory_are_clear_errors() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    let port = local.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    let error = LocalGcp::builder().port(port).start().await.unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    let error = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap_err();
    assert!(matches!(error, Error::Data(journal::Error::Locked { .. })), "{error}");
    local.shutdown().await.unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_status_tells_what_waits_and_what_was_written() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http::new(&local);
    http.ok("PUT", TOPIC, json!({})).await;
    http.ok("PUT", SUBSCRIPTION, json!({ "topic": "projects/p/topics/orders" })).await;
    let messages = json!({ "messages": [{ "data": "QQ==" }, { "data": "Qg==" }] });
    http.ok("POST", &format!("{TOPIC}:publish"), messages).await;
    let pulled =
        http.ok("POST", &format!("{SUBSCRIPTION}:pull"), json!({ "maxMessages": 1 })).await;
    let table = json!({
        "tableReference": { "projectId": "p", "datasetId": "shop", "tableId": "orders" },
        "schema": { "fields": [{ "name": "n", "type": "INT64" }] },
    });
    let dataset = json!({ "datasetReference": { "projectId": "p", "datasetId": "shop" } });
    http.ok("POST", "/bigquery/v2/projects/p/datasets", dataset).await;
    http.ok("POST", "/bigquery/v2/projects/p/datasets/shop/tables", table).await;

    let status = http.ok("GET", "/status", json!({})).await;
    let subscription = &status["pubsub"]["subscriptions"]["projects/p/subscriptions/first"];
    let figures = |of: &Value| ["undelivered", "outstanding", "unacked"].map(|it| of[it].clone());
    assert_eq!(figures(subscription), [1, 1, 2].map(Value::from));
    assert_eq!(status["pubsub"]["topics"]["projects/p/topics/orders"]["published_messages"], 2);
    assert_eq!(status["bigquery"]["tables"]["p:shop.orders"]["rows"], 0);

    let ack_id = &pulled["receivedMessages"][0]["ackId"];
    http.ok("POST", &format!("{SUBSCRIPTION}:acknowledge"), json!({ "ackIds": [ack_id] })).await;
    let status = http.ok("GET", "/status", json!({})).await;
    let subscription = &status["pubsub"]["subscriptions"]["projects/p/subscriptions/first"];
    assert_eq!(figures(subscription), [1, 0, 1].map(Value::from));
    assert_eq!(subscription["acknowledged"], 1);
}

#[tokio::test]
async fn jobs_are_made_over_rest_and_told_of_in_the_status() {
    let clock = ManualClock::new(Timestamp::from_secs(1_704_067_200));
    let local = LocalGcp::builder().clock(Arc::new(clock)).start().await.unwrap();
    let http = Http::new(&local);
    http.ok("PUT", TOPIC, json!({})).await;
    let jobs = "/v1/projects/p/locations/l/jobs";
    let job = json!({
        "name": "projects/p/locations/l/jobs/a",
        "schedule": "*/5 * * * *",
        "pubsubTarget": { "topicName": "projects/p/topics/orders", "data": "eA==" },
    });
    http.ok("POST", jobs, job.clone()).await;
    http.ok("POST", &format!("{jobs}/a:run"), json!({})).await;
    let told = &http.ok("GET", "/status", json!({})).await["scheduler"]["jobs"];
    let told = &told["projects/p/locations/l/jobs/a"];
    assert_eq!((&told["runs"], &told["failures"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&told["schedule"], &told["is_paused"]),
        (&json!("*/5 * * * * Etc/UTC"), &json!(false))
    );
    assert_eq!(told["next_run"], "2024-01-01T00:05:00Z");

    for (method, path, body, expected) in [
        ("POST", jobs.to_owned(), job, 409),
        ("POST", jobs.to_owned(), json!({ "colour": "red" }), 400),
        ("POST", jobs.to_owned(), json!({ "httpTarget": { "httpMethod": "BREW" } }), 400),
        ("POST", jobs.to_owned(), json!({ "httpTarget": {}, "pubsubTarget": {} }), 400),
        ("POST", format!("{jobs}/a:stop"), json!({}), 400),
        ("POST", format!("{jobs}/a:resume"), json!({}), 400),
        ("POST", format!("{jobs}/b:run"), json!({}), 404),
        ("GET", format!("{jobs}?pageToken=x"), json!({}), 400),
        ("PATCH", format!("{jobs}/a?updateMask=colour"), json!({}), 400),
        ("DELETE", format!("{jobs}/b"), json!({}), 404),
    ] {
        let (status, answer) = http.json(method, &path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 10, "{answer}");
    }
    http.ok("DELETE", &format!("{jobs}/a"), json!({})).await;
    assert_eq!(http.ok("GET", jobs, json!({})).await["jobs"], json!([]));
}

#[tokio::test]
async fn faults_are_asked_for_over_http_and_told_of() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(100)));
    let local = LocalGcp::builder().clock(Arc::clone(&clock) as _).start().await.unwrap();
    let http = Http::new(&local);
    let datasets = "/bigquery/v2/projects/p/datasets";
    let none = http.ok("GET", "/faults", json!({})).await;
    assert_eq!(none["bigquery"]["appends"], json!({ "refused": 0 }));

    let faults = json!({ "bigquery": {
        "rest": { "code": "RESOURCE_EXHAUSTED", "seconds": 2.5 },
        "writes": { "code": "UNAVAILABLE", "requests": 7 },
        "lost_append_answers": 3,
    } });
    let told = http.ok("PUT", "/faults", faults).await;
    assert_eq!(told["bigquery"]["writes"]["requests"], 7);
    let (status, error) = http.json("GET", datasets, json!({})).await;
    assert_eq!((status, &error["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(error["error"]["errors"][0]["reason"], "rateLimitExceeded");
    clock.advance(Duration::from_millis(500));
    let told = http.ok("GET", "/faults", json!({})).await;
    let rest = json!({ "code": "RESOURCE_EXHAUSTED", "seconds": 2.0, "refused": 1 });
    assert_eq!(told["bigquery"]["rest"], rest);
    assert_eq!(told["bigquery"]["lost_append_answers"], 3);
    clock.advance(Duration::from_secs(2));
    http.ok("GET", datasets, json!({})).await;
    assert_eq!(
        http.ok("GET", "/faults", json!({})).await["bigquery"]["rest"],
        json!({ "refused": 1 })
    );

    let faults = json!({ "bigquery": { "rest": { "code": "UNAVAILABLE", "requests": 2 } } });
    http.ok("PUT", "/faults", faults).await;
    assert_eq!(http.json("GET", datasets, json!({})).await.0, 503);
    http.ok("DELETE", "/faults", json!({})).await;
    http.ok("GET", datasets, json!({})).await;
    assert_eq!(http.ok("GET", "/faults", json!({})).await, none);
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused_and_change_nothing() {
    let local = LocalGcp::start().await.unwrap();
    let http = Http::new(&local);
    let rest = json!({ "bigquery": { "rest": { "code": "UNAVAILABLE", "requests": 9 } } });
    let before = http.ok("PUT", "/faults", rest).await;
    for (body, names) in [
        ("", "EOF"),
        ("{", "EOF"),
        (r#"{"bigqery":{}}"#, "bigqery"),
        (r#"{"bigquery":{"append":{}}}"#, "lost_append_answers"),
        (r#"{"bigquery":{"appends":{"requests":1}}}"#, "code"),
        (r#"{"bigquery":{"appends":{"code":"BUSY","requests":1}}}"#, "RESOURCE_EXHAUSTED"),
        (r#"{"bigquery":{"writes":{"code":"UNAVAILABLE"}}}"#, "either requests or seconds"),
        (r#"{"bigquery":{"writes":{"code":"ABORTED","requests":1,"seconds":1}}}"#, "either"),
        (r#"{"bigquery":{"rest":{"code":"INTERNAL","requests":0}}}"#, "bigquery.rest: "),
        (r#"{"bigquery":{"rest":{"code":"INTERNAL","seconds":-1}}}"#, "more than 0"),
        (r#"{"bigquery":{"lost_append_answers":-1}}"#, "-1"),
    ] {
        let (status, answer) = http.send("PUT", "/faults", body.as_bytes()).await;
        assert_eq!((status, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(names), "{body}: {message}");
    }
    assert_eq!(http.ok("GET", "/faults", json!({})).await, before);
}
