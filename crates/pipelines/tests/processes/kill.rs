//! `kill -9` at any moment of a run, start-up and recovery included: what comes out is as if nothing had been.
//!
//! A failing test prints its seed; `MILLSTREAM_SEED` repeats the moments, as far as two runs of several processes can be the
//! same. `MILLSTREAM_KILLS` is how often the process is killed.

use std::time::Duration;

use fastrand::Rng;

use super::flights::{Flights, assert_panes, assert_rows};
use super::moment::{Moment, Reached};
use super::scene::Scene;

/// Kills of a usual run.
const KILLS: usize = 20;
/// One in so many lives lasts until results are final: the wait for leases of the dead takes that much longer.
const LONG_LIFE_IN: usize = 20;
/// Flights that are published in each life.
const PER_LIFE: usize = 120;

pub(super) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, no number")))
}

pub(super) fn seed() -> u64 {
    let seed = number("MILLSTREAM_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    seed
}

/// A moment for each life: any, and in some lives that of final results.
fn moments(kills: usize, random: &mut Rng) -> Vec<Moment> {
    let mut moments: Vec<Moment> = (0..kills).map(|_| Moment::any(random)).collect();
    for lives in moments.chunks_mut(LONG_LIFE_IN) {
        let long = random.usize(0..lives.len());
        lives[long].reached = Reached::Watermark;
    }
    moments
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let seed = seed();
    let kills = number("MILLSTREAM_KILLS").map_or(KILLS, |kills| kills as usize);
    let mut random = Rng::with_seed(seed);
    let flights = Flights::january().first((kills + 1) * PER_LIFE).shuffled_within_hours(seed);
    let mut scene = Scene::open(flights).await;
    let checkpoints = scene.path("checkpoints").into_os_string().into_string().unwrap();
    let durable = ["--checkpoints", checkpoints.as_str()];
    for (life, moment) in moments(kills, &mut random).into_iter().enumerate() {
        let mut pipeline = scene.start(&durable);
        moment.come(&mut scene, &mut pipeline, PER_LIFE).await;
        let unacked = scene.subscription("unacked");
        pipeline.program.kill();
        eprintln!("kill {}: {moment:?}, {unacked} messages not acknowledged", life + 1);
    }

    let mut pipeline = scene.start(&[&durable[..], &["--drain"]].concat());
    scene.publish(PER_LIFE).await;
    scene.all_acknowledged(&mut pipeline).await;
    assert_eq!(pipeline.late(), 0);
    pipeline.stop("TERM", Duration::from_secs(60)).await;
    assert_eq!(scene.subscription("unacked"), 0);
    assert_rows(scene.rows().await, &scene.flights);
    assert_panes(scene.panes().await, &scene.flights);
    assert_eq!(scene.dead_letters().await, []);
    assert!(scene.local.next_line().is_none());
}
