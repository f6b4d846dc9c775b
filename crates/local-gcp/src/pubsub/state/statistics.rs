//! What the state machine tells about itself.

use crate::clock::Timestamp;

/// Counts since the server started; they never go down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Deliveries, repeated ones included.
    pub delivered: u64,
    /// Deliveries of messages delivered before.
    pub redelivered: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Deliveries refused by the subscriber (deadline set to zero).
    pub nacked: u64,
    /// Deliveries whose deadline passed.
    pub expired: u64,
    /// Messages forwarded to the dead letter topic.
    pub dead_lettered: u64,
    /// Messages given up because they were older than the retention.
    pub dropped: u64,
}

/// One subscription at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStatistics {
    /// Messages waiting for a delivery: never delivered, failed, or backing off.
    pub undelivered: u64,
    /// Messages delivered, not acknowledged, deadline not passed.
    pub outstanding: u64,
    /// Messages not acknowledged: the sum of the two.
    pub unacked: u64,
    /// Their bytes.
    pub unacked_bytes: u64,
    /// When the oldest of them was published.
    pub oldest_unacked: Option<Timestamp>,
    /// Open streaming pulls and waiting pulls.
    pub sessions: u64,
    /// Totals since the start.
    pub counters: Counters,
}

/// One topic at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStatistics {
    /// Messages published since the server started.
    pub published_messages: u64,
    /// Their bytes.
    pub published_bytes: u64,
    /// Attached subscriptions.
    pub subscriptions: u64,
}
