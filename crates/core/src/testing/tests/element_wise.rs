//! Element-wise operators, run in every way.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::WindowedPane;
use crate::dead_letter::DeadLetter;
use crate::dofn::{DoFn, OutputTag, ProcessContext};
use crate::error::BoxError;
use crate::metrics::Counter;
use crate::operator::map::{
    AssignWindows, Filter, FilterMap, FlatMap, Identity, Map, Reify, Rewindow, WithTimestamps,
};
use crate::operator::par_do::ParDo;
use crate::operator::try_map::TryFlatMap;
use crate::pane::PaneInfo;
use crate::testing::{Emitted, OperatorHarness};
use crate::time::Timestamp;
use crate::windowing::{SlidingWindows, Window};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn in_window(start: i64, end: i64) -> WindowedPane {
    WindowedPane { window: Window::new(at(start), at(end)), pane: PaneInfo::NO_FIRING }
}

/// A thousand numbers at their own seconds, so that batches of the cache's size are filled more than once.
fn numbers() -> impl Iterator<Item = (Timestamp, u64)> {
    (0..1_000_u32).map(|number| (at(i64::from(number)), u64::from(number)))
}

#[test]
fn map_keeps_times_and_windows() {
    let run = OperatorHarness::new(|| Map(|number: u64| number + 1))
        .windowed(at(1), in_window(0, 10), 1)
        .windowed(at(2), in_window(0, 10), 2)
        .windowed(at(12), in_window(10, 20), 3)
        .watermark(at(30))
        .run();
    let expected = Emitted { timestamp: at(12), at: Some(in_window(10, 20)), value: 4 };
    assert_eq!(run.emitted()[2], expected);
    assert_eq!(run.output_watermark(), at(30));
}

#[test]
fn filter_and_filter_map_keep_what_they_accept_in_order() {
    let run = OperatorHarness::new(|| Filter(|number: &u64| number.is_multiple_of(3)))
        .elements(numbers())
        .watermark(Timestamp::MAX)
        .run();
    assert!(run.values().into_iter().eq((0..1_000).step_by(3)));
    let halves = |number: u64| number.is_multiple_of(2).then_some(number / 2);
    let run = OperatorHarness::new(move || FilterMap(halves)).elements(numbers()).run();
    assert!(run.values().into_iter().eq(0..500));
    assert_eq!(run.emitted()[3].timestamp, at(6));
}

#[test]
fn flat_map_gives_any_number_of_elements() {
    let copies = |number: u64| std::iter::repeat_n(number, usize::try_from(number % 4).unwrap());
    let run = OperatorHarness::new(move || FlatMap(copies)).elements(numbers()).run();
    assert_eq!(run.values().len(), 1_500);
    assert_eq!(run.values()[..6], [1, 2, 2, 3, 3, 3]);
}

#[test]
fn identity_rewindow_and_with_timestamps_change_only_what_they_are_for() {
    let run = OperatorHarness::new(|| Identity).elements(numbers()).run();
    assert!(run.values().into_iter().eq(0..1_000));
    let run = OperatorHarness::new(|| Rewindow).windowed(at(1), in_window(0, 10), 'a').run();
    assert_eq!(run.emitted(), [Emitted { timestamp: at(1), at: None, value: 'a' }]);
    let run = OperatorHarness::new(|| WithTimestamps(|seconds: &i64| at(*seconds)))
        .windowed(at(1), in_window(0, 10), 7)
        .run();
    let expected = Emitted { timestamp: at(7), at: Some(in_window(0, 10)), value: 7 };
    assert_eq!(run.emitted(), [expected]);
}

#[test]
fn elements_are_assigned_to_each_of_their_windows_and_reified() {
    let ten_every_five =
        Arc::new(SlidingWindows::of(Duration::from_secs(10)).every(Duration::from_secs(5)));
    let run =
        OperatorHarness::new(move || AssignWindows::new(Arc::clone(&ten_every_five) as Arc<_>))
            .element(at(7), 'a')
            .end_of_batch()
            .windowed(at(8), in_window(0, 3), 'b')
            .run();
    let mut windows: Vec<_> = run.emitted().iter().filter_map(|one| one.at).collect();
    windows.sort_unstable_by_key(|at| at.window);
    assert_eq!(windows, [in_window(0, 3), in_window(0, 10), in_window(5, 15)]);

    let run = OperatorHarness::new(|| Reify)
        .element(at(7), 'a')
        .end_of_batch()
        .windowed(at(8), in_window(0, 10), 'b')
        .run();
    let reified = run.values();
    assert_eq!((reified[0].window, reified[0].timestamp), (Window::GLOBAL, at(7)));
    assert_eq!((reified[1].window, reified[1].value), (in_window(0, 10).window, 'b'));
}

#[test]
fn try_map_sends_what_fails_to_its_dead_letters() {
    let parse = |text: &String| -> Result<Option<u64>, BoxError> { Ok(Some(text.parse()?)) };
    let mut run = OperatorHarness::new(move || TryFlatMap::new("Parse", parse))
        .with_side::<DeadLetter>()
        .elements([(at(1), "7".to_owned()), (at(2), "x".to_owned()), (at(3), "9".to_owned())])
        .run();
    assert_eq!(run.values(), [7, 9]);
    let letters = run.take_side::<DeadLetter>(0);
    assert_eq!(letters.len(), 1);
    assert_eq!((&*letters[0].value.step, letters[0].timestamp), ("Parse", at(2)));
    assert_eq!(run.count(Counter::Errors), 1);
}

const ODD: OutputTag<u64> = OutputTag::new("odd");

/// Halves even numbers, gives odd ones to an output of their own, refuses 13 after it has emitted it, and says
/// at the end of a bundle how many elements it had.
#[derive(Clone)]
struct Halve {
    seen: u64,
}

impl DoFn<u64> for Halve {
    type Out = u64;

    fn tags(&self) -> Vec<&'static str> {
        vec![ODD.name()]
    }

    fn start_bundle(&mut self) -> Result<(), BoxError> {
        self.seen = 0;
        Ok(())
    }

    fn process(&mut self, number: u64, ctx: &mut ProcessContext<'_, u64>) -> Result<(), BoxError> {
        self.seen += 1;
        if number.is_multiple_of(2) {
            ctx.emit(number / 2);
        } else {
            ctx.emit_to(&ODD, number);
        }
        if number == 13 { Err("unlucky".into()) } else { Ok(()) }
    }

    fn finish_bundle(&mut self, ctx: &mut ProcessContext<'_, u64>) -> Result<(), BoxError> {
        ctx.emit_at(Timestamp::EPOCH, 1_000_000 + self.seen);
        Ok(())
    }
}

fn halve() -> ParDo<Halve> {
    ParDo::new("Halve", Halve { seen: 0 }, vec![ODD.name()], true)
}

#[test]
fn par_do_has_outputs_bundles_and_dead_letters() {
    let is_sum = |number: u64| number > 1_000_000;
    let mut run = OperatorHarness::new(halve)
        .with_side::<u64>()
        .with_side::<DeadLetter>()
        .compare_by(move |emitted| {
            let (sums, halves): (Vec<u64>, Vec<u64>) =
                emitted.iter().map(|one| one.value).partition(|number| is_sum(*number));
            let seen: u64 = sums.into_iter().map(|sum| sum - 1_000_000).sum();
            format!("{halves:?} in bundles of {seen} in all")
        })
        .elements(numbers())
        .watermark(Timestamp::MAX)
        .run();
    assert_eq!(run.values().len(), 501);
    assert_eq!(run.values()[500], 1_001_000);
    let odd = run.take_side::<u64>(0);
    assert_eq!(odd.len(), 499, "what the element that failed emitted is taken back");
    assert!(odd.iter().all(|one| one.value != 13));
    assert_eq!(run.take_side::<DeadLetter>(1).len(), 1);
}

#[test]
fn without_dead_letters_a_failure_names_the_step() {
    let harness =
        OperatorHarness::new(|| ParDo::new("Halve", Halve { seen: 0 }, vec![ODD.name()], false))
            .with_side::<u64>();
    let harness = harness.elements(numbers());
    let error = harness.try_run().unwrap_err();
    assert_eq!(error.chain(), ["step \"Operator\" failed", "unlucky"]);
}
