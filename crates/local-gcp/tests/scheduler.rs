//! Google's own Rust client of Cloud Scheduler against the local server, and what arrives at an HTTP target.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic, are not tests to the lint"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::any;
use google_cloud_auth::credentials::anonymous;
use google_cloud_scheduler_v1::client::CloudScheduler;
use google_cloud_scheduler_v1::model::{
    HttpMethod, HttpTarget, Job, PubsubTarget, RetryConfig, job,
};
use http::StatusCode;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::{Clock as _, ManualClock, Timestamp};
use tokio::sync::mpsc;

const PARENT: &str = "projects/p/locations/europe-west1";
const NAME: &str = "projects/p/locations/europe-west1/jobs/first";
const TOPIC: &str = "projects/p/topics/ticks";
const SUBSCRIPTION: &str = "projects/p/subscriptions/ticks";
/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn client(local: &LocalGcp) -> CloudScheduler {
    let builder = CloudScheduler::builder().with_endpoint(local.endpoint());
    builder.with_credentials(anonymous::Builder::new().build()).build().await.unwrap()
}

fn to_topic(data: &'static [u8]) -> PubsubTarget {
    PubsubTarget::new().set_topic_name(TOPIC).set_data(bytes::Bytes::from_static(data))
}

async fn with_topic(clock: &ManualClock) -> LocalGcp {
    let local = LocalGcp::builder().clock(Arc::new(clock.clone())).start().await.unwrap();
    local.pubsub().ensure_topic(TOPIC).unwrap();
    local.pubsub().ensure_subscription(SUBSCRIPTION, TOPIC).unwrap();
    local
}

fn taken(local: &LocalGcp) -> Vec<String> {
    let held = local.pubsub().pull(SUBSCRIPTION, 100).unwrap();
    let ids: Vec<_> = held.iter().map(|delivery| delivery.ack_id).collect();
    local.pubsub().acknowledge(SUBSCRIPTION, &ids).unwrap();
    held.iter().map(|it| String::from_utf8(it.message.data.to_vec()).unwrap()).collect()
}

fn code(error: &google_cloud_scheduler_v1::Error) -> String {
    format!("{:?}", error.status().unwrap().code)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_administered_and_run() {
    let clock = ManualClock::new(Timestamp::from_secs(1_700_000_000));
    let local = with_topic(&clock).await;
    let client = client(&local).await;
    let wanted = Job::new()
        .set_name(NAME)
        .set_description("says hello")
        .set_schedule("0 9 * * MON-FRI")
        .set_time_zone("Europe/Berlin")
        .set_retry_config(RetryConfig::new().set_retry_count(3))
        .set_pubsub_target(to_topic(b"hello").set_attributes([("k", "v")]));
    let create = || client.create_job().set_parent(PARENT).set_job(wanted.clone()).send();
    let created = create().await.unwrap();
    assert_eq!(
        (created.state.clone(), created.time_zone.as_str()),
        (job::State::Enabled, "Europe/Berlin")
    );
    assert_eq!(created.pubsub_target().unwrap().attributes["k"], "v");
    assert_eq!(code(&create().await.unwrap_err()), "AlreadyExists");

    let got = client.get_job().set_name(NAME).send().await.unwrap();
    assert_eq!(got, created);
    let listed = client.list_jobs().set_parent(PARENT).send().await.unwrap();
    assert_eq!(listed.jobs, std::slice::from_ref(&got));

    let update = got.set_schedule("every 5 minutes").set_pubsub_target(to_topic(b"bye"));
    let mask = google_cloud_wkt::FieldMask::default().set_paths(["schedule", "pubsub_target.data"]);
    let updated = client.update_job().set_job(update).set_update_mask(mask).send().await.unwrap();
    assert_eq!(
        (updated.schedule.as_str(), updated.description.as_str()),
        ("every 5 minutes", "says hello")
    );

    assert_eq!(client.pause_job().set_name(NAME).send().await.unwrap().state, job::State::Paused);
    let again = client.pause_job().set_name(NAME).send().await.unwrap_err();
    assert_eq!(code(&again), "FailedPrecondition");
    assert_eq!(client.resume_job().set_name(NAME).send().await.unwrap().state, job::State::Enabled);
    let ran = client.run_job().set_name(NAME).send().await.unwrap();
    assert_eq!(ran.last_attempt_time.unwrap().seconds(), clock.now().as_seconds_and_nanos().0);
    assert_eq!(taken(&local), ["bye"]);

    let locations = client.list_locations().set_name("projects/p").send().await.unwrap();
    let ids: Vec<_> = locations.locations.into_iter().map(|it| it.location_id).collect();
    assert_eq!(ids, ["europe-west1", "us-central1"]);
    client.delete_job().set_name(NAME).send().await.unwrap();
    let gone = client.get_job().set_name(NAME).send().await.unwrap_err();
    assert_eq!(code(&gone), "NotFound");
    let wrong = wanted.set_schedule("at noon");
    let refused = client.create_job().set_parent(PARENT).set_job(wrong).send().await.unwrap_err();
    assert_eq!(code(&refused), "InvalidArgument");
    local.shutdown().await.unwrap();
}

/// One request as it arrived.
#[derive(Debug)]
struct Arrived {
    method: String,
    path: String,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

async fn take(State(arrived): State<mpsc::Sender<Arrived>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
    let path = head.uri.path().to_owned();
    let answer = match path.as_str() {
        "/moved" => Redirect::temporary("/there").into_response(),
        "/broken" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    };
    let one = Arrived { method: head.method.to_string(), path, headers: head.headers, body };
    arrived.send(one).await.unwrap();
    answer
}

/// A program with a door for requests.
struct Door {
    address: String,
    arrived: mpsc::Receiver<Arrived>,
}

impl Door {
    async fn open() -> Self {
        let (sender, arrived) = mpsc::channel(16);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(any(take)).with_state(sender);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, arrived }
    }

    async fn next(&mut self) -> Arrived {
        tokio::time::timeout(PATIENCE, self.arrived.recv()).await.expect("a request").unwrap()
    }
}

/// Looks at the job until it is as wanted.
async fn until(client: &CloudScheduler, wanted: impl Fn(&Job) -> bool) -> Job {
    let looked = async {
        loop {
            let job = client.get_job().set_name(NAME).send().await.unwrap();
            if wanted(&job) {
                return job;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("the job changes")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_target_is_called_as_documented() {
    let clock = ManualClock::new(Timestamp::from_secs(1_704_067_200)); // midnight
    let local = with_topic(&clock).await;
    let client = client(&local).await;
    let mut door = Door::open().await;
    let target = HttpTarget::new()
        .set_uri(format!("{}/moved", door.address))
        .set_http_method(HttpMethod::Put)
        .set_headers([("X-Mine", "yes"), ("User-Agent", "me")])
        .set_body(bytes::Bytes::from_static(b"hello"));
    let job = Job::new().set_name(NAME).set_schedule("* * * * *").set_http_target(target);
    client.create_job().set_parent(PARENT).set_job(job).send().await.unwrap();
    clock.advance(Duration::from_secs(60));
    let first = door.next().await;
    assert_eq!((first.method.as_str(), first.path.as_str()), ("PUT", "/moved"));
    let second = door.next().await;
    assert_eq!((second.method.as_str(), second.path.as_str()), ("PUT", "/there"));
    for (name, value) in [
        ("x-cloudscheduler", "true"),
        ("x-cloudscheduler-jobname", "first"),
        ("x-cloudscheduler-scheduletime", "2024-01-01T00:01:00Z"),
        ("user-agent", "Google-Cloud-Scheduler"),
        ("x-mine", "yes"),
        ("content-type", "application/octet-stream"),
    ] {
        assert_eq!(second.headers[name], value, "{name}");
    }
    assert_eq!(second.body, b"hello");
    let done = until(&client, |job| job.status.is_some()).await;
    assert_eq!(done.status.unwrap().code, 0);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_target_that_fails_is_tried_again() {
    let clock = ManualClock::new(Timestamp::from_secs(1_704_067_200));
    let local = with_topic(&clock).await;
    let client = client(&local).await;
    let mut door = Door::open().await;
    let target = HttpTarget::new().set_uri(format!("{}/broken", door.address));
    let job = Job::new()
        .set_name(NAME)
        .set_schedule("0 * * * *")
        .set_retry_config(RetryConfig::new().set_retry_count(1))
        .set_http_target(target);
    client.create_job().set_parent(PARENT).set_job(job).send().await.unwrap();
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(door.next().await.method, "POST");
    let failed = until(&client, |job| job.status.is_some()).await;
    assert_eq!(failed.status.unwrap().code, 14);
    let due = 1_704_070_805; // five seconds past one
    until(&client, |job| job.schedule_time.is_some_and(|at| at.seconds() == due)).await;
    clock.advance(Duration::from_secs(5));
    let again = door.next().await;
    assert_eq!(again.headers["x-cloudscheduler-scheduletime"], "2024-01-01T01:00:00Z");
    let next = 1_704_074_400;
    until(&client, |job| job.schedule_time.is_some_and(|at| at.seconds() == next)).await;
    local.shutdown().await.unwrap();
}
