//! Local scheduler: runs jobs at intervals or by cron with a time zone, such as publishing to a topic.
//!
//! [`Schedule`] is pure arithmetic; [`LocalScheduler`] runs jobs on tokio by an injected clock. A job never
//! overlaps itself: ticks that fall due while it runs are made up for by one late run, which is told how many
//! were missed.

mod error;
mod job;
mod runner;
mod schedule;
#[cfg(test)]
mod tests;

pub use error::{BoxError, Error, Result};
pub use job::{JobStatus, Target, Tick};
pub use runner::LocalScheduler;
pub use schedule::Schedule;
