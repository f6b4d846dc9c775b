//! [`PubSubSink`]: which topic is published to, and how.

use millstream::io::IoContext;
use millstream::sink::Sink;
use millstream::{BoxError, Data};

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::super::names::check_topic;
use super::writer::PubSubWriter;
use crate::connection::Connection;

/// Messages in flight of one writer: ten full requests.
const IN_FLIGHT_MESSAGES: u64 = 10_000;
/// Bytes in flight of one writer.
const IN_FLIGHT_BYTES: u64 = 64 << 20;

/// Publishes to a topic of Pub/Sub, at least once; made by [`PubSub::topic`](crate::pubsub::PubSub::topic).
///
/// Takes [`PubSubMessage`]s and whatever turns into them. What the service refuses for good comes out as refused elements.
#[derive(Clone, Debug)]
pub struct PubSubSink {
    pub(super) topic: String,
    pub(super) connection: Connection,
    pub(super) in_flight_messages: u64,
    pub(super) in_flight_bytes: u64,
}

impl PubSubSink {
    pub(crate) fn new(topic: String) -> Self {
        Self {
            topic,
            connection: Connection::new(),
            in_flight_messages: IN_FLIGHT_MESSAGES,
            in_flight_bytes: IN_FLIGHT_BYTES,
        }
    }

    /// Reaches the service through `connection`; without it the cloud, or the server `PUBSUB_EMULATOR_HOST` names.
    #[must_use]
    pub fn connection(mut self, connection: Connection) -> Self {
        self.connection = connection;
        self
    }

    /// How many messages each writer may have sent without an answer. Default 10,000.
    #[must_use]
    pub fn max_in_flight_messages(mut self, messages: u64) -> Self {
        self.in_flight_messages = messages;
        self
    }

    /// How many bytes each writer may have sent without an answer, give or take a message. Default 64 MiB.
    #[must_use]
    pub fn max_in_flight_bytes(mut self, bytes: u64) -> Self {
        self.in_flight_bytes = bytes;
        self
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    fn validate(&self) -> Result<(), PubSubError> {
        check_topic(&self.topic)?;
        if self.in_flight_messages == 0 || self.in_flight_bytes == 0 {
            let what = String::from("nothing may be in flight, so nothing can be published");
            return Err(PubSubError::Option { resource: self.topic.clone(), what });
        }
        Ok(())
    }
}

impl<T: Data + Into<PubSubMessage>> Sink<T> for PubSubSink {
    type Writer = PubSubWriter;

    fn writer(&self, ctx: &IoContext) -> Result<PubSubWriter, BoxError> {
        self.validate()?;
        Ok(PubSubWriter::start(self, ctx))
    }
}
