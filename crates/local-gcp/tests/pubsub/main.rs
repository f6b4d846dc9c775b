//! Pub/Sub over the wire, by Google's own Rust client and by a bare gRPC one.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic, are not tests to the lint"
)]

mod crash;
mod delivery;
mod official;
mod schemas;
mod support;
mod wire;
