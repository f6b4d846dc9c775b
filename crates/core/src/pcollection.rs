//! [`PCollection`]: a typed handle to one output of a step; and [`PTransform`], a composite of steps.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::coder::Data;
use crate::graph::{Body, Node, OutputRef, OutputSpec, Reading};
use crate::operator::Operator;
use crate::operator::erased::{Elements, Linked, OperatorFactory, Outputs, PortFactory, link_step};
use crate::operator::link::StepIdentity;
use crate::pipeline::Pipeline;
use crate::windowing::{GlobalWindows, WindowingStrategy};

/// Elements of type `T` that a step gives, bounded or not; a cheap handle that can be read any number of times.
///
/// The methods apply transforms. Each takes the step's name first: unique within its composite, stable across releases,
/// because checkpoints, metrics and errors go by it.
pub struct PCollection<T> {
    pub(crate) pipeline: Pipeline,
    pub(crate) output: OutputRef,
    pub(crate) shape: Shape,
    of: PhantomData<fn() -> T>,
}

/// What the builder knows of a collection beside its type.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) windowing: WindowingStrategy,
    /// Elements carry their windows: they come out of a grouping.
    pub(crate) is_assigned: bool,
    pub(crate) is_unbounded: bool,
}

impl Shape {
    /// A source's: global windows, nothing assigned.
    pub(crate) fn of_source(is_unbounded: bool) -> Self {
        Self { windowing: WindowingStrategy::from(GlobalWindows), is_assigned: false, is_unbounded }
    }
}

impl<T> Clone for PCollection<T> {
    fn clone(&self) -> Self {
        Self {
            pipeline: self.pipeline.clone(),
            output: self.output,
            shape: self.shape.clone(),
            of: PhantomData,
        }
    }
}

impl<T> fmt::Debug for PCollection<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.pipeline.look(self.output.node, |node| Arc::clone(&node.path));
        formatter
            .debug_struct("PCollection")
            .field("step", &path)
            .field("of", &std::any::type_name::<T>())
            .finish_non_exhaustive()
    }
}

/// A composite transform: any value that turns collections into collections.
///
/// Names of the steps it applies nest below its own: `Revenue/ByMinute`.
///
/// ```
/// use millstream::prelude::*;
///
/// struct Lengths;
///
/// impl PTransform<PCollection<String>> for Lengths {
///     type Output = PCollection<usize>;
///
///     fn expand(self, words: PCollection<String>) -> Self::Output {
///         words.map("Measure", |word| word.len())
///     }
/// }
///
/// let pipeline = Pipeline::new();
/// pipeline.create("Words", ["a".to_owned()]).apply("Lengths", Lengths);
/// assert_eq!(&*pipeline.graph().nodes()[1].path, "Lengths/Measure");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be applied to `{Input}`",
    note = "implement `PTransform<{Input}>` for it"
)]
pub trait PTransform<Input> {
    /// What it gives.
    type Output;

    /// Applies the steps.
    fn expand(self, input: Input) -> Self::Output;
}

impl<Input, Output, F: FnOnce(Input) -> Output> PTransform<Input> for F {
    type Output = Output;

    fn expand(self, input: Input) -> Output {
        self(input)
    }
}

/// A step to be added: what it is, beside what its operator does.
pub(crate) struct StepSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) location: &'a Location<'a>,
    pub(crate) grouping: Option<WindowingStrategy>,
    pub(crate) observes_panes: bool,
    pub(crate) sides: Vec<OutputSpec>,
    pub(crate) fingerprint: String,
}

impl<'a> StepSpec<'a> {
    pub(crate) fn new(name: &'a str, kind: &'static str, location: &'a Location<'a>) -> Self {
        Self {
            name,
            kind,
            location,
            grouping: None,
            observes_panes: false,
            sides: Vec::new(),
            fingerprint: String::new(),
        }
    }
}

/// An output that may be left unread.
pub(crate) fn optional_output<T: Data>(name: &'static str) -> OutputSpec {
    OutputSpec { name, ops: Elements::<T>::ops(), reading: Reading::Optional }
}

/// A failure output.
pub(crate) fn required_output<T: Data>(name: &'static str) -> OutputSpec {
    OutputSpec { name, ops: Elements::<T>::ops(), reading: Reading::Required }
}

impl<T: Data> PCollection<T> {
    pub(crate) fn new(pipeline: Pipeline, output: OutputRef, shape: Shape) -> Self {
        Self { pipeline, output, shape, of: PhantomData }
    }

    /// Adds a step that reads this collection.
    pub(crate) fn add_step<U: Data>(
        &self,
        spec: StepSpec<'_>,
        factory: Arc<dyn OperatorFactory>,
    ) -> PCollection<U> {
        let mut outputs = vec![optional_output::<U>("main")];
        outputs.extend(spec.sides);
        let id = self.pipeline.add(spec.name, spec.location, |path, location| Node {
            path,
            location,
            kind: spec.kind,
            body: Body::Operator(factory),
            inputs: vec![self.output],
            outputs,
            grouping: spec.grouping,
            is_unbounded: self.shape.is_unbounded,
            observes_panes: spec.observes_panes,
            fingerprint: format!("{} {}", spec.kind, spec.fingerprint),
            problems: Vec::new(),
        });
        PCollection::new(
            self.pipeline.clone(),
            OutputRef { node: id, output: 0 },
            self.shape.clone(),
        )
    }

    /// Adds a step that runs on the worker its input is on.
    pub(crate) fn add_operator<U, O>(
        &self,
        spec: StepSpec<'_>,
        make: impl Fn(&StepIdentity) -> O + Send + Sync + 'static,
    ) -> PCollection<U>
    where
        U: Data,
        O: Operator<T, Out = U> + 'static,
    {
        self.add_step(spec, Arc::new(Fused { make, of: PhantomData::<fn(T)> }))
    }

    /// A further output of the step that gives this collection.
    pub(crate) fn side<U: Data>(&self, output: usize) -> PCollection<U> {
        let output = OutputRef { node: self.output.node, output };
        PCollection::new(self.pipeline.clone(), output, self.shape.clone())
    }

    /// The pipeline it belongs to.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The windowing strategy that the next grouping uses.
    #[must_use]
    pub fn windowing(&self) -> &WindowingStrategy {
        &self.shape.windowing
    }

    /// Applies a composite transform; the names of its steps nest below `name`.
    pub fn apply<X: PTransform<Self>>(&self, name: &str, transform: X) -> X::Output {
        let input = self.clone();
        self.pipeline.scoped(name, || transform.expand(input))
    }
}

/// Makes an operator that is fused to what is in front of it.
struct Fused<M, I> {
    make: M,
    of: PhantomData<I>,
}

impl<T, O, M> OperatorFactory for Fused<M, fn(T)>
where
    T: Data,
    O: Operator<T> + 'static,
    O::Out: Data,
    M: Fn(&StepIdentity) -> O + Send + Sync,
{
    fn port(&self, _lifted: bool) -> Arc<dyn PortFactory> {
        Elements::<T>::ops().forward_port()
    }

    fn build(&self, _lifted: bool, step: StepIdentity, outputs: Outputs) -> Linked {
        let operator = (self.make)(&step);
        link_step(step, operator, outputs)
    }
}
