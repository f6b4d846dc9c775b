//! [`RunError`]: which part of a run failed.

use std::path::PathBuf;

use millstream_io_gcp::bigquery;
use millstream_io_gcp::pubsub::PubSubError;
use millstream_local_gcp::scheduler;

use crate::replay::ReplayError;
use crate::scheduled_ingest::{ConfigError, ReadApiError};

/// Why a run failed; the cause is in `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration does not fit together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Pub/Sub cannot be used.
    #[error(transparent)]
    PubSub(#[from] PubSubError),
    /// BigQuery cannot be used.
    #[error(transparent)]
    BigQuery(#[from] bigquery::Error),
    /// The job failed.
    #[error(transparent)]
    Job(#[from] millstream::Error),
    /// The local servers do not start or stop.
    #[error("the local servers failed")]
    LocalServers(#[from] millstream_local_gcp::Error),
    /// The schedule cannot be set up.
    #[error("the schedule failed")]
    Schedule(#[from] scheduler::Error),
    /// An option cannot be used.
    #[error("{0}")]
    Option(String),
    /// A file cannot be written or read.
    #[error("cannot {action} {path:?}", path = .path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The status pages cannot be served.
    #[error("cannot serve the status pages on port {port}")]
    StatusPages {
        /// The port.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// The read API cannot be set up.
    #[error(transparent)]
    ReadApi(#[from] ReadApiError),
    /// The read API cannot be served.
    #[error("cannot serve the read API on port {port}")]
    ReadApiPort {
        /// The port.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// Standard output, or wherever the run is told about, is gone.
    #[error("cannot print")]
    Print(#[from] std::io::Error),
}

impl RunError {
    /// The error and its causes, outermost first, each one line.
    #[must_use]
    pub fn chain(&self) -> Vec<String> {
        millstream::error::reason_chain(self)
    }

    pub(super) fn write(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { action: "write", path: path.into(), source }
    }
}
