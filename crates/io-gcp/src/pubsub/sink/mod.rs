//! Publishing to a topic: [`PubSubSink`] and what it is made of.
//!
//! At least once: the barrier of an epoch passes when every message of it was answered, so after a crash messages of the
//! interrupted epoch are published again. Messages of one ordering key are published in order.

mod client;
mod options;
mod publisher;
mod shell;
mod writer;

pub mod machine;

#[cfg(test)]
mod tests;

pub use options::PubSubSink;
pub use publisher::PubSubPublisher;
pub use writer::PubSubWriter;
