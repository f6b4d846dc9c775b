//! The `millstream` program as others run it: processes that are killed, told to stop and started again, against local servers in
//! a process of their own.
//!
//! They stand here and not with the other integration tests because only a test of the same package is told where the
//! program is.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

mod drain;
mod exit;
#[allow(dead_code, reason = "the other integration tests use more of it")]
#[path = "../../../../tests/it/scheduled_ingest/flights.rs"]
mod flights;
mod kill;
mod load;
mod moment;
mod outage;
mod program;
mod read_api;
mod scene;
mod server;
