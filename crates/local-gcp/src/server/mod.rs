//! The server: one port on the loopback interface for REST and gRPC of all services, or one port each.

mod builder;
mod connections;
mod error;
mod faults;
mod host;
mod local;
mod mux;
mod overview;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use error::{Error, Result};
pub use local::LocalGcp;
