//! The REST API, `/bigquery/v2`: datasets, tables, their rows, and query jobs.

mod datasets;
mod error;
mod jobs;
mod properties;
mod request;
mod router;
mod rows;
mod schema;
mod tables;

pub(crate) use router::router;

#[cfg(test)]
mod tests;
