//! The REST API, `/bigquery/v2`: datasets, tables, their rows (listed and inserted), query jobs, and load jobs with their file.

mod datasets;
mod discovery;
mod effects;
mod error;
mod insert_all;
mod jobs;
mod load_jobs;
mod properties;
mod request;
mod results;
mod router;
mod rows;
pub(super) mod schema;
mod tables;
mod upload;
mod uploads;

pub(crate) use router::router;

#[cfg(test)]
mod insert_all_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upload_tests;
