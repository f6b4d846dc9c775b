//! [`PipelineGraph`]: what an engine needs of a pipeline, so that it knows nothing of the typed builder.

use crate::error::Result;
use crate::graph::Graph;

/// Gives a checked graph to run.
pub trait PipelineGraph {
    /// Name of the job.
    fn job_name(&self) -> &str;

    /// The graph, checked.
    ///
    /// # Errors
    /// [`crate::Error::Graph`] with every problem found.
    fn checked_graph(&self) -> Result<Graph>;
}
