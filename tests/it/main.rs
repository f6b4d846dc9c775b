//! The integration tests: one binary, one module per feature, through the public interfaces only.

mod scheduled_ingest;
mod time;
