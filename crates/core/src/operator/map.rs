//! Element-wise operators made of closures: map, filter, filter_map, flat_map, and what changes times and windows.

use std::sync::Arc;

use crate::batch::{Batch, WindowedPane};
use crate::error::BoxError;
use crate::operator::output::Output;
use crate::operator::seam::Operator;
use crate::pane::PaneInfo;
use crate::time::Timestamp;
use crate::windowing::{Window, WindowFn};

/// Turns each element into another.
#[derive(Clone, Debug)]
pub struct Map<F>(pub F);

impl<T, U: Send + 'static, F: FnMut(T) -> U + Send> Operator<T> for Map<F> {
    type Out = U;

    #[inline]
    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, U>) -> Result<(), BoxError> {
        input.map_into(out.batch(), &mut self.0);
        Ok(())
    }
}

/// Keeps the elements a predicate accepts.
#[derive(Clone, Debug)]
pub struct Filter<F>(pub F);

impl<T: Send + 'static, F: FnMut(&T) -> bool + Send> Operator<T> for Filter<F> {
    type Out = T;

    #[inline]
    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, T>) -> Result<(), BoxError> {
        input.retain(&mut self.0);
        std::mem::swap(input, out.batch());
        Ok(())
    }
}

/// Turns each element into another or drops it.
#[derive(Clone, Debug)]
pub struct FilterMap<F>(pub F);

impl<T, U: Send + 'static, F: FnMut(T) -> Option<U> + Send> Operator<T> for FilterMap<F> {
    type Out = U;

    #[inline]
    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, U>) -> Result<(), BoxError> {
        input.filter_map_into(out.batch(), &mut self.0);
        Ok(())
    }
}

/// Turns each element into any number of others.
#[derive(Clone, Debug)]
pub struct FlatMap<F>(pub F);

impl<T, I, F> Operator<T> for FlatMap<F>
where
    I: IntoIterator,
    I::Item: Send + 'static,
    F: FnMut(T) -> I + Send,
{
    type Out = I::Item;

    fn on_batch(
        &mut self,
        input: &mut Batch<T>,
        out: &mut Output<'_, I::Item>,
    ) -> Result<(), BoxError> {
        for (timestamp, at, value) in input.drain() {
            for value in (self.0)(value) {
                out.emit_at(timestamp, at, value);
            }
        }
        Ok(())
    }
}

/// Gives each element a new event time.
#[derive(Clone, Debug)]
pub struct WithTimestamps<F>(pub F);

impl<T: Send + 'static, F: FnMut(&T) -> Timestamp + Send> Operator<T> for WithTimestamps<F> {
    type Out = T;

    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, T>) -> Result<(), BoxError> {
        for (timestamp, value) in input.timestamps.iter_mut().zip(&input.values) {
            *timestamp = (self.0)(value);
        }
        std::mem::swap(input, out.batch());
        Ok(())
    }
}

/// Forgets assigned windows, where a new windowing strategy begins.
#[derive(Clone, Copy, Debug)]
pub struct Rewindow;

impl<T: Send + 'static> Operator<T> for Rewindow {
    type Out = T;

    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, T>) -> Result<(), BoxError> {
        input.unassign();
        std::mem::swap(input, out.batch());
        Ok(())
    }
}

/// Assigns windows to elements that have none: one output element for each window of an element.
#[derive(Clone, Debug)]
pub struct AssignWindows {
    window_fn: Arc<dyn WindowFn>,
    windows: Vec<Window>,
}

impl AssignWindows {
    /// Assigns the windows of `window_fn`.
    #[must_use]
    pub fn new(window_fn: Arc<dyn WindowFn>) -> Self {
        Self { window_fn, windows: Vec::new() }
    }
}

impl<T: Clone + Send + 'static> Operator<T> for AssignWindows {
    type Out = T;

    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, T>) -> Result<(), BoxError> {
        if input.is_assigned() {
            std::mem::swap(input, out.batch());
            return Ok(());
        }
        for (timestamp, _, value) in input.drain() {
            self.windows.clear();
            self.window_fn.assign(timestamp, &mut self.windows);
            let Some((last, others)) = self.windows.split_last() else { continue };
            let at = |window: &Window| WindowedPane { window: *window, pane: PaneInfo::NO_FIRING };
            for window in others {
                out.emit_windowed(timestamp, at(window), value.clone());
            }
            out.emit_windowed(timestamp, at(last), value);
        }
        Ok(())
    }
}

/// Hands elements on as they are.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl<T: Send + 'static> Operator<T> for Identity {
    type Out = T;

    fn on_batch(&mut self, input: &mut Batch<T>, out: &mut Output<'_, T>) -> Result<(), BoxError> {
        std::mem::swap(input, out.batch());
        Ok(())
    }
}

/// Pairs each element with its event time, window and pane.
#[derive(Clone, Copy, Debug)]
pub struct Reify;

/// An element with what the stream says about it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reified<T> {
    /// The element.
    pub value: T,
    /// Its event time.
    pub timestamp: Timestamp,
    /// Its window.
    pub window: Window,
    /// The firing that emitted it.
    pub pane: PaneInfo,
}

impl<T: Send + 'static> Operator<T> for Reify {
    type Out = Reified<T>;

    fn on_batch(
        &mut self,
        input: &mut Batch<T>,
        out: &mut Output<'_, Reified<T>>,
    ) -> Result<(), BoxError> {
        for (timestamp, at, value) in input.drain() {
            let WindowedPane { window, pane } = at.unwrap_or(WindowedPane::GLOBAL);
            out.emit_at(timestamp, at, Reified { value, timestamp, window, pane });
        }
        Ok(())
    }
}
