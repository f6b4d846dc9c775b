//! The running sum and the word count.

use ::timely::dataflow::channels::pact::{Exchange, Pipeline};
use ::timely::dataflow::operators::Operator;
use ::timely::dataflow::operators::vec::Map;
use rustc_hash::FxHashMap;

use super::{Records, Total, collect};
use crate::outcome::{hash_word, hash_word_count, mix, spread};

/// The running sum per key.
pub(super) fn running_sum(pairs: Records<'_, (u64, u64)>, total: Total) {
    let by_key = Exchange::new(|(key, _): &(u64, u64)| spread(*key));
    let sums = pairs.unary(by_key, "Sum", |_, _| {
        let mut sums: FxHashMap<u64, u64> = FxHashMap::default();
        move |input, output| {
            input.for_each(|time, batch| {
                let mut session = output.session(&time);
                for (key, number) in batch.drain(..) {
                    let sum = sums.entry(key).or_insert(0);
                    *sum += number;
                    session.give((key, *sum));
                }
            });
        }
    });
    collect(sums, total, |(key, sum): &(u64, u64)| mix(*key, *sum, 5));
}

/// Counts words: each word is exchanged.
pub(super) fn word_count(lines: Records<'_, String>, total: Total) {
    let words = lines.flat_map(|line| {
        line.split_ascii_whitespace().map(|word| (word.to_owned(), 1)).collect::<Vec<_>>()
    });
    add_up(words, total);
}

/// Counts words: the words of a batch are added up before they are exchanged.
pub(super) fn word_count_preaggregated(lines: Records<'_, String>, total: Total) {
    let words = lines.unary(Pipeline, "CountInBatch", |_, _| {
        move |input, output| {
            input.for_each(|time, batch| {
                let mut counts: FxHashMap<&str, u64> = FxHashMap::default();
                for word in batch.iter().flat_map(|line| line.split_ascii_whitespace()) {
                    *counts.entry(word).or_insert(0) += 1;
                }
                let counts = counts.into_iter().map(|(word, count)| (word.to_owned(), count));
                output.session(&time).give_iterator(counts);
            });
        }
    });
    add_up(words, total);
}

fn add_up(words: Records<'_, (String, u64)>, total: Total) {
    let by_word = Exchange::new(|(word, _): &(String, u64)| hash_word(word));
    let mut counts: FxHashMap<String, u64> = FxHashMap::default();
    words.sink(by_word, "AddUp", move |(input, frontier)| {
        input.for_each(|_, batch| {
            for (word, count) in batch.drain(..) {
                *counts.entry(word).or_insert(0) += count;
            }
        });
        if frontier.is_empty() {
            let mut total = total.borrow_mut();
            counts.drain().for_each(|(word, count)| total.add(hash_word_count(&word, count)));
        }
    });
}
