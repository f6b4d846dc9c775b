//! [`ReplayError`]: which file cannot be read, which position not be kept, what could not be published.

use std::path::PathBuf;

use millstream_io_gcp::pubsub::PubSubError;

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {path:?}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The file is no CSV file.
    #[error("{path:?} is no CSV file", path = .path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: csv::Error,
    },
    /// The position of the feeder cannot be kept or is not what was written.
    #[error("cannot {action} the feeder's position {path:?}", path = .path.display())]
    Position {
        /// `read` or `write`.
        action: &'static str,
        /// The file it is kept in.
        path: PathBuf,
        /// What the file system or the parser says.
        source: std::io::Error,
    },
    /// A slice could not be published; it is published again at the next tick.
    #[error("cannot publish the next slice")]
    Publish {
        /// What the publisher says.
        source: PubSubError,
    },
}
