//! Which panes go out, how they are numbered and what they hold. Source of the cases: Beam's `ReduceFnRunnerTest`.

use super::tester::{Tester, fixed, micros, sliding};
use crate::trigger::Trigger;
use crate::windowing::{
    ClosingBehavior, GlobalWindows, OnTimeBehavior, TimestampCombiner, WindowingStrategy,
};

/// At least two elements or the end of the window, again and again.
fn twos_or_end() -> Trigger {
    Trigger::after_any([Trigger::after_count(2), Trigger::after_watermark()]).repeatedly()
}

fn earliest(strategy: WindowingStrategy) -> WindowingStrategy {
    strategy.timestamp_combiner(TimestampCombiner::Earliest)
}

/// Beam: testOnElementBufferingDiscarding.
#[test]
fn a_finished_trigger_drops_what_comes_after() {
    let trigger = Trigger::after_each([Trigger::after_count(2), Trigger::after_count(1)]);
    let strategy = earliest(fixed(10)).triggering(trigger).allowed_lateness(micros(100));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1]);
    tester.inject(&[2]);
    assert_eq!(tester.take(), ["[1, 2]@1 [0,10) Early#0 first"]);
    tester.inject(&[3]);
    assert_eq!(tester.take(), ["[3]@3 [0,10) Early#1 last"]);
    tester.inject(&[4]);
    tester.watermark(9);
    assert_eq!(tester.late(), 1, "the window is closed");
    assert_eq!(tester.take_late(), [4]);
    tester.watermark(1_000);
    assert!(tester.take().is_empty() && tester.is_empty());
}

/// Beam: testOnElementBufferingAccumulating, testOnElementCombiningAccumulating.
#[test]
fn accumulating_panes_hold_all_so_far() {
    let trigger = Trigger::after_each([Trigger::after_count(2), Trigger::after_count(1)]);
    let strategy =
        earliest(fixed(10)).triggering(trigger).accumulating().allowed_lateness(micros(100));
    let mut tester = Tester::summing(&strategy);
    for time in 1..=4 {
        tester.inject(&[time]);
    }
    assert_eq!(tester.take(), ["3@1 [0,10) Early#0 first", "6@3 [0,10) Early#1 last"]);
}

/// Beam: testOnlyOneOnTimePane.
#[test]
fn only_one_pane_is_on_time() {
    let strategy = fixed(10).accumulating().allowed_lateness(micros(100));
    let mut tester = Tester::summing(&strategy);
    tester.watermark(0);
    tester.inject_values(&[(1, 1)]);
    tester.watermark(10);
    tester.inject_values(&[(3, 3)]);
    assert_eq!(tester.take(), ["1@9 [0,10) OnTime#0/0 first", "4@9 [0,10) Late#1/1"]);
}

/// Beam: testSessionEowAndGcTogether, testFixedWindowsEowAndGcTogether, ...FireIfNonEmpty.
#[test]
fn end_and_expiry_at_once_give_one_pane_on_time_and_last() {
    for closing in [ClosingBehavior::FireAlways, ClosingBehavior::FireIfNonEmpty] {
        for (strategy, window) in [(fixed(10), "[0,10)"), (super::tester::sessions(10), "[1,11)")] {
            let strategy =
                strategy.accumulating().allowed_lateness(micros(50)).closing_behavior(closing);
            let mut tester = Tester::collecting(&earliest(strategy));
            tester.watermark(0);
            tester.inject(&[1]);
            tester.watermark(100);
            assert_eq!(tester.take(), [format!("[1]@1 {window} OnTime#0/0 first last")]);
            assert!(tester.is_empty());
        }
    }
}

/// Beam: testPaneInfoAllStatesAfterWatermark.
#[test]
fn empty_on_time_and_final_panes_of_a_discarding_window() {
    let strategy = earliest(fixed(10))
        .triggering(twos_or_end())
        .allowed_lateness(micros(100))
        .closing_behavior(ClosingBehavior::FireAlways);
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(0);
    tester.inject(&[1, 2]);
    assert_eq!(tester.take(), ["[1, 2]@1 [0,10) Early#0 first"]);
    tester.watermark(50);
    assert_eq!(tester.take(), ["[]@9 [0,10) OnTime#1/0"]);
    tester.watermark(150);
    assert_eq!(tester.take(), ["[]@9 [0,10) Late#2/1 last"]);
}

/// Beam: testPaneInfoAllStatesAfterWatermarkAccumulating, noEmptyPanesFinalAlways, noEmptyPanesFinalIfNonEmpty.
#[test]
fn empty_panes_of_an_accumulating_window_repeat_what_it_holds() {
    for closing in [ClosingBehavior::FireAlways, ClosingBehavior::FireIfNonEmpty] {
        let strategy = earliest(fixed(10))
            .triggering(twos_or_end())
            .accumulating()
            .allowed_lateness(micros(100))
            .closing_behavior(closing);
        let mut tester = Tester::collecting(&strategy);
        tester.watermark(0);
        tester.inject(&[1, 2]);
        tester.watermark(20);
        tester.watermark(250);
        let mut expected = vec!["[1, 2]@1 [0,10) Early#0 first", "[1, 2]@9 [0,10) OnTime#1/0"];
        if closing == ClosingBehavior::FireAlways {
            expected.push("[1, 2]@9 [0,10) Late#2/1 last");
        }
        assert_eq!(tester.take(), expected);
    }
}

/// Beam: testPaneInfoFinalAndOnTime.
#[test]
fn a_pane_can_be_on_time_and_last() {
    let trigger = Trigger::after_count(2).repeatedly().or_finally(Trigger::after_watermark());
    let strategy = fixed(10)
        .triggering(trigger)
        .allowed_lateness(micros(100))
        .closing_behavior(ClosingBehavior::FireAlways);
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(0);
    tester.inject(&[1, 2]);
    assert_eq!(tester.take(), ["[1, 2]@9 [0,10) Early#0 first"]);
    tester.watermark(150);
    assert_eq!(tester.take(), ["[]@9 [0,10) OnTime#1/0 last"]);
}

/// Beam: testPaneInfoSkipToFinish, testPaneInfoSkipToNonSpeculativeAndFinish.
#[test]
fn the_first_pane_may_be_the_last() {
    let strategy = fixed(10).triggering(Trigger::after_count(1)).allowed_lateness(micros(100));
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(0);
    tester.inject(&[1]);
    assert_eq!(tester.take(), ["[1]@9 [0,10) Early#0 first last"]);
    tester.watermark(15);
    tester.inject(&[1, 2]);
    assert_eq!(tester.late(), 2);
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(15);
    tester.inject(&[1]);
    assert_eq!(tester.take(), ["[1]@9 [0,10) Late#0/0 first last"]);
}

/// Beam: testPaneInfoAllStates.
#[test]
fn panes_go_from_early_over_on_time_to_late() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(1)).late(Trigger::after_count(1));
    let strategy = fixed(10).triggering(trigger).allowed_lateness(micros(100));
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(0);
    for time in [1, 2] {
        tester.inject(&[time]);
    }
    tester.watermark(15);
    for time in [4, 5] {
        tester.inject(&[time]);
    }
    let expected = [
        "[1]@9 [0,10) Early#0 first",
        "[2]@9 [0,10) Early#1",
        "[]@9 [0,10) OnTime#2/0",
        "[4]@9 [0,10) Late#3/1",
        "[5]@9 [0,10) Late#4/2",
    ];
    assert_eq!(tester.take(), expected);
    tester.watermark(200);
    assert!(tester.take().is_empty() && tester.is_empty());
}

/// Beam: testIdempotentEmptyPanesDiscarding, ...Accumulating.
#[test]
fn an_uninteresting_firing_neither_shows_nor_counts() {
    for accumulating in [false, true] {
        let strategy = earliest(fixed(10)).allowed_lateness(micros(100));
        let strategy = if accumulating { strategy.accumulating() } else { strategy };
        let mut tester = Tester::collecting(&strategy);
        tester.inject(&[1, 2]);
        tester.watermark(12);
        tester.watermark(13);
        tester.clock(1);
        assert_eq!(tester.take(), ["[1, 2]@1 [0,10) OnTime#0/0 first"]);
        tester.inject(&[3]);
        let values = if accumulating { "[1, 2, 3]" } else { "[3]" };
        assert_eq!(tester.take(), [format!("{values}@9 [0,10) Late#1/1")]);
        assert_eq!(tester.late(), 0);
    }
}

/// Beam: testEmptyOnTimeWithOnTimeBehaviorBackwardCompatibility.
#[test]
fn an_empty_on_time_pane_shows_though_it_is_also_the_last() {
    let trigger = Trigger::after_watermark().early(Trigger::after_count(1));
    let mut tester = Tester::summing(&earliest(fixed(10)).triggering(trigger).accumulating());
    tester.watermark(0);
    tester.inject(&[1]);
    tester.watermark(11);
    assert_eq!(tester.take(), ["1@1 [0,10) Early#0 first", "1@9 [0,10) OnTime#1/0 last"]);
}

/// Beam: testEmptyOnTimeWithOnTimeBehaviorFireIfNonEmpty, without the processing time.
#[test]
fn an_empty_on_time_pane_stays_away_when_only_non_empty_ones_are_wanted() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(1)).late(Trigger::after_count(1));
    let strategy = fixed(10)
        .triggering(trigger)
        .allowed_lateness(micros(100))
        .closing_behavior(ClosingBehavior::FireAlways)
        .on_time_behavior(OnTimeBehavior::FireIfNonEmpty);
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(0);
    tester.inject(&[1]);
    tester.watermark(11);
    tester.watermark(110);
    assert_eq!(tester.take(), ["[1]@9 [0,10) Early#0 first", "[]@9 [0,10) Late#1/0 last"]);
}

/// Beam: fireNonEmptyOnDrainInGlobalWindow.
#[test]
fn the_global_window_fires_what_is_left_on_time_at_the_end_of_time() {
    let strategy = GlobalWindows.triggering(Trigger::after_count(3).repeatedly());
    let mut tester = Tester::collecting(&strategy);
    tester.watermark(0);
    for time in 0..20 {
        tester.inject(&[time]);
    }
    let panes = tester.take();
    assert_eq!(panes.len(), 6);
    assert_eq!(panes[5], "[15, 16, 17]@end [global) Early#5");
    tester.end_of_time();
    assert_eq!(tester.take(), ["[18, 19]@end [global) OnTime#6/0 last"]);
}

/// Beam: testDropDataMultipleWindowsFinishedTrigger.
#[test]
fn an_element_is_counted_late_once_for_each_window_it_missed() {
    let strategy =
        sliding(100, 30).triggering(Trigger::after_watermark()).allowed_lateness(micros(1_000));
    let mut tester = Tester::summing(&strategy);
    tester.inject_values(&[(10, 23), (12, 40)]);
    assert_eq!(tester.late(), 0);
    tester.watermark(70);
    tester.inject_values(&[(14, 60)]);
    assert_eq!(tester.late(), 1, "[-30, 70) is closed");
    assert!(tester.take_late().is_empty(), "it is in two windows still");
    tester.watermark(130);
    tester.inject_values(&[(16, 40)]);
    assert_eq!(tester.late(), 4, "all three are closed");
    assert_eq!(tester.take_late(), [16]);
}

/// Beam's Python transcripts: discarding_early_fixed; the dataflow paper's figure on discarding panes.
#[test]
fn an_empty_pane_of_a_sum_is_zero() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(1)).late(Trigger::after_count(1));
    let mut tester = Tester::summing(&fixed(10).triggering(trigger).allowed_lateness(micros(100)));
    tester.inject_values(&[(5, 1)]);
    tester.watermark(10);
    tester.inject_values(&[(9, 1)]);
    let expected = ["5@9 [0,10) Early#0 first", "0@9 [0,10) OnTime#1/0", "9@9 [0,10) Late#2/1"];
    assert_eq!(tester.take(), expected);
}
