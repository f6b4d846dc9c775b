//! Pub/Sub: publishing in batches, unary pulls and a streaming pull, with acknowledgements.

use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use millstream_local_gcp::proto::pubsub as proto;
use proto::publisher_client::PublisherClient;
use proto::subscriber_client::SubscriberClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::{Failure, Stopwatch};

/// Calls that are under way at the same time.
const AT_ONCE: usize = 4;
/// The most that the service gives out with one pull.
const PULL_MAX: i32 = 1_000;
/// Longer than any measurement: nothing is delivered twice.
const ACK_DEADLINE: i32 = 600;

/// The load of one run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) run: usize,
    pub(crate) messages: usize,
    pub(crate) patience: Duration,
}

impl Load {
    /// All workloads on the server at `place`, with messages a second.
    pub(crate) async fn measure(self, place: &str) -> Result<Vec<(String, f64)>, Failure> {
        let channel = Endpoint::from_shared(format!("http://{place}"))?.connect().await?;
        let mut rates = Vec::new();
        for bytes in [200, 1_024] {
            let unary = Queue::create(&channel, &format!("unary-{bytes}-{}", self.run)).await?;
            let rate = unary.publish(self, bytes, 100).await?;
            rates.push((format!("publish, {bytes} B, 100 a call"), rate));
            let rate = unary.pull(self).await?;
            rates.push((format!("Pull and Acknowledge, {bytes} B"), rate));
            unary.delete().await?;
            let streamed = Queue::create(&channel, &format!("stream-{bytes}-{}", self.run)).await?;
            let rate = streamed.publish(self, bytes, 1_000).await?;
            rates.push((format!("publish, {bytes} B, 1,000 a call"), rate));
            let rate = streamed.streaming_pull(self).await?;
            rates.push((format!("StreamingPull and Acknowledge, {bytes} B"), rate));
            streamed.delete().await?;
        }
        Ok(rates)
    }
}

/// A topic with one subscription.
struct Queue {
    publisher: PublisherClient<Channel>,
    subscriber: SubscriberClient<Channel>,
    topic: String,
    subscription: String,
}

impl Queue {
    async fn create(channel: &Channel, name: &str) -> Result<Self, Failure> {
        let mut publisher = PublisherClient::new(channel.clone());
        let subscriber = SubscriberClient::new(channel.clone());
        let mut subscriber = subscriber.max_decoding_message_size(usize::MAX);
        let topic = format!("projects/bench/topics/{name}");
        let subscription = format!("projects/bench/subscriptions/{name}");
        publisher.create_topic(proto::Topic { name: topic.clone(), ..Default::default() }).await?;
        let request = proto::Subscription {
            name: subscription.clone(),
            topic: topic.clone(),
            ack_deadline_seconds: ACK_DEADLINE,
            ..Default::default()
        };
        subscriber.create_subscription(request).await?;
        Ok(Self { publisher, subscriber, topic, subscription })
    }

    async fn delete(mut self) -> Result<(), Failure> {
        let request = proto::DeleteSubscriptionRequest { subscription: self.subscription };
        self.subscriber.delete_subscription(request).await?;
        self.publisher.delete_topic(proto::DeleteTopicRequest { topic: self.topic }).await?;
        Ok(())
    }

    /// Publishes all messages, whatever the patience: they are needed.
    async fn publish(&self, load: Load, bytes: usize, batch: usize) -> Result<f64, Failure> {
        let message = proto::PubsubMessage { data: vec![b'x'; bytes].into(), ..Default::default() };
        let request =
            proto::PublishRequest { topic: self.topic.clone(), messages: vec![message; batch] };
        let watch = Stopwatch::start(load.patience);
        let published = stream::iter(0..load.messages / batch)
            .map(|_| {
                let (mut publisher, request) = (self.publisher.clone(), request.clone());
                async move { publisher.publish(request).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_fold(0, |sum, answer| {
                std::future::ready(Ok(sum + answer.get_ref().message_ids.len()))
            })
            .await?;
        let rate = watch.rate(published);
        match published == load.messages {
            true => Ok(rate),
            false => Err(format!("{published} of {} messages have an id", load.messages).into()),
        }
    }

    /// Pulls and acknowledges until all came or patience is at its end.
    async fn pull(&self, load: Load) -> Result<f64, Failure> {
        let watch = Stopwatch::start(load.patience);
        let received = std::sync::atomic::AtomicUsize::new(0);
        let order = std::sync::atomic::Ordering::Relaxed;
        let one = || async {
            let mut subscriber = self.subscriber.clone();
            while received.load(order) < load.messages && !watch.is_over() {
                let request = proto::PullRequest {
                    subscription: self.subscription.clone(),
                    max_messages: PULL_MAX,
                    ..Default::default()
                };
                // A service may hold back its answer until a message is there.
                let pulled = tokio::time::timeout(watch.left(), subscriber.pull(request)).await;
                let Ok(answer) = pulled else { break };
                let messages = answer?.into_inner().received_messages;
                let count = messages.len();
                let ids = messages.into_iter().map(|message| message.ack_id).collect();
                subscriber.acknowledge(self.acknowledgement(ids)).await?;
                if received.fetch_add(count, order) + count >= load.messages {
                    // The others may wait for messages that do not come.
                    return Err(Ended::AllCame);
                }
            }
            Ok(())
        };
        let ended = futures::future::try_join_all((0..AT_ONCE).map(|_| one())).await;
        if let Err(Ended::Failed(cause)) = ended {
            return Err(cause.into());
        }
        Ok(watch.rate(received.into_inner()))
    }

    fn acknowledgement(&self, ack_ids: Vec<String>) -> proto::AcknowledgeRequest {
        proto::AcknowledgeRequest { subscription: self.subscription.clone(), ack_ids }
    }

    /// Reads one stream and acknowledges by calls beside it, until all came or patience is at its end.
    async fn streaming_pull(&self, load: Load) -> Result<f64, Failure> {
        let watch = Stopwatch::start(load.patience);
        let (requests, stream) = mpsc::channel(1);
        let first = proto::StreamingPullRequest {
            subscription: self.subscription.clone(),
            stream_ack_deadline_seconds: ACK_DEADLINE,
            ..Default::default()
        };
        requests.send(first).await?;
        let mut subscriber = self.subscriber.clone();
        let responses = subscriber.streaming_pull(ReceiverStream::new(stream)).await?.into_inner();
        let timeout = Box::pin(tokio::time::sleep(watch.left()));
        let mut acknowledged = responses
            .map(|response| {
                let mut subscriber = self.subscriber.clone();
                async move {
                    let messages = response?.received_messages;
                    let count = messages.len();
                    let ids = messages.into_iter().map(|message| message.ack_id).collect();
                    subscriber.acknowledge(self.acknowledgement(ids)).await?;
                    Ok::<_, tonic::Status>(count)
                }
            })
            .buffer_unordered(AT_ONCE)
            .take_until(timeout);
        let mut received = 0;
        while received < load.messages {
            let Some(count) = acknowledged.try_next().await? else { break };
            received += count;
        }
        let rate = watch.rate(received);
        // The client's half ends first: a server need not be told by a broken connection.
        drop(requests);
        Ok(rate)
    }
}

/// Why pulling ended before patience did.
enum Ended {
    AllCame,
    Failed(tonic::Status),
}

impl From<tonic::Status> for Ended {
    fn from(status: tonic::Status) -> Self {
        Self::Failed(status)
    }
}
