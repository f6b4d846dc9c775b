//! Local Pub/Sub: a pure state machine ([`State`]) inside a shell ([`PubSub`]) that serves Google's gRPC and
//! REST protocols.

mod config;
mod error;
mod filter;
mod message;
mod names;
pub(crate) mod rest;
mod schema;
mod service;
mod state;

pub use error::{AckFailure, Error, Result};
pub use message::{AckId, Delivery, Message, NewMessage};
pub use names::DELETED_TOPIC;
pub(crate) use names::check_topic;
pub use service::{PubSub, Puller};
pub(crate) use service::{PublisherService, SchemasService, SubscriberService};
pub use state::{
    BatchLimit, Counters, Limits, Page, Record, SessionId, SessionOptions, State,
    SubscriptionStatistics, TopicStatistics, Traits,
};
