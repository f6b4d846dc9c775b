//! The operators the engine runs, the seam they are written against, and the links that make stages of them.
//!
//! An [`Operator`] sees batches and signals and writes to an [`Output`]; it knows neither who feeds it nor
//! where its output goes. [`link`] joins operators into trees with one virtual call per batch and step.

pub mod dedup;
pub mod erased;
pub mod exchange;
pub mod group;
pub mod link;
pub mod map;
pub mod output;
pub mod par_do;
pub mod pre_combine;
pub mod running;
pub mod seam;
pub mod sink_task;
pub mod sliced;
pub mod source_task;
pub mod table;
pub mod try_map;

pub use link::{Discard, Push, Step, Tee};
pub use output::Output;
pub use seam::{Barrier, Operator, Progress, Signal, StageContext};
