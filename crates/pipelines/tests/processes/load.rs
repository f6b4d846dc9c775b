//! Messages as large as Pub/Sub takes them, a great many tiny ones, and nearly all under one key: within bounded memory, and right.
//!
//! `MILLSTREAM_MESSAGES` is how many tiny ones (a million: `MILLSTREAM_MESSAGES=1000000 cargo test --test processes load -- --nocapture`),
//! `MILLSTREAM_ROUNDS` how often the large ones come.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use millstream::Timestamp;
use millstream_io_gcp::pubsub::PubSubMessage;
use millstream_pipelines::scheduled_ingest::{ID_ATTRIBUTE, ScheduledIngestConfig};
use serde_json::json;

use super::flights::{Flights, TextRow, assert_rows};
use super::kill::{number, seed};
use super::program::{now, until};
use super::scene::{Pipeline, SUBSCRIPTION, Scene, config, dead_letters};

const MEGABYTE: u64 = 1_000_000;
/// What a process without anything to do takes without optimisation, doubled: threads, clients, and what the allocator keeps.
const EMPTY: u64 = 80 * MEGABYTE;
const STOP: Duration = Duration::from_secs(60);

/// Checks that a process never had more than so many bytes in memory.
#[track_caller]
fn assert_resident(pipeline: &Pipeline, most: u64) {
    let Some(peak) = pipeline.program.resident("VmHWM") else {
        eprintln!("SKIPPED: this system does not tell how much memory a process had");
        return;
    };
    eprintln!("at most {} MB in memory, of {} MB", peak / MEGABYTE, most / MEGABYTE);
    assert!(peak <= most, "{peak} bytes");
}

/// Bytes of a message that Pub/Sub takes, its attributes included.
const MESSAGE_BYTES_MAX: usize = 10_000_000;
/// Bytes of a row that a request to BigQuery takes.
const ROW_BYTES_MAX: usize = 9_500_000;
/// Bytes that the job may hold: three of the largest messages.
const OUTSTANDING_BYTES: u64 = 32 * MEGABYTE;
/// Each of its readers takes messages as long as it holds less than its half: one more than that.
const TAKEN_BYTES: u64 = OUTSTANDING_BYTES + 2 * MESSAGE_BYTES_MAX as u64;
/// A message, its row, the request made of that, and what is just being copied: so often may a byte that was taken be there.
const COPIES: u64 = 4;
/// Makes the allocator of Linux give large blocks back at once. Otherwise it keeps some hundred megabytes of them after a while, and
/// what the job holds could not be told from what it held.
const GIVE_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");
/// How often the large messages come in a usual run.
const ROUNDS: u64 = 2;

/// One flight with a text that makes its message and its row long.
fn flight(number: usize, text: usize) -> Flights {
    let mut flight = Flights::january().part(number..number + 1);
    flight.put("tailnum", &"x".repeat(text));
    flight
}

fn message(flight: &Flights) -> PubSubMessage {
    let (id, fields) = flight.messages().next().unwrap();
    PubSubMessage::new(fields.to_string()).with_attribute(ID_ATTRIBUTE, id)
}

/// The longest text that has room in a row, by the dead letter of a row that has none.
async fn longest_text(scene: &Scene) -> usize {
    scene.publish_messages(vec![message(&flight(0, ROW_BYTES_MAX))]).await;
    until("a dead letter", || scene.visible(&dead_letters()) == 1).await;
    let letters = letters(scene).await;
    let (_, got) = letters[0]["detail"].split_once("got ").unwrap();
    let bytes: usize = got.split_once(" bytes").unwrap().0.parse().unwrap();
    ROW_BYTES_MAX - (bytes - ROW_BYTES_MAX)
}

/// The dead letters, with the length of their bytes.
async fn letters(scene: &Scene) -> Vec<TextRow> {
    let table = dead_letters().sql();
    scene.query(&format!("SELECT reason, detail, LENGTH(bytes) AS bytes FROM {table}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_row_is_written_and_a_larger_one_is_a_dead_letter() {
    let rounds = number("MILLSTREAM_ROUNDS").unwrap_or(ROUNDS) as usize;
    let mut config = config();
    config.max_outstanding_bytes = Some(OUTSTANDING_BYTES);
    let scene = &mut Scene::open_with(Flights::january().first(0), config).await;
    scene.variables.push((GIVE_BACK.0.to_owned(), GIVE_BACK.1.to_owned()));
    let mut pipeline = scene.start(&["--drain"]);
    let fits = longest_text(scene).await;
    let mut written = Flights::january().first(0);
    for round in 0..rounds {
        let flights = [flight(3 * round + 1, fits), flight(3 * round + 2, fits + 1)];
        scene.publish_messages(flights.iter().map(message).collect()).await;
        // As long as a message may be, and no JSON: it is kept as it came, as far as there is room.
        scene.publish_messages(vec![PubSubMessage::new(vec![b'?'; MESSAGE_BYTES_MAX])]).await;
        let [fits, _] = flights;
        written = written.and(fits);
    }
    scene.all_acknowledged(&mut pipeline).await;
    assert_resident(&pipeline, EMPTY + COPIES * TAKEN_BYTES);
    pipeline.stop("TERM", STOP).await;

    assert_rows(scene.rows().await, &written);
    let letters = letters(scene).await;
    let (refused, unread): (Vec<_>, Vec<_>) =
        letters.iter().partition(|letter| letter["reason"] == "refused_by_bigquery");
    assert_eq!((refused.len(), unread.len()), (1 + rounds, rounds));
    for letter in refused.iter().skip(1) {
        let detail = &letter["detail"];
        let is_clear = detail.contains("a row of at most 9500000 bytes, got 9500001 bytes");
        assert!(is_clear && detail.contains("the first 9000000 of"), "{detail}");
    }
    for letter in unread {
        assert!(letter["detail"].contains("the first 9000000 of 10000000 bytes"), "{letter:?}");
        assert_eq!(letter["bytes"], "9000000");
    }
}

/// Tiny messages of a usual run.
const MESSAGES: u64 = 20_000;
/// Tiny messages that the job may hold.
const OUTSTANDING: u64 = 5_000;
/// A tiny message with all that stands around it: its row, its cells and texts, its lease with the client, its part of a request.
const TINY_BYTES: u64 = 6_000;
/// What the job keeps of a message that it has acknowledged, for as long as it may come again; its table grows by doubling.
const REMEMBERED_BYTES: u64 = 150;
/// Messages of one second of event time; a window has sixty.
const PER_SECOND: u64 = 50;
const START: i64 = 1_700_000_040;

/// Keys, and how many of a hundred messages have the first one.
#[derive(Clone, Copy)]
struct Keys {
    count: u64,
    first_percent: u64,
}

/// A message of a number and a key, which stands at a time.
struct Tiny {
    key: u64,
    number: u64,
    at: Timestamp,
}

impl Keys {
    fn message(self, number: u64, random: &mut Rng) -> Tiny {
        let is_first = random.u64(0..100) < self.first_percent;
        let key = if is_first { 0 } else { random.u64(0..self.count) };
        let second = i64::try_from(number / PER_SECOND).unwrap();
        Tiny { key, number, at: Timestamp::from_secs(START + second) }
    }
}

impl Tiny {
    fn message(&self) -> PubSubMessage {
        let Self { key, number, at } = self;
        PubSubMessage::new(format!(r#"{{"k":{key},"n":{number},"at":"{at}"}}"#))
    }

    /// Its window and key.
    fn group(&self) -> (String, u64) {
        let second = START + i64::try_from(self.number / PER_SECOND / 60 * 60).unwrap();
        (Timestamp::from_secs(second).to_string(), self.key)
    }
}

/// Count and sum by window and key.
type Totals = BTreeMap<(String, u64), (u64, u64)>;

fn tiny_config() -> ScheduledIngestConfig {
    let field = |name, of| json!({ "name": name, "type": of, "mode": "REQUIRED" });
    let config = json!({
        "subscription": SUBSCRIPTION,
        "max_outstanding_messages": OUTSTANDING,
        "message": {
            "fields": [field("k", "INT64"), field("n", "INT64"), field("at", "TIMESTAMP")],
            "event_time": { "field": "at" },
            "id": ["n"],
        },
        "windows": { "out_of_order_seconds": 3_600, "allowed_lateness_seconds": 0 },
        "aggregates": { "keys": ["k"], "measures": [
            { "name": "messages", "aggregate": "count" },
            { "name": "total", "aggregate": "sum", "field": "n" },
        ] },
        "tables": { "rows": "demo.load.messages", "aggregates": "demo.load.per_minute" },
        "dead_letters": { "table": "demo.load.dead_letters" },
    });
    serde_json::from_value(config).unwrap()
}

/// Runs tiny messages through, and compares with what they come to.
async fn are_counted(keys: Keys) {
    let count = number("MILLSTREAM_MESSAGES").unwrap_or(MESSAGES);
    let mut random = Rng::with_seed(seed());
    let mut scene = Scene::open_with(Flights::january().first(0), tiny_config()).await;
    let mut pipeline = scene.start(&["--drain"]);
    let mut expected = Totals::new();
    let since = now();
    for begin in (0..count).step_by(1_000) {
        let numbers = begin..count.min(begin + 1_000);
        let messages: Vec<_> = numbers.map(|number| keys.message(number, &mut random)).collect();
        for message in &messages {
            let (n, total) = expected.entry(message.group()).or_default();
            (*n, *total) = (*n + 1, *total + message.number);
        }
        scene.publish_messages(messages.iter().map(Tiny::message).collect()).await;
    }
    let published = now().since(since).as_secs_f64();
    // However many there are: patience is for a part of them.
    while scene.subscription("unacked") > MESSAGES {
        let next = scene.subscription("unacked") - MESSAGES;
        until("more acknowledgements", || scene.subscription("unacked") <= next).await;
    }
    scene.all_acknowledged(&mut pipeline).await;
    let seconds = now().since(since).as_secs_f64();
    eprintln!("{count} messages published in {published:.1} s, through after {seconds:.1} s");
    assert_eq!(pipeline.late(), 0);
    assert_resident(&pipeline, EMPTY + OUTSTANDING * TINY_BYTES + count * REMEMBERED_BYTES);
    pipeline.stop("TERM", STOP).await;
    assert_totals(&scene, count, &expected).await;
}

async fn assert_totals(scene: &Scene, count: u64, expected: &Totals) {
    let [rows, panes] = [&scene.config.tables.rows, &scene.config.tables.aggregates];
    let (rows, panes) = (rows.sql(), panes.sql());
    let all = format!("SELECT COUNT(*) AS n, COUNT(DISTINCT n) AS distinct_n FROM {rows}");
    let all = &scene.query(&all).await[0];
    let figure = |row: &TextRow, name: &str| row[name].parse::<u64>().unwrap();
    assert_eq!((figure(all, "n"), figure(all, "distinct_n")), (count, count));
    let last = format!("SELECT window_start, k, messages, total FROM {panes} WHERE is_last");
    let mut found = Totals::new();
    for row in scene.query(&last).await {
        let group = (row["window_start"].clone(), figure(&row, "k"));
        let before = found.insert(group, (figure(&row, "messages"), figure(&row, "total")));
        assert_eq!(before, None, "{row:?} is there twice");
    }
    assert!(found == *expected, "{} groups instead of {}", found.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_great_many_tiny_messages_are_counted_within_bounded_memory() {
    are_counted(Keys { count: 100, first_percent: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nearly_all_messages_have_is_counted_within_bounded_memory() {
    are_counted(Keys { count: 100, first_percent: 99 }).await;
}
