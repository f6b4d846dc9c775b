//! The engines that are compared: what each must offer, and which there are.

use std::fmt;

use crate::outcome::Outcome;
use crate::workload::{Agreement, Data, Workload};

pub mod millstream;
pub mod plain;
#[cfg(feature = "renoir")]
pub mod renoir;
#[cfg(feature = "timely")]
pub mod timely;

/// An engine that can run workloads.
pub trait Engine: fmt::Debug {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// Whether the engine can run `workload` at all.
    fn supports(&self, workload: Workload) -> bool;

    /// How far this engine's outcome can be compared with the others'.
    fn agreement(&self, _workload: Workload) -> Agreement {
        Agreement::Exact
    }

    /// Runs `workload` over `data` with `workers` worker threads, from a standing start to the last output.
    fn run(&self, workload: Workload, data: &Data, workers: usize) -> Outcome;
}

/// Every engine that was compiled in, the plain loop first.
#[must_use]
pub fn all() -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(plain::Plain),
        #[cfg(feature = "timely")]
        Box::new(timely::Timely),
        #[cfg(feature = "renoir")]
        Box::new(renoir::Renoir),
        Box::new(millstream::Millstream),
    ]
}
