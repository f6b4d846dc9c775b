//! [`Pipeline`]: the typed builder of a graph.
//!
//! ```
//! use millstream::prelude::*;
//!
//! let pipeline = Pipeline::new();
//! pipeline
//!     .create("Words", ["to", "be", "or", "not", "to", "be"].map(String::from))
//!     .count_per_element("Count")
//!     .for_each("Print", |(word, count)| println!("{word}: {count}"));
//! let report = Engine::builder().run(&pipeline)?;
//! assert_eq!(report.step("Count").map(|step| step.records_out), Some(4));
//! # Ok::<(), millstream::Error>(())
//! ```

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::graph::{self, Graph, Node, NodeId};

/// A graph of steps under construction; cheap to clone, all clones build the same graph.
///
/// Building has no side effects: nothing is opened or read before an engine runs the pipeline.
#[derive(Clone)]
pub struct Pipeline {
    name: Arc<str>,
    builder: Arc<Mutex<Builder>>,
}

#[derive(Default)]
struct Builder {
    graph: Graph,
    /// Names of the composites that are being expanded.
    scope: Vec<String>,
}

impl Pipeline {
    /// An empty pipeline called `pipeline`.
    #[must_use]
    pub fn new() -> Self {
        Self::named("pipeline")
    }

    /// An empty pipeline with a name, which metrics and messages show.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), builder: Arc::default() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph as it stands.
    #[must_use]
    pub fn graph(&self) -> Graph {
        self.lock().graph.clone()
    }

    /// Checks the whole graph.
    ///
    /// # Errors
    /// [`crate::Error::Graph`] with every problem found.
    pub fn validate(&self) -> Result<()> {
        graph::validate(&self.lock().graph)
    }

    fn lock(&self) -> MutexGuard<'_, Builder> {
        self.builder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step named `name` in the current scope.
    pub(crate) fn add(
        &self,
        name: &str,
        location: &Location<'_>,
        node: impl FnOnce(Arc<str>, Arc<str>) -> Node,
    ) -> NodeId {
        let mut builder = self.lock();
        let mut path = builder.scope.join("/");
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        let location = format!("{}:{}", location.file(), location.line());
        builder.graph.add(node(path.into(), location.into()))
    }

    /// Changes a step that was added.
    pub(crate) fn change(&self, id: NodeId, change: impl FnOnce(&mut Node)) {
        change(self.lock().graph.node_mut(id));
    }

    /// Looks at a step that was added.
    pub(crate) fn look<R>(&self, id: NodeId, look: impl FnOnce(&Node) -> R) -> R {
        look(self.lock().graph.node(id))
    }

    /// Runs `expand` with all steps it adds named below `name`.
    pub(crate) fn scoped<R>(&self, name: &str, expand: impl FnOnce() -> R) -> R {
        struct Leave<'a>(&'a Pipeline);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.lock().scope.pop();
            }
        }
        self.lock().scope.push(name.to_owned());
        let _leave = Leave(self);
        expand()
    }

    /// Whether both handles build the same graph.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.builder, &other.builder)
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pipeline")
            .field("name", &self.name)
            .field("steps", &self.lock().graph.nodes().len())
            .finish()
    }
}

impl crate::pipeline_graph::PipelineGraph for Pipeline {
    fn job_name(&self) -> &str {
        &self.name
    }

    fn checked_graph(&self) -> Result<Graph> {
        self.validate()?;
        Ok(self.graph())
    }
}
