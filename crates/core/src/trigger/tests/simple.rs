//! Default, Never, Always, count and processing time, by themselves and under merging.

use super::harness::{Tester, millis, window};
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::windowing::{SlidingWindows, Window};

#[test]
fn default_trigger_fixed_windows() {
    let mut tester = Tester::fixed(Trigger::Default, 100);
    tester.inject(&[1, 101]);
    let (first, second) = (window(0, 100), window(100, 200));
    tester.watermark(99);
    assert!(!tester.should_fire(first), "the last instant of the window may still come");
    tester.watermark(100);
    tester.must_fire(first);
    assert!(!tester.should_fire(second) && !tester.is_finished(first));
    tester.watermark(200);
    tester.must_fire(second);
    tester.inject(&[1]);
    assert!(tester.should_fire(first), "late elements fire again");
}

#[test]
fn default_trigger_sliding_windows() {
    let mut tester =
        Tester::new(Trigger::Default, SlidingWindows::of(millis(100)).every(millis(50)));
    tester.inject(&[1, 50]);
    let windows = [window(-50, 50), window(0, 100), window(50, 150)];
    for (position, ending) in windows.into_iter().enumerate() {
        tester.watermark(ending.end.as_millis());
        for (other, sliding) in windows.into_iter().enumerate() {
            assert_eq!(tester.should_fire(sliding), other <= position);
        }
    }
}

#[test]
fn default_trigger_sessions_fires_after_the_merged_window() {
    let mut tester = Tester::sessions(Trigger::Default, 10);
    tester.inject(&[1, 5]);
    tester.watermark(11);
    assert!(tester.should_fire(window(1, 11)));
    tester.merge();
    let merged = window(1, 15);
    assert!(!tester.should_fire(merged));
    tester.watermark(15);
    tester.must_fire(merged);
    assert!(!tester.is_finished(merged));
}

#[test]
fn never_does_not_fire() {
    let mut tester = Tester::fixed(Trigger::Never, 10);
    tester.inject(&[1, 2, 3]);
    tester.watermark(1_000);
    tester.clock(1_000);
    assert!(!tester.should_fire(window(0, 10)));
}

#[test]
fn always_fires_whenever_asked() {
    let mut tester = Tester::global(Trigger::Always);
    for time in 0..3 {
        tester.inject(&[time]);
        tester.must_fire(Window::GLOBAL);
    }
    assert!(!tester.is_finished(Window::GLOBAL));
}

#[test]
fn after_pane_element_count_fixed_windows() {
    let mut tester = Tester::fixed(Trigger::after_count(2), 10);
    let first = window(0, 10);
    tester.inject(&[1]);
    assert!(!tester.should_fire(first));
    tester.inject(&[2]);
    tester.must_fire(first);
    assert!(tester.is_finished(first));
    tester.inject(&[11]);
    assert!(!tester.should_fire(window(10, 20)), "windows count for themselves");
}

#[test]
fn after_pane_element_count_sessions() {
    let mut tester = Tester::sessions(Trigger::after_count(2), 10);
    tester.inject(&[1, 2]);
    assert!(!tester.should_fire(window(1, 11)) && !tester.should_fire(window(2, 12)));
    tester.merge();
    let merged = window(1, 12);
    tester.must_fire(merged);
    assert!(tester.is_finished(merged));

    // The closed window is not there to merge with.
    tester.inject(&[7, 9]);
    tester.merge();
    tester.must_fire(window(7, 19));
    assert!(tester.is_finished(window(7, 19)));
}

#[test]
fn after_processing_time_fixed_windows() {
    let mut tester = Tester::fixed(Trigger::after_processing_time(millis(5)), 10);
    let (first, second) = (window(0, 10), window(10, 20));
    tester.clock(10);
    tester.inject(&[1]); // due after 15
    tester.clock(12);
    assert!(!tester.should_fire(first));
    tester.inject(&[11, 12, 13]); // due after 17
    tester.clock(14);
    assert!(!tester.should_fire(first) && !tester.should_fire(second));
    tester.inject(&[2, 3]); // would be due after 19, but the pane's first element counts
    tester.clock(15);
    assert!(!tester.should_fire(first), "the delay must have passed");
    assert_eq!(tester.next_wake_up(first), Some(Timestamp::from_micros(15_001)));

    tester.clock(16);
    assert!(!tester.should_fire(second));
    tester.must_fire(first);
    assert!(tester.is_finished(first));
    tester.clock(18);
    tester.must_fire(second);
    assert!(tester.is_finished(second));
}

#[test]
fn after_processing_time_with_merging_window() {
    let mut tester = Tester::sessions(Trigger::after_processing_time(millis(5)), 10);
    tester.clock(10);
    tester.inject(&[1]); // due after 15
    tester.clock(12);
    tester.inject(&[3]); // due after 17
    tester.merge();
    let merged = window(1, 13);
    assert_eq!(tester.next_wake_up(merged), Some(Timestamp::from_micros(15_001)));
    assert!(!tester.should_fire(merged));
    tester.clock(16);
    tester.must_fire(merged);
}

#[test]
fn processing_time_aligns_to_the_next_multiple() {
    let aligned = Trigger::after_processing_time(millis(5)).aligned_to(millis(10)).repeatedly();
    let mut tester = Tester::global(aligned);
    for (now, due) in [(3, 10), (11, 20), (25, 30), (26, 40)] {
        tester.clock(now);
        tester.inject(&[1]);
        let wake_up = Timestamp::from_micros(due * 1_000 + 1);
        assert_eq!(tester.next_wake_up(Window::GLOBAL), Some(wake_up), "arrived at {now}");
        tester.clock(due + 1);
        tester.must_fire(Window::GLOBAL);
        assert_eq!(tester.next_wake_up(Window::GLOBAL), None);
    }
}

#[test]
fn after_synchronized_processing_time_fires_behind_the_first_arrival() {
    let mut tester = Tester::sessions(Trigger::AfterSynchronizedProcessingTime, 10);
    tester.clock(10);
    tester.inject(&[1]);
    tester.clock(12);
    tester.inject(&[3]);
    assert!(tester.should_fire(window(1, 11)) && !tester.should_fire(window(3, 13)));
    tester.merge();
    tester.must_fire(window(1, 13));
    assert!(tester.is_finished(window(1, 13)));
}
