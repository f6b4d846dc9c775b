//! Millstream and its peers on the same events: the inputs, the workloads, and one module per engine.
//!
//! The program `peers` runs them side by side and compares counts, hashes, wall time, processor time and memory.
//! Must not decide what is fast: an engine here is written as its own examples and authors would write it.

pub mod engines;
pub mod inputs;
pub mod measure;
pub mod nexmark;
pub mod outcome;
pub mod random;
pub mod session;
pub mod window;
pub mod workload;
