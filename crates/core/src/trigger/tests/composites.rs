//! AfterEach, AfterAll, AfterAny, OrFinally and Repeatedly.

use super::harness::{Tester, millis, window};
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::windowing::Window;

fn count(count: u64) -> Trigger {
    Trigger::after_count(count)
}

#[test]
fn after_each_in_sequence() {
    let pairs_until_three = count(2).repeatedly().or_finally(count(3));
    let fives_until_the_end = count(5).repeatedly().or_finally(Trigger::after_watermark());
    let mut tester =
        Tester::fixed(Trigger::after_each([pairs_until_three, fives_until_the_end]), 10);
    let first = window(0, 10);
    tester.inject(&[1]);
    assert!(!tester.should_fire(first));
    tester.inject(&[2]);
    tester.must_fire(first);
    assert!(!tester.is_finished(first));

    tester.inject(&[1, 2, 3]);
    tester.must_fire(first); // three elements in all, and more: the first part is over
    assert!(!tester.is_finished(first) && !tester.should_fire(first));
    tester.inject(&[1, 2, 3, 4]);
    assert!(!tester.should_fire(first), "the first part would fire");
    tester.inject(&[5]);
    tester.must_fire(first);
    assert!(!tester.is_finished(first));
    tester.watermark(10);
    tester.must_fire(first);
    assert!(tester.is_finished(first));
}

#[test]
fn after_each_does_not_feed_parts_before_their_turn() {
    let mut tester = Tester::fixed(Trigger::after_each([count(3), count(2)]), 10);
    tester.inject(&[1, 2, 3]);
    tester.must_fire(window(0, 10));
    assert!(!tester.should_fire(window(0, 10)));
    tester.inject(&[4]);
    assert!(!tester.should_fire(window(0, 10)));
    tester.inject(&[5]);
    tester.must_fire(window(0, 10));
    assert!(tester.is_finished(window(0, 10)));
}

#[test]
fn after_each_brings_a_part_back_with_the_elements_it_missed() {
    let three_or_end = Trigger::after_any([count(3), Trigger::after_watermark()]);
    let mut tester = Tester::sessions(Trigger::after_each([three_or_end, count(100)]), 10);
    tester.inject(&[1]);
    tester.watermark(11);
    tester.must_fire(window(1, 11)); // to the second part
    tester.inject(&[1, 1]);
    tester.inject(&[5]);
    assert!(!tester.should_fire(window(1, 11)) && !tester.should_fire(window(5, 15)));
    tester.merge();
    assert!(tester.should_fire(window(1, 15)), "three elements are pending under the first part");
}

#[test]
fn after_each_starts_the_parts_behind_the_one_brought_back_anew() {
    let parts = [Trigger::after_watermark(), count(1), count(2).repeatedly()];
    let mut tester = Tester::sessions(Trigger::after_each(parts), 10);
    tester.inject(&[1]);
    tester.watermark(11);
    tester.must_fire(window(1, 11));
    tester.inject(&[1]);
    tester.must_fire(window(1, 11)); // to the third part
    tester.inject(&[5]);
    tester.merge();
    tester.watermark(15);
    tester.must_fire(window(1, 15));
    tester.inject(&[5]);
    assert!(tester.should_fire(window(1, 15)), "the second part takes one element");
}

#[test]
fn after_all_fires_when_the_last_part_is_ready() {
    for parts in [[count(1), count(2)], [count(2), count(1)]] {
        let mut tester = Tester::fixed(Trigger::after_all(parts), 100);
        tester.inject(&[1]);
        assert!(!tester.should_fire(window(0, 100)));
        tester.inject(&[2]);
        tester.must_fire(window(0, 100));
        assert!(tester.is_finished(window(0, 100)));
    }
}

#[test]
fn after_all_on_merge_rewinds() {
    let both = Trigger::after_all([Trigger::after_watermark(), count(1)]);
    let mut tester = Tester::sessions(Trigger::after_each([both, count(1).repeatedly()]), 10);
    tester.inject(&[1, 5]);
    tester.watermark(11);
    tester.must_fire(window(1, 11));
    tester.inject(&[1]);
    tester.must_fire(window(1, 11)); // in its second part

    tester.merge();
    let merged = window(1, 15);
    assert!(!tester.should_fire(merged), "the watermark has not passed the merged window");
    tester.watermark(15);
    assert!(tester.should_fire(merged));
}

#[test]
fn after_first_fires_with_any_part() {
    let either = [count(2), Trigger::after_processing_time(millis(5))];
    let first = window(0, 10);
    let mut tester = Tester::fixed(Trigger::after_any(either.clone()), 10);
    tester.inject(&[1]);
    assert!(!tester.should_fire(first), "neither");
    assert_eq!(tester.next_wake_up(first), Some(Timestamp::from_micros(5_001)));
    tester.inject(&[1]);
    tester.must_fire(first);
    assert!(tester.is_finished(first), "the first part");

    let mut tester = Tester::fixed(Trigger::after_any(either.clone()), 10);
    tester.inject(&[1]);
    tester.clock(6);
    tester.must_fire(first);
    assert!(tester.is_finished(first), "the second part");

    let mut tester = Tester::fixed(Trigger::after_any(either), 10);
    tester.inject(&[1, 2]);
    tester.clock(6);
    tester.must_fire(first);
    assert!(tester.is_finished(first), "both");
}

#[test]
fn after_first_should_fire_after_merge() {
    let either = Trigger::after_any([count(5), Trigger::after_watermark()]);
    let mut tester = Tester::sessions(Trigger::after_each([either, count(1).repeatedly()]), 10);
    tester.inject(&[1]);
    assert!(!tester.should_fire(window(1, 11)));
    tester.watermark(11);
    tester.must_fire(window(1, 11)); // to the second part
    tester.inject(&[5]);
    assert!(!tester.should_fire(window(5, 15)));

    tester.merge();
    let merged = window(1, 15);
    assert!(!tester.should_fire(merged), "back on the first part: the window goes on");
    tester.watermark(15);
    tester.must_fire(merged);
    tester.inject(&[2]);
    tester.must_fire(merged);
}

#[test]
fn or_finally_actual_fires_and_finishes() {
    let mut tester = Tester::fixed(count(2).or_finally(count(100)), 100);
    tester.inject(&[1]);
    assert!(!tester.should_fire(window(0, 100)));
    tester.inject(&[2]);
    tester.must_fire(window(0, 100));
    assert!(tester.is_finished(window(0, 100)));
}

#[test]
fn or_finally_actual_fires_only() {
    let mut tester = Tester::fixed(count(2).repeatedly().or_finally(count(100)), 100);
    for _ in 0..3 {
        tester.inject(&[1]);
        assert!(!tester.should_fire(window(0, 100)));
        tester.inject(&[2]);
        tester.must_fire(window(0, 100));
        assert!(!tester.is_finished(window(0, 100)));
    }
}

#[test]
fn or_finally_actual_fires_but_until_finishes() {
    let mut tester = Tester::fixed(count(2).repeatedly().or_finally(count(3)), 10);
    tester.inject(&[1, 2]);
    tester.must_fire(window(0, 10));
    assert!(!tester.is_finished(window(0, 10)));
    tester.inject(&[3]);
    tester.must_fire(window(0, 10));
    assert!(tester.is_finished(window(0, 10)), "until counts across firings");
}

#[test]
fn or_finally_should_fire_after_merge() {
    let five_or_end = count(5).or_finally(Trigger::after_watermark());
    let mut tester =
        Tester::sessions(Trigger::after_each([five_or_end, count(1).repeatedly()]), 10);
    tester.inject(&[1]);
    tester.watermark(11);
    tester.must_fire(window(1, 11));
    tester.inject(&[5]);
    assert!(!tester.should_fire(window(5, 15)));

    tester.merge();
    assert!(!tester.should_fire(window(1, 15)), "the second part would be ready");
    tester.inject(&[1, 2, 3, 4, 5]);
    tester.merge();
    assert!(tester.should_fire(window(1, 15)));
}

#[test]
fn repeatedly_should_fire_after_merge() {
    let mut tester = Tester::sessions(count(2).repeatedly(), 10);
    tester.inject(&[1, 5]);
    assert!(!tester.should_fire(window(1, 11)) && !tester.should_fire(window(5, 15)));
    tester.merge();
    tester.must_fire(window(1, 15));
    assert!(!tester.should_fire(window(1, 15)));
}

#[test]
fn repeatedly_after_first_element_count_or_processing_time() {
    let quarter = millis(15 * 60_000);
    let either = Trigger::after_any([Trigger::after_processing_time(quarter), count(5)]);
    for trigger in [either.repeatedly(), count(5).repeatedly()] {
        let mut tester = Tester::global(trigger);
        for _ in 0..2 {
            tester.inject(&[1]);
            assert!(!tester.should_fire(Window::GLOBAL));
            tester.inject(&[2, 3, 4, 5]);
            tester.must_fire(Window::GLOBAL);
            assert!(!tester.should_fire(Window::GLOBAL));
        }
    }
}

#[test]
fn repeatedly_processing_time_starts_the_delay_anew() {
    let delayed = Trigger::after_processing_time(millis(15)).repeatedly();
    let either =
        Trigger::after_any([Trigger::after_processing_time(millis(15)), count(5)]).repeatedly();
    for trigger in [delayed, either] {
        let mut tester = Tester::global(trigger);
        tester.inject(&[1]);
        assert!(!tester.should_fire(Window::GLOBAL));
        tester.clock(16);
        tester.must_fire(Window::GLOBAL);
        assert!(!tester.should_fire(Window::GLOBAL));
        tester.clock(40);
        assert!(!tester.should_fire(Window::GLOBAL), "no element, no pane");
        tester.inject(&[2]);
        tester.clock(55);
        assert!(!tester.should_fire(Window::GLOBAL));
        tester.clock(56);
        tester.must_fire(Window::GLOBAL);
    }
}
