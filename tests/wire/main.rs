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
mod reused;
mod scenario;
mod service;
mod storage;
mod subscriber;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use scenario::{Bug, Scenario, Violation};
use world::{Failed, run};

/// Seeds that are run with every change.
const SEEDS: u64 = 1_000;

/// What must happen in so many seeds, or they prove nothing.
const MUST_HAPPEN: [&str; 20] = [
    "crash",
    "a life fails",
    "a lease runs out",
    "delivered again",
    "a delivery is doubled",
    "comes again before its lease is over",
    "comes out of order",
    "an acknowledgement is lost",
    "a confirmation is lost",
    "a stream breaks",
    "the service is away",
    "the answer of an append is lost",
    "an append is never answered",
    "a stray request arrives",
    "ALREADY_EXISTS",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "appends to a stream that has expired",
    "appends to a stream that was ended",
    "a flush is refused",
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What many seeds showed.
#[derive(Debug, Default)]
struct Tally {
    lives: u32,
    /// The longest that it took to come to rest.
    slowest: Duration,
    counts: BTreeMap<&'static str, u64>,
    failures: BTreeMap<u64, (Scenario, Failed)>,
}

impl Tally {
    fn add(&mut self, scenario: Scenario) {
        let seed = scenario.seed;
        let outcome = run(&scenario);
        match outcome {
            Ok(outcome) => {
                self.lives += outcome.lives;
                self.slowest = self.slowest.max(outcome.rest);
                outcome.counts.iter().for_each(|(what, count)| self.count(what, *count));
            }
            Err(failed) => drop(self.failures.insert(seed, (scenario, failed))),
        }
    }

    fn count(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    fn merge(&mut self, other: Self) {
        self.lives += other.lives;
        self.slowest = self.slowest.max(other.slowest);
        other.counts.into_iter().for_each(|(what, count)| self.count(what, count));
        self.failures.extend(other.failures);
    }

    /// Panics with the first seed that failed, told in full where it is alone, and what is wrong with all of them.
    fn check(&self) {
        let Some((seed, (scenario, failed))) = self.failures.first_key_value() else { return };
        let all = self.failures.iter();
        let all: Vec<_> = all.map(|(seed, (_, failed))| format!("seed {seed}: {failed}")).collect();
        let story = match all.len() {
            1 => format!("{:#}", failed.journal),
            _ => failed.journal.to_string(),
        };
        let all = all.join("\n");
        panic!("the story of seed {seed}:\n{scenario:#?}\n{story}\n{all}");
    }
}

/// Runs the seeds on all processors: each is a world of its own.
fn tally(first: u64, seeds: u64) -> Tally {
    let next = AtomicU64::new(first);
    let all = Mutex::new(Tally::default());
    let work = || {
        let mut mine = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                break;
            }
            mine.add(Scenario::seeded(seed));
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).merge(mine);
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn nothing_is_lost_or_doubled_between_the_services_whatever_fails() {
    let first = number("MILLSTREAM_FIRST_SEED", 0);
    let seeds = number("MILLSTREAM_SEEDS", SEEDS);
    println!("MILLSTREAM_FIRST_SEED={first} MILLSTREAM_SEEDS={seeds}");
    let tally = tally(first, seeds);
    println!("{} lives, at rest within {:?}, {:#?}", tally.lives, tally.slowest, tally.counts);
    tally.check();
    if seeds >= SEEDS {
        for what in MUST_HAPPEN {
            assert!(tally.counts.contains_key(what), "in {seeds} seeds it never happened: {what}");
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let trace = |seed| run(&Scenario::seeded(seed)).map_or(0, |outcome| outcome.trace);
    let once: Vec<_> = (0..20).map(trace).collect();
    let again: Vec<_> = (0..20).map(trace).collect();
    assert_eq!(once, again);
    assert!(once.windows(2).all(|pair| pair[0] != pair[1]), "other seeds tell other stories");
}

/// Whether a planted bug is found within the seeds of every change, and does what such a bug does.
fn is_caught(bug: Bug, is_its_work: impl Fn(&Violation) -> bool) -> bool {
    let found = |seed| run(&Scenario::seeded(seed).with_bug(bug)).err();
    (0..SEEDS).filter_map(found).any(|failed| is_its_work(&failed.violation))
}

#[test]
fn acknowledging_before_the_checkpoint_is_caught() {
    assert!(is_caught(Bug::AckBeforeCheckpoint, |found| matches!(found, Violation::Lost(_))));
}

#[test]
fn going_on_in_the_stream_of_the_life_before_is_caught() {
    assert!(is_caught(Bug::ReusedOffset, |found| matches!(
        found,
        Violation::Lost(_) | Violation::Doubled(_)
    )));
}

#[test]
fn a_watermark_that_does_not_wait_for_leased_messages_is_caught() {
    assert!(is_caught(Bug::DroppedHold, |found| matches!(found, Violation::WrongPane(_))));
}

#[test]
fn forgetting_a_message_too_early_is_caught() {
    assert!(is_caught(Bug::IdForgottenEarly, |found| matches!(found, Violation::Doubled(_))));
}

#[test]
fn leaving_unconfirmed_messages_out_of_the_checkpoint_is_caught() {
    assert!(is_caught(Bug::UnconfirmedNotStored, |found| matches!(found, Violation::Doubled(_))));
}

#[test]
fn a_watermark_past_unacknowledged_messages_is_caught() {
    assert!(is_caught(Bug::WatermarkPastUnacked, |found| matches!(found, Violation::WrongPane(_))));
}
