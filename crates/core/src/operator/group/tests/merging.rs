//! Windows that merge. Source of the cases: Beam's `ReduceFnRunnerTest`.

use super::tester::{Tester, at, micros, sessions};
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::windowing::{Merge, TimestampCombiner, Window, WindowFn, WindowingStrategy};

fn earliest(strategy: WindowingStrategy) -> WindowingStrategy {
    strategy.timestamp_combiner(TimestampCombiner::Earliest)
}

/// Beam: testMergeBeforeFinalizing.
#[test]
fn windows_merge_before_they_are_emitted() {
    let mut tester = Tester::collecting(&earliest(sessions(10)));
    tester.inject(&[1, 10]);
    tester.watermark(100);
    assert_eq!(tester.take(), ["[1, 10]@1 [1,20) OnTime#0/0 first last"]);
    assert!(tester.is_empty());
}

/// Beam: testMergingWithCloseBeforeGC.
#[test]
fn a_session_may_be_closed_when_it_expires() {
    let strategy =
        earliest(sessions(10)).triggering(Trigger::after_watermark()).allowed_lateness(micros(50));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1, 10]);
    tester.watermark(30);
    assert_eq!(tester.take(), ["[1, 10]@1 [1,20) OnTime#0/0 first last"]);
    assert!(!tester.is_empty(), "it is remembered as closed");
    tester.watermark(100);
    assert!(tester.take().is_empty() && tester.is_empty());
}

/// Beam: testMergingWithReusedWindow, testMergingWithCloseTrigger.
#[test]
fn an_element_for_a_closed_session_is_dropped() {
    let strategy =
        earliest(sessions(10)).triggering(Trigger::after_watermark()).allowed_lateness(micros(50));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1]);
    tester.watermark(15);
    tester.inject(&[1]);
    assert_eq!((tester.late(), tester.take_late()), (1, vec![1]));
    tester.driver.restart(2).unwrap();
    tester.inject(&[1]);
    assert_eq!(tester.late(), 2, "also after a restart");
    tester.watermark(100);
    assert_eq!(tester.take(), ["[1]@1 [1,11) OnTime#0/0 first last"]);
}

/// Beam: testMergingWithClosedDoesNotPoison.
#[test]
fn a_closed_session_does_not_poison_one_that_covers_it() {
    let trigger =
        Trigger::after_each([Trigger::after_count(1).or_finally(Trigger::after_count(1))]);
    let strategy = earliest(sessions(10)).triggering(trigger).allowed_lateness(micros(50));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[2]);
    assert_eq!(tester.take(), ["[2]@2 [2,12) Early#0 first last"]);
    tester.inject(&[1, 2, 3]);
    tester.watermark(100);
    assert_eq!(tester.take(), ["[1, 2, 3]@1 [1,13) Early#0 first last"]);
    assert_eq!(tester.late(), 0);
}

/// Beam: testMergingWatermarkHoldLateNewWindow and its kin.
#[test]
fn the_hold_of_a_merged_session_is_that_of_its_earliest_on_time_element() {
    let strategy = earliest(sessions(10)).allowed_lateness(micros(50));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[20]);
    tester.watermark(15);
    assert_eq!(tester.output_watermark(), 15);
    tester.inject(&[13]);
    tester.watermark(25);
    assert_eq!(tester.output_watermark(), 20, "13 was behind the output watermark");
    tester.inject(&[24]);
    tester.watermark(33);
    assert_eq!(tester.output_watermark(), 20);
    tester.watermark(34);
    assert_eq!(tester.take(), ["[13, 20, 24]@20 [13,34) OnTime#0/0 first"]);
    assert_eq!(tester.output_watermark(), 34);
}

#[test]
fn the_end_of_window_hold_moves_with_the_end() {
    let trigger = Trigger::after_processing_time(micros(1_000)).repeatedly();
    let strategy = sessions(10).triggering(trigger).allowed_lateness(micros(100));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1]);
    tester.inject(&[9]);
    tester.watermark(50);
    assert_eq!(tester.output_watermark(), 18, "the session [1, 19) waits for its delay");
    tester.clock(1_001);
    assert_eq!(tester.take(), ["[1, 9]@18 [1,19) OnTime#0/0 first"]);
    assert_eq!(tester.output_watermark(), 50);
}

/// Beam's Python transcripts: early_late_sessions.
#[test]
fn early_and_late_panes_of_sessions() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(2)).late(Trigger::after_count(3));
    let strategy = sessions(10).triggering(trigger).accumulating().allowed_lateness(micros(100));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1, 2]);
    assert_eq!(tester.take(), ["[1, 2]@11 [1,12) Early#0 first"]);
    tester.inject(&[3]);
    tester.inject(&[4]);
    assert_eq!(tester.take(), ["[1, 2, 3, 4]@13 [1,14) Early#0 first"]);
    tester.inject(&[5]);
    tester.watermark(100);
    assert_eq!(tester.take(), ["[1, 2, 3, 4, 5]@14 [1,15) OnTime#0/0 first"]);
    tester.inject(&[1]);
    tester.inject(&[3, 4]);
    assert_eq!(tester.take(), ["[1, 1, 2, 3, 3, 4, 4, 5]@14 [1,15) Late#1/1"]);
}

#[test]
fn a_late_element_that_joins_two_sessions_makes_a_new_window() {
    let trigger = Trigger::after_watermark().late(Trigger::after_count(1));
    let strategy = sessions(10).triggering(trigger).accumulating().allowed_lateness(micros(100));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1, 18]);
    tester.watermark(40);
    assert_eq!(
        tester.take(),
        ["[1]@10 [1,11) OnTime#0/0 first", "[18]@27 [18,28) OnTime#0/0 first"]
    );
    tester.inject(&[9]);
    assert_eq!(tester.take(), ["[1, 9, 18]@27 [1,28) Late#0/0 first"]);
}

#[test]
fn an_element_is_late_by_its_own_window_whatever_it_would_merge_with() {
    let mut tester = Tester::collecting(&sessions(10));
    tester.inject(&[15]);
    tester.watermark(20);
    tester.inject(&[9]);
    assert_eq!(tester.take_late(), [9], "[9, 19) has expired, though [15, 25) is open");
    tester.inject(&[11]);
    tester.watermark(25);
    assert_eq!(tester.take(), ["[11, 15]@24 [11,25) OnTime#0/0 first last"]);
}

#[test]
fn keys_have_sessions_of_their_own() {
    let mut tester = Tester::collecting(&sessions(10));
    let elements = [(1, 1), (2, 5), (1, 8), (2, 30), (1, 40)];
    tester.driver.push(elements.map(|(key, time)| (at(time), (key, time)))).unwrap();
    tester.driver.restart(3).unwrap();
    tester.watermark(100);
    let mut panes = tester.take();
    panes.sort_unstable();
    let pane = "OnTime#0/0 first last";
    let expected = [
        format!("[1, 8]@17 [1,18) {pane}"),
        format!("[30]@39 [30,40) {pane}"),
        format!("[40]@49 [40,50) {pane}"),
        format!("[5]@14 [5,15) {pane}"),
    ];
    assert_eq!(panes, expected);
    assert!(tester.is_empty());
}

/// From each element until the next: windows that shrink. Source: "Streaming Systems", validity windows.
#[derive(Debug)]
struct Validity;

impl WindowFn for Validity {
    fn name(&self) -> &'static str {
        "Validity"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::new(timestamp, Window::GLOBAL.end));
    }

    fn fingerprint(&self) -> String {
        "validity".to_owned()
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Merge> {
        let mut sorted = windows.to_vec();
        sorted.sort_unstable_by_key(|window| (window.start, window.end));
        let cut = |pair: &[Window]| Merge {
            into: Window::new(pair[0].start, pair[1].start),
            from: vec![pair[0]],
        };
        sorted.windows(2).filter(|pair| pair[1].start < pair[0].end).map(cut).collect()
    }
}

#[test]
fn windows_may_shrink_by_merging() {
    let mut tester = Tester::collecting(&WindowingStrategy::from(Validity));
    tester.inject(&[10, 50]);
    tester.inject(&[30]);
    tester.watermark(40);
    let pane = "OnTime#0/0 first last";
    assert_eq!(tester.take(), [format!("[10]@29 [10,30) {pane}")]);
    tester.driver.restart(1).unwrap();
    tester.watermark(60);
    assert_eq!(tester.take(), [format!("[30]@49 [30,50) {pane}")]);
    tester.end_of_time();
    let last = tester.take();
    assert!(last.len() == 1 && last[0].starts_with("[50]@end"), "{last:?}");
}
