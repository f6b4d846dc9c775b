//! Keeps the first element of each key for a while: [`Deduplicate`].

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::Batch;
use crate::coder::{Data, Key, Kv};
use crate::error::{BoxError, Result};
use crate::metrics::Counter;
use crate::operator::output::Output;
use crate::operator::seam::{Operator, Progress, Share};
use crate::operator::table::KeyTable;
use crate::state::{SnapshotWriter, StepState, key_group, key_hash};
use crate::time::Timestamp;

/// Drops elements whose key was seen within the horizon of processing time. Source: Beam's `Deduplicate`.
#[derive(Debug)]
pub struct Deduplicate<K> {
    horizon: Duration,
    seen: KeyTable<K, ()>,
    /// Keys in the order in which they expire.
    expiries: VecDeque<(Timestamp, K)>,
}

impl<K: Key> Deduplicate<K> {
    /// Remembers each key for `horizon` after it was first seen.
    #[must_use]
    pub fn new(horizon: Duration) -> Self {
        Self { horizon, seen: KeyTable::default(), expiries: VecDeque::new() }
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while self.expiries.front().is_some_and(|(expires, _)| *expires <= now) {
            if let Some((_, key)) = self.expiries.pop_front() {
                self.seen.remove(&key);
            }
        }
    }
}

impl<K: Key, T: Data> Operator<Kv<K, T>> for Deduplicate<K> {
    type Out = T;

    fn on_batch(
        &mut self,
        input: &mut Batch<Kv<K, T>>,
        out: &mut Output<'_, T>,
    ) -> Result<(), BoxError> {
        let now = out.now();
        self.forget_expired(now);
        for (timestamp, at, (key, element)) in input.drain() {
            let mut is_new = false;
            self.seen.entry(key.clone(), || is_new = true);
            if is_new {
                self.expiries.push_back((now + self.horizon, key));
                out.emit_at(timestamp, at, element);
            } else {
                out.count(Counter::Duplicates, 1);
            }
        }
        Ok(())
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut Output<'_, T>) -> Result<Progress, BoxError> {
        self.forget_expired(now);
        Ok(Progress::Done)
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.expiries.front().map(|(expires, _)| *expires)
    }

    fn snapshot(&mut self, writer: &mut SnapshotWriter) -> Result<()> {
        let entries = self.expiries.iter().map(|entry| (key_group(key_hash(&entry.1)), entry));
        writer.put_all("seen", entries)
    }

    fn restore(&mut self, state: &StepState<'_>, share: Share) -> Result<()> {
        let mut expiries = state.values::<(Timestamp, K)>("seen")?;
        expiries.retain(|(_, key)| share.owns(key_hash(key)));
        expiries.sort_by_key(|(expires, _)| *expires);
        for (_, key) in &expiries {
            self.seen.entry(key.clone(), || ());
        }
        self.expiries = expiries.into();
        Ok(())
    }
}
