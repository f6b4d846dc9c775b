//! What a trigger promises: continuation, finishing, the watermark that makes it fire, its check and text.

use std::time::Duration;

use super::harness::{millis, window};
use crate::time::Timestamp;
use crate::trigger::{Trigger, TriggerState};
use crate::windowing::Window;

fn count(count: u64) -> Trigger {
    Trigger::after_count(count)
}

fn delay() -> Trigger {
    Trigger::after_processing_time(millis(5))
}

#[test]
fn continuations_add_no_delay_and_no_count() {
    let synchronized = || Trigger::AfterSynchronizedProcessingTime;
    let end = Trigger::after_watermark;
    let cases = [
        (Trigger::Default, Trigger::Default),
        (Trigger::Never, Trigger::Never),
        (count(100), count(1)),
        (delay().aligned_to(millis(60)), synchronized()),
        (synchronized(), synchronized()),
        (end(), end()),
        (end().early(count(5)).late(delay()), end().early(count(1)).late(synchronized())),
        (delay().repeatedly(), synchronized().repeatedly()),
        (
            Trigger::after_each([count(5), delay()]),
            Trigger::after_any([count(1), synchronized()]).repeatedly(),
        ),
        (Trigger::after_all([count(5), delay()]), Trigger::after_all([count(1), synchronized()])),
        (Trigger::after_any([count(5), end()]), Trigger::after_any([count(1), end()])),
        (count(5).or_finally(end()), count(1).or_finally(end()).repeatedly()),
    ];
    for (trigger, continuation) in cases {
        assert_eq!(trigger.continuation(), continuation, "of {trigger}");
    }
}

#[test]
fn the_watermark_guarantees_a_firing_where_the_trigger_waits_for_it() {
    let hour = window(0, 3_600_000);
    let end = hour.max_timestamp();
    let never = Timestamp::MAX;
    let cases = [
        (Trigger::Default, end),
        (Trigger::after_watermark().early(Trigger::Never).late(Trigger::Never), end),
        (Trigger::Never, never),
        (count(1), never),
        (delay(), never),
        (Trigger::after_watermark().repeatedly(), end),
        (Trigger::after_each([Trigger::after_watermark(), count(1)]), end),
        (Trigger::after_each([count(1), Trigger::after_watermark()]), never),
        (Trigger::after_all([Trigger::after_watermark(), count(1)]), never),
        (Trigger::after_all([Trigger::after_watermark(), Trigger::Default]), end),
        (Trigger::after_any([Trigger::after_watermark(), count(1)]), end),
        (Trigger::after_any([delay(), count(1)]), never),
        (count(1).or_finally(Trigger::after_watermark()), end),
        (Trigger::Default.or_finally(count(1)), end),
    ];
    for (trigger, watermark) in cases {
        assert_eq!(trigger.watermark_that_guarantees_firing(&hour), watermark, "{trigger}");
    }
    let global = Trigger::Default.watermark_that_guarantees_firing(&Window::GLOBAL);
    assert_eq!(global, Window::GLOBAL.max_timestamp());
}

#[test]
fn triggers_that_finish_are_unsafe_unless_they_finish_with_the_window() {
    let hour = Duration::from_secs(3_600);
    let end = Trigger::after_watermark;
    let safe = [
        Trigger::Default,
        Trigger::Never,
        Trigger::Always,
        count(1).repeatedly(),
        end().late(count(1)),
        end().early(delay()).late(count(1)),
        Trigger::after_each([count(1), count(2).repeatedly()]),
    ];
    for trigger in safe {
        assert!(!trigger.may_finish() && !trigger.is_unsafe(hour), "{trigger}");
    }
    let finishing = [
        count(1),
        delay(),
        Trigger::AfterSynchronizedProcessingTime,
        Trigger::after_each([count(1), count(2)]),
        Trigger::after_all([count(1), delay()]),
        Trigger::after_all([count(1), delay().repeatedly()]),
        Trigger::after_any([count(1), delay().repeatedly()]),
        count(1).repeatedly().or_finally(end()),
    ];
    for trigger in finishing {
        assert!(trigger.may_finish() && trigger.is_unsafe(Duration::ZERO), "{trigger}");
    }
    for trigger in [end(), end().early(count(1))] {
        assert!(trigger.may_finish() && !trigger.is_unsafe(Duration::ZERO), "{trigger}");
        assert!(trigger.is_unsafe(hour), "late data would be lost under {trigger}");
    }
}

#[test]
fn impossible_parameters_are_reported_wherever_they_are() {
    let trigger = Trigger::after_each([
        count(0).repeatedly(),
        Trigger::after_watermark().early(delay().aligned_to(Duration::ZERO)),
        Trigger::after_all([]).or_finally(Trigger::after_watermark().late(count(0))),
    ]);
    let mut problems = Vec::new();
    trigger.validate(&mut problems);
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(problems[1].contains("aligned") && problems[2].contains("no parts"));
}

#[test]
fn text_is_one_line_of_beams_words() {
    let trigger = Trigger::after_watermark()
        .early(delay().aligned_to(Duration::from_secs(60)).or_finally(count(3)))
        .late(Trigger::after_any([count(1), Trigger::Never]).repeatedly());
    let text = "AfterWatermark.early(OrFinally(AfterProcessingTime(5ms aligned to 60s), AfterCount(3)))\
                .late(Repeatedly(AfterAny(AfterCount(1), Never)))";
    assert_eq!(trigger.to_string(), text);
    assert_eq!(Trigger::default().to_string(), "Default");
}

#[test]
fn states_are_small_in_memory_and_in_a_checkpoint() {
    let bytes =
        |trigger: &Trigger| rmp_serde::to_vec_named(&TriggerState::new(trigger)).unwrap().len();
    assert_eq!(size_of::<TriggerState>(), 24);
    assert!(bytes(&Trigger::Default) <= 4);
    assert!(bytes(&Trigger::after_watermark().early(count(5)).late(count(1))) <= 24);
}
