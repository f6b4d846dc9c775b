//! [`PubSubPublisher`]: publishes many messages and waits, for feeders and tests.

use std::sync::Arc;

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::super::names::check_topic;
use super::client::Publishers;
use crate::connection::Connection;

/// Messages sent before their answers are awaited: a bound for what waits in the client.
const IN_FLIGHT: usize = 10_000;

/// Publishes messages to a topic outside of a pipeline; cheap to clone.
///
/// ```no_run
/// use millstream_io_gcp::connection::Connection;
/// use millstream_io_gcp::pubsub::{PubSubMessage, PubSubPublisher};
///
/// # async fn feed() -> Result<(), millstream_io_gcp::pubsub::PubSubError> {
/// let publisher = PubSubPublisher::connect("projects/demo/topics/orders", &Connection::new()).await?;
/// let ids = publisher.publish((0..1_000).map(|n| PubSubMessage::new(format!("order {n}")))).await?;
/// assert_eq!(ids.len(), 1_000);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PubSubPublisher {
    topic: String,
    publishers: Publishers,
}

impl PubSubPublisher {
    /// A publisher to `topic`, named `projects/PROJECT/topics/TOPIC`, over `connection`.
    ///
    /// # Errors
    /// When the name is none, or no client can be made from the connection. The topic is not looked at.
    pub async fn connect(
        topic: impl Into<String>,
        connection: &Connection,
    ) -> Result<Self, PubSubError> {
        let topic = topic.into();
        check_topic(&topic)?;
        let publishers = Publishers::connect(&topic, connection, Arc::default()).await?;
        Ok(Self { topic, publishers })
    }

    /// Publishes all messages and returns their ids in the same order.
    ///
    /// # Errors
    /// The first failure, once tries have run out. Messages before and behind it may be published.
    pub async fn publish(
        &self,
        messages: impl IntoIterator<Item = PubSubMessage>,
    ) -> Result<Vec<String>, PubSubError> {
        let mut messages = messages.into_iter();
        let mut ids = Vec::new();
        loop {
            let sent: Vec<_> = messages
                .by_ref()
                .take(IN_FLIGHT)
                .map(|message| self.publishers.together.publish(message.to_google()))
                .collect();
            if sent.is_empty() {
                return Ok(ids);
            }
            self.publishers.together.flush().await;
            for answer in sent {
                ids.push(answer.await.map_err(|error| PubSubError::publish(&self.topic, &error))?);
            }
        }
    }
}
