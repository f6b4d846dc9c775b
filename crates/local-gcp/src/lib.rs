//! In-process servers that speak the protocols of Google Cloud.

pub mod bigquery;
pub mod clock;
pub mod journal;
pub mod proto;
pub mod pubsub;
pub mod status;
