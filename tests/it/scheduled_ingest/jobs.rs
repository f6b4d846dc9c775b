//! Jobs of the Cloud Scheduler API that drive the pipeline: a cron job and an interval, in virtual time; and the job of a run, run
//! by hand.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use millstream::engine::StopMode;
use millstream::engine::display::Display;
use millstream_io_gcp::pubsub::PubSubPublisher;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::{Clock as _, Timestamp};
use millstream_pipelines::replay::{Feeder, Pace, Replay, ReplayFile};
use millstream_pipelines::run::{RunOptions, run};
use millstream_pipelines::scheduled_ingest::ID_ATTRIBUTE;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::flights::{Flights, assert_panes, assert_rows};
use super::places::{Places, TOPIC, end, engine, until};

const TICKS: &str = "projects/demo/topics/ticks";
const TICKS_SUBSCRIPTION: &str = "projects/demo/subscriptions/ticks";
const JOBS: &str = "/v1/projects/demo/locations/europe-west1/jobs";

/// One request to the servers, which must succeed.
async fn call(endpoint: &str, method: &str, path: &str, body: Value) -> Value {
    let address = endpoint.replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    serde_json::from_str(body).unwrap()
}

/// Adds a job that publishes its name as a tick.
async fn add(local: &LocalGcp, name: &str, schedule: &str) {
    let job = json!({
        "name": format!("{}/{name}", &JOBS["/v1/".len()..]),
        "schedule": schedule,
        "timeZone": "Europe/Berlin",
        "pubsubTarget": { "topicName": TICKS, "attributes": { "job": name } },
    });
    call(&local.endpoint(), "POST", JOBS, job).await;
}

/// The ticks there are, by the jobs that published them.
fn ticks(local: &LocalGcp) -> Vec<String> {
    let held = local.pubsub().pull(TICKS_SUBSCRIPTION, 100).unwrap();
    let ids: Vec<_> = held.iter().map(|delivery| delivery.ack_id).collect();
    local.pubsub().acknowledge(TICKS_SUBSCRIPTION, &ids).unwrap();
    held.iter().map(|delivery| delivery.message.attributes["job"].clone()).collect()
}

/// A feeder of these flights, of which 20 are due in a minute.
async fn feeder(places: &Places, flights: &Flights) -> Feeder {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flights.csv");
    flights.write(&path, &[]);
    let prepared = places.config.prepare().unwrap();
    let file = ReplayFile::read(&path, &places.config.message, &prepared).unwrap();
    let replay = Replay::new(file, Pace::MessagesPerSecond(20.0 / 60.0), 0);
    let publisher = PubSubPublisher::connect(TOPIC, &places.config.pubsub).await.unwrap();
    Feeder::new(publisher, replay, ID_ATTRIBUTE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_and_an_interval_drive_the_pipeline_until_every_row_is_there() {
    let places = Places::start().await;
    let local = &places.local;
    local.pubsub().ensure_topic(TICKS).unwrap();
    local.pubsub().ensure_subscription(TICKS_SUBSCRIPTION, TICKS).unwrap();
    let flights = Flights::january().first(600);
    let feeder = feeder(&places, &flights).await;
    let job = places.start_job(&engine());
    // The clock stands at midnight.
    add(local, "cron", "*/3 * * * *").await;
    add(local, "interval", "every 2 minutes").await;

    let (mut expected, mut seen) = (0, Vec::new());
    for minute in 1..=33_u64 {
        places.pass(Duration::from_secs(60));
        expected += u64::from(minute % 3 == 0) + u64::from(minute % 2 == 0);
        let published = || local.pubsub().topic_statistics()[TICKS].published_messages;
        until("every tick", || published() == expected).await;
        until("the next plan", || {
            local.scheduler().list().iter().all(|job| job.next_run > Some(places.now()))
        })
        .await;
        for tick in ticks(local) {
            seen.push(tick);
            feeder.tick(places.now()).await.unwrap();
        }
        // Otherwise leases would run out in the next minute.
        places.all_acknowledged(&job).await;
    }
    let count = |name: &str| seen.iter().filter(|tick| *tick == name).count();
    assert_eq!((count("cron"), count("interval")), (11, 16));
    assert!(feeder.status().is_done(), "{:?}", feeder.status());
    job.stop(StopMode::Drain);
    end(job).await.unwrap();
    assert_rows(places.rows().await, &flights);
    assert_panes(places.panes().await, &flights);

    let cron = call(&local.endpoint(), "GET", &format!("{JOBS}/cron"), json!({})).await;
    assert_eq!((&cron["state"], &cron["status"]), (&json!("ENABLED"), &json!({})));
    assert_eq!(cron["lastAttemptTime"], "2024-05-01T00:33:00Z");
    assert_eq!(cron["scheduleTime"], "2024-05-01T00:36:00Z");
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: RunOptions,
}

/// What a run tells, for others to read meanwhile.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Told {
    fn endpoint(&self) -> Option<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("local servers at "));
        line.map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_run_is_seen_and_run_by_hand_over_the_api() {
    let flights = Flights::january().first(300);
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("flights.csv");
    flights.write(&input, &[]);
    // Not due before the next leap year: what is published is published by hand.
    let schedule =
        ["run", "--rate", "0", "--schedule", "0 0 29 2 *", "--time-zone", "Europe/Berlin"];
    let options = Cli::try_parse_from(schedule).unwrap().options;
    let told = Told::default();
    let mut out = told.clone();
    let running = run(&options, &input, Display::Off, &mut out);
    let (outcome, ()) = tokio::join!(running, run_by_hand(&told));
    let summary = outcome.unwrap().summary;
    assert_eq!((summary.published, summary.rows_written), (300, 300));
}

/// Finds the job of the run that tells of itself, pauses it, and runs it by hand.
async fn run_by_hand(told: &Told) {
    until("the servers' address", || told.endpoint().is_some()).await;
    let endpoint = told.endpoint().unwrap();
    let jobs = "/v1/projects/demo/locations/local/jobs";
    let listed = loop {
        let listed = call(&endpoint, "GET", jobs, json!({})).await;
        if listed["jobs"] != json!([]) {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    let job = &listed["jobs"][0];
    assert_eq!(job["name"], "projects/demo/locations/local/jobs/feed-flights");
    let schedule = (&job["schedule"], &job["timeZone"]);
    assert_eq!(schedule, (&json!("0 0 29 2 *"), &json!("Europe/Berlin")));
    assert_eq!(job["pubsubTarget"]["topicName"], TOPIC);
    let job = format!("{jobs}/feed-flights");
    let paused = call(&endpoint, "POST", &format!("{job}:pause"), json!({})).await;
    assert_eq!(paused["state"], "PAUSED");
    call(&endpoint, "POST", &format!("{job}:run"), json!({})).await;
}

impl Places {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass for the servers.
    fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}
