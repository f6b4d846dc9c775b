//! `reshuffle`: spreads elements over the workers and breaks fusion.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::coder::Data;
use crate::operator::erased::{
    Linked, OperatorFactory, Outputs, PortFactory, RoundRobinPort, link_step,
};
use crate::operator::link::StepIdentity;
use crate::operator::map::Identity;
use crate::pcollection::{PCollection, StepSpec};

struct Reshuffle<T>(PhantomData<fn(T)>);

impl<T: Data> OperatorFactory for Reshuffle<T> {
    fn port(&self, _lifted: bool) -> Arc<dyn PortFactory> {
        Arc::new(RoundRobinPort::<T>::default())
    }

    fn build(&self, _lifted: bool, step: StepIdentity, outputs: Outputs) -> Linked {
        link_step::<T, _>(step, Identity, outputs)
    }
}

impl<T: Data> PCollection<T> {
    /// The same elements, with times, windows and panes, spread evenly over the workers.
    #[must_use]
    #[track_caller]
    pub fn reshuffle(&self, name: &str) -> Self {
        let spec = StepSpec::new(name, "Reshuffle", Location::caller());
        self.add_step(spec, Arc::new(Reshuffle::<T>(PhantomData)))
    }
}
