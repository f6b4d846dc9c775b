//! The pure state machine of Pub/Sub: no clock, no socket, no thread, no randomness.
//!
//! Every step takes `now` as an argument and leaves three things for its shell: sessions to wake
//! ([`State::take_woken`]), records to persist ([`State::take_records`]), and when to call
//! [`State::advance`] next ([`State::next_deadline`]). The same steps give the same results, so the machine
//! runs as well under a simulator as behind sockets.

mod admin;
mod dead_letters;
mod delivery;
mod leases;
mod machine;
mod ordered;
mod ordering;
mod record;
mod schemas;
mod seeking;
mod session;
mod snapshots;
mod statistics;
mod subscription;
#[cfg(test)]
mod tests;
mod topic;

pub use admin::{Page, Traits};
pub(in crate::pubsub) use delivery::check_pull;
pub use machine::{Limits, State};
pub use record::Record;
pub(in crate::pubsub) use schemas::validate_schema;
pub use session::{SessionId, SessionOptions};
pub use statistics::{Counters, SubscriptionStatistics, TopicStatistics};
pub use subscription::BatchLimit;
