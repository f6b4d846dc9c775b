//! In-process servers that speak the protocols of Google Cloud.
//!
//! [`LocalGcp`] serves Pub/Sub and BigQuery on a port of 127.0.0.1, REST and gRPC together, to the clients of
//! any language; with a data directory it survives restarts and crashes. `GET /status` tells what is there, as JSON. Inside each service is a pure state
//! machine without clock, sockets or threads, which a simulator can drive directly.

pub mod bigquery;
pub mod clock;
pub mod journal;
pub mod proto;
pub mod pubsub;
pub mod scheduler;
mod server;
pub mod status;

pub use server::{Builder, Error, LocalGcp, Result};
