//! What the protocol machines and their shells say to each other.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Number of an open connection to a stream; never used twice by a machine.
pub type ConnectionId = u64;
/// Number of a block of rows; never used twice by a machine.
pub type AppendId = u64;

/// Rows that are appended by one request.
pub trait Block {
    /// What is sent; cheap to clone, because it may be sent again.
    type Body: Clone;

    /// Number of rows, at least 1.
    fn rows(&self) -> u64;

    /// Bytes on the wire.
    fn bytes(&self) -> usize;

    /// What is sent.
    fn body(&self) -> Self::Body;
}

/// Which stream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A new buffered stream.
    Buffered,
    /// The default stream of the table.
    Default,
}

/// What a machine wants done. Requests on one connection are carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<Body> {
    /// Open a stream and connect to it.
    Open {
        /// The connection to be made.
        connection: ConnectionId,
        /// Which stream.
        kind: StreamKind,
    },
    /// Connect to an existing stream.
    Connect {
        /// The connection to be made.
        connection: ConnectionId,
        /// Name of the stream.
        stream: String,
    },
    /// Append rows.
    Append {
        /// The connection to use.
        connection: ConnectionId,
        /// The block.
        append: AppendId,
        /// Row of the stream at which it goes; `None` on a default stream.
        offset: Option<u64>,
        /// The rows.
        body: Body,
    },
    /// Forget a connection; nothing of it is answered any more.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
    /// Make the first rows of a stream visible.
    Flush {
        /// Name of the stream.
        stream: String,
        /// How many rows, at least 1.
        rows: u64,
    },
    /// End a stream, so that nobody can append to it any more.
    Finalize {
        /// Name of the stream.
        stream: String,
    },
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of [`Request::Open`]: the name of the stream.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// The stream's name.
        result: Result<String, Failure>,
    },
    /// Of [`Request::Connect`].
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// Whether the stream is there.
        result: Result<(), Failure>,
    },
    /// Of [`Request::Append`].
    Appended {
        /// The connection.
        connection: ConnectionId,
        /// The block.
        append: AppendId,
        /// The offset that the server names, where it does.
        result: Result<Option<u64>, Failure>,
    },
    /// Of [`Request::Flush`].
    Flushed {
        /// The stream.
        stream: String,
        /// How many rows were asked for.
        rows: u64,
        /// Whether they are visible.
        result: Result<(), Failure>,
    },
    /// Of [`Request::Finalize`].
    Finalized {
        /// The stream.
        stream: String,
        /// Whether it has ended.
        result: Result<(), Failure>,
    },
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which way.
    pub kind: FailureKind,
    /// The server's words.
    pub message: String,
}

impl Failure {
    /// A failure of kind `kind`, described by `message`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.kind.words())
    }
}

/// Which way a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// There are rows at this offset already, or they were flushed already.
    AlreadyExists,
    /// The offset lies behind the end of the stream.
    OutOfRange,
    /// Too much was asked in too short a time.
    Throttled,
    /// The outcome is unknown; the connection may still be usable.
    Unavailable,
    /// The outcome is unknown, and the connection is gone.
    ConnectionLost,
    /// The stream or table does not exist.
    NotFound,
    /// Somebody ended the stream.
    StreamFinalized,
    /// Single rows were refused, and none of the block was written.
    Rows(Vec<RowFailure>),
    /// The request as a whole is wrong, for example for this table's schema.
    Invalid,
    /// The caller may not do this.
    Denied,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// Whether the outcome is unknown and the same request may be sent again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable | Self::ConnectionLost)
    }

    const fn words(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "already exists",
            Self::OutOfRange => "out of range",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::ConnectionLost => "connection lost",
            Self::NotFound => "not found",
            Self::StreamFinalized => "stream finalised",
            Self::Rows(_) => "rows refused",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Other => "failed",
        }
    }
}

/// Why one row of a block was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFailure {
    /// Number of the row in its block, from 0.
    pub index: u64,
    /// The server's words.
    pub reason: String,
}

/// A block of which rows were refused: to be taken apart and put back without them.
#[derive(Debug)]
pub struct Split<B> {
    /// Number of the block.
    pub append: AppendId,
    /// The block.
    pub block: B,
    /// The rows that were refused; never empty.
    pub failures: Vec<RowFailure>,
}

/// How far one stream is to be made visible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamCommit {
    /// Name of the stream.
    pub stream: String,
    /// Its first rows, this many, belong to the checkpoint.
    pub rows: u64,
    /// So many of them were visible when the checkpoint was taken.
    pub flushed: u64,
}

impl StreamCommit {
    /// `rows` rows of `stream`, of which `flushed` are visible already.
    pub fn new(stream: impl Into<String>, rows: u64, flushed: u64) -> Self {
        Self { stream: stream.into(), rows, flushed }
    }
}

/// What a commit needs to know; part of the checkpoint. Empty where rows are visible at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Committable {
    /// The streams that rows were written to.
    pub streams: Vec<StreamCommit>,
}

/// Writing cannot go on; a restart from the last checkpoint continues exactly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ProtocolError {
    what: String,
}

impl ProtocolError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }

    pub(super) fn because(what: &str, failure: &Failure) -> Self {
        Self::new(format!("{what}: {failure}"))
    }
}

/// Limits and patience of a machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProtocolOptions {
    /// Most blocks that are not answered.
    pub blocks_max: usize,
    /// Most bytes that are not answered, within one block.
    pub bytes_max: usize,
    /// How long an append may stay without an answer before its connection is given up.
    pub append_timeout: Duration,
    /// How long any other request may stay without an answer.
    pub control_timeout: Duration,
    /// How long to go on trying without a success before the job fails. Without end by default: trouble that a restart would not
    /// end either is no reason for one.
    pub give_up_after: Duration,
    /// How long a table that was just created may stay unknown.
    pub table_grace: Duration,
    /// After how long without rows a stream is ended.
    pub idle_after: Duration,
    /// Go on when a stream of a restored checkpoint no longer exists, although some of its rows may never have become visible.
    pub skip_missing_streams: bool,
    /// Seed of the jitter between tries.
    pub seed: u64,
}

impl Default for ProtocolOptions {
    fn default() -> Self {
        Self {
            // 24 MiB in blocks of 1 MiB keep a connection busy over a round trip of 100 ms.
            blocks_max: 24,
            bytes_max: 24 << 20,
            append_timeout: Duration::from_secs(60),
            control_timeout: Duration::from_secs(60),
            give_up_after: Duration::MAX,
            table_grace: Duration::from_secs(60),
            idle_after: Duration::from_secs(600),
            skip_missing_streams: false,
            seed: 0,
        }
    }
}
