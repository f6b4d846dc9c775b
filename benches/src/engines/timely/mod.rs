//! The workloads on timely dataflow: batched sources, exchanges by key, state and capabilities in its generic operators.

mod counts;
mod joins;
mod sessions;
mod source;
mod stateless;
mod windows;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ::timely::dataflow::Stream;
use ::timely::dataflow::channels::pact::Pipeline;
use ::timely::dataflow::operators::Operator;
use ::timely::dataflow::operators::vec::Map;

use self::source::{Share, Timed};
use super::Engine;
use crate::nexmark::{Bid, Event};
use crate::outcome::Outcome;
use crate::workload::{Data, Workload};

/// Timely dataflow, with event time in milliseconds as its timestamps.
#[derive(Debug)]
pub struct Timely;

impl Engine for Timely {
    fn name(&self) -> &'static str {
        "timely"
    }

    fn supports(&self, _workload: Workload) -> bool {
        true
    }

    fn run(&self, workload: Workload, data: &Data, workers: usize) -> Outcome {
        match workload {
            Workload::Q0 => execute(data.events(), workers, stateless::pass_through),
            Workload::Q1 => execute(data.events(), workers, stateless::in_euros),
            Workload::Q2 => execute(data.events(), workers, stateless::some_auctions),
            Workload::Q3 => execute(data.events(), workers, joins::local_sellers),
            Workload::Q5 => execute(data.events(), workers, windows::busiest_auctions),
            Workload::Q7 => execute(data.events(), workers, windows::highest_bid),
            Workload::Q8 => execute(data.events(), workers, joins::new_sellers),
            Workload::Q11 => execute(data.events(), workers, sessions::bid_sessions),
            Workload::Sum => execute(data.pairs(), workers, counts::running_sum),
            Workload::WordCount => execute(data.lines(), workers, counts::word_count),
            Workload::WordCountPreaggregated => {
                execute(data.lines(), workers, counts::word_count_preaggregated)
            }
        }
    }
}

/// A stream of records; its timestamps are event time in milliseconds.
type Records<'scope, D> = Stream<'scope, u64, Vec<D>>;

/// Where a worker's sink adds up what it sees.
type Total = Rc<RefCell<Outcome>>;

/// Runs the dataflow that `build` makes of a source over `data`.
fn execute<D: Timed>(
    data: &Arc<Vec<D>>,
    workers: usize,
    build: impl for<'scope> Fn(Records<'scope, D>, Total) + Send + Sync + 'static,
) -> Outcome {
    let data = Arc::clone(data);
    let guards = ::timely::execute(::timely::Config::process(workers), move |worker| {
        let share = Share::new(Arc::clone(&data), worker.index(), worker.peers());
        let total = Total::default();
        let sink = Rc::clone(&total);
        worker.dataflow::<u64, _, _>(|scope| build(source::read(scope, share), sink));
        while worker.has_dataflows() {
            worker.step_or_park(None);
        }
        total.take()
    });
    let outcomes = guards.expect("threads of one process can be started").join();
    outcomes.into_iter().map(|outcome| outcome.expect("a dataflow ends")).collect()
}

/// The bids among the events.
fn bids(events: Records<'_, Event>) -> Records<'_, Bid> {
    events.flat_map(Event::into_bid)
}

/// Ends a stream: counts its records and adds up their hashes.
fn collect<D: 'static>(records: Records<'_, D>, total: Total, hash: impl Fn(&D) -> u64 + 'static) {
    records.sink(Pipeline, "Collect", move |(input, _)| {
        let mut total = total.borrow_mut();
        input.for_each(|_, batch| batch.iter().for_each(|record| total.add(hash(record))));
    });
}
