//! Firings by processing time. Source of the cases: Beam's `ReduceFnRunnerTest`.

use super::tester::{Tester, fixed, micros};
use crate::trigger::Trigger;
use crate::windowing::{
    ClosingBehavior, GlobalWindows, OnTimeBehavior, TimestampCombiner, WindowingStrategy,
};

fn delay(delay: u64) -> Trigger {
    Trigger::after_processing_time(micros(delay)).repeatedly()
}

fn earliest(strategy: WindowingStrategy) -> WindowingStrategy {
    strategy.timestamp_combiner(TimestampCombiner::Earliest).accumulating()
}

/// Early firings 5 after the first element, late ones 25 after.
fn early_then_late() -> Trigger {
    Trigger::after_each([delay(5).or_finally(Trigger::after_watermark()), delay(25)])
}

/// Beam: testProcessingTimeTimerDoesNotGc.
#[test]
fn a_delay_does_not_expire_a_window() {
    let mut tester = Tester::summing(&earliest(fixed(100)).triggering(delay(10)));
    tester.clock(5_000);
    tester.inject(&[2]);
    tester.inject(&[5]);
    tester.clock(10_000);
    assert_eq!(tester.take(), ["7@2 [0,100) Early#0 first"]);
    assert!(!tester.is_empty());
}

/// Beam: testLateProcessingTimeTimer, testCombiningAccumulatingProcessingTime and ...SeparateBundles.
#[test]
fn a_delay_that_ends_behind_an_expired_window_does_nothing() {
    let mut tester = Tester::summing(&earliest(fixed(100)).triggering(delay(10)));
    tester.clock(5_000);
    tester.inject(&[2]);
    tester.inject(&[5]);
    tester.watermark(100);
    assert_eq!(tester.take(), ["7@2 [0,100) OnTime#0/0 first last"]);
    tester.clock(6_000);
    assert!(tester.take().is_empty() && tester.is_empty());
}

/// Beam: testCombiningAccumulatingEventTime.
#[test]
fn a_repeated_end_of_window_is_on_time_and_last_when_the_window_expires_with_it() {
    let strategy = earliest(fixed(100))
        .triggering(Trigger::after_watermark().repeatedly())
        .allowed_lateness(micros(1));
    let mut tester = Tester::summing(&strategy);
    tester.inject(&[2, 5]);
    tester.watermark(1_000);
    assert_eq!(tester.take(), ["7@2 [0,100) OnTime#0/0 first last"]);
}

/// Beam: testEmptyOnTimeFromOrFinally.
#[test]
fn an_or_finally_at_the_end_of_the_window_fires_an_empty_on_time_pane() {
    let strategy = earliest(fixed(10)).triggering(early_then_late()).allowed_lateness(micros(100));
    let mut tester = Tester::summing(&strategy);
    tester.watermark(0);
    tester.inject_values(&[(1, 1), (1, 3), (1, 7), (1, 5)]);
    tester.clock(6);
    tester.watermark(11);
    assert_eq!(tester.take(), ["4@1 [0,10) Early#0 first", "4@9 [0,10) OnTime#1/0"]);
}

/// Beam: testEmptyOnTimeWithOnTimeBehaviorFireIfNonEmpty and ...AndLateData.
#[test]
fn without_an_on_time_pane_the_next_one_is_late() {
    for late_data in [false, true] {
        let strategy = earliest(fixed(10))
            .triggering(early_then_late())
            .allowed_lateness(micros(100))
            .closing_behavior(ClosingBehavior::FireAlways)
            .on_time_behavior(OnTimeBehavior::FireIfNonEmpty);
        let mut tester = Tester::summing(&strategy);
        tester.watermark(0);
        tester.inject_values(&[(1, 1), (1, 3), (1, 7), (1, 5)]);
        tester.clock(6);
        tester.watermark(11);
        assert_eq!(tester.take(), ["4@1 [0,10) Early#0 first"]);
        if late_data {
            tester.inject_values(&[(1, 9)]);
            tester.clock(6 + 25 + 1);
            assert_eq!(tester.take(), ["5@9 [0,10) Late#1/0"]);
        } else {
            tester.watermark(110);
            assert_eq!(tester.take(), ["4@9 [0,10) Late#1/0 last"]);
        }
    }
}

/// Beam: testProcessingTime.
#[test]
fn early_on_time_and_late_panes_by_processing_time() {
    let strategy = earliest(fixed(10)).triggering(early_then_late()).allowed_lateness(micros(100));
    let mut tester = Tester::summing(&strategy);
    let ones = |times: &[i64]| times.iter().map(|time| (1, *time)).collect::<Vec<_>>();
    tester.watermark(0);
    tester.inject_values(&ones(&[1, 3, 7, 5]));
    tester.clock(6);
    tester.inject_values(&ones(&[8, 4]));
    tester.watermark(11);
    tester.inject_values(&ones(&[8, 4, 5]));
    tester.watermark(12);
    tester.inject_values(&ones(&[3]));
    tester.clock(15);
    tester.inject_values(&ones(&[5]));
    tester.clock(32);
    tester.inject_values(&ones(&[3]));
    tester.watermark(125);
    let expected = [
        "4@1 [0,10) Early#0 first",
        "6@4 [0,10) OnTime#1/0",
        "11@9 [0,10) Late#2/1",
        "12@9 [0,10) Late#3/2 last",
    ];
    assert_eq!(tester.take(), expected);
}

/// Beam: fireEmptyOnDrainInGlobalWindowIfRequested.
#[test]
fn the_global_window_fires_an_empty_on_time_pane_at_the_end_of_time() {
    let mut tester = Tester::collecting(&GlobalWindows.triggering(delay(3)));
    for time in 0..20 {
        tester.clock(time);
        tester.inject(&[time]);
    }
    tester.clock(24);
    let panes = tester.take();
    assert_eq!(panes.len(), 5);
    assert_eq!(panes[4], "[16, 17, 18, 19]@end [global) Early#4");
    tester.end_of_time();
    assert_eq!(tester.take(), ["[]@end [global) OnTime#5/0 last"]);
}

#[test]
fn the_alarm_is_the_first_delay_of_any_pane_and_goes_with_it() {
    let mut tester =
        Tester::summing(&fixed(10).triggering(delay(10)).allowed_lateness(micros(100)));
    tester.clock(100);
    tester.inject(&[1]);
    tester.clock(105);
    tester.inject(&[11, 2]);
    tester.clock(110);
    assert!(tester.take().is_empty(), "a delay of ten is over at eleven");
    tester.clock(111);
    assert_eq!(tester.take(), ["3@9 [0,10) Early#0 first"]);
    tester.driver.restart(3).unwrap();
    tester.clock(116);
    assert_eq!(tester.take(), ["11@19 [10,20) Early#0 first"]);
}

#[test]
fn aligned_delays_of_many_keys_fire_together() {
    let trigger = Trigger::after_processing_time(micros(1)).aligned_to(micros(100)).repeatedly();
    let mut tester = Tester::summing(&fixed(10).triggering(trigger));
    for (key, now) in [(1, 3), (2, 50), (3, 98)] {
        tester.clock(now);
        tester.driver.push([(super::tester::at(1), (key, 1))]).unwrap();
    }
    tester.clock(100);
    assert!(tester.take().is_empty());
    tester.clock(101);
    assert_eq!(tester.take().len(), 3);
}
