//! The job's shape under crashes, duplicates, reordering and disk faults, from seeds; and the proof that the simulator finds bugs.
//!
//! `MILLSTREAM_SEEDS=10000 cargo test --test simulation` runs more seeds; `MILLSTREAM_FIRST_SEED` starts elsewhere.

use millstream::testing::sim::{Bug, Scenario, run};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_is_lost_or_doubled_whatever_crashes() {
    let first = number("MILLSTREAM_FIRST_SEED", 0);
    let seeds = number("MILLSTREAM_SEEDS", 1_000);
    let (mut lives, mut redelivered) = (0, 0);
    for seed in first..first + seeds {
        let scenario = Scenario::seeded(seed);
        match run(&scenario) {
            Ok(outcome) => {
                lives += outcome.lives;
                redelivered += outcome.deliveries.saturating_sub(scenario.messages);
            }
            Err(violation) => panic!("seed {seed}: {violation}\n{scenario:?}"),
        }
    }
    println!("{seeds} seeds from {first}: {lives} lives, {redelivered} messages delivered again");
    assert!(lives > seeds as usize * 2, "the chaos is too weak: {lives} lives");
    assert!(redelivered > seeds, "the chaos is too weak: {redelivered} redeliveries");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let trace = || run(&Scenario::seeded(seed)).map(|outcome| outcome.trace);
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

fn first_seed_that_catches(bug: Bug) -> Option<u64> {
    (0..1_000).find(|&seed| run(&Scenario::seeded(seed).with_bug(bug)).is_err())
}

#[test]
fn acknowledging_before_the_checkpoint_is_caught() {
    let seed = first_seed_that_catches(Bug::AckBeforeCheckpoint);
    println!("caught by seed {seed:?}");
    assert!(seed.is_some(), "1,000 seeds did not catch it");
}

#[test]
fn a_skipped_sync_is_caught() {
    let seed = first_seed_that_catches(Bug::SkippedSync);
    println!("caught by seed {seed:?}");
    assert!(seed.is_some(), "1,000 seeds did not catch it");
}
