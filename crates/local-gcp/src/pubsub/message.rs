//! Messages, deliveries and acknowledgement ids.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;

/// What a publisher hands over, before the server gives it an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// The payload.
    pub data: Bytes,
    /// Attributes by name.
    pub attributes: BTreeMap<String, String>,
    /// Key within which order matters; empty for none.
    pub ordering_key: String,
}

impl NewMessage {
    /// A message with a payload only.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }
}

impl From<proto::PubsubMessage> for NewMessage {
    fn from(message: proto::PubsubMessage) -> Self {
        Self {
            data: message.data,
            attributes: message.attributes,
            ordering_key: message.ordering_key,
        }
    }
}

/// A published message, shared by all subscriptions that have not acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Unique among all messages of the server, growing in the order of publication.
    pub id: u64,
    /// When the server accepted it.
    pub publish_time: Timestamp,
    /// The payload.
    pub data: Bytes,
    /// Attributes by name.
    pub attributes: BTreeMap<String, String>,
    /// Key within which order matters; empty for none.
    pub ordering_key: String,
}

/// Stands for the message's ids, times and lengths when bytes are counted.
const MESSAGE_OVERHEAD_BYTES: u64 = 32;

impl Message {
    /// Size as flow control and limits count it, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let attributes: usize =
            self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        (self.data.len() + attributes + self.ordering_key.len()) as u64 + MESSAGE_OVERHEAD_BYTES
    }

    /// Whether it has a key within which order matters.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        !self.ordering_key.is_empty()
    }

    /// The message as it goes over the wire.
    #[must_use]
    pub fn to_proto(&self) -> proto::PubsubMessage {
        let (seconds, nanos) = self.publish_time.as_seconds_and_nanos();
        proto::PubsubMessage {
            data: self.data.clone(),
            attributes: self.attributes.clone(),
            message_id: self.id.to_string(),
            publish_time: Some(prost_types::Timestamp { seconds, nanos }),
            ordering_key: self.ordering_key.clone(),
        }
    }
}

/// One delivery of a message to a subscriber, who owes an acknowledgement.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this delivery in `acknowledge` and `modify_ack_deadline`.
    pub ack_id: AckId,
    /// The message.
    pub message: Arc<Message>,
    /// How many times the message has been delivered on this subscription, this time included.
    pub attempt: u32,
}

/// Names one delivery of one message on one subscription. Text outside, numbers inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId {
    /// Number of the subscription, never reused.
    pub(super) subscription: u64,
    /// Id of the message.
    pub(super) message: u64,
    /// Number of the delivery on the subscription.
    pub(super) delivery: u64,
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.subscription, self.message, self.delivery)
    }
}

impl FromStr for AckId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut numbers = text.split('-').map(|part| u64::from_str_radix(part, 16).ok());
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(subscription)), Some(Some(message)), Some(Some(delivery)), None) => {
                Ok(Self { subscription, message, delivery })
            }
            _ => Err(Error::InvalidAckId { ack_id: text.chars().take(80).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_ids_survive_their_text_form_and_garbage_is_refused() {
        let ack_id = AckId { subscription: 7, message: u64::MAX, delivery: 1 << 40 };
        assert_eq!(ack_id.to_string().parse::<AckId>().unwrap(), ack_id);
        for text in
            ["", "1", "1-2", "1-2-3-4", "x-1-2", "1-2-", "projects/p", "1-2-10000000000000000"]
        {
            assert!(text.parse::<AckId>().is_err(), "{text}");
        }
    }
}
