//! SIGTERM and SIGINT at any moment of a run, start-up included: the process stops in time, and leaves nothing half written.
//!
//! `MILLSTREAM_STOPS` is how often each test stops the process, `MILLSTREAM_SEED` repeats the moments.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use fastrand::Rng;

use super::flights::{Flights, TextRow, assert_panes, assert_rows};
use super::kill::{number, seed};
use super::moment::Moment;
use super::scene::{Pipeline, Scene, config};

/// Stops of a usual run, with checkpoints and without.
const STOPS: usize = 10;
/// Flights that are published in each life.
const PER_LIFE: usize = 120;
/// What the program may take, and what it is told to.
const WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: [&str; 2] = ["--stop-within", "20"];
const SIGTERM: i32 = 15;
const SIGINT: i32 = 2;

fn stops() -> usize {
    number("MILLSTREAM_STOPS").map_or(STOPS, |stops| stops as usize)
}

/// Stops a process by a signal. One that did not yet listen for signals has not begun anything either.
async fn stop(mut pipeline: Pipeline, signal: (&str, i32), moment: Moment) {
    pipeline.program.signal(signal.0);
    let status = pipeline.program.ended(WITHIN).await;
    if status.signal() == Some(signal.1) {
        assert!(!pipeline.has_begun(), "{moment:?}: {}", pipeline.program.errors());
        return;
    }
    assert_eq!(status.code(), Some(0), "{moment:?}: {}", pipeline.program.errors());
}

/// Starts and stops processes, each with more flights to read; `options` are theirs.
async fn live(scene: &mut Scene, stops: usize, options: &[&str], random: &mut Rng) {
    for life in 0..stops {
        let moment = match options {
            [] => Moment::without_checkpoints(random),
            _ => Moment::any(random),
        };
        let signal = if random.bool() { ("TERM", SIGTERM) } else { ("INT", SIGINT) };
        let mut pipeline = scene.start(&[options, &STOP_WITHIN].concat());
        moment.come(scene, &mut pipeline, PER_LIFE).await;
        stop(pipeline, signal, moment).await;
        // What was on its way to a reader that closed its stream comes back only after its lease.
        let [unacked, leased] = ["unacked", "outstanding"].map(|figure| scene.subscription(figure));
        eprintln!("stop {}: {moment:?}, {unacked} messages left, {leased} leased", life + 1);
        assert_nothing_is_half_written(scene);
    }
}

/// Checks that every row of every stream is visible: what was appended was committed.
#[track_caller]
fn assert_nothing_is_half_written(scene: &Scene) {
    for (name, stream) in scene.streams() {
        assert_eq!(stream["visible"], stream["appended"], "{name}: {stream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_checkpoints_is_suspended_and_goes_on_as_if_nothing_had_been() {
    let (seed, stops) = (seed(), stops());
    let mut random = Rng::with_seed(seed);
    let flights = Flights::january().first((stops + 1) * PER_LIFE).shuffled_within_hours(seed);
    let mut scene = Scene::open(flights).await;
    let checkpoints = scene.path("checkpoints").into_os_string().into_string().unwrap();
    let durable = ["--checkpoints", checkpoints.as_str()];
    live(&mut scene, stops, &durable, &mut random).await;

    let mut pipeline = scene.start(&[&durable[..], &["--drain"]].concat());
    scene.publish(PER_LIFE).await;
    scene.all_acknowledged(&mut pipeline).await;
    pipeline.stop("TERM", WITHIN).await;
    assert_nothing_is_half_written(&scene);
    assert_rows(scene.rows().await, &scene.flights);
    assert_panes(scene.panes().await, &scene.flights);
    assert_eq!(scene.dead_letters().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_checkpoints_drains_and_the_next_takes_what_is_left() {
    let (seed, stops) = (seed(), stops());
    let mut random = Rng::with_seed(seed);
    let flights = Flights::january().first((stops + 1) * PER_LIFE).shuffled_within_hours(seed);
    // The next process knows nothing of leases: what was on its way to the one before is late, which has to be allowed.
    let mut config = config();
    config.windows.allowed_lateness_seconds = 30 * 86_400;
    let mut scene = Scene::open_with(flights, config).await;
    live(&mut scene, stops, &[], &mut random).await;

    let mut pipeline = scene.start(&[]);
    scene.publish(PER_LIFE).await;
    scene.all_acknowledged(&mut pipeline).await;
    pipeline.stop("INT", WITHIN).await;
    assert_nothing_is_half_written(&scene);
    assert_rows(scene.rows().await, &scene.flights);
    assert_parts(scene.panes().await, &scene.flights);
    assert_eq!(scene.dead_letters().await, []);
}

/// A pane's number, departures and cancellations.
type Counts = (u64, u64, u64);

/// Checks that the last panes of all processes together count each flight once: a drain cuts windows in parts, and each part
/// numbers its panes anew.
#[track_caller]
fn assert_parts(panes: Vec<TextRow>, flights: &Flights) {
    let mut parts: BTreeMap<(String, String), Vec<Counts>> = BTreeMap::new();
    for pane in panes {
        let figure = |name: &str| pane[name].parse::<u64>().unwrap();
        let counts = (figure("pane"), figure("departures"), figure("cancellations"));
        let key = (pane["window_start"].clone(), pane["carrier"].clone());
        let parts = parts.entry(key).or_default();
        match parts.last_mut() {
            Some(last) if counts.0 > last.0 => *last = counts,
            _ => parts.push(counts),
        }
    }
    for (key, hour) in flights.hours() {
        let all = parts.remove(&key).unwrap_or_default();
        let departures: u64 = all.iter().map(|(_, departures, _)| departures).sum();
        let cancellations: u64 = all.iter().map(|(_, _, cancellations)| cancellations).sum();
        let expected = (hour.departures, hour.cancellations);
        assert_eq!((departures, cancellations), expected, "{key:?}: {all:?}");
    }
    assert_eq!(parts, BTreeMap::new());
}
