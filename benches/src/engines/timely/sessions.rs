//! Query 11: how often each person bid in each session.

use std::collections::BTreeMap;
use std::mem;

use ::timely::dataflow::channels::pact::Exchange;
use ::timely::dataflow::operators::Operator;
use ::timely::dataflow::operators::vec::Map;

use super::{Records, Total, bids, collect};
use crate::nexmark::Event;
use crate::outcome::{mix, spread};
use crate::session::Sessions;

/// Query 11.
pub(super) fn bid_sessions(events: Records<'_, Event>, total: Total) {
    let sessions = sessions(bids(events).map(|bid| (bid.bidder, bid.time)));
    collect(sessions, total, |(bidder, start, bids)| mix(*bidder, *start, *bids));
}

/// Turns (bidder, time) into (bidder, start, bids) per session.
///
/// Batches wait until the frontier has passed their time: then all workers' bids come in the order of event time.
fn sessions(bids: Records<'_, (u64, u64)>) -> Records<'_, (u64, u64, u64)> {
    let by_bidder = Exchange::new(|(bidder, _): &(u64, u64)| spread(*bidder));
    bids.unary_frontier(by_bidder, "Sessions", |capability, _| {
        let mut waiting: BTreeMap<u64, Vec<Vec<(u64, u64)>>> = BTreeMap::new();
        let mut sessions = Sessions::default();
        let mut capability = Some(capability);
        move |(input, frontier), output| {
            input.for_each(|time, batch| {
                waiting.entry(*time.time()).or_default().push(mem::take(batch));
            });
            let Some(held) = &mut capability else { return };
            let passed = frontier.frontier().first().copied();
            let watermark = passed.unwrap_or(u64::MAX);
            let mut closed = Vec::new();
            let mut close = |bidder, start, bids| closed.push((bidder, start, bids));
            while let Some(due) = waiting.first_entry().filter(|due| *due.key() < watermark) {
                for (bidder, time) in due.remove().into_iter().flatten() {
                    sessions.add(bidder, time, &mut close);
                }
            }
            sessions.advance(watermark, close);
            if !closed.is_empty() {
                output.session(held).give_container(&mut closed);
            }
            match passed {
                Some(time) if time > *held.time() => held.downgrade(&time),
                Some(_) => {}
                None => capability = None,
            }
        }
    })
}
