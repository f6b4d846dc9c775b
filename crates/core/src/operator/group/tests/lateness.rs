//! Holds of the output watermark, late data and expiry. Source of the cases: Beam's `ReduceFnRunnerTest`.

use super::tester::{Tester, at, fixed, micros};
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::windowing::{FixedWindows, TimestampCombiner, Window, WindowFn, WindowingStrategy};

fn earliest(strategy: WindowingStrategy) -> WindowingStrategy {
    strategy.timestamp_combiner(TimestampCombiner::Earliest)
}

/// Beam: testWatermarkHoldAndLateData.
#[test]
fn on_time_elements_hold_the_watermark_and_late_ones_do_not() {
    let trigger = Trigger::after_watermark().early(Trigger::after_count(3)).late(Trigger::Never);
    let strategy =
        earliest(fixed(10)).triggering(trigger).accumulating().allowed_lateness(micros(10));
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[1]);
    tester.inject(&[3]);
    tester.watermark(2);
    assert_eq!(tester.output_watermark(), 1, "held by the element at 1");
    tester.inject(&[2]);
    assert_eq!(tester.take(), ["[1, 2, 3]@1 [0,10) Early#0 first"]);
    tester.watermark(4);
    assert_eq!(tester.output_watermark(), 4, "the pane is out");

    tester.inject(&[2]);
    tester.inject(&[5]);
    tester.watermark(7);
    assert_eq!(
        tester.output_watermark(),
        5,
        "2 came behind the output watermark and holds nothing"
    );
    tester.inject(&[4]);
    assert_eq!(tester.take(), ["[1, 2, 2, 3, 4, 5]@5 [0,10) Early#1"]);

    tester.watermark(8);
    assert_eq!(tester.output_watermark(), 8);
    tester.inject(&[6, 5]);
    tester.watermark(10);
    assert_eq!(
        tester.take(),
        ["[1, 2, 2, 3, 4, 5, 5, 6]@9 [0,10) OnTime#2/0"],
        "all of its elements were late, so its time is the window's end"
    );
    tester.inject(&[8]);
    assert!(tester.take().is_empty() && tester.late() == 0);
    tester.watermark(50);
    assert_eq!(tester.take(), ["[1, 2, 2, 3, 4, 5, 5, 6, 8]@9 [0,10) Late#3/1 last"]);
    assert_eq!(tester.output_watermark(), 50);
    assert!(tester.is_empty());
}

/// Beam: dontSetHoldIfTooLateForEndOfWindowTimer.
#[test]
fn an_element_behind_the_input_watermark_holds_while_the_output_watermark_allows() {
    let strategy = earliest(FixedWindows::of(micros(20)).allowed_lateness(micros(10)))
        .triggering(Trigger::after_count(2).repeatedly());
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[11]);
    tester.watermark(15);
    assert_eq!(tester.output_watermark(), 11);
    tester.inject(&[14]);
    assert_eq!(tester.take(), ["[11, 14]@11 [0,20) Early#0 first"]);
    tester.inject(&[14]);
    tester.watermark(18);
    assert_eq!(tester.output_watermark(), 14, "it held, though the input watermark was at 15");
    tester.watermark(40);
    assert_eq!(tester.take(), ["[14]@14 [0,20) OnTime#1/0 last"]);
}

/// Beam: setGarbageCollectionHoldOnLateElements.
#[test]
fn late_elements_that_no_trigger_fires_go_out_when_the_window_expires() {
    let trigger = Trigger::after_watermark().late(Trigger::after_count(2));
    let mut tester =
        Tester::collecting(&fixed(10).triggering(trigger).allowed_lateness(micros(100)));
    tester.watermark(0);
    tester.inject(&[1]);
    tester.watermark(109);
    tester.inject(&[2]);
    assert_eq!(tester.late(), 0, "the window expires behind 109");
    tester.watermark(110);
    assert_eq!(tester.take(), ["[1]@9 [0,10) OnTime#0/0 first", "[2]@9 [0,10) Late#1/1 last"]);
    tester.inject(&[3]);
    assert_eq!(tester.late(), 1);
    assert_eq!(tester.take_late(), [3]);
}

/// Beam: testNoWatermarkTriggerNoHold.
#[test]
fn a_pane_under_a_delay_holds_the_end_of_its_window_until_it_is_out() {
    let trigger = Trigger::after_processing_time(micros(5_000)).repeatedly();
    let mut tester =
        Tester::collecting(&fixed(10).triggering(trigger).allowed_lateness(micros(100_000)));
    tester.watermark(0);
    tester.inject(&[1]);
    tester.watermark(1_000);
    assert_eq!(tester.output_watermark(), 9);
    tester.clock(6_000);
    assert_eq!(tester.take(), ["[1]@9 [0,10) OnTime#0/0 first"]);
    assert_eq!(tester.output_watermark(), 1_000);
    tester.inject(&[3]);
    tester.watermark(2_000);
    assert_eq!(tester.output_watermark(), 2_000, "a late element holds nothing");
}

/// Beam: testFixedWindowEndOfTimeGarbageCollection.
#[test]
fn expiry_is_cut_to_the_end_of_time() {
    let lateness = std::time::Duration::from_secs(365 * 86_400);
    let end = Window::GLOBAL.max_timestamp();
    let element = (end - lateness).saturating_add_micros(5);
    let window = FixedWindows::of(micros(10)).window_of(element);
    assert!(window.max_timestamp() < end && window.max_timestamp() + lateness > end);
    let trigger = Trigger::after_watermark().late(Trigger::Never);
    let strategy = fixed(10).triggering(trigger).allowed_lateness(lateness).accumulating();
    let mut tester = Tester::summing(&strategy);
    let micros = element.as_micros();
    tester.inject_values(&[(13, micros)]);
    tester.watermark(window.end.as_micros());
    assert_eq!(tester.take().len(), 1, "on time");
    tester.inject_values(&[(42, micros)]);
    tester.watermark(end.as_micros());
    assert!(tester.take().is_empty(), "not expired yet");
    tester.end_of_time();
    let last = tester.take();
    assert!(last.len() == 1 && last[0].starts_with("55@"), "{last:?}");
}

/// Beam's Python transcripts: known_late_data_watermark, known_late_data_no_watermark_hold_possible.
#[test]
fn late_elements_have_no_part_in_the_output_time() {
    let mut tester = Tester::collecting(&earliest(fixed(10)));
    tester.watermark(5);
    tester.inject(&[2, 3, 7, 8]);
    tester.watermark(11);
    assert_eq!(tester.take(), ["[2, 3, 7, 8]@7 [0,10) OnTime#0/0 first last"]);
    let mut tester = Tester::collecting(&earliest(fixed(10)));
    tester.watermark(8);
    tester.inject(&[2, 3, 7]);
    tester.watermark(11);
    assert_eq!(tester.take(), ["[2, 3, 7]@9 [0,10) OnTime#0/0 first last"]);
}

#[test]
fn the_latest_element_holds_and_gives_the_output_time() {
    let strategy = fixed(10).timestamp_combiner(TimestampCombiner::Latest);
    let mut tester = Tester::collecting(&strategy);
    tester.inject(&[3, 1]);
    tester.watermark(4);
    assert_eq!(tester.output_watermark(), 3);
    tester.inject(&[6]);
    tester.watermark(8);
    assert_eq!(tester.output_watermark(), 6, "a later element moves the hold on");
    tester.watermark(10);
    assert_eq!(tester.take(), ["[1, 3, 6]@6 [0,10) OnTime#0/0 first last"]);
}

/// Fixed windows that move output times 100 microseconds on.
#[derive(Debug)]
struct Shifted(FixedWindows);

impl WindowFn for Shifted {
    fn name(&self) -> &'static str {
        "Shifted"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        self.0.assign(timestamp, windows);
    }

    fn fingerprint(&self) -> String {
        "shifted".to_owned()
    }

    fn output_time(&self, timestamp: Timestamp, _window: &Window) -> Timestamp {
        timestamp + micros(100)
    }
}

/// Beam's Python transcripts: timestamp_combiner_custom_timestamping_earliest (transformed), ..._eow.
#[test]
fn a_window_function_may_move_output_times() {
    for (combiner, times) in
        [(TimestampCombiner::Earliest, [101, 110]), (TimestampCombiner::EndOfWindow, [9, 19])]
    {
        let strategy = WindowingStrategy::new(Shifted(FixedWindows::of(micros(10))));
        let mut tester = Tester::collecting(&strategy.timestamp_combiner(combiner));
        tester.inject(&[1, 2, 3, 10, 11]);
        tester.watermark(100);
        let pane = "OnTime#0/0 first last";
        let expected = [
            format!("[1, 2, 3]@{} [0,10) {pane}", times[0]),
            format!("[10, 11]@{} [10,20) {pane}", times[1]),
        ];
        assert_eq!(tester.take(), expected);
    }
}

#[test]
fn an_element_carries_its_own_window_behind_another_grouping() {
    use crate::batch::WindowedPane;
    use crate::combine::Sum;
    use crate::operator::group::GroupWindows;
    use crate::pane::{PaneInfo, Sign};
    use crate::testing::OperatorDriver;
    let strategy = super::tester::sessions(10).accumulating().allowed_lateness(micros(20));
    let make = move || GroupWindows::<u8, i64, Sum>::new(Sum, strategy.clone(), true);
    let mut driver = OperatorDriver::new(make);
    let window = |start, end| WindowedPane {
        window: Window::new(at(start), at(end)),
        pane: PaneInfo::ON_TIME_AND_ONLY_FIRING,
    };
    let elements = [(at(9), Some(window(0, 10)), (1, 5)), (at(14), Some(window(5, 15)), (1, 6))];
    driver.push_at(elements).unwrap();
    driver.watermark(at(15)).unwrap();
    let emitted: Vec<_> = driver.take().iter().map(super::tester::text).collect();
    let expected = ["5@9 [0,10) OnTime#0/0 first", "6@14 [5,15) OnTime#0/0 first"];
    assert_eq!(emitted, expected, "assigned windows do not merge again");

    let retraction = window(0, 10).pane.with_sign(Sign::Retract);
    let at_pane = WindowedPane { pane: retraction, ..window(0, 10) };
    let error = driver.push_at([(at(9), Some(at_pane), (1, 5))]).unwrap_err();
    assert!(error.chain().join(": ").contains("retraction"), "{error:?}");
}
