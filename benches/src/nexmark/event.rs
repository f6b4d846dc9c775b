//! What happens at the auction site: people register, open auctions, and bid.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::outcome::mix;

/// Someone offers `price` for an auction's item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bid {
    /// The auction's id.
    pub auction: u64,
    /// The id of the person who bids.
    pub bidder: u64,
    /// The price in cents of a dollar.
    pub price: u64,
    /// Event time in milliseconds.
    pub time: u64,
}

impl Bid {
    /// The bid in euros, at Nexmark's rate of 0.89.
    #[inline]
    #[must_use]
    pub fn in_euros(self) -> Self {
        Self { price: self.price * 89 / 100, ..self }
    }
}

/// Someone registers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are what they are called")]
pub struct Person {
    pub id: u64,
    /// Event time in milliseconds.
    pub time: u64,
    pub name: String,
    pub email: String,
    pub credit_card: String,
    pub city: String,
    pub state: String,
}

impl Person {
    /// Whether query 3 asks for this person: from Oregon, Idaho or California.
    #[inline]
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.state.as_str(), "OR" | "ID" | "CA")
    }
}

/// A person opens an auction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are what they are called")]
pub struct Auction {
    pub id: u64,
    /// Event time in milliseconds.
    pub time: u64,
    pub item: String,
    pub description: String,
    pub initial_bid: u64,
    pub reserve: u64,
    pub expires: u64,
    pub seller: u64,
    pub category: u64,
}

/// One event: 40 bytes, with the rare and large kinds behind a pointer, so that a source only clones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the kinds are what they are called")]
pub enum Event {
    Person(Arc<Person>),
    Auction(Arc<Auction>),
    Bid(Bid),
}

impl Event {
    /// Event time in milliseconds.
    #[inline]
    #[must_use]
    pub fn time(&self) -> u64 {
        match self {
            Self::Person(person) => person.time,
            Self::Auction(auction) => auction.time,
            Self::Bid(bid) => bid.time,
        }
    }

    /// The hash of the whole event as an output.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        match self {
            Self::Person(person) => mix(person.id, person.time, 0),
            Self::Auction(auction) => mix(auction.id, auction.time, 1),
            Self::Bid(bid) => mix(bid.auction, bid.bidder ^ bid.price, bid.time),
        }
    }

    /// The bid, if this is one.
    #[inline]
    #[must_use]
    pub fn into_bid(self) -> Option<Bid> {
        match self {
            Self::Bid(bid) => Some(bid),
            _ => None,
        }
    }

    /// The person, if this is one.
    #[inline]
    #[must_use]
    pub fn into_person(self) -> Option<Arc<Person>> {
        match self {
            Self::Person(person) => Some(person),
            _ => None,
        }
    }

    /// The auction, if this is one.
    #[inline]
    #[must_use]
    pub fn into_auction(self) -> Option<Arc<Auction>> {
        match self {
            Self::Auction(auction) => Some(auction),
            _ => None,
        }
    }
}
