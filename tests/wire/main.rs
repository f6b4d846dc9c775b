//! Exactly once through the wire: the connectors' protocol state machines joined with the servers' through a simulated network.
//!
//! A job reads Pub/Sub and writes rows and windowed sums to BigQuery. Its reader and writers are the ones of production; in
//! place of Google's client and the sockets stands a network in virtual time, at whose other end are the state machines of the
//! local servers. Everything follows from a seed: crashes of the whole process, a disk that fails, messages that come twice, out
//! of order and again after their lease, acknowledgements, requests and answers that get lost, connections that break while
//! requests are under way, throttling, streams that expire or are ended by somebody else. After the last fault the job must come
//! to rest within 60 virtual seconds, with every message in the table once and every window's last pane right.
//!
//! `MILLSTREAM_SEEDS=10000 cargo test --workspace --test wire` runs more seeds; `MILLSTREAM_FIRST_SEED` starts elsewhere.

mod job;
mod network;
mod scenario;
mod service;
mod storage;
mod subscriber;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scenario::{Bug, Scenario};
use world::run;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_is_lost_or_doubled_between_the_services_whatever_fails() {
    let first = number("MILLSTREAM_FIRST_SEED", 0);
    let seeds = number("MILLSTREAM_SEEDS", 1_000);
    println!("MILLSTREAM_FIRST_SEED={first} MILLSTREAM_SEEDS={seeds}");
    let mut counts = BTreeMap::<&str, u64>::new();
    let (mut lives, mut slowest) = (0, Duration::ZERO);
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        let scenario = Scenario::seeded(seed);
        let outcome = run(&scenario, |seen| {
            seen.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        });
        match outcome {
            Ok(outcome) => {
                lives += outcome.lives;
                slowest = slowest.max(outcome.rest);
            }
            Err(failed) => {
                if seeds == 1 {
                    println!("{scenario:#?}\n{:#}", failed.journal);
                } else if failures.is_empty() {
                    println!("seed {seed}: {scenario:#?}\n{}", failed.journal);
                }
                failures.push(format!("seed {seed}: {}", failed.violation));
            }
        }
    }
    println!("{lives} lives, at rest within {slowest:?}, {counts:#?}");
    assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), failures.join("\n"));
}
