//! Queries 5 and 7: the busiest auctions and the highest bid of a window.
//!
//! Both work in two steps: each worker for itself, then one worker per window over what they found.

use std::collections::BTreeMap;

use ::timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use ::timely::dataflow::operators::vec::Map;
use ::timely::dataflow::operators::{Capability, Operator};

use super::{Records, Total, bids, collect};
use crate::nexmark::Event;
use crate::outcome::{mix, spread};
use crate::window::{Busiest, SLICE, SliceCounts, WINDOW};

/// Query 5.
pub(super) fn busiest_auctions(events: Records<'_, Event>, total: Total) {
    let found = count(bids(events).map(|bid| (bid.auction, bid.time)));
    let busiest = merge(found);
    collect(busiest, total, |(end, auction, bids)| mix(end * SLICE, *auction, u64::from(*bids)));
}

/// Counts (auction, time) and hands on the worker's busiest auctions with the window's end in slices.
fn count(bids: Records<'_, (u64, u64)>) -> Records<'_, (u64, Busiest)> {
    let by_auction = Exchange::new(|(auction, _): &(u64, u64)| spread(*auction));
    bids.unary_frontier(by_auction, "Count", |_, _| {
        let mut counts = SliceCounts::default();
        let mut open: BTreeMap<u64, Capability<u64>> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|time, batch| {
                let mut last_slice = None;
                for (auction, at) in batch.drain(..) {
                    let slice = at / SLICE;
                    if last_slice != Some(slice) {
                        for end in [slice + 1, slice + 2] {
                            let at_end = (end * SLICE).max(*time.time());
                            open.entry(end).or_insert_with(|| time.delayed(&at_end, 0));
                        }
                        last_slice = Some(slice);
                    }
                    counts.add(auction, slice);
                }
            });
            while let Some(window) = open.first_entry() {
                if frontier.less_than(&(window.key() * SLICE)) {
                    break;
                }
                let (end, capability) = window.remove_entry();
                if let Some(busiest) = counts.close(end) {
                    output.session(&capability).give((end, busiest));
                }
            }
        }
    })
}

/// Merges the workers' busiest auctions into (end of the window in slices, auction, bids).
fn merge(found: Records<'_, (u64, Busiest)>) -> Records<'_, (u64, u64, u32)> {
    let by_window = Exchange::new(|(end, _): &(u64, Busiest)| *end);
    found.unary_frontier(by_window, "Merge", |_, _| {
        let mut open: BTreeMap<u64, (Capability<u64>, Busiest)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|time, batch| {
                for (end, busiest) in batch.drain(..) {
                    let empty = || (time.retain(0), Busiest::default());
                    open.entry(end).or_insert_with(empty).1.merge(busiest);
                }
            });
            while let Some(window) = open.first_entry() {
                if frontier.less_equal(window.get().0.time()) {
                    break;
                }
                let (end, (capability, busiest)) = window.remove_entry();
                let mut session = output.session(&capability);
                for auction in busiest.auctions {
                    session.give((end, auction, busiest.bids));
                }
            }
        }
    })
}

/// Query 7.
pub(super) fn highest_bid(events: Records<'_, Event>, total: Total) {
    let prices = bids(events).map(|bid| (bid.time / WINDOW, bid.price));
    let of_workers = highest(prices, Pipeline, "HighestOfWorker", Input::BeforeEnd);
    let by_window = Exchange::new(|(window, _): &(u64, u64)| *window);
    let of_all = highest(of_workers, by_window, "Highest", Input::AtEnd);
    collect(of_all, total, |(window, price)| mix((window + 1) * WINDOW, *price, 7));
}

/// What timestamps the records of a window have.
#[derive(Clone, Copy)]
enum Input {
    /// Earlier than the window's end.
    BeforeEnd,
    /// The window's end.
    AtEnd,
}

/// The highest of the prices in (window, price), per window.
fn highest<'scope>(
    prices: Records<'scope, (u64, u64)>,
    pact: impl ParallelizationContract<u64, Vec<(u64, u64)>>,
    name: &str,
    input_is: Input,
) -> Records<'scope, (u64, u64)> {
    prices.unary_frontier(pact, name, |_, _| {
        let mut open: BTreeMap<u64, (Capability<u64>, u64)> = BTreeMap::new();
        move |(input, frontier), output| {
            input.for_each(|time, batch| {
                // Records of one window stand together: one look at the map for each group of them.
                for group in batch.chunk_by(|left, right| left.0 == right.0) {
                    let window = group[0].0;
                    let highest = group.iter().map(|(_, price)| *price).max().unwrap_or(0);
                    let end = ((window + 1) * WINDOW).max(*time.time());
                    let found = open.entry(window).or_insert_with(|| (time.delayed(&end, 0), 0));
                    found.1 = found.1.max(highest);
                }
                batch.clear();
            });
            while let Some(window) = open.first_entry() {
                let end = (window.key() + 1) * WINDOW;
                let is_open = match input_is {
                    Input::BeforeEnd => frontier.less_than(&end),
                    Input::AtEnd => frontier.less_equal(&end),
                };
                if is_open {
                    break;
                }
                let (window, (capability, price)) = window.remove_entry();
                output.session(&capability).give((window, price));
            }
        }
    })
}
