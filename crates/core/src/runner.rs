//! [`Runner`]: anything that runs a pipeline.

use crate::engine::{Engine, Report};
use crate::error::Result;
use crate::pipeline::Pipeline;

/// Runs pipelines: the embedded engine, and later Beam's runners.
pub trait Runner {
    /// Runs `pipeline` to its end.
    ///
    /// # Errors
    /// What the pipeline failed with, or why it cannot run.
    fn run(&self, pipeline: &Pipeline) -> Result<Report>;
}

impl Runner for Engine {
    fn run(&self, pipeline: &Pipeline) -> Result<Report> {
        Self::run(self, pipeline)
    }
}
