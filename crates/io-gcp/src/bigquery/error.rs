//! [`Error`]: what can go wrong between a job and BigQuery, apart from single rows that are refused.
//!
//! A row that does not fit is no error: it leaves the sink as a refused element. Everything here stops the
//! call or the job, names the table or query concerned, and keeps Google's own error as its cause.

use millstream::BoxError;

use super::failure::of_call;

/// The result of this module's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why BigQuery could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name is no name of a table.
    #[error("{text:?} is no table reference: {reason}")]
    TableReference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A schema that BigQuery would not accept.
    #[error("invalid schema: {reason}")]
    Schema {
        /// What is wrong with it, naming the column.
        reason: String,
    },
    /// The table exists, but rows of the given schema do not fit into it.
    #[error("table {table} does not match the schema: {reason}")]
    SchemaMismatch {
        /// The table.
        table: String,
        /// Every difference, separated by semicolons.
        reason: String,
    },
    /// Rows could not be turned into an Arrow batch.
    #[error("rows could not be encoded as Arrow")]
    Encode {
        /// Arrow's own error.
        source: BoxError,
    },
    /// A client could not be made, for example for want of credentials.
    #[error("cannot connect to BigQuery")]
    Connect {
        /// The cause.
        source: BoxError,
    },
    /// A table could not be looked up or created.
    #[error("cannot {action} {table}")]
    Table {
        /// `look up` or `create`.
        action: &'static str,
        /// The table or dataset.
        table: String,
        /// Google's own error.
        source: BoxError,
    },
    /// Rows can no longer be written; a restart from the last checkpoint continues exactly.
    #[error("cannot write to {table}: {what}")]
    Write {
        /// The table.
        table: String,
        /// What failed, in words for people, with BigQuery's own message.
        what: String,
    },
    /// A query failed.
    #[error("query failed: {what}")]
    Query {
        /// Which way it failed.
        kind: QueryFailure,
        /// BigQuery's message.
        what: String,
        /// The client's own error, when there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// A row of a query's answer is not what the caller expects.
    #[error("row {row} of the answer does not have the expected form")]
    Row {
        /// Number of the row, from 0.
        row: usize,
        /// What does not fit.
        source: BoxError,
    },
}

/// Which way a query failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryFailure {
    /// A table, dataset or project does not exist.
    NotFound,
    /// The query or a parameter is wrong.
    Invalid,
    /// There was no answer in time.
    Timeout,
    /// The caller may not do this.
    Denied,
    /// BigQuery could not be reached or was too busy.
    Unavailable,
    /// Anything else.
    Other,
}

impl Error {
    /// Whether a table, dataset or project does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Query { kind, .. } => *kind == QueryFailure::NotFound,
            Self::Table { source, .. } => {
                source.downcast_ref::<google_cloud_gax::error::Error>().is_some_and(is_not_found)
            }
            _ => false,
        }
    }

    /// Whether the request itself is wrong: asking again will not help.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        match self {
            Self::TableReference { .. } | Self::Schema { .. } | Self::SchemaMismatch { .. } => true,
            Self::Query { kind, .. } => *kind == QueryFailure::Invalid,
            _ => false,
        }
    }

    /// Whether there was no answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Query { kind: QueryFailure::Timeout, .. })
    }

    /// Whether BigQuery could not be reached or was too busy: asking again may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Query { kind, .. } => *kind == QueryFailure::Unavailable,
            Self::Table { source, .. } => source
                .downcast_ref::<google_cloud_gax::error::Error>()
                .is_some_and(|cause| of_call(cause).kind.is_retryable()),
            _ => false,
        }
    }

    /// Whether the caller may not do this.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Query { kind: QueryFailure::Denied, .. })
    }

    pub(crate) fn schema(reason: impl Into<String>) -> Self {
        Self::Schema { reason: reason.into() }
    }
}

/// Whether Google answered that something does not exist.
pub(crate) fn is_not_found(error: &google_cloud_gax::error::Error) -> bool {
    error.http_status_code() == Some(404)
        || error
            .status()
            .is_some_and(|status| status.code == google_cloud_gax::error::rpc::Code::NotFound)
}
