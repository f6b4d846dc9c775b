//! [`DoFn`]: element-wise processing with a life cycle and several typed outputs.
//!
//! Source: Beam's `DoFn` and the "ParDo" chapter of its programming guide.
//!
//! ```
//! use millstream::dofn::{DoFn, OutputTag, ProcessContext};
//! use millstream::BoxError;
//!
//! const ODD: OutputTag<u64> = OutputTag::new("odd");
//!
//! #[derive(Clone)]
//! struct Halve;
//!
//! impl DoFn<u64> for Halve {
//!     type Out = u64;
//!
//!     fn tags(&self) -> Vec<&'static str> {
//!         vec![ODD.name()]
//!     }
//!
//!     fn process(&mut self, number: u64, ctx: &mut ProcessContext<'_, u64>) -> Result<(), BoxError> {
//!         if number % 2 == 0 {
//!             ctx.emit(number / 2);
//!         } else {
//!             ctx.emit_to(&ODD, number);
//!         }
//!         Ok(())
//!     }
//! }
//! ```

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use crate::batch::{Batch, WindowedPane};
use crate::coder::Data;
use crate::error::BoxError;
use crate::pane::PaneInfo;
use crate::time::Timestamp;
use crate::windowing::Window;

/// Element-wise processing with the whole life cycle.
///
/// Each worker works on its own clone. `setup` is called once before anything else, `start_bundle` and `finish_bundle` around
/// each run of elements (whose length the engine chooses, bounded by count and time), `teardown` at the end, also after a failure.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `DoFn` for elements of type `{In}`",
    note = "implement `DoFn<{In}>` for it, or use `map`, `filter`, `flat_map` or `try_map` with a closure"
)]
pub trait DoFn<In>: Clone + Send + Sync + 'static {
    /// What the main output carries.
    type Out: Data;

    /// Names of the further outputs that [`ProcessContext::emit_to`] is used with.
    fn tags(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Whether `process` looks at windows or panes: elements then come one by one for each of their windows.
    fn observes_windows(&self) -> bool {
        false
    }

    /// Called once on the worker before anything else.
    ///
    /// # Errors
    /// The job fails.
    fn setup(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// A bundle begins.
    ///
    /// # Errors
    /// The job fails, or restarts from its last checkpoint.
    fn start_bundle(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Processes one element.
    ///
    /// # Errors
    /// The job fails, or restarts from its last checkpoint; with `try_par_do` the element becomes a dead letter instead.
    fn process(
        &mut self,
        element: In,
        ctx: &mut ProcessContext<'_, Self::Out>,
    ) -> Result<(), BoxError>;

    /// A bundle ends; what was held back is emitted now, with its own timestamp.
    ///
    /// # Errors
    /// Like [`DoFn::start_bundle`].
    fn finish_bundle(&mut self, ctx: &mut ProcessContext<'_, Self::Out>) -> Result<(), BoxError> {
        let _ = ctx;
        Ok(())
    }

    /// Called once at the end, also after a failure.
    fn teardown(&mut self) {}
}

/// Names a further output of a [`DoFn`] and its type.
pub struct OutputTag<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> OutputTag<T> {
    /// An output called `name`, unique within its DoFn.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> fmt::Debug for OutputTag<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OutputTag({:?})", self.name)
    }
}

/// Gives the batch of a further output by its name: made by whoever runs the DoFn.
pub trait TaggedOutputs {
    /// The `Batch` of the output called `name`, or `None` when nobody reads it.
    ///
    /// # Errors
    /// When the DoFn declares no such output.
    fn batch(&mut self, name: &'static str) -> Result<Option<&mut dyn Any>, BoxError>;
}

/// What a [`DoFn`] sees of the element at hand, and where it emits.
pub struct ProcessContext<'a, Out> {
    pub(crate) batch: &'a mut Batch<Out>,
    pub(crate) tagged: &'a mut dyn TaggedOutputs,
    pub(crate) timestamp: Timestamp,
    pub(crate) at: Option<WindowedPane>,
    pub(crate) now: Timestamp,
    pub(crate) watermark: Timestamp,
    pub(crate) failure: Option<BoxError>,
}

impl<'a, Out: Data> ProcessContext<'a, Out> {
    /// A context for driving a [`DoFn`] by hand: what it emits collects in `batch` and in `tagged`.
    pub fn new(
        batch: &'a mut Batch<Out>,
        tagged: &'a mut dyn TaggedOutputs,
        timestamp: Timestamp,
    ) -> Self {
        let now = timestamp;
        Self { batch, tagged, timestamp, at: None, now, watermark: Timestamp::MIN, failure: None }
    }

    /// Event time of the element.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Window of the element: the global one where none was assigned yet.
    #[must_use]
    pub fn window(&self) -> Window {
        self.at.map_or(Window::GLOBAL, |at| at.window)
    }

    /// The firing that emitted the element.
    #[must_use]
    pub fn pane(&self) -> PaneInfo {
        self.at.map_or(PaneInfo::NO_FIRING, |at| at.pane)
    }

    /// The processing time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The input watermark.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Emits to the main output, with the element's time and window.
    #[inline]
    pub fn emit(&mut self, value: Out) {
        self.emit_at(self.timestamp, value);
    }

    /// Emits to the main output with another event time; one before the element's own may make it late.
    pub fn emit_at(&mut self, timestamp: Timestamp, value: Out) {
        match self.at {
            Some(at) => self.batch.push_windowed(timestamp, at, value),
            None => self.batch.push(timestamp, value),
        }
    }

    /// Emits to the further output `tag`; the step fails when the DoFn does not declare it in [`DoFn::tags`].
    pub fn emit_to<T: Data>(&mut self, tag: &OutputTag<T>, value: T) {
        match self.tagged.batch(tag.name()) {
            Ok(Some(batch)) => match batch.downcast_mut::<Batch<T>>() {
                Some(batch) => match self.at {
                    Some(at) => batch.push_windowed(self.timestamp, at, value),
                    None => batch.push(self.timestamp, value),
                },
                None => self.failure = Some(wrong_type(tag)),
            },
            Ok(None) => {}
            Err(cause) => self.failure = Some(cause),
        }
    }
}

fn wrong_type<T>(tag: &OutputTag<T>) -> BoxError {
    let of = std::any::type_name::<T>();
    format!(
        "output {:?} was read with another type than `{of}`, with which it is emitted to",
        tag.name
    )
    .into()
}

impl<Out> fmt::Debug for ProcessContext<'_, Out> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProcessContext")
            .field("timestamp", &self.timestamp)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
