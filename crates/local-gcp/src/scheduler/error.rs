//! What the scheduler refuses, and how jobs fail.

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
    /// A cron pattern that does not parse or can never be due.
    #[error("invalid cron pattern {pattern:?}")]
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
}
