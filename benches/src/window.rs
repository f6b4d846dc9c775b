//! The windows of queries 5, 7 and 8, and counting by slice, as a careful author would write it by hand.

use std::collections::BTreeMap;
use std::mem;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

/// The length of the windows of queries 5, 7 and 8 in milliseconds.
pub const WINDOW: u64 = 10_000;
/// The period of query 5 in milliseconds: a window is two slices of this length.
pub const SLICE: u64 = 5_000;

type Counts = FxHashMap<u64, u32>;

/// The auctions with the most bids in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busiest {
    /// How many bids each of them got.
    pub bids: u32,
    /// The auctions.
    pub auctions: Vec<u64>,
}

impl Busiest {
    /// Takes in an auction and its number of bids.
    #[inline]
    pub fn offer(&mut self, auction: u64, bids: u32) {
        if bids > self.bids {
            self.bids = bids;
            self.auctions.clear();
            self.auctions.push(auction);
        } else if bids == self.bids {
            self.auctions.push(auction);
        }
    }

    /// Takes in the busiest auctions of another worker.
    pub fn merge(&mut self, other: Self) {
        if other.bids > self.bids {
            *self = other;
        } else if other.bids == self.bids {
            self.auctions.extend(other.auctions);
        }
    }
}

/// Bids per auction and slice: one increment per bid, two slices added up when a window closes.
#[derive(Debug)]
pub struct SliceCounts {
    /// The slice of the latest bid, kept at hand; [`NO_SLICE`] at first.
    current: u64,
    current_counts: Counts,
    others: BTreeMap<u64, Counts>,
}

const NO_SLICE: u64 = u64::MAX;

impl Default for SliceCounts {
    fn default() -> Self {
        Self { current: NO_SLICE, current_counts: Counts::default(), others: BTreeMap::new() }
    }
}

impl SliceCounts {
    /// Counts a bid for `auction` in `slice`.
    #[inline]
    pub fn add(&mut self, auction: u64, slice: u64) {
        if slice != self.current {
            self.turn_to(slice);
        }
        *self.current_counts.entry(auction).or_insert(0) += 1;
    }

    /// The end, in slices, of the last window that has bids so far; none before the first bid.
    #[must_use]
    pub fn last_window(&self) -> Option<u64> {
        let current = (self.current != NO_SLICE).then_some(self.current);
        let other = self.others.last_key_value().map(|(slice, _)| *slice);
        current.max(other).map(|slice| slice + 2)
    }

    /// The busiest auctions of the window that ends with slice `end - 1`; its first slice is forgotten.
    pub fn close(&mut self, end: u64) -> Option<Busiest> {
        if self.current < end {
            self.turn_to(NO_SLICE);
        }
        let older = end.checked_sub(2).and_then(|slice| self.others.remove(&slice));
        let newer = end.checked_sub(1).and_then(|slice| self.others.get(&slice));
        let busiest = busiest_of(newer, older.as_ref());
        (busiest.bids > 0).then_some(busiest)
    }

    #[cold]
    fn turn_to(&mut self, slice: u64) {
        let counts = self.others.remove(&slice).unwrap_or_default();
        let before = mem::replace(&mut self.current_counts, counts);
        if !before.is_empty() {
            self.others.insert(self.current, before);
        }
        self.current = slice;
    }
}

fn busiest_of(newer: Option<&Counts>, older: Option<&Counts>) -> Busiest {
    let bids_in = |counts: Option<&Counts>, auction: &u64| {
        counts.and_then(|counts| counts.get(auction)).copied().unwrap_or(0)
    };
    let mut busiest = Busiest::default();
    for (auction, bids) in newer.into_iter().flatten() {
        busiest.offer(*auction, bids + bids_in(older, auction));
    }
    for (auction, bids) in older.into_iter().flatten() {
        if newer.is_none_or(|newer| !newer.contains_key(auction)) {
            busiest.offer(*auction, *bids);
        }
    }
    busiest
}

/// Both sides of query 8's join within one window.
#[derive(Debug, Default)]
pub struct JoinWindow {
    registered: FxHashSet<u64>,
    auctions: FxHashMap<u64, Vec<u64>>,
}

impl JoinWindow {
    /// A person registers: joined with the auctions that are already there.
    #[inline]
    pub fn add_person(&mut self, person: u64, mut joined: impl FnMut(u64)) {
        self.registered.insert(person);
        if let Some(auctions) = self.auctions.get(&person) {
            auctions.iter().for_each(|auction| joined(*auction));
        }
    }

    /// A person opens an auction: joined at once if the person is there, kept otherwise.
    #[inline]
    pub fn add_auction(&mut self, seller: u64, auction: u64, mut joined: impl FnMut(u64)) {
        if self.registered.contains(&seller) {
            joined(auction);
        } else {
            self.auctions.entry(seller).or_default().push(auction);
        }
    }
}
