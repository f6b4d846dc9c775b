//! The plan: which steps form a stage, and which edges join the stages.
//!
//! Chains of element-wise steps fuse with what feeds them. A step that needs its elements partitioned starts a stage, unless there is only
//! one worker; sources and sinks always do. A flatten costs nothing where all its readers start stages: its inputs then go to them
//! directly. In front of an exchange a combine is lifted where it can be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::graph::{Body, Graph, NodeId, OutputRef};
use crate::operator::erased::{Elements, Partitioning, PortFactory};

/// Number of a stage.
pub type StageId = usize;

/// Number of an edge.
pub type EdgeId = usize;

/// A stage: a tree of fused steps.
#[derive(Clone, Debug)]
pub struct StagePlan {
    /// The step at its root.
    pub root: NodeId,
    /// Edges that feed it.
    pub inputs: Vec<EdgeId>,
}

/// An edge between stages.
#[derive(Clone)]
pub struct EdgePlan {
    /// What it carries.
    pub from: OutputRef,
    /// The stage it feeds.
    pub to: StageId,
    /// A combine runs in front of it.
    pub is_lifted: bool,
    /// Its two ends.
    pub port: Arc<dyn PortFactory>,
}

impl std::fmt::Debug for EdgePlan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EdgePlan")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("partitioning", &self.port.partitioning())
            .finish_non_exhaustive()
    }
}

/// What reads an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A step of the same stage.
    Fused(NodeId),
    /// Another stage.
    Edge(EdgeId),
}

/// A graph cut into stages.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The graph.
    pub graph: Graph,
    /// How many workers run it.
    pub workers: usize,
    /// The stages; one never feeds an earlier one.
    pub stages: Vec<StagePlan>,
    /// The edges.
    pub edges: Vec<EdgePlan>,
    readers: BTreeMap<OutputRef, Vec<Reader>>,
}

impl Plan {
    /// Plans `graph` for `workers` workers.
    #[must_use]
    pub fn new(graph: Graph, workers: usize) -> Self {
        let mut plan = Self {
            workers,
            stages: Vec::new(),
            edges: Vec::new(),
            readers: BTreeMap::new(),
            graph,
        };
        let roots = (0..plan.graph.nodes().len()).filter(|&node| plan.starts_stage(node));
        let stage = |root| StagePlan { root, inputs: Vec::new() };
        plan.stages = roots.map(stage).collect();
        for node in 0..plan.graph.nodes().len() {
            if matches!(plan.graph.node(node).body, Body::Flatten) && !plan.starts_stage(node) {
                continue;
            }
            for output in 0..plan.graph.node(node).outputs.len() {
                let output = OutputRef { node, output };
                let is_flatten = matches!(plan.graph.node(node).body, Body::Flatten);
                let readers = plan.plan_readers(output, output, is_flatten);
                plan.readers.insert(output, readers);
            }
        }
        plan
    }

    /// Who reads `output`.
    #[must_use]
    pub fn readers(&self, output: OutputRef) -> &[Reader] {
        self.readers.get(&output).map_or(&[], Vec::as_slice)
    }

    fn starts_stage(&self, node: NodeId) -> bool {
        match &self.graph.node(node).body {
            Body::Source(_) | Body::Sink(_) => true,
            Body::Operator(factory) => {
                self.workers > 1 && factory.port(false).partitioning() != Partitioning::Forward
            }
            Body::Flatten => self.has_fused_reader(node),
        }
    }

    /// Whether any step runs in the stage that the flatten would start.
    fn has_fused_reader(&self, flatten: NodeId) -> bool {
        let readers = self.graph.readers(OutputRef { node: flatten, output: 0 });
        readers.into_iter().any(|reader| match self.graph.node(reader).body {
            Body::Flatten => false,
            _ => !self.starts_stage(reader),
        })
    }

    /// Plans what reads `read`, for elements that come from `from` (the same output, or one in front of flattens).
    /// `in_flatten`: the elements that stages behind the flatten need have been sent to them before it.
    fn plan_readers(&mut self, from: OutputRef, read: OutputRef, in_flatten: bool) -> Vec<Reader> {
        let mut readers = Vec::new();
        for reader in self.graph.readers(read) {
            let is_flatten = matches!(self.graph.node(reader).body, Body::Flatten);
            if is_flatten {
                if in_flatten {
                    // The inputs of the outer flatten have an edge of their own there.
                    continue;
                }
                if self.starts_stage(reader) {
                    readers.push(Reader::Edge(self.add_edge(from, reader)));
                }
                readers.extend(self.plan_behind_flatten(from, reader));
            } else if self.starts_stage(reader) {
                if !in_flatten {
                    readers.push(Reader::Edge(self.add_edge(from, reader)));
                }
            } else if from == read {
                readers.push(Reader::Fused(reader));
            }
        }
        readers
    }

    /// Edges from in front of `flatten` to every stage behind it.
    fn plan_behind_flatten(&mut self, from: OutputRef, flatten: NodeId) -> Vec<Reader> {
        self.plan_readers(from, OutputRef { node: flatten, output: 0 }, false)
    }

    fn add_edge(&mut self, from: OutputRef, to: NodeId) -> EdgeId {
        let stage = self.stages.iter().position(|stage| stage.root == to);
        let stage = stage.expect("a step that starts a stage has one");
        let ops = Arc::clone(&self.graph.node(from.node).outputs[from.output].ops);
        let (port, is_lifted) = match &self.graph.node(to).body {
            Body::Operator(factory) => {
                // All edges into a stage carry the same type, so all are lifted or none.
                let is_lifted = factory.can_lift();
                (factory.port(is_lifted), is_lifted)
            }
            Body::Sink(factory) => (factory.port(), false),
            Body::Flatten => (ops.forward_port(), false),
            Body::Source(_) => (Elements::<()>::ops().forward_port(), false),
        };
        let id = self.edges.len();
        self.edges.push(EdgePlan { from, to: stage, is_lifted, port });
        self.stages[stage].inputs.push(id);
        id
    }

    /// The plan as text: each stage with its steps, then what it sends where.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (id, stage) in self.stages.iter().enumerate() {
            let _ = writeln!(text, "stage {id}");
            self.describe_step(stage.root, 1, &mut text);
        }
        text
    }

    fn describe_step(&self, node: NodeId, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        let step = self.graph.node(node);
        let _ = writeln!(text, "{indent}{} [{}]", step.path, step.kind);
        for output in 0..step.outputs.len() {
            for reader in self.readers(OutputRef { node, output }) {
                match *reader {
                    Reader::Fused(reader) => self.describe_step(reader, depth + 1, text),
                    Reader::Edge(edge) => {
                        let edge = &self.edges[edge];
                        let how = match (edge.port.partitioning(), edge.is_lifted) {
                            (_, true) => "combined, by key",
                            (Partitioning::Forward, _) => "forward",
                            (Partitioning::ByKey, _) => "by key",
                            (Partitioning::RoundRobin, _) => "in turn",
                        };
                        let _ = writeln!(text, "{indent}  -> stage {} ({how})", edge.to);
                    }
                }
            }
        }
    }
}
