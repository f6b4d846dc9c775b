//! A running aggregate per key: the fast path for `Repeatedly(AfterCount(1))`, accumulating, in the global window.

use std::marker::PhantomData;

use crate::batch::{Batch, WindowedPane};
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
            of: PhantomData,
        }
    }

    fn next_pane(&mut self, key: &K) -> PaneInfo {
        let fired = self.panes.entry(key.clone(), || 0);
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
        input.timestamps.clear();
        input.unassign();
        for (key, value) in input.values.drain(..) {
            let pane = if self.panes_observed { self.next_pane(&key) } else { early };
            let combine = &self.combine;
            let accumulator = self.table.entry(key.clone(), || combine.create_accumulator());
            combine.add_input(accumulator, value);
            let output = combine.extract_output(accumulator);
            let at = WindowedPane { window: Window::GLOBAL, pane };
            out.batch().push_windowed(timestamp, at, (key, output));
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
