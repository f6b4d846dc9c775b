//! `map`, `filter`, `filter_map`, `flat_map`, `for_each`, `keys`, `values`, `with_keys`.

use std::panic::Location;

use crate::coder::{Data, Kv};
use crate::operator::map::{Filter, FilterMap, FlatMap, Map};
use crate::pcollection::{PCollection, StepSpec};

impl<T: Data> PCollection<T> {
    /// Turns each element into another, with the same event time and window.
    ///
    /// ```
    /// # use millstream::prelude::*;
    /// let pipeline = Pipeline::new();
    /// let doubled = pipeline.create("Numbers", [1, 2, 3]).map("Double", |number: i32| number * 2);
    /// ```
    #[track_caller]
    pub fn map<U, F>(&self, name: &str, function: F) -> PCollection<U>
    where
        U: Data,
        F: Fn(T) -> U + Clone + Send + Sync + 'static,
    {
        let spec = StepSpec::new(name, "Map", Location::caller());
        self.add_operator(spec, move |_| Map(function.clone()))
    }

    /// Keeps the elements that `keep` accepts.
    #[track_caller]
    pub fn filter<F>(&self, name: &str, keep: F) -> Self
    where
        F: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    {
        let spec = StepSpec::new(name, "Filter", Location::caller());
        self.add_operator(spec, move |_| Filter(keep.clone()))
    }

    /// Turns each element into another or drops it.
    #[track_caller]
    pub fn filter_map<U, F>(&self, name: &str, function: F) -> PCollection<U>
    where
        U: Data,
        F: Fn(T) -> Option<U> + Clone + Send + Sync + 'static,
    {
        let spec = StepSpec::new(name, "FilterMap", Location::caller());
        self.add_operator(spec, move |_| FilterMap(function.clone()))
    }

    /// Turns each element into any number of others.
    #[track_caller]
    pub fn flat_map<I, F>(&self, name: &str, function: F) -> PCollection<I::Item>
    where
        I: IntoIterator,
        I::Item: Data,
        F: Fn(T) -> I + Clone + Send + Sync + 'static,
    {
        let spec = StepSpec::new(name, "FlatMap", Location::caller());
        self.add_operator(spec, move |_| FlatMap(function.clone()))
    }

    /// Calls `function` with each element, at least once: after a crash elements since the last checkpoint come again.
    /// For effects that must be exact, write to a sink.
    #[track_caller]
    pub fn for_each<F>(&self, name: &str, function: F)
    where
        F: Fn(T) + Clone + Send + Sync + 'static,
    {
        let spec = StepSpec::new(name, "ForEach", Location::caller());
        let _nothing: PCollection<()> = self.add_operator(spec, move |_| {
            let function = function.clone();
            FilterMap(move |element| {
                function(element);
                None::<()>
            })
        });
    }

    /// Pairs each element with a key.
    #[track_caller]
    pub fn with_keys<K, F>(&self, name: &str, key: F) -> PCollection<Kv<K, T>>
    where
        K: Data,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        self.map(name, move |element| (key(&element), element))
    }
}

impl<K: Data, V: Data> PCollection<Kv<K, V>> {
    /// The keys, one for each element.
    #[must_use]
    #[track_caller]
    pub fn keys(&self, name: &str) -> PCollection<K> {
        self.map(name, |(key, _)| key)
    }

    /// The values.
    #[must_use]
    #[track_caller]
    pub fn values(&self, name: &str) -> PCollection<V> {
        self.map(name, |(_, value)| value)
    }
}
