//! A table in memory that is written in two phases: [`SimTable`], and the sink that writes it.
//!
//! Rows are appended to streams and become visible when a stream is flushed to an offset, in the manner of BigQuery's buffered streams.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::sink::{Epoch, Sink, SinkWriter, WriteContext};

/// How long a stalled call waits before it is tried again.
const STALL: Duration = Duration::from_millis(20);

struct State<T> {
    rng: Rng,
    stall_percent: u8,
    streams: Vec<Stream<T>>,
}

#[derive(Clone, Debug)]
struct Stream<T> {
    rows: Vec<T>,
    flushed: usize,
    is_finalized: bool,
}

/// A table in memory; clones are the same table. It outlives the jobs that write it.
pub struct SimTable<T> {
    state: Arc<Mutex<State<T>>>,
}

impl<T> Clone for SimTable<T> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<T> fmt::Debug for SimTable<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimTable").field("streams", &self.lock().streams.len()).finish()
    }
}

impl<T> SimTable<T> {
    /// An empty table that stalls in `stall_percent` of the calls.
    #[must_use]
    pub fn new(seed: u64, stall_percent: u8) -> Self {
        let state = State { rng: Rng::with_seed(seed), stall_percent, streams: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it stalls in `percent` of the calls.
    pub fn set_stalls(&self, percent: u8) {
        self.lock().stall_percent = percent;
    }

    fn stalls(&self) -> bool {
        let state = &mut *self.lock();
        state.stall_percent > 0 && state.rng.u8(0..100) < state.stall_percent
    }
}

impl<T: Clone> SimTable<T> {
    /// The visible rows.
    #[must_use]
    pub fn rows(&self) -> Vec<T> {
        let state = self.lock();
        state.streams.iter().flat_map(|stream| stream.rows[..stream.flushed].to_vec()).collect()
    }
}

/// Writes a [`SimTable`] exactly once.
pub struct SimTableSink<T> {
    table: SimTable<T>,
}

impl<T> SimTableSink<T> {
    /// A sink into `table`.
    #[must_use]
    pub fn new(table: &SimTable<T>) -> Self {
        Self { table: table.clone() }
    }
}

impl<T> Clone for SimTableSink<T> {
    fn clone(&self) -> Self {
        Self::new(&self.table)
    }
}

impl<T> fmt::Debug for SimTableSink<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimTableSink").field("table", &self.table).finish()
    }
}

impl<T: Data> Sink<T> for SimTableSink<T> {
    type Writer = SimTableWriter<T>;

    fn writer(&self, _ctx: &IoContext) -> Result<SimTableWriter<T>, BoxError> {
        Ok(SimTableWriter {
            table: self.table.clone(),
            stream: None,
            commits: BTreeMap::new(),
            of: PhantomData,
        })
    }
}

/// Offset to flush a stream to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushTo {
    stream: usize,
    offset: usize,
    restored: bool,
}

/// Writes a share of a [`SimTable`].
#[derive(Debug)]
pub struct SimTableWriter<T> {
    table: SimTable<T>,
    stream: Option<usize>,
    commits: BTreeMap<Epoch, Vec<FlushTo>>,
    of: PhantomData<T>,
}

impl<T: Data> SinkWriter<T> for SimTableWriter<T> {
    type Committable = Option<FlushTo>;

    fn write(&mut self, batch: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        if self.table.stalls() {
            ctx.wake_at(ctx.now() + STALL);
            return Ok(());
        }
        let state = &mut *self.table.lock();
        let stream = *self.stream.get_or_insert_with(|| {
            state.streams.push(Stream { rows: Vec::new(), flushed: 0, is_finalized: false });
            state.streams.len() - 1
        });
        let stream = &mut state.streams[stream];
        if stream.is_finalized {
            return Err("append to a finalised stream".into());
        }
        stream.rows.extend(batch.drain().map(|(_, _, row)| row));
        Ok(())
    }

    fn poll_prepare(
        &mut self,
        _epoch: Epoch,
        ctx: &mut WriteContext<'_>,
    ) -> Poll<Result<Self::Committable, BoxError>> {
        if self.table.stalls() {
            ctx.wake_at(ctx.now() + STALL);
            return Poll::Pending;
        }
        let state = self.table.lock();
        let flush = |stream: usize| {
            let offset = state.streams[stream].rows.len();
            FlushTo { stream, offset, restored: false }
        };
        Poll::Ready(Ok(self.stream.map(flush)))
    }

    fn commit(
        &mut self,
        epoch: Epoch,
        committable: Self::Committable,
        restored: bool,
    ) -> Result<(), BoxError> {
        let flushes = committable.map(|flush| FlushTo { restored, ..flush });
        self.commits.entry(epoch).or_default().extend(flushes);
        Ok(())
    }

    fn poll_committed(&mut self, ctx: &mut WriteContext<'_>) -> Poll<Result<(), BoxError>> {
        while let Some(entry) = self.commits.first_entry() {
            if self.table.stalls() {
                ctx.wake_at(ctx.now() + STALL);
                return Poll::Pending;
            }
            let state = &mut *self.table.lock();
            for flush in entry.remove() {
                let stream = &mut state.streams[flush.stream];
                stream.flushed = stream.flushed.max(flush.offset);
                // A stream of an earlier life is never appended to again: its tail stays invisible.
                stream.is_finalized |= flush.restored;
            }
        }
        Poll::Ready(Ok(()))
    }
}
