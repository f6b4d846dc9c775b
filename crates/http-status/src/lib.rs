//! Metrics, health and status endpoints of a running millstream job.
//!
//! | path | what it tells |
//! |---|---|
//! | `/metrics` | counters and gauges in Prometheus' text format |
//! | `/healthz` | 200 unless the job failed |
//! | `/readyz` | 200 while the job processes |
//! | `/status` | the job's whole status as JSON |
//!
//! All of it is made from the job's [`Status`](millstream::metrics::Status). With a [`Recorder`] installed, `/metrics` also shows what
//! connectors and the user's own code count through the `metrics` facade.
//!
//! ```no_run
//! use millstream::prelude::*;
//! use millstream_http_status::StatusPages;
//!
//! # async fn run(pipeline: Pipeline) -> Result<(), Box<dyn std::error::Error>> {
//! let job = Engine::builder().start(&pipeline)?;
//! let listener = StatusPages::bind(9090).await?;
//! tokio::spawn(StatusPages::new(job.control()).serve(listener));
//! # Ok(())
//! # }
//! ```

mod exposition;
mod job_metrics;
mod pages;
mod recorder;

pub use pages::StatusPages;
pub use recorder::{InstallError, Recorder};
