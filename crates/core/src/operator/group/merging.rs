//! [`Merging`]: panes of windows that merge, key by key.
//!
//! A pane stays under the state window it began with while its window grows. It has one event-time alarm; when that
//! goes off before the window's present end, it is set anew, so that a session that grows costs no alarm each time.

use crate::batch::Batch;
use crate::coder::{Data, Key, Kv};
use crate::combine::CombineFn;
use crate::error::Result;
use crate::metrics::Counter;
use crate::operator::group::alarms::{Alarms, NEVER};
use crate::operator::group::grouping::{Arrival, Emit, Fired, Grouping, PaneOf, emit_late};
use crate::operator::group::key_slab::KeySlab;
use crate::operator::group::pane::StoredPane;
use crate::operator::seam::{Progress, Share};
use crate::state::{SnapshotWriter, StepState, key_group, key_hash};
use crate::time::Timestamp;
use crate::windowing::active::ActiveMerge;
use crate::windowing::{MergingWindowSet, Window};

/// Name of the cell with one value per key.
const SESSIONS: &str = "sessions";

/// Where a pane is: the number of its key and its state window.
type Place = (u32, Window);

/// The windows of one key.
struct Sessions<V, C: CombineFn<V>> {
    active: MergingWindowSet,
    panes: Vec<StatePane<V, C>>,
    /// Windows whose trigger has finished, until they expire: what comes for them is dropped.
    closed: Vec<Window>,
}

struct StatePane<V, C: CombineFn<V>> {
    state: Window,
    /// Event time of its alarm.
    armed: Timestamp,
    pane: PaneOf<V, C>,
}

impl<V, C: CombineFn<V>> Default for Sessions<V, C> {
    fn default() -> Self {
        Self { active: MergingWindowSet::default(), panes: Vec::new(), closed: Vec::new() }
    }
}

impl<V, C: CombineFn<V>> Sessions<V, C> {
    /// The present window of a state window.
    fn window_of(&self, state: Window) -> Option<Window> {
        let active = self.active.windows().iter().find(|active| active.state == state);
        active.map(|active| active.window)
    }

    fn position(&self, state: Window) -> Option<usize> {
        self.panes.iter().position(|pane| pane.state == state)
    }

    fn is_unused(&self) -> bool {
        self.panes.is_empty() && self.closed.is_empty()
    }
}

/// Panes by key, then by state window.
pub(super) struct Merging<K, V, C: CombineFn<V>> {
    keys: KeySlab<K, Sessions<V, C>>,
    events: Alarms<Place>,
    wakes: Alarms<Place>,
    waking: (Timestamp, std::vec::IntoIter<Place>),
    touched: Vec<Place>,
    /// What is left of a round, the first pane at the end.
    round: Vec<Place>,
    assigned: Vec<Window>,
    merged: Vec<Window>,
}

impl<K: Key, V: Data, C: CombineFn<V>> Merging<K, V, C> {
    pub(super) fn new() -> Self {
        Self {
            keys: KeySlab::default(),
            events: Alarms::default(),
            wakes: Alarms::default(),
            waking: (NEVER, Vec::new().into_iter()),
            touched: Vec::new(),
            round: Vec::new(),
            assigned: Vec::new(),
            merged: Vec::new(),
        }
    }

    /// Takes a batch, merging windows as elements come, then lets what it touched fire.
    pub(super) fn add_batch(
        &mut self,
        grouping: &mut Grouping<V, C>,
        input: &mut Batch<Kv<K, V>>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Result<()> {
        let mut late = 0;
        for arrival in input.drain() {
            late += self.add_to_all(grouping, arrival, out)?;
        }
        if late > 0 {
            out.count(Counter::Late, late);
        }
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            self.look_at(grouping, place, None, out);
        }
        self.touched = touched;
        Ok(())
    }

    /// Adds an element to each of its windows; gives in how many it is late. One that is late in all is given out.
    fn add_to_all(
        &mut self,
        grouping: &mut Grouping<V, C>,
        (timestamp, at, element): Arrival<K, V>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Result<u64> {
        let mut assigned = std::mem::take(&mut self.assigned);
        assigned.clear();
        grouping.strategy.window_fn.assign(timestamp, &mut assigned);
        let mut late = 0;
        for window in &assigned {
            // As in Beam an element is late by its own window, whatever that would merge with.
            let added = !grouping.is_expired(window)
                && self.add(grouping, *window, timestamp, element.clone())?;
            late += u64::from(!added);
        }
        if late > 0 && late == assigned.len() as u64 {
            emit_late((timestamp, at, element), out);
        }
        self.assigned = assigned;
        Ok(late)
    }

    /// Adds an element to the window that `window` merges into; false when that is closed.
    fn add(
        &mut self,
        grouping: &mut Grouping<V, C>,
        window: Window,
        timestamp: Timestamp,
        (key, value): Kv<K, V>,
    ) -> Result<bool> {
        let (number, sessions) = self.keys.entry(key, Sessions::default);
        let Sessions { active, panes, closed } = sessions;
        let window_fn = std::sync::Arc::clone(&grouping.strategy.window_fn);
        self.merged.clear();
        let into = active.add(&*window_fn, window, |merge| {
            self.merged.push(merge.state);
            merge_panes(grouping, panes, &merge);
            Ok(())
        })?;
        let known = panes.iter().position(|pane| pane.state == into.state);
        let position = match known {
            None if closed.contains(&into.window) => {
                active.remove(&into.window);
                self.touch_merged(grouping, number);
                return Ok(false);
            }
            None => {
                let pane = grouping.new_pane();
                panes.push(StatePane { state: into.state, armed: NEVER, pane });
                panes.len() - 1
            }
            Some(position) => {
                closed.retain(|closed| *closed != into.window);
                position
            }
        };
        let wake = grouping.add(&mut panes[position].pane, into.window, timestamp, value);
        if let Some(at) = wake {
            self.wakes.set(at, (number, into.state));
        }
        if !self.merged.contains(&into.state) {
            self.merged.push(into.state);
        }
        self.touch_merged(grouping, number);
        Ok(true)
    }

    /// Sets the alarms of the panes whose windows have changed, and has them looked at when the batch is done.
    fn touch_merged(&mut self, grouping: &Grouping<V, C>, number: u32) {
        let Some((_, sessions)) = self.keys.get_mut(number) else { return };
        for state in self.merged.drain(..) {
            let Some(window) = sessions.window_of(state) else { continue };
            let Some(position) = sessions.position(state) else { continue };
            let pane = &mut sessions.panes[position];
            let event = grouping.next_event(&window, grouping.watermark);
            if event < pane.armed {
                pane.armed = event;
                self.events.set(event, (number, state));
            }
            if !std::mem::replace(&mut pane.pane.seen.is_touched, true) {
                self.touched.push((number, state));
            }
        }
    }

    /// Lets one pane fire if it is ready; `alarm`: the alarm that has gone off for it.
    fn look_at(
        &mut self,
        grouping: &mut Grouping<V, C>,
        (number, state): Place,
        alarm: Option<Timestamp>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Fired {
        let Some((key, sessions)) = self.keys.get_mut(number) else { return Fired::default() };
        let (Some(window), Some(position)) = (sessions.window_of(state), sessions.position(state))
        else {
            return Fired::default();
        };
        let pane = &mut sessions.panes[position].pane;
        pane.seen.is_touched = false;
        if let Some(at) = alarm {
            Grouping::<V, C>::alarm_went_off(pane, at);
        }
        let fired = grouping.fire_if_ready(pane, key, window, out);
        if fired.finished {
            sessions.panes.swap_remove(position);
            sessions.active.remove(&window);
            sessions.closed.push(window);
            self.events.set(grouping.expiry(&window), (number, window));
        }
        if let Some(at) = fired.wake {
            self.wakes.set(at, (number, state));
        }
        fired
    }

    /// Collects the panes of which the watermark, before at `previous`, has passed an event.
    pub(super) fn begin_round(&mut self, grouping: &mut Grouping<V, C>, previous: Timestamp) {
        let mut due = Vec::new();
        while let Some((at, places)) = self.events.take_before(grouping.watermark) {
            for place in places {
                due.extend(self.event_of(grouping, place, at, previous));
            }
        }
        due.sort_unstable();
        let first_event = due.first().map_or(NEVER, |(event, _, _)| *event);
        self.round = due.into_iter().rev().map(|(_, state, number)| (number, state)).collect();
        grouping.begin_round(first_event);
    }

    /// The event behind an alarm that has gone off; none when there is no reason for it any more, or not yet.
    fn event_of(
        &mut self,
        grouping: &Grouping<V, C>,
        (number, state): Place,
        at: Timestamp,
        previous: Timestamp,
    ) -> Option<(Timestamp, Window, u32)> {
        let (_, sessions) = self.keys.get_mut(number)?;
        if !sessions.closed.is_empty() {
            sessions.closed.retain(|window| !grouping.is_expired(window));
            if sessions.is_unused() {
                self.keys.remove(number);
                return None;
            }
        }
        let window = sessions.window_of(state)?;
        let position = sessions.position(state)?;
        let pane = &mut sessions.panes[position];
        if pane.armed != at {
            return None;
        }
        pane.armed = NEVER;
        let event = grouping.next_event(&window, previous);
        if event < grouping.watermark {
            return Some((event, state, number));
        }
        pane.armed = event;
        self.events.set(event, (number, state));
        None
    }

    /// Goes on with the round until it is done or the outbox is full.
    pub(super) fn run_round(
        &mut self,
        grouping: &mut Grouping<V, C>,
        out: &mut Emit<'_, K, V, C>,
    ) -> Progress {
        while let Some(place) = self.round.pop() {
            if self.visit(grouping, place, out) && out.is_full() {
                return Progress::Pending;
            }
        }
        Progress::Done
    }

    /// Closes a pane whose window has expired, lets any other fire; true when something was emitted.
    fn visit(
        &mut self,
        grouping: &mut Grouping<V, C>,
        (number, state): Place,
        out: &mut Emit<'_, K, V, C>,
    ) -> bool {
        let Some((key, sessions)) = self.keys.get_mut(number) else { return false };
        let (Some(window), Some(position)) = (sessions.window_of(state), sessions.position(state))
        else {
            return false;
        };
        if !grouping.is_expired(&window) {
            let fired = self.look_at(grouping, (number, state), None, out);
            self.arm_expiry(grouping, (number, state));
            return fired.emitted;
        }
        let mut pane = sessions.panes.swap_remove(position).pane;
        sessions.active.remove(&window);
        let emitted = grouping.close(&mut pane, key, window, out);
        if sessions.is_unused() {
            self.keys.remove(number);
        }
        emitted
    }

    fn arm_expiry(&mut self, grouping: &Grouping<V, C>, (number, state): Place) {
        let Some((_, sessions)) = self.keys.get_mut(number) else { return };
        let (Some(window), Some(position)) = (sessions.window_of(state), sessions.position(state))
        else {
            return;
        };
        let event = grouping.next_event(&window, grouping.watermark);
        sessions.panes[position].armed = event;
        self.events.set(event, (number, state));
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
        let entries = self.keys.iter().map(|(key, sessions)| {
            let panes: Vec<_> =
                sessions.panes.iter().map(|pane| (pane.state, pane.pane.store())).collect();
            (key_group(key_hash(key)), (key, &sessions.active, panes, &sessions.closed))
        });
        writer.put_all(SESSIONS, entries)
    }

    pub(super) fn restore(
        &mut self,
        grouping: &mut Grouping<V, C>,
        state: &StepState<'_>,
        share: Share,
    ) -> Result<()> {
        type StoredPanes<A, O> = Vec<(Window, StoredPane<A, O>)>;
        type Stored<K, A, O> = (K, MergingWindowSet, StoredPanes<A, O>, Vec<Window>);
        let stored = state.values::<Stored<K, C::Accumulator, C::Output>>(SESSIONS)?;
        for (key, active, panes, closed) in stored {
            if share.owns(key_hash(&key)) {
                let sessions = Sessions { active, panes: Vec::new(), closed };
                let (number, sessions) = self.keys.entry(key, || sessions);
                for window in &sessions.closed {
                    self.events.set(grouping.expiry(window), (number, *window));
                }
                for (state, stored) in panes {
                    let Some(window) = sessions.window_of(state) else { continue };
                    let mut pane = stored.restore();
                    grouping.holds.add(pane.hold);
                    let wake = grouping.restored_wake(&mut pane, window);
                    self.wakes.set(wake.unwrap_or(NEVER), (number, state));
                    let armed = grouping.next_event(&window, grouping.watermark);
                    self.events.set(armed, (number, state));
                    sessions.panes.push(StatePane { state, armed, pane });
                }
            }
        }
        Ok(())
    }

    /// Number of panes and of closed windows.
    pub(super) fn len(&self) -> usize {
        self.keys.iter().map(|(_, sessions)| sessions.panes.len() + sessions.closed.len()).sum()
    }
}

/// Moves the panes of merging windows together, before the set of windows changes.
fn merge_panes<V: Data, C: CombineFn<V>>(
    grouping: &mut Grouping<V, C>,
    panes: &mut Vec<StatePane<V, C>>,
    merge: &ActiveMerge<'_>,
) {
    let mut others = Vec::new();
    let mut first = merge.into;
    for source in merge.sources {
        if source.state == merge.state {
            first = source.window;
        } else if let Some(position) = panes.iter().position(|pane| pane.state == source.state) {
            others.push((source.window, panes.swap_remove(position).pane));
        }
    }
    if let Some(target) = panes.iter_mut().find(|pane| pane.state == merge.state) {
        grouping.merge(merge.into, (first, &mut target.pane), others);
    }
}
