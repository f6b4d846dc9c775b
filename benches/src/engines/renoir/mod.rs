//! The workloads on renoir: fused iterator chains, as in its own Nexmark example.
//!
//! Its event-time windows start at each key's first record and not at multiples of their length, so queries 5, 7 and 8
//! compute something similar to what Beam means, not the same. It has no event-time sessions, so query 11 is missing.

mod counts;
mod queries;

use std::sync::Arc;

use ::renoir::Stream;
use ::renoir::operator::{ExchangeData, Operator};
use ::renoir::prelude::*;

use super::Engine;
use crate::outcome::Outcome;
use crate::workload::{Agreement, Data, Workload};

/// Renoir, with its local runtime.
#[derive(Debug)]
pub struct Renoir;

impl Engine for Renoir {
    fn name(&self) -> &'static str {
        "renoir"
    }

    fn supports(&self, workload: Workload) -> bool {
        workload != Workload::Q11
    }

    fn agreement(&self, workload: Workload) -> Agreement {
        match workload {
            Workload::Q5 | Workload::Q7 | Workload::Q8 => Agreement::None,
            _ => Agreement::Exact,
        }
    }

    fn run(&self, workload: Workload, data: &Data, workers: usize) -> Outcome {
        match workload {
            Workload::Q0 => execute(data.events(), workers, queries::pass_through),
            Workload::Q1 => execute(data.events(), workers, queries::in_euros),
            Workload::Q2 => execute(data.events(), workers, queries::some_auctions),
            Workload::Q3 => execute(data.events(), workers, queries::local_sellers),
            Workload::Q5 => execute(data.events(), workers, queries::busiest_auctions),
            Workload::Q7 => execute(data.events(), workers, queries::highest_bid),
            Workload::Q8 => execute(data.events(), workers, queries::new_sellers),
            Workload::Q11 => unreachable!("query 11 is not supported, so nobody runs it"),
            Workload::Sum => execute(data.pairs(), workers, counts::running_sum),
            Workload::WordCount => execute(data.lines(), workers, counts::word_count),
            Workload::WordCountPreaggregated => {
                execute(data.lines(), workers, counts::word_count_preaggregated)
            }
        }
    }
}

/// Records per batch between blocks; renoir's own default.
const BATCH: usize = 1_024;
/// Records that a replica of the source reads in one go, before the next ones that are its own.
const PIECE: usize = 8_192;

/// What the replicas of a sink have added up.
type Totals = StreamOutput<Vec<Outcome>>;

/// Runs the stream that `build` makes in a context over `data`.
fn execute<D>(
    data: &Arc<Vec<D>>,
    workers: usize,
    build: impl FnOnce(&StreamContext, Arc<Vec<D>>) -> Totals,
) -> Outcome {
    let config = RuntimeConfig::local(workers as u64).expect("a local runtime needs nothing else");
    let context = StreamContext::new(config);
    let totals = build(&context, Arc::clone(data));
    context.execute_blocking();
    totals.get().into_iter().flatten().collect()
}

/// A parallel source over data in memory that clones its records.
fn read<D: Clone + Send + Sync + 'static>(
    context: &StreamContext,
    data: Arc<Vec<D>>,
) -> Stream<impl Operator<Out = D> + 'static> {
    let source = move |replica: u64, replicas: u64| {
        let pieces = data.len().div_ceil(PIECE);
        (replica as usize..pieces).step_by(replicas as usize).flat_map(move |piece| {
            let data = Arc::clone(&data);
            let end = ((piece + 1) * PIECE).min(data.len());
            (piece * PIECE..end).map(move |index| data[index].clone())
        })
    };
    context.stream_par_iter(source).batch_mode(BatchMode::fixed(BATCH))
}

/// Ends a stream: counts its records and adds up their hashes.
fn collect<D: ExchangeData>(
    records: Stream<impl Operator<Out = D> + 'static>,
    hash: impl Fn(&D) -> u64 + Clone + Send + Sync + 'static,
) -> Totals {
    let add = move |total: &mut Outcome, record: D| total.add(hash(&record));
    records.fold_assoc(Outcome::default(), add, Outcome::merge).collect_vec()
}
