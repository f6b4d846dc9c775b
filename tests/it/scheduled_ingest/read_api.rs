//! The read API over HTTP: rows as they were ingested, every way to fail, and what it tells about itself.

use std::collections::BTreeSet;

use millstream::engine::StopMode;
use millstream_io_gcp::bigquery::FieldType;
use millstream_io_gcp::connection::Connection;
use millstream_pipelines::scheduled_ingest::{ReadApi, ScheduledIngestConfig, UnknownFields};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::flights::Flights;
use super::places::{Places, end, engine, message};

const NOBODY: &str = "/api/v1/00000000000000000000000000000000";
const PROBLEM: &str = "content-type: application/problem+json";

/// An answer.
#[derive(Debug)]
struct Answer {
    code: u16,
    /// In lower case.
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Checks that this is the problem `name`; a 503 says when to come again.
    #[track_caller]
    fn assert_problem(&self, code: u16, name: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.head.contains(PROBLEM), "{self:?}");
        assert_eq!(self.json()["type"], format!("/#{name}"), "{self:?}");
        assert_eq!(self.json()["status"], code);
        assert_eq!(self.head.contains("\r\nretry-after: "), code == 503, "{self:?}");
    }
}

/// Sends a request; everything is on this machine.
async fn request(address: &str, line: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { code, head: head.to_lowercase(), body: body.to_owned() }
}

async fn get(address: &str, path: &str) -> Answer {
    request(address, &format!("GET {path}"), "").await
}

async fn listen(api: ReadApi) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(api.serve(listener, std::future::pending()));
    address
}

/// Serves the rows of a configuration.
async fn serve(config: &ScheduledIngestConfig) -> String {
    listen(ReadApi::connect(config).await.unwrap()).await
}

/// Runs a job until everything is in its tables.
async fn ingest(places: &Places) {
    let job = places.start_job(&engine());
    places.all_acknowledged(&job).await;
    job.stop(StopMode::Drain);
    end(job).await.unwrap();
}

/// The configuration with a BigQuery that takes connections and never answers; it lives as long as the listener.
async fn silent_bigquery(places: &Places) -> (TcpListener, ScheduledIngestConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = places.config.clone();
    config.bigquery = Connection::local(listener.local_addr().unwrap().to_string());
    config.read_api.timeout_millis = 200;
    (listener, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_answered_with_every_column_as_it_was_ingested() {
    let places = Places::start().await;
    let flights = Flights::january().first(200);
    places.publish_flights(&flights).await;
    ingest(&places).await;
    let api = serve(&places.config).await;
    let event_times = flights.rows().into_iter().map(|row| (row["id"].clone(), row));
    let rows: std::collections::BTreeMap<_, _> = event_times.collect();
    for (id, mut expected) in flights.messages() {
        expected["id"] = json!(id);
        expected["event_time"] = json!(rows[&id]["event_time"]);
        // The servers' clock stands still.
        expected["publish_time"] = json!("2024-05-01T00:00:00Z");
        let answer = get(&api, &format!("/api/v1/{id}")).await;
        assert_eq!((answer.code, answer.json()), (200, expected));
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_cannot_be_are_problems() {
    let places = Places::start().await;
    places.publish_flights(&Flights::january().first(1)).await;
    ingest(&places).await;
    let api = serve(&places.config).await;
    get(&api, NOBODY).await.assert_problem(404, "unknown-id");
    let (id, _) = Flights::january().messages().next().unwrap();
    let upper = id.to_uppercase();
    for wrong in ["x", &id[1..], &upper, "%27%20OR%20%27%27%3D%27", "%FF", &"0".repeat(5_000)] {
        get(&api, &format!("/api/v1/{wrong}")).await.assert_problem(422, "invalid-id");
    }
    for path in ["/api/v1", "/api/v1/", "/api/v2/x", &format!("/api/v1/{id}/x")] {
        get(&api, path).await.assert_problem(404, "unknown-path");
    }
    let answer = request(&api, &format!("DELETE /api/v1/{id}"), "").await;
    answer.assert_problem(405, "wrong-method");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_yet_is_worth_asking_again() {
    let places = Places::start().await;
    let api = serve(&places.config).await;
    get(&api, NOBODY).await.assert_problem(503, "table-not-found");
    assert_eq!(get(&api, "/readyz").await.code, 503);
    assert_eq!(get(&api, "/healthz").await.code, 200);
    places.publish_flights(&Flights::january().first(1)).await;
    ingest(&places).await;
    let (id, _) = Flights::january().messages().next().unwrap();
    assert_eq!(get(&api, &format!("/api/v1/{id}")).await.code, 200);
    assert_eq!(get(&api, "/readyz").await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_value_of_another_type_is_not_shown() {
    let mut places = Places::start().await;
    let asked = places.config.clone();
    let distance = |field: &&mut millstream_io_gcp::bigquery::Field| field.name == "distance";
    places.config.message.fields.iter_mut().find(distance).unwrap().field_type = FieldType::String;
    let (id, mut flight) = Flights::january().messages().next().unwrap();
    flight["distance"] = json!("far");
    places.publish([message(&id, &flight.to_string())]).await;
    ingest(&places).await;
    let api = serve(&asked).await;
    get(&api, &format!("/api/v1/{id}")).await.assert_problem(502, "bad-value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_bigquery_refuses_is_not_asked_again() {
    let mut places = Places::start().await;
    let asked = places.config.clone();
    places.config.message.fields.retain(|field| field.name != "distance");
    places.config.message.unknown_fields = UnknownFields::Drop;
    places.publish_flights(&Flights::january().first(1)).await;
    ingest(&places).await;
    let api = serve(&asked).await;
    get(&api, NOBODY).await.assert_problem(502, "refused");
    assert_eq!(get(&api, "/readyz").await.code, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_that_does_not_answer_in_time_is_a_timeout_and_more_requests_are_refused() {
    let places = Places::start().await;
    let (_silent, mut config) = silent_bigquery(&places).await;
    let api = serve(&config).await;
    get(&api, NOBODY).await.assert_problem(503, "timeout");
    assert_eq!(get(&api, "/readyz").await.code, 503);
    assert_eq!(get(&api, "/healthz").await.code, 200);

    config.read_api.queries_max = 1;
    config.read_api.waiting_max = 0;
    let api = serve(&config).await;
    let (one, other) = tokio::join!(get(&api, NOBODY), get(&api, NOBODY));
    let is_timeout = |answer: &Answer| answer.json()["type"] == "/#timeout";
    let (timeout, busy) = if is_timeout(&one) { (one, other) } else { (other, one) };
    timeout.assert_problem(503, "timeout");
    busy.assert_problem(503, "busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_that_refuses_every_request_is_answered_in_time() {
    let mut places = Places::start().await;
    places.config.read_api.timeout_millis = 500;
    let api = serve(&places.config).await;
    let endpoint = places.local.endpoint();
    let server = endpoint.trim_start_matches("http://");
    for code in ["RESOURCE_EXHAUSTED", "UNAVAILABLE"] {
        let faults = json!({"bigquery": {"rest": {"code": code, "seconds": 60}}}).to_string();
        assert_eq!(request(server, "PUT /faults", &faults).await.code, 200);
        let answer = get(&api, NOBODY).await;
        // The client asks again by itself, and may still do so when the time is up.
        let kind = answer.json()["type"].as_str().unwrap().trim_start_matches("/#").to_owned();
        assert!(["timeout", "unavailable"].contains(&kind.as_str()), "{answer:?}");
        answer.assert_problem(503, &kind);
    }
}

/// Whether `value` is of a JSON schema's type.
fn is_of(value: &Value, kind: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
        Value::String(kind) => match kind.as_str() {
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            _ => false,
        },
        _ => true,
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_the_answers() {
    let places = Places::start().await;
    let flights = Flights::january().first(50);
    places.publish_flights(&flights).await;
    ingest(&places).await;
    let api = serve(&places.config).await;
    let document = get(&api, "/openapi.json").await.json();
    let schemas = &document["components"]["schemas"];
    let row = &schemas["Row"];
    for (id, _) in flights.messages() {
        let answer = get(&api, &format!("/api/v1/{id}")).await.json();
        assert_eq!(keys(&answer), keys(&row["properties"]));
        for (column, value) in answer.as_object().unwrap() {
            let kind = &row["properties"][column]["type"];
            assert!(is_of(value, kind), "{column}: {value} is no {kind}");
        }
    }
    assert_eq!(row["required"].as_array().unwrap().len(), keys(&row["properties"]).len());
    assert_eq!(keys(&get(&api, NOBODY).await.json()), keys(&schemas["Problem"]["properties"]));
    let responses = &document["paths"]["/api/v1/{id}"]["get"]["responses"];
    assert_eq!(keys(responses), ["200", "404", "422", "502", "503"].map(str::to_owned).into());
    assert!(responses["503"]["headers"]["Retry-After"].is_object());
    for path in ["/healthz", "/readyz", "/metrics", "/slo"] {
        assert!(document["paths"][path].is_object(), "{path}");
        assert_eq!(get(&api, path).await.code, 200, "{path}");
    }
    let level = &get(&api, "/slo").await.json()["service_levels"][0];
    let levels = &schemas["ServiceLevels"]["properties"]["service_levels"];
    assert_eq!(keys(level), keys(&levels["items"]["properties"]));
    let page = get(&api, "/").await;
    assert!(
        page.head.contains("content-type: text/html") && page.body.contains("<td>tailnum</td>")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_and_both_service_levels_follow_them() {
    let places = Places::start().await;
    let flights = Flights::january().first(99);
    places.publish_flights(&flights).await;
    places.publish([message("bad", "{]")]).await;
    let job = places.start_job(&engine());
    let control = job.control();
    places.all_acknowledged(&job).await;
    job.stop(StopMode::Drain);
    end(job).await.unwrap();
    let api = listen(ReadApi::connect(&places.config).await.unwrap().with_job(control)).await;
    for (id, _) in flights.messages().take(3) {
        assert_eq!(get(&api, &format!("/api/v1/{id}")).await.code, 200);
    }
    get(&api, NOBODY).await;
    get(&api, "/api/v1/x").await;
    get(&api, "/nowhere").await;
    let metrics = get(&api, "/metrics").await.body;
    for line in [
        "millstream_api_requests_total{code=\"200\",path=\"/api/v1/{id}\"} 3",
        "millstream_api_requests_total{code=\"404\",path=\"/api/v1/{id}\"} 1",
        "millstream_api_requests_total{code=\"422\",path=\"/api/v1/{id}\"} 1",
        "millstream_api_requests_total{code=\"404\",path=\"other\"} 1",
        "millstream_api_problems_total{problem=\"unknown-id\"} 1",
        "millstream_api_request_seconds_count{path=\"/api/v1/{id}\"} 5",
        "millstream_slo_objective{slo=\"availability\"} 0.999",
        "millstream_slo_events_total{slo=\"availability\"} 5",
        "millstream_slo_good_events_total{slo=\"availability\"} 5",
        "millstream_slo_error_budget_left{slo=\"availability\"} 1",
        "millstream_slo_objective{slo=\"processing\"} 0.99",
        "millstream_slo_events_total{slo=\"processing\"} 100",
        "millstream_slo_good_events_total{slo=\"processing\"} 99",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    let levels = get(&api, "/slo").await.json();
    let levels = &levels["service_levels"];
    assert_eq!((&levels[0]["name"], &levels[0]["is_met"]), (&json!("availability"), &json!(true)));
    assert_eq!((&levels[1]["good"], &levels[1]["total"]), (&json!(99), &json!(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_use_up_the_error_budget() {
    let places = Places::start().await;
    let (_silent, config) = silent_bigquery(&places).await;
    let api = serve(&config).await;
    get(&api, NOBODY).await.assert_problem(503, "timeout");
    let level = &get(&api, "/slo").await.json()["service_levels"][0];
    assert_eq!((&level["good"], &level["total"]), (&json!(0), &json!(1)));
    assert!(level["error_budget_left"].as_f64().unwrap() < -900.0, "{level}");
    assert_eq!(level["is_met"], json!(false));
}
