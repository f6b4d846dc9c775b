//! The predefined millstream pipelines and the millstream program.
//!
//! A pipeline is a function from a checked configuration to a [`millstream::Pipeline`], made of public operators only, so that
//! everything here can be built by a user in the same way.

mod histogram;
pub mod logs;
pub mod replay;
pub mod run;
pub mod scheduled_ingest;
pub mod visibility;

pub use histogram::Histogram;
