//! [`Observations`]: what a run has seen that no counter of a step tells: dead letters by reason, windows, and how long messages
//! took to show in the table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use millstream::Timestamp;

use super::aggregates::{PANE, TIMING};
use super::dead_letters::DeadLetterRow;
use super::message::PUBLISH_TIME;
use super::row::{Cell, Row};
use crate::histogram::Histogram;
use crate::visibility::Observer;

/// What a run has seen; clones share it. After a restart within the run, what was written again is counted again.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    reasons: Mutex<BTreeMap<String, u64>>,
    windows: AtomicU64,
    panes: Mutex<BTreeMap<String, u64>>,
    visible_after: Mutex<Histogram>,
    first_visible: OnceLock<Timestamp>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is counted stays usable whatever happened to the thread that counted last.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observations {
    /// Dead letters by reason.
    #[must_use]
    pub fn dead_letters(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.reasons).clone()
    }

    /// Windows of a group for which at least one pane was written.
    #[must_use]
    pub fn windows(&self) -> u64 {
        self.shared.windows.load(Ordering::Relaxed)
    }

    /// Panes by timing.
    #[must_use]
    pub fn panes(&self) -> BTreeMap<String, u64> {
        lock(&self.shared.panes).clone()
    }

    /// How long it took from the publishing of a message until its row was visible.
    #[must_use]
    pub fn visible_after(&self) -> Histogram {
        lock(&self.shared.visible_after).clone()
    }

    /// When the first rows became visible.
    #[must_use]
    pub fn first_visible(&self) -> Option<Timestamp> {
        self.shared.first_visible.get().copied()
    }

    /// Measures rows.
    pub(super) fn row_observer(&self) -> Observer<Row> {
        let shared = Arc::clone(&self.shared);
        let published = |row: &Row| {
            let text = row.get(PUBLISH_TIME).and_then(Cell::as_text)?;
            Timestamp::parse(text).ok()
        };
        Observer::new(|_| {}).visible(published, move |now, latencies| {
            shared.first_visible.get_or_init(|| now);
            lock(&shared.visible_after).merge(latencies);
        })
    }

    /// Counts panes and windows.
    pub(super) fn pane_observer(&self) -> Observer<Row> {
        let shared = Arc::clone(&self.shared);
        Observer::new(move |row: &Row| {
            if row.get(PANE).and_then(Cell::as_int) == Some(0) {
                shared.windows.fetch_add(1, Ordering::Relaxed);
            }
            let timing = row.get(TIMING).and_then(Cell::as_text).unwrap_or_default();
            count(&shared.panes, timing);
        })
    }

    /// Counts dead letters.
    pub(super) fn letter_observer(&self) -> Observer<DeadLetterRow> {
        let shared = Arc::clone(&self.shared);
        Observer::new(move |letter: &DeadLetterRow| count(&shared.reasons, &letter.reason))
    }
}

fn count(counts: &Mutex<BTreeMap<String, u64>>, name: &str) {
    let mut counts = lock(counts);
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}
