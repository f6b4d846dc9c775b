//! Pub/Sub: a source that acknowledges behind the checkpoint, a sink, and helpers for feeders and tests.
//!
//! [`PubSub`] makes sources and sinks. [`PubSubPublisher`] publishes outside of a pipeline, [`PubSubAdmin`] makes topics
//! and subscriptions.

mod admin;
mod error;
mod message;
mod names;

pub mod sink;
pub mod source;

pub use admin::{PubSubAdmin, SubscriptionSettings};
pub use error::PubSubError;
pub use message::PubSubMessage;
pub use names::PubSub;
pub use sink::{PubSubPublisher, PubSubSink, PubSubWriter};
pub use source::{PubSubLink, PubSubReader, PubSubRestriction, PubSubSource};
