//! The embedded engine: plans a graph into stages, runs them on workers, checkpoints them.
//!
//! [`plan`] rewrites the graph, [`worker`] is a deterministic step function, [`coordinator`] decides when to cut and commit,
//! and the [`drivers`] alone know threads, clocks and the asynchronous runtime.

pub mod builder;
pub mod coordinator;
pub mod display;
pub mod drivers;
pub mod job;
pub mod mailbox;
pub mod plan;
pub mod report;
mod restarts;
pub mod stage;
pub mod wiring;
pub mod worker;

pub use builder::Engine;
pub use job::{JobHandle, StopMode};
pub use report::Report;
