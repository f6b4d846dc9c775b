//! Steps and edges.

use std::fmt;
use std::sync::Arc;

use crate::operator::erased::{CollectionOps, OperatorFactory, SinkFactory, SourceFactory};
use crate::windowing::WindowingStrategy;

/// Number of a step in its graph, in the order of application.
pub type NodeId = usize;

/// One output of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputRef {
    /// The step.
    pub node: NodeId,
    /// Number of the output, 0 for the main one.
    pub output: usize,
}

/// Whether an output has to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As the user likes.
    Optional,
    /// A failure output: somebody must read it or say that it is ignored.
    Required,
    /// The user said that it is ignored, and why.
    Ignored(String),
}

/// What a graph knows of an output.
#[derive(Clone)]
pub struct OutputSpec {
    /// Its name: `main`, `late`, `failures`, or a tag.
    pub name: &'static str,
    /// What the engine does with its elements.
    pub ops: Arc<dyn CollectionOps>,
    /// Whether it has to be read.
    pub reading: Reading,
}

/// What a step does.
#[derive(Clone)]
pub enum Body {
    /// It reads.
    Source(Arc<dyn SourceFactory>),
    /// It processes.
    Operator(Arc<dyn OperatorFactory>),
    /// It merges its inputs.
    Flatten,
    /// It writes; its main output is what the destination refused.
    Sink(Arc<dyn SinkFactory>),
}

impl fmt::Debug for OutputSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OutputSpec")
            .field("name", &self.name)
            .field("of", &self.ops.type_name())
            .field("reading", &self.reading)
            .finish()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source(_) => "Source",
            Self::Operator(_) => "Operator",
            Self::Flatten => "Flatten",
            Self::Sink(_) => "Sink",
        })
    }
}

/// A step.
#[derive(Clone)]
pub struct Node {
    /// Its unique path: the names of the composites it is in, and its own.
    pub path: Arc<str>,
    /// Source file and line where it was applied.
    pub location: Arc<str>,
    /// What kind of step it is, in Beam's words.
    pub kind: &'static str,
    /// What it does.
    pub body: Body,
    /// What it reads.
    pub inputs: Vec<OutputRef>,
    /// What it gives.
    pub outputs: Vec<OutputSpec>,
    /// Windowing strategy of its input, for a step that groups.
    pub grouping: Option<WindowingStrategy>,
    /// Whether its output is unbounded.
    pub is_unbounded: bool,
    /// Whether it looks at windows or panes.
    pub observes_panes: bool,
    /// What identifies its state across restarts: kind, windowing, types.
    pub fingerprint: String,
    /// Problems found while it was applied, reported with all others.
    pub problems: Vec<(String, String)>,
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Node")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

/// A pipeline without its types.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// Adds a step behind all others.
    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The steps in order of application, which is a topological order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One step.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// One step, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// The steps that read `output`, in order; one that reads it twice stands there twice.
    #[must_use]
    pub fn readers(&self, output: OutputRef) -> Vec<NodeId> {
        let reads = |(id, node): (NodeId, &Node)| {
            let count = node.inputs.iter().filter(|input| **input == output).count();
            std::iter::repeat_n(id, count)
        };
        self.nodes.iter().enumerate().flat_map(reads).collect()
    }

    /// Whether anything that `output` reaches before the next grouping looks at panes or windows.
    #[must_use]
    pub fn panes_observed(&self, output: OutputRef) -> bool {
        self.readers(output).into_iter().any(|reader| {
            let node = self.node(reader);
            node.observes_panes
                || (node.grouping.is_none()
                    && (0..node.outputs.len())
                        .any(|output| self.panes_observed(OutputRef { node: reader, output })))
        })
    }
}
