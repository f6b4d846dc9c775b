//! What can go wrong with persistence.

use std::path::PathBuf;

/// Any error, as a replay closure may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Results of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The file system's answer.
        source: std::io::Error,
    },
    /// Another process (or server of this process) uses the directory.
    #[error("data directory {} is in use by another server", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file is not a journal of this format, or damaged before its last record.
    #[error("journal {} is damaged at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// Where the damage starts.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A record was read whole but cannot be applied; `source` says why.
    #[error("record at byte {offset} of journal {} does not apply", path.display())]
    Replay {
        /// The journal.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// Why it does not apply.
        source: BoxError,
    },
    /// A record does not fit or cannot be encoded.
    #[error("record cannot be written to journal {}", path.display())]
    Encode {
        /// The journal.
        path: PathBuf,
        /// Why not.
        source: BoxError,
    },
    /// An earlier write failed; nothing more is accepted, since memory is ahead of the file.
    #[error("journal {} stopped after a failed write: {reason}", path.display())]
    Stopped {
        /// The journal.
        path: PathBuf,
        /// The first failure.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on file operations.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
