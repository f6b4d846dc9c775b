//! `combine_per_key`, `combine_globally`, and the shortcuts for counting.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::coder::{Data, Key, Kv};
use crate::combine::{CombineFn, Count};
use crate::operator::erased::{
    KeyedPort, Linked, OperatorFactory, Outputs, PortFactory, link_step,
};
use crate::operator::group::GroupWindows;
use crate::operator::link::StepIdentity;
use crate::operator::pre_combine::PreCombine;
use crate::operator::running::Running;
use crate::operator::sliced::{Sliced, Slicing};
use crate::operator::table::{Lifted, Raw};
use crate::pcollection::{PCollection, Shape, StepSpec, optional_output};
use crate::trigger::Trigger;
use crate::windowing::{AccumulationMode, ClosingBehavior, TimestampCombiner};

/// How a grouping runs, chosen when it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// One firing per window: slices.
    Sliced(Option<Slicing>),
    /// One firing per element, for ever.
    Running,
    /// Any trigger, merging windows, lateness.
    General,
}

fn choose_path(shape: &Shape) -> Path {
    let strategy = &shape.windowing;
    let window_fn = &strategy.window_fn;
    let at_end = strategy.timestamp_combiner == TimestampCombiner::EndOfWindow;
    let fires_once = strategy.allowed_lateness.is_zero()
        && matches!(
            strategy.trigger,
            Trigger::Default | Trigger::AfterWatermark { early: None, .. }
        )
        && strategy.closing_behavior == ClosingBehavior::FireIfNonEmpty;
    if at_end && fires_once && !window_fn.is_merging() {
        if shape.is_assigned || window_fn.is_global() {
            return Path::Sliced(None);
        }
        if let Some(slices) = window_fn.slices() {
            return Path::Sliced(Some(Slicing::new(slices)));
        }
    }
    let each_element = Trigger::after_count(1).repeatedly();
    if at_end
        && window_fn.is_global()
        && strategy.trigger == each_element
        && strategy.accumulation == AccumulationMode::Accumulating
        && strategy.closing_behavior == ClosingBehavior::FireIfNonEmpty
    {
        return Path::Running;
    }
    Path::General
}

struct Combine<K, V, C> {
    combine: C,
    path: Path,
    shape: Shape,
    with_late: bool,
    default_key: Option<K>,
    of: PhantomData<fn(V)>,
}

impl<K, V, C> OperatorFactory for Combine<K, V, C>
where
    K: Key + Sync,
    V: Data,
    C: CombineFn<V>,
{
    fn port(&self, lifted: bool) -> Arc<dyn PortFactory> {
        if lifted {
            Arc::new(KeyedPort::<K, C::Accumulator>::default())
        } else {
            Arc::new(KeyedPort::<K, V>::default())
        }
    }

    fn build(&self, lifted: bool, step: StepIdentity, outputs: Outputs) -> Linked {
        let combine = self.combine.clone();
        match self.path {
            Path::Sliced(slicing) if lifted => {
                let operator = Sliced::<K, V, C, Lifted>::new(combine, slicing);
                let operator =
                    self.default_key.clone().into_iter().fold(operator, Sliced::with_default);
                link_step::<Kv<K, C::Accumulator>, _>(step, operator, outputs)
            }
            Path::Sliced(slicing) => {
                let operator = Sliced::<K, V, C, Raw>::new(combine, slicing);
                let operator =
                    self.default_key.clone().into_iter().fold(operator, Sliced::with_default);
                link_step::<Kv<K, V>, _>(step, operator, outputs)
            }
            Path::Running => {
                let operator = Running::<K, V, C>::new(combine, outputs.panes_observed);
                link_step::<Kv<K, V>, _>(step, operator, outputs)
            }
            Path::General => {
                let Shape { windowing, is_assigned, .. } = self.shape.clone();
                let operator = GroupWindows::<K, V, C>::new(combine, windowing, is_assigned);
                link_step::<Kv<K, V>, _>(step, operator, outputs)
            }
        }
    }

    fn can_lift(&self) -> bool {
        matches!(self.path, Path::Sliced(_)) && !self.with_late
    }

    fn lift(&self, step: StepIdentity, head: Linked) -> Option<Linked> {
        let Path::Sliced(slicing) = self.path else { return None };
        let operator = PreCombine::<K, V, C>::new(self.combine.clone(), slicing);
        let outputs = Outputs { main: head, sides: Vec::new(), panes_observed: false };
        Some(link_step::<Kv<K, V>, _>(step, operator, outputs))
    }
}

impl<K: Key + Sync, V: Data> PCollection<Kv<K, V>> {
    /// Combines the values of each key and window.
    ///
    /// ```
    /// # use millstream::prelude::*;
    /// let pipeline = Pipeline::new();
    /// let sales = pipeline.create("Sales", [("tea".to_owned(), 2_u64), ("tea".to_owned(), 3)]);
    /// sales.combine_per_key("Sum", Sum).for_each("Check", |sum| assert_eq!(sum, ("tea".to_owned(), 5)));
    /// Engine::builder().run(&pipeline)?;
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn combine_per_key<C: CombineFn<V>>(
        &self,
        name: &str,
        combine: C,
    ) -> PCollection<Kv<K, C::Output>> {
        self.add_combine(name, "CombinePerKey", combine, false, None, Location::caller())
    }

    /// Like [`PCollection::combine_per_key`], with the elements that came after their window expired as a second output.
    #[track_caller]
    pub fn combine_per_key_with_late<C: CombineFn<V>>(
        &self,
        name: &str,
        combine: C,
    ) -> (PCollection<Kv<K, C::Output>>, Self) {
        let location = Location::caller();
        let main = self.add_combine(name, "CombinePerKey", combine, true, None, location);
        let mut late: Self = main.side(1);
        late.shape = self.shape.clone();
        (main, late)
    }

    pub(crate) fn add_combine<C: CombineFn<V>>(
        &self,
        name: &str,
        kind: &'static str,
        combine: C,
        with_late: bool,
        default_key: Option<K>,
        location: &Location<'_>,
    ) -> PCollection<Kv<K, C::Output>> {
        let mut spec = StepSpec::new(name, kind, location);
        spec.grouping = Some(self.shape.windowing.clone());
        spec.fingerprint = format!(
            "{} key={} accumulator={}",
            self.shape.windowing.fingerprint(),
            std::any::type_name::<K>(),
            std::any::type_name::<C::Accumulator>()
        );
        if with_late {
            spec.sides.push(optional_output::<Kv<K, V>>("late"));
        }
        let path = choose_path(&self.shape);
        let shape = self.shape.clone();
        let factory =
            Combine { combine, path, shape, with_late, default_key, of: PhantomData::<fn(V)> };
        let mut combined = self.add_step(spec, Arc::new(factory));
        combined.shape.windowing = self.shape.windowing.continuation();
        combined.shape.is_assigned = true;
        combined
    }
}

impl<T: Data> PCollection<T> {
    /// Combines all elements of each window. In the global window an empty bounded input gives the aggregate of nothing.
    #[track_caller]
    pub fn combine_globally<C: CombineFn<T>>(
        &self,
        name: &str,
        combine: C,
    ) -> PCollection<C::Output> {
        let location = Location::caller();
        let default_key =
            (self.shape.windowing.window_fn.is_global() && !self.shape.is_unbounded).then_some(());
        self.pipeline.scoped(name, || {
            self.keyed("Key", location)
                .add_combine("Combine", "CombineGlobally", combine, false, default_key, location)
                .values("Values")
        })
    }

    fn keyed(&self, name: &str, location: &Location<'_>) -> PCollection<Kv<(), T>> {
        let spec = StepSpec::new(name, "Map", location);
        self.add_operator(spec, |_| crate::operator::map::Map(|element| ((), element)))
    }

    /// Counts the elements of each window.
    #[must_use]
    #[track_caller]
    pub fn count(&self, name: &str) -> PCollection<u64> {
        self.combine_globally(name, Count)
    }
}

impl<T: Key + Sync> PCollection<T> {
    /// Counts how often each element occurs in each window.
    #[track_caller]
    pub fn count_per_element(&self, name: &str) -> PCollection<Kv<T, u64>> {
        let location = Location::caller();
        let spec = StepSpec::new("Key", "Map", location);
        let location = Location::caller();
        let pair = |_: &StepIdentity| crate::operator::map::Map(|element: T| (element, ()));
        let keyed: PCollection<Kv<T, ()>> =
            self.pipeline.scoped(name, || self.add_operator(spec, pair));
        keyed.add_combine(name, "CombinePerKey", Count, false, None, location)
    }
}
