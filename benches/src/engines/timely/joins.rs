//! Queries 3 and 8: persons joined with the auctions they open.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::timely::dataflow::channels::pact::Exchange;
use ::timely::dataflow::operators::Operator;
use ::timely::dataflow::operators::vec::Map;
use rustc_hash::FxHashMap;

use super::{Records, Total, collect};
use crate::nexmark::{Auction, Event, Person};
use crate::outcome::{mix, spread};
use crate::window::{JoinWindow, WINDOW};

/// Query 3.
pub(super) fn local_sellers(events: Records<'_, Event>, total: Total) {
    let persons =
        events.clone().flat_map(|event| event.into_person().filter(|person| person.is_local()));
    let auctions = events.flat_map(|event| {
        let auction = event.into_auction().filter(|auction| auction.category == 10)?;
        Some((auction.seller, auction.id))
    });
    collect(join(persons, auctions), total, |(person, auction)| mix(*auction, person.id, 3));
}

/// Joins persons with (seller, auction), keeping both sides for ever.
fn join<'scope>(
    persons: Records<'scope, Arc<Person>>,
    auctions: Records<'scope, (u64, u64)>,
) -> Records<'scope, (Arc<Person>, u64)> {
    let by_person = Exchange::new(|person: &Arc<Person>| spread(person.id));
    let by_seller = Exchange::new(|(seller, _): &(u64, u64)| spread(*seller));
    persons.binary(auctions, by_person, by_seller, "Join", |_, _| {
        let mut known: FxHashMap<u64, Arc<Person>> = FxHashMap::default();
        let mut opened: FxHashMap<u64, Vec<u64>> = FxHashMap::default();
        move |persons, auctions, output| {
            persons.for_each_time(|time, batches| {
                let mut session = output.session(&time);
                for person in batches.flat_map(|batch| batch.drain(..)) {
                    for auction in opened.get(&person.id).into_iter().flatten() {
                        session.give((Arc::clone(&person), *auction));
                    }
                    known.insert(person.id, person);
                }
            });
            auctions.for_each_time(|time, batches| {
                let mut session = output.session(&time);
                for (seller, auction) in batches.flat_map(|batch| batch.drain(..)) {
                    if let Some(person) = known.get(&seller) {
                        session.give((Arc::clone(person), auction));
                    }
                    opened.entry(seller).or_default().push(auction);
                }
            });
        }
    })
}

/// Query 8.
pub(super) fn new_sellers(events: Records<'_, Event>, total: Total) {
    let persons =
        events.clone().flat_map(|event| event.into_person().map(|person| (person.id, person.time)));
    let auctions = events.flat_map(|event| event.into_auction().map(opened));
    collect(join_windows(persons, auctions), total, |(person, auction, window)| {
        mix(*person, *auction, *window)
    });
}

fn opened(auction: Arc<Auction>) -> (u64, u64, u64) {
    (auction.seller, auction.id, auction.time)
}

/// Joins (person, time) with (seller, auction, time) within windows, into (person, auction, window).
fn join_windows<'scope>(
    persons: Records<'scope, (u64, u64)>,
    auctions: Records<'scope, (u64, u64, u64)>,
) -> Records<'scope, (u64, u64, u64)> {
    let by_person = Exchange::new(|(person, _): &(u64, u64)| spread(*person));
    let by_seller = Exchange::new(|(seller, _, _): &(u64, u64, u64)| spread(*seller));
    persons.binary_frontier(auctions, by_person, by_seller, "JoinWindows", |_, _| {
        let mut windows: BTreeMap<u64, JoinWindow> = BTreeMap::new();
        move |(persons, persons_frontier), (auctions, auctions_frontier), output| {
            persons.for_each(|time, batch| {
                let mut session = output.session(&time);
                for (person, at) in batch.drain(..) {
                    let window = at / WINDOW;
                    let sides = windows.entry(window).or_default();
                    sides.add_person(person, |auction| session.give((person, auction, window)));
                }
            });
            auctions.for_each(|time, batch| {
                let mut session = output.session(&time);
                for (seller, auction, at) in batch.drain(..) {
                    let window = at / WINDOW;
                    let sides = windows.entry(window).or_default();
                    sides.add_auction(seller, auction, |auction| {
                        session.give((seller, auction, window));
                    });
                }
            });
            while let Some(window) = windows.first_entry() {
                let end = (window.key() + 1) * WINDOW;
                if persons_frontier.less_than(&end) || auctions_frontier.less_than(&end) {
                    break;
                }
                window.remove();
            }
        }
    })
}
