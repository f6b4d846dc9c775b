//! Millstream itself: the workloads as pipelines a user would write, with event time, watermarks and metrics on.

mod sink;
mod source;

use std::sync::Arc;
use std::time::Duration;

use ::millstream::combine::{CombineFn, Count, Max, Sum};
use ::millstream::prelude::*;

use self::sink::{AddUp, Total};
use self::source::{Slice, Timed};
use super::Engine as Peer;
use crate::nexmark::{Bid, Event};
use crate::outcome::{Outcome, hash_word_count, mix};
use crate::window::{Busiest, SLICE, WINDOW};
use crate::workload::{Data, Workload};

/// The embedded engine of this repository.
#[derive(Debug)]
pub struct Millstream;

impl Peer for Millstream {
    fn name(&self) -> &'static str {
        "millstream"
    }

    fn supports(&self, workload: Workload) -> bool {
        !matches!(workload, Workload::Q3 | Workload::Q8 | Workload::Q11)
    }

    fn run(&self, workload: Workload, data: &Data, workers: usize) -> Outcome {
        let pipeline = Pipeline::new();
        let total = Total::default();
        match workload {
            Workload::Q0 => add_up(&events(&pipeline, data), &total, |event, _| event.hash()),
            Workload::Q1 => {
                let converted = bids(&pipeline, data).map("InEuros", Bid::in_euros);
                add_up(&converted, &total, |bid, _| mix(bid.auction, bid.bidder, bid.price));
            }
            Workload::Q2 => {
                let selected = bids(&pipeline, data).filter("Select", |bid| bid.auction % 123 == 0);
                let prices = selected.map("Price", |bid| (bid.auction, bid.price));
                add_up(&prices, &total, |(auction, price), _| mix(*auction, *price, 0));
            }
            Workload::Q5 => busiest_auctions(&pipeline, data, &total),
            Workload::Q7 => highest_bid(&pipeline, data, &total),
            Workload::Sum => running_sum(&pipeline, data, &total),
            Workload::WordCount | Workload::WordCountPreaggregated => {
                count_words(&pipeline, data, &total);
            }
            other => unreachable!("{other} is not supported, so nobody runs it"),
        }
        let engine = Engine::builder().workers(workers).checkpoint_at_end_only();
        engine.run(&pipeline).expect("the workloads' pipelines run");
        total.outcome()
    }
}

fn events(pipeline: &Pipeline, data: &Data) -> PCollection<Event> {
    pipeline.read("Events", Slice::new(Arc::clone(data.events())))
}

fn bids(pipeline: &Pipeline, data: &Data) -> PCollection<Bid> {
    events(pipeline, data).filter_map("Bids", |event| match event {
        Event::Bid(bid) => Some(bid),
        _ => None,
    })
}

/// Adds up the outputs; a hash may depend on the end of the output's window, in milliseconds.
fn add_up<T, F>(outputs: &PCollection<T>, total: &Total, hash: F)
where
    T: Data0,
    F: Fn(&T, u64) -> u64 + Clone + Send + Sync + 'static,
{
    outputs.par_do("AddUp", AddUp::new(total, hash, false));
}

fn add_up_windowed<T, F>(outputs: &PCollection<T>, total: &Total, hash: F)
where
    T: Data0,
    F: Fn(&T, u64) -> u64 + Clone + Send + Sync + 'static,
{
    outputs.par_do("AddUp", AddUp::new(total, hash, true));
}

use ::millstream::Data as Data0;

fn millis(duration: u64) -> Duration {
    Duration::from_millis(duration)
}

/// Keeps the auctions with the most bids.
#[derive(Clone, Debug)]
struct MostBids;

impl CombineFn<(u64, u64)> for MostBids {
    type Accumulator = Busiest;
    type Output = Busiest;

    fn create_accumulator(&self) -> Busiest {
        Busiest::default()
    }

    fn add_input(&self, busiest: &mut Busiest, (auction, bids): (u64, u64)) {
        busiest.offer(auction, u32::try_from(bids).unwrap_or(u32::MAX));
    }

    fn merge(&self, busiest: &mut Busiest, other: Busiest) {
        busiest.merge(other);
    }

    fn extract_output(&self, busiest: &Busiest) -> Busiest {
        busiest.clone()
    }
}

fn busiest_auctions(pipeline: &Pipeline, data: &Data, total: &Total) {
    let busiest = bids(pipeline, data)
        .window("Sliding", SlidingWindows::of(millis(WINDOW)).every(millis(SLICE)))
        .map("Auction", |bid| (bid.auction, ()))
        .combine_per_key("Count", Count)
        .combine_globally("Busiest", MostBids)
        .flat_map("Each", |busiest| {
            let bids = u64::from(busiest.bids);
            busiest.auctions.into_iter().map(move |auction| (auction, bids))
        });
    add_up_windowed(&busiest, total, |(auction, bids), end| mix(end, *auction, *bids));
}

fn highest_bid(pipeline: &Pipeline, data: &Data, total: &Total) {
    let highest = bids(pipeline, data)
        .window("Fixed", FixedWindows::of(millis(WINDOW)))
        .map("Price", |bid| bid.price)
        .combine_globally("Max", Max)
        .filter_map("Known", |price| price);
    add_up_windowed(&highest, total, |price, end| mix(end, *price, 7));
}

fn running_sum(pipeline: &Pipeline, data: &Data, total: &Total) {
    let each = GlobalWindows.triggering(Trigger::after_count(1).repeatedly()).accumulating();
    let sums = pipeline
        .read("Pairs", Slice::new(Arc::clone(data.pairs())))
        .window("Each", each)
        .combine_per_key("Sum", Sum);
    add_up(&sums, total, |(key, sum), _| mix(*key, *sum, 5));
}

fn count_words(pipeline: &Pipeline, data: &Data, total: &Total) {
    let counts = pipeline
        .read("Lines", Slice::new(Arc::clone(data.lines())))
        .flat_map("Words", |line: String| {
            line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .count_per_element("Count");
    add_up(&counts, total, |(word, count), _| hash_word_count(word, *count));
}

impl Timed for Event {
    fn time(&self) -> Timestamp {
        Timestamp::from_millis(Event::time(self).cast_signed())
    }
}

impl Timed for (u64, u64) {
    fn time(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

impl Timed for String {
    fn time(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}
