//! `read`: any source.

use std::panic::Location;
use std::sync::Arc;

use crate::graph::{Body, Node, OutputRef};
use crate::operator::source_task::SourceBox;
use crate::pcollection::{PCollection, Shape, optional_output};
use crate::pipeline::Pipeline;
use crate::source::{Boundedness, Source};

impl Pipeline {
    /// Reads a source.
    #[track_caller]
    pub fn read<S: Source>(&self, name: &str, source: S) -> PCollection<S::Item> {
        let is_unbounded = source.boundedness() == Boundedness::Unbounded;
        let id = self.add(name, Location::caller(), |path, location| Node {
            body: Body::Source(Arc::new(SourceBox { source, path: path.to_string() })),
            path,
            location,
            kind: "Read",
            inputs: Vec::new(),
            outputs: vec![optional_output::<S::Item>("main")],
            grouping: None,
            is_unbounded,
            observes_panes: false,
            fingerprint: format!("Read {}", std::any::type_name::<S::Restriction>()),
            problems: Vec::new(),
        });
        let output = OutputRef { node: id, output: 0 };
        PCollection::new(self.clone(), output, Shape::of_source(is_unbounded))
    }
}
