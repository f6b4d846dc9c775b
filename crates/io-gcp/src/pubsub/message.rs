//! [`PubSubMessage`]: what is read from a subscription and published to a topic, and its form in Google's client.

use std::collections::BTreeMap;

use bytes::Bytes;
use google_cloud_pubsub::model::Message;
use millstream::Timestamp;
use serde::{Deserialize, Serialize};

/// A message of Pub/Sub.
///
/// ```
/// use millstream_io_gcp::pubsub::PubSubMessage;
///
/// let message = PubSubMessage::new("{\"sku\": \"tea\"}").with_attribute("kind", "order");
/// assert_eq!(message.attribute("kind"), Some("order"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PubSubMessage {
    /// The payload.
    pub data: Bytes,
    /// Names and values beside the payload.
    pub attributes: BTreeMap<String, String>,
    /// The number that the service gave the message; empty before it is published.
    pub message_id: String,
    /// When the service took the message; the epoch before it is published.
    pub publish_time: Timestamp,
    /// Messages of one key are delivered in order where the subscription says so; empty for none.
    pub ordering_key: String,
}

impl PubSubMessage {
    /// A message to be published.
    #[must_use]
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets the ordering key.
    #[must_use]
    pub fn with_ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = key.into();
        self
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Bytes of payload, attributes and ordering key: what Pub/Sub counts against its limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.data.len() + self.ordering_key.len() + attributes
    }

    /// The form of Google's client, to be published. The payload is shared, not copied.
    pub(crate) fn to_google(&self) -> Message {
        let mut message =
            Message::new().set_data(self.data.clone()).set_ordering_key(self.ordering_key.as_str());
        if !self.attributes.is_empty() {
            let pairs = self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            message = message.set_attributes(pairs);
        }
        message
    }

    /// The message as Google's client received it.
    pub(crate) fn from_google(message: Message) -> Self {
        let publish_time = message.publish_time.map_or(Timestamp::EPOCH, |time| {
            let micros = i64::from(time.nanos() / 1_000);
            Timestamp::from_secs(time.seconds()).saturating_add_micros(micros)
        });
        Self {
            data: message.data,
            attributes: message.attributes.into_iter().collect(),
            message_id: message.message_id,
            publish_time,
            ordering_key: message.ordering_key,
        }
    }
}

impl Default for PubSubMessage {
    fn default() -> Self {
        Self {
            data: Bytes::new(),
            attributes: BTreeMap::new(),
            message_id: String::new(),
            publish_time: Timestamp::EPOCH,
            ordering_key: String::new(),
        }
    }
}

impl From<String> for PubSubMessage {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Vec<u8>> for PubSubMessage {
    fn from(data: Vec<u8>) -> Self {
        Self::new(data)
    }
}

impl From<Bytes> for PubSubMessage {
    fn from(data: Bytes) -> Self {
        Self::new(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_googles_form_and_the_checkpoint() {
        let message = PubSubMessage::new(vec![0, 255])
            .with_attribute("kind", "order")
            .with_ordering_key("tea");
        let google = message.to_google().set_message_id("7");
        let back = PubSubMessage::from_google(google);
        assert_eq!(back, PubSubMessage { message_id: String::from("7"), ..message.clone() });
        assert_eq!(message.size(), 2 + 9 + 3);
        let bytes = millstream::coder::encode(&back).unwrap();
        assert_eq!(millstream::coder::decode::<PubSubMessage>(&bytes).unwrap(), back);
    }
}
