//! A whole run of `scheduled-ingest` in one process: servers, schedule, feeder, pipeline, status pages, and what came out.
//!
//! [`RunOptions`] are the options of the example and of whoever wants the same; [`run`] does it. Services that are not
//! given are local servers of this process.

mod api;
mod error;
mod export;
mod job;
mod options;
mod places;
mod session;
mod summary;
mod tables;

pub use api::ApiOptions;
pub use error::RunError;
pub use job::{JobOptions, wait};
pub use options::RunOptions;
pub use places::Places;
pub use session::{Outcome, run};
pub use summary::{Latency, Summary};
pub use tables::{Preview, Table, TableReader};
