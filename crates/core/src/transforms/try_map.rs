//! `try_map`, `try_flat_map`: fallible functions, whose failures are an output that has to be read.

use std::panic::Location;

use crate::coder::Data;
use crate::dead_letter::DeadLetter;
use crate::error::BoxError;
use crate::graph::Reading;
use crate::operator::try_map::TryFlatMap;
use crate::pcollection::{PCollection, StepSpec, required_output};

/// What a step could not process. Has to be read, or be ignored with a reason: the pipeline does not run otherwise.
#[derive(Debug)]
#[must_use = "what fails would be lost: read the dead letters, or call `.ignore(\"why\")`"]
pub struct DeadLetters(PCollection<DeadLetter>);

impl DeadLetters {
    pub(crate) fn new(collection: PCollection<DeadLetter>) -> Self {
        Self(collection)
    }

    /// The dead letters as a collection like any other.
    #[must_use]
    pub fn collection(&self) -> PCollection<DeadLetter> {
        self.0.clone()
    }

    /// Counts them and drops them, because `why`.
    pub fn ignore(&self, why: &str) {
        self.0.pipeline.change(self.0.output.node, |node| {
            node.outputs[self.0.output.output].reading = Reading::Ignored(why.to_owned());
        });
    }
}

impl<T: Data> PCollection<T> {
    /// Turns each element into another, or into a dead letter when `function` fails.
    ///
    /// ```
    /// # use millstream::prelude::*;
    /// let pipeline = Pipeline::new();
    /// let lines = pipeline.create("Lines", ["1".to_owned(), "x".to_owned()]);
    /// let (numbers, failed) = lines.try_map("Parse", |line| line.parse::<i64>());
    /// numbers.for_each("Use", |number| assert_eq!(number, 1));
    /// failed.collection().for_each("Log", |letter| assert_eq!(letter.bytes, b"x"));
    /// Engine::builder().run(&pipeline)?;
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn try_map<U, E, F>(&self, name: &str, function: F) -> (PCollection<U>, DeadLetters)
    where
        U: Data,
        E: Into<BoxError>,
        F: Fn(&T) -> Result<U, E> + Clone + Send + Sync + 'static,
    {
        self.try_flat_map(name, move |element| function(element).map(std::iter::once))
    }

    /// Turns each element into any number of others, or into a dead letter when `function` fails.
    #[track_caller]
    pub fn try_flat_map<I, E, F>(
        &self,
        name: &str,
        function: F,
    ) -> (PCollection<I::Item>, DeadLetters)
    where
        I: IntoIterator,
        I::Item: Data,
        E: Into<BoxError>,
        F: Fn(&T) -> Result<I, E> + Clone + Send + Sync + 'static,
    {
        let mut spec = StepSpec::new(name, "TryFlatMap", Location::caller());
        spec.sides.push(required_output::<DeadLetter>("failures"));
        let main = self.add_operator(spec, move |step| {
            let function = function.clone();
            TryFlatMap::new(&step.path, move |element: &T| function(element).map_err(Into::into))
        });
        let failures = main.side(1);
        (main, DeadLetters::new(failures))
    }
}
