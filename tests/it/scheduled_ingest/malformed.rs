//! Messages that cannot be used: each is a dead letter with its reason and its own bytes, and the job goes on.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream::engine::{Report, StopMode};
use millstream_io_gcp::pubsub::PubSubMessage;
use millstream_pipelines::scheduled_ingest::{DeadLetterConfig, UnknownFields, step};
use serde_json::{Value, json};

use super::flights::{Flights, TextRow, assert_panes, assert_rows};
use super::places::{Places, end, engine, message};

/// Flights of a test.
const FLIGHTS: usize = 300;
const DEAD_TOPIC: &str = "projects/demo/topics/dead-letters";
const DEAD_SUBSCRIPTION: &str = "projects/demo/subscriptions/dead-letters";

/// A message that cannot be used.
#[derive(Clone)]
struct Bad {
    payload: Vec<u8>,
    reason: &'static str,
    /// What the detail must name.
    detail: &'static str,
}

fn bad(payload: impl Into<Vec<u8>>, reason: &'static str, detail: &'static str) -> Bad {
    Bad { payload: payload.into(), reason, detail }
}

/// A message as it would be if it were usable.
fn usable() -> Value {
    Flights::january().first(1).messages().next().unwrap().1
}

/// The usable message with one field changed.
fn with(name: &str, value: Value) -> String {
    let mut flight = usable();
    flight[name] = value;
    flight.to_string()
}

fn without(name: &str) -> String {
    let mut flight = usable();
    flight.as_object_mut().unwrap().remove(name);
    flight.to_string()
}

/// Every way to be unusable whatever the policy for unknown fields.
fn bad_messages() -> Vec<Bad> {
    let whole = usable().to_string();
    let half_a_character = with("tailnum", json!("\u{20ac}")).replace('\u{20ac}', "@");
    let half_a_character: Vec<u8> =
        half_a_character.bytes().map(|byte| if byte == b'@' { 0xe2 } else { byte }).collect();
    vec![
        bad("", "empty_message", "no payload"),
        bad(" \n\t ", "empty_message", "no payload"),
        bad(&whole[..whole.len() / 2], "bad_json", "EOF"),
        bad(format!("{whole}{whole}"), "bad_json", "trailing"),
        bad("departed", "bad_json", "expected"),
        bad(vec![0xff, 0xfe, 0, b'{'], "bad_json", "expected"),
        bad(half_a_character, "bad_json", "unicode"),
        bad(format!("[{whole}]"), "bad_json", "a JSON object"),
        bad("7", "bad_json", "a JSON object"),
        bad("null", "bad_json", "a JSON object"),
        bad("\"UA\"", "bad_json", "a JSON object"),
        bad(with("flight", json!("1545")), "wrong_type", "\"flight\""),
        bad(with("dep_time", json!(5.5)), "wrong_type", "\"dep_time\""),
        bad(with("distance", json!(u64::MAX)), "wrong_type", "\"distance\""),
        bad(with("carrier", json!(["UA"])), "wrong_type", "\"carrier\""),
        bad(with("dest", json!({"airport": "IAH"})), "wrong_type", "\"dest\""),
        bad(with("time_hour", json!("noon")), "wrong_type", "RFC 3339"),
        bad(with("minute", json!(i64::MAX)), "wrong_type", "no event time"),
        bad(without("carrier"), "missing_field", "\"carrier\""),
        bad(without("time_hour"), "missing_field", "\"time_hour\""),
        bad(with("origin", Value::Null), "missing_field", "\"origin\""),
        bad(whole.replacen('{', "{\"day\":3,", 1), "duplicate_field", "\"day\""),
    ]
}

/// Messages with a field that is not configured, as valid flights otherwise.
fn with_wings(flights: &Flights) -> Vec<(String, String)> {
    let wings = |(id, mut flight): (String, Value)| {
        flight["wings"] = json!({"left": 1, "right": [true, null]});
        (id, flight.to_string())
    };
    flights.messages().map(wings).collect()
}

/// What a job made of `flights`, first mixed with messages of all kinds, then by themselves.
struct Ingested {
    report: Report,
    rows: Vec<TextRow>,
    panes: Vec<TextRow>,
}

/// Runs a job: the first half of the flights comes mixed with `others`, the second when those are dealt with.
async fn ingest(places: &Places, flights: &Flights, others: Vec<PubSubMessage>) -> Ingested {
    let (first, second) = (flights.part(0..FLIGHTS / 2), flights.part(FLIGHTS / 2..FLIGHTS));
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut mixed: Vec<_> =
        first.messages().map(|(id, flight)| message(&id, &flight.to_string())).collect();
    mixed.extend(others);
    fastrand::Rng::with_seed(seed).shuffle(&mut mixed);

    let job = places.start_job(&engine());
    places.publish(mixed).await;
    places.all_acknowledged(&job).await;
    // The job goes on as if nothing had been.
    places.publish_flights(&second).await;
    places.all_acknowledged(&job).await;
    job.stop(StopMode::Drain);
    let report = end(job).await.unwrap();
    assert_eq!(report.status().restarts, 0);
    Ingested { report, rows: places.rows().await, panes: places.panes().await }
}

/// The service takes no message without payload and attributes.
fn outgoing(bad: &Bad) -> PubSubMessage {
    PubSubMessage::new(bad.payload.clone()).with_attribute("sender", "test")
}

/// A letter as it was kept, wherever.
#[derive(Debug)]
struct Letter {
    payload: Vec<u8>,
    fields: TextRow,
}

/// The letters of the table.
async fn letters(places: &Places) -> Vec<Letter> {
    let DeadLetterConfig::Table(table) = &places.config.dead_letters else {
        panic!("there is no table of dead letters")
    };
    let letter = |mut row: TextRow| {
        let payload = STANDARD.decode(row.remove("bytes").unwrap()).unwrap();
        Letter { payload, fields: row }
    };
    places.read(table).await.into_iter().map(letter).collect()
}

/// Checks that there is a letter for each bad message, with its own bytes, and no other.
#[track_caller]
fn assert_letters(mut letters: Vec<Letter>, bad: &[Bad]) {
    for Bad { payload, reason, detail } in bad {
        let shown = String::from_utf8_lossy(payload);
        let same = |letter: &Letter| letter.payload == *payload;
        let index = letters.iter().position(same).unwrap_or_else(|| panic!("lost: {shown}"));
        let Letter { fields, .. } = letters.swap_remove(index);
        assert_eq!(fields["reason"], *reason, "{shown}: {fields:?}");
        assert!(fields["detail"].contains(detail), "{shown}: {fields:?}");
        assert_eq!(fields["step"], step::PARSE);
        assert!(fields["received_at"].as_str() > "2020", "{fields:?}");
    }
    assert!(letters.is_empty(), "nobody sent {letters:?}");
}

fn counts(report: &Report) -> (u64, u64, u64) {
    let of = |path| report.step(path).unwrap();
    let read = of(step::READ).records_out;
    (read, of(step::WRITE_ROWS).records_in, of(step::WRITE_DEAD_LETTERS).records_in)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unusable_message_is_a_letter_with_its_bytes_and_the_job_goes_on() {
    let places = Places::start().await;
    let flights = Flights::january().first(FLIGHTS);
    let mut bad = bad_messages();
    bad.extend(with_wings(&flights.part(0..5)).into_iter().map(|(_, payload)| Bad {
        payload: payload.into_bytes(),
        reason: "unknown_field",
        detail: "\"wings\"",
    }));
    // Without an id of the sender's, the same bytes twice are two messages.
    bad.extend(bad.clone());

    let ingested = ingest(&places, &flights, bad.iter().map(outgoing).collect()).await;
    let sent = (FLIGHTS + bad.len()) as u64;
    assert_eq!(counts(&ingested.report), (sent, FLIGHTS as u64, bad.len() as u64));
    assert_rows(ingested.rows, &flights);
    assert_panes(ingested.panes, &flights);
    assert_letters(letters(&places).await, &bad);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_left_out_where_the_policy_says_so() {
    let mut places = Places::start().await;
    places.config.message.unknown_fields = UnknownFields::Drop;
    let all = Flights::january().first(FLIGHTS + 20);
    let winged = with_wings(&all.part(FLIGHTS..FLIGHTS + 20));
    let bad = bad_messages();
    let mut others: Vec<_> = bad.iter().map(outgoing).collect();
    others.extend(winged.iter().map(|(id, payload)| message(id, payload)));

    let ingested = ingest(&places, &all, others).await;
    assert_rows(ingested.rows, &all);
    assert_panes(ingested.panes, &all);
    assert_letters(letters(&places).await, &bad);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_kept_in_a_column_where_the_policy_says_so() {
    let mut places = Places::start().await;
    places.config.message.unknown_fields = UnknownFields::Keep("extra".to_owned());
    let all = Flights::january().first(FLIGHTS + 20);
    let winged = with_wings(&all.part(FLIGHTS..FLIGHTS + 20));
    let bad = bad_messages();
    let mut others: Vec<_> = bad.iter().map(outgoing).collect();
    others.extend(winged.iter().map(|(id, payload)| message(id, payload)));

    let mut ingested = ingest(&places, &all, others).await;
    for row in &mut ingested.rows {
        let extra = row.remove("extra").unwrap();
        if winged.iter().any(|(id, _)| *id == row["id"]) {
            let extra: Value = serde_json::from_str(&extra).unwrap();
            assert_eq!(extra, json!({"wings": {"left": 1, "right": [true, null]}}));
        } else {
            assert_eq!(extra, "");
        }
    }
    assert_rows(ingested.rows, &all);
    assert_panes(ingested.panes, &all);
    assert_letters(letters(&places).await, &bad);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_may_go_to_a_topic_bytes_as_payload_and_the_rest_as_attributes() {
    let mut places = Places::start().await;
    places.local.pubsub().ensure_topic(DEAD_TOPIC).unwrap();
    places.local.pubsub().ensure_subscription(DEAD_SUBSCRIPTION, DEAD_TOPIC).unwrap();
    places.config.dead_letters = DeadLetterConfig::Topic(DEAD_TOPIC.to_owned());
    let flights = Flights::january().first(FLIGHTS);
    let bad = bad_messages();

    let ingested = ingest(&places, &flights, bad.iter().map(outgoing).collect()).await;
    let sent = (FLIGHTS + bad.len()) as u64;
    assert_eq!(counts(&ingested.report), (sent, FLIGHTS as u64, bad.len() as u64));
    assert_rows(ingested.rows, &flights);
    assert_letters(letters_of_the_topic(&places), &bad);
}

/// The letters that wait in the subscription.
fn letters_of_the_topic(places: &Places) -> Vec<Letter> {
    let mut letters = Vec::new();
    loop {
        let deliveries = places.local.pubsub().pull(DEAD_SUBSCRIPTION, 1_000).unwrap();
        if deliveries.is_empty() {
            return letters;
        }
        letters.extend(deliveries.into_iter().map(|delivery| Letter {
            payload: delivery.message.data.to_vec(),
            fields: BTreeMap::from_iter(delivery.message.attributes.clone()),
        }));
    }
}
