//! `deduplicate`: the first of equal elements within a horizon.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::coder::{Data, Key, Kv};
use crate::operator::dedup::Deduplicate;
use crate::operator::erased::{
    KeyedPort, Linked, OperatorFactory, Outputs, PortFactory, link_step,
};
use crate::operator::link::StepIdentity;
use crate::pcollection::{PCollection, StepSpec};

struct DeduplicateFactory<K, T> {
    horizon: Duration,
    of: PhantomData<fn(K, T)>,
}

impl<K: Key, T: Data> OperatorFactory for DeduplicateFactory<K, T> {
    fn port(&self, _lifted: bool) -> Arc<dyn PortFactory> {
        Arc::new(KeyedPort::<K, T>::default())
    }

    fn build(&self, _lifted: bool, step: StepIdentity, outputs: Outputs) -> Linked {
        link_step::<Kv<K, T>, _>(step, Deduplicate::<K>::new(self.horizon), outputs)
    }
}

impl<T: Key> PCollection<T> {
    /// The first of equal elements within `horizon` of processing time; the others are counted as duplicates.
    #[track_caller]
    pub fn deduplicate(&self, name: &str, horizon: Duration) -> Self {
        self.deduplicate_by(name, horizon, Clone::clone)
    }
}

impl<T: Data> PCollection<T> {
    /// The first of the elements with equal keys within `horizon` of processing time.
    #[track_caller]
    pub fn deduplicate_by<K, F>(&self, name: &str, horizon: Duration, key: F) -> Self
    where
        K: Key,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        let location = Location::caller();
        self.pipeline.clone().scoped(name, || {
            let keyed = self.with_keys("Key", key);
            let mut spec = StepSpec::new("Deduplicate", "Deduplicate", location);
            spec.fingerprint = format!("key={}", std::any::type_name::<K>());
            keyed.add_step(spec, Arc::new(DeduplicateFactory::<K, T> { horizon, of: PhantomData }))
        })
    }
}
