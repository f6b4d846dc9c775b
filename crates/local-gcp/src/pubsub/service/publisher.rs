//! `google.pubsub.v1.Publisher` over gRPC.

use tonic::{Request, Response, Status};

use super::handle::PubSub;
use crate::proto::publisher::Publisher;
use crate::proto::pubsub as proto;
use crate::pubsub::error::Error;
use crate::pubsub::message::NewMessage;

type Answer<T> = Result<Response<T>, Status>;

/// The publisher's half of the protocol.
#[derive(Clone, Debug)]
pub(crate) struct PublisherService {
    pubsub: PubSub,
}

impl PublisherService {
    pub(crate) fn new(pubsub: PubSub) -> Self {
        Self { pubsub }
    }
}

/// Publishes and returns the ids as the protocol spells them; shared with the REST face.
pub(in crate::pubsub) fn publish(
    pubsub: &PubSub,
    topic: &str,
    messages: Vec<NewMessage>,
) -> crate::pubsub::Result<Vec<String>> {
    let count = messages.len() as u64;
    let first = pubsub.publish(topic, messages)?;
    Ok((first..first + count).map(|id| id.to_string()).collect())
}

#[tonic::async_trait]
impl Publisher for PublisherService {
    async fn create_topic(&self, request: Request<proto::Topic>) -> Answer<proto::Topic> {
        let topic = request.into_inner();
        Ok(Response::new(self.pubsub.change(|state, _| state.create_topic(topic))?))
    }

    async fn update_topic(
        &self,
        request: Request<proto::UpdateTopicRequest>,
    ) -> Answer<proto::Topic> {
        let request = request.into_inner();
        let topic = request.topic.ok_or_else(|| Error::invalid("No topic given."))?;
        let mask = request.update_mask.unwrap_or_default().paths;
        Ok(Response::new(self.pubsub.change(|state, _| state.update_topic(topic, &mask))?))
    }

    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Answer<proto::PublishResponse> {
        let request = request.into_inner();
        let messages = request.messages.into_iter().map(NewMessage::from).collect();
        let message_ids = publish(&self.pubsub, &request.topic, messages)?;
        Ok(Response::new(proto::PublishResponse { message_ids }))
    }

    async fn get_topic(&self, request: Request<proto::GetTopicRequest>) -> Answer<proto::Topic> {
        let name = request.into_inner().topic;
        Ok(Response::new(self.pubsub.change(|state, _| state.get_topic(&name))?))
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Answer<proto::ListTopicsResponse> {
        let it = request.into_inner();
        let page = self
            .pubsub
            .change(|state, _| state.list_topics(&it.project, it.page_size, &it.page_token))?;
        Ok(Response::new(proto::ListTopicsResponse {
            topics: page.entries,
            next_page_token: page.next_page_token,
        }))
    }

    async fn list_topic_subscriptions(
        &self,
        request: Request<proto::ListTopicSubscriptionsRequest>,
    ) -> Answer<proto::ListTopicSubscriptionsResponse> {
        let it = request.into_inner();
        let page = self.pubsub.change(|state, _| {
            state.list_topic_subscriptions(&it.topic, it.page_size, &it.page_token)
        })?;
        Ok(Response::new(proto::ListTopicSubscriptionsResponse {
            subscriptions: page.entries,
            next_page_token: page.next_page_token,
        }))
    }

    async fn list_topic_snapshots(
        &self,
        request: Request<proto::ListTopicSnapshotsRequest>,
    ) -> Answer<proto::ListTopicSnapshotsResponse> {
        let it = request.into_inner();
        let page = self.pubsub.change(|state, _| {
            state.list_topic_snapshots(&it.topic, it.page_size, &it.page_token)
        })?;
        Ok(Response::new(proto::ListTopicSnapshotsResponse {
            snapshots: page.entries,
            next_page_token: page.next_page_token,
        }))
    }

    async fn delete_topic(&self, request: Request<proto::DeleteTopicRequest>) -> Answer<()> {
        let name = request.into_inner().topic;
        Ok(Response::new(self.pubsub.change(|state, _| state.delete_topic(&name))?))
    }

    async fn detach_subscription(
        &self,
        request: Request<proto::DetachSubscriptionRequest>,
    ) -> Answer<proto::DetachSubscriptionResponse> {
        let name = request.into_inner().subscription;
        self.pubsub.change(|state, _| state.detach_subscription(&name))?;
        Ok(Response::new(proto::DetachSubscriptionResponse {}))
    }
}
