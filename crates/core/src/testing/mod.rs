//! What tests of pipelines and operators need.
//!
//! A [`TestPipeline`] runs on one thread with a virtual clock; a [`TestStream`] plays elements, watermarks and processing time into it;
//! a [`PAssert`] says what must come out. An [`OperatorHarness`] runs one operator in every way an engine may run it.

mod driver;
mod harness;
mod passert;
mod test_pipeline;
mod test_stream;

#[cfg(test)]
mod tests;

pub use driver::{Emitted, OperatorDriver, Outbox};
pub use harness::{HarnessRun, OperatorHarness};
pub use passert::{PAssert, Pane, SingletonAssert};
pub use test_pipeline::TestPipeline;
pub use test_stream::{TestStream, TestStreamPosition, TestStreamReader};

pub mod sim;
