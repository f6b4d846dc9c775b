//! Jobs that are stopped in the middle and started again: every row is there once, and every window comes to what it would
//! have come to.

use std::path::Path;
use std::time::Duration;

use millstream::engine::{JobHandle, StopMode};
use millstream_pipelines::scheduled_ingest::step;

use super::flights::{Flights, assert_panes, assert_rows};
use super::places::{Places, end, engine, until};

/// How a life of the job ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With a last checkpoint.
    Suspended,
    /// At once, with what the checkpoints before have.
    GivenUp,
}

/// Flights that are published in each life of the job.
const PER_LIFE: usize = 400;

/// A job of these places whose checkpoints are in `directory`.
fn start(places: &Places, directory: &Path) -> JobHandle {
    places.start_job(&engine().checkpoints_in(directory))
}

fn messages_read(job: &JobHandle) -> u64 {
    job.status().step(step::READ).map_or(0, |read| read.records_out)
}

/// Ends a job of which the checkpoints hold half of `flights`, and which has just begun with the other half.
async fn end_in_the_middle(job: JobHandle, places: &Places, flights: &Flights, how: End) {
    places.publish_flights(&flights.part(0..PER_LIFE / 2)).await;
    places.all_acknowledged(&job).await;
    let before = messages_read(&job);
    places.publish_flights(&flights.part(PER_LIFE / 2..PER_LIFE)).await;
    until("the middle", || messages_read(&job) > before).await;
    match how {
        End::Suspended => {
            job.stop(StopMode::Suspend);
            end(job).await.unwrap();
        }
        End::GivenUp => {
            job.control().stop(StopMode::Suspend, Some(Duration::ZERO));
            // It may have come to an end before it could give up.
            drop(end(job).await);
        }
    }
}

/// Publishes flights in parts, a part for each life of the job and one for the last, which is drained.
async fn live(ends: &[End]) {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let places = Places::start().await;
    let checkpoints = tempfile::tempdir().unwrap();
    let count = (ends.len() + 1) * PER_LIFE;
    // Lives begin and end within an hour, so that windows outlive them.
    let flights = Flights::january().first(count).shuffled_within_hours(seed);
    let part = |life: usize| flights.part(life * PER_LIFE..(life + 1) * PER_LIFE);

    for (life, how) in ends.iter().enumerate() {
        let job = start(&places, checkpoints.path());
        end_in_the_middle(job, &places, &part(life), *how).await;
        // Nobody is there, and what is sent again counts only once all the same.
        places.publish_flights(&part(life).part(0..50)).await;
        assert!(places.unacknowledged() >= 50);
        places.outlast_leases().await;
    }
    let job = start(&places, checkpoints.path());
    places.publish_flights(&part(ends.len())).await;
    places.all_acknowledged(&job).await;
    job.stop(StopMode::Drain);
    end(job).await.unwrap();
    assert_rows(places.rows().await, &flights);
    assert_panes(places.panes().await, &flights);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_goes_on_where_it_stopped() {
    live(&[End::Suspended, End::Suspended, End::Suspended]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_given_up_without_a_last_checkpoint_loses_and_repeats_nothing() {
    live(&[End::GivenUp, End::GivenUp, End::GivenUp, End::GivenUp]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_and_given_up_jobs_take_turns() {
    live(&[End::GivenUp, End::Suspended, End::GivenUp]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_has_acknowledged_what_its_last_checkpoint_holds() {
    let places = Places::start().await;
    // The only checkpoint is the last one.
    let engine = engine().checkpoint_every(Duration::from_secs(3_600));
    let flights = Flights::january().first(PER_LIFE);
    places.publish_flights(&flights).await;
    let job = places.start_job(&engine);
    let all_read =
        || job.status().step(step::READ).is_some_and(|read| read.records_out == PER_LIFE as u64);
    until("all messages", all_read).await;
    job.stop(StopMode::Suspend);
    end(job).await.unwrap();
    assert_eq!(places.unacknowledged(), 0);
    assert_rows(places.rows().await, &flights);
}
