//! AfterWatermark with early and late firings, and what a merge does to it.

use super::harness::{Tester, millis, window};
use crate::time::Timestamp;
use crate::trigger::{Trigger, TriggerContext, TriggerState};

/// A part that is ready exactly when two elements came: stands for any trigger that fires once.
fn pair() -> Trigger {
    Trigger::after_count(2)
}

fn fires_for_each_pair(tester: &mut Tester) {
    let first = window(0, 100);
    for _ in 0..3 {
        tester.inject(&[1]);
        assert!(!tester.should_fire(first));
        tester.inject(&[2]);
        tester.must_fire(first);
        assert!(!tester.is_finished(first) && !tester.should_fire(first));
    }
}

#[test]
fn early_and_at_watermark() {
    let mut tester = Tester::fixed(Trigger::after_watermark().early(pair()), 100);
    fires_for_each_pair(&mut tester);
    tester.watermark(100);
    tester.must_fire(window(0, 100));
    assert!(tester.is_finished(window(0, 100)));
}

#[test]
fn at_watermark_and_late() {
    let mut tester = Tester::fixed(Trigger::after_watermark().late(pair()), 100);
    tester.inject(&[1, 2, 3]);
    assert!(!tester.should_fire(window(0, 100)), "nothing is early");
    tester.watermark(100);
    tester.must_fire(window(0, 100));
    assert!(!tester.is_finished(window(0, 100)));
    fires_for_each_pair(&mut tester);
}

#[test]
fn early_and_at_watermark_and_late() {
    let trigger = Trigger::after_watermark().early(pair()).late(pair());
    let mut tester = Tester::fixed(trigger, 100);
    fires_for_each_pair(&mut tester);
    tester.inject(&[5]);
    tester.watermark(100);
    tester.must_fire(window(0, 100));
    assert!(!tester.should_fire(window(0, 100)), "the pane on time took the element along");
    fires_for_each_pair(&mut tester);
}

#[test]
fn at_watermark_only_finishes() {
    let mut tester = Tester::fixed(Trigger::after_watermark(), 100);
    tester.inject(&[1]);
    tester.watermark(99);
    assert!(!tester.should_fire(window(0, 100)));
    tester.watermark(100);
    tester.must_fire(window(0, 100));
    assert!(tester.is_finished(window(0, 100)));
}

#[test]
fn composite_early_firings_repeat() {
    let either =
        Trigger::after_any([Trigger::after_processing_time(millis(5)), Trigger::after_count(2)]);
    let mut tester = Tester::fixed(Trigger::after_watermark().early(either), 100);
    fires_for_each_pair(&mut tester);
    tester.inject(&[1]);
    assert!(!tester.should_fire(window(0, 100)));
    tester.clock(6);
    tester.must_fire(window(0, 100));
    assert!(!tester.should_fire(window(0, 100)));
    fires_for_each_pair(&mut tester);
}

/// The end of the window, then each element: as a sequence, and as late firings.
fn watermark_then_each() -> [Trigger; 2] {
    let sequence = [Trigger::after_watermark(), Trigger::after_count(1).repeatedly()];
    let late =
        Trigger::after_watermark().early(Trigger::after_count(100)).late(Trigger::after_count(1));
    [Trigger::after_each(sequence), late]
}

#[test]
fn on_merge_already_finished() {
    for trigger in watermark_then_each() {
        let mut tester = Tester::sessions(trigger, 10);
        let both = [window(1, 11), window(5, 15)];
        tester.inject(&[1, 5]);
        tester.watermark(15);
        both.into_iter().for_each(|window| tester.must_fire(window));
        assert!(both.iter().all(|window| !tester.should_fire(*window)));
        tester.inject(&[1, 5]);
        both.into_iter().for_each(|window| tester.must_fire(window));

        // Merging leaves it behind the end of the window.
        tester.merge();
        assert!(!tester.should_fire(window(1, 15)));
        tester.inject(&[1]);
        assert!(tester.should_fire(window(1, 15)));
    }
}

#[test]
fn on_merge_rewinds() {
    for trigger in watermark_then_each() {
        let mut tester = Tester::sessions(trigger, 10);
        let (first, second, merged) = (window(1, 11), window(5, 15), window(1, 15));
        tester.inject(&[1, 5]);
        tester.watermark(11);
        assert!(!tester.should_fire(second));
        tester.must_fire(first);
        assert!(!tester.should_fire(first));
        tester.inject(&[1]);
        tester.must_fire(first);

        // The merged window has not ended, so its end will fire again.
        tester.merge();
        assert!(!tester.should_fire(merged));
        tester.inject(&[1]);
        assert!(!tester.should_fire(merged));
        tester.watermark(15);
        tester.must_fire(merged);
        tester.inject(&[2]);
        tester.must_fire(merged);
    }
}

#[test]
fn on_merge_with_a_window_that_has_not_fired_the_end_fires_again() {
    for trigger in watermark_then_each() {
        let mut tester = Tester::sessions(trigger, 10);
        tester.inject(&[1]);
        tester.watermark(20);
        tester.must_fire(window(1, 11));
        tester.inject(&[5]);
        tester.merge();
        assert!(tester.should_fire(window(1, 15)), "5 has not been in a pane on time");
    }
}

#[test]
fn early_counts_of_merged_windows_add_up() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(3)).late(Trigger::after_count(1));
    let mut tester = Tester::sessions(trigger, 10);
    tester.inject(&[1]);
    tester.watermark(11);
    tester.must_fire(window(1, 11));
    tester.inject(&[1]);
    tester.must_fire(window(1, 11)); // late; both are out
    tester.inject(&[5, 5]);
    tester.merge();
    assert!(!tester.should_fire(window(1, 15)), "two are pending");
    tester.inject(&[6]);
    tester.merge();
    tester.must_fire(window(1, 16));
}

#[test]
fn a_session_that_grows_past_the_watermark_waits_for_its_end_again() {
    for trigger in watermark_then_each() {
        let ctx = |window, watermark| {
            let watermark = Timestamp::from_millis(watermark);
            TriggerContext::new(window, watermark, Timestamp::EPOCH).with_merging(true)
        };
        let ended = ctx(window(1, 11), 11);
        let mut state = TriggerState::new(&trigger);
        state.on_element(&trigger, &ended);
        state.on_fire(&trigger, &ended);

        let grown = ctx(window(1, 18), 11);
        let mut state = TriggerState::merge(&trigger, [&state], &grown);
        state.on_element(&trigger, &grown);
        assert!(!state.should_fire(&trigger, &grown), "{trigger}");
        assert!(state.should_fire(&trigger, &ctx(window(1, 18), 18)), "{trigger}");
    }
}

#[test]
fn an_element_that_joins_an_ended_window_is_not_left_to_the_late_trigger() {
    let trigger = Trigger::after_watermark().late(Trigger::after_count(10));
    let mut tester = Tester::sessions(trigger, 10);
    tester.inject(&[1]);
    tester.watermark(20);
    tester.must_fire(window(1, 11));
    tester.inject(&[5]);
    tester.merge();
    tester.must_fire(window(1, 15));
    assert!(!tester.should_fire(window(1, 15)));
}
