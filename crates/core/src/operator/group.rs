//! The general window operator: any trigger, merging windows, lateness, accumulation. [`GroupWindows`].
//!
//! It is Beam's `ReduceFnRunner` over batches. A window closes when the input watermark is past its last instant; it
//! expires when the watermark is past the allowed lateness, too. Triggers are asked once a batch, not once an element, as
//! Beam asks them once a bundle: so which panes a count cuts depends on the batches, what they add up to does not.
//!
//! State is window by window where windows do not merge (`plain`), key by key where they do (`merging`); what a
//! pane decides is the same for both (`grouping`, `firing`).

mod alarms;
mod firing;
mod grouping;
mod key_slab;
mod merging;
mod pane;
mod plain;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::batch::Batch;
use crate::coder::{Data, Key, Kv};
use crate::combine::CombineFn;
use crate::error::{BoxError, Result};
use crate::operator::group::grouping::Grouping;
use crate::operator::group::merging::Merging;
use crate::operator::group::plain::Plain;
use crate::operator::output::Output;
use crate::operator::seam::{Operator, Progress, Share, resumed};
use crate::state::{SnapshotWriter, StepState};
use crate::time::Timestamp;
use crate::windowing::WindowingStrategy;

/// Number of the output for elements that came too late for all of their windows: those had expired, or their triggers had
/// finished. [`Counter::Late`](crate::metrics::Counter::Late) counts an element once for each window that it missed.
pub const LATE: usize = 0;

/// Name of the cell with the input and the output watermark.
const WATERMARKS: &str = "watermarks";

/// Combines the values of each key and window under any windowing strategy.
///
/// In retracting mode each pane is preceded by an element of [`Sign::Retract`](crate::pane::Sign::Retract) with the
/// value of the pane before.
pub struct GroupWindows<K, V, C: CombineFn<V>> {
    grouping: Grouping<V, C>,
    panes: Panes<K, V, C>,
    is_assigned: bool,
}

enum Panes<K, V, C: CombineFn<V>> {
    Plain(Plain<K, V, C>),
    Merging(Merging<K, V, C>),
}

impl<K: Key, V: Data, C: CombineFn<V>> GroupWindows<K, V, C> {
    /// A grouping under `strategy`. `is_assigned`: elements carry their windows, which are taken as they are and do not merge.
    #[must_use]
    pub fn new(combine: C, strategy: WindowingStrategy, is_assigned: bool) -> Self {
        let is_merging = strategy.window_fn.is_merging() && !is_assigned;
        let panes = if is_merging {
            Panes::Merging(Merging::new())
        } else {
            let window_fn = &strategy.window_fn;
            let slices = window_fn.slices();
            let is_partition =
                window_fn.is_global() || slices.is_some_and(|slices| slices.size == slices.period);
            Panes::Plain(Plain::new(is_partition))
        };
        Self { grouping: Grouping::new(combine, strategy, is_merging), panes, is_assigned }
    }

    /// Number of panes that are kept, one for each key and window that has not expired.
    #[must_use]
    pub fn panes(&self) -> usize {
        match &self.panes {
            Panes::Plain(panes) => panes.len(),
            Panes::Merging(panes) => panes.len(),
        }
    }

    /// Retractions that come in would have to be subtracted, which a [`CombineFn`] cannot.
    fn refuse_retractions(&self, input: &Batch<Kv<K, V>>) -> Result<(), BoxError> {
        let is_retraction = |index| input.windowed(index).is_some_and(|at| at.pane.is_retraction());
        if self.is_assigned && (0..input.len()).any(is_retraction) {
            return Err("a retraction came in, and a CombineFn cannot take an input back: use \
                        accumulating or discarding mode in front of this grouping"
                .into());
        }
        Ok(())
    }
}

impl<K: Key, V: Data, C: CombineFn<V>> Operator<Kv<K, V>> for GroupWindows<K, V, C> {
    type Out = Kv<K, C::Output>;

    fn on_batch(
        &mut self,
        input: &mut Batch<Kv<K, V>>,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<(), BoxError> {
        self.refuse_retractions(input)?;
        self.grouping.now = out.now();
        match &mut self.panes {
            Panes::Plain(panes) => {
                panes.add_batch(&mut self.grouping, self.is_assigned, input, out);
            }
            Panes::Merging(panes) => panes.add_batch(&mut self.grouping, input, out)?,
        }
        Ok(())
    }

    fn on_watermark(
        &mut self,
        watermark: Timestamp,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<Progress, BoxError> {
        let Self { grouping, panes, .. } = self;
        grouping.now = out.now();
        if watermark > grouping.watermark {
            let previous = std::mem::replace(&mut grouping.watermark, watermark);
            match panes {
                Panes::Plain(panes) => panes.begin_round(grouping, previous),
                Panes::Merging(panes) => panes.begin_round(grouping, previous),
            }
        }
        let progress = match panes {
            Panes::Plain(panes) => panes.run_round(grouping, out),
            Panes::Merging(panes) => panes.run_round(grouping, out),
        };
        if progress == Progress::Done {
            grouping.settle();
        }
        Ok(progress)
    }

    fn on_time(
        &mut self,
        now: Timestamp,
        out: &mut Output<'_, Self::Out>,
    ) -> Result<Progress, BoxError> {
        let Self { grouping, panes, .. } = self;
        grouping.now = now;
        let progress = match panes {
            Panes::Plain(panes) => panes.wake(grouping, out),
            Panes::Merging(panes) => panes.wake(grouping, out),
        };
        if progress == Progress::Done {
            grouping.settle();
        }
        Ok(progress)
    }

    fn wake_at(&self) -> Option<Timestamp> {
        match &self.panes {
            Panes::Plain(panes) => panes.wake_at(),
            Panes::Merging(panes) => panes.wake_at(),
        }
    }

    fn hold(&self) -> Timestamp {
        self.grouping.holds.least()
    }

    fn snapshot(&mut self, writer: &mut SnapshotWriter) -> Result<()> {
        let watermarks = (self.grouping.watermark, self.grouping.output_watermark);
        writer.put_unkeyed(WATERMARKS, &watermarks)?;
        match &self.panes {
            Panes::Plain(panes) => panes.snapshot(writer),
            Panes::Merging(panes) => panes.snapshot(writer),
        }
    }

    fn restore(&mut self, state: &StepState<'_>, share: Share) -> Result<()> {
        let Self { grouping, panes, .. } = self;
        let watermarks = state.values::<(Timestamp, Timestamp)>(WATERMARKS)?;
        let least = |of: fn(&(Timestamp, Timestamp)) -> Timestamp| {
            watermarks.iter().map(of).min().map_or(Timestamp::MIN, resumed)
        };
        grouping.watermark = least(|(input, _)| *input);
        grouping.output_watermark = least(|(_, output)| *output);
        match panes {
            Panes::Plain(panes) => panes.restore(grouping, state, share),
            Panes::Merging(panes) => panes.restore(grouping, state, share),
        }
    }
}

impl<K, V, C: CombineFn<V>> fmt::Debug for GroupWindows<K, V, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupWindows")
            .field("strategy", &self.grouping.strategy)
            .field("watermark", &self.grouping.watermark)
            .finish_non_exhaustive()
    }
}
