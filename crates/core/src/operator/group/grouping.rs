//! [`Grouping`]: the rules by which a pane takes elements, holds the watermark, fires and closes, whatever keeps the panes.
//!
//! Owns Beam's decisions on timing, emptiness, holds and accumulation. Must not know where panes are stored or when
//! they are looked at. Source: Beam's `ReduceFnRunner` and `WatermarkHold`.

use std::marker::PhantomData;

use crate::batch::WindowedPane;
use crate::coder::{Data, Key, Kv};
use crate::combine::CombineFn;
use crate::operator::group::LATE;
use crate::operator::group::alarms::{Holds, NEVER};
use crate::operator::group::firing::{Firing, look_at};
use crate::operator::group::pane::{Extra, Merged, Pane, last_pane};
use crate::operator::output::Output;
use crate::pane::{PaneInfo, Sign, Timing};
use crate::time::Timestamp;
use crate::trigger::{TriggerContext, TriggerState};
use crate::windowing::{
    AccumulationMode, ClosingBehavior, OnTimeBehavior, TimestampCombiner, Window, WindowingStrategy,
};

/// The pane of a combine.
pub(super) type PaneOf<V, C> = Pane<<C as CombineFn<V>>::Accumulator, <C as CombineFn<V>>::Output>;

/// The output of a grouping.
pub(super) type Emit<'a, K, V, C> = Output<'a, Kv<K, <C as CombineFn<V>>::Output>>;

/// What a grouping decides, and where time stands for it.
#[derive(Debug)]
pub(super) struct Grouping<V, C> {
    pub(super) combine: C,
    pub(super) strategy: WindowingStrategy,
    pub(super) firing: Firing,
    pub(super) is_merging: bool,
    watches_end: bool,
    /// The input watermark.
    pub(super) watermark: Timestamp,
    /// What the output watermark has been allowed to reach.
    pub(super) output_watermark: Timestamp,
    /// The processing time of this call.
    pub(super) now: Timestamp,
    pub(super) holds: Holds,
    of: PhantomData<fn(V)>,
}

/// What became of asking a pane to fire.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fired {
    /// Something was emitted.
    pub(super) emitted: bool,
    /// The trigger has finished: the window is closed for the key.
    pub(super) finished: bool,
    /// When to look at the pane again.
    pub(super) wake: Option<Timestamp>,
}

impl<V: Data, C: CombineFn<V>> Grouping<V, C> {
    pub(super) fn new(combine: C, strategy: WindowingStrategy, is_merging: bool) -> Self {
        let firing = Firing::new(&strategy.trigger, is_merging);
        Self {
            combine,
            watches_end: firing.watches_end(),
            firing,
            strategy,
            is_merging,
            watermark: Timestamp::MIN,
            output_watermark: Timestamp::MIN,
            now: Timestamp::MIN,
            holds: Holds::default(),
            of: PhantomData,
        }
    }

    /// A pane without elements.
    pub(super) fn new_pane(&self) -> PaneOf<V, C> {
        Pane::new(self.combine.create_accumulator(), self.firing.new_state())
    }

    fn context(&self, window: Window) -> TriggerContext {
        TriggerContext::new(window, self.watermark, self.now).with_merging(self.is_merging)
    }

    /// The event time behind which `window` expires: the global one only at the end of time.
    pub(super) fn expiry(&self, window: &Window) -> Timestamp {
        if *window == Window::GLOBAL {
            return Timestamp::MAX.saturating_add_micros(-1);
        }
        self.strategy.garbage_collection_time(window)
    }

    pub(super) fn is_expired(&self, window: &Window) -> bool {
        self.expiry(window) < self.watermark
    }

    /// The next event time behind which something happens to `window`, seen from `watermark`.
    pub(super) fn next_event(&self, window: &Window, watermark: Timestamp) -> Timestamp {
        let end = window.max_timestamp();
        if self.watches_end && end >= watermark { end } else { self.expiry(window) }
    }

    pub(super) fn watches_end(&self) -> bool {
        self.watches_end
    }

    /// A round of firings begins because the input watermark passed events, the first at `first_event`. All of it
    /// sees the output watermark that could be reached before it: what decides whether an empty pane still is on time.
    pub(super) fn begin_round(&mut self, first_event: Timestamp) {
        // The global window's own event is its end, though it expires only at the end of time.
        let first_event = first_event.min(Window::GLOBAL.max_timestamp());
        let reached = self.watermark.min(self.holds.least()).min(first_event);
        self.output_watermark = self.output_watermark.max(reached);
    }

    /// Everything that was due is done: the output watermark follows.
    pub(super) fn settle(&mut self) {
        let reached = self.watermark.min(self.holds.least());
        self.output_watermark = self.output_watermark.max(reached);
    }

    /// Adds an element to a pane of `window`; gives the processing time at which to look at the pane, if that is new.
    #[inline]
    pub(super) fn add(
        &mut self,
        pane: &mut PaneOf<V, C>,
        window: Window,
        timestamp: Timestamp,
        value: V,
    ) -> Option<Timestamp> {
        self.combine.add_input(&mut pane.accumulator, value);
        pane.seen.is_empty = false;
        self.hold_element(pane, &window, timestamp);
        let ctx = self.context(window);
        match &self.firing {
            Firing::General(trigger) => {
                let extra = pane.extra.as_mut()?;
                let state = extra.trigger.as_mut()?;
                state.on_element(trigger, &ctx);
                let next = state.next_wake_up(trigger, &ctx);
                next.filter(|at| std::mem::replace(&mut extra.wake, *at) != *at)
            }
            simple => simple.on_element(&mut pane.seen, &ctx),
        }
    }

    /// Holds the output watermark until the pane with this element goes out, unless the element is too late for that:
    /// the output watermark has passed it, or the input watermark the window.
    #[inline]
    fn hold_element(&mut self, pane: &mut PaneOf<V, C>, window: &Window, timestamp: Timestamp) {
        let combiner = self.strategy.timestamp_combiner;
        let end = window.max_timestamp();
        let at = match combiner {
            TimestampCombiner::EndOfWindow => end,
            _ => {
                let at = self.strategy.window_fn.output_time(timestamp, window);
                combiner.assign(at, window)
            }
        };
        if at < self.output_watermark || end < self.watermark {
            return;
        }
        let at = if pane.hold == NEVER { at } else { combiner.combine(pane.hold, at) };
        self.holds.replace(&mut pane.hold, at);
    }

    /// Whether the pane would fire if it were asked.
    #[inline]
    pub(super) fn is_ready(&self, pane: &PaneOf<V, C>, window: Window) -> bool {
        let ctx = self.context(window);
        match &self.firing {
            _ if pane.seen.is_finished => false,
            Firing::General(trigger) => {
                let state = pane.extra.as_ref().and_then(|extra| extra.trigger.as_ref());
                state.is_some_and(|state| state.should_fire(trigger, &ctx))
            }
            simple => simple.should_fire(&pane.seen, &ctx),
        }
    }

    /// Emits the pane if its trigger says so.
    pub(super) fn fire_if_ready<K: Key>(
        &mut self,
        pane: &mut PaneOf<V, C>,
        key: &K,
        window: Window,
        out: &mut Emit<'_, K, V, C>,
    ) -> Fired {
        let mut fired = Fired::default();
        if self.is_ready(pane, window) {
            let ctx = self.context(window);
            self.tell_trigger(pane, &ctx);
            fired.finished = pane.seen.is_finished;
            fired.emitted = self.emit(pane, key, window, fired.finished, out);
            self.after_pane(pane, fired.finished);
        }
        if !pane.seen.is_finished {
            fired.wake = self.next_wake(pane, window);
        }
        fired
    }

    fn tell_trigger(&self, pane: &mut PaneOf<V, C>, ctx: &TriggerContext) {
        match &self.firing {
            Firing::General(trigger) => {
                let state = pane.extra.as_mut().and_then(|extra| extra.trigger.as_mut());
                if let Some(state) = state {
                    state.on_fire(trigger, ctx);
                    pane.seen.is_finished = state.is_finished();
                }
            }
            simple => simple.on_fire(&mut pane.seen, ctx),
        }
    }

    /// An alarm of the general machine that is not set yet.
    fn next_wake(&self, pane: &mut PaneOf<V, C>, window: Window) -> Option<Timestamp> {
        let Firing::General(trigger) = &self.firing else { return None };
        let extra = pane.extra.as_mut()?;
        let next = extra.trigger.as_ref()?.next_wake_up(trigger, &self.context(window));
        let before = std::mem::replace(&mut extra.wake, next.unwrap_or(NEVER));
        next.filter(|at| *at != before)
    }

    /// Forgets the alarm that has just gone off, so that a later one is set anew.
    pub(super) fn alarm_went_off(pane: &mut PaneOf<V, C>, at: Timestamp) {
        if let Some(extra) = pane.extra.as_mut()
            && extra.wake == at
        {
            extra.wake = NEVER;
        }
    }

    /// All processing times at which a restored pane wants to be looked at.
    pub(super) fn restored_wake(
        &self,
        pane: &mut PaneOf<V, C>,
        window: Window,
    ) -> Option<Timestamp> {
        match &self.firing {
            _ if pane.seen.is_finished => None,
            Firing::General(_) => self.next_wake(pane, window),
            _ => Some(look_at(pane.seen.until)).filter(|at| *at != NEVER),
        }
    }

    /// Emits the last pane of an expired window, if there is one to be emitted.
    pub(super) fn close<K: Key>(
        &mut self,
        pane: &mut PaneOf<V, C>,
        key: &K,
        window: Window,
        out: &mut Emit<'_, K, V, C>,
    ) -> bool {
        !pane.seen.is_finished && self.emit(pane, key, window, true, out)
    }

    /// Releases the hold of a pane and emits it, unless it is empty and emptiness is not to be seen.
    fn emit<K: Key>(
        &mut self,
        pane: &mut PaneOf<V, C>,
        key: &K,
        window: Window,
        is_last: bool,
        out: &mut Emit<'_, K, V, C>,
    ) -> bool {
        let timing = self.timing(pane.last_pane().as_ref(), &window);
        let timestamp = if pane.hold == NEVER { window.max_timestamp() } else { pane.hold };
        self.holds.replace(&mut pane.hold, NEVER);
        if pane.seen.is_empty && !self.shows_empty(timing, is_last) {
            return false;
        }
        let info = PaneInfo::following(pane.last_pane().as_ref(), timing, is_last);
        let at = WindowedPane { window, pane: info };
        if self.strategy.accumulation == AccumulationMode::Retracting {
            self.retract(pane.extra_mut(), key, (timestamp, at), out);
        }
        let output = self.combine.extract_output(&pane.accumulator);
        if self.strategy.accumulation == AccumulationMode::Retracting && !is_last {
            pane.extra_mut().previous = Some(output.clone());
        }
        out.emit_windowed(timestamp, at, (key.clone(), output));
        pane.count_pane(timing);
        true
    }

    fn timing(&self, previous: Option<&PaneInfo>, window: &Window) -> Timing {
        let end = window.max_timestamp();
        Timing::of_next(previous, end, self.watermark, self.output_watermark)
    }

    fn shows_empty(&self, timing: Timing, is_last: bool) -> bool {
        let strategy = &self.strategy;
        (timing == Timing::OnTime && strategy.on_time_behavior == OnTimeBehavior::FireAlways)
            || (is_last && strategy.closing_behavior == ClosingBehavior::FireAlways)
    }

    /// Takes back what the panes before held, of this window and of those that merged into it.
    fn retract<K: Key>(
        &self,
        extra: &mut Extra<C::Output>,
        key: &K,
        (timestamp, at): (Timestamp, WindowedPane),
        out: &mut Emit<'_, K, V, C>,
    ) {
        for merged in extra.merged.drain(..) {
            let window = merged.window;
            let before = last_pane(merged.fired, merged.fired_early);
            // A correction is not what the window was waiting for: it is never on time.
            let is_open = self.watermark <= window.max_timestamp();
            let timing = if is_open { Timing::Early } else { Timing::Late };
            let pane = PaneInfo::following(before.as_ref(), timing, true).with_sign(Sign::Retract);
            let at = WindowedPane { window, pane };
            out.emit_windowed(window.max_timestamp(), at, (key.clone(), merged.output));
        }
        if let Some(previous) = extra.previous.take() {
            let at = WindowedPane { pane: at.pane.with_sign(Sign::Retract), ..at };
            out.emit_windowed(timestamp, at, (key.clone(), previous));
        }
    }

    /// The pane has gone out: it is empty now, and in discarding mode or at the end so is its state.
    fn after_pane(&self, pane: &mut PaneOf<V, C>, is_finished: bool) {
        pane.seen.is_empty = true;
        if is_finished || self.strategy.accumulation == AccumulationMode::Discarding {
            pane.accumulator = self.combine.create_accumulator();
        }
        if is_finished {
            pane.extra = None;
        }
    }

    /// Moves everything that `sources` (each with its window) hold into the first of them, which becomes `into`.
    pub(super) fn merge(
        &mut self,
        into: Window,
        first: (Window, &mut PaneOf<V, C>),
        others: Vec<(Window, PaneOf<V, C>)>,
    ) {
        let (first_window, target) = first;
        self.merge_triggers(into, target, &others);
        let same = others.iter().find(|(window, _)| *window == into);
        let (mut fired, mut fired_early) = (0, 0);
        let mut previous = None;
        let mut merged = Vec::new();
        if let Some((_, pane)) = same {
            (fired, fired_early) = (pane.fired, pane.fired_early);
        } else if first_window == into {
            (fired, fired_early) = (target.fired, target.fired_early);
        }
        let (of_target, target_counts) = (take_outputs(target), (target.fired, target.fired_early));
        let mut keep = |window: Window, counts: (u64, u64), taken: Outputs<C::Output>| {
            merged.extend(taken.1);
            match taken.0 {
                Some(output) if window == into => previous = Some(output),
                Some(output) => {
                    let (fired, fired_early) = counts;
                    merged.push(Merged { window, fired, fired_early, output });
                }
                None => {}
            }
        };
        keep(first_window, target_counts, of_target);
        for (window, mut pane) in others {
            keep(window, (pane.fired, pane.fired_early), take_outputs(&mut pane));
            self.merge_contents(into, target, pane);
        }
        (target.fired, target.fired_early) = (fired, fired_early);
        self.hold_merged(into, target);
        if previous.is_some() || !merged.is_empty() {
            // What was emitted for a window that is no more has to be replaced.
            target.seen.is_empty &= merged.is_empty();
            let extra = target.extra_mut();
            (extra.previous, extra.merged) = (previous, merged);
        }
    }

    fn merge_triggers(
        &self,
        into: Window,
        target: &mut PaneOf<V, C>,
        others: &[(Window, PaneOf<V, C>)],
    ) {
        let Firing::General(trigger) = &self.firing else { return };
        let of = |pane: &PaneOf<V, C>| pane.extra.as_ref().and_then(|extra| extra.trigger.clone());
        let states: Vec<TriggerState> =
            of(target).into_iter().chain(others.iter().filter_map(|(_, pane)| of(pane))).collect();
        let state = TriggerState::merge(trigger, &states, &self.context(into));
        target.extra_mut().trigger = Some(state);
    }

    fn merge_contents(
        &mut self,
        into: Window,
        target: &mut PaneOf<V, C>,
        mut source: PaneOf<V, C>,
    ) {
        target.seen.is_empty &= source.seen.is_empty;
        let hold = source.hold;
        self.holds.replace(&mut source.hold, NEVER);
        if hold != NEVER {
            let combiner = self.strategy.timestamp_combiner;
            let at =
                if target.hold == NEVER { hold } else { combiner.merge(&into, target.hold, hold) };
            self.holds.replace(&mut target.hold, at);
        }
        self.combine.merge(&mut target.accumulator, source.accumulator);
    }

    /// A hold at the end of a window moves with the end. One that was there stays although the input watermark has passed
    /// the end: late elements that merge in do not make those late that came on time.
    fn hold_merged(&mut self, into: Window, target: &mut PaneOf<V, C>) {
        if self.strategy.timestamp_combiner != TimestampCombiner::EndOfWindow {
            return;
        }
        let end = into.max_timestamp();
        if target.hold == NEVER {
            if !target.seen.is_empty {
                self.hold_element(target, &into, end);
            }
        } else {
            let at = if end < self.output_watermark { NEVER } else { end };
            self.holds.replace(&mut target.hold, at);
        }
    }
}

/// An element with what its stream says of it.
pub(super) type Arrival<K, V> = (Timestamp, Option<WindowedPane>, Kv<K, V>);

/// Gives out an element that is too late for each of its windows.
#[cold]
pub(super) fn emit_late<K: Key, V: Data, O: Data>(
    (timestamp, at, element): Arrival<K, V>,
    out: &mut Output<'_, Kv<K, O>>,
) {
    if out.has_side(LATE) {
        out.emit_side(LATE, timestamp, at, element);
    }
}

/// What a pane has emitted last, and what it still has to take back.
type Outputs<O> = (Option<O>, Vec<Merged<O>>);

fn take_outputs<A, O>(pane: &mut Pane<A, O>) -> Outputs<O> {
    match pane.extra.as_mut() {
        Some(extra) => (extra.previous.take(), std::mem::take(&mut extra.merged)),
        None => (None, Vec::new()),
    }
}
