//! Sessions per bidder for query 11: one table entry and one lazy timer each, as a careful author would write it by hand.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

/// A session ends after this much silence, in milliseconds.
pub const GAP: u64 = 10_000;
/// Timers are kept by second; a session closes when the watermark passes the second after its end.
const TIMER_GRAIN: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Session {
    start: u64,
    last: u64,
    bids: u64,
}

impl Session {
    fn opened_at(time: u64) -> Self {
        Self { start: time, last: time, bids: 1 }
    }

    fn end(&self) -> u64 {
        self.last + GAP
    }
}

/// The open sessions. A closed one is handed to a callback as (bidder, start, number of bids).
#[derive(Debug, Default)]
pub struct Sessions {
    open: FxHashMap<u64, Session>,
    /// The bidders to look at when the watermark has reached the second. A timer that comes too early is set again.
    timers: BTreeMap<u64, Vec<u64>>,
}

impl Sessions {
    /// Takes in a bid.
    #[inline]
    pub fn add(&mut self, bidder: u64, time: u64, mut closed: impl FnMut(u64, u64, u64)) {
        match self.open.entry(bidder) {
            Entry::Occupied(mut entry) => {
                let session = entry.get_mut();
                if time >= session.end() {
                    closed(bidder, session.start, session.bids);
                    *session = Session::opened_at(time);
                } else {
                    session.last = session.last.max(time);
                    session.start = session.start.min(time);
                    session.bids += 1;
                }
            }
            Entry::Vacant(entry) => {
                let session = *entry.insert(Session::opened_at(time));
                self.timers.entry(timer_for(&session)).or_default().push(bidder);
            }
        }
    }

    /// Closes the sessions that ended before `watermark`; `u64::MAX` closes all.
    pub fn advance(&mut self, watermark: u64, mut closed: impl FnMut(u64, u64, u64)) {
        while let Some(due) = self.timers.first_entry() {
            if due.key().saturating_mul(TIMER_GRAIN) > watermark {
                break;
            }
            for bidder in due.remove() {
                let session = self.open[&bidder];
                if session.end() <= watermark {
                    closed(bidder, session.start, session.bids);
                    self.open.remove(&bidder);
                } else {
                    self.timers.entry(timer_for(&session)).or_default().push(bidder);
                }
            }
        }
    }
}

fn timer_for(session: &Session) -> u64 {
    session.end() / TIMER_GRAIN + 1
}
