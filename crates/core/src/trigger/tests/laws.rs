//! Laws over random triggers and histories.

use std::time::Duration;

use proptest::prelude::*;

use super::harness::window;
use crate::time::Timestamp;
use crate::trigger::{Trigger, TriggerContext, TriggerState};
use crate::windowing::Window;

const WINDOW_END_MS: i64 = 50;

fn any_trigger() -> impl Strategy<Value = Trigger> {
    let delay = (0_u64..20, prop::option::of(1_u64..15)).prop_map(|(delay, align)| {
        let trigger = Trigger::after_processing_time(Duration::from_millis(delay));
        align
            .into_iter()
            .fold(trigger, |trigger, period| trigger.aligned_to(Duration::from_millis(period)))
    });
    let leaf = prop_oneof![
        Just(Trigger::Default),
        Just(Trigger::Never),
        Just(Trigger::after_watermark()),
        Just(Trigger::AfterSynchronizedProcessingTime),
        (1_u64..5).prop_map(Trigger::after_count),
        delay,
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(Trigger::repeatedly),
            some().prop_map(Trigger::after_each),
            some().prop_map(Trigger::after_all),
            some().prop_map(Trigger::after_any),
            (inner.clone(), inner.clone()).prop_map(|(main, until)| main.or_finally(until)),
            (inner.clone(), inner.clone())
                .prop_map(|(early, late)| Trigger::after_watermark().early(early).late(late)),
        ]
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Element,
    Clock(i64),
    Watermark(i64),
}

fn any_history() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Element),
        1 => (1_i64..10).prop_map(Step::Clock),
        1 => (1_i64..30).prop_map(Step::Watermark),
    ];
    prop::collection::vec(step, 0..30)
}

fn at(ctx: &TriggerContext, window: Window) -> TriggerContext {
    TriggerContext { window, ..*ctx }
}

/// Runs a history, firing whenever the trigger is ready after a step.
fn run(
    trigger: &Trigger,
    history: &[Step],
    merging: bool,
    mut after_step: impl FnMut(&mut TriggerState, &TriggerContext),
) -> (TriggerState, TriggerContext) {
    let mut state = TriggerState::new(trigger);
    let mut ctx = TriggerContext::new(window(0, WINDOW_END_MS), Timestamp::MIN, Timestamp::EPOCH)
        .with_merging(merging);
    for step in history {
        match *step {
            Step::Element => state.on_element(trigger, &ctx),
            Step::Clock(millis) => ctx.now = ctx.now + Duration::from_millis(millis.unsigned_abs()),
            Step::Watermark(millis) => {
                let from = ctx.watermark.max(Timestamp::EPOCH);
                ctx.watermark = from + Duration::from_millis(millis.unsigned_abs());
            }
        }
        after_step(&mut state, &ctx);
        if state.should_fire(trigger, &ctx) {
            state.on_fire(trigger, &ctx);
        }
    }
    (state, ctx)
}

proptest! {
    #[test]
    fn a_finished_trigger_never_fires_and_only_one_that_may_finish_does(
        trigger in any_trigger(), history in any_history(), merging: bool,
    ) {
        let mut finished = false;
        run(&trigger, &history, merging, |state, ctx| {
            assert!(!finished || !state.should_fire(&trigger, ctx), "it fires after it finished");
            finished = state.is_finished();
        });
        prop_assert!(!finished || trigger.may_finish());
    }

    #[test]
    fn time_alone_fires_no_earlier_than_the_next_wake_up(
        trigger in any_trigger(), history in any_history(), merging: bool,
    ) {
        let (state, ctx) = run(&trigger, &history, merging, |_, _| {});
        if state.should_fire(&trigger, &ctx) {
            return Ok(()); // ready again at once: nothing to wait for
        }
        let wake_up = state.next_wake_up(&trigger, &ctx);
        prop_assert!(wake_up.is_none_or(|wake_up| wake_up > ctx.now));
        let horizon = ctx.now + Duration::from_millis(100);
        let just_before = wake_up.map_or(horizon, |wake_up| wake_up.saturating_add_micros(-1));
        let before = TriggerContext { now: just_before, ..ctx };
        prop_assert!(!state.should_fire(&trigger, &before), "{:?} slept through {}", state, just_before);
    }

    #[test]
    fn a_single_delay_fires_exactly_at_its_wake_up(delay in 0_u64..50, align in 1_u64..20) {
        let trigger = Trigger::after_processing_time(Duration::from_millis(delay))
            .aligned_to(Duration::from_millis(align))
            .repeatedly();
        let (state, ctx) = run(&trigger, &[Step::Clock(3), Step::Element], false, |_, _| {});
        let wake_up = state.next_wake_up(&trigger, &ctx).unwrap();
        let ready = TriggerContext { now: wake_up, ..ctx };
        prop_assert!(state.should_fire(&trigger, &ready));
    }

    #[test]
    fn the_guaranteed_watermark_fires_a_fresh_pane(trigger in any_trigger(), elements in 1_usize..5) {
        let mut state = TriggerState::new(&trigger);
        let mut ctx = TriggerContext::new(window(0, WINDOW_END_MS), Timestamp::MIN, Timestamp::EPOCH);
        for _ in 0..elements {
            state.on_element(&trigger, &ctx);
        }
        let watermark = trigger.watermark_that_guarantees_firing(&ctx.window);
        if watermark < Timestamp::MAX {
            ctx.watermark = watermark.saturating_add_micros(1);
            prop_assert!(state.should_fire(&trigger, &ctx));
        }
    }

    #[test]
    fn many_elements_at_once_are_as_many_one_by_one(
        trigger in any_trigger(), history in any_history(), more in 0_u64..6, merging: bool,
    ) {
        let (state, ctx) = run(&trigger, &history, merging, |_, _| {});
        let (mut at_once, mut one_by_one) = (state.clone(), state);
        at_once.on_elements(&trigger, &ctx, more);
        (0..more).for_each(|_| one_by_one.on_element(&trigger, &ctx));
        prop_assert_eq!(at_once, one_by_one);
    }

    #[test]
    fn merging_does_not_depend_on_the_order_of_windows(
        trigger in any_trigger(), one in any_history(), other in any_history(), third in any_history(),
    ) {
        let runs = [one, other, third].map(|history| run(&trigger, &history, true, |_, _| {}));
        let ctx = at(&runs[0].1, window(0, 2 * WINDOW_END_MS));
        let states = runs.map(|(state, _)| state);
        let forward = TriggerState::merge(&trigger, &states, &ctx);
        let backward = TriggerState::merge(&trigger, states.iter().rev(), &ctx);
        prop_assert_eq!(&forward, &backward);
        prop_assert!(!forward.is_finished() || trigger.may_finish());
    }

    #[test]
    fn a_merged_window_that_has_not_ended_fires_on_time(
        early in any_trigger(), late in any_trigger(), one in any_history(), other in any_history(),
    ) {
        let trigger = Trigger::after_watermark().early(early).late(late);
        let runs = [one, other].map(|history| run(&trigger, &history, true, |_, _| {}));
        let watermark = runs[0].1.watermark.max(runs[1].1.watermark).max(Timestamp::EPOCH);
        let merged = Window::new(Timestamp::EPOCH, watermark + Duration::from_millis(1));
        let ctx = TriggerContext { watermark, ..at(&runs[0].1, merged) };
        let mut state = TriggerState::merge(&trigger, runs.iter().map(|(state, _)| state), &ctx);
        prop_assert!(!ctx.is_past_end_of_window());
        state.on_element(&trigger, &ctx);
        let past = TriggerContext { watermark: merged.end, ..ctx };
        prop_assert!(state.should_fire(&trigger, &past));
        state.on_fire(&trigger, &past);
        prop_assert!(!state.is_finished(), "late elements still have their trigger");
    }

    #[test]
    fn states_and_triggers_survive_a_checkpoint(
        trigger in any_trigger(), history in any_history(), merging: bool,
    ) {
        let (state, _) = run(&trigger, &history, merging, |state, _| {
            let bytes = rmp_serde::to_vec_named(&state).unwrap();
            *state = rmp_serde::from_slice(&bytes).unwrap();
        });
        prop_assert_eq!(&run(&trigger, &history, merging, |_, _| {}).0, &state);
        let bytes = rmp_serde::to_vec_named(&trigger).unwrap();
        prop_assert_eq!(rmp_serde::from_slice::<Trigger>(&bytes).unwrap(), trigger);
    }

    #[test]
    fn a_state_of_another_trigger_does_not_panic(
        trigger in any_trigger(), other in any_trigger(), history in any_history(), merging: bool,
    ) {
        let (mut state, ctx) = run(&trigger, &history, merging, |_, _| {});
        state.on_element(&other, &ctx);
        let _ = TriggerState::merge(&other, [&state], &ctx);
        let _ = state.next_wake_up(&other, &ctx);
        if state.should_fire(&other, &ctx) {
            state.on_fire(&other, &ctx);
        }
    }
}
