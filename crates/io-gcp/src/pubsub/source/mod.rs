//! Reading a subscription: [`PubSubSource`] and what it is made of.
//!
//! [`PubSubSource`] is the recipe, [`PubSubReader`] what the engine polls. Between the reader and Google's client stands
//! [`Machine`](machine::Machine), which holds the protocol; the shell carries deliveries into it and requests out of it, through a
//! [`PubSubLink`], where a simulation can stand in its place.
//!
//! # What is promised
//! With an engine that checkpoints, every message has its effects exactly once, as long as a message comes back within the
//! deduplication horizon: ten minutes of running time behind the confirmation of its acknowledgement. Beyond the horizon
//! delivery is at least once. On a subscription without exactly-once delivery the service confirms nothing; an
//! acknowledgement then counts as confirmed when the lease has run out and the message has not come back.

mod inbox;
mod ledger;
mod link;
mod options;
mod reader;
mod restriction;
mod shell;
mod watermark;

pub mod ids;
pub mod machine;
pub mod registry;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use link::PubSubLink;
pub use options::PubSubSource;
pub use reader::PubSubReader;
pub use restriction::PubSubRestriction;
