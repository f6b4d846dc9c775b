//! A window operator driven step by step. A time is a number of microseconds, as it is of milliseconds in Beam's tests.

use std::fmt::Debug;
use std::time::Duration;

use crate::coder::Kv;
use crate::combine::{CombineFn, Sum};
use crate::metrics::Counter;
use crate::operator::group::GroupWindows;
use crate::state::key_hash;
use crate::testing::{Emitted, OperatorDriver};
use crate::time::Timestamp;
use crate::windowing::{FixedWindows, Sessions, SlidingWindows, Window, WindowingStrategy};

pub(super) const KEY: u8 = 7;

/// Keeps all values, sorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sorted;

impl CombineFn<i64> for Sorted {
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
        let mut values = accumulator.clone();
        values.sort_unstable();
        values
    }
}

pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(super) fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

pub(super) fn fixed(size: u64) -> WindowingStrategy {
    FixedWindows::of(micros(size)).into()
}

pub(super) fn sessions(gap: u64) -> WindowingStrategy {
    Sessions::with_gap(micros(gap)).into()
}

pub(super) fn sliding(size: u64, period: u64) -> WindowingStrategy {
    SlidingWindows::of(micros(size)).every(micros(period)).into()
}

pub(super) fn window_text(window: &Window) -> String {
    if *window == Window::GLOBAL {
        return "[global)".to_owned();
    }
    format!("[{},{})", window.start.as_micros(), window.end.as_micros())
}

/// An element as `value@time [start,end) pane`.
pub(super) fn text<T: Debug>(emitted: &Emitted<Kv<u8, T>>) -> String {
    let at = emitted.at.expect("what a grouping emits has a window");
    let time = emitted.timestamp.as_micros();
    let time = if time == Window::GLOBAL.max_timestamp().as_micros() {
        "end".to_owned()
    } else {
        time.to_string()
    };
    format!("{:?}@{time} {} {:?}", emitted.value.1, window_text(&at.window), at.pane)
}

pub(super) struct Tester<C: CombineFn<i64>> {
    pub(super) driver: OperatorDriver<Kv<u8, i64>, GroupWindows<u8, i64, C>>,
}

impl Tester<Sorted> {
    pub(super) fn collecting(strategy: &WindowingStrategy) -> Self {
        Self::new(Sorted, strategy)
    }
}

impl Tester<Sum> {
    pub(super) fn summing(strategy: &WindowingStrategy) -> Self {
        Self::new(Sum, strategy)
    }
}

impl<C: CombineFn<i64>> Tester<C>
where
    C::Output: Debug,
{
    fn new(combine: C, strategy: &WindowingStrategy) -> Self {
        let strategy = strategy.clone();
        let make = move || GroupWindows::new(combine.clone(), strategy.clone(), false);
        let hash = |element: &Kv<u8, i64>| key_hash(&element.0);
        Self { driver: OperatorDriver::new(make).routed_by(hash).with_side::<Kv<u8, i64>>() }
    }

    /// One batch of elements whose values are their times.
    pub(super) fn inject(&mut self, times: &[i64]) {
        let values: Vec<_> = times.iter().map(|time| (*time, *time)).collect();
        self.inject_values(&values);
    }

    /// One batch of elements: (value, time).
    pub(super) fn inject_values(&mut self, values: &[(i64, i64)]) {
        self.driver.push(values.iter().map(|(value, time)| (at(*time), (KEY, *value)))).unwrap();
    }

    pub(super) fn watermark(&mut self, micros: i64) {
        self.driver.watermark(at(micros)).unwrap();
    }

    pub(super) fn end_of_time(&mut self) {
        self.driver.watermark(Timestamp::MAX).unwrap();
    }

    pub(super) fn clock(&mut self, micros: i64) {
        self.driver.advance_to(at(micros)).unwrap();
    }

    /// What was emitted since the last call.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.driver.take().iter().map(text).collect()
    }

    /// Values that were given out as late since the last call.
    pub(super) fn take_late(&mut self) -> Vec<i64> {
        let late = self.driver.take_side::<Kv<u8, i64>>(super::super::LATE);
        late.into_iter().map(|emitted| emitted.value.1).collect()
    }

    pub(super) fn late(&self) -> u64 {
        self.driver.count(Counter::Late)
    }

    pub(super) fn output_watermark(&self) -> i64 {
        self.driver.output_watermark().as_micros()
    }

    /// Whether a snapshot holds no pane at all.
    pub(super) fn is_empty(&mut self) -> bool {
        let state = crate::state::RestoredState::new(vec![self.driver.snapshot().unwrap()]);
        let step = state.step("Operator");
        let count = |cell: &str| step.values::<serde::de::IgnoredAny>(cell).unwrap().len();
        count("panes") + count("sessions") == 0
    }
}
