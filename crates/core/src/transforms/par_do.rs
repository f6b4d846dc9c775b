//! `par_do`: a [`DoFn`] with its life cycle and outputs.

use std::panic::Location;

use crate::coder::Data;
use crate::dead_letter::DeadLetter;
use crate::dofn::{DoFn, OutputTag};
use crate::operator::par_do::ParDo;
use crate::pcollection::{PCollection, StepSpec, optional_output, required_output};
use crate::transforms::try_map::DeadLetters;

/// The outputs of a [`DoFn`].
#[derive(Debug)]
pub struct ParDoOutputs<Out> {
    /// The main output.
    pub main: PCollection<Out>,
    tags: Vec<&'static str>,
}

impl<Out: Data> ParDoOutputs<Out> {
    /// The output that [`crate::dofn::ProcessContext::emit_to`] writes to with the same tag.
    #[must_use]
    pub fn tagged<T: Data>(&self, tag: &OutputTag<T>) -> PCollection<T> {
        let pipeline = &self.main.pipeline;
        let node = self.main.output.node;
        let Some(index) = self.tags.iter().position(|name| *name == tag.name()) else {
            let what = format!("it has no output {:?}", tag.name());
            let hint = format!("list it in the DoFn's `tags`; it has {:?}", self.tags);
            pipeline.change(node, |node| node.problems.push((what, hint)));
            // The graph is refused; this handle only lets the program reach that point.
            return self.main.side(self.tags.len());
        };
        pipeline.change(node, |node| node.outputs[index + 1] = optional_output::<T>(tag.name()));
        self.main.side(index + 1)
    }
}

impl<T: Data> PCollection<T> {
    /// Processes each element with `dofn`; an error fails the job.
    #[track_caller]
    pub fn par_do<D: DoFn<T>>(&self, name: &str, dofn: D) -> PCollection<D::Out> {
        self.par_do_outputs(name, dofn).main
    }

    /// Processes each element with `dofn`, which has several outputs; an error fails the job.
    #[track_caller]
    pub fn par_do_outputs<D: DoFn<T>>(&self, name: &str, dofn: D) -> ParDoOutputs<D::Out> {
        self.add_par_do(name, dofn, false, Location::caller())
    }

    /// Processes each element with `dofn`; an element it fails on becomes a dead letter.
    #[track_caller]
    pub fn try_par_do<D: DoFn<T>>(
        &self,
        name: &str,
        dofn: D,
    ) -> (ParDoOutputs<D::Out>, DeadLetters) {
        let outputs = self.add_par_do(name, dofn, true, Location::caller());
        let letters = outputs.main.side(outputs.tags.len() + 1);
        (outputs, DeadLetters::new(letters))
    }

    fn add_par_do<D: DoFn<T>>(
        &self,
        name: &str,
        dofn: D,
        dead_letters: bool,
        location: &Location<'_>,
    ) -> ParDoOutputs<D::Out> {
        let tags = dofn.tags();
        let mut spec = StepSpec::new(name, "ParDo", location);
        spec.observes_panes = dofn.observes_windows();
        spec.sides.extend(tags.iter().map(|tag| optional_output::<()>(tag)));
        if dead_letters {
            spec.sides.push(required_output::<DeadLetter>("failures"));
        }
        let input = if dofn.observes_windows() {
            self.assigned(&format!("{name}/AssignWindows"), location)
        } else {
            self.clone()
        };
        let names = tags.clone();
        let main = input.add_operator(spec, move |step| {
            ParDo::new(&step.path, dofn.clone(), names.clone(), dead_letters)
        });
        ParDoOutputs { main, tags }
    }
}
