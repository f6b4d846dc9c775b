//! Query 11: how often each person bid in each session.

use super::rounds::Query;
use crate::nexmark::Event;
use crate::outcome::{Outcome, mix};
use crate::session::Sessions;

/// Query 11.
#[derive(Default)]
pub(super) struct BidSessions {
    sessions: Sessions,
    outcome: Outcome,
}

impl Query for BidSessions {
    type Input = Event;
    type Message = (u64, u64);
    const IS_KEYED: bool = true;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, (u64, u64))) {
        if let Event::Bid(bid) = event {
            send(bid.bidder, (bid.bidder, bid.time));
        }
    }

    #[inline]
    fn process(&mut self, (bidder, time): (u64, u64)) {
        let outcome = &mut self.outcome;
        self.sessions.add(bidder, time, |bidder, start, bids| {
            outcome.add(mix(bidder, start, bids));
        });
    }

    fn advance(&mut self, watermark: u64) {
        let outcome = &mut self.outcome;
        self.sessions.advance(watermark, |bidder, start, bids| {
            outcome.add(mix(bidder, start, bids));
        });
    }

    fn merge(&mut self, other: Self) {
        self.outcome.merge(other.outcome);
    }

    fn finish(self) -> Outcome {
        self.outcome
    }
}
