//! The integration tests: one binary, one module per feature, through the public interfaces only.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

mod destinations;
mod scheduled_ingest;
mod time;
