//! `flatten`: several collections of one type as one.

use std::panic::Location;

use crate::coder::Data;
use crate::graph::{Body, Node, OutputRef};
use crate::pcollection::{PCollection, optional_output};

impl<T: Data> PCollection<T> {
    /// All elements of this collection and of `others`.
    #[track_caller]
    pub fn flatten_with(&self, name: &str, others: impl IntoIterator<Item = Self>) -> Self {
        let mut inputs = vec![self.clone()];
        inputs.extend(others);
        let mut problems = Vec::new();
        for input in &inputs[1..] {
            if !input.pipeline.is_same(&self.pipeline) {
                let hint = "build both collections from the same `Pipeline`";
                problems
                    .push(("its inputs belong to different pipelines".to_owned(), hint.to_owned()));
            } else if input.shape.windowing.fingerprint() != self.shape.windowing.fingerprint() {
                let hint = "apply the same `window` to each of them, or one behind the flatten";
                problems.push(("its inputs have different windowing".to_owned(), hint.to_owned()));
            }
        }
        // Inputs of which only some carry windows: all must.
        let mixed = inputs.iter().any(|input| input.shape.is_assigned != self.shape.is_assigned);
        if mixed {
            let caller = Location::caller();
            for (index, input) in inputs.iter_mut().enumerate() {
                *input = input.assigned(&format!("{name}/AssignWindows{index}"), caller);
            }
        }
        let mut shape = inputs[0].shape.clone();
        shape.is_unbounded = inputs.iter().any(|input| input.shape.is_unbounded);
        let is_unbounded = shape.is_unbounded;
        let id = self.pipeline.add(name, Location::caller(), |path, location| Node {
            path,
            location,
            kind: "Flatten",
            body: Body::Flatten,
            inputs: inputs.iter().map(|input| input.output).collect(),
            outputs: vec![optional_output::<T>("main")],
            grouping: None,
            is_unbounded,
            observes_panes: false,
            fingerprint: "Flatten".to_owned(),
            problems,
        });
        Self::new(self.pipeline.clone(), OutputRef { node: id, output: 0 }, shape)
    }
}
