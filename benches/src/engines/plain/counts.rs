//! The running sum and the word count.

use std::thread;

use rustc_hash::FxHashMap;

use super::rounds::Query;
use crate::outcome::{Outcome, hash_word_count, mix};

/// The running sum per key.
#[derive(Default)]
pub(super) struct RunningSum {
    sums: FxHashMap<u64, u64>,
    outcome: Outcome,
}

impl Query for RunningSum {
    type Input = (u64, u64);
    type Message = (u64, u64);
    const IS_KEYED: bool = true;

    #[inline]
    fn route(pair: &(u64, u64), send: &mut impl FnMut(u64, (u64, u64))) {
        send(pair.0, *pair);
    }

    #[inline]
    fn process(&mut self, (key, number): (u64, u64)) {
        let sum = self.sums.entry(key).or_insert(0);
        *sum += number;
        self.outcome.add(mix(key, *sum, 5));
    }

    fn merge(&mut self, other: Self) {
        self.outcome.merge(other.outcome);
    }

    fn finish(self) -> Outcome {
        self.outcome
    }
}

type WordCounts = FxHashMap<String, u64>;

/// Counts words: each thread its share of the lines, then all counts added up.
pub(super) fn count_words(lines: &[String], workers: usize) -> Outcome {
    let share = lines.len().div_ceil(workers).max(1);
    let counts = thread::scope(|scope| {
        let start = |lines| scope.spawn(move || count_words_of(lines));
        let threads: Vec<_> = lines.chunks(share).map(start).collect();
        let mut counts = WordCounts::default();
        for thread in threads {
            let more = thread.join().expect("counting words ends");
            if counts.is_empty() {
                counts = more;
            } else {
                more.into_iter()
                    .for_each(|(word, count)| *counts.entry(word).or_insert(0) += count);
            }
        }
        counts
    });
    let mut outcome = Outcome::default();
    counts.iter().for_each(|(word, count)| outcome.add(hash_word_count(word, *count)));
    outcome
}

fn count_words_of(lines: &[String]) -> WordCounts {
    let mut counts = WordCounts::default();
    for word in lines.iter().flat_map(|line| line.split_ascii_whitespace()) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        }
    }
    counts
}
