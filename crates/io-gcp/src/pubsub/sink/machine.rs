//! [`PublishMachine`]: the protocol of publishing, without sockets, clocks or a runtime.
//!
//! Messages go in, requests come out, answers go in. The service refuses a request as a whole, so messages that were refused
//! together are sent again one by one: only those refused alone are refused for good. When a message of an ordering key
//! fails, those behind it fail too; they are sent again in order, one by one, before any new one of that key.

use std::collections::{BTreeMap, VecDeque};

use millstream::Timestamp;
use millstream::sink::Refused;
use rustc_hash::FxHashMap;

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;

/// The most a message may hold. Source: "Quotas and limits" of the Pub/Sub documentation.
const MESSAGE_BYTES_MAX: usize = 10_000_000;

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishRequest {
    /// Publish, and report with [`PublishMachine::answered`].
    Publish {
        /// The message's number, for the report.
        id: u64,
        /// The message.
        message: PubSubMessage,
        /// Whether no other message may be in the same request.
        alone: bool,
    },
    /// Publish messages of this ordering key again.
    Resume(String),
    /// Send what waits for more to come.
    Flush,
}

/// How a message fared.
#[derive(Clone, Debug)]
pub enum PublishOutcome {
    /// It is published.
    Published,
    /// The request it was in was refused for good.
    Refused(String),
    /// It was not sent, because a message of its ordering key failed before it.
    Paused,
    /// The topic cannot be published to.
    Failed(PubSubError),
}

#[derive(Debug)]
struct Pending {
    timestamp: Timestamp,
    message: PubSubMessage,
    bytes: u64,
    alone: bool,
}

#[derive(Debug, Default)]
struct OrderingKey {
    in_flight: u64,
    is_troubled: bool,
    held: BTreeMap<u64, Pending>,
}

/// The protocol of publishing to one topic.
#[derive(Debug)]
pub struct PublishMachine {
    topic: String,
    messages_max: u64,
    bytes_max: u64,
    next_id: u64,
    staged: VecDeque<Pending>,
    in_flight: FxHashMap<u64, Pending>,
    keys: FxHashMap<String, OrderingKey>,
    messages: u64,
    bytes: u64,
    requests: Vec<PublishRequest>,
    refused: Vec<(Timestamp, Refused)>,
    failure: Option<PubSubError>,
    is_flushing: bool,
    is_closed: bool,
    bytes_written: u64,
}

impl PublishMachine {
    /// A machine that keeps at most `messages_max` messages and about `bytes_max` bytes in flight to `topic`.
    #[must_use]
    pub fn new(topic: String, messages_max: u64, bytes_max: u64) -> Self {
        Self {
            topic,
            messages_max,
            bytes_max,
            next_id: 1,
            staged: VecDeque::new(),
            in_flight: FxHashMap::default(),
            keys: FxHashMap::default(),
            messages: 0,
            bytes: 0,
            requests: Vec::new(),
            refused: Vec::new(),
            failure: None,
            is_flushing: false,
            is_closed: false,
            bytes_written: 0,
        }
    }

    /// How many messages may be staged now.
    #[must_use]
    pub fn room(&self) -> u64 {
        if self.staged.is_empty() && self.bytes < self.bytes_max {
            self.messages_max.saturating_sub(self.messages)
        } else {
            0
        }
    }

    /// Takes a message of event time `timestamp`. What Pub/Sub would never take is refused here.
    pub fn stage(&mut self, timestamp: Timestamp, message: PubSubMessage) {
        let size = message.size();
        let reason = if size > MESSAGE_BYTES_MAX {
            format!("the message has {size} bytes, more than {MESSAGE_BYTES_MAX}")
        } else if message.data.is_empty() && message.attributes.is_empty() {
            String::from("the message has neither data nor attributes")
        } else {
            let bytes = size as u64;
            return self.staged.push_back(Pending { timestamp, message, bytes, alone: false });
        };
        self.refuse(timestamp, reason, &message);
    }

    fn refuse(&mut self, timestamp: Timestamp, reason: String, message: &PubSubMessage) {
        let refused = Refused::new(self.topic.as_str(), reason, message.data.as_ref());
        self.refused.push((timestamp, refused));
    }

    /// Sends staged messages as far as the bounds allow.
    pub fn fill(&mut self) {
        while self.messages < self.messages_max && self.bytes < self.bytes_max {
            let Some(pending) = self.staged.pop_front() else { return };
            self.messages += 1;
            self.bytes += pending.bytes;
            let id = self.next_id;
            self.next_id += 1;
            self.send_or_hold(id, pending);
        }
    }

    fn send_or_hold(&mut self, id: u64, pending: Pending) {
        if !pending.message.ordering_key.is_empty() {
            let key = self.keys.entry(pending.message.ordering_key.clone()).or_default();
            if key.is_troubled {
                key.held.insert(id, pending);
                return;
            }
            key.in_flight += 1;
        }
        self.send(id, pending);
    }

    fn send(&mut self, id: u64, pending: Pending) {
        let (message, alone) = (pending.message.clone(), pending.alone);
        self.in_flight.insert(id, pending);
        self.requests.push(PublishRequest::Publish { id, message, alone });
    }

    /// Message `id` was answered.
    pub fn answered(&mut self, id: u64, outcome: PublishOutcome) {
        let Some(mut pending) = self.in_flight.remove(&id) else { return };
        let ordering_key = pending.message.ordering_key.clone();
        match outcome {
            PublishOutcome::Published => {
                self.bytes_written += pending.bytes;
                self.done(&pending);
            }
            PublishOutcome::Refused(reason) if pending.alone => {
                self.refuse(pending.timestamp, reason, &pending.message);
                self.done(&pending);
            }
            PublishOutcome::Failed(error) => {
                self.failure.get_or_insert(error);
                self.done(&pending);
            }
            PublishOutcome::Refused(_) | PublishOutcome::Paused => {
                pending.alone = true;
                if ordering_key.is_empty() {
                    self.send(id, pending);
                } else if let Some(key) = self.keys.get_mut(&ordering_key) {
                    key.is_troubled = true;
                    key.held.insert(id, pending);
                }
            }
        }
        if !ordering_key.is_empty() {
            self.advance_key(ordering_key);
        }
    }

    fn done(&mut self, pending: &Pending) {
        self.messages -= 1;
        self.bytes -= pending.bytes;
    }

    /// One message of the key was answered: once all of a troubled key are, the next one held is sent alone.
    fn advance_key(&mut self, ordering_key: String) {
        let Some(key) = self.keys.get_mut(&ordering_key) else { return };
        key.in_flight -= 1;
        if key.in_flight > 0 {
            return;
        }
        let is_troubled = key.is_troubled;
        let next = key.held.pop_first();
        if next.is_some() {
            key.in_flight = 1;
        } else {
            self.keys.remove(&ordering_key);
        }
        if is_troubled {
            self.requests.push(PublishRequest::Resume(ordering_key));
        }
        if let Some((id, mut pending)) = next {
            pending.alone = true;
            self.send(id, pending);
        }
    }

    /// Whether every message taken so far is answered; asks once for what waits to be sent.
    ///
    /// # Errors
    /// Why the topic cannot be published to.
    pub fn settle(&mut self) -> Result<bool, PubSubError> {
        self.check()?;
        self.fill();
        let is_settled = self.messages == 0 && self.staged.is_empty();
        if !is_settled && !self.is_flushing {
            self.requests.push(PublishRequest::Flush);
        }
        self.is_flushing = !is_settled;
        Ok(is_settled)
    }

    /// Whether publishing goes on.
    ///
    /// # Errors
    /// Why the topic cannot be published to.
    pub fn check(&self) -> Result<(), PubSubError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Publishing is impossible.
    pub fn fail(&mut self, error: PubSubError) {
        self.failure.get_or_insert(error);
    }

    /// Takes what is to be done.
    pub fn requests(&mut self) -> Vec<PublishRequest> {
        std::mem::take(&mut self.requests)
    }

    /// Whether something is to be done.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Takes the messages refused for good, with their event times.
    pub fn refused(&mut self) -> Vec<(Timestamp, Refused)> {
        std::mem::take(&mut self.refused)
    }

    /// Bytes published so far.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// The writer is gone.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether the writer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}
