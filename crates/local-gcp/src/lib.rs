//! In-process servers that speak the protocols of Google Cloud.
//!
//! [`LocalGcp`] serves Pub/Sub and BigQuery on a port of 127.0.0.1, REST and gRPC together, to the clients of
//! any language; with a data directory it survives restarts and crashes. `GET /status` tells what is there, as JSON. `PUT /faults` makes BigQuery
//! refuse requests or lose answers for a while, so that a test can see a program bear it:
//!
//! ```sh
//! curl -X PUT http://127.0.0.1:8085/faults \
//!     -d '{"bigquery": {"appends": {"code": "RESOURCE_EXHAUSTED", "seconds": 5}, "lost_append_answers": 3}}'
//! ```
//!
//! `appends`, `writes` (every call of the Storage Write API) and `rest` take a `code` and a number of `requests` or `seconds`;
//! `GET /faults` tells what is left and how many requests were `refused`, `DELETE /faults` ends them.
//!
//! Inside each service is a pure state
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
