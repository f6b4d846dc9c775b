//! Streaming dataflow in the Apache Beam model, run by an embedded engine.

pub mod error;
pub mod time;

pub use error::{BoxError, Error, Result};
pub use time::{Clock, Timestamp};
