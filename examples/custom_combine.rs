//! An aggregate of one's own: the spread of the values of each key.
//!
//! A `CombineFn` says how values add up, in parts that can be merged: so the engine may aggregate on every worker before anything
//! crosses between them, and keep a small accumulator instead of all values.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::sync::{Arc, Mutex};

use millstream::prelude::*;
use serde::{Deserialize, Serialize};

/// The difference between the greatest and the least value.
#[derive(Clone)]
struct Spread;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Range {
    least: i64,
    greatest: i64,
}

impl CombineFn<i64> for Spread {
    type Accumulator = Option<Range>;
    type Output = i64;

    fn create_accumulator(&self) -> Option<Range> {
        None
    }

    fn add_input(&self, range: &mut Option<Range>, value: i64) {
        self.merge(range, Some(Range { least: value, greatest: value }));
    }

    fn merge(&self, range: &mut Option<Range>, other: Option<Range>) {
        *range = match (range.take(), other) {
            (Some(one), Some(other)) => Some(Range {
                least: one.least.min(other.least),
                greatest: one.greatest.max(other.greatest),
            }),
            (one, other) => one.or(other),
        };
    }

    fn extract_output(&self, range: &Option<Range>) -> i64 {
        range.as_ref().map_or(0, |range| range.greatest - range.least)
    }
}

fn main() -> Result<(), Error> {
    let spreads = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&spreads);
    let readings = [("roof", 4_i64), ("cellar", 11), ("roof", 31), ("roof", -9), ("cellar", 12)];

    let pipeline = Pipeline::new();
    pipeline
        .create("Readings", readings.map(|(place, degrees)| (place.to_owned(), degrees)))
        .combine_per_key("Spread", Spread)
        .for_each("Collect", move |spread| {
            collected.lock().expect("no worker panics with it").push(spread);
        });
    Engine::builder().workers(2).run(&pipeline)?;

    let mut spreads = spreads.lock().expect("the workers are done");
    spreads.sort();
    for (place, spread) in &*spreads {
        println!("{place}: {spread} degrees between coldest and warmest");
    }
    Ok(())
}
