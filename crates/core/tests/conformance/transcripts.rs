//! Beam's trigger transcripts (`trigger_transcripts.yaml` of its Python SDK, 2.77.0): 13 with a meaning, and 5 that the checker
//! itself has to refuse.
//!
//! A number is value and event time of an element, in microseconds. Each input, watermark or clock is one event of a `TestStream`, at a
//! virtual time of its own, so that what comes out can be told apart by the time at which it did.

use std::time::Duration;

use millstream::combine::CombineFn;
use millstream::dofn::{DoFn, ProcessContext};
use millstream::operator::group::GroupWindows;
use millstream::pane::Timing;
use millstream::prelude::*;
use millstream::testing::{OperatorDriver, PAssert, TestPipeline, TestStream};
use millstream::windowing::{TimestampCombiner, Window, WindowFn, WindowingStrategy};
use serde::{Deserialize, Serialize};

/// A line of a transcript.
enum Line {
    Input(&'static [i64]),
    Watermark(i64),
    Expect(Vec<Expected>),
}
use Line::{Expect, Input, Watermark};

/// A pane that came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    event: i64,
    window: (i64, i64),
    values: Vec<i64>,
    timestamp: i64,
    index: u64,
    non_speculative_index: u64,
    early: bool,
    late: bool,
    last: bool,
}

/// What is expected of a pane, as far as it is said.
#[derive(Clone, Debug, Default)]
struct Expected {
    window: (i64, i64),
    values: Option<Vec<i64>>,
    timestamp: Option<i64>,
    index: Option<u64>,
    non_speculative_index: Option<u64>,
    early: Option<bool>,
    late: Option<bool>,
    last: Option<bool>,
}

fn pane(start: i64, last: i64) -> Expected {
    Expected { window: (start, last), ..Expected::default() }
}

impl Expected {
    fn values(self, values: &[i64]) -> Self {
        Self { values: Some(values.to_vec()), ..self }
    }

    fn at(self, timestamp: i64) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    fn index(self, index: u64) -> Self {
        Self { index: Some(index), ..self }
    }

    fn non_speculative(self, index: u64) -> Self {
        Self { non_speculative_index: Some(index), ..self }
    }

    fn early(self, early: bool) -> Self {
        Self { early: Some(early), ..self }
    }

    fn late(self, late: bool) -> Self {
        Self { late: Some(late), ..self }
    }

    fn last(self, last: bool) -> Self {
        Self { last: Some(last), ..self }
    }

    fn matches(&self, output: &Output) -> bool {
        fn is<T: PartialEq>(expected: &Option<T>, found: &T) -> bool {
            expected.as_ref().is_none_or(|expected| expected == found)
        }
        self.window == output.window
            && is(&self.values, &output.values)
            && is(&self.timestamp, &output.timestamp)
            && is(&self.index, &output.index)
            && is(&self.non_speculative_index, &output.non_speculative_index)
            && is(&self.early, &output.early)
            && is(&self.late, &output.late)
            && is(&self.last, &output.last)
    }
}

/// Says what each pane looked like and at which event of the script it came.
#[derive(Clone)]
struct Observe;

impl DoFn<(String, Vec<i64>)> for Observe {
    type Out = Output;

    fn observes_windows(&self) -> bool {
        true
    }

    fn process(
        &mut self,
        (_, mut values): (String, Vec<i64>),
        ctx: &mut ProcessContext<'_, Output>,
    ) -> Result<(), BoxError> {
        values.sort_unstable();
        let (window, pane) = (ctx.window(), ctx.pane());
        let output = Output {
            event: ctx.now().as_micros(),
            window: (window.start.as_micros(), window.max_timestamp().as_micros()),
            values,
            timestamp: ctx.timestamp().as_micros(),
            index: pane.index,
            non_speculative_index: pane.non_speculative_index,
            early: pane.timing == Timing::Early,
            late: pane.timing == Timing::Late,
            last: pane.is_last,
        };
        ctx.emit(output);
        Ok(())
    }
}

/// Follows the transcript: all that comes out has to be expected before the next thing happens, and nothing else.
fn check(lines: &[Line], outputs: &[Output]) -> Result<(), String> {
    let mut event = -1;
    let mut pending: Vec<Output> = Vec::new();
    for line in lines {
        if let Expect(panes) = line {
            for expected in panes {
                let found = pending.iter().position(|output| expected.matches(output));
                let position = found.ok_or_else(|| {
                    format!("unmatched output: {expected:?} is not in {pending:?}")
                })?;
                pending.remove(position);
            }
            continue;
        }
        if !pending.is_empty() {
            return Err(format!("unexpected output: {pending:?}"));
        }
        event += 1;
        pending = outputs.iter().filter(|output| output.event == event).cloned().collect();
    }
    if pending.is_empty() { Ok(()) } else { Err(format!("unexpected output: {pending:?}")) }
}

const KEYS: [&str; 2] = ["key1", "key2"];

/// Plays the transcript for two keys at once; gives what each let out.
fn play(strategy: &WindowingStrategy, lines: &[Line]) -> [Vec<Output>; 2] {
    let mut script = TestStream::new();
    for line in lines {
        script = match line {
            Input(numbers) => {
                let of_key = |key: &str| {
                    let key = key.to_owned();
                    numbers.iter().map(move |number| {
                        (Timestamp::from_micros(*number), (key.clone(), *number))
                    })
                };
                script.add_all(KEYS.iter().flat_map(|key| of_key(key)))
            }
            Watermark(to) => script.advance_watermark(Timestamp::from_micros(*to)),
            Expect(_) => script,
        };
    }
    let pipeline = TestPipeline::new();
    let grouped =
        pipeline.read("Input", script).window("Window", strategy.clone()).group_by_key("Group");
    let observed = KEYS.map(|key| {
        grouped
            .filter(&format!("Of{key}"), move |(of, _)| of == key)
            .par_do(&format!("Observe{key}"), Observe)
    });
    let collected = observed.map(|outputs| {
        let into = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let collect = std::sync::Arc::clone(&into);
        PAssert::that(outputs).satisfies(move |outputs| {
            *collect.lock().expect("no check panics") = outputs.to_vec();
        });
        into
    });
    pipeline.run();
    collected.map(|outputs| outputs.lock().expect("no check panics").clone())
}

fn run(strategy: &WindowingStrategy, lines: &[Line]) -> Result<(), String> {
    play(strategy, lines).iter().try_for_each(|outputs| check(lines, outputs))
}

#[track_caller]
fn holds(strategy: impl Into<WindowingStrategy>, lines: &[Line]) {
    if let Err(what) = run(&strategy.into(), lines) {
        panic!("{what}");
    }
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn tens() -> FixedWindows {
    FixedWindows::of(micros(10))
}

#[test]
fn fixed_default() {
    let lines = [
        Input(&[1, 2, 3, 10, 11]),
        Watermark(25),
        Expect(vec![pane(0, 9).values(&[1, 2, 3]).index(0), pane(10, 19).values(&[10, 11])]),
        // What the source ends with is no line of the transcript.
    ];
    holds(tens().accumulating(), &lines);
}

#[test]
fn fixed_default_late_data() {
    let lines = [
        Input(&[1, 2, 3, 10, 11, 25]),
        Watermark(100),
        Expect(vec![
            pane(0, 9).values(&[1, 2, 3]).at(9).last(false),
            pane(10, 19).values(&[10, 11]).at(19),
            pane(20, 29).values(&[25]).at(29).late(false),
        ]),
        Input(&[7]),
        Expect(vec![pane(0, 9).values(&[1, 2, 3, 7]).at(9).late(true)]),
    ];
    holds(tens().accumulating().allowed_lateness(micros(100)), &lines);
}

#[test]
fn fixed_drop_late_data_after_allowed_lateness() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(3)).late(Trigger::after_count(1));
    let lines = [
        Input(&[1, 2, 10, 11, 80, 81]),
        Watermark(100),
        Expect(vec![
            pane(0, 9).values(&[1, 2]).at(9),
            pane(10, 19).values(&[10, 11]).at(19),
            pane(80, 89).values(&[80, 81]).at(89).late(false),
        ]),
        Input(&[7, 8]),
        Input(&[17, 18]),
        Input(&[82]),
        Expect(vec![pane(80, 89).values(&[80, 81, 82]).at(89).late(true)]),
    ];
    holds(tens().triggering(trigger).accumulating().allowed_lateness(micros(20)), &lines);
}

/// The three panes that the transcripts on output times expect, with their times.
fn three_panes(times: [i64; 3]) -> Vec<Line> {
    vec![
        Input(&[1, 2, 3, 10, 11, 25]),
        Watermark(100),
        Expect(vec![
            pane(0, 9).values(&[1, 2, 3]).at(times[0]),
            pane(10, 19).values(&[10, 11]).at(times[1]),
            pane(20, 29).values(&[25]).at(times[2]).late(false),
        ]),
    ]
}

#[test]
fn timestamp_combiner_earliest() {
    let strategy = tens().accumulating().timestamp_combiner(TimestampCombiner::Earliest);
    holds(strategy, &three_panes([1, 10, 25]));
}

#[test]
fn timestamp_combiner_latest() {
    let strategy = tens().accumulating().timestamp_combiner(TimestampCombiner::Latest);
    holds(strategy, &three_panes([3, 11, 25]));
}

/// Fixed windows that move output times 100 microseconds on, where they are asked for them.
#[derive(Debug)]
struct CustomTimestamping {
    is_transformed: bool,
}

impl WindowFn for CustomTimestamping {
    fn name(&self) -> &'static str {
        "CustomTimestamping"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        tens().assign(timestamp, windows);
    }

    fn fingerprint(&self) -> String {
        format!("{self:?}")
    }

    fn output_time(&self, timestamp: Timestamp, _window: &Window) -> Timestamp {
        if self.is_transformed { timestamp + micros(100) } else { timestamp }
    }
}

fn custom(is_transformed: bool, combiner: TimestampCombiner) -> WindowingStrategy {
    WindowingStrategy::new(CustomTimestamping { is_transformed })
        .accumulating()
        .timestamp_combiner(combiner)
}

#[test]
fn timestamp_combiner_custom_timestamping_eow() {
    holds(custom(true, TimestampCombiner::EndOfWindow), &three_panes([9, 19, 29]));
}

/// Beam's `OUTPUT_AT_EARLIEST`, which takes no notice of the window function.
#[test]
fn timestamp_combiner_custom_timestamping_earliest() {
    holds(custom(false, TimestampCombiner::Earliest), &three_panes([1, 10, 25]));
}

/// Beam's `OUTPUT_AT_EARLIEST_TRANSFORMED`.
#[test]
fn timestamp_combiner_custom_timestamping_earliest_transformed() {
    holds(custom(true, TimestampCombiner::Earliest), &three_panes([101, 110, 125]));
}

#[test]
fn early_late_sessions() {
    let trigger =
        Trigger::after_watermark().early(Trigger::after_count(2)).late(Trigger::after_count(3));
    let strategy = Sessions::with_gap(micros(10))
        .triggering(trigger)
        .accumulating()
        .allowed_lateness(micros(100));
    let lines = [
        Input(&[1, 2]),
        Expect(vec![pane(1, 11).values(&[1, 2]).at(11).early(true).index(0)]),
        Input(&[3]),
        Input(&[4]),
        Expect(vec![pane(1, 13).values(&[1, 2, 3, 4]).at(13).early(true).index(0)]),
        Input(&[5]),
        Watermark(100),
        Expect(vec![pane(1, 14).values(&[1, 2, 3, 4, 5]).at(14).index(0).non_speculative(0)]),
        Input(&[1]),
        Input(&[3, 4]),
        Expect(vec![
            pane(1, 14)
                .values(&[1, 1, 2, 3, 3, 4, 4, 5])
                .at(14)
                .last(false)
                .index(1)
                .non_speculative(1),
        ]),
    ];
    holds(strategy, &lines);
}

#[test]
fn discarding_early_fixed() {
    let trigger = Trigger::after_watermark().early(Trigger::after_count(2));
    let on_time = |pane: Expected| pane.early(false).late(false).last(true).non_speculative(0);
    let lines = [
        Input(&[1, 2]),
        Expect(vec![pane(0, 9).values(&[1, 2]).at(9).early(true).index(0)]),
        Input(&[4]),
        Input(&[14]),
        Input(&[5]),
        Expect(vec![pane(0, 9).values(&[4, 5]).at(9).early(true).index(1)]),
        Input(&[18]),
        Expect(vec![pane(10, 19).values(&[14, 18]).at(19).early(true).index(0)]),
        Input(&[6]),
        Watermark(100),
        Expect(vec![
            on_time(pane(0, 9)).values(&[6]).at(9).index(2),
            on_time(pane(10, 19)).values(&[]).at(19).index(1),
        ]),
    ];
    holds(tens().triggering(trigger), &lines);
}

#[test]
fn known_late_data_watermark() {
    let strategy = tens().accumulating().timestamp_combiner(TimestampCombiner::Earliest);
    let lines = [
        Watermark(5),
        Input(&[2, 3, 7, 8]),
        Watermark(11),
        Expect(vec![pane(0, 9).values(&[2, 3, 7, 8]).at(7)]),
    ];
    holds(strategy, &lines);
}

#[test]
fn known_late_data_no_watermark_hold_possible() {
    let strategy = tens().accumulating().timestamp_combiner(TimestampCombiner::Earliest);
    let lines = [
        Watermark(8),
        Input(&[2, 3, 7]),
        Watermark(11),
        Expect(vec![pane(0, 9).values(&[2, 3, 7]).at(9)]),
    ];
    holds(strategy, &lines);
}

/// Keeps every value.
#[derive(Clone, Debug)]
struct Keep;

impl CombineFn<i64> for Keep {
    type Accumulator = Vec<i64>;
    type Output = Vec<i64>;

    fn create_accumulator(&self) -> Vec<i64> {
        Vec::new()
    }

    fn add_input(&self, accumulator: &mut Vec<i64>, input: i64) {
        accumulator.push(input);
    }

    fn merge(&self, accumulator: &mut Vec<i64>, mut other: Vec<i64>) {
        accumulator.append(&mut other);
    }

    fn extract_output(&self, accumulator: &Vec<i64>) -> Vec<i64> {
        accumulator.clone()
    }
}

/// A trigger that finishes is refused by the checks of a pipeline, so the operator is driven by hand. Beam's own runners do not
/// look at the state that the transcript tells of; here a closed window is remembered until it expires, and then forgotten.
#[test]
fn garbage_collection() {
    let strategy = tens().triggering(Trigger::after_count(2)).allowed_lateness(micros(10));
    let make = move || GroupWindows::<u8, i64, Keep>::new(Keep, strategy.clone(), false);
    let mut driver = OperatorDriver::new(make).with_side::<(u8, i64)>();
    let at = Timestamp::from_micros;
    driver.push([1, 2, 3, 10, 11, 25].map(|number| (at(number), (0, number)))).unwrap();
    let panes: Vec<_> = driver
        .take()
        .into_iter()
        .map(|emitted| (emitted.timestamp.as_micros(), emitted.value.1))
        .collect();
    assert_eq!(panes, [(9, vec![1, 2, 3]), (19, vec![10, 11])]);

    let mut is_closed = |number: i64| {
        driver.push([(at(number), (0, number))]).unwrap();
        driver.take_side::<(u8, i64)>(0).len() == 1
    };
    assert!(is_closed(4) && is_closed(12), "[0, 9] and [10, 19] have their tombstones");
    assert!(!is_closed(26), "[20, 29] is present");
    assert_eq!(driver.take().len(), 1, "and fires with its second element");
    driver.watermark(at(40)).unwrap();
    let part = driver.snapshot().unwrap();
    let state = millstream::state::RestoredState::new(vec![part]);
    assert!(state.step("Operator").values::<(Window, u8)>("panes").unwrap().is_empty());
}

#[track_caller]
fn is_refused(strategy: impl Into<WindowingStrategy>, lines: &[Line], because: &str) {
    let what = run(&strategy.into(), lines).expect_err("the checker refuses it");
    assert!(what.starts_with(because), "{what}");
}

/// The global window, repeated so that an unbounded stream may be grouped; it fires only at the end of time.
fn global() -> WindowingStrategy {
    GlobalWindows.triggering(Trigger::after_count(1_000).repeatedly()).accumulating()
}

#[test]
fn bad_output() {
    let lines = [Input(&[1, 2, 3]), Expect(vec![pane(0, 9).values(&[1, 2, 3])]), Watermark(100)];
    is_refused(global(), &lines, "unmatched output");
}

#[test]
fn bad_expected_values() {
    let lines = [Input(&[1, 2, 3]), Watermark(100), Expect(vec![pane(0, 9).values(&[1, 2])])];
    is_refused(tens().accumulating(), &lines, "unmatched output");
}

#[test]
fn bad_expected_window() {
    let lines = [Input(&[1, 2, 3]), Watermark(100), Expect(vec![pane(0, 19).values(&[1, 2, 3])])];
    is_refused(tens().accumulating(), &lines, "unmatched output");
}

#[test]
fn missing_output() {
    let lines = [Input(&[1, 2, 3]), Watermark(100), Watermark(200)];
    is_refused(tens().accumulating(), &lines, "unexpected output");
}

#[test]
fn missing_output_at_end() {
    let lines = [Input(&[1, 2, 3]), Watermark(100)];
    is_refused(tens().accumulating(), &lines, "unexpected output");
}
