//! Operators with state, run in every way: with restarts that change the number of workers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use crate::batch::WindowedPane;
use crate::coder::Kv;
use crate::combine::{Count, Sum};
use crate::metrics::Counter;
use crate::operator::dedup::Deduplicate;
use crate::operator::group::GroupWindows;
use crate::operator::pre_combine::PreCombine;
use crate::operator::running::Running;
use crate::operator::sliced::{LATE, Sliced, Slicing};
use crate::operator::table::{Lifted, Raw};
use crate::pane::{PaneInfo, Timing};
use crate::testing::{Emitted, OperatorHarness};
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::windowing::{FixedWindows, SlidingWindows, Window, WindowFn};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sums by key and window, to compare with.
fn by_window<V: Copy + Debug + Ord>(
    emitted: &[Emitted<Kv<u32, V>>],
) -> BTreeMap<(i64, i64, u32), V> {
    let place = |one: &Emitted<Kv<u32, V>>| {
        let window = one.at.expect("a grouping assigns windows").window;
        let seconds = |at: Timestamp| at.as_millis() / 1_000;
        ((seconds(window.start), seconds(window.end), one.value.0), one.value.1)
    };
    emitted.iter().map(place).collect()
}

/// Twenty keys over a minute, every seventh element out of order.
fn readings() -> impl Iterator<Item = (Timestamp, Kv<u32, u64>)> {
    (0..180_u32).map(|number| {
        let second = i64::from(number / 3) - if number % 7 == 0 { 4 } else { 0 };
        (at(second.max(0)), (number % 20, u64::from(number)))
    })
}

fn naive(window_fn: &impl WindowFn) -> BTreeMap<(i64, i64, u32), u64> {
    let mut sums = BTreeMap::new();
    for (timestamp, (key, value)) in readings() {
        let mut windows = Vec::new();
        window_fn.assign(timestamp, &mut windows);
        for window in windows {
            let seconds = |at: Timestamp| at.as_millis() / 1_000;
            *sums.entry((seconds(window.start), seconds(window.end), key)).or_default() += value;
        }
    }
    sums
}

#[test]
fn slices_sum_fixed_and_sliding_windows_like_the_naive_model() {
    let fixed = FixedWindows::of(secs(10));
    let sliding = SlidingWindows::of(secs(20)).every(secs(5));
    let slicings =
        [(fixed.slices().unwrap(), naive(&fixed)), (sliding.slices().unwrap(), naive(&sliding))];
    for (slices, expected) in slicings {
        let slicing = Some(Slicing::new(slices));
        let run = OperatorHarness::new(move || Sliced::<u32, u64, Sum, Raw>::new(Sum, slicing))
            .with_side::<Kv<u32, u64>>()
            .by_key()
            .elements(readings().take(90))
            .watermark(at(20))
            .elements(readings().skip(90))
            .watermark(at(45))
            .watermark(Timestamp::MAX)
            .run();
        assert_eq!(by_window(run.emitted()), expected);
        assert_eq!(run.count(Counter::Late), 0);
        assert!(run.emitted().iter().all(|one| one.at.unwrap().pane.timing == Timing::OnTime));
    }
}

#[test]
fn slices_take_accumulators_that_were_made_in_front_of_an_exchange() {
    let run = OperatorHarness::new(|| Sliced::<u32, (), Count, Lifted>::new(Count, None))
        .with_side::<Kv<u32, u64>>()
        .by_key()
        .elements([(at(1), (1, 5)), (at(2), (2, 6)), (at(3), (1, 7))])
        .watermark(Timestamp::MAX)
        .run();
    let sums: BTreeMap<u32, u64> = run.values().into_iter().collect();
    assert_eq!(sums, BTreeMap::from([(1, 12), (2, 6)]));
}

#[test]
fn slices_give_out_what_came_after_its_last_window() {
    let slicing = FixedWindows::of(secs(10)).slices().map(Slicing::new);
    let mut run = OperatorHarness::new(move || Sliced::<u32, u64, Sum, Raw>::new(Sum, slicing))
        .with_side::<Kv<u32, u64>>()
        .by_key()
        .element(at(1), (1, 1))
        .watermark(at(10))
        .elements([(at(9), (1, 2)), (at(10), (1, 4))])
        .watermark(at(20))
        .run();
    assert_eq!(run.values(), [(1, 1), (1, 4)]);
    assert_eq!(run.take_side::<Kv<u32, u64>>(LATE)[0].value, (1, 2));
    assert_eq!(run.count(Counter::Late), 1);
}

#[test]
fn an_empty_input_gives_the_aggregate_of_nothing_where_that_is_wanted() {
    let make = || Sliced::<(), u64, Count, Raw>::new(Count, None).with_default(());
    let harness = || OperatorHarness::new(make).with_side::<Kv<(), u64>>();
    assert_eq!(harness().watermark(Timestamp::MAX).run().values(), [((), 0)]);
    let run = harness().element(at(1), ((), 9)).watermark(Timestamp::MAX).run();
    assert_eq!(run.values(), [((), 1)]);
}

#[test]
fn a_full_outbox_does_not_tear_a_window_apart() {
    let keys = 700_u32;
    let run = OperatorHarness::new(|| Sliced::<u32, u64, Sum, Raw>::new(Sum, None))
        .with_side::<Kv<u32, u64>>()
        .compare_by(|emitted| format!("{:?}", by_window(emitted)))
        .windowed(at(0), pane(0), (0, 1))
        .end_of_batch()
        .watermark(at(1))
        .elements([])
        .windowed(at(3), pane(0), (0, 1));
    // One batch, or the run of one record a batch with restarts takes long.
    let run = (1..4).fold(run, |run, second| run.windowed(at(second), pane(0), (7, 1)));
    assert_eq!(run.watermark(Timestamp::MAX).run().values().len(), 2);

    let mut driver =
        crate::testing::OperatorDriver::new(|| Sliced::<u32, u64, Sum, Raw>::new(Sum, None))
            .outbox(crate::testing::Outbox::OneSlot)
            .with_side::<Kv<u32, u64>>();
    driver.push_at((0..keys).map(|key| (at(1), Some(pane(0)), (key, 1)))).unwrap();
    driver.watermark(at(100)).unwrap();
    assert_eq!(by_window(&driver.take()).len(), 700);
}

fn pane(start: i64) -> WindowedPane {
    let window = Window::new(at(start), at(start + 10));
    WindowedPane { window, pane: PaneInfo::NO_FIRING }
}

#[test]
fn pre_combine_changes_the_number_of_elements_and_not_their_sums() {
    let slicing = FixedWindows::of(secs(10)).slices().map(Slicing::new);
    let sums = move |emitted: &[Emitted<Kv<u32, u64>>]| {
        let mut sums: BTreeMap<_, u64> = BTreeMap::new();
        for one in emitted {
            let slice = slicing.unwrap().slice_of(one.timestamp);
            *sums.entry((slice, one.value.0)).or_default() += one.value.1;
        }
        format!("{sums:?}")
    };
    let run = OperatorHarness::new(move || PreCombine::<u32, u64, Sum>::new(Sum, slicing))
        .compare_by(sums)
        .elements(readings())
        .watermark(at(50))
        .elements(readings().take(10))
        .watermark(Timestamp::MAX)
        .run();
    assert!(run.values().len() < 190, "{} are fewer than came in", run.values().len());
    assert_eq!(run.values().iter().map(|(_, sum)| sum).sum::<u64>(), (0..180).sum::<u64>() + 45);
}

#[test]
fn a_running_sum_comes_with_each_element_and_survives_restarts() {
    let run = OperatorHarness::new(|| Running::<u32, u64, Sum>::new(Sum, true))
        .by_key()
        .elements(readings())
        .watermark(at(50))
        .run();
    assert_eq!(run.values().len(), 180);
    let of_key: Vec<_> = run.emitted().iter().filter(|one| one.value.0 == 3).collect();
    let numbers: Vec<u64> = of_key.iter().map(|one| one.at.unwrap().pane.index).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(of_key[8].value.1, (0..9).map(|round| 3 + 20 * round).sum::<u64>());
    assert!(of_key[0].at.unwrap().pane.is_first && !of_key[1].at.unwrap().pane.is_first);
}

#[test]
fn running_sums_equal_those_of_the_general_operator() {
    let strategy = crate::windowing::GlobalWindows
        .triggering(Trigger::after_count(1).repeatedly())
        .accumulating();
    let general = OperatorHarness::new(move || {
        GroupWindows::<u32, u64, Sum>::new(Sum, strategy.clone(), false)
    })
    .with_side::<Kv<u32, u64>>();
    let one_by_one = |harness: OperatorHarness<_, GroupWindows<u32, u64, Sum>>| {
        readings().take(40).fold(harness, |harness, (timestamp, reading)| {
            harness.element(timestamp, reading).end_of_batch()
        })
    };
    let general = one_by_one(general).run();
    let running = OperatorHarness::new(|| Running::<u32, u64, Sum>::new(Sum, true))
        .elements(readings().take(40))
        .run();
    assert_eq!(general.emitted(), running.emitted());
}

#[test]
fn sliced_sums_equal_those_of_the_general_operator() {
    let sliding = SlidingWindows::of(secs(20)).every(secs(5));
    let general = OperatorHarness::new(move || {
        GroupWindows::<u32, u64, Sum>::new(Sum, sliding.into(), false)
    })
    .with_side::<Kv<u32, u64>>()
    .by_key()
    .elements(readings().take(60))
    .watermark(at(12))
    .elements(readings().skip(60).take(60))
    .watermark(Timestamp::MAX)
    .run();
    let slicing = sliding.slices().map(Slicing::new);
    let sliced = OperatorHarness::new(move || Sliced::<u32, u64, Sum, Raw>::new(Sum, slicing))
        .with_side::<Kv<u32, u64>>()
        .by_key()
        .elements(readings().take(60))
        .watermark(at(12))
        .elements(readings().skip(60).take(60))
        .watermark(Timestamp::MAX)
        .run();
    assert_eq!(by_window(general.emitted()), by_window(sliced.emitted()));
    let timings = |emitted: &[Emitted<Kv<u32, u64>>]| {
        emitted.iter().all(|one| one.at.unwrap().pane == PaneInfo::ON_TIME_AND_ONLY_FIRING)
    };
    assert!(timings(general.emitted()) && timings(sliced.emitted()));
}

#[test]
fn duplicates_are_dropped_until_their_key_is_forgotten() {
    let run = OperatorHarness::new(|| Deduplicate::<u32>::new(secs(10)))
        .by_key()
        .elements([(at(1), (1, 'a')), (at(1), (2, 'b')), (at(2), (1, 'c'))])
        .advance(secs(5))
        .elements([(at(3), (2, 'd')), (at(3), (3, 'e'))])
        .advance(secs(5))
        .elements([(at(4), (1, 'f')), (at(4), (3, 'g'))])
        .advance(secs(100))
        .elements([(at(5), (3, 'h'))])
        .run();
    assert_eq!(run.values(), ['a', 'b', 'e', 'f', 'h']);
    assert_eq!(run.count(Counter::Duplicates), 3);
}
