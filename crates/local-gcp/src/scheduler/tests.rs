//! Schedules as arithmetic, and jobs by a manual clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Error, LocalScheduler, Schedule, Target, Tick};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::pubsub::{Limits, NewMessage, PubSub};

fn at(text: &str) -> Timestamp {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(timestamp.as_microsecond())
}

/// The next `count` instants after `start`, as text.
fn next(schedule: &Schedule, start: &str, count: usize) -> Vec<String> {
    let first = schedule.next_after(at(start));
    std::iter::successors(first, |&it| schedule.next_after(it))
        .take(count)
        .map(|it| it.to_string())
        .collect()
}

#[test]
fn intervals_beat_from_the_epoch() {
    let schedule = Schedule::every(Duration::from_millis(250)).unwrap();
    assert_eq!(
        next(&schedule, "2024-01-01T00:00:00.1Z", 3),
        ["2024-01-01T00:00:00.25Z", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.75Z"]
    );
    assert_eq!(next(&schedule, "2024-01-01T00:00:00.25Z", 1), ["2024-01-01T00:00:00.5Z"]);
    assert_eq!(schedule.to_string(), "every 250ms");
    for wrong in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
        assert!(matches!(Schedule::every(wrong), Err(Error::Interval { .. })), "{wrong:?}");
    }
}

#[test]
fn cron_follows_its_fields() {
    let schedule = Schedule::cron("*/15 9-10 * * MON-FRI", "UTC").unwrap();
    assert_eq!(
        next(&schedule, "2024-03-01T10:20:00Z", 3), // a Friday
        ["2024-03-01T10:30:00Z", "2024-03-01T10:45:00Z", "2024-03-04T09:00:00Z"]
    );
    let seconds = Schedule::cron("*/20 * * * * *", "UTC").unwrap();
    assert_eq!(
        next(&seconds, "2024-03-01T10:20:20.5Z", 2),
        ["2024-03-01T10:20:40Z", "2024-03-01T10:21:00Z"]
    );
    for wrong in ["", "* * *", "60 * * * *", "a b c d e", "* * * * * * *"] {
        assert!(matches!(Schedule::cron(wrong, "UTC"), Err(Error::Cron { .. })), "{wrong}");
    }
    assert!(matches!(Schedule::cron("* * * * *", "Mars/Base"), Err(Error::TimeZone { .. })));
}

#[test]
fn cron_keeps_local_time_over_clock_changes() {
    let schedule = Schedule::cron("30 2 * * *", "Europe/Berlin").unwrap();
    // 2024-03-31 has no 02:30 in Berlin: due at the end of the gap, 03:00 summer time.
    assert_eq!(
        next(&schedule, "2024-03-30T00:00:00Z", 3),
        ["2024-03-30T01:30:00Z", "2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"]
    );
    // 2024-10-27 has it twice: due once.
    assert_eq!(
        next(&schedule, "2024-10-26T12:00:00Z", 2),
        ["2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"]
    );
}

#[test]
fn a_cron_that_is_never_due_has_no_next_instant() {
    let schedule = Schedule::cron("0 0 31 2 *", "UTC").unwrap();
    assert_eq!(schedule.next_after(at("2024-01-01T00:00:00Z")), None);
}

#[test]
fn missed_ticks_are_counted() {
    let (start, end) = (at("2024-01-01T00:00:00Z"), at("2024-01-01T00:10:00Z"));
    assert_eq!(Schedule::every(Duration::from_secs(60)).unwrap().count_between(start, end), 10);
    assert_eq!(Schedule::cron("*/5 * * * *", "UTC").unwrap().count_between(start, end), 2);
    assert_eq!(Schedule::every(Duration::from_secs(60)).unwrap().count_between(end, start), 0);
}

/// A scheduler at midnight with one job that reports its ticks.
struct World {
    clock: ManualClock,
    scheduler: LocalScheduler,
    ticks: mpsc::Receiver<Tick>,
}

impl World {
    fn new(interval: Duration) -> Self {
        let clock = ManualClock::new(at("2024-01-01T00:00:00Z"));
        let scheduler = LocalScheduler::new(Arc::new(clock.clone()));
        let (sender, ticks) = mpsc::channel(1);
        let target = Target::call(move |tick| {
            let sender = sender.clone();
            async move { Ok(sender.send(tick).await?) }
        });
        scheduler.add("job", Schedule::every(interval).unwrap(), target).unwrap();
        Self { clock, scheduler, ticks }
    }

    async fn tick(&mut self) -> Tick {
        self.ticks.recv().await.unwrap()
    }
}

#[tokio::test]
async fn a_job_runs_at_its_instants() {
    let mut world = World::new(Duration::from_secs(10));
    for number in 0..3 {
        world.clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(world.ticks.try_recv().is_err(), "not due yet");
        world.clock.advance(Duration::from_secs(1));
        let tick = world.tick().await;
        assert_eq!((tick.number, tick.missed, tick.scheduled), (number, 0, world.clock.now()));
    }
    world.scheduler.shutdown().await;
    assert_eq!(world.scheduler.status("job").unwrap().runs, 3);
}

#[tokio::test]
async fn ticks_during_a_long_run_become_one_late_run() {
    let mut world = World::new(Duration::from_secs(10));
    let start = world.clock.now();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.tick().await.scheduled, start + Duration::from_secs(10));
    world.clock.advance(Duration::from_secs(45));
    let late = world.tick().await;
    assert_eq!((late.scheduled, late.missed), (start + Duration::from_secs(20), 3));
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.tick().await.scheduled, start + Duration::from_secs(60));
    world.scheduler.shutdown().await;
    assert_eq!(world.scheduler.status("job").unwrap().missed, 3);
}

#[tokio::test]
async fn a_paused_job_runs_by_hand_only_and_makes_up_for_nothing() {
    let mut world = World::new(Duration::from_secs(10));
    let start = world.clock.now();
    world.scheduler.pause("job").unwrap();
    world.clock.advance(Duration::from_secs(35));
    let (run, tick) = tokio::join!(world.scheduler.run_now("job"), world.ticks.recv());
    run.unwrap();
    let tick = tick.unwrap();
    assert_eq!((tick.scheduled, tick.missed), (start + Duration::from_secs(35), 0));
    let status = world.scheduler.status("job").unwrap();
    assert_eq!((status.is_paused, status.next_run, status.runs), (true, None, 1));
    world.scheduler.resume("job").unwrap();
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.tick().await.scheduled, start + Duration::from_secs(40));
    world.scheduler.shutdown().await;
}

#[tokio::test]
async fn failures_are_told_and_do_not_stop_the_job() {
    let clock = ManualClock::new(at("2024-01-01T00:00:00Z"));
    let pubsub = PubSub::in_memory(Limits::default(), Arc::new(clock.clone()));
    let scheduler = LocalScheduler::new(Arc::new(clock.clone()));
    let topic = "projects/p/topics/ticks";
    let target = Target::publish(pubsub.clone(), topic, NewMessage::new("tick"));
    scheduler
        .add("ticks", Schedule::every(Duration::from_secs(1)).unwrap(), target.clone())
        .unwrap();
    let again = scheduler.add("ticks", Schedule::every(Duration::from_secs(1)).unwrap(), target);
    assert!(matches!(again, Err(Error::JobExists { .. })));
    let error = scheduler.run_now("ticks").await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "Resource not found (resource=ticks).");

    pubsub.ensure_topic(topic).unwrap();
    pubsub.ensure_subscription("projects/p/subscriptions/ticks", topic).unwrap();
    scheduler.run_now("ticks").await.unwrap();
    let held = pubsub.pull("projects/p/subscriptions/ticks", 10).unwrap();
    assert_eq!(held[0].message.data.as_ref(), b"tick");
    let status = &scheduler.list()[0];
    assert_eq!((status.runs, status.failures, status.last_error.as_deref()), (2, 1, None));
    assert_eq!(status.schedule, "every 1s");
    scheduler.remove("ticks").unwrap();
    assert!(matches!(scheduler.run_now("ticks").await, Err(Error::NoSuchJob { .. })));
    assert!(matches!(scheduler.pause("ticks"), Err(Error::NoSuchJob { .. })));
}
