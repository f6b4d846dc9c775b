//! Windowed aggregation by slices: the fast path of `combine_per_key` for fixed and sliding windows under the default trigger.
//!
//! State is slice-major: one table of keys per slice, the greatest common part of the windows. An element costs one table
//! update however many windows it is in; closing a window merges its slices; a slice goes in one drop. Elements that carry windows
//! already (behind another grouping) have each window as a slice of its own. Source: general stream slicing, Traub et al., EDBT 2019.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::batch::{Batch, WindowedPane};
use crate::coder::{Key, Kv};
use crate::combine::CombineFn;
use crate::error::{BoxError, Result};
use crate::metrics::Counter;
use crate::operator::output::Output;
use crate::operator::seam::{Operator, Progress, Share, resumed};
use crate::operator::table::{Feed, KeyTable};
use crate::pane::{PaneInfo, Timing};
use crate::state::{SnapshotWriter, StepState, key_group, key_hash};
use crate::time::Timestamp;
use crate::windowing::{Slices, Window};

/// Number of the output for elements that came after their windows expired.
pub const LATE: usize = 0;

/// The one pane of a window that fires once, when the watermark passes its end.
pub const ONLY_PANE: PaneInfo = PaneInfo {
    index: 0,
    non_speculative_index: 0,
    timing: Timing::OnTime,
    is_first: true,
    is_last: true,
    ..PaneInfo::NO_FIRING
};

/// How windows are made of slices, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slicing {
    size: i64,
    period: i64,
    offset: i64,
    slice: i64,
}

impl Slicing {
    /// The slices of fixed (`size == period`) or sliding windows.
    #[must_use]
    pub fn new(windows: Slices) -> Self {
        let Slices { size, period, offset } = windows;
        Self { size, period, offset, slice: gcd(size, period) }
    }

    /// The slice that contains `timestamp`.
    #[inline]
    #[must_use]
    pub fn slice_of(&self, timestamp: Timestamp) -> Window {
        let micros = timestamp.as_micros();
        let start =
            micros.saturating_sub((micros.saturating_sub(self.offset)).rem_euclid(self.slice));
        window(start, start.saturating_add(self.slice))
    }

    /// End of the last window that contains `slice`.
    fn last_end(&self, slice: Window) -> i64 {
        let start = slice.start.as_micros();
        let behind = start.saturating_sub(self.offset).rem_euclid(self.period);
        start.saturating_sub(behind).saturating_add(self.size)
    }

    /// End of the first window that contains `slice`.
    fn first_end(&self, slice: Window) -> i64 {
        let (last, end) = (self.last_end(slice), slice.end.as_micros());
        last.saturating_sub(last.saturating_sub(end) / self.period * self.period)
    }

    fn is_one_slice(&self) -> bool {
        self.size == self.slice
    }
}

fn gcd(left: i64, right: i64) -> i64 {
    if right == 0 { left.max(1) } else { gcd(right, left % right) }
}

fn window(start: i64, end: i64) -> Window {
    Window { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end), tag: 0 }
}

/// Aggregates per key and window, each window firing once.
pub struct Sliced<K, V, C: CombineFn<V>, F> {
    combine: C,
    /// `None`: every window is a slice, either carried by the elements or the global one.
    slicing: Option<Slicing>,
    slices: BTreeMap<Window, KeyTable<K, C::Accumulator>>,
    current: Current<K, C::Accumulator>,
    next_end: i64,
    firing: Option<Firing<K, C::Accumulator>>,
    watermark: Timestamp,
    /// Emits the aggregate of nothing for the global window when the input ends empty.
    default_key: Option<K>,
    /// An element came, or the aggregate of nothing was emitted already.
    touched: bool,
    feed: PhantomData<fn(V, F)>,
}

#[cold]
fn drop_late<K: Send + 'static, In: Send + 'static, T: Send + 'static>(
    timestamp: Timestamp,
    at: Option<WindowedPane>,
    element: Kv<K, In>,
    out: &mut Output<'_, T>,
) {
    out.count(Counter::Late, 1);
    if out.has_side(LATE) {
        out.emit_side(LATE, timestamp, at, element);
    }
}

/// The slice that the latest element went to, kept at hand.
struct Current<K, A> {
    slice: Window,
    table: KeyTable<K, A>,
    is_late: bool,
}

/// A window whose aggregates are being emitted.
struct Firing<K, A> {
    window: Window,
    rest: hashbrown::hash_table::IntoIter<(K, A)>,
}

/// No timestamp is in this window.
const NOWHERE: Window = Window { start: Timestamp::MAX, end: Timestamp::MIN, tag: 0 };

impl<K: Key, V, C: CombineFn<V>, F> Sliced<K, V, C, F> {
    /// Aggregates in the windows that `slicing` makes, or in those that the elements carry.
    pub fn new(combine: C, slicing: Option<Slicing>) -> Self {
        Self {
            combine,
            slicing,
            slices: BTreeMap::new(),
            current: Current { slice: NOWHERE, table: KeyTable::default(), is_late: false },
            next_end: i64::MIN,
            firing: None,
            watermark: Timestamp::MIN,
            default_key: None,
            touched: false,
            feed: PhantomData,
        }
    }

    /// Emits the aggregate of nothing, under `key`, if the input ends without any element.
    #[must_use]
    pub fn with_default(mut self, key: K) -> Self {
        self.default_key = Some(key);
        self
    }

    fn switch_to(&mut self, slice: Window) {
        self.put_current_away();
        let last_end =
            self.slicing.map_or(slice.end.as_micros(), |slicing| slicing.last_end(slice));
        self.current = Current {
            slice,
            table: self.slices.remove(&slice).unwrap_or_default(),
            is_late: last_end.saturating_sub(1) < self.watermark.as_micros(),
        };
    }

    fn put_current_away(&mut self) {
        let table = std::mem::take(&mut self.current.table);
        if !table.is_empty() {
            self.slices.insert(self.current.slice, table);
        }
        self.current.slice = NOWHERE;
    }

    // Without `always` the compiler keeps the whole hot loop's state in memory for the call: 20 % of query 5.
    #[inline(always)]
    fn add<In>(
        &mut self,
        timestamp: Timestamp,
        at: Option<WindowedPane>,
        (key, input): Kv<K, In>,
        out: &mut Output<'_, Kv<K, C::Output>>,
    ) where
        In: Send + 'static,
        F: Feed<In, C, V>,
    {
        if self.current.is_late {
            return drop_late(timestamp, at, (key, input), out);
        }
        let combine = &self.combine;
        let accumulator = self.current.table.entry(key, || combine.create_accumulator());
        F::feed(combine, accumulator, input);
    }

    /// The next window that the watermark has closed, its aggregates ready to be emitted.
    fn close_next(&mut self) -> Option<Firing<K, C::Accumulator>> {
        match self.slicing {
            Some(slicing) if !slicing.is_one_slice() => self.close_sliding(slicing),
            _ => {
                let (window, _) = self.slices.first_key_value()?;
                if window.max_timestamp() >= self.watermark {
                    return None;
                }
                let (window, table) = self.slices.pop_first()?;
                Some(Firing { window, rest: table.into_iter() })
            }
        }
    }

    fn close_sliding(&mut self, slicing: Slicing) -> Option<Firing<K, C::Accumulator>> {
        loop {
            let (&first, _) = self.slices.first_key_value()?;
            let end = self.next_end.max(slicing.first_end(first));
            if end.saturating_sub(1) >= self.watermark.as_micros() {
                return None;
            }
            let closed = window(end.saturating_sub(slicing.size), end);
            let merged = self.merge_slices(closed);
            self.next_end = end.saturating_add(slicing.period);
            self.drop_slices_before(self.next_end.saturating_sub(slicing.size));
            if !merged.is_empty() {
                return Some(Firing { window: closed, rest: merged.into_iter() });
            }
        }
    }

    fn merge_slices(&self, closed: Window) -> KeyTable<K, C::Accumulator> {
        let in_window = self
            .slices
            .iter()
            .filter(|(slice, _)| slice.start >= closed.start && slice.end <= closed.end);
        let mut tables: Vec<_> = in_window.map(|(_, table)| table).collect();
        tables.sort_by_key(|table| std::cmp::Reverse(table.len()));
        let Some((largest, others)) = tables.split_first() else { return KeyTable::default() };
        let mut merged = (*largest).clone();
        for (key, accumulator) in others.iter().flat_map(|table| table.iter()) {
            let into = merged.entry(key.clone(), || self.combine.create_accumulator());
            self.combine.merge(into, accumulator.clone());
        }
        merged
    }

    fn drop_slices_before(&mut self, start: i64) {
        while let Some((slice, _)) = self.slices.first_key_value() {
            if slice.start.as_micros() >= start {
                break;
            }
            self.slices.pop_first();
        }
    }

    /// Emits what is left of a firing; false when the outbox filled up before the end.
    fn emit_firing(
        &self,
        firing: &mut Firing<K, C::Accumulator>,
        out: &mut Output<'_, Kv<K, C::Output>>,
    ) -> bool {
        let at = WindowedPane { window: firing.window, pane: ONLY_PANE };
        let timestamp = firing.window.max_timestamp();
        let chunk = Batch::<Kv<K, C::Output>>::stage_len();
        loop {
            for (key, accumulator) in firing.rest.by_ref().take(chunk) {
                let output = self.combine.extract_output(&accumulator);
                out.batch().push_windowed(timestamp, at, (key, output));
            }
            out.flush();
            if firing.rest.len() == 0 {
                return true;
            }
            if out.is_full() {
                return false;
            }
        }
    }

    fn emit_default(&mut self, out: &mut Output<'_, Kv<K, C::Output>>) {
        if let Some(key) = self.default_key.take().filter(|_| !self.touched) {
            self.touched = true;
            let nothing = self.combine.extract_output(&self.combine.create_accumulator());
            let at = WindowedPane { window: Window::GLOBAL, pane: ONLY_PANE };
            out.emit_windowed(Window::GLOBAL.max_timestamp(), at, (key, nothing));
        }
    }
}

impl<K, V, In, C, F> Operator<Kv<K, In>> for Sliced<K, V, C, F>
where
    K: Key,
    V: 'static,
    In: Send + 'static,
    C: CombineFn<V>,
    F: Feed<In, C, V>,
{
    type Out = Kv<K, C::Output>;

    fn on_batch(
        &mut self,
        input: &mut Batch<Kv<K, In>>,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<(), BoxError> {
        self.touched |= !input.is_empty();
        match self.slicing {
            Some(slicing) => {
                for (timestamp, value) in input.timestamps.drain(..).zip(input.values.drain(..)) {
                    if !self.current.slice.contains(timestamp) {
                        self.switch_to(slicing.slice_of(timestamp));
                    }
                    self.add(timestamp, None, value, out);
                }
                input.unassign();
            }
            None => {
                for (timestamp, at, value) in input.drain() {
                    let slice = at.map_or(Window::GLOBAL, |at| at.window);
                    if self.current.slice != slice {
                        self.switch_to(slice);
                    }
                    self.add(timestamp, at, value, out);
                }
            }
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<Progress, BoxError> {
        if watermark > self.watermark {
            self.watermark = watermark;
            if self.current.slice.end <= watermark {
                self.put_current_away();
            }
        }
        while let Some(mut firing) = self.firing.take().or_else(|| self.close_next()) {
            if !self.emit_firing(&mut firing, out) {
                self.firing = Some(firing);
                return Ok(Progress::Pending);
            }
        }
        if watermark == Timestamp::MAX {
            self.emit_default(out);
        }
        Ok(Progress::Done)
    }

    fn own(&mut self, share: Share) {
        self.default_key = self.default_key.take().filter(|key| share.owns(key_hash(key)));
    }

    fn snapshot(&mut self, writer: &mut SnapshotWriter) -> Result<()> {
        self.put_current_away();
        for (slice, table) in &self.slices {
            let entries = table
                .iter()
                .map(|(key, accumulator)| (key_group(key_hash(key)), (slice, key, accumulator)));
            writer.put_all("slices", entries)?;
        }
        writer.put_unkeyed("next_end", &(self.next_end, self.watermark))?;
        writer.put_unkeyed("touched", &self.touched)
    }

    fn restore(&mut self, state: &StepState<'_>, share: Share) -> Result<()> {
        for (slice, key, accumulator) in state.values::<(Window, K, C::Accumulator)>("slices")? {
            if share.owns(key_hash(&key)) {
                self.slices.entry(slice).or_default().entry(key, || accumulator);
            }
        }
        let times = state.values::<(i64, Timestamp)>("next_end")?;
        let least = times.iter().map(|(_, at)| *at).min().unwrap_or(Timestamp::MIN);
        self.watermark = resumed(least);
        if self.watermark == least || !self.slices.is_empty() {
            self.next_end = times.iter().map(|(end, _)| *end).max().unwrap_or(i64::MIN);
        }
        if state.values::<bool>("touched")?.contains(&true) {
            self.touched = true;
        }
        Ok(())
    }
}

impl<K, V, C: CombineFn<V>, F> std::fmt::Debug for Sliced<K, V, C, F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sliced")
            .field("slicing", &self.slicing)
            .field("slices", &self.slices.len())
            .finish_non_exhaustive()
    }
}
