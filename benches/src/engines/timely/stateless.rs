//! Queries 0, 1 and 2: each event by itself.

use ::timely::dataflow::operators::vec::{Filter, Map};

use super::{Records, Total, bids, collect};
use crate::nexmark::{Bid, Event};
use crate::outcome::mix;

pub(super) fn pass_through(events: Records<'_, Event>, total: Total) {
    collect(events, total, Event::hash);
}

pub(super) fn in_euros(events: Records<'_, Event>, total: Total) {
    let converted = bids(events).map(Bid::in_euros);
    collect(converted, total, |bid| mix(bid.auction, bid.bidder, bid.price));
}

pub(super) fn some_auctions(events: Records<'_, Event>, total: Total) {
    let selected = bids(events).filter(|bid| bid.auction % 123 == 0);
    let prices = selected.map(|bid| (bid.auction, bid.price));
    collect(prices, total, |(auction, price)| mix(*auction, *price, 0));
}
