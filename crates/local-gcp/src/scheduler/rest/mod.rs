//! Cloud Scheduler over REST/JSON (`/v1/projects/P/locations/...`), which Google's Rust client and gcloud speak.

mod json;
mod routes;

pub(crate) use routes::router;
