//! The Nexmark queries.

use std::sync::Arc;

use ::renoir::Stream;
use ::renoir::operator::Operator;
use ::renoir::prelude::*;

use super::{Totals, collect, read};
use crate::nexmark::{Auction, Bid, Event, Person};
use crate::outcome::mix;
use crate::window::{SLICE, WINDOW};

type Events = Arc<Vec<Event>>;

/// Events between two watermarks. Each watermark visits every open window of every key.
const WATERMARK_EVERY: usize = 8_192;

pub(super) fn pass_through(context: &StreamContext, events: Events) -> Totals {
    collect(read(context, events), Event::hash)
}

pub(super) fn in_euros(context: &StreamContext, events: Events) -> Totals {
    let bids = read(context, events).filter_map(Event::into_bid).map(Bid::in_euros);
    collect(bids, |bid| mix(bid.auction, bid.bidder, bid.price))
}

pub(super) fn some_auctions(context: &StreamContext, events: Events) -> Totals {
    let bids = read(context, events).filter_map(Event::into_bid);
    let prices = bids.filter(|bid| bid.auction % 123 == 0).map(|bid| (bid.auction, bid.price));
    collect(prices, |(auction, price)| mix(*auction, *price, 0))
}

/// Query 3.
pub(super) fn local_sellers(context: &StreamContext, events: Events) -> Totals {
    let (persons, auctions) = split(read(context, events));
    let persons = persons.filter(|person| person.is_local());
    let auctions = auctions.filter(|auction| auction.category == 10);
    let joined = persons.join(auctions, |person| person.id, |auction| auction.seller);
    let pairs = joined.drop_key().map(|(person, auction)| (person, auction.id));
    collect(pairs, |(person, auction): &(Arc<Person>, u64)| mix(*auction, person.id, 3))
}

/// Query 5.
pub(super) fn busiest_auctions(context: &StreamContext, events: Events) -> Totals {
    let window = EventTimeWindow::sliding(WINDOW as i64, SLICE as i64);
    let auctions =
        with_timestamps(read(context, events)).filter_map(Event::into_bid).map(|bid| bid.auction);
    let counts =
        auctions.group_by(|auction| *auction).map(|_| ()).window(window.clone()).count().unkey();
    let busiest = counts.window_all(window).max_by_key(|(_, bids)| *bids).drop_key();
    collect(busiest, |(auction, bids)| mix(*auction, *bids as u64, 0))
}

/// Query 7.
pub(super) fn highest_bid(context: &StreamContext, events: Events) -> Totals {
    let window = EventTimeWindow::tumbling(WINDOW as i64);
    let prices =
        with_timestamps(read(context, events)).filter_map(Event::into_bid).map(|bid| bid.price);
    let of_replicas = prices.key_by(|_| ()).window(window.clone()).max().drop_key();
    let highest = of_replicas.window_all(window).max().drop_key();
    collect(highest, |price| mix(0, *price, 7))
}

/// Query 8.
pub(super) fn new_sellers(context: &StreamContext, events: Events) -> Totals {
    let window = EventTimeWindow::tumbling(WINDOW as i64);
    let (persons, auctions) = split(with_timestamps(read(context, events)));
    let persons = persons.map(|person| person.id).group_by(|person| *person);
    let auctions = auctions.map(|auction| (auction.seller, auction.id)).group_by(|pair| pair.0);
    let joined = persons.window_join(window, auctions).drop_key();
    collect(joined, |(person, (_, auction))| mix(*person, *auction, 0))
}

/// Routes persons and auctions into a stream each.
fn split(
    events: Stream<impl Operator<Out = Event> + 'static>,
) -> (Stream<impl Operator<Out = Arc<Person>>>, Stream<impl Operator<Out = Arc<Auction>>>) {
    let routes = events
        .route()
        .add_route(|event| matches!(event, Event::Person(_)))
        .add_route(|event| matches!(event, Event::Auction(_)));
    let mut streams = routes.build().into_iter();
    let mut next = || streams.next().expect("there are two routes");
    let persons = next().map(|event| event.into_person().expect("the route has persons only"));
    let auctions = next().map(|event| event.into_auction().expect("the route has auctions only"));
    (persons, auctions)
}

fn with_timestamps(
    events: Stream<impl Operator<Out = Event> + 'static>,
) -> Stream<impl Operator<Out = Event>> {
    let mut seen = 0;
    let watermark = move |_: &Event, time: &i64| {
        seen += 1;
        (seen % WATERMARK_EVERY == 0).then_some(*time)
    };
    events.add_timestamps(|event| event.time() as i64, watermark)
}
