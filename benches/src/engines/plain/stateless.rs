//! Queries 0, 1 and 2: each event by itself.

use super::rounds::Query;
use crate::nexmark::{Bid, Event};
use crate::outcome::{Outcome, mix};

/// Query 0.
#[derive(Default)]
pub(super) struct PassThrough(Outcome);

impl Query for PassThrough {
    type Input = Event;
    type Message = u64;
    const IS_KEYED: bool = false;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, u64)) {
        send(0, event.hash());
    }

    #[inline]
    fn process(&mut self, hash: u64) {
        self.0.add(hash);
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn finish(self) -> Outcome {
        self.0
    }
}

/// Query 1.
#[derive(Default)]
pub(super) struct InEuros(Outcome);

impl Query for InEuros {
    type Input = Event;
    type Message = Bid;
    const IS_KEYED: bool = false;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, Bid)) {
        if let Event::Bid(bid) = event {
            send(0, bid.in_euros());
        }
    }

    #[inline]
    fn process(&mut self, bid: Bid) {
        self.0.add(mix(bid.auction, bid.bidder, bid.price));
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn finish(self) -> Outcome {
        self.0
    }
}

/// Query 2.
#[derive(Default)]
pub(super) struct SomeAuctions(Outcome);

impl Query for SomeAuctions {
    type Input = Event;
    type Message = (u64, u64);
    const IS_KEYED: bool = false;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, (u64, u64))) {
        if let Event::Bid(bid) = event
            && bid.auction % 123 == 0
        {
            send(0, (bid.auction, bid.price));
        }
    }

    #[inline]
    fn process(&mut self, (auction, price): (u64, u64)) {
        self.0.add(mix(auction, price, 0));
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn finish(self) -> Outcome {
        self.0
    }
}
