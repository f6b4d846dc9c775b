//! Why a server does not start or stop as it should.

use std::net::SocketAddr;

use crate::journal;

/// Results of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server does not start or stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The port is taken or may not be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory")]
    Data(#[from] journal::Error),
}
