//! What tests of pipelines and operators need.
//!
//! [`OperatorHarness`] runs one operator in every way an engine may run it.

mod driver;
mod harness;

#[cfg(test)]
mod tests;

pub use driver::{Emitted, OperatorDriver, Outbox};
pub use harness::{HarnessRun, OperatorHarness};

pub mod sim;
