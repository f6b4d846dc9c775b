//! `write`: any sink.

use std::panic::Location;
use std::sync::Arc;

use crate::coder::Data;
use crate::graph::{Body, Node, OutputRef, Reading};
use crate::operator::sink_task::SinkBox;
use crate::pcollection::{PCollection, optional_output, required_output};
use crate::sink::{Refused, Sink};

/// A collection that is written; what the destination refuses comes back.
#[derive(Debug)]
pub struct Written(PCollection<Refused>);

impl Written {
    /// What the destination refused, one by one with its reason.
    #[must_use]
    pub fn refused(&self) -> PCollection<Refused> {
        self.0.clone()
    }

    /// Counts what the destination refuses and drops it, because `why`.
    pub fn ignore_refused(&self, why: &str) {
        self.0.pipeline.change(self.0.output.node, |node| {
            node.outputs[0].reading = Reading::Ignored(why.to_owned());
        });
    }
}

impl<T: Data> PCollection<T> {
    /// Writes the elements to a sink. For one that may refuse elements, the refused ones have to be read or ignored.
    #[track_caller]
    pub fn write<S: Sink<T>>(&self, name: &str, sink: S) -> Written {
        let refused = if sink.may_refuse() {
            required_output::<Refused>("refused")
        } else {
            optional_output::<Refused>("refused")
        };
        let id = self.pipeline.add(name, Location::caller(), |path, location| Node {
            path,
            location,
            kind: "Write",
            body: Body::Sink(Arc::new(SinkBox::new(sink))),
            inputs: vec![self.output],
            outputs: vec![refused],
            grouping: None,
            is_unbounded: self.shape.is_unbounded,
            observes_panes: true,
            fingerprint: format!(
                "Write {}",
                std::any::type_name::<<S::Writer as crate::sink::SinkWriter<T>>::Committable>()
            ),
            problems: Vec::new(),
        });
        let output = OutputRef { node: id, output: 0 };
        let mut shape = self.shape.clone();
        shape.is_assigned = false;
        Written(PCollection::new(self.pipeline.clone(), output, shape))
    }
}
