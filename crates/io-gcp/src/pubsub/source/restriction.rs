//! [`PubSubRestriction`]: one reader's share of a subscription, as it stands in a checkpoint.

use std::time::Duration;

use millstream::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::IdSet;

/// One reader's share of a subscription: which of the parallel streams it is, where its watermark stood, and which of the
/// messages it took may come back because their acknowledgement is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PubSubRestriction {
    pub(crate) split: u32,
    pub(crate) splits: u32,
    pub(crate) watermark: Timestamp,
    /// How long after its end messages leased to the reader that wrote this come back; zero where nothing was read.
    pub(crate) lease_horizon: Duration,
    #[serde(default)]
    pub(super) unconfirmed: Vec<IdSet>,
}

impl PubSubRestriction {
    pub(crate) fn new(split: u32, splits: u32) -> Self {
        Self {
            split,
            splits,
            watermark: Timestamp::MIN,
            lease_horizon: Duration::ZERO,
            unconfirmed: Vec::new(),
        }
    }

    /// The watermark that the next reader starts from.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// How many messages are in the checkpoint that may be delivered again.
    #[must_use]
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed.iter().map(IdSet::len).sum()
    }

    pub(crate) fn was_read(&self) -> bool {
        !self.lease_horizon.is_zero()
    }
}
