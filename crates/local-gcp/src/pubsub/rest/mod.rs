//! Pub/Sub over REST/JSON (`/v1/projects/...`), which Google's Rust admin clients speak.

mod json;
mod routes;
mod schemas;
mod snapshots;
pub(crate) mod values;

pub(crate) use routes::router;
