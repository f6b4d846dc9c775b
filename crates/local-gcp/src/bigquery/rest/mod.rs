//! The REST API, `/bigquery/v2`: datasets, tables, their rows (listed and inserted), and query jobs.

mod datasets;
mod discovery;
mod error;
mod insert_all;
mod jobs;
mod properties;
mod request;
mod router;
mod rows;
mod schema;
mod tables;

pub(crate) use router::router;

#[cfg(test)]
mod insert_all_tests;
#[cfg(test)]
mod tests;
