//! Local Cloud Scheduler: runs jobs at intervals or by cron with a time zone, such as publishing to a topic.
//!
//! [`Schedule`] is pure arithmetic; [`LocalScheduler`] runs jobs on tokio by an injected clock. A job never
//! overlaps itself: ticks that fall due while it runs are made up for by one late run, which is told how many
//! were missed. Jobs come from the process itself ([`LocalScheduler::add`]) or over Google's API, gRPC and REST; the
//! latter are kept in the data directory, where there is one.
//!
//! Over the API, targets are Pub/Sub topics of the same server and `http://` addresses. Tokens for an HTTP target
//! (`oauth_token`, `oidc_token`) are kept and shown but not sent: there is nobody here to issue them.

mod api;
#[cfg(test)]
mod api_tests;
mod cron;
mod definition;
mod english;
mod error;
mod grpc;
mod http;
mod job;
mod names;
mod record;
pub(crate) mod rest;
mod retry;
mod runner;
mod schedule;
mod target;
mod task;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod year_tests;
mod zoned;

pub(crate) use api::CloudScheduler;
pub use error::{BoxError, Error, Result};
pub use job::{JobStatus, Tick};
pub use runner::LocalScheduler;
pub use schedule::Schedule;
pub use target::Target;
