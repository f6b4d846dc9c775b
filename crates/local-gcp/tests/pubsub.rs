//! Pub/Sub over the wire, by Google's own Rust client and by a bare gRPC one.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic, are not tests to the lint"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_pubsub::client::{Publisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::MessageStream;
use google_cloud_pubsub::subscriber::handler::Handler;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::{ManualClock, Timestamp};
use millstream_local_gcp::proto::pubsub as proto;
use proto::subscriber_client::SubscriberClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

const TOPIC: &str = "projects/p/topics/orders";
const SUBSCRIPTION: &str = "projects/p/subscriptions/first";
/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(60);

fn nobody() -> Credentials {
    anonymous::Builder::new().build()
}

async fn topic_admin(local: &LocalGcp) -> TopicAdmin {
    let builder = TopicAdmin::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

async fn subscription_admin(local: &LocalGcp) -> SubscriptionAdmin {
    let builder = SubscriptionAdmin::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

async fn publisher(local: &LocalGcp) -> Publisher {
    let builder = Publisher::builder(TOPIC).with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

async fn subscriber(local: &LocalGcp) -> Subscriber {
    let builder = Subscriber::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

async fn set_up(local: &LocalGcp) {
    topic_admin(local).await.create_topic().set_name(TOPIC).send().await.unwrap();
    let admin = subscription_admin(local).await;
    admin.create_subscription().set_name(SUBSCRIPTION).set_topic(TOPIC).send().await.unwrap();
}

/// Publishes the numbers and waits until the server has them all.
async fn publish(local: &LocalGcp, numbers: std::ops::Range<u32>) {
    let publisher = publisher(local).await;
    let sent: Vec<_> = numbers
        .map(|number| {
            let message = Message::new().set_data(number.to_string());
            publisher.publish(message.set_attributes([("parity", (number % 2).to_string())]))
        })
        .collect();
    let mut ids = BTreeSet::new();
    for sent in sent {
        assert!(ids.insert(sent.await.unwrap()), "an id occurs twice");
    }
}

fn number(message: &Message) -> u32 {
    std::str::from_utf8(&message.data).unwrap().parse().unwrap()
}

async fn next(stream: &mut MessageStream) -> (Message, Handler) {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("a message").unwrap().unwrap()
}

async fn shut(stream: MessageStream) {
    let token = stream.shutdown_token();
    drop(stream);
    token.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_once_each() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    publish(&local, 0..10_000).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 10_000 {
        let (message, handler) = next(&mut stream).await;
        assert_eq!(message.attributes["parity"], (number(&message) % 2).to_string());
        assert!(seen.insert(number(&message)), "{} came twice", number(&message));
        handler.ack();
    }
    shut(stream).await;
    assert_eq!(local.pubsub().unacked(), 0);
    let statistics = local.pubsub().subscription_statistics()[SUBSCRIPTION];
    assert_eq!(statistics.counters.acknowledged, 10_000);
    assert_eq!(local.pubsub().topic_statistics()[TOPIC].published_messages, 10_000);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_comes_back() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    publish(&local, 0..1).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    for _ in 0..3 {
        next(&mut stream).await.1.nack();
    }
    next(&mut stream).await.1.ack();
    shut(stream).await;
    let counters = local.pubsub().subscription_statistics()[SUBSCRIPTION].counters;
    assert_eq!((counters.nacked, counters.redelivered, counters.acknowledged), (3, 3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subscribers_share_a_subscription_and_two_subscriptions_get_all() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    let other = "projects/p/subscriptions/second";
    local.pubsub().ensure_subscription(other, TOPIC).unwrap();
    let client = subscriber(&local).await;
    let (sender, mut numbers) = mpsc::channel(64);
    let mut readers = tokio::task::JoinSet::new();
    for subscription in [SUBSCRIPTION, SUBSCRIPTION, other] {
        let mut stream = client.subscribe(subscription).set_max_outstanding_messages(10).build();
        let sender = sender.clone();
        readers.spawn(async move {
            while let Some(Ok((message, handler))) = stream.next().await {
                handler.ack();
                sender.send((subscription, number(&message))).await.unwrap();
            }
        });
    }
    publish(&local, 0..500).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 1_000 {
        let received = tokio::time::timeout(PATIENCE, numbers.recv()).await.unwrap().unwrap();
        assert!(seen.insert(received), "{received:?} came twice");
    }
    readers.abort_all();
}

/// What a `kill -9` at this moment would leave: the bytes handed to the system so far.
fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_every_unacknowledged_message() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = (directory.path().join("before"), directory.path().join("after"));
    let local = LocalGcp::builder().data_dir(&before).start().await.unwrap();
    set_up(&local).await;
    publish(&local, 0..3_000).await;
    let client = subscriber(&local).await;
    let mut stream = client.subscribe(SUBSCRIPTION).build();
    let mut acknowledged = BTreeSet::new();
    let mut held = Vec::new();
    for turn in 0..1_000 {
        let (message, handler) = next(&mut stream).await;
        if turn % 2 == 0 {
            acknowledged.insert(number(&message));
            handler.ack();
        } else {
            held.push(handler);
        }
    }
    // The client acknowledges in its own time.
    while local.pubsub().unacked() > 2_500 {
        tokio::task::yield_now().await;
    }
    copy_directory(&before, &after);
    drop((held, stream, local));

    let local = LocalGcp::builder().data_dir(&after).start().await.unwrap();
    assert_eq!(local.pubsub().unacked(), 2_500);
    let client = subscriber(&local).await;
    let mut stream = client.subscribe(SUBSCRIPTION).build();
    let mut seen = BTreeSet::new();
    while seen.len() < 2_500 {
        let (message, handler) = next(&mut stream).await;
        assert!(!acknowledged.contains(&number(&message)));
        assert!(seen.insert(number(&message)));
        handler.ack();
    }
    publish(&local, 3_000..3_010).await;
    assert_eq!(number(&next(&mut stream).await.0) / 10, 300);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_rides_out_a_restart_on_the_same_port() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    let port = local.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    set_up(&local).await;
    let client = subscriber(&local).await;
    let mut stream = client.subscribe(SUBSCRIPTION).build();
    publish(&local, 0..1).await;
    let (_, held) = next(&mut stream).await;
    local.shutdown().await.unwrap();

    let local = LocalGcp::builder().data_dir(directory.path()).port(port).start().await.unwrap();
    // Delivered before the restart, acknowledged after it.
    held.ack();
    while local.pubsub().unacked() > 0 {
        tokio::task::yield_now().await;
    }
    publish(&local, 1..2).await;
    loop {
        let (message, handler) = next(&mut stream).await;
        handler.ack();
        if number(&message) == 1 {
            break;
        }
    }
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_answers_as_googles_clients_expect() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    let topics = topic_admin(&local).await;
    let subscriptions = subscription_admin(&local).await;
    let again = topics.create_topic().set_name(TOPIC).send().await.unwrap_err();
    assert_eq!(again.status().unwrap().code.name(), "ALREADY_EXISTS");
    let topic = topics.get_topic().set_topic(TOPIC).send().await.unwrap();
    assert_eq!(topic.name, TOPIC);
    let subscription =
        subscriptions.get_subscription().set_subscription(SUBSCRIPTION).send().await.unwrap();
    assert_eq!((subscription.topic.as_str(), subscription.ack_deadline_seconds), (TOPIC, 10));
    let listed = topics.list_topics().set_project("projects/p").send().await.unwrap();
    assert_eq!(listed.topics.len(), 1);
    let listed = subscriptions.list_subscriptions().set_project("projects/p").send().await.unwrap();
    assert_eq!(listed.subscriptions.len(), 1);
    topics.delete_topic().set_topic(TOPIC).send().await.unwrap();
    subscriptions.delete_subscription().set_subscription(SUBSCRIPTION).send().await.unwrap();
    let gone = subscriptions.get_subscription().set_subscription(SUBSCRIPTION).send().await;
    assert_eq!(gone.unwrap_err().status().unwrap().code.name(), "NOT_FOUND");
    let client = subscriber(&local).await;
    let error = client.subscribe(SUBSCRIPTION).build().next().await.unwrap().unwrap_err();
    assert_eq!(error.status().unwrap().code.name(), "NOT_FOUND");
}

/// A bare streaming pull: the test writes the client's half of the protocol itself.
struct Wire {
    requests: mpsc::Sender<proto::StreamingPullRequest>,
    responses: Streaming<proto::StreamingPullResponse>,
}

impl Wire {
    fn first() -> proto::StreamingPullRequest {
        proto::StreamingPullRequest {
            subscription: SUBSCRIPTION.to_owned(),
            stream_ack_deadline_seconds: 10,
            ..Default::default()
        }
    }

    async fn open(
        local: &LocalGcp,
        first: proto::StreamingPullRequest,
    ) -> Result<Self, tonic::Status> {
        let (requests, stream) = mpsc::channel(4);
        requests.send(first).await.unwrap();
        let mut client = client(local).await;
        let responses = client.streaming_pull(ReceiverStream::new(stream)).await?.into_inner();
        Ok(Self { requests, responses })
    }

    async fn send(&self, request: proto::StreamingPullRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// The next response that is not a heartbeat.
    async fn receive(&mut self) -> Result<Vec<proto::ReceivedMessage>, tonic::Status> {
        loop {
            let response = tokio::time::timeout(PATIENCE, self.responses.message()).await;
            match response.expect("a response")? {
                Some(response) if response.received_messages.is_empty() => {}
                Some(response) => return Ok(response.received_messages),
                None => return Ok(Vec::new()),
            }
        }
    }
}

async fn client(local: &LocalGcp) -> SubscriberClient<Channel> {
    let channel = Channel::from_shared(local.grpc_endpoint()).unwrap().connect().await.unwrap();
    SubscriberClient::new(channel)
}

fn start_with_topic(local: &LocalGcp) {
    local.pubsub().ensure_topic(TOPIC).unwrap();
    local.pubsub().ensure_subscription(SUBSCRIPTION, TOPIC).unwrap();
}

fn publish_in_process(local: &LocalGcp, payloads: &[&'static str]) {
    let messages = payloads.iter().map(|it| millstream_local_gcp::pubsub::NewMessage::new(*it));
    local.pubsub().publish(TOPIC, messages.collect()).unwrap();
}

fn payloads(received: &[proto::ReceivedMessage]) -> Vec<&[u8]> {
    received.iter().map(|it| it.message.as_ref().unwrap().data.as_ref()).collect()
}

#[tokio::test]
async fn leases_end_by_the_injected_clock() {
    let clock = ManualClock::new(Timestamp::from_secs(1_000));
    let local = LocalGcp::builder().clock(Arc::new(clock.clone())).start().await.unwrap();
    start_with_topic(&local);
    publish_in_process(&local, &["a", "b", "c"]);
    let mut wire = Wire::open(&local, Wire::first()).await.unwrap();
    let first = wire.receive().await.unwrap();
    assert_eq!(payloads(&first), [b"a", b"b", b"c"]);
    assert_eq!(first[0].message.as_ref().unwrap().publish_time.unwrap().seconds, 1_000);
    // The second is extended inside the stream. The third is acknowledged in a request after that, whose
    // effect can be seen: so the extension has been taken too.
    wire.send(proto::StreamingPullRequest {
        modify_deadline_ack_ids: vec![first[1].ack_id.clone()],
        modify_deadline_seconds: vec![60],
        ..Default::default()
    })
    .await;
    let ack_ids = vec![first[2].ack_id.clone()];
    wire.send(proto::StreamingPullRequest { ack_ids, ..Default::default() }).await;
    while local.pubsub().unacked() > 2 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(payloads(&wire.receive().await.unwrap()), [b"a"]);
    clock.advance(Duration::from_secs(50));
    let both: BTreeSet<Vec<u8>> = {
        let mut received = wire.receive().await.unwrap();
        while received.len() < 2 {
            received.extend(wire.receive().await.unwrap());
        }
        payloads(&received).into_iter().map(<[u8]>::to_vec).collect()
    };
    assert_eq!(both, [b"a".to_vec(), b"b".to_vec()].into());
}

#[tokio::test]
async fn acknowledgements_inside_the_stream_make_room_for_more() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    publish_in_process(&local, &["a", "b", "c"]);
    let first = proto::StreamingPullRequest { max_outstanding_messages: 2, ..Wire::first() };
    let mut wire = Wire::open(&local, first).await.unwrap();
    let received = wire.receive().await.unwrap();
    assert_eq!(payloads(&received), [b"a", b"b"]);
    let ack_ids = received.into_iter().map(|it| it.ack_id).collect();
    wire.send(proto::StreamingPullRequest { ack_ids, ..Default::default() }).await;
    assert_eq!(payloads(&wire.receive().await.unwrap()), [b"c"]);
    assert_eq!(local.pubsub().unacked(), 1);
}

#[tokio::test]
async fn a_client_that_asks_for_heartbeats_learns_the_subscription_at_once() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let first = proto::StreamingPullRequest { protocol_version: 1, ..Wire::first() };
    let mut wire = Wire::open(&local, first).await.unwrap();
    let response = wire.responses.message().await.unwrap().unwrap();
    assert!(response.received_messages.is_empty());
    assert!(!response.subscription_properties.unwrap().exactly_once_delivery_enabled);
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_is_aborted() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let missing = proto::StreamingPullRequest {
        subscription: "projects/p/subscriptions/none".to_owned(),
        ..Wire::first()
    };
    assert_eq!(Wire::open(&local, missing).await.err().unwrap().code(), Code::NotFound);
    for seconds in [-1, 0, 9, 601] {
        let first =
            proto::StreamingPullRequest { stream_ack_deadline_seconds: seconds, ..Wire::first() };
        let status = Wire::open(&local, first).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{seconds}");
    }
    for wrong in [
        Wire::first(),
        proto::StreamingPullRequest { ack_ids: vec!["nonsense".into()], ..Default::default() },
        proto::StreamingPullRequest { modify_deadline_seconds: vec![1], ..Default::default() },
        proto::StreamingPullRequest { max_outstanding_messages: 5, ..Default::default() },
    ] {
        let mut wire = Wire::open(&local, Wire::first()).await.unwrap();
        wire.send(wrong).await;
        assert_eq!(wire.receive().await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn streams_end_with_their_subscription_and_with_the_server() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let mut wire = Wire::open(&local, Wire::first()).await.unwrap();
    let name = proto::DeleteSubscriptionRequest { subscription: SUBSCRIPTION.to_owned() };
    client(&local).await.delete_subscription(name).await.unwrap();
    assert_eq!(wire.receive().await.unwrap_err().code(), Code::NotFound);
    start_with_topic(&local);
    let mut wire = Wire::open(&local, Wire::first()).await.unwrap();
    let (status, stopped) = tokio::join!(wire.receive(), local.shutdown());
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    stopped.unwrap();
}

#[tokio::test]
async fn a_closed_stream_leaves_no_session_behind() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let sessions = || local.pubsub().subscription_statistics()[SUBSCRIPTION].sessions;
    let wire = Wire::open(&local, Wire::first()).await.unwrap();
    assert_eq!(sessions(), 1);
    drop(wire);
    while sessions() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_unary_pull_waits_for_the_first_message() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let mut client = client(&local).await;
    let request = proto::PullRequest {
        subscription: SUBSCRIPTION.to_owned(),
        max_messages: 10,
        ..Default::default()
    };
    let waiting = || local.pubsub().subscription_statistics()[SUBSCRIPTION].sessions == 1;
    let publish = async {
        while !waiting() {
            tokio::task::yield_now().await;
        }
        publish_in_process(&local, &["a"]);
    };
    let (pulled, ()) = tokio::join!(client.pull(request), publish);
    assert_eq!(payloads(&pulled.unwrap().into_inner().received_messages), [b"a"]);
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let mut client = client(&local).await;
    let status = client.seek(proto::SeekRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "seek is not served by the local Pub/Sub");
    let status = client.create_snapshot(proto::CreateSnapshotRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
