//! The graph as text and as a DOT drawing.

use std::fmt::Write as _;

use crate::graph::Graph;

/// The graph in the DOT language, for Graphviz.
#[must_use]
pub fn render(graph: &Graph) -> String {
    let mut dot = String::from("digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n");
    for (id, node) in graph.nodes().iter().enumerate() {
        let label = format!("{}\\n{}", node.path.replace('"', "'"), node.kind);
        let _ = writeln!(dot, "  n{id} [label=\"{label}\"];");
        for input in &node.inputs {
            let name = graph.node(input.node).outputs[input.output].name;
            let edge = if name == "main" { String::new() } else { format!(" [label=\"{name}\"]") };
            let _ = writeln!(dot, "  n{} -> n{id}{edge};", input.node);
        }
    }
    dot.push_str("}\n");
    dot
}
