//! Query jobs: their requests, their runs, and the results they keep for a while.

mod destination;
mod parameters;
mod run;
mod store;

#[cfg(all(test, feature = "sql"))]
pub(crate) use run::STACK_BYTES;
pub(crate) use run::{QueryRequest, run};
pub(crate) use store::{Job, JobKey, Jobs, Outcome};
