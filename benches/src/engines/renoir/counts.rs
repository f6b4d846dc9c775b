//! The running sum and the word count.

use std::sync::Arc;

use ::renoir::prelude::*;

use super::{Totals, collect, read};
use crate::outcome::{hash_word_count, mix};

pub(super) fn running_sum(context: &StreamContext, pairs: Arc<Vec<(u64, u64)>>) -> Totals {
    let mut sum = 0;
    let add = move |(_, (_, number)): (&u64, (u64, u64))| {
        sum += number;
        sum
    };
    let sums = read(context, pairs).group_by(|pair| pair.0).rich_map(add).unkey();
    collect(sums, |(key, sum)| mix(*key, *sum, 5))
}

/// Counts words: each word is exchanged.
pub(super) fn word_count(context: &StreamContext, lines: Arc<Vec<String>>) -> Totals {
    let words = read(context, lines).flat_map(split).group_by(String::clone);
    let counts = words.map(|_| 1).fold(0, |count: &mut u64, one| *count += one).unkey();
    collect(counts, |(word, count): &(String, u64)| hash_word_count(word, *count))
}

/// Counts words: each replica adds up its own before they are exchanged.
pub(super) fn word_count_preaggregated(context: &StreamContext, lines: Arc<Vec<String>>) -> Totals {
    let counts = read(context, lines).flat_map(split).group_by_count(String::clone).unkey();
    collect(counts, |(word, count): &(String, usize)| hash_word_count(word, *count as u64))
}

#[allow(clippy::needless_pass_by_value, reason = "renoir hands lines on by value")]
fn split(line: String) -> Vec<String> {
    line.split_ascii_whitespace().map(str::to_owned).collect()
}
