//! Rounds of firings: what one watermark makes due, in which order, and how it goes on when the outbox is full.

use super::tester::{Tester, at, fixed, micros};
use crate::batch::Batch;
use crate::combine::Sum;
use crate::operator::group::GroupWindows;
use crate::testing::{OperatorDriver, OperatorHarness};
use crate::time::Timestamp;
use crate::trigger::Trigger;

#[test]
fn windows_fire_in_the_order_of_their_ends() {
    let mut tester = Tester::collecting(&fixed(10).allowed_lateness(micros(15)));
    tester.inject(&[25, 3, 14, 31]);
    tester.watermark(34);
    let expected = [
        "[3]@9 [0,10) OnTime#0/0 first last",
        "[14]@19 [10,20) OnTime#0/0 first",
        "[25]@29 [20,30) OnTime#0/0 first",
    ];
    assert_eq!(tester.take(), expected);
    tester.watermark(35);
    assert!(tester.take().is_empty(), "each ends once");
}

/// The dataflow paper's figures on processing-time triggers, against those on counts.
#[test]
fn an_empty_final_pane_is_on_time_only_while_the_output_watermark_is_held() {
    let held = Trigger::after_processing_time(micros(20)).repeatedly();
    let counted = Trigger::after_count(1).repeatedly();
    for (trigger, last) in [(held, vec!["3@19 [10,20) OnTime#1/0 last"]), (counted, vec![])] {
        let strategy = fixed(10).triggering(trigger).accumulating().allowed_lateness(micros(1_000));
        let mut tester = Tester::summing(&strategy);
        tester.watermark(0);
        tester.inject_values(&[(3, 12)]);
        tester.clock(30);
        tester.inject_values(&[(5, 4)]);
        assert!(tester.take().contains(&"3@19 [10,20) Early#0 first".to_owned()));
        tester.end_of_time();
        let mut panes = tester.take();
        panes.retain(|pane| pane.contains("[10,20)"));
        assert_eq!(panes, last);
    }
}

/// A key so large that few outputs fill a batch, and so the outbox.
type LargeKey = [u64; 32];

#[test]
fn many_keys_go_out_through_a_full_outbox_and_over_restarts() {
    const KEYS: u64 = 40;
    assert!(Batch::<(LargeKey, i64)>::stage_len() < 20);
    let key = |number: u64| -> LargeKey { [number; 32] };
    let trigger = Trigger::after_watermark()
        .early(Trigger::after_processing_time(micros(5)))
        .late(Trigger::after_count(1));
    let strategy = fixed(10).triggering(trigger).accumulating().allowed_lateness(micros(20));
    let harness = OperatorHarness::new(move || {
        GroupWindows::<LargeKey, i64, Sum>::new(Sum, strategy.clone(), false)
    })
    .with_side::<(LargeKey, i64)>()
    .by_key();
    let run = harness
        .elements((0..KEYS).map(|number| (at(3), (key(number), 1))))
        .elements((0..KEYS).map(|number| (at(13), (key(number), 2))))
        .advance(micros(10))
        .elements((0..KEYS).map(|number| (at(4), (key(number), 10))))
        .watermark(at(15))
        .elements([(at(5), (key(1), 100))])
        .watermark(at(100))
        .elements([(at(5), (key(1), 1_000))])
        .watermark(Timestamp::MAX)
        .run();
    let panes = run.emitted();
    // Early and on time in both windows, and one late pane.
    assert_eq!(panes.len() as u64, KEYS * 4 + 1);
    let last_of_first = panes.iter().rfind(|one| one.timestamp == at(9)).unwrap();
    assert_eq!(last_of_first.value, (key(1), 111));
    assert_eq!(run.count(crate::metrics::Counter::Late), 1);
}

#[test]
fn state_goes_window_by_window() {
    let strategy = fixed(10).allowed_lateness(micros(10));
    let make = move || GroupWindows::<u64, i64, Sum>::new(Sum, strategy.clone(), false);
    let mut driver = OperatorDriver::new(make.clone());
    driver.push((0..100).map(|time| (at(time), (0, 1)))).unwrap();
    driver.watermark(at(50)).unwrap();
    let mut operator = make();
    let state = crate::state::RestoredState::new(vec![driver.snapshot().unwrap()]);
    let share = crate::operator::seam::Share::ALL;
    crate::operator::Operator::restore(&mut operator, &state.step("Operator"), share).unwrap();
    assert_eq!(operator.panes(), 6, "from the window that ends at 50 on");
}
