//! [`ReadApi`]: the API as a router to embed, or served on a listener.

use axum::Router;
use millstream::engine::job::JobControl;
use millstream_io_gcp::bigquery::{self, QueryClient};
use tokio::net::TcpListener;

use super::super::config::ScheduledIngestConfig;
use super::super::validate::ConfigError;
use super::controller::Api;
use super::model::RowStore;
use super::router::router;

/// The read API of one table of rows.
///
/// ```no_run
/// use millstream_pipelines::scheduled_ingest::{ReadApi, ScheduledIngestConfig};
/// use tokio::net::TcpListener;
///
/// # async fn serve(config: ScheduledIngestConfig) -> Result<(), Box<dyn std::error::Error>> {
/// let api = ReadApi::connect(&config).await?;
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// api.serve(listener, std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReadApi {
    api: Api,
}

/// Why the read API cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadApiError {
    /// The configuration does not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No client for BigQuery can be made.
    #[error(transparent)]
    BigQuery(#[from] bigquery::Error),
}

impl ReadApi {
    /// The API of the rows that a pipeline of this configuration writes. Nothing is asked yet.
    ///
    /// # Errors
    /// When the configuration does not fit together or no client can be made.
    pub async fn connect(config: &ScheduledIngestConfig) -> Result<Self, ReadApiError> {
        let schema = config.prepare()?.message.table().clone();
        let table = &config.tables.rows;
        let client = QueryClient::connect(&config.bigquery, table.project()).await?;
        let store = RowStore::new(client, table, &schema, &config.read_api);
        Ok(Self { api: Api::new(store, schema) })
    }

    /// Also shows how well this job, which runs in the same process, processes.
    #[must_use]
    pub fn with_job(mut self, job: JobControl) -> Self {
        self.api.job = Some(job);
        self
    }

    /// The API as a router, to be part of another server.
    pub fn router(self) -> Router {
        router(self.api)
    }

    /// Serves until `stop` completes and what was asked before is answered.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(stop).await
    }
}
