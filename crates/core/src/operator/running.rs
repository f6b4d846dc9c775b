//! A running aggregate per key: the fast path for `Repeatedly(AfterCount(1))`, accumulating, in the global window.

use std::marker::PhantomData;

use crate::batch::{Batch, Panes, WindowedPane};
use crate::coder::{Key, Kv};
use crate::combine::CombineFn;
use crate::error::{BoxError, Result};
use crate::operator::output::Output;
use crate::operator::seam::{Operator, Share};
use crate::operator::table::KeyTable;
use crate::pane::{PaneInfo, Timing};
use crate::state::{SnapshotWriter, StepState, key_group, key_hash};
use crate::windowing::Window;

/// Emits the aggregate of a key with each of its elements.
#[derive(Debug)]
pub struct Running<K, V, C: CombineFn<V>> {
    combine: C,
    /// Whether anything downstream looks at panes; if not, their numbers are neither kept nor written.
    panes_observed: bool,
    table: KeyTable<K, C::Accumulator>,
    panes: KeyTable<K, u64>,
    hashes: Vec<u64>,
    of: PhantomData<fn(V)>,
}

impl<K: Key, V, C: CombineFn<V>> Running<K, V, C> {
    /// A running aggregate; `panes_observed` says whether panes must be numbered.
    pub fn new(combine: C, panes_observed: bool) -> Self {
        Self {
            combine,
            panes_observed,
            table: KeyTable::default(),
            panes: KeyTable::default(),
            hashes: Vec::new(),
            of: PhantomData,
        }
    }
}

fn next_pane<K: Key>(panes: &mut KeyTable<K, u64>, key: &K) -> PaneInfo {
    let fired = panes.entry(key.clone(), || 0);
    let index = *fired;
    *fired += 1;
    PaneInfo {
        index,
        timing: Timing::Early,
        is_first: index == 0,
        is_last: false,
        ..PaneInfo::NO_FIRING
    }
}

impl<K: Key, V: Send + 'static, C: CombineFn<V>> Operator<Kv<K, V>> for Running<K, V, C> {
    type Out = Kv<K, C::Output>;

    fn on_batch(
        &mut self,
        input: &mut Batch<Kv<K, V>>,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<(), BoxError> {
        let timestamp = Window::GLOBAL.max_timestamp();
        let early = PaneInfo { timing: Timing::Early, is_last: false, ..PaneInfo::NO_FIRING };
        input.unassign();
        let results = out.batch();
        // All hashes first: the table's cache misses then overlap.
        self.hashes.clear();
        self.hashes.extend(input.values.iter().map(|(key, _)| key_hash(key)));
        for ((key, value), hash) in input.values.drain(..).zip(&self.hashes) {
            let combine = &self.combine;
            let create = || combine.create_accumulator();
            let accumulator = self.table.entry_hashed(*hash, key.clone(), create);
            combine.add_input(accumulator, value);
            results.values.push((key, combine.extract_output(accumulator)));
        }
        results.timestamps.resize(results.values.len(), timestamp);
        input.timestamps.clear();
        let at = |pane| WindowedPane { window: Window::GLOBAL, pane };
        if self.panes_observed {
            let keys = results.values.iter().map(|(key, _)| key);
            results.panes =
                Panes::Each(keys.map(|key| at(next_pane(&mut self.panes, key))).collect());
        } else {
            results.assign_all(at(early));
        }
        Ok(())
    }

    fn snapshot(&mut self, writer: &mut SnapshotWriter) -> Result<()> {
        let group = |key: &K| key_group(key_hash(key));
        writer.put_all("accumulators", self.table.iter().map(|entry| (group(&entry.0), entry)))?;
        writer.put_all("panes", self.panes.iter().map(|entry| (group(&entry.0), entry)))
    }

    fn restore(&mut self, state: &StepState<'_>, share: Share) -> Result<()> {
        for (key, accumulator) in state.values::<(K, C::Accumulator)>("accumulators")? {
            if share.owns(key_hash(&key)) {
                self.table.entry(key, || accumulator);
            }
        }
        for (key, fired) in state.values::<(K, u64)>("panes")? {
            if share.owns(key_hash(&key)) {
                self.panes.entry(key, || fired);
            }
        }
        Ok(())
    }
}
