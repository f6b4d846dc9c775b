//! Queries 3 and 8: persons joined with the auctions they open.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::rounds::Query;
use crate::nexmark::{Event, Person};
use crate::outcome::{Outcome, mix};
use crate::window::{JoinWindow, WINDOW};

/// Query 3.
#[derive(Default)]
pub(super) struct LocalSellers {
    persons: FxHashMap<u64, Arc<Person>>,
    auctions: FxHashMap<u64, Vec<u64>>,
    outcome: Outcome,
}

pub(super) enum Side {
    Person(Arc<Person>),
    Auction { seller: u64, id: u64 },
}

impl Query for LocalSellers {
    type Input = Event;
    type Message = Side;
    const IS_KEYED: bool = true;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, Side)) {
        match event {
            Event::Person(person) if person.is_local() => {
                send(person.id, Side::Person(Arc::clone(person)));
            }
            Event::Auction(auction) if auction.category == 10 => {
                send(auction.seller, Side::Auction { seller: auction.seller, id: auction.id });
            }
            _ => {}
        }
    }

    #[inline]
    fn process(&mut self, message: Side) {
        match message {
            Side::Person(person) => {
                for auction in self.auctions.get(&person.id).into_iter().flatten() {
                    self.outcome.add(mix(*auction, person.id, 3));
                }
                self.persons.insert(person.id, person);
            }
            Side::Auction { seller, id } => {
                if let Some(person) = self.persons.get(&seller) {
                    self.outcome.add(mix(id, person.id, 3));
                }
                self.auctions.entry(seller).or_default().push(id);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.outcome.merge(other.outcome);
    }

    fn finish(self) -> Outcome {
        self.outcome
    }
}

/// Query 8.
#[derive(Default)]
pub(super) struct NewSellers {
    windows: BTreeMap<u64, JoinWindow>,
    outcome: Outcome,
}

/// A person, or one of the auctions she opens, and when.
pub(super) struct Arrival {
    person: u64,
    auction: Option<u64>,
    time: u64,
}

impl Query for NewSellers {
    type Input = Event;
    type Message = Arrival;
    const IS_KEYED: bool = true;

    #[inline]
    fn route(event: &Event, send: &mut impl FnMut(u64, Arrival)) {
        let arrival = match event {
            Event::Person(person) => {
                Arrival { person: person.id, auction: None, time: person.time }
            }
            Event::Auction(auction) => {
                Arrival { person: auction.seller, auction: Some(auction.id), time: auction.time }
            }
            Event::Bid(_) => return,
        };
        send(arrival.person, arrival);
    }

    #[inline]
    fn process(&mut self, Arrival { person, auction, time }: Arrival) {
        let window = time / WINDOW;
        let outcome = &mut self.outcome;
        let joined = |auction| outcome.add(mix(person, auction, window));
        let sides = self.windows.entry(window).or_default();
        match auction {
            Some(auction) => sides.add_auction(person, auction, joined),
            None => sides.add_person(person, joined),
        }
    }

    fn advance(&mut self, watermark: u64) {
        while let Some(window) = self.windows.first_entry() {
            if (window.key() + 1) * WINDOW > watermark {
                break;
            }
            window.remove();
        }
    }

    fn merge(&mut self, other: Self) {
        self.outcome.merge(other.outcome);
    }

    fn finish(self) -> Outcome {
        self.outcome
    }
}
