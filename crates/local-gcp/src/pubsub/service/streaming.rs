//! Streaming pull: one task per stream, which delivers in batches and takes acknowledgements.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::confirmations::{acknowledge_confirmation, failures, modify_confirmation};
use super::handle::PubSub;
use super::puller::Puller;
use super::subscriber::{parse_ack_ids, to_received};
use crate::proto::pubsub as proto;
use crate::proto::pubsub::streaming_pull_response::SubscriptionProperties;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::state::{BatchLimit, SessionOptions, Traits};

/// Responses that wait for the connection: enough to keep it busy while the next batch is made. What is in
/// them is leased, so more would only age.
const RESPONSES_QUEUED_MAX: usize = 4;

/// Silence between server and client is broken this often. Real time, not the injected clock: it concerns
/// the connection, not the messages.
const HEARTBEAT: Duration = Duration::from_secs(30);

type Answers = mpsc::Sender<std::result::Result<proto::StreamingPullResponse, Status>>;
type Opened = ReceiverStream<std::result::Result<proto::StreamingPullResponse, Status>>;

/// Reads the first request and starts the task of the stream.
pub(super) async fn open(
    pubsub: PubSub,
    mut requests: Streaming<proto::StreamingPullRequest>,
) -> std::result::Result<Opened, Status> {
    let first = requests.message().await?;
    let first = first.ok_or_else(|| Status::invalid_argument("The stream has no request."))?;
    let puller = pubsub.puller(&first.subscription, options(&first)?)?;
    let (answers, opened) = mpsc::channel(RESPONSES_QUEUED_MAX);
    let stream = Stream {
        puller,
        subscription: first.subscription.clone(),
        expects_heartbeats: first.protocol_version >= 1,
        pubsub,
    };
    let confirmations = stream.acknowledge(&first)?;
    tokio::spawn(stream.run(confirmations, requests, answers));
    Ok(ReceiverStream::new(opened))
}

fn options(first: &proto::StreamingPullRequest) -> Result<SessionOptions> {
    let limit = |value: i64| u64::try_from(value).ok().filter(|&value| value > 0);
    Ok(SessionOptions {
        messages_outstanding_max: limit(first.max_outstanding_messages),
        bytes_outstanding_max: limit(first.max_outstanding_bytes),
        ack_deadline: Some(deadline(first.stream_ack_deadline_seconds)?),
    })
}

fn deadline(seconds: i32) -> Result<Duration> {
    let seconds = u64::try_from(seconds)
        .map_err(|_| Error::invalid("stream_ack_deadline_seconds must not be negative."))?;
    Ok(Duration::from_secs(seconds))
}

/// One open stream.
struct Stream {
    puller: Puller,
    subscription: String,
    expects_heartbeats: bool,
    pubsub: PubSub,
}

impl Stream {
    async fn run(
        self,
        confirmations: Option<proto::StreamingPullResponse>,
        requests: Streaming<proto::StreamingPullRequest>,
        answers: Answers,
    ) {
        if let Some(response) = confirmations {
            // The queue of a new stream has room.
            let _ = answers.send(Ok(response)).await;
        }
        if let Err(status) = self.serve(requests, &answers).await {
            // Nobody to tell when the client is gone.
            let _ = answers.send(Err(status)).await;
        }
    }

    /// Serves until the client ends the stream, or an error or shutdown does.
    async fn serve(
        &self,
        mut requests: Streaming<proto::StreamingPullRequest>,
        answers: &Answers,
    ) -> std::result::Result<(), Status> {
        let mut heartbeat = heartbeats();
        // Whether there may be something to deliver.
        let mut may_deliver = true;
        loop {
            tokio::select! {
                biased;
                () = self.pubsub.shutdown_token().cancelled() => return Err(Error::ShuttingDown.into()),
                () = answers.closed() => return Ok(()),
                request = requests.message() => match request? {
                    Some(request) => if let Some(confirmations) = self.follow_up(&request)? {
                        // A client that does not read is not listened to either.
                        let _ = answers.send(Ok(confirmations)).await;
                    },
                    None => return Ok(()),
                },
                Ok(permit) = answers.reserve(), if may_deliver => match self.next_batch()? {
                    Some(response) => permit.send(Ok(response)),
                    None => may_deliver = false,
                },
                () = self.puller.woken(), if !may_deliver => may_deliver = true,
                // A full queue means that the client hears enough.
                _ = heartbeat.tick(), if self.expects_heartbeats => {
                    let _ = answers.try_send(Ok(self.response()?));
                }
            }
        }
    }

    fn next_batch(&self) -> Result<Option<proto::StreamingPullResponse>> {
        let deliveries = self.puller.take(BatchLimit::default())?;
        if deliveries.is_empty() {
            return Ok(None);
        }
        let traits = self.traits()?;
        let received = deliveries.iter().map(|it| to_received(it, traits.counts_attempts));
        let received_messages = received.collect();
        Ok(Some(proto::StreamingPullResponse { received_messages, ..response(traits) }))
    }

    /// A response without messages, which tells the properties of the subscription.
    fn response(&self) -> Result<proto::StreamingPullResponse> {
        self.traits().map(response)
    }

    /// As they are now: they may change while the stream is open.
    fn traits(&self) -> Result<Traits> {
        self.pubsub.change(|state, _| state.traits(&self.subscription))
    }

    /// A request after the first: acknowledgements, deadlines, or nothing (the client's heartbeat).
    fn follow_up(
        &self,
        request: &proto::StreamingPullRequest,
    ) -> Result<Option<proto::StreamingPullResponse>> {
        let repeats_the_first = !request.subscription.is_empty()
            || request.max_outstanding_messages != 0
            || request.max_outstanding_bytes != 0
            || request.protocol_version != 0;
        if repeats_the_first {
            return Err(Error::invalid(
                "subscription, flow control and protocol_version must be set on the first request only.",
            ));
        }
        if request.stream_ack_deadline_seconds != 0 {
            self.puller.set_ack_deadline(deadline(request.stream_ack_deadline_seconds)?)?;
        }
        self.acknowledge(request)
    }

    /// Takes acknowledgements and deadlines; where delivery is exactly once, the answer tells which had an effect.
    fn acknowledge(
        &self,
        request: &proto::StreamingPullRequest,
    ) -> Result<Option<proto::StreamingPullResponse>> {
        let (ids, seconds) = (&request.modify_deadline_ack_ids, &request.modify_deadline_seconds);
        if ids.len() != seconds.len() {
            return Err(Error::invalid(
                "modify_deadline_ack_ids and modify_deadline_seconds must have the same length.",
            ));
        }
        let (ack_ids, modified) = (parse_ack_ids(&request.ack_ids)?, parse_ack_ids(ids)?);
        if ack_ids.is_empty() && modified.is_empty() {
            return Ok(None);
        }
        let changes: Vec<_> = modified.into_iter().zip(seconds.iter().copied()).collect();
        let (acknowledged, modified, traits) = self.pubsub.change(|state, now| {
            let name = &self.subscription;
            let acknowledged = failures(match ack_ids.as_slice() {
                [] => Ok(()),
                ack_ids => state.acknowledge(name, ack_ids),
            })?;
            let modified = failures(match changes.as_slice() {
                [] => Ok(()),
                changes => state.modify_ack_deadline(name, changes, now),
            })?;
            Ok((acknowledged, modified, state.traits(name)?))
        })?;
        Ok(traits.exactly_once.then(|| proto::StreamingPullResponse {
            acknowledge_confirmation: acknowledge_confirmation(&request.ack_ids, &acknowledged),
            modify_ack_deadline_confirmation: modify_confirmation(ids, &modified),
            ..response(traits)
        }))
    }
}

fn response(traits: Traits) -> proto::StreamingPullResponse {
    proto::StreamingPullResponse {
        subscription_properties: Some(SubscriptionProperties {
            exactly_once_delivery_enabled: traits.exactly_once,
            message_ordering_enabled: traits.ordered,
        }),
        ..Default::default()
    }
}

/// Ticks at once, so that the client learns the properties of the subscription, then regularly.
fn heartbeats() -> Interval {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}
