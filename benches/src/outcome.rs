//! What a run produced: how many outputs, and a hash of them that does not depend on their order.

use serde::{Deserialize, Serialize};

/// The number of outputs and the sum of their hashes. Equal outcomes mean equal results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many outputs reached the sink.
    pub count: u64,
    /// The wrapping sum of the outputs' hashes.
    pub hash: u64,
}

impl Outcome {
    /// Takes in one output by its hash.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        self.count += 1;
        self.hash = self.hash.wrapping_add(hash);
    }

    /// Takes in what another worker produced.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

impl FromIterator<Outcome> for Outcome {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut total = Self::default();
        outcomes.into_iter().for_each(|outcome| total.merge(outcome));
        total
    }
}

const FIRST: u64 = 0x9E37_79B9_7F4A_7C15;
const SECOND: u64 = 0xC2B2_AE3D_27D4_EB4F;
const THIRD: u64 = 0x1656_67B1_9E37_79F9;

/// The hash of an output of three numbers.
#[inline]
#[must_use]
pub fn mix(first: u64, second: u64, third: u64) -> u64 {
    first.wrapping_mul(FIRST) ^ second.wrapping_mul(SECOND) ^ third.wrapping_mul(THIRD)
}

/// Spreads a key over 64 bits, to route it.
#[inline]
#[must_use]
pub fn spread(key: u64) -> u64 {
    let product = key.wrapping_mul(FIRST);
    product ^ (product >> 32)
}

/// The hash of a word (FNV-1a).
#[inline]
#[must_use]
pub fn hash_word(word: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    word.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The hash of a word and how often it occurred.
#[inline]
#[must_use]
pub fn hash_word_count(word: &str, count: u64) -> u64 {
    hash_word(word).wrapping_mul(count)
}
