//! The protocol itself, by a bare gRPC client: streams, leases by the injected clock, refusals.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::{ManualClock, Timestamp};
use millstream_local_gcp::proto::pubsub as proto;
use proto::subscriber_client::SubscriberClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

use crate::support::*;

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
    let push = proto::PushConfig { push_endpoint: "http://x".to_owned(), ..Default::default() };
    let request = proto::ModifyPushConfigRequest {
        subscription: SUBSCRIPTION.to_owned(),
        push_config: Some(push),
    };
    let status = client.modify_push_config(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "push delivery is not served by the local Pub/Sub");
    let status = client.seek(proto::SeekRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_stream_confirms_acknowledgements_where_delivery_is_exactly_once() {
    let local = LocalGcp::start().await.unwrap();
    start_with_topic(&local);
    let config = proto::Subscription {
        name: SUBSCRIPTION.to_owned(),
        enable_exactly_once_delivery: true,
        ..Default::default()
    };
    let mask = ["enable_exactly_once_delivery".to_owned()];
    let pubsub = local.pubsub();
    pubsub.change(|state, _| state.update_subscription(config, &mask)).unwrap();
    publish_in_process(&local, &["a", "b"]);
    let mut wire = Wire::open(&local, Wire::first()).await.unwrap();
    let held = wire.receive().await.unwrap();
    let (a, b) = (held[0].ack_id.clone(), held[1].ack_id.clone());
    wire.send(proto::StreamingPullRequest {
        ack_ids: vec![a.clone()],
        modify_deadline_ack_ids: vec![a.clone(), b.clone()],
        modify_deadline_seconds: vec![10, 10],
        ..Default::default()
    })
    .await;
    let confirmed = loop {
        let response = tokio::time::timeout(PATIENCE, wire.responses.message()).await;
        let response = response.expect("a response").unwrap().unwrap();
        assert!(response.subscription_properties.unwrap().exactly_once_delivery_enabled);
        if response.acknowledge_confirmation.is_some() {
            break response;
        }
    };
    let acknowledged = confirmed.acknowledge_confirmation.unwrap();
    assert_eq!((acknowledged.ack_ids, acknowledged.invalid_ack_ids), (vec![a.clone()], vec![]));
    let modified = confirmed.modify_ack_deadline_confirmation.unwrap();
    assert_eq!((modified.ack_ids, modified.invalid_ack_ids), (vec![b], vec![a]));
    assert_eq!(local.pubsub().unacked(), 1);
}
