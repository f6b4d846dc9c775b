//! The inputs that are not Nexmark's: lines of text with words of very different frequency, and pairs to add up.

use crate::outcome::spread;
use crate::random::Random;

const VOCABULARY: usize = 100_000;
const WORDS_PER_LINE: usize = 10;
/// The words after these carry their rank, so that no two are the same.
const BARE_WORDS: usize = 2_000;

/// How many different keys the pairs have.
pub const KEYS: u64 = 1_000_000;

/// Lines of ten words, `words` in all; word number `n` is as frequent as `1 / n` (Zipf's law).
#[must_use]
pub fn lines(words: usize) -> Vec<String> {
    let frequencies = cumulated_frequencies();
    let total = frequencies[VOCABULARY - 1];
    let mut random = Random::seeded(42);
    let mut word = || {
        let at = random.fraction() * total;
        let rank = frequencies.partition_point(|frequency| *frequency < at);
        word_of(rank.min(VOCABULARY - 1))
    };
    let mut line = || (0..WORDS_PER_LINE).map(|_| word()).collect::<Vec<_>>().join(" ");
    (0..words / WORDS_PER_LINE).map(|_| line()).collect()
}

/// Pairs of a key below [`KEYS`] and a number below 1,000.
#[must_use]
pub fn pairs(count: usize) -> Vec<(u64, u64)> {
    let mut random = Random::seeded(9);
    (0..count).map(|_| (random.below(KEYS), random.below(1_000))).collect()
}

fn cumulated_frequencies() -> Vec<f64> {
    let mut total = 0.0;
    let frequency = |rank| {
        total += 1.0 / rank as f64;
        total
    };
    (1..=VOCABULARY).map(frequency).collect()
}

fn word_of(rank: usize) -> String {
    let mut letters = spread(rank as u64 + 7);
    let mut word = String::with_capacity(16);
    for _ in 0..3 + rank % 8 {
        word.push(char::from(b'a' + (letters % 26) as u8));
        letters = letters / 26 + 0x0123_4567;
    }
    if rank > BARE_WORDS {
        word.push_str(&rank.to_string());
    }
    word
}
