//! [`Observed`]: a sink that reports what it writes, and when that became visible; it changes nothing about the writing.
//!
//! An element is visible when the commit of its epoch is done. Elements whose time of origin is known are kept, per epoch, as counts
//! by millisecond, not one by one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use millstream::batch::Batch;
use millstream::io::IoContext;
use millstream::sink::{Epoch, ShardBy, Sink, SinkWriter, WriteContext};
use millstream::{BoxError, Data, Timestamp};

use crate::histogram::Histogram;

type See<T> = dyn Fn(&T) + Send + Sync;
type Origin<T> = dyn Fn(&T) -> Option<Timestamp> + Send + Sync;
type Report = dyn Fn(Timestamp, &Histogram) + Send + Sync;

/// What is told of elements.
pub struct Observer<T> {
    see: Arc<See<T>>,
    latency: Option<(Arc<Origin<T>>, Arc<Report>)>,
}

impl<T> Observer<T> {
    /// Calls `see` with each element that is written.
    pub fn new(see: impl Fn(&T) + Send + Sync + 'static) -> Self {
        Self { see: Arc::new(see), latency: None }
    }

    /// Calls `report` with the time at which the elements of an epoch became visible, and how long each took from its `origin`
    /// until then.
    #[must_use]
    pub fn visible(
        mut self,
        origin: impl Fn(&T) -> Option<Timestamp> + Send + Sync + 'static,
        report: impl Fn(Timestamp, &Histogram) + Send + Sync + 'static,
    ) -> Self {
        self.latency = Some((Arc::new(origin), Arc::new(report)));
        self
    }
}

impl<T> Clone for Observer<T> {
    fn clone(&self) -> Self {
        Self { see: Arc::clone(&self.see), latency: self.latency.clone() }
    }
}

impl<T> fmt::Debug for Observer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observer")
    }
}

/// A sink that reports what it writes.
#[derive(Clone, Debug)]
pub struct Observed<S, T> {
    sink: S,
    observer: Observer<T>,
}

impl<S, T> Observed<S, T> {
    /// Tells `observer` what `sink` writes.
    pub const fn new(sink: S, observer: Observer<T>) -> Self {
        Self { sink, observer }
    }
}

impl<T: Data, S: Sink<T>> Sink<T> for Observed<S, T> {
    type Writer = ObservedWriter<S::Writer, T>;

    fn writer(&self, ctx: &IoContext) -> Result<Self::Writer, BoxError> {
        Ok(ObservedWriter {
            writer: self.sink.writer(ctx)?,
            observer: self.observer.clone(),
            seen: 0,
            origins: Vec::new(),
            current: Origins::default(),
            epochs: BTreeMap::new(),
            committing: Vec::new(),
        })
    }

    fn shard_by(&self) -> Option<ShardBy<T>> {
        self.sink.shard_by()
    }

    fn may_refuse(&self) -> bool {
        self.sink.may_refuse()
    }
}

/// How many elements have which origin, in milliseconds since the epoch.
type Origins = BTreeMap<i64, u64>;

/// The writer of an [`Observed`] sink.
#[derive(Debug)]
pub struct ObservedWriter<W, T> {
    writer: W,
    observer: Observer<T>,
    /// How many elements at the front of the next batch were seen before.
    seen: usize,
    /// Origins of the elements in the batch at hand.
    origins: Vec<Option<i64>>,
    current: Origins,
    epochs: BTreeMap<Epoch, Origins>,
    /// What becomes visible with the commits under way.
    committing: Vec<Origins>,
}

impl<W, T> ObservedWriter<W, T> {
    fn look(&mut self, batch: &Batch<T>) {
        for element in &batch.values()[self.seen.min(batch.len())..] {
            (self.observer.see)(element);
            if let Some((origin, _)) = &self.observer.latency {
                self.origins.push(origin(element).map(Timestamp::as_millis));
            }
        }
    }

    /// `taken` elements of the batch that was looked at were taken, `left` remain.
    fn note(&mut self, taken: usize, left: usize) {
        self.seen = left;
        let taken = taken.min(self.origins.len());
        for origin in self.origins.drain(..taken).flatten() {
            *self.current.entry(origin).or_default() += 1;
        }
    }

    fn report(&mut self, now: Timestamp) {
        let Some((_, report)) = &self.observer.latency else { return };
        let mut latencies = Histogram::default();
        for (millis, count) in self.committing.drain(..).flatten() {
            latencies.record(now.since(Timestamp::from_millis(millis)), count);
        }
        if latencies.count() > 0 {
            report(now, &latencies);
        }
    }
}

impl<T: Data, W: SinkWriter<T>> SinkWriter<T> for ObservedWriter<W, T> {
    type Committable = W::Committable;

    fn write(&mut self, batch: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        self.look(batch);
        let before = batch.len();
        let written = self.writer.write(batch, ctx);
        self.note(before - batch.len(), batch.len());
        written
    }

    fn poll(&mut self, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        self.writer.poll(ctx)
    }

    fn poll_prepare(
        &mut self,
        epoch: Epoch,
        ctx: &mut WriteContext<'_>,
    ) -> Poll<Result<Self::Committable, BoxError>> {
        let prepared = self.writer.poll_prepare(epoch, ctx);
        if prepared.is_ready() {
            self.epochs.insert(epoch, std::mem::take(&mut self.current));
        }
        prepared
    }

    fn commit(
        &mut self,
        epoch: Epoch,
        committable: Self::Committable,
        restored: bool,
    ) -> Result<(), BoxError> {
        self.committing.extend(self.epochs.remove(&epoch));
        self.writer.commit(epoch, committable, restored)
    }

    fn poll_committed(&mut self, ctx: &mut WriteContext<'_>) -> Poll<Result<(), BoxError>> {
        let committed = self.writer.poll_committed(ctx);
        if matches!(committed, Poll::Ready(Ok(()))) {
            self.report(ctx.now());
        }
        committed
    }

    fn bytes_written(&self) -> u64 {
        self.writer.bytes_written()
    }

    fn retries(&self) -> u64 {
        self.writer.retries()
    }
}
