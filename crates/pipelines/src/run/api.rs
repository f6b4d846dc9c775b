//! [`ApiOptions`]: the read API beside a job, in the same process.

use std::io::Write;
use std::net::Ipv4Addr;

use clap::Args;
use millstream::engine::job::JobControl;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::error::RunError;
use crate::scheduled_ingest::{ReadApi, ScheduledIngestConfig};

/// Options of the read API beside a job.
#[derive(Args, Clone, Debug, Default)]
#[non_exhaustive]
pub struct ApiOptions {
    /// Serve the read API on this port of 127.0.0.1 while the job runs; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub api_port: Option<u16>,
}

impl ApiOptions {
    /// Serves the rows of a job, if a port is given, and says where in `out`.
    ///
    /// # Errors
    /// When the API cannot be set up, the port cannot be had or `out` is gone.
    pub async fn serve(
        &self,
        config: &ScheduledIngestConfig,
        control: JobControl,
        out: &mut dyn Write,
    ) -> Result<Option<JoinHandle<std::io::Result<()>>>, RunError> {
        let Some(port) = self.api_port else { return Ok(None) };
        let failed = |source| RunError::ReadApiPort { port, source };
        let api = ReadApi::connect(config).await?.with_job(control);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        writeln!(out, "read API at http://{address}/")?;
        out.flush()?;
        Ok(Some(tokio::spawn(api.serve(listener, std::future::pending()))))
    }
}
