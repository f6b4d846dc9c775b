//! The two kinds of errors a caller can meet: of the Storage Write API and of the REST API.

use std::fmt;

use super::names::{DatasetName, StreamName, TableName};
use crate::journal;
use crate::status::Code;

/// What exactly is wrong with a table or stream, as Google's `StorageError` detail says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageErrorCode {
    /// No such table.
    TableNotFound,
    /// The stream was committed before.
    StreamAlreadyCommitted,
    /// No such stream.
    StreamNotFound,
    /// The operation is not one of this type of stream.
    InvalidStreamType,
    /// The stream is not in the state the operation needs.
    InvalidStreamState,
    /// The stream takes no more rows.
    StreamFinalized,
    /// The rows have a field the table lacks.
    SchemaMismatchExtraFields,
    /// The rows at this offset were appended before.
    OffsetAlreadyExists,
    /// The offset is beyond the end of the stream.
    OffsetOutOfRange,
}

impl StorageErrorCode {
    /// The code's number on the wire.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::TableNotFound => 1,
            Self::StreamAlreadyCommitted => 2,
            Self::StreamNotFound => 3,
            Self::InvalidStreamType => 4,
            Self::InvalidStreamState => 5,
            Self::StreamFinalized => 6,
            Self::SchemaMismatchExtraFields => 7,
            Self::OffsetAlreadyExists => 8,
            Self::OffsetOutOfRange => 9,
        }
    }
}

/// What is wrong with one row of an append request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowError {
    /// The row's index in the request.
    pub index: usize,
    /// What is wrong.
    pub message: String,
}

/// Why an operation of the Storage Write API failed; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteError {
    /// The status code.
    pub code: Code,
    /// The status message.
    pub message: String,
    /// The `StorageError` detail: its code and the resource it is about.
    pub detail: Option<(StorageErrorCode, String)>,
    /// The faulty rows of an append.
    pub row_errors: Vec<RowError>,
    /// Whether an append error ends the connection instead of being one answer on it.
    pub ends_connection: bool,
}

impl WriteError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            detail: None,
            row_errors: Vec::new(),
            ends_connection: false,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(crate) fn with_detail(mut self, code: StorageErrorCode, entity: impl Into<String>) -> Self {
        self.detail = Some((code, entity.into()));
        self
    }

    pub(crate) fn ending_connection(mut self) -> Self {
        self.ends_connection = true;
        self
    }

    pub(crate) fn rows(row_errors: Vec<RowError>) -> Self {
        let message = "Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations.";
        Self { row_errors, ..Self::invalid(message) }
    }

    pub(crate) fn table_not_found(table: &TableName) -> Self {
        Self::new(
            Code::NotFound,
            format!("Requested entity was not found. Table {table} is not found."),
        )
        .with_detail(StorageErrorCode::TableNotFound, table.path())
        .ending_connection()
    }

    pub(crate) fn stream_not_found(stream: &StreamName) -> Self {
        Self::new(Code::NotFound, "Requested entity was not found. Stream is not found.")
            .with_detail(StorageErrorCode::StreamNotFound, stream.path())
            .ending_connection()
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.detail {
            Some((_, entity)) => write!(f, " Entity: {entity}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<journal::Error> for WriteError {
    fn from(error: journal::Error) -> Self {
        Self::new(Code::Internal, error.to_string()).ending_connection()
    }
}

/// The `reason` of a REST error, which fixes its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Something named does not exist.
    NotFound,
    /// Something of this name exists already.
    Duplicate,
    /// The request is malformed.
    Invalid,
    /// The request breaks a limit of the service in front.
    BadRequest,
    /// The query cannot be run.
    InvalidQuery,
    /// The query needs more memory than it may have.
    ResourcesExceeded,
    /// Something is still in use.
    ResourceInUse,
    /// The resource changed since the client read it.
    ConditionNotMet,
    /// This server does not do that.
    NotImplemented,
    /// The query was cancelled or given up.
    Stopped,
    /// Too much was asked in too short a time; try again later.
    RateLimitExceeded,
    /// The caller may not do this.
    AccessDenied,
    /// The service is not available; try again.
    BackendError,
    /// The service failed.
    InternalError,
}

impl Reason {
    /// The reason that REST gives for what gRPC answers with this code.
    #[must_use]
    pub fn of_code(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::Duplicate,
            Code::PermissionDenied => Self::AccessDenied,
            Code::ResourceExhausted => Self::RateLimitExceeded,
            Code::FailedPrecondition => Self::ResourceInUse,
            Code::Aborted | Code::Unavailable => Self::BackendError,
            Code::Unimplemented => Self::NotImplemented,
            Code::Internal => Self::InternalError,
        }
    }

    /// The reason as the `reason` field spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "notFound",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::BadRequest => "badRequest",
            Self::InvalidQuery => "invalidQuery",
            Self::ResourcesExceeded => "resourcesExceeded",
            Self::ResourceInUse => "resourceInUse",
            Self::ConditionNotMet => "conditionNotMet",
            Self::NotImplemented => "notImplemented",
            Self::Stopped => "stopped",
            Self::RateLimitExceeded => "rateLimitExceeded",
            Self::AccessDenied => "accessDenied",
            Self::BackendError => "backendError",
            Self::InternalError => "internalError",
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Duplicate => 409,
            Self::Invalid
            | Self::BadRequest
            | Self::InvalidQuery
            | Self::ResourcesExceeded
            | Self::ResourceInUse => 400,
            Self::ConditionNotMet => 412,
            Self::NotImplemented => 501,
            Self::Stopped => 499,
            Self::RateLimitExceeded => 429,
            Self::AccessDenied => 403,
            Self::BackendError => 503,
            Self::InternalError => 500,
        }
    }

    /// The canonical status name of the answer.
    #[must_use]
    pub fn status_name(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::Duplicate => "ALREADY_EXISTS",
            Self::Invalid | Self::BadRequest | Self::InvalidQuery => "INVALID_ARGUMENT",
            Self::ResourceInUse | Self::ConditionNotMet => "FAILED_PRECONDITION",
            Self::NotImplemented => "UNIMPLEMENTED",
            Self::Stopped => "CANCELLED",
            Self::ResourcesExceeded | Self::RateLimitExceeded => "RESOURCE_EXHAUSTED",
            Self::AccessDenied => "PERMISSION_DENIED",
            Self::BackendError => "UNAVAILABLE",
            Self::InternalError => "INTERNAL",
        }
    }
}

/// Why a REST request (or a job) failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ApiError {
    /// What kind of problem it is.
    pub reason: Reason,
    /// What is wrong.
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, message)
    }

    pub(crate) fn table_not_found(table: &TableName) -> Self {
        Self::new(Reason::NotFound, format!("Not found: Table {table}"))
    }

    pub(crate) fn dataset_not_found(dataset: &DatasetName) -> Self {
        Self::new(Reason::NotFound, format!("Not found: Dataset {dataset}"))
    }
}

impl From<journal::Error> for ApiError {
    fn from(error: journal::Error) -> Self {
        Self::new(Reason::InternalError, error.to_string())
    }
}
