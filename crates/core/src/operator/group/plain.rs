//! [`Plain`]: panes of windows that do not merge, window by window, so that a window's state goes in one drop.
//!
//! Windows are visited in the order of their ends and never all of them: what a watermark expires is a prefix, what it
//! ends a range.

use std::collections::BTreeMap;

use crate::batch::{Batch, WindowedPane};
use crate::coder::{Data, Key, Kv};
use crate::combine::CombineFn;
use crate::error::Result;
use crate::metrics::Counter;
use crate::operator::group::alarms::{Alarms, NEVER};
use crate::operator::group::grouping::{Arrival, Emit, Fired, Grouping, PaneOf, emit_late};
use crate::operator::group::key_slab::{IntoEntries, KeySlab};
use crate::operator::group::pane::StoredPane;
use crate::operator::seam::{Progress, Share};
use crate::state::{SnapshotWriter, StepState, key_group, key_hash};
use crate::time::Timestamp;
use crate::windowing::Window;

/// Name of the cell with one value per key and window.
const PANES: &str = "panes";

/// Where a pane is: the slot of its window and its number in it.
type Place = (u32, u32);

/// The panes of one window.
struct WindowPanes<K, V, C: CombineFn<V>> {
    window: Window,
    panes: KeySlab<K, PaneOf<V, C>>,
}

/// Panes by window, then by key.
pub(super) struct Plain<K, V, C: CombineFn<V>> {
    slots: Vec<Option<WindowPanes<K, V, C>>>,
    free: Vec<u32>,
    by_window: BTreeMap<Window, u32>,
    /// Whether an event time is in one window at most, so that the latest window can be kept at hand.
    is_partition: bool,
    latest: Option<(Window, Option<u32>)>,
    touched: Vec<Place>,
    wakes: Alarms<Place>,
    waking: (Timestamp, std::vec::IntoIter<Place>),
    /// What is left of a round, the first visit at the end.
    round: Vec<Visit<K, V, C>>,
    assigned: Vec<Window>,
}

/// A window to be visited because the watermark passed an event of it.
enum Visit<K, V, C: CombineFn<V>> {
    /// It has expired: each key emits its last pane and is dropped.
    Close { window: Window, rest: IntoEntries<K, PaneOf<V, C>> },
    /// Its end has passed: each key may fire.
    End { slot: u32, next: u32 },
}

impl<K: Key, V: Data, C: CombineFn<V>> Plain<K, V, C> {
    pub(super) fn new(is_partition: bool) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_window: BTreeMap::new(),
            is_partition,
            latest: None,
            touched: Vec::new(),
            wakes: Alarms::default(),
            waking: (NEVER, Vec::new().into_iter()),
            round: Vec::new(),
            assigned: Vec::new(),
        }
    }

    /// Takes a batch, then lets what it touched fire.
    pub(super) fn add_batch(
        &mut self,
        grouping: &mut Grouping<V, C>,
        is_assigned: bool,
        input: &mut Batch<Kv<K, V>>,
        out: &mut Emit<'_, K, V, C>,
    ) {
        let mut late = 0;
        for (timestamp, at, element) in input.drain() {
            let assigned = at.filter(|_| is_assigned);
            if self.is_partition || assigned.is_some() {
                let slot = self.slot_of(grouping, timestamp, assigned);
                if let Some(dropped) = self.add(grouping, slot, timestamp, element) {
                    late += 1;
                    emit_late((timestamp, at, dropped), out);
                }
            } else {
                late += self.add_to_all(grouping, (timestamp, at, element), out);
            }
        }
        if late > 0 {
            out.count(Counter::Late, late);
        }
        self.fire_touched(grouping, out);
    }

    /// The slot of the one window of an element; none when it has expired.
    #[inline]
    fn slot_of(
        &mut self,
        grouping: &Grouping<V, C>,
        timestamp: Timestamp,
        assigned: Option<WindowedPane>,
    ) -> Option<u32> {
        let is_latest = |window: &Window| match assigned {
            Some(at) => *window == at.window,
            None => window.contains(timestamp),
        };
        if let Some((window, slot)) = &self.latest
            && is_latest(window)
        {
            return *slot;
        }
        let window = match assigned {
            Some(at) => at.window,
            None => {
                self.assigned.clear();
                grouping.strategy.window_fn.assign(timestamp, &mut self.assigned);
                *self.assigned.first()?
            }
        };
        let slot = (!grouping.is_expired(&window)).then(|| self.open(window));
        self.latest = Some((window, slot));
        slot
    }

    /// The slot of a window that has not expired.
    fn open(&mut self, window: Window) -> u32 {
        if let Some(slot) = self.by_window.get(&window) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("memory ends before four billion windows")
        });
        self.slots[slot as usize] = Some(WindowPanes { window, panes: KeySlab::default() });
        self.by_window.insert(window, slot);
        slot
    }

    /// Adds an element to its pane; gives it back when it is too late for it.
    #[inline]
    fn add(
        &mut self,
        grouping: &mut Grouping<V, C>,
        slot: Option<u32>,
        timestamp: Timestamp,
        (key, value): Kv<K, V>,
    ) -> Option<Kv<K, V>> {
        let Some(slot) = slot else { return Some((key, value)) };
        let panes = self.slots[slot as usize].as_mut()?;
        let window = panes.window;
        let (number, pane) = panes.panes.entry(key, || grouping.new_pane());
        if pane.seen.is_finished {
            let (key, _) = panes.panes.get_mut(number)?;
            return Some((key.clone(), value));
        }
        if let Some(at) = grouping.add(pane, window, timestamp, value) {
            self.wakes.set(at, (slot, number));
        }
        if !pane.seen.is_touched && grouping.is_ready(pane, window) {
            pane.seen.is_touched = true;
            self.touched.push((slot, number));
        }
        None
    }

    /// Adds an element to each of its windows; gives in how many it is late. One that is late in all is given out.
    fn add_to_all(
        &mut self,
        grouping: &mut Grouping<V, C>,
        (timestamp, at, element): Arrival<K, V>,
        out: &mut Emit<'_, K, V, C>,
    ) -> u64 {
        let mut assigned = std::mem::take(&mut self.assigned);
        assigned.clear();
        grouping.strategy.window_fn.assign(timestamp, &mut assigned);
        let mut late = 0;
        for window in &assigned {
            let slot = (!grouping.is_expired(window)).then(|| self.open(*window));
            late += u64::from(self.add(grouping, slot, timestamp, element.clone()).is_some());
        }
        if late > 0 && late == assigned.len() as u64 {
            emit_late((timestamp, at, element), out);
        }
        self.assigned = assigned;
        late
    }

    fn fire_touched(&mut self, grouping: &mut Grouping<V, C>, out: &mut Emit<'_, K, V, C>) {
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            self.look_at(grouping, place, None, out);
        }
        self.touched = touched;
    }

    /// Lets one pane fire if it is ready; `alarm`: the alarm that has gone off for it.
    fn look_at(
        &mut self,
        grouping: &mut Grouping<V, C>,
        (slot, number): Place,
        alarm: Option<Timestamp>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Fired {
        // The place may have been given to another pane since: looking at that does no harm.
        let Some(Some(panes)) = self.slots.get_mut(slot as usize) else { return Fired::default() };
        let window = panes.window;
        let Some((key, pane)) = panes.panes.get_mut(number) else { return Fired::default() };
        pane.seen.is_touched = false;
        if let Some(at) = alarm {
            Grouping::<V, C>::alarm_went_off(pane, at);
        }
        let fired = grouping.fire_if_ready(pane, key, window, out);
        if let Some(at) = fired.wake {
            self.wakes.set(at, (slot, number));
        }
        fired
    }

    /// Collects the windows of which the watermark, before at `previous`, has passed an event.
    pub(super) fn begin_round(&mut self, grouping: &mut Grouping<V, C>, previous: Timestamp) {
        self.latest = None;
        let mut first_event = NEVER;
        while let Some(entry) = self.by_window.first_entry() {
            let window = *entry.key();
            if !grouping.is_expired(&window) {
                break;
            }
            first_event = first_event.min(grouping.next_event(&window, previous));
            let slot = entry.remove();
            self.free.push(slot);
            if let Some(panes) = self.slots[slot as usize].take() {
                self.round.push(Visit::Close { window, rest: panes.panes.into_iter() });
            }
        }
        if grouping.watches_end() {
            let first = Window::new(Timestamp::MIN, previous.saturating_add_micros(1));
            let ended = self.by_window.range(first..);
            let ended = ended.take_while(|(window, _)| window.max_timestamp() < grouping.watermark);
            for (window, slot) in ended {
                first_event = first_event.min(window.max_timestamp());
                self.round.push(Visit::End { slot: *slot, next: 0 });
            }
        }
        self.round.reverse();
        grouping.begin_round(first_event);
    }

    /// Goes on with the round until it is done or the outbox is full.
    pub(super) fn run_round(
        &mut self,
        grouping: &mut Grouping<V, C>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Progress {
        while let Some(mut visit) = self.round.pop() {
            if self.visit(grouping, &mut visit, out) == Progress::Pending {
                self.round.push(visit);
                return Progress::Pending;
            }
        }
        Progress::Done
    }

    fn visit(
        &mut self,
        grouping: &mut Grouping<V, C>,
        visit: &mut Visit<K, V, C>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Progress {
        match visit {
            Visit::Close { window, rest } => {
                for (key, mut pane) in rest.by_ref() {
                    if grouping.close(&mut pane, &key, *window, out) && out.is_full() {
                        return Progress::Pending;
                    }
                }
            }
            Visit::End { slot, next } => {
                let panes = self.slots[*slot as usize].as_ref();
                let bound = panes.map_or(0, |panes| panes.panes.bound());
                while *next < bound {
                    let place = (*slot, *next);
                    *next += 1;
                    if self.look_at(grouping, place, None, out).emitted && out.is_full() {
                        return Progress::Pending;
                    }
                }
            }
        }
        Progress::Done
    }

    /// Looks at the panes whose alarm has gone off by now.
    pub(super) fn wake(
        &mut self,
        grouping: &mut Grouping<V, C>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Progress {
        let end = grouping.now.saturating_add_micros(1);
        loop {
            while let Some(place) = self.waking.1.next() {
                let alarm = Some(self.waking.0);
                let emitted = self.look_at(grouping, place, alarm, out).emitted;
                // Pending means that there is more to do now, which `wake_at` has to say, too.
                if emitted && out.is_full() && self.wake_at().is_some_and(|at| at < end) {
                    return Progress::Pending;
                }
            }
            let Some((at, places)) = self.wakes.take_before(end) else { return Progress::Done };
            self.waking = (at, places.into_iter());
        }
    }

    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        if self.waking.1.len() > 0 { Some(self.waking.0) } else { self.wakes.first() }
    }

    pub(super) fn snapshot(&self, writer: &mut SnapshotWriter) -> Result<()> {
        for slot in self.by_window.values() {
            let Some(panes) = &self.slots[*slot as usize] else { continue };
            let entries = panes
                .panes
                .iter()
                .map(|(key, pane)| (key_group(key_hash(key)), (panes.window, key, pane.store())));
            writer.put_all(PANES, entries)?;
        }
        Ok(())
    }

    pub(super) fn restore(
        &mut self,
        grouping: &mut Grouping<V, C>,
        state: &StepState<'_>,
        share: Share,
    ) -> Result<()> {
        type Stored<A, O> = StoredPane<A, O>;
        let stored = state.values::<(Window, K, Stored<C::Accumulator, C::Output>)>(PANES)?;
        for (window, key, stored) in stored {
            if !share.owns(key_hash(&key)) {
                continue;
            }
            let slot = self.open(window);
            let mut pane = stored.restore();
            grouping.holds.add(pane.hold);
            let wake = grouping.restored_wake(&mut pane, window);
            let Some(panes) = &mut self.slots[slot as usize] else { continue };
            let (number, _) = panes.panes.entry(key, || pane);
            if let Some(at) = wake {
                self.wakes.set(at, (slot, number));
            }
        }
        Ok(())
    }

    /// Number of panes, those of closed windows included.
    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().map(|panes| panes.panes.len()).sum()
    }
}
