//! Queries 5 and 7: the busiest auctions and the highest bid of a window.

use std::collections::BTreeMap;

use super::rounds::Query;
use crate::nexmark::Event;
use crate::outcome::{Outcome, mix};
use crate::window::{Busiest, SLICE, SliceCounts, WINDOW};

/// Query 5.
#[derive(Default)]
pub(super) struct BusiestAuctions {
    counts: SliceCounts,
    /// The end, in slices, of the last window that was closed.
    closed: u64,
    /// The busiest auctions by the end of their window, in slices.
    found: BTreeMap<u64, Busiest>,
}

impl Query for BusiestAuctions {
    type Input = Event;
    type Message = (u64, u64);
    const IS_KEYED: bool = true;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, (u64, u64))) {
        if let Event::Bid(bid) = event {
            send(bid.auction, (bid.auction, bid.time));
        }
    }

    #[inline]
    fn process(&mut self, (auction, time): (u64, u64)) {
        self.counts.add(auction, time / SLICE);
    }

    fn advance(&mut self, watermark: u64) {
        let Some(last) = self.counts.last_window() else { return };
        while self.closed < last.min(watermark / SLICE) {
            self.closed += 1;
            if let Some(busiest) = self.counts.close(self.closed) {
                self.found.insert(self.closed, busiest);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (end, busiest) in other.found {
            self.found.entry(end).or_default().merge(busiest);
        }
    }

    fn finish(self) -> Outcome {
        let mut outcome = Outcome::default();
        for (end, busiest) in self.found {
            for auction in busiest.auctions {
                outcome.add(mix(end * SLICE, auction, u64::from(busiest.bids)));
            }
        }
        outcome
    }
}

/// Query 7.
#[derive(Default)]
pub(super) struct HighestBid {
    window: u64,
    highest: u64,
    /// The highest bid of each window but the current one.
    found: BTreeMap<u64, u64>,
}

impl HighestBid {
    #[cold]
    fn turn_to(&mut self, window: u64) {
        let found = self.found.entry(self.window).or_default();
        *found = self.highest.max(*found);
        self.window = window;
        self.highest = 0;
    }
}

impl Query for HighestBid {
    type Input = Event;
    type Message = (u64, u64);
    const IS_KEYED: bool = false;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, (u64, u64))) {
        if let Event::Bid(bid) = event {
            send(0, (bid.price, bid.time));
        }
    }

    #[inline]
    fn process(&mut self, (price, time): (u64, u64)) {
        let window = time / WINDOW;
        if window != self.window {
            self.turn_to(window);
        }
        self.highest = self.highest.max(price);
    }

    fn merge(&mut self, mut other: Self) {
        other.turn_to(u64::MAX);
        for (window, highest) in other.found {
            let found = self.found.entry(window).or_default();
            *found = highest.max(*found);
        }
    }

    fn finish(mut self) -> Outcome {
        self.turn_to(u64::MAX);
        let mut outcome = Outcome::default();
        for (window, highest) in self.found.into_iter().filter(|(_, highest)| *highest > 0) {
            outcome.add(mix((window + 1) * WINDOW, highest, 7));
        }
        outcome
    }
}
