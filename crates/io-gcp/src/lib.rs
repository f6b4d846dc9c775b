//! Google Cloud connectors for millstream, on Google's official Rust clients: one module and one feature per service.
//!
//! Every connector is a protocol state machine, which knows neither sockets nor clocks nor an async runtime, inside a thin
//! shell that speaks to the service. The same [`connection::Connection`] reaches the cloud and a server on this machine.

#[cfg(feature = "bigquery")]
pub mod bigquery;
pub mod connection;
#[cfg(feature = "pubsub")]
pub mod pubsub;
