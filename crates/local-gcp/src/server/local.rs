//! The handle on a running server.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::builder::Builder;
use super::error::Result;
use crate::bigquery::BigQuery;
use crate::journal::DataDirectory;
use crate::pubsub::PubSub;
use crate::scheduler::LocalScheduler;

/// Running local servers of Google Cloud. They stop when this is dropped, or better with
/// [`shutdown`](Self::shutdown).
///
/// # Example
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let local = millstream_local_gcp::LocalGcp::start().await?;
/// local.pubsub().ensure_topic("projects/demo/topics/orders")?;
/// // Point a client of Google's at local.endpoint(), without credentials.
/// assert!(local.endpoint().starts_with("http://127.0.0.1:"));
/// local.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalGcp {
    parts: Parts,
}

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) address: SocketAddr,
    pub(super) grpc_address: SocketAddr,
    pub(super) pubsub: PubSub,
    pub(super) bigquery: BigQuery,
    pub(super) scheduler: LocalScheduler,
    pub(super) directory: Option<Arc<DataDirectory>>,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl LocalGcp {
    pub(super) fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Starts servers that keep everything in memory, on any free port.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Options before the start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where REST clients connect, and gRPC clients too unless gRPC has a port of its own; for example
    /// `http://127.0.0.1:8085`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.parts.address)
    }

    /// Where gRPC clients connect.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.parts.grpc_address)
    }

    /// Variables that make clients of Google's in several languages use these servers; where gRPC has a port of its own, with
    /// the one that leads millstream's connectors there for BigQuery's Storage API.
    #[must_use]
    pub fn emulator_variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("BIGQUERY_EMULATOR_HOST", self.endpoint()),
            ("PUBSUB_EMULATOR_HOST", self.parts.grpc_address.to_string()),
            // No client of Google's reads it: for programs that build their own channel.
            ("CLOUD_SCHEDULER_EMULATOR_HOST", self.parts.grpc_address.to_string()),
        ];
        if self.parts.grpc_address != self.parts.address {
            variables.push(("BIGQUERY_STORAGE_EMULATOR_HOST", self.grpc_endpoint()));
        }
        variables
    }

    /// Pub/Sub, in-process.
    #[must_use]
    pub fn pubsub(&self) -> &PubSub {
        &self.parts.pubsub
    }

    /// BigQuery, in-process.
    #[must_use]
    pub fn bigquery(&self) -> &BigQuery {
        &self.parts.bigquery
    }

    /// The scheduler, which goes by the same clock.
    #[must_use]
    pub fn scheduler(&self) -> &LocalScheduler {
        &self.parts.scheduler
    }

    /// Stops: streams end with `UNAVAILABLE`, requests under way get a few seconds, files are synced. The data
    /// directory is free for another server afterwards.
    ///
    /// # Errors
    /// When the files cannot be synced.
    pub async fn shutdown(mut self) -> Result<()> {
        self.parts.scheduler.shutdown().await;
        self.parts.pubsub.shut_down();
        self.parts.bigquery.shut_down();
        self.parts.shutdown.cancel();
        for task in std::mem::take(&mut self.parts.tasks) {
            // A task that panicked has stopped too.
            let _ = task.await;
        }
        if let Some(directory) = self.parts.directory.take() {
            directory.sync()?;
            directory.release()?;
        }
        Ok(())
    }
}

impl Drop for LocalGcp {
    fn drop(&mut self) {
        self.parts.scheduler.cancel();
        self.parts.pubsub.shut_down();
        self.parts.bigquery.shut_down();
        self.parts.shutdown.cancel();
    }
}
