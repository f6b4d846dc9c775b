//! `millstream read-api`: the rows that the pipeline wrote, over HTTP.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream::BoxError;
use millstream_pipelines::run::RunError;
use millstream_pipelines::scheduled_ingest::ReadApi;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::config_file;
use crate::signals::Signals;

/// How long requests may still take after a signal: most who send SIGTERM kill after 10 s.
const LAST_ANSWERS: Duration = Duration::from_secs(8);

/// Options of the read API.
#[derive(Args)]
pub(crate) struct Serve {
    /// The configuration of the pipeline, as JSON
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The address to listen at; 0.0.0.0 is all of this machine's
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
}

impl Serve {
    /// Serves until a signal, and says where.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let config = config_file::read(&self.config)?;
        // Before anybody knows where it is, so that no signal is missed.
        let mut signals = Signals::listen()?;
        let api = ReadApi::connect(&config).await?;
        let failed = |source| RunError::ReadApiPort { port: self.port, source };
        let listener = TcpListener::bind((self.host, self.port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut out = std::io::stdout();
        writeln!(out, "read API at http://{address}/, rows of {}", config.tables.rows)?;
        out.flush()?;
        let (stop, stopped) = oneshot::channel();
        let mut serving = tokio::spawn(api.serve(listener, async move {
            // Without a sender there is nobody left to serve for.
            let _ = stopped.await;
        }));
        tokio::select! {
            ended = &mut serving => return Ok(ended??),
            _ = signals.next() => {}
        }
        // Fails only when the server has ended.
        let _ = stop.send(());
        match signals.bear(1, tokio::time::timeout(LAST_ANSWERS, serving)).await {
            Ok(ended) => Ok(ended??),
            // Whoever still waits has been told so by the connection's end.
            Err(_) => Ok(()),
        }
    }
}
