//! Aggregation in front of an exchange: [`PreCombine`] sends one accumulator per key and slice instead of every element.
//!
//! The table is small and flushed often: when it is full, when its slice changes, before every watermark and barrier and at
//! the end of each bundle. So it only ever saves work; a stream of distinct keys passes through it unchanged but for its wrapping.

use std::marker::PhantomData;

use crate::batch::{Batch, WindowedPane};
use crate::coder::{Key, Kv};
use crate::combine::CombineFn;
use crate::error::{BoxError, Result};
use crate::operator::output::Output;
use crate::operator::seam::{Operator, Progress};
use crate::operator::sliced::Slicing;
use crate::operator::table::KeyTable;
use crate::state::SnapshotWriter;
use crate::time::Timestamp;
use crate::windowing::Window;

/// Keys after which the table is flushed: 4,096 entries of 32 bytes stay in a second-level cache.
const KEYS_MAX: usize = 4_096;

/// Aggregates per key and slice within a bundle.
#[derive(Debug)]
pub struct PreCombine<K, V, C: CombineFn<V>> {
    combine: C,
    slicing: Option<Slicing>,
    slice: Option<Window>,
    at: Option<WindowedPane>,
    timestamp: Timestamp,
    table: KeyTable<K, C::Accumulator>,
    of: PhantomData<fn(V)>,
}

impl<K: Key, V, C: CombineFn<V>> PreCombine<K, V, C> {
    /// Aggregates in the slices that the combine behind the exchange uses.
    pub fn new(combine: C, slicing: Option<Slicing>) -> Self {
        Self {
            combine,
            slicing,
            slice: None,
            at: None,
            timestamp: Timestamp::MIN,
            table: KeyTable::default(),
            of: PhantomData,
        }
    }

    fn flush(&mut self, out: &mut Output<'_, Kv<K, C::Accumulator>>) {
        for entry in self.table.drain() {
            out.emit_at(self.timestamp, self.at, entry);
        }
        self.slice = None;
    }

    fn slice_of(&self, timestamp: Timestamp, at: Option<WindowedPane>) -> Window {
        match self.slicing {
            Some(slicing) => slicing.slice_of(timestamp),
            None => at.map_or(Window::GLOBAL, |at| at.window),
        }
    }
}

impl<K: Key, V: Send + 'static, C: CombineFn<V>> Operator<Kv<K, V>> for PreCombine<K, V, C> {
    type Out = Kv<K, C::Accumulator>;

    fn on_batch(
        &mut self,
        input: &mut Batch<Kv<K, V>>,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<(), BoxError> {
        for (timestamp, at, (key, value)) in input.drain() {
            let slice = self.slice_of(timestamp, at);
            if self.slice != Some(slice) {
                self.flush(out);
                self.slice = Some(slice);
                self.at = if self.slicing.is_some() { None } else { at };
                self.timestamp = timestamp;
            }
            // All elements of a slice are in the same windows, so any of their times stands for it; the latest is the
            // last to be found late.
            self.timestamp = self.timestamp.max(timestamp);
            let combine = &self.combine;
            let accumulator = self.table.entry(key, || combine.create_accumulator());
            combine.add_input(accumulator, value);
            if self.table.len() >= KEYS_MAX {
                self.flush(out);
            }
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        _watermark: Timestamp,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<Progress, BoxError> {
        self.flush(out);
        Ok(Progress::Done)
    }

    fn finish_bundle(&mut self, out: &mut Output<'_, Self::Out>) -> Result<(), BoxError> {
        self.flush(out);
        Ok(())
    }

    fn snapshot(&mut self, _writer: &mut SnapshotWriter) -> Result<()> {
        assert!(self.table.is_empty(), "a bundle is finished before a barrier passes");
        Ok(())
    }
}
