//! The rules of each trigger, over the states of `state`: what an element, a firing and a merge do.
//!
//! A part that has finished may be asked again after a merge has given it back its turn, so the rules keep the
//! parts' states fit for that: where windows merge, all parts see all elements.

use crate::time::{Timestamp, duration_micros};
use crate::trigger::ast::Trigger;
use crate::trigger::state::{Node, TriggerContext};

static NEVER: Trigger = Trigger::Never;

/// Early and late part of an `AfterWatermark` state.
type EarlyLate<'a> = (&'a Trigger, Option<&'a Trigger>);

/// The parts of an `AfterWatermark` that has any.
fn early_late<'a>(
    early: &'a Option<Box<Trigger>>,
    late: &'a Option<Box<Trigger>>,
) -> EarlyLate<'a> {
    (early.as_deref().unwrap_or(&NEVER), late.as_deref())
}

/// The processing time that must pass before the trigger fires, for a first element that arrives now.
fn delay_target(trigger: &Trigger, now: Timestamp) -> Timestamp {
    let Trigger::AfterProcessingTime { delay, align_to } = trigger else { return now };
    let target = now + *delay;
    let period = align_to.map_or(0, duration_micros);
    if period == 0 {
        return target;
    }
    match target.as_micros().rem_euclid(period) {
        0 => target,
        past => target.saturating_add_micros(period - past),
    }
}

impl Node {
    pub(super) fn on_elements(&mut self, trigger: &Trigger, ctx: &TriggerContext, count: u64) {
        match (trigger, self) {
            (_, Self::Count(_, seen)) => *seen = seen.saturating_add(count),
            (_, Self::Delay(_, until)) => {
                until.get_or_insert_with(|| delay_target(trigger, ctx.now));
            }
            (Trigger::AfterWatermark { early, late }, Self::Parts(_, parts)) => {
                if let [early_state, late_state] = &mut **parts {
                    let (early, late) = early_late(early, late);
                    if ctx.merging || !early_state.is_finished() {
                        early_state.on_elements(early, ctx, count);
                    }
                    if let Some(late) = late.filter(|_| ctx.merging || early_state.is_finished()) {
                        late_state.on_elements(late, ctx, count);
                    }
                }
            }
            (Trigger::AfterEach(triggers), Self::Parts(_, parts)) => {
                let first_unfinished = parts.iter().position(|part| !part.is_finished());
                for (position, (trigger, part)) in triggers.iter().zip(parts).enumerate() {
                    if ctx.merging || Some(position) == first_unfinished {
                        part.on_elements(trigger, ctx, count);
                    }
                }
            }
            (Trigger::AfterAll(triggers), Self::Parts(_, parts)) => {
                for (trigger, part) in triggers.iter().zip(parts) {
                    if !part.is_finished() {
                        part.on_elements(trigger, ctx, count);
                    }
                }
            }
            (Trigger::AfterAny(triggers), Self::Parts(_, parts)) => {
                for (trigger, part) in triggers.iter().zip(parts) {
                    part.on_elements(trigger, ctx, count);
                }
            }
            (Trigger::Repeatedly(trigger), Self::Parts(_, parts)) => {
                parts.iter_mut().for_each(|part| part.on_elements(trigger, ctx, count));
            }
            (Trigger::OrFinally { main, until }, Self::Parts(_, parts)) => {
                for (trigger, part) in [main, until].into_iter().zip(parts) {
                    part.on_elements(trigger, ctx, count);
                }
            }
            _ => {}
        }
    }

    pub(super) fn should_fire(&self, trigger: &Trigger, ctx: &TriggerContext) -> bool {
        let parts = self.parts();
        match (trigger, self) {
            (Trigger::Always, _) => true,
            (Trigger::Default | Trigger::AfterWatermark { early: None, late: None }, _) => {
                ctx.is_past_end_of_window()
            }
            (Trigger::AfterCount(count), Self::Count(_, seen)) => seen >= count,
            (_, Self::Delay(_, until)) => until.is_some_and(|until| until < ctx.now),
            (Trigger::AfterWatermark { early, late }, Self::Parts(..)) => {
                let [early_state, late_state] = parts else { return false };
                let (early, late) = early_late(early, late);
                if early_state.is_finished() {
                    late.is_some_and(|late| late_state.should_fire(late, ctx))
                } else {
                    ctx.is_past_end_of_window() || early_state.should_fire(early, ctx)
                }
            }
            (Trigger::Repeatedly(trigger), _) => {
                parts.iter().any(|part| part.should_fire(trigger, ctx))
            }
            (Trigger::AfterEach(triggers), _) => triggers
                .iter()
                .zip(parts)
                .find(|(_, part)| !part.is_finished())
                .is_some_and(|(trigger, part)| part.should_fire(trigger, ctx)),
            (Trigger::AfterAll(triggers), _) => {
                let ready = |(trigger, part): (&Trigger, &Self)| {
                    part.is_finished() || part.should_fire(trigger, ctx)
                };
                !parts.is_empty() && triggers.iter().zip(parts).all(ready)
            }
            (Trigger::AfterAny(triggers), _) => {
                let ready = |(trigger, part): (&Trigger, &Self)| {
                    part.is_finished() || part.should_fire(trigger, ctx)
                };
                triggers.iter().zip(parts).any(ready)
            }
            (Trigger::OrFinally { main, until }, _) => {
                let mut both = [main, until].into_iter().zip(parts);
                both.any(|(trigger, part)| part.should_fire(trigger, ctx))
            }
            _ => false,
        }
    }

    pub(super) fn on_fire(&mut self, trigger: &Trigger, ctx: &TriggerContext) {
        match trigger {
            Trigger::Default | Trigger::Always | Trigger::Never => {}
            Trigger::AfterWatermark { early: None, late: None } => self.set_finished(true),
            Trigger::AfterCount(_)
            | Trigger::AfterProcessingTime { .. }
            | Trigger::AfterSynchronizedProcessingTime => {
                self.clear();
                self.set_finished(true);
            }
            Trigger::AfterWatermark { early, late } => {
                self.on_fire_around_watermark(early_late(early, late), ctx);
            }
            Trigger::Repeatedly(trigger) => {
                for part in self.parts_mut() {
                    part.on_fire(trigger, ctx);
                    if part.is_finished() {
                        part.reset();
                    }
                }
            }
            Trigger::AfterEach(triggers) => self.on_fire_in_order(triggers, ctx),
            Trigger::AfterAll(triggers) => {
                for (trigger, part) in triggers.iter().zip(self.parts_mut()) {
                    part.on_fire(trigger, ctx);
                }
                self.set_finished(true);
            }
            Trigger::AfterAny(triggers) => {
                for (trigger, part) in triggers.iter().zip(self.parts_mut()) {
                    if part.should_fire(trigger, ctx) {
                        part.on_fire(trigger, ctx);
                    } else {
                        // The pane it was waiting with has gone out.
                        part.clear();
                    }
                }
                self.set_finished(true);
            }
            Trigger::OrFinally { main, until } => self.on_fire_until(main, until, ctx),
        }
    }

    fn on_fire_around_watermark(&mut self, (early, late): EarlyLate<'_>, ctx: &TriggerContext) {
        let [early_state, late_state] = self.parts_mut() else { return };
        if early_state.is_finished() {
            if let Some(late) = late {
                late_state.on_fire(late, ctx);
            }
            late_state.reset();
            // Where windows merge it ran in parallel, and the pane it saw has gone out.
            early_state.clear();
            return;
        }
        early_state.on_fire(early, ctx);
        early_state.reset();
        late_state.reset();
        if ctx.is_past_end_of_window() {
            early_state.set_finished(true);
            if late.is_none() {
                self.set_finished(true);
            }
        }
    }

    fn on_fire_in_order(&mut self, triggers: &[Trigger], ctx: &TriggerContext) {
        let parts = self.parts_mut();
        let mut unfinished = triggers.iter().zip(parts.iter_mut());
        if let Some((trigger, part)) = unfinished.find(|(_, part)| !part.is_finished()) {
            part.on_fire(trigger, ctx);
        }
        if ctx.merging {
            // All parts ran in parallel, and the pane they saw has gone out.
            parts.iter_mut().for_each(Self::clear);
        }
        let all_finished = parts.iter().all(Self::is_finished);
        self.set_finished(all_finished);
    }

    fn on_fire_until(&mut self, main: &Trigger, until: &Trigger, ctx: &TriggerContext) {
        let [main_state, until_state] = self.parts_mut() else { return };
        if until_state.should_fire(until, ctx) {
            until_state.on_fire(until, ctx);
            main_state.clear();
        } else {
            // What `until` has seen stays: it counts across firings.
            main_state.on_fire(main, ctx);
        }
        let finished = main_state.is_finished() || until_state.is_finished();
        self.set_finished(finished);
    }

    /// The state of the window that windows with these states have merged into.
    pub(super) fn merge(trigger: &Trigger, states: &[&Self], ctx: &TriggerContext) -> Self {
        if states.is_empty() {
            return Self::new(trigger);
        }
        let all_finished = states.iter().all(|state| state.is_finished());
        let part = |index, trigger: &Trigger| merge_part(index, trigger, states, ctx);
        let all = |triggers: &[Trigger]| -> Box<[Self]> {
            triggers.iter().enumerate().map(|(index, trigger)| part(index, trigger)).collect()
        };
        match trigger {
            Trigger::Default | Trigger::Always | Trigger::Never => Self::Leaf(all_finished),
            Trigger::AfterWatermark { early: None, late: None } => {
                Self::Leaf(all_finished && ctx.is_past_end_of_window())
            }
            Trigger::AfterCount(_) => merge_counts(states),
            Trigger::AfterProcessingTime { .. } | Trigger::AfterSynchronizedProcessingTime => {
                merge_delays(states)
            }
            Trigger::AfterWatermark { early, late } => {
                merge_around_watermark(early_late(early, late), states, ctx)
            }
            Trigger::Repeatedly(trigger) => {
                let mut merged = part(0, trigger);
                if merged.is_finished() {
                    merged.reset();
                }
                Self::Parts(false, Box::new([merged]))
            }
            Trigger::AfterEach(triggers) => {
                let mut merged: Box<[Self]> = triggers.iter().map(Self::new).collect();
                for (index, trigger) in triggers.iter().enumerate() {
                    merged[index] = part(index, trigger);
                    if !merged[index].is_finished() {
                        // What follows has not begun in the merged window.
                        break;
                    }
                }
                Self::Parts(merged.iter().all(Self::is_finished), merged)
            }
            Trigger::AfterAll(triggers) => {
                let merged = all(triggers);
                Self::Parts(merged.iter().all(Self::is_finished), merged)
            }
            Trigger::AfterAny(triggers) => {
                let merged = all(triggers);
                Self::Parts(merged.iter().any(Self::is_finished), merged)
            }
            Trigger::OrFinally { main, until } => {
                let merged = [part(0, main), part(1, until)];
                Self::Parts(merged.iter().any(Self::is_finished), Box::new(merged))
            }
        }
    }

    /// The earliest processing time behind `ctx.now` at which a part that has its turn may fire.
    pub(super) fn next_wake_up(
        &self,
        trigger: &Trigger,
        ctx: &TriggerContext,
    ) -> Option<Timestamp> {
        let parts = self.parts();
        match (trigger, self) {
            (_, Self::Delay(_, Some(until))) => {
                // It fires once the time has passed, which is the microsecond after it.
                Some(until.saturating_add_micros(1)).filter(|at| *at > ctx.now)
            }
            (Trigger::AfterWatermark { early, late }, Self::Parts(..)) => {
                let [early_state, late_state] = parts else { return None };
                let (early, late) = early_late(early, late);
                if early_state.is_finished() {
                    late.and_then(|late| late_state.next_wake_up(late, ctx))
                } else {
                    early_state.next_wake_up(early, ctx)
                }
            }
            (Trigger::Repeatedly(trigger), _) => parts.first()?.next_wake_up(trigger, ctx),
            (Trigger::AfterEach(triggers), _) => {
                let mut in_order = triggers.iter().zip(parts);
                let (trigger, part) = in_order.find(|(_, part)| !part.is_finished())?;
                part.next_wake_up(trigger, ctx)
            }
            (Trigger::AfterAll(triggers) | Trigger::AfterAny(triggers), _) => {
                let unfinished = triggers.iter().zip(parts).filter(|(_, part)| !part.is_finished());
                unfinished.filter_map(|(trigger, part)| part.next_wake_up(trigger, ctx)).min()
            }
            (Trigger::OrFinally { main, until }, _) => {
                let both = [main, until].into_iter().zip(parts);
                both.filter_map(|(trigger, part)| part.next_wake_up(trigger, ctx)).min()
            }
            _ => None,
        }
    }
}

/// Counts add up; one that has finished in any window has finished in the merged one.
fn merge_counts(states: &[&Node]) -> Node {
    if states.iter().any(|state| state.is_finished()) {
        return Node::Count(true, 0);
    }
    let count_of = |state: &&Node| match state {
        Node::Count(_, count) => *count,
        _ => 0,
    };
    Node::Count(false, states.iter().map(count_of).fold(0, u64::saturating_add))
}

/// The delay runs from the first element of any pane that is still to be fired.
fn merge_delays(states: &[&Node]) -> Node {
    let until_of = |state: &&Node| match state {
        Node::Delay(_, until) => *until,
        _ => None,
    };
    if states.iter().all(|state| state.is_finished()) {
        return Node::Delay(true, None);
    }
    Node::Delay(false, states.iter().filter_map(until_of).min())
}

/// The merged state of one part.
fn merge_part(index: usize, trigger: &Trigger, states: &[&Node], ctx: &TriggerContext) -> Node {
    let parts: Vec<&Node> = states.iter().filter_map(|state| state.parts().get(index)).collect();
    Node::merge(trigger, &parts, ctx)
}

/// Goes back to the early part unless all windows have passed their end and the merged one has, too: some
/// elements may not have had a chance to be in a pane on time.
fn merge_around_watermark(
    (early, late): EarlyLate<'_>,
    states: &[&Node],
    ctx: &TriggerContext,
) -> Node {
    let new = |trigger: Option<&Trigger>| trigger.map_or(Node::Leaf(false), Node::new);
    let is_past = |state: &&Node| state.parts().first().is_some_and(Node::is_finished);
    if ctx.is_past_end_of_window() && states.iter().all(is_past) {
        let mut early_state = Node::new(early);
        early_state.set_finished(true);
        let late_state = late.map_or_else(|| new(None), |late| merge_part(1, late, states, ctx));
        return Node::Parts(late.is_none(), Box::new([early_state, late_state]));
    }
    // That the early part had finished says only that its window had ended; what it has seen counts.
    let early_states: Vec<Node> = states
        .iter()
        .filter_map(|state| state.parts().first().cloned())
        .map(|mut early_state| {
            early_state.set_finished(false);
            early_state
        })
        .collect();
    let early_state = Node::merge(early, &early_states.iter().collect::<Vec<_>>(), ctx);
    Node::Parts(false, Box::new([early_state, new(late)]))
}
