//! Retractions: each pane takes the one before back.

use super::tester::{Tester, fixed, micros, sessions};
use crate::trigger::Trigger;

fn early_and_late() -> Trigger {
    Trigger::after_watermark().early(Trigger::after_count(1)).late(Trigger::after_count(1))
}

#[test]
fn each_pane_takes_the_one_before_back() {
    let strategy =
        fixed(10).triggering(early_and_late()).retracting().allowed_lateness(micros(100));
    let mut tester = Tester::summing(&strategy);
    tester.inject_values(&[(5, 1)]);
    tester.inject_values(&[(7, 2)]);
    let expected =
        ["5@9 [0,10) Early#0 first", "5@9 [0,10) Early#1 retraction", "12@9 [0,10) Early#1"];
    assert_eq!(tester.take(), expected);
    tester.driver.restart(1).unwrap();
    tester.watermark(20);
    tester.inject_values(&[(1, 3)]);
    let expected = [
        "12@9 [0,10) OnTime#2/0 retraction",
        "12@9 [0,10) OnTime#2/0",
        "12@9 [0,10) Late#3/1 retraction",
        "13@9 [0,10) Late#3/1",
    ];
    assert_eq!(tester.take(), expected);
    tester.watermark(500);
    assert!(tester.take().is_empty() && tester.is_empty());
}

#[test]
fn sessions_that_merge_take_back_what_each_has_emitted() {
    let strategy =
        sessions(10).triggering(early_and_late()).retracting().allowed_lateness(micros(100));
    let mut tester = Tester::summing(&strategy);
    tester.inject_values(&[(5, 1), (7, 18)]);
    tester.watermark(40);
    tester.take();
    tester.driver.restart(1).unwrap();
    tester.inject_values(&[(1, 9)]);
    let expected = [
        "5@10 [1,11) Late#2/1 last retraction",
        "7@27 [18,28) Late#2/1 last retraction",
        "13@27 [1,28) Late#0/0 first",
    ];
    assert_eq!(tester.take(), expected);
}
