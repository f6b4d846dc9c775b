//! Beam's Nexmark rules, each event made from its number alone.
//!
//! Of 50 events one is a person, three are auctions, 46 are bids; half of the bids go to a hot auction, three quarters
//! come from a hot bidder, three quarters of the auctions from a hot seller; 10,000 events make a second of event time.

use std::sync::Arc;

use super::event::{Auction, Bid, Event, Person};
use crate::random::Random;

/// Event time between two events.
const MICROS_PER_EVENT: u64 = 100;
/// Persons, auctions and bids come in rounds of this many events: 1, 3 and 46.
const ROUND: u64 = 50;
const AUCTIONS_PER_ROUND: u64 = 3;
/// The ids of persons and auctions start here.
const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// How many of the latest persons are active, and how many of the latest auctions still take bids.
const ACTIVE_PEOPLE: u64 = 1_000;
const OPEN_AUCTIONS: u64 = 100;
/// Ids may run this far ahead of what exists: such a bid or auction precedes its partner.
const ID_LEAD: u64 = 10;
/// One id in this many is hot.
const HOT_EVERY: u64 = 100;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: [&str; 11] = [
    "Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter",
];
const LAST_NAMES: [&str; 9] =
    ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];

/// The first `count` events.
#[must_use]
pub fn events(count: usize) -> Vec<Event> {
    (0..count as u64).map(event).collect()
}

/// Event number `number`.
#[must_use]
pub fn event(number: u64) -> Event {
    let mut random = Random::seeded(number);
    match number % ROUND {
        0 => Event::Person(Arc::new(person(number, &mut random))),
        1..=AUCTIONS_PER_ROUND => Event::Auction(Arc::new(auction(number, &mut random))),
        _ => Event::Bid(bid(number, &mut random)),
    }
}

fn person(number: u64, random: &mut Random) -> Person {
    let first_name = random.choose(&FIRST_NAMES);
    let last_name = random.choose(&LAST_NAMES);
    let email = format!("{:x}@{:x}.com", random.bits() >> 36, random.bits() >> 44);
    let mut digits = || random.below(10_000);
    let credit_card = format!("{:04} {:04} {:04} {:04}", digits(), digits(), digits(), digits());
    Person {
        id: last_person(number) + FIRST_ID,
        time: time_of(number),
        name: format!("{first_name} {last_name}"),
        email,
        credit_card,
        city: random.choose(&CITIES).to_owned(),
        state: random.choose(&STATES).to_owned(),
    }
}

fn auction(number: u64, random: &mut Random) -> Auction {
    let time = time_of(number);
    let is_hot = random.below(4) > 0;
    let seller = if is_hot { hot(last_person(number)) } else { any_person(number, random) };
    let category = FIRST_CATEGORY + random.below(CATEGORIES);
    let initial_bid = price(random);
    let horizon = time_of(number + OPEN_AUCTIONS * ROUND / AUCTIONS_PER_ROUND) - time;
    let expires = time + 1 + random.below((horizon * 2).max(1));
    let reserve = initial_bid + price(random);
    Auction {
        id: last_auction(number) + FIRST_ID,
        time,
        item: format!("item{:x}", random.bits() >> 20),
        description: "x".repeat(100),
        initial_bid,
        reserve,
        expires,
        seller: seller + FIRST_ID,
        category,
    }
}

fn bid(number: u64, random: &mut Random) -> Bid {
    let is_hot_auction = random.below(2) > 0;
    let auction =
        if is_hot_auction { hot(last_auction(number)) } else { any_auction(number, random) };
    let is_hot_bidder = random.below(4) > 0;
    let bidder =
        if is_hot_bidder { hot(last_person(number)) + 1 } else { any_person(number, random) };
    Bid {
        auction: auction + FIRST_ID,
        bidder: bidder + FIRST_ID,
        price: price(random),
        time: time_of(number),
    }
}

/// Event time in milliseconds.
fn time_of(number: u64) -> u64 {
    number * MICROS_PER_EVENT / 1_000
}

/// How many persons there were before the latest one.
fn last_person(number: u64) -> u64 {
    number / ROUND
}

/// How many auctions there were before the latest one.
fn last_auction(number: u64) -> u64 {
    let (round, place) = (number / ROUND, number % ROUND);
    match place {
        0 => (round * AUCTIONS_PER_ROUND).saturating_sub(1),
        1..=AUCTIONS_PER_ROUND => round * AUCTIONS_PER_ROUND + place - 1,
        _ => (round + 1) * AUCTIONS_PER_ROUND - 1,
    }
}

fn hot(latest: u64) -> u64 {
    latest / HOT_EVERY * HOT_EVERY
}

fn any_person(number: u64, random: &mut Random) -> u64 {
    let people = last_person(number) + 1;
    let active = people.min(ACTIVE_PEOPLE);
    people - active + random.below(active + ID_LEAD)
}

fn any_auction(number: u64, random: &mut Random) -> u64 {
    let last = last_auction(number);
    let first = last.saturating_sub(OPEN_AUCTIONS);
    first + random.below(last - first + 1 + ID_LEAD)
}

/// A price in cents, spread evenly over six orders of magnitude.
fn price(random: &mut Random) -> u64 {
    (10_f64.powf(random.fraction() * 6.0) * 100.0).round() as u64
}
