//! `window`, `with_timestamps`, `reify`: event times and windows.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::coder::Data;
use crate::operator::erased::{Elements, Linked, OperatorFactory, Outputs, PortFactory};
use crate::operator::link::StepIdentity;
use crate::operator::map::{AssignWindows, Reified, Reify, Rewindow, WithTimestamps};
use crate::pcollection::{PCollection, StepSpec};
use crate::time::Timestamp;
use crate::windowing::WindowingStrategy;

impl<T: Data> PCollection<T> {
    /// Sets how the next grouping divides event time, when it fires and what it accumulates.
    ///
    /// ```
    /// # use millstream::prelude::*;
    /// # use std::time::Duration;
    /// let pipeline = Pipeline::new();
    /// let by_minute = FixedWindows::of(Duration::from_secs(60)).allowed_lateness(Duration::from_secs(300));
    /// let windowed = pipeline.create("Numbers", [1, 2]).window("ByMinute", by_minute.accumulating());
    /// ```
    #[track_caller]
    pub fn window(&self, name: &str, strategy: impl Into<WindowingStrategy>) -> Self {
        let strategy = strategy.into();
        let mut spec = StepSpec::new(name, "Window", Location::caller());
        spec.fingerprint = strategy.fingerprint();
        let problems = strategy.problems();
        let mut windowed: Self = if self.shape.is_assigned {
            self.add_operator(spec, |_| Rewindow)
        } else {
            // Nothing to forget: the strategy alone goes on.
            self.add_step(spec, Arc::new(Annotation::<T>::default()))
        };
        windowed.pipeline.change(windowed.output.node, |node| {
            let hint = "correct the windowing".to_owned();
            node.problems.extend(problems.into_iter().map(|what| (what, hint.clone())));
        });
        windowed.shape.windowing = strategy;
        windowed.shape.is_assigned = false;
        windowed
    }

    /// Gives each element a new event time. One behind the watermark makes the element late; windows that were assigned stay.
    #[track_caller]
    pub fn with_timestamps<F>(&self, name: &str, timestamp: F) -> Self
    where
        F: Fn(&T) -> Timestamp + Clone + Send + Sync + 'static,
    {
        let spec = StepSpec::new(name, "WithTimestamps", Location::caller());
        self.add_operator(spec, move |_| WithTimestamps(timestamp.clone()))
    }

    /// Pairs each element with its event time, window and pane.
    #[must_use]
    #[track_caller]
    pub fn reify(&self, name: &str) -> PCollection<Reified<T>> {
        let mut spec = StepSpec::new(name, "Reify", Location::caller());
        spec.observes_panes = true;
        let assigned = self.assigned(&format!("{name}/AssignWindows"), Location::caller());
        assigned.add_operator(spec, |_| Reify)
    }

    /// The collection with every element in exactly one window.
    pub(crate) fn assigned(&self, name: &str, location: &Location<'_>) -> Self {
        if self.shape.is_assigned {
            return self.clone();
        }
        let window_fn = Arc::clone(&self.shape.windowing.window_fn);
        let spec = StepSpec::new(name, "AssignWindows", location);
        let mut assigned =
            self.add_operator(spec, move |_| AssignWindows::new(Arc::clone(&window_fn)));
        assigned.shape.is_assigned = true;
        assigned
    }
}

/// A step that only says something about the collection: at run time there is nothing of it.
struct Annotation<T>(PhantomData<fn(T)>);

impl<T> Default for Annotation<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Data> OperatorFactory for Annotation<T> {
    fn port(&self, _lifted: bool) -> Arc<dyn PortFactory> {
        Elements::<T>::ops().forward_port()
    }

    fn build(&self, _lifted: bool, _step: StepIdentity, outputs: Outputs) -> Linked {
        outputs.main
    }
}
