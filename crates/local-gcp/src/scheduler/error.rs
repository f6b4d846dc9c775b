//! What the scheduler refuses, and how jobs fail.

use crate::journal;
use crate::status::Code;

/// The error of a job's target.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Results of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// What the scheduler refuses, and how jobs fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An interval below a millisecond, or beyond what timestamps can express.
    #[error("a job's interval must be at least 1 ms and at most a century, not {interval:?}")]
    Interval {
        /// What was given.
        interval: std::time::Duration,
    },
    /// A cron pattern or an interval in words that does not parse.
    #[error("invalid schedule {pattern:?}")]
    Cron {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        source: BoxError,
    },
    /// A time zone that the IANA database does not have.
    #[error("unknown time zone {name:?}")]
    TimeZone {
        /// What was given.
        name: String,
        /// The database's answer.
        source: BoxError,
    },
    /// A job of this name exists.
    #[error("job {name:?} exists")]
    JobExists {
        /// Its name.
        name: String,
    },
    /// There is no job of this name (any more).
    #[error("there is no job {name:?}")]
    NoSuchJob {
        /// The name.
        name: String,
    },
    /// The job ran and its target failed; `source` says why.
    #[error("job {name:?} failed")]
    Failed {
        /// The job's name.
        name: String,
        /// The target's error.
        source: BoxError,
    },
    /// An argument is out of its range or contradicts another.
    #[error("{reason}")]
    InvalidArgument {
        /// Which one and why.
        reason: String,
    },
    /// The state of the job forbids the request.
    #[error("{reason}")]
    FailedPrecondition {
        /// Why.
        reason: String,
    },
    /// The location holds as many jobs as it may.
    #[error("{parent} has {limit} jobs, which is the limit")]
    Full {
        /// The project and location.
        parent: String,
        /// The limit.
        limit: usize,
    },
    /// Google offers it, this server does not.
    #[error("{what} is not served by the local Cloud Scheduler")]
    Unimplemented {
        /// The feature.
        what: &'static str,
    },
    /// The change could not be recorded; nothing more is accepted.
    #[error("the change could not be recorded")]
    Journal(#[source] journal::Error),
}

impl Error {
    /// The canonical code of the refusal.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Interval { .. }
            | Self::Cron { .. }
            | Self::TimeZone { .. }
            | Self::InvalidArgument { .. } => Code::InvalidArgument,
            Self::JobExists { .. } => Code::AlreadyExists,
            Self::NoSuchJob { .. } => Code::NotFound,
            Self::Failed { .. } | Self::FailedPrecondition { .. } => Code::FailedPrecondition,
            Self::Full { .. } => Code::ResourceExhausted,
            Self::Unimplemented { .. } => Code::Unimplemented,
            Self::Journal(_) => Code::Internal,
        }
    }

    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidArgument { reason: reason.into() }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Self::new(error.code().grpc(), chain(&error))
    }
}

/// The text of an error with its causes, for the wire.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
