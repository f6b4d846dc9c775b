//! [`Output`]: where an operator writes its elements, and [`Port`], the further outputs beside the main one.

use std::any::Any;
use std::fmt;

use crate::batch::{Batch, WindowedPane};
use crate::error::Result;
use crate::metrics::{Counter, StepCounters};
use crate::operator::link::Push;
use crate::operator::seam::{Progress, Signal, StageContext};
use crate::time::Timestamp;

/// The main output of a step while the step is called, with its further outputs.
///
/// Elements collect in a batch of cache size; it is handed on when full and when the call ends.
pub struct Output<'a, T> {
    pub(crate) batch: &'a mut Batch<T>,
    pub(crate) next: &'a mut dyn Push<T>,
    pub(crate) sides: &'a mut [Box<dyn SidePort>],
    pub(crate) ctx: &'a mut StageContext,
    pub(crate) counters: &'a StepCounters,
    pub(crate) watermark: Timestamp,
    pub(crate) failure: &'a mut Option<crate::Error>,
    pub(crate) index: usize,
}

impl<T: Send + 'static> Output<'_, T> {
    /// The batch under construction, for operators that write whole columns. Empty when the call starts.
    #[inline]
    pub fn batch(&mut self) -> &mut Batch<T> {
        self.batch
    }

    /// Emits an element whose window is not assigned.
    #[inline]
    pub fn emit(&mut self, timestamp: Timestamp, value: T) {
        self.batch.push(timestamp, value);
        self.flush_if_full();
    }

    /// Emits an element of one window and pane.
    #[inline]
    pub fn emit_windowed(&mut self, timestamp: Timestamp, at: WindowedPane, value: T) {
        self.batch.push_windowed(timestamp, at, value);
        self.flush_if_full();
    }

    /// Emits an element with the window and pane given, if any.
    #[inline]
    pub fn emit_at(&mut self, timestamp: Timestamp, at: Option<WindowedPane>, value: T) {
        match at {
            Some(at) => self.emit_windowed(timestamp, at, value),
            None => self.emit(timestamp, value),
        }
    }

    /// Hands the batch on when it has reached its size; for operators that fill [`Output::batch`] in loops.
    #[inline]
    pub fn flush_if_full(&mut self) {
        if self.batch.len() >= Batch::<T>::stage_len() {
            self.flush();
        }
    }

    /// Hands on what was emitted so far. A failure further down ends the call when the operator returns.
    pub fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.counters.add(Counter::RecordsOut, self.batch.len() as u64);
        if self.failure.is_none()
            && let Err(error) = self.next.push(self.batch, self.ctx)
        {
            *self.failure = Some(error);
        }
        self.ctx.current = self.index;
        self.batch.clear();
    }

    /// Whether the operator should return [`Progress::Pending`] as soon as it has made some progress.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ctx.full
    }

    /// The processing time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ctx.now
    }

    /// The input watermark of the step.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Adds to one of the step's counters.
    pub fn count(&self, counter: Counter, count: u64) {
        self.counters.add(counter, count);
    }

    /// Emits an element to the step's further output number `index`. One that nobody reads takes no notice.
    ///
    /// # Panics
    /// When output `index` does not exist or carries another type: a bug of the operator.
    pub fn emit_side<U: Send + 'static>(
        &mut self,
        index: usize,
        timestamp: Timestamp,
        at: Option<WindowedPane>,
        value: U,
    ) {
        let port = self.sides[index].as_any();
        let port = port.downcast_mut::<Port<U>>().expect("the builder made the port of this type");
        match at {
            Some(at) => port.batch.push_windowed(timestamp, at, value),
            None => port.batch.push(timestamp, value),
        }
        if port.batch.len() >= Batch::<U>::stage_len() {
            self.flush_side(index);
        }
    }

    /// Hands on what was emitted to further output number `index`.
    fn flush_side(&mut self, index: usize) {
        if self.failure.is_none() {
            match self.sides[index].flush_port(self.ctx) {
                Ok(count) => self.counters.add(Counter::RecordsOut, count),
                Err(error) => *self.failure = Some(error),
            }
        }
    }

    /// Whether anybody reads the step's further output number `index`.
    #[must_use]
    pub fn has_side(&self, index: usize) -> bool {
        self.sides.get(index).is_some_and(|port| port.is_read())
    }
}

impl<T> fmt::Debug for Output<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Output").field("pending", &self.batch.len()).finish_non_exhaustive()
    }
}

/// A further output of a step.
pub struct Port<U> {
    batch: Batch<U>,
    next: Box<dyn Push<U>>,
    is_read: bool,
}

impl<U: Send + 'static> Port<U> {
    /// An output that feeds `next`.
    #[must_use]
    pub fn new(next: Box<dyn Push<U>>, is_read: bool) -> Self {
        Self { batch: Batch::new(), next, is_read }
    }
}

impl<U> fmt::Debug for Port<U> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Port").field("pending", &self.batch.len()).finish_non_exhaustive()
    }
}

/// A further output of any type.
pub trait SidePort: Send {
    /// For the operator, which knows the type.
    fn as_any(&mut self) -> &mut dyn Any;

    /// Its [`Batch`], for who knows the type.
    fn batch_any(&mut self) -> &mut dyn Any;

    /// Elements emitted and not handed on yet.
    fn pending(&self) -> usize;

    /// Takes elements back, so that `len` pending ones remain.
    fn truncate(&mut self, len: usize);

    /// Hands on what was emitted, and says how many elements that were.
    ///
    /// # Errors
    /// What a step further down failed with.
    fn flush_port(&mut self, ctx: &mut StageContext) -> Result<u64>;

    /// Passes a signal on.
    ///
    /// # Errors
    /// What a step further down failed with.
    fn signal_port(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress>;

    /// Whether anybody reads it.
    fn is_read(&self) -> bool;
}

impl<U: Send + 'static> SidePort for Port<U> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn batch_any(&mut self) -> &mut dyn Any {
        &mut self.batch
    }

    fn pending(&self) -> usize {
        self.batch.len()
    }

    fn truncate(&mut self, len: usize) {
        self.batch.truncate(len);
    }

    fn flush_port(&mut self, ctx: &mut StageContext) -> Result<u64> {
        let count = self.batch.len() as u64;
        if count > 0 {
            let result = self.next.push(&mut self.batch, ctx);
            self.batch.clear();
            result?;
        }
        Ok(count)
    }

    fn signal_port(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        self.next.signal(signal, ctx)
    }

    fn is_read(&self) -> bool {
        self.is_read
    }
}
