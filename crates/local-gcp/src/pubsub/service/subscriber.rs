//! `google.pubsub.v1.Subscriber` over gRPC; streaming pull is in its own file.

use std::time::Duration;

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::handle::PubSub;
use super::streaming;
use crate::proto::pubsub as proto;
use crate::proto::pubsub::seek_request::Target;
use crate::proto::subscriber::Subscriber;
use crate::pubsub::config::to_instant;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::message::{AckId, Delivery};
use crate::pubsub::state::{SessionOptions, check_pull};

type Answer<T> = std::result::Result<Response<T>, Status>;

/// How long a unary pull waits for a message before it answers with none.
const PULL_WAIT: Duration = Duration::from_secs(20);

/// The subscriber's half of the protocol.
#[derive(Clone, Debug)]
pub(crate) struct SubscriberService {
    pubsub: PubSub,
}

impl SubscriberService {
    pub(crate) fn new(pubsub: PubSub) -> Self {
        Self { pubsub }
    }
}

/// Reads acknowledgement ids; one that is malformed refuses the request.
pub(in crate::pubsub) fn parse_ack_ids(ack_ids: &[String]) -> Result<Vec<AckId>> {
    ack_ids.iter().map(|ack_id| ack_id.parse()).collect()
}

/// A delivery as it goes over the wire. Google sends the attempt only with a dead letter policy.
pub(in crate::pubsub) fn to_received(
    delivery: &Delivery,
    with_attempt: bool,
) -> proto::ReceivedMessage {
    let attempt = i32::try_from(delivery.attempt).unwrap_or(i32::MAX);
    proto::ReceivedMessage {
        ack_id: delivery.ack_id.to_string(),
        message: Some(delivery.message.to_proto()),
        delivery_attempt: if with_attempt { attempt } else { 0 },
    }
}

/// A unary pull, waiting a while unless told not to; shared with the REST face.
pub(in crate::pubsub) async fn pull(
    pubsub: &PubSub,
    subscription: &str,
    messages_max: i32,
    return_immediately: bool,
) -> Result<Vec<proto::ReceivedMessage>> {
    let config = pubsub.change(|state, _| state.get_subscription(subscription))?;
    let limit = check_pull(messages_max)?;
    let puller = pubsub.puller(subscription, SessionOptions::default())?;
    let deliveries = if return_immediately {
        puller.take(limit)?
    } else {
        // No message within the wait is an answer, not an error.
        tokio::time::timeout(PULL_WAIT, puller.next(limit)).await.unwrap_or(Ok(Vec::new()))?
    };
    let with_attempt = config.dead_letter_policy.is_some();
    Ok(deliveries.iter().map(|delivery| to_received(delivery, with_attempt)).collect())
}

/// Sets one deadline for several deliveries; shared with the REST face.
pub(in crate::pubsub) fn modify_ack_deadline(
    pubsub: &PubSub,
    subscription: &str,
    ack_ids: &[String],
    seconds: i32,
) -> Result<()> {
    let changes: Vec<_> = parse_ack_ids(ack_ids)?.into_iter().map(|id| (id, seconds)).collect();
    pubsub.change(|state, now| state.modify_ack_deadline(subscription, &changes, now))
}

/// Moves a subscription to a time or a snapshot; shared with the REST face.
pub(in crate::pubsub) fn seek(pubsub: &PubSub, request: proto::SeekRequest) -> Result<()> {
    let name = request.subscription;
    match request.target {
        Some(Target::Time(time)) => {
            pubsub.change(|state, now| state.seek_to_time(&name, to_instant(&time), now))
        }
        Some(Target::Snapshot(snapshot)) => {
            pubsub.change(|state, now| state.seek_to_snapshot(&name, &snapshot, now))
        }
        None => Err(Error::invalid("A seek needs a time or a snapshot.")),
    }
}

#[tonic::async_trait]
impl Subscriber for SubscriberService {
    type StreamingPullStream =
        ReceiverStream<std::result::Result<proto::StreamingPullResponse, Status>>;

    async fn create_subscription(
        &self,
        request: Request<proto::Subscription>,
    ) -> Answer<proto::Subscription> {
        let subscription = request.into_inner();
        Ok(Response::new(self.pubsub.change(|state, _| state.create_subscription(subscription))?))
    }

    async fn get_subscription(
        &self,
        request: Request<proto::GetSubscriptionRequest>,
    ) -> Answer<proto::Subscription> {
        let name = request.into_inner().subscription;
        Ok(Response::new(self.pubsub.change(|state, _| state.get_subscription(&name))?))
    }

    async fn update_subscription(
        &self,
        request: Request<proto::UpdateSubscriptionRequest>,
    ) -> Answer<proto::Subscription> {
        let it = request.into_inner();
        let update = it.subscription.ok_or_else(|| Error::invalid("No subscription given."))?;
        let mask = it.update_mask.unwrap_or_default().paths;
        let updated = self.pubsub.change(|state, _| state.update_subscription(update, &mask))?;
        Ok(Response::new(updated))
    }

    async fn list_subscriptions(
        &self,
        request: Request<proto::ListSubscriptionsRequest>,
    ) -> Answer<proto::ListSubscriptionsResponse> {
        let it = request.into_inner();
        let page = self.pubsub.change(|state, _| {
            state.list_subscriptions(&it.project, it.page_size, &it.page_token)
        })?;
        Ok(Response::new(proto::ListSubscriptionsResponse {
            subscriptions: page.entries,
            next_page_token: page.next_page_token,
        }))
    }

    async fn delete_subscription(
        &self,
        request: Request<proto::DeleteSubscriptionRequest>,
    ) -> Answer<()> {
        let name = request.into_inner().subscription;
        Ok(Response::new(self.pubsub.change(|state, _| state.delete_subscription(&name))?))
    }

    async fn modify_ack_deadline(
        &self,
        request: Request<proto::ModifyAckDeadlineRequest>,
    ) -> Answer<()> {
        let it = request.into_inner();
        let seconds = it.ack_deadline_seconds;
        modify_ack_deadline(&self.pubsub, &it.subscription, &it.ack_ids, seconds)?;
        Ok(Response::new(()))
    }

    async fn acknowledge(&self, request: Request<proto::AcknowledgeRequest>) -> Answer<()> {
        let it = request.into_inner();
        let ack_ids = parse_ack_ids(&it.ack_ids)?;
        Ok(Response::new(self.pubsub.acknowledge(&it.subscription, &ack_ids)?))
    }

    async fn pull(&self, request: Request<proto::PullRequest>) -> Answer<proto::PullResponse> {
        let it = request.into_inner();
        #[allow(deprecated, reason = "clients still send it, and it must be obeyed")]
        let return_immediately = it.return_immediately;
        let received_messages =
            pull(&self.pubsub, &it.subscription, it.max_messages, return_immediately).await?;
        Ok(Response::new(proto::PullResponse { received_messages }))
    }

    async fn streaming_pull(
        &self,
        request: Request<Streaming<proto::StreamingPullRequest>>,
    ) -> Answer<Self::StreamingPullStream> {
        streaming::open(self.pubsub.clone(), request.into_inner()).await.map(Response::new)
    }

    async fn modify_push_config(
        &self,
        request: Request<proto::ModifyPushConfigRequest>,
    ) -> Answer<()> {
        let it = request.into_inner();
        let modified = self
            .pubsub
            .change(|state, _| state.modify_push_config(&it.subscription, it.push_config));
        Ok(Response::new(modified?))
    }

    async fn get_snapshot(
        &self,
        request: Request<proto::GetSnapshotRequest>,
    ) -> Answer<proto::Snapshot> {
        let name = request.into_inner().snapshot;
        Ok(Response::new(self.pubsub.change(|state, _| state.get_snapshot(&name))?))
    }

    async fn list_snapshots(
        &self,
        request: Request<proto::ListSnapshotsRequest>,
    ) -> Answer<proto::ListSnapshotsResponse> {
        let it = request.into_inner();
        let page = self
            .pubsub
            .change(|state, _| state.list_snapshots(&it.project, it.page_size, &it.page_token))?;
        Ok(Response::new(proto::ListSnapshotsResponse {
            snapshots: page.entries,
            next_page_token: page.next_page_token,
        }))
    }

    async fn create_snapshot(
        &self,
        request: Request<proto::CreateSnapshotRequest>,
    ) -> Answer<proto::Snapshot> {
        let it = request.into_inner();
        Ok(Response::new(self.pubsub.change(|state, now| state.create_snapshot(it, now))?))
    }

    async fn update_snapshot(
        &self,
        request: Request<proto::UpdateSnapshotRequest>,
    ) -> Answer<proto::Snapshot> {
        let it = request.into_inner();
        let update = it.snapshot.ok_or_else(|| Error::invalid("No snapshot given."))?;
        let mask = it.update_mask.unwrap_or_default().paths;
        let updated = self.pubsub.change(|state, now| state.update_snapshot(update, &mask, now));
        Ok(Response::new(updated?))
    }

    async fn delete_snapshot(&self, request: Request<proto::DeleteSnapshotRequest>) -> Answer<()> {
        let name = request.into_inner().snapshot;
        Ok(Response::new(self.pubsub.change(|state, _| state.delete_snapshot(&name))?))
    }

    async fn seek(&self, request: Request<proto::SeekRequest>) -> Answer<proto::SeekResponse> {
        seek(&self.pubsub, request.into_inner())?;
        Ok(Response::new(proto::SeekResponse {}))
    }
}
