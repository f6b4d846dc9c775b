//! The pipeline between source and sinks, and the parsing of messages, without any service.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream::prelude::*;
use millstream_io_gcp::bigquery::{Field, FieldType};
use millstream_io_gcp::pubsub::PubSubMessage;
use serde_json::{Value, json};

use super::*;

fn flights() -> ScheduledIngestConfig {
    let table = |name: &str| format!("p.d.{name}").parse().unwrap();
    let subscription = "projects/p/subscriptions/flights";
    ScheduledIngestConfig::flights(subscription, table("rows"), table("aggregates"), table("dead"))
}

fn flight() -> Value {
    json!({
        "year": 2013, "month": 1, "day": 1, "dep_time": 517, "sched_dep_time": 515, "dep_delay": 2,
        "arr_time": 830, "sched_arr_time": 819, "arr_delay": 11, "carrier": "UA", "flight": 1545,
        "tailnum": "N14228", "origin": "EWR", "dest": "IAH", "air_time": 227, "distance": 1400,
        "hour": 5, "minute": 15, "time_hour": "2013-01-01T10:00:00Z"
    })
}

/// The flight with one field changed.
fn with(name: &str, value: Value) -> Value {
    let mut flight = flight();
    flight[name] = value;
    flight
}

fn without(name: &str) -> Value {
    let mut flight = flight();
    flight.as_object_mut().unwrap().remove(name);
    flight
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn parse(config: &ScheduledIngestConfig, text: &str) -> Result<Row, Problem> {
    let prepared = config.prepare().unwrap();
    prepared.message.parse(text.as_bytes(), at("2024-05-01T00:00:00Z"))
}

#[test]
fn a_flight_becomes_a_typed_row_with_id_and_event_time() {
    let row = parse(&flights(), &flight().to_string()).unwrap();
    let text = |column| row.get(column).and_then(Cell::as_text).unwrap();
    assert_eq!(text(ID), "c310b5c983f5fbec2b6b9f51b6083918");
    assert_eq!(text(EVENT_TIME), "2013-01-01T10:15:00Z");
    assert_eq!(text(PUBLISH_TIME), "2024-05-01T00:00:00Z");
    assert_eq!(row.get("flight"), Some(&Cell::Int(1545)));
    assert_eq!(row.cells().len(), 22);
    let cancelled = parse(&flights(), &with("dep_time", Value::Null).to_string()).unwrap();
    assert_eq!(cancelled.get("dep_time"), Some(&Cell::Null));
    assert_eq!(cancelled.get(ID), row.get(ID));
}

#[test]
fn every_way_to_be_unusable_has_its_reason_and_names_the_field() {
    let whole = flight().to_string();
    for (text, reason, detail) in [
        (String::new(), Reason::EmptyMessage, "no payload"),
        (" \n".to_owned(), Reason::EmptyMessage, "no payload"),
        (whole[..40].to_owned(), Reason::BadJson, "EOF"),
        (format!("{whole}]"), Reason::BadJson, "trailing"),
        ("[1]".to_owned(), Reason::BadJson, "expected a JSON object"),
        ("7".to_owned(), Reason::BadJson, "expected a JSON object"),
        (with("flight", json!("1545")).to_string(), Reason::WrongType, "\"flight\" is the text"),
        (with("dep_time", json!(5.5)).to_string(), Reason::WrongType, "\"dep_time\" is the number"),
        (with("time_hour", json!("noon")).to_string(), Reason::WrongType, "RFC 3339"),
        (with("minute", json!(i64::MAX)).to_string(), Reason::WrongType, "no event time"),
        (without("carrier").to_string(), Reason::MissingField, "\"carrier\" is required"),
        (with("carrier", Value::Null).to_string(), Reason::MissingField, "\"carrier\" is required"),
        (with("wings", json!(2)).to_string(), Reason::UnknownField, "\"wings\" is not known"),
        (whole.replacen('{', "{\"day\":3,", 1), Reason::DuplicateField, "\"day\" is there twice"),
    ] {
        let problem = parse(&flights(), &text).unwrap_err();
        assert_eq!(problem.reason(), reason, "{text}: {}", problem.detail());
        assert!(problem.detail().contains(detail), "{text}: {}", problem.detail());
        assert_eq!(problem.to_string(), reason.as_str());
    }
}

#[test]
fn unknown_fields_go_by_the_policy() {
    let mut config = flights();
    let text = with("wings", json!({"left": 1})).to_string();
    config.message.unknown_fields = UnknownFields::Drop;
    assert_eq!(parse(&config, &text).unwrap().cells().len(), 22);
    config.message.unknown_fields = UnknownFields::Keep("extra".to_owned());
    let row = parse(&config, &text).unwrap();
    assert_eq!(row.get("extra"), Some(&Cell::Text("{\"wings\":{\"left\":1}}".to_owned())));
    let plain = parse(&config, &flight().to_string()).unwrap();
    assert_eq!(plain.get("extra"), Some(&Cell::Null));
}

#[test]
fn the_publish_time_counts_where_the_message_has_no_time() {
    let mut config = flights();
    config.message.event_time = None;
    let row = parse(&config, &flight().to_string()).unwrap();
    assert_eq!(row.get(EVENT_TIME), row.get(PUBLISH_TIME));
}

#[test]
fn every_problem_of_a_configuration_is_reported_at_once() {
    let mut config = flights();
    config.subscription = "flights".to_owned();
    config.message.fields.push(Field::nullable("tags", FieldType::Bytes));
    config.message.fields.push(Field::repeated("stops", FieldType::String));
    config.message.fields.push(Field::nullable("ID", FieldType::String));
    config.message.id.push("pilot".to_owned());
    config.message.event_time = Some(EventTimeConfig::new("carrier").plus_minutes("nowhere"));
    config.windows.size_seconds = 0;
    config.lease_seconds = 9;
    config.max_outstanding_messages = Some(0);
    config.aggregates.keys.push("crew".to_owned());
    config.aggregates.measures.push(Measure::of("sum", Aggregate::Sum, "carrier"));
    config.tables.aggregates = config.tables.rows.clone();
    let error = config.validate().unwrap_err();
    for part in [
        "projects/P/subscriptions/S",
        "\"tags\" has type BYTES",
        "\"stops\" is REPEATED",
        "column \"ID\" appears twice",
        "id: the message has no field \"pilot\"",
        "event_time: field \"carrier\" must have type TIMESTAMP",
        "event_time: the message has no field \"nowhere\"",
        "size_seconds must be at least 1",
        "lease_seconds is 9, not 10 to 600",
        "max_outstanding_messages is 0: nothing could be read",
        "keys: the message has no field \"crew\"",
        "field \"carrier\" is no INT64 or FLOAT64",
        "p.d.rows is used twice",
    ] {
        assert!(error.problems().iter().any(|problem| problem.contains(part)), "{part}: {error}");
    }
    assert_eq!(error.problems().len(), 13, "{error}");
}

#[test]
fn a_configuration_survives_its_file() {
    let config = flights();
    let text = serde_json::to_string_pretty(&config).unwrap();
    assert_eq!(serde_json::from_str::<ScheduledIngestConfig>(&text).unwrap(), config);
    let unknown = text.replacen("\"windows\"", "\"window\"", 1);
    assert!(serde_json::from_str::<ScheduledIngestConfig>(&unknown).is_err());
}

/// What came out of a run.
#[derive(Clone, Debug)]
struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T: Data + Sync> Collected<T> {
    fn of(collection: &PCollection<T>, name: &str) -> Self {
        let collected = Self(Arc::default());
        let sink = Arc::clone(&collected.0);
        collection.for_each(name, move |element| sink.lock().unwrap().push(element));
        collected
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Runs messages, each at its event time, through the part of the pipeline between source and sinks.
fn ingest(
    config: &ScheduledIngestConfig,
    texts: Vec<String>,
) -> (Vec<Row>, Vec<Row>, Vec<DeadLetterRow>) {
    let prepared = config.prepare().unwrap();
    let reader = prepared.event_time.clone().unwrap();
    let message = |text: String| (reader.read(text.as_bytes()).unwrap(), PubSubMessage::new(text));
    let pipeline = Pipeline::new();
    let ingested = pipeline
        .create_timestamped("Messages", texts.into_iter().map(message))
        .apply("Ingest", Ingest::new(prepared, config.windows.clone()));
    let rows = Collected::of(&ingested.rows, "Rows");
    let aggregates = Collected::of(&ingested.aggregates, "Aggregates");
    let letters = Collected::of(&ingested.dead_letters, "Letters");
    Engine::builder().workers(2).run(&pipeline).unwrap();
    (rows.take(), aggregates.take(), letters.take())
}

/// The last pane of each window and carrier: start of the window, carrier, measures.
fn last_panes(aggregates: &[Row]) -> Vec<(String, String, Vec<Cell>)> {
    let text = |row: &Row, column| row.get(column).and_then(Cell::as_text).unwrap().to_owned();
    let is_last = |row: &&Row| row.get(IS_LAST) == Some(&Cell::Bool(true));
    let last = |row: &Row| {
        let measures = ["departures", "cancellations", "mean_delay"];
        let measures = measures.map(|measure| row.get(measure).unwrap().clone()).to_vec();
        (text(row, WINDOW_START), text(row, "carrier"), measures)
    };
    let mut panes: Vec<_> = aggregates.iter().filter(is_last).map(last).collect();
    panes.sort_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
    panes
}

#[test]
fn flights_are_aggregated_per_carrier_and_hour() {
    let departure = |carrier: &str, number: i64, hour: i64, delay: Value| {
        let mut flight = with("carrier", json!(carrier));
        flight["flight"] = json!(number);
        flight["time_hour"] = json!(format!("2013-01-01T{hour:02}:00:00Z"));
        if delay.is_null() {
            flight["dep_time"] = Value::Null;
        }
        flight["dep_delay"] = delay;
        flight.to_string()
    };
    let texts = vec![
        departure("UA", 1, 10, json!(2)),
        departure("UA", 2, 10, json!(-5)),
        departure("UA", 3, 10, Value::Null),
        departure("B6", 4, 10, Value::Null),
        departure("UA", 5, 11, json!(7)),
    ];
    let (rows, aggregates, letters) = ingest(&flights(), texts);
    assert_eq!((rows.len(), letters.len()), (5, 0));
    let hour = |hour: &str| format!("2013-01-01T{hour}:00:00Z");
    let measures = |departures, cancellations, delay: Option<f64>| {
        vec![Cell::Int(departures), Cell::Int(cancellations), Cell::from(delay)]
    };
    assert_eq!(
        last_panes(&aggregates),
        [
            (hour("10"), "B6".to_owned(), measures(0, 1, None)),
            (hour("10"), "UA".to_owned(), measures(2, 1, Some(-1.5))),
            (hour("11"), "UA".to_owned(), measures(1, 0, Some(7.0))),
        ]
    );
}

#[test]
fn unusable_messages_keep_their_bytes_and_the_others_go_on() {
    let good = |number: i64| with("flight", json!(number)).to_string();
    let bad = ["{\"carrier\":", "", "[]"].map(str::to_owned);
    let mut texts: Vec<String> = (0..50).map(good).collect();
    texts.splice(10..10, bad.clone());
    texts.push(with("wings", json!(1)).to_string());
    let (rows, _, letters) = ingest(&flights(), texts.clone());
    assert_eq!(rows.len() + letters.len(), texts.len());
    assert_eq!(letters.len(), 4);
    let letter = letters.iter().find(|letter| *letter.bytes == *bad[0].as_bytes()).unwrap();
    assert_eq!((letter.step.as_str(), letter.reason.as_str()), ("Ingest/Parse", "bad_json"));
    assert!(letter.detail.contains("EOF"), "{}", letter.detail);
    assert_eq!(letter.event_time.as_deref(), Some("2013-01-01T10:15:00Z"));
    assert!(
        letters.iter().any(|letter| letter.reason == "empty_message" && letter.bytes.is_empty())
    );
}

#[test]
fn a_dead_letter_may_be_a_message_of_its_own() {
    let (_, _, letters) = ingest(&flights(), vec!["{]".to_owned()]);
    let message = letters[0].clone().into_message();
    assert_eq!((&*message.data, message.attribute("reason")), (&b"{]"[..], Some("bad_json")));
    // It stood before all usable messages, which no column can express.
    assert_eq!(message.attribute("event_time"), None);
}

#[test]
fn the_pipeline_is_built_without_reaching_any_service() {
    let pipeline = build(&flights()).unwrap();
    pipeline.validate().unwrap();
    let mut config = flights();
    config.dead_letters = DeadLetterConfig::Topic("projects/p/topics/dead-letters".to_owned());
    config.windows.early_firing_millis = Duration::from_secs(2).as_millis() as u64;
    build(&config).unwrap().validate().unwrap();
}
