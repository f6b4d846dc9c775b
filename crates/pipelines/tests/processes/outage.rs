//! BigQuery refusing, throttling, gone and standing still for a while: the job waits, within its memory, and goes on.
//!
//! `MILLSTREAM_OUTAGE_SECONDS` is how long (a minute: `MILLSTREAM_OUTAGE_SECONDS=60 cargo test --test processes outage -- --nocapture`).

use std::time::Duration;

use serde_json::json;

use super::flights::{Flights, assert_panes, assert_rows};
use super::kill::{number, seed};
use super::program::{PATIENCE, now, until};
use super::scene::{Pipeline, Scene, config};

/// Length of a usual outage.
const SECONDS: u64 = 4;
/// Flights are published in portions of this size, one every so often: a few times what an outage lets through.
const PORTION: usize = 20;
const EVERY: Duration = Duration::from_millis(100);
/// Messages that the job may hold, for all its readers together: what is published in two seconds.
const OUTSTANDING: u64 = 400;
/// Messages after which the process has the memory that it needs for this load.
const WARM: u64 = 600;
/// How many portions its memory is then watched for before the outage.
const STEADY: usize = 15;
/// The memory that an outage may cost, as a multiple of that before.
const MEMORY: f64 = 1.2;

/// In what way BigQuery is away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outage {
    /// Every request is answered UNAVAILABLE.
    Refusing,
    /// Appends are answered RESOURCE_EXHAUSTED, REST requests 429.
    Throttling,
    /// Its process is killed, and comes back with what it had.
    Gone,
    /// Its process stands still, with all connections open.
    Still,
}

impl Outage {
    fn begin(self, scene: &mut Scene) {
        let seconds = PATIENCE.as_secs() * 10;
        let all = |code: &str| json!({ "code": code, "seconds": seconds });
        let faults = |faults| scene.faults("PUT", &json!({ "bigquery": faults }));
        match self {
            Self::Refusing => {
                faults(json!({ "writes": all("UNAVAILABLE"), "rest": all("UNAVAILABLE") }));
            }
            Self::Throttling => {
                let code = "RESOURCE_EXHAUSTED";
                faults(json!({ "appends": all(code), "rest": all(code) }));
            }
            Self::Gone => scene.bigquery_mut().kill(),
            Self::Still => scene.bigquery().signal("STOP"),
        }
    }

    /// Ends it; returns how many requests BigQuery refused, where it could.
    fn end(self, scene: &mut Scene) -> Option<u64> {
        match self {
            Self::Refusing | Self::Throttling => {
                let met = scene.faults("GET", &json!({}));
                scene.faults("DELETE", &json!({}));
                let refused = ["appends", "writes"].map(|calls| met[calls]["refused"].as_u64());
                return Some(refused.into_iter().flatten().sum());
            }
            Self::Gone => scene.bigquery_mut().start_again(),
            Self::Still => scene.bigquery().signal("CONT"),
        }
        None
    }
}

/// What is seen of a job while flights are published.
#[derive(Debug, Default)]
struct Seen {
    /// Most bytes in memory.
    resident: u64,
    /// Most messages that the job held.
    outstanding: u64,
}

impl Seen {
    /// Publishes flights, a portion every so often, and watches the job, for as long as `goes_on`.
    async fn publishing(
        scene: &mut Scene,
        pipeline: &mut Pipeline,
        mut goes_on: impl FnMut(&Scene) -> bool,
    ) -> Self {
        let mut seen = Self::default();
        let mut ticks = tokio::time::interval(EVERY);
        let since = now();
        while goes_on(scene) {
            ticks.tick().await;
            scene.publish(PORTION).await;
            assert!(!pipeline.program.has_ended(), "it is over: {}", pipeline.program.errors());
            assert!(now().since(since) < PATIENCE * 2, "{}", pipeline.program.errors());
            let resident = pipeline.program.resident("VmRSS").unwrap_or(0);
            seen.resident = seen.resident.max(resident);
            seen.outstanding = seen.outstanding.max(scene.subscription("outstanding"));
        }
        seen
    }
}

/// A number of times.
fn times(count: usize) -> impl FnMut(&Scene) -> bool {
    let mut left = count + 1;
    move |_| {
        left -= 1;
        left > 0
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A job under a steady load bears an outage.
async fn is_borne(outage: Outage) {
    let seed = seed();
    let seconds = number("MILLSTREAM_OUTAGE_SECONDS").unwrap_or(SECONDS);
    let flights = Flights::january().clone().shuffled_within_hours(seed);
    let mut config = config();
    config.max_outstanding_messages = Some(OUTSTANDING);
    let mut scene = Scene::open_apart(flights, config).await;
    let checkpoints = scene.path("checkpoints").into_os_string().into_string().unwrap();
    let mut pipeline = scene.start(&["--checkpoints", &checkpoints, "--drain"]);

    let is_warming = |scene: &Scene| scene.subscription("acknowledged") < WARM;
    Seen::publishing(&mut scene, &mut pipeline, is_warming).await;
    let before = Seen::publishing(&mut scene, &mut pipeline, times(STEADY)).await;
    assert_eq!(pipeline.sum("retries"), 0);

    outage.begin(&mut scene);
    let portions = seconds * 1_000 / EVERY.as_millis() as u64;
    let during = Seen::publishing(&mut scene, &mut pipeline, times(portions as usize)).await;
    let undelivered = scene.subscription("undelivered");
    let retries = pipeline.sum("retries");
    let acknowledged = scene.subscription("acknowledged");
    let refused = outage.end(&mut scene);

    let ended = now();
    let is_away = |scene: &Scene| scene.subscription("acknowledged") == acknowledged;
    let mut after = Seen::publishing(&mut scene, &mut pipeline, is_away).await;
    let back = now().since(ended);
    let is_behind = |scene: &Scene| scene.subscription("undelivered") > OUTSTANDING;
    let later = Seen::publishing(&mut scene, &mut pipeline, is_behind).await;
    after.resident = after.resident.max(later.resident);
    eprintln!(
        "{outage:?} for {seconds} s: memory {} before, {} during, {} after; {undelivered} messages left at the subscription, \
         at most {} with the job; {retries} retries, {refused:?} requests refused; the next acknowledgement {:.1} s after the \
         end, the backlog done after {:.1} s",
        megabytes(before.resident),
        megabytes(during.resident),
        megabytes(after.resident),
        during.outstanding,
        back.as_secs_f64(),
        now().since(ended).as_secs_f64(),
    );
    assert!(undelivered > 0, "the job took everything");
    assert!(during.outstanding <= OUTSTANDING, "{during:?}");
    assert_waits(outage, seconds, retries, refused);
    if before.resident == 0 {
        eprintln!("SKIPPED: this system does not tell how much memory a process has");
    }
    let most = before.resident as f64 * MEMORY;
    assert!(
        during.resident as f64 <= most && after.resident as f64 <= most,
        "{during:?} {after:?}"
    );
    assert_nothing_happened(scene, pipeline).await;
}

/// Checks that requests were made again, and that there were pauses in between.
#[track_caller]
fn assert_waits(outage: Outage, seconds: u64, retries: u64, refused: Option<u64>) {
    // Two writers of each of two tables append and commit. Without pauses there would be thousands of attempts.
    let most = 8 * (10 + seconds);
    assert!(retries <= most && refused.is_none_or(|refused| refused <= most), "{retries}");
    // A request to what stands still is not made again before it had its time.
    assert!(outage == Outage::Still || retries > 0);
    assert!(refused.is_none_or(|refused| refused > 0));
}

/// Checks that the job ran through, and that the tables hold every flight once.
async fn assert_nothing_happened(mut scene: Scene, mut pipeline: Pipeline) {
    scene.publish_no_more();
    scene.all_acknowledged(&mut pipeline).await;
    assert_eq!(pipeline.late(), 0);
    assert_eq!(pipeline.status().unwrap()["restarts"], 0);
    pipeline.stop("TERM", Duration::from_secs(60)).await;
    assert_eq!(scene.subscription("unacked"), 0);
    assert_rows(scene.rows().await, &scene.flights);
    assert_panes(scene.panes().await, &scene.flights);
    assert_eq!(scene.dead_letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_that_refuses_everything_is_waited_for() {
    is_borne(Outage::Refusing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_that_throttles_is_waited_for() {
    is_borne(Outage::Throttling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_that_is_gone_is_waited_for() {
    is_borne(Outage::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bigquery_that_stands_still_is_waited_for() {
    is_borne(Outage::Still).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_while_bigquery_is_away_waits_for_it() {
    for outage in [Outage::Refusing, Outage::Throttling, Outage::Gone] {
        let flights = Flights::january().first(200).shuffled_within_hours(seed());
        let mut scene = Scene::open_apart(flights, config()).await;
        outage.begin(&mut scene);
        let mut pipeline = scene.start(&["--drain"]);
        scene.publish(200).await;
        // More often than the engine restarts a job that fails.
        until("tries to reach it", || {
            assert!(!pipeline.program.has_ended(), "it is over: {}", pipeline.program.errors());
            pipeline.status().is_some() && pipeline.sum("retries") >= 6 * 3
        })
        .await;
        outage.end(&mut scene);
        assert_nothing_happened(scene, pipeline).await;
    }
}

/// What the job remembers of messages in running time.
const HORIZON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_down_for_longer_than_it_remembers_doubles_nothing_unacknowledged() {
    const PART: usize = 300;
    let flights = Flights::january().first(3 * PART).shuffled_within_hours(seed());
    let mut config = config();
    config.deduplication_horizon_seconds = Some(HORIZON.as_secs());
    let rows = config.tables.rows.clone();
    let mut scene = Scene::open_apart(flights, config).await;
    let checkpoints = scene.path("checkpoints").into_os_string().into_string().unwrap();
    let durable = ["--checkpoints", checkpoints.as_str(), "--drain"];
    let mut pipeline = scene.start(&durable);
    scene.publish(PART).await;
    scene.all_acknowledged(&mut pipeline).await;

    // The next messages become part of a checkpoint, but what acknowledges them comes to a standing server, and dies with it.
    let delivered = scene.subscription("delivered") + PART as u64;
    Outage::Refusing.begin(&mut scene);
    scene.publish(PART).await;
    until("all deliveries", || scene.subscription("delivered") >= delivered).await;
    scene.local.signal("STOP");
    Outage::Refusing.end(&mut scene);
    until("their rows", || scene.visible(&rows) >= 2 * PART as u64).await;
    pipeline.program.kill();
    scene.local.kill();
    scene.local.start_again();
    let unacked = scene.subscription("unacked");
    assert_eq!(unacked, PART as u64);
    scene.publish(PART).await;
    tokio::time::sleep(HORIZON * 2).await;

    let mut pipeline = scene.start(&durable);
    scene.all_acknowledged(&mut pipeline).await;
    let duplicates = pipeline.sum("duplicates");
    assert!(duplicates >= unacked, "{duplicates}");
    assert_nothing_happened(scene, pipeline).await;
}
