//! Checks of a graph before it runs: all problems at once, each with its step, the place it was applied and a hint.

use std::collections::BTreeMap;

use crate::error::{Error, Problem, Result};
use crate::graph::{Graph, Node, NodeId, OutputRef, Reading};

/// Checks the whole graph.
///
/// # Errors
/// [`Error::Graph`] with every problem found.
pub fn validate(graph: &Graph) -> Result<()> {
    let mut problems = Vec::new();
    if graph.nodes().is_empty() {
        problems.push(Problem::new("", "", "it has no steps", "read a source first"));
    }
    duplicate_names(graph, &mut problems);
    for (id, node) in graph.nodes().iter().enumerate() {
        problems.extend(node.problems.iter().map(|(what, hint)| {
            Problem::new(&*node.path, &*node.location, what.clone(), hint.clone())
        }));
        unread_failures(graph, id, node, &mut problems);
        grouping(node, &mut problems);
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Graph { problems }) }
}

fn duplicate_names(graph: &Graph, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
    for node in graph.nodes() {
        if let Some(first) = seen.insert(&node.path, node) {
            let what = format!("its name is taken by the step applied at {}", first.location);
            let hint = "names identify state and metrics: give each step its own";
            problems.push(Problem::new(&*node.path, &*node.location, what, hint));
        }
        if node.path.split('/').any(str::is_empty) {
            let hint = "name each step; a slash separates composites";
            problems.push(Problem::new(&*node.path, &*node.location, "its name is empty", hint));
        }
    }
}

fn unread_failures(graph: &Graph, id: NodeId, node: &Node, problems: &mut Vec<Problem>) {
    for (output, spec) in node.outputs.iter().enumerate() {
        let is_read = !graph.readers(OutputRef { node: id, output }).is_empty();
        if spec.reading == Reading::Required && !is_read {
            let what =
                format!("nobody reads its {} output, so what fails would be lost", spec.name);
            let hint = "write it to a sink, or call `.ignore(\"why\")` on it";
            problems.push(Problem::new(&*node.path, &*node.location, what, hint));
        }
    }
}

fn grouping(node: &Node, problems: &mut Vec<Problem>) {
    let Some(strategy) = &node.grouping else { return };
    if node.is_unbounded && strategy.needs_bounded_input() {
        let what = "it groups unbounded input in the global window under the default trigger, which never fires";
        let hint =
            "apply `window` with fixed, sliding or session windows before it, or set a trigger";
        problems.push(Problem::new(&*node.path, &*node.location, what, hint));
    }
}
