//! Laws over random strategies and streams: what panes add up to, how they are numbered, and that the way a stream is cut into
//! batches, checkpoints and workers makes no difference to it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tester::{at, micros};
use crate::coder::Kv;
use crate::combine::Sum;
use crate::metrics::Counter;
use crate::operator::group::{GroupWindows, LATE};
use crate::pane::Timing;
use crate::state::key_hash;
use crate::testing::{Emitted, OperatorDriver, OperatorHarness, Outbox};
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::windowing::{
    AccumulationMode, FixedWindows, GlobalWindows, Sessions, SlidingWindows, TimestampCombiner,
    Window, WindowingStrategy,
};

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<(i64, u8)>),
    Watermark(i64),
    Clock(u64),
    Restart(usize),
}

fn any_history() -> impl Strategy<Value = Vec<Step>> {
    let batch = prop::collection::vec((0_i64..60, 0_u8..4), 1..6);
    let step = prop_oneof![
        5 => batch.prop_map(Step::Batch),
        2 => (1_i64..20).prop_map(Step::Watermark),
        2 => (1_u64..12).prop_map(Step::Clock),
        1 => (1_usize..4).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..25)
}

/// Triggers that never finish, so that nothing is lost.
fn any_trigger() -> impl Strategy<Value = Trigger> {
    let part = prop_oneof![
        (1_u64..4).prop_map(Trigger::after_count),
        (0_u64..9).prop_map(|delay| Trigger::after_processing_time(micros(delay))),
        (1_u64..5).prop_map(|period| {
            Trigger::after_processing_time(micros(1)).aligned_to(micros(period))
        }),
    ];
    let part = (part.clone(), part, 0_u8..4).prop_map(|(one, other, kind)| match kind {
        0 => Trigger::after_any([one, other]),
        1 => Trigger::after_each([one, other]),
        _ => one,
    });
    (part.clone(), part, 0_u8..5).prop_map(|(one, other, kind)| match kind {
        0 => Trigger::Default,
        1 => one.repeatedly(),
        2 => Trigger::after_watermark().late(other),
        3 => Trigger::after_any([one, Trigger::after_watermark()]).repeatedly(),
        _ => Trigger::after_watermark().early(one).late(other),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Windows {
    Fixed,
    Sliding,
    Sessions,
    Global,
}

fn any_strategy(
    windows: impl Strategy<Value = Windows>,
) -> impl Strategy<Value = (Windows, WindowingStrategy)> {
    let combiner = prop_oneof![
        Just(TimestampCombiner::EndOfWindow),
        Just(TimestampCombiner::Earliest),
        Just(TimestampCombiner::Latest),
    ];
    (windows, any_trigger(), 0_u64..30, combiner).prop_map(
        |(windows, trigger, lateness, combiner)| {
            let strategy: WindowingStrategy = match windows {
                Windows::Fixed => FixedWindows::of(micros(10)).into(),
                Windows::Sliding => SlidingWindows::of(micros(12)).every(micros(5)).into(),
                Windows::Sessions => Sessions::with_gap(micros(4)).into(),
                Windows::Global => GlobalWindows.into(),
            };
            let strategy = strategy
                .triggering(trigger)
                .allowed_lateness(micros(lateness))
                .timestamp_combiner(combiner);
            (windows, strategy)
        },
    )
}

fn any_windows() -> impl Strategy<Value = Windows> {
    prop_oneof![
        Just(Windows::Fixed),
        Just(Windows::Sliding),
        Just(Windows::Sessions),
        Just(Windows::Global),
    ]
}

/// A failing case is printed whole, so no file of seeds is kept. `PROPTEST_CASES` asks for more cases.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The sum of a key in a pane.
type SumOfKey = Emitted<Kv<u8, i64>>;

type Group = GroupWindows<u8, i64, Sum>;

/// What a history led to. Every element has a value of its own, a power of three, so that a sum tells its parts.
struct Outcome {
    panes: Vec<SumOfKey>,
    /// Per key and window, the sum of the elements that were not late.
    accepted: BTreeMap<(u8, Window), i64>,
    /// Keys and windows whose first element came before the watermark passed their end.
    on_time: Vec<(u8, Window)>,
    pairs: u64,
    late: u64,
}

fn run(strategy: &WindowingStrategy, mode: AccumulationMode, history: &[Step]) -> Outcome {
    let mut strategy = strategy.clone();
    strategy.accumulation = mode;
    let made = strategy.clone();
    let make = move || Group::new(Sum, made.clone(), false);
    let mut driver = OperatorDriver::new(make)
        .routed_by(|element: &Kv<u8, i64>| key_hash(&element.0))
        .outbox(Outbox::OneSlot)
        .with_side::<Kv<u8, i64>>();
    let mut outcome = Outcome {
        panes: Vec::new(),
        accepted: BTreeMap::new(),
        on_time: Vec::new(),
        pairs: 0,
        late: 0,
    };
    let mut watermark = 0;
    let mut number = 0_i64;
    driver.watermark(at(0)).unwrap();
    for step in history {
        let before = driver.output_watermark();
        match step {
            Step::Batch(elements) => {
                let mut batch = Vec::new();
                for (time, key) in elements {
                    number += 1;
                    outcome.take_in(&strategy, at(watermark), at(*time), (*key, number));
                    batch.push((at(*time), (*key, number)));
                }
                driver.push(batch).unwrap();
            }
            Step::Watermark(by) => {
                watermark += by;
                driver.watermark(at(watermark)).unwrap();
            }
            Step::Clock(by) => driver.advance_to(driver.now() + micros(*by)).unwrap(),
            Step::Restart(workers) => driver.restart(*workers).unwrap(),
        }
        outcome.check_new(driver.take(), before);
    }
    let before = driver.output_watermark();
    driver.watermark(Timestamp::MAX).unwrap();
    outcome.check_new(driver.take(), before);
    assert_eq!(driver.output_watermark(), Timestamp::MAX, "nothing holds the watermark at the end");
    outcome.late = driver.count(Counter::Late);
    let state = crate::state::RestoredState::new(vec![driver.snapshot().unwrap()]);
    let left =
        |cell: &str| state.step("Operator").values::<serde::de::IgnoredAny>(cell).unwrap().len();
    assert_eq!(left("panes") + left("sessions"), 0, "state is left behind");
    let given_out = driver.take_side::<Kv<u8, i64>>(LATE).len() as u64;
    assert!(given_out <= outcome.late);
    outcome
}

impl Outcome {
    /// The naive model: an element counts in each of its windows that has not expired.
    fn take_in(
        &mut self,
        strategy: &WindowingStrategy,
        watermark: Timestamp,
        time: Timestamp,
        (key, value): Kv<u8, i64>,
    ) {
        let mut windows = Vec::new();
        strategy.window_fn.assign(time, &mut windows);
        for window in windows {
            self.pairs += 1;
            if !strategy.is_expired(&window, watermark) {
                let known = self.accepted.insert((key, window), 0);
                self.accepted.insert((key, window), known.unwrap_or(0) + value);
                if known.is_none() && window.max_timestamp() >= watermark {
                    self.on_time.push((key, window));
                }
            } else {
                self.late += 1;
            }
        }
    }

    /// What is not late has to be emitted at or behind the output watermark, or it would be late downstream.
    fn check_new(&mut self, panes: Vec<SumOfKey>, output_watermark: Timestamp) {
        for pane in &panes {
            let at = pane.at.unwrap();
            assert!(
                at.pane.timing == Timing::Late || pane.timestamp >= output_watermark,
                "{pane:?} is behind the output watermark {output_watermark}"
            );
        }
        self.panes.extend(panes);
    }

    /// The panes of each key and window, in order, without retractions.
    fn by_window(&self) -> BTreeMap<(u8, Window), Vec<&SumOfKey>> {
        let mut by_window: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pane in &self.panes {
            let at = pane.at.unwrap();
            if !at.pane.is_retraction() {
                by_window.entry((pane.value.0, at.window)).or_default().push(pane);
            }
        }
        by_window
    }

    fn check_numbering(&self) {
        for (place, panes) in self.by_window() {
            let infos: Vec<_> = panes.iter().map(|pane| pane.at.unwrap().pane).collect();
            let mut non_speculative = 0;
            for (position, info) in infos.iter().enumerate() {
                assert_eq!(info.index, position as u64, "{place:?} {infos:?}");
                assert_eq!(info.is_first, position == 0);
                assert!(!info.is_last || position + 1 == infos.len(), "{place:?} {infos:?}");
                if info.timing != Timing::Early {
                    assert_eq!(info.non_speculative_index, non_speculative, "{place:?} {infos:?}");
                    non_speculative += 1;
                }
            }
            let rank = |timing| match timing {
                Timing::Early => 0,
                Timing::OnTime => 1,
                _ => 2,
            };
            assert!(infos.is_sorted_by_key(|info| rank(info.timing)), "{place:?} {infos:?}");
            assert!(infos.iter().filter(|info| info.timing == Timing::OnTime).count() <= 1);
        }
    }

    fn total_by_key(&self) -> BTreeMap<u8, i64> {
        let mut totals = BTreeMap::new();
        for ((key, _), sum) in &self.accepted {
            *totals.entry(*key).or_default() += sum;
        }
        totals
    }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn discarding_panes_add_up_to_the_last_accumulating_pane_and_to_the_batch_result(
        (windows, strategy) in any_strategy(any_windows()), history in any_history(),
    ) {
        let discarding = run(&strategy, AccumulationMode::Discarding, &history);
        let accumulating = run(&strategy, AccumulationMode::Accumulating, &history);
        for outcome in [&discarding, &accumulating] {
            prop_assert_eq!(outcome.late, discarding.late);
        }
        let emitted: u64 = discarding.pairs - discarding.late;
        prop_assert!(emitted as usize >= discarding.accepted.len());
        if windows == Windows::Sessions {
            // Windows merge: what a key adds up to is independent of that.
            let mut sums: BTreeMap<u8, i64> = BTreeMap::new();
            for pane in &discarding.panes {
                *sums.entry(pane.value.0).or_default() += pane.value.1;
            }
            prop_assert_eq!(sums, discarding.total_by_key());
            return Ok(());
        }
        let sums: BTreeMap<_, i64> = discarding
            .by_window()
            .into_iter()
            .map(|(place, panes)| (place, panes.iter().map(|pane| pane.value.1).sum()))
            .collect();
        let lasts: BTreeMap<_, i64> = accumulating
            .by_window()
            .into_iter()
            .map(|(place, panes)| (place, panes.last().unwrap().value.1))
            .collect();
        prop_assert_eq!(&sums, &discarding.accepted);
        prop_assert_eq!(&lasts, &accumulating.accepted);
    }

    #[test]
    fn panes_are_numbered_densely_and_one_is_on_time(
        (windows, strategy) in any_strategy(any_windows()), history in any_history(),
    ) {
        let outcome = run(&strategy, AccumulationMode::Discarding, &history);
        if windows == Windows::Sessions {
            return Ok(()); // a window may merge away and come back, numbered anew
        }
        outcome.check_numbering();
        if matches!(strategy.trigger, Trigger::Default | Trigger::AfterWatermark { .. }) {
            let by_window = outcome.by_window();
            for place in &outcome.on_time {
                let on_time = by_window[place]
                    .iter()
                    .filter(|pane| pane.at.unwrap().pane.timing == Timing::OnTime);
                prop_assert_eq!(on_time.count(), 1, "{:?} of {:?}", place, strategy);
            }
        }
    }

    #[test]
    fn what_is_retracted_and_what_stays_add_up_to_the_batch_result(
        (_, strategy) in any_strategy(any_windows()), history in any_history(),
    ) {
        let outcome = run(&strategy, AccumulationMode::Retracting, &history);
        let mut sums: BTreeMap<(u8, Window), i64> = BTreeMap::new();
        let mut by_key: BTreeMap<u8, i64> = BTreeMap::new();
        for pane in &outcome.panes {
            let at = pane.at.unwrap();
            let sign = if at.pane.is_retraction() { -1 } else { 1 };
            *sums.entry((pane.value.0, at.window)).or_default() += sign * pane.value.1;
            *by_key.entry(pane.value.0).or_default() += sign * pane.value.1;
        }
        prop_assert!(sums.values().all(|sum| *sum >= 0), "more was taken back than emitted");
        prop_assert_eq!(by_key, outcome.total_by_key());
    }
}

/// Triggers whose firings do not depend on how elements come in batches.
fn any_timed_trigger() -> impl Strategy<Value = Trigger> {
    let delay = (0_u64..9).prop_map(|delay| Trigger::after_processing_time(micros(delay)));
    prop_oneof![
        Just(Trigger::Default),
        delay.clone().prop_map(Trigger::repeatedly),
        (delay.clone(), delay)
            .prop_map(|(early, late)| { Trigger::after_watermark().early(early).late(late) }),
    ]
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn batches_checkpoints_workers_and_a_full_outbox_change_no_pane(
        (_, strategy) in any_strategy(any_windows()),
        trigger in any_timed_trigger(),
        mode in prop_oneof![
            Just(AccumulationMode::Discarding),
            Just(AccumulationMode::Accumulating),
            Just(AccumulationMode::Retracting),
        ],
        history in any_history(),
    ) {
        let mut strategy = strategy.triggering(trigger);
        strategy.accumulation = mode;
        // Late elements in one batch are one late pane, so there each is a batch of its own.
        let fires_for_late_elements =
            matches!(strategy.trigger, Trigger::Default | Trigger::AfterWatermark { .. })
                && !strategy.allowed_lateness.is_zero();
        // A restart tells the watermark again, and a hold at the latest element may have moved on since it was told first: then
        // what comes next is late that would not have been.
        if strategy.timestamp_combiner == TimestampCombiner::Latest {
            strategy.timestamp_combiner = TimestampCombiner::Earliest;
        }
        // Where no pane waits behind the end of its window or before it, no hold of one key is seen by another.
        let keys_are_apart = strategy.timestamp_combiner == TimestampCombiner::EndOfWindow
            && matches!(strategy.trigger, Trigger::Default | Trigger::AfterWatermark { .. });
        let mut harness = OperatorHarness::new(move || Group::new(Sum, strategy.clone(), false))
            .with_side::<Kv<u8, i64>>();
        if keys_are_apart {
            harness = harness.by_key();
        }
        let mut watermark = 0;
        for step in history.iter().take(10) {
            harness = match step {
                Step::Batch(elements) => {
                    let elements = elements.iter().map(|(time, key)| (at(*time), (*key, *time)));
                    let add = |harness: OperatorHarness<_, _>, (timestamp, element)| {
                        let harness = harness.element(timestamp, element);
                        if fires_for_late_elements { harness.end_of_batch() } else { harness }
                    };
                    elements.fold(harness, add).end_of_batch()
                }
                Step::Watermark(by) => {
                    watermark += by;
                    harness.watermark(at(watermark))
                }
                Step::Clock(by) => harness.advance(micros(*by)),
                Step::Restart(_) => harness,
            };
        }
        let _ = harness.watermark(Timestamp::MAX).run();
    }
}
