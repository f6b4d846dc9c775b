//! The shell around the state machine: locking, journal, timers, and the gRPC services.

mod confirmations;
mod handle;
mod publisher;
mod puller;
mod schemas;
mod streaming;
mod subscriber;

pub use handle::PubSub;
pub(crate) use publisher::PublisherService;
pub(in crate::pubsub) use publisher::publish;
pub use puller::Puller;
pub(crate) use schemas::SchemasService;
pub(in crate::pubsub) use schemas::{create_schema, list_schema_revisions, list_schemas};
pub(crate) use subscriber::SubscriberService;
pub(in crate::pubsub) use subscriber::{modify_ack_deadline, parse_ack_ids, pull, seek};
