//! The first pipeline of every library: how often each word occurs.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use millstream::prelude::*;

const TEXT: [&str; 3] = [
    "to be or not to be that is the question",
    "whether tis nobler in the mind to suffer",
    "the slings and arrows of outrageous fortune",
];

fn main() -> Result<(), Error> {
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let collected = Arc::clone(&counts);

    let pipeline = Pipeline::named("word-count");
    pipeline
        .create("Lines", TEXT.map(String::from))
        .flat_map("Words", |line| line.split(' ').map(String::from).collect::<Vec<_>>())
        .count_per_element("Count")
        .filter("Frequent", |(_, count)| *count > 1)
        .for_each("Collect", move |(word, count)| {
            // Workers run side by side: what they share is behind a lock.
            collected.lock().expect("no worker panics with it").insert(word, count);
        });

    let report = Engine::builder().workers(2).run(&pipeline)?;

    for (word, count) in &*counts.lock().expect("the workers are done") {
        println!("{word}: {count}");
    }
    let words = report.step("Words").map_or(0, |step| step.records_out);
    println!("{words} words in all");
    Ok(())
}
