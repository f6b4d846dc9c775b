//! The API in virtual time: what it refuses, and jobs that fire, fail, are retried, paused, changed and restarted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::api::CloudScheduler;
use super::{Error, LocalScheduler, Schedule, Target};
use crate::clock::{ManualClock, Timestamp};
use crate::journal::DataDirectory;
use crate::proto::scheduler as proto;
use crate::proto::scheduler::job::{State, Target as Kind};
use crate::pubsub::{Limits, PubSub};
use crate::status::Code;

const PARENT: &str = "projects/p/locations/l";
const TOPIC: &str = "projects/p/topics/ticks";
const SUBSCRIPTION: &str = "projects/p/subscriptions/ticks";

/// A scheduler at ten seconds past midnight beside a Pub/Sub.
struct World {
    clock: ManualClock,
    pubsub: PubSub,
    scheduler: LocalScheduler,
    api: CloudScheduler,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new(at("2024-01-01T00:00:10Z"));
        let scheduler = LocalScheduler::new(Arc::new(clock.clone()));
        Self::with(clock, |_, _| scheduler)
    }

    fn with(
        clock: ManualClock,
        scheduler: impl FnOnce(&ManualClock, &PubSub) -> LocalScheduler,
    ) -> Self {
        let pubsub = PubSub::in_memory(Limits::default(), Arc::new(clock.clone()));
        pubsub.ensure_topic(TOPIC).unwrap();
        pubsub.ensure_subscription(SUBSCRIPTION, TOPIC).unwrap();
        let scheduler = scheduler(&clock, &pubsub);
        let api = CloudScheduler::new(scheduler.clone(), pubsub.clone());
        Self { clock, pubsub, scheduler, api }
    }

    fn in_directory(directory: &DataDirectory, clock: ManualClock) -> Self {
        Self::with(clock, |clock, pubsub| {
            LocalScheduler::open(directory, pubsub, Arc::new(clock.clone())).unwrap()
        })
    }

    /// Lets time pass, and the tasks do what is due.
    async fn pass(&self, seconds: u64) {
        settle().await;
        self.clock.advance(Duration::from_secs(seconds));
        settle().await;
    }

    /// Takes the messages there are.
    fn taken(&self) -> Vec<Bytes> {
        let held = self.pubsub.pull(SUBSCRIPTION, 1_000).unwrap();
        let ids: Vec<_> = held.iter().map(|delivery| delivery.ack_id).collect();
        self.pubsub.acknowledge(SUBSCRIPTION, &ids).unwrap();
        held.iter().map(|delivery| delivery.message.data.clone()).collect()
    }

    fn create(&self, job: proto::Job) -> proto::Job {
        self.api.create(PARENT, job).unwrap()
    }

    fn refused(&self, job: proto::Job) -> Code {
        self.api.create(PARENT, job).unwrap_err().code()
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// Everything here runs on one thread and waits for the clock only.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn name(id: &str) -> String {
    format!("{PARENT}/jobs/{id}")
}

fn job(id: &str, schedule: &str) -> proto::Job {
    let target = proto::PubsubTarget {
        topic_name: TOPIC.to_owned(),
        data: Bytes::from(id.to_owned()),
        ..Default::default()
    };
    proto::Job {
        name: name(id),
        schedule: schedule.to_owned(),
        target: Some(Kind::PubsubTarget(target)),
        ..Default::default()
    }
}

fn http(id: &str, uri: &str) -> proto::Job {
    let target = proto::HttpTarget { uri: uri.to_owned(), ..Default::default() };
    proto::Job { target: Some(Kind::HttpTarget(target)), ..job(id, "* * * * *") }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn shown(at: Option<prost_types::Timestamp>) -> String {
    at.unwrap().to_string()
}

fn mask(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

#[tokio::test]
async fn a_job_publishes_at_its_instants_and_tells_about_it() {
    let world = World::new();
    let created = world.create(job("a", "*/5 * * * *"));
    assert_eq!((created.state(), created.time_zone.as_str()), (State::Enabled, "Etc/UTC"));
    assert_eq!(shown(created.schedule_time), "2024-01-01T00:05:00Z");
    assert_eq!(shown(created.user_update_time), "2024-01-01T00:00:10Z");
    assert_eq!((created.last_attempt_time, created.status), (None, None));
    assert_eq!(created.retry_config.unwrap().min_backoff_duration, seconds(5));
    world.pass(289).await;
    assert!(world.taken().is_empty());
    world.pass(1).await;
    assert_eq!(world.taken(), ["a"]);
    let fired = world.api.get(&name("a")).unwrap();
    assert_eq!(shown(fired.last_attempt_time), "2024-01-01T00:05:00Z");
    assert_eq!(shown(fired.schedule_time), "2024-01-01T00:10:00Z");
    assert_eq!(fired.status.unwrap().code, 0);
}

#[tokio::test]
async fn an_interval_counts_from_the_end_of_the_run() {
    let world = World::new();
    world.create(job("a", "every 2 minutes"));
    world.pass(120).await;
    assert_eq!(world.taken().len(), 1);
    // Late by 30 seconds.
    world.pass(150).await;
    assert_eq!(world.taken().len(), 1);
    let next = world.api.get(&name("a")).unwrap().schedule_time;
    assert_eq!(shown(next), "2024-01-01T00:06:40Z");
}

#[tokio::test]
async fn jobs_that_cannot_be_are_refused() {
    let world = World::new();
    world.create(job("a", "* * * * *"));
    assert_eq!(world.refused(job("a", "* * * * *")), Code::AlreadyExists);
    let with = |change: fn(&mut proto::Job)| {
        let mut wrong = job("b", "* * * * *");
        change(&mut wrong);
        world.refused(wrong)
    };
    let cases: [fn(&mut proto::Job); 13] = [
        |job| job.name = "b".to_owned(),
        |job| job.name = "projects/p/locations/other/jobs/b".to_owned(),
        |job| job.schedule = String::new(),
        |job| job.schedule = "* * * *".to_owned(),
        |job| job.schedule = "0 * * * * *".to_owned(),
        |job| job.time_zone = "Mars/Base".to_owned(),
        |job| job.description = "x".repeat(501),
        |job| job.target = None,
        |job| job.target = Some(Kind::PubsubTarget(proto::PubsubTarget::default())),
        |job| match &mut job.target {
            Some(Kind::PubsubTarget(target)) => {
                target.topic_name = "projects/q/topics/ticks".into()
            }
            _ => unreachable!(),
        },
        |job| match &mut job.target {
            Some(Kind::PubsubTarget(target)) => target.data = Bytes::new(),
            _ => unreachable!(),
        },
        |job| job.retry_config = Some(proto::RetryConfig { retry_count: 6, ..Default::default() }),
        |job| match &mut job.target {
            Some(Kind::PubsubTarget(target)) => target.data = vec![b'x'; 1 << 20].into(),
            _ => unreachable!(),
        },
    ];
    for (number, case) in cases.into_iter().enumerate() {
        assert_eq!(with(case), Code::InvalidArgument, "case {number}");
    }
    let deadline =
        |seconds_| proto::Job { attempt_deadline: seconds(seconds_), ..http("b", "http://a/") };
    assert_eq!(world.refused(deadline(14)), Code::InvalidArgument);
    assert_eq!(world.refused(deadline(1_801)), Code::InvalidArgument);
    assert_eq!(world.refused(http("b", "https://a/")), Code::Unimplemented);
    let app_engine = Some(Kind::AppEngineHttpTarget(proto::AppEngineHttpTarget::default()));
    assert_eq!(
        world.refused(proto::Job { target: app_engine, ..job("b", "* * * * *") }),
        Code::Unimplemented
    );
    assert_eq!(world.api.get(&name("b")).unwrap_err().code(), Code::NotFound);
    assert_eq!(world.api.delete(&name("b")).unwrap_err().code(), Code::NotFound);
    assert_eq!(world.api.pause(&name("b")).unwrap_err().code(), Code::NotFound);
    assert_eq!(world.api.run(&name("b")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(
        world.api.update(job("b", ""), &mask(&["schedule"])).unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn jobs_are_listed_in_pages_and_bounded_in_number() {
    let world = World::new();
    for number in 0..1_000 {
        world.create(job(&format!("j{number:04}"), "0 0 1 1 *"));
    }
    assert_eq!(world.refused(job("one-more", "* * * * *")), Code::ResourceExhausted);
    let elsewhere =
        proto::Job { name: "projects/p/locations/l2/jobs/x".to_owned(), ..job("x", "* * * * *") };
    world.api.create("projects/p/locations/l2", elsewhere).unwrap();
    let page = |page_size, page_token: &str| {
        let page_token = page_token.to_owned();
        world.api.list(&proto::ListJobsRequest { parent: PARENT.to_owned(), page_size, page_token })
    };
    let (mut names, mut token) = (Vec::new(), String::new());
    for size in [400, 400, 200] {
        let answer = page(400, &token).unwrap();
        assert_eq!(answer.jobs.len(), size);
        names.extend(answer.jobs.into_iter().map(|job| job.name));
        token = answer.next_page_token;
        assert_eq!(token.is_empty(), size == 200);
    }
    assert!(names.is_sorted() && names.len() == 1_000);
    assert_eq!(page(0, "").unwrap().jobs.len(), 500);
    assert_eq!(page(-1, "").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(page(5, "elsewhere").unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(world.api.locations("projects/p"), ["l", "l2", "us-central1"]);
}

#[tokio::test]
async fn a_job_without_a_name_gets_one() {
    let world = World::new();
    let unnamed = || proto::Job { name: String::new(), ..job("x", "* * * * *") };
    let (one, other) = (world.create(unnamed()), world.create(unnamed()));
    assert!(one.name.starts_with("projects/p/locations/l/jobs/") && one.name != other.name);
}

#[tokio::test]
async fn a_paused_job_runs_by_hand_only_and_makes_up_for_nothing() {
    let world = World::new();
    world.create(job("a", "* * * * *"));
    assert_eq!(world.api.resume(&name("a")).unwrap_err().code(), Code::FailedPrecondition);
    let paused = world.api.pause(&name("a")).unwrap();
    assert_eq!((paused.state(), paused.schedule_time), (State::Paused, None));
    assert_eq!(world.api.pause(&name("a")).unwrap_err().code(), Code::FailedPrecondition);
    world.pass(600).await;
    assert!(world.taken().is_empty());
    let ran = world.api.run(&name("a")).await.unwrap();
    assert_eq!(shown(ran.last_attempt_time), "2024-01-01T00:10:10Z");
    assert_eq!(world.taken(), ["a"]);
    let resumed = world.api.resume(&name("a")).unwrap();
    assert_eq!(shown(resumed.schedule_time), "2024-01-01T00:11:00Z");
    world.pass(50).await;
    assert_eq!(world.taken(), ["a"]);
}

#[tokio::test]
async fn an_update_changes_the_fields_of_its_mask() {
    let world = World::new();
    world.create(job("a", "* * * * *"));
    let mut update = job("a", "*/10 * * * *");
    update.description = "not in the mask".to_owned();
    update.target = Some(Kind::PubsubTarget(proto::PubsubTarget {
        data: Bytes::from_static(b"new"),
        ..Default::default()
    }));
    let fields = mask(&["schedule", "pubsub_target.data", "state"]);
    let updated = world.api.update(update.clone(), &fields).unwrap();
    assert_eq!((updated.description.as_str(), updated.schedule.as_str()), ("", "*/10 * * * *"));
    assert_eq!(shown(updated.schedule_time), "2024-01-01T00:10:00Z");
    world.pass(590).await;
    assert_eq!(world.taken(), ["new"]);
    // Without a mask, what is given.
    let given = proto::Job { name: name("a"), description: "d".to_owned(), ..Default::default() };
    let updated = world.api.update(given, &[]).unwrap();
    assert_eq!((updated.description.as_str(), updated.schedule.as_str()), ("d", "*/10 * * * *"));
    for (fields, expected) in
        [("colour", Code::InvalidArgument), ("app_engine_http_target.body", Code::Unimplemented)]
    {
        assert_eq!(
            world.api.update(update.clone(), &mask(&[fields])).unwrap_err().code(),
            expected
        );
    }
    let wrong = proto::Job { name: name("a"), ..Default::default() };
    assert_eq!(
        world.api.update(wrong, &mask(&["schedule"])).unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn failures_are_retried_until_they_succeed_or_the_next_tick() {
    let world = World::new();
    let mut failing = job("a", "*/10 * * * *");
    failing.target = Some(Kind::PubsubTarget(proto::PubsubTarget {
        topic_name: "projects/p/topics/later".to_owned(),
        data: Bytes::from_static(b"x"),
        ..Default::default()
    }));
    failing.retry_config = Some(proto::RetryConfig {
        retry_count: 5,
        min_backoff_duration: seconds(60),
        max_doublings: 1,
        ..Default::default()
    });
    world.create(failing);
    world.pass(590).await;
    let failed = world.api.get(&name("a")).unwrap();
    let status = failed.status.unwrap();
    assert_eq!((status.code, status.message.as_str()), (5, "Resource not found (resource=later)."));
    assert_eq!(shown(failed.schedule_time), "2024-01-01T00:11:00Z");
    // Retries after 60, 120 and 240 seconds; the one after 360 more would be behind the next tick.
    for (seconds, next) in [(60, "00:13:00"), (120, "00:17:00"), (240, "00:20:00")] {
        world.pass(seconds).await;
        let shown = shown(world.api.get(&name("a")).unwrap().schedule_time);
        assert_eq!(shown, format!("2024-01-01T{next}Z"));
    }
    let status = world.scheduler.status(&name("a")).unwrap();
    assert_eq!((status.runs, status.failures), (1, 4));
    world.pass(180).await;
    world.pubsub.ensure_topic("projects/p/topics/later").unwrap();
    world.pass(60).await;
    let status = world.scheduler.status(&name("a")).unwrap();
    assert_eq!((status.runs, status.failures, status.last_error), (2, 5, None));
    assert_eq!(shown(world.api.get(&name("a")).unwrap().schedule_time), "2024-01-01T00:30:00Z");
}

#[tokio::test]
async fn a_pause_ends_retries() {
    let world = World::new();
    let mut failing = job("a", "0 * * * *");
    failing.retry_config = Some(proto::RetryConfig { retry_count: 5, ..Default::default() });
    world.create(failing);
    world.pubsub.change(|state, _| state.delete_topic(TOPIC)).unwrap();
    world.pass(3_590).await;
    world.api.pause(&name("a")).unwrap();
    world.api.resume(&name("a")).unwrap();
    world.pass(600).await;
    assert_eq!(world.scheduler.status(&name("a")).unwrap().failures, 1);
}

#[tokio::test]
async fn jobs_survive_a_restart_and_make_up_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(at("2024-01-01T00:00:10Z"));
    {
        let directory = DataDirectory::open(directory.path()).unwrap();
        let world = World::in_directory(&directory, clock.clone());
        for id in ["a", "b", "gone"] {
            world.create(job(id, "* * * * *"));
        }
        world.api.delete(&name("gone")).unwrap();
        world.pass(50).await;
        assert_eq!(world.taken().len(), 2);
        world.api.pause(&name("b")).unwrap();
        world
            .api
            .update(
                proto::Job { description: "kept".to_owned(), ..job("a", "") },
                &mask(&["description"]),
            )
            .unwrap();
        world.scheduler.shutdown().await;
    }
    clock.advance(Duration::from_secs(86_400));
    let directory = DataDirectory::open(directory.path()).unwrap();
    let world = World::in_directory(&directory, clock);
    let (a, b) = (world.api.get(&name("a")).unwrap(), world.api.get(&name("b")).unwrap());
    assert_eq!((a.state(), b.state()), (State::Enabled, State::Paused));
    assert_eq!((a.description.as_str(), a.schedule.as_str()), ("kept", "* * * * *"));
    assert_eq!(shown(a.last_attempt_time), "2024-01-01T00:01:00Z");
    assert_eq!(shown(a.user_update_time), "2024-01-01T00:01:00Z");
    assert_eq!(shown(a.schedule_time), "2024-01-02T00:02:00Z");
    assert_eq!(world.api.get(&name("gone")).unwrap_err().code(), Code::NotFound);
    settle().await;
    assert!(world.taken().is_empty());
    world.pass(60).await;
    assert_eq!(world.taken(), ["a"]);
}

#[tokio::test]
async fn a_job_of_the_process_is_shown_paused_and_run_but_not_changed() {
    let world = World::new();
    let (sender, mut ticks) = tokio::sync::mpsc::channel(4);
    let target = Target::call(move |tick| {
        let sender = sender.clone();
        async move { Ok(sender.send(tick).await?) }
    });
    let target = target.shown_as_topic(TOPIC);
    let schedule = Schedule::cron("*/3 * * * *", "Europe/Berlin").unwrap();
    world.scheduler.add(&name("own"), schedule, target).unwrap();
    let own = world.api.get(&name("own")).unwrap();
    assert_eq!((own.schedule.as_str(), own.time_zone.as_str()), ("*/3 * * * *", "Europe/Berlin"));
    assert!(matches!(own.target, Some(Kind::PubsubTarget(target)) if target.topic_name == TOPIC));
    assert_eq!(world.api.pause(&name("own")).unwrap().state(), State::Paused);
    world.api.run(&name("own")).await.unwrap();
    assert!(!ticks.try_recv().unwrap().is_scheduled);
    world.api.resume(&name("own")).unwrap();
    world.pass(170).await;
    assert!(ticks.try_recv().unwrap().is_scheduled);
    assert!(matches!(world.api.delete(&name("own")), Err(Error::FailedPrecondition { .. })));
    let update = world.api.update(job("own", "* * * * *"), &mask(&["schedule"]));
    assert_eq!(update.unwrap_err().code(), Code::FailedPrecondition);
}
