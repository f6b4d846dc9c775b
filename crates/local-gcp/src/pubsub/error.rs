//! What Pub/Sub answers when it refuses.

use prost::Message as _;

use super::message::AckId;
use crate::journal;
use crate::proto::rpc::ErrorInfo;
use crate::status::Code;

/// Results of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an acknowledgement id had no effect on a subscription that delivers exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckFailure {
    /// It does not name the newest delivery of a message, or that delivery ended.
    Invalid,
    /// An older message of the same ordering key is not acknowledged; the client tries again.
    Unordered,
}

impl AckFailure {
    /// The reason as client libraries look for it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "PERMANENT_FAILURE_INVALID_ACK_ID",
            Self::Unordered => "TRANSIENT_FAILURE_UNORDERED_ACK_ID",
        }
    }
}

/// A refused request. The texts follow Google's, because users and client libraries know them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A topic or subscription does not exist.
    #[error("Resource not found (resource={resource}).")]
    NotFound {
        /// Last part of the resource name.
        resource: String,
    },
    /// A topic or subscription of this name exists.
    #[error("Resource already exists in the project (resource={resource}).")]
    AlreadyExists {
        /// Last part of the resource name.
        resource: String,
    },
    /// A resource name is not of the form that its kind needs.
    #[error("Invalid [{kind}] name: (name={name})")]
    InvalidName {
        /// `topics`, `subscriptions` or `projects`.
        kind: &'static str,
        /// What was given.
        name: String,
    },
    /// An argument is out of its range or contradicts another.
    #[error("{reason}")]
    InvalidArgument {
        /// Which one and why.
        reason: String,
    },
    /// An acknowledgement id that no server of this kind gave out.
    #[error("You have passed an invalid ack ID to the service (ack_id={ack_id}).")]
    InvalidAckId {
        /// What was given.
        ack_id: String,
    },
    /// Some acknowledgement ids had no effect, where that matters; the others of the request had.
    #[error(
        "Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids have expired or the acknowledgement ids were malformed."
    )]
    AckIds {
        /// Which, and why.
        failures: Vec<(AckId, AckFailure)>,
    },
    /// The state of a resource forbids the request.
    #[error("{reason}")]
    FailedPrecondition {
        /// Why.
        reason: String,
    },
    /// The server holds as many unacknowledged and retained bytes as it may.
    #[error(
        "the local Pub/Sub holds {held} bytes of unacknowledged or retained messages, its limit is {limit}"
    )]
    Full {
        /// Bytes held over all subscriptions and snapshots.
        held: u64,
        /// The configured limit.
        limit: u64,
    },
    /// Google offers it, this server does not.
    #[error("{what} is not served by the local Pub/Sub")]
    Unimplemented {
        /// The feature.
        what: &'static str,
    },
    /// The server is shutting down.
    #[error("the local Pub/Sub is shutting down")]
    ShuttingDown,
    /// The change could not be recorded; nothing more is accepted.
    #[error("the change could not be recorded")]
    Journal(#[source] journal::Error),
}

impl Error {
    /// The canonical code of the refusal.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::InvalidName { .. }
            | Self::InvalidArgument { .. }
            | Self::InvalidAckId { .. }
            | Self::AckIds { .. } => Code::InvalidArgument,
            Self::FailedPrecondition { .. } => Code::FailedPrecondition,
            Self::Full { .. } => Code::ResourceExhausted,
            Self::Unimplemented { .. } => Code::Unimplemented,
            Self::ShuttingDown => Code::Unavailable,
            Self::Journal(_) => Code::Internal,
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidArgument { reason: reason.into() }
    }

    pub(crate) fn not_found(name: &str) -> Self {
        Self::NotFound { resource: last_part(name).to_owned() }
    }

    pub(crate) fn already_exists(name: &str) -> Self {
        Self::AlreadyExists { resource: last_part(name).to_owned() }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let (code, text) = (error.code().grpc(), message(&error));
        match error_info(&error) {
            Some(info) => Self::with_details(code, text.clone(), details(code, text, &info)),
            None => Self::new(code, text),
        }
    }
}

/// What client libraries read from a refusal, besides its text: the fate of each acknowledgement id.
pub(crate) fn error_info(error: &Error) -> Option<ErrorInfo> {
    let Error::AckIds { failures } = error else { return None };
    let reasons = failures.iter().map(|(id, it)| (id.to_string(), it.reason().to_owned()));
    Some(ErrorInfo {
        reason: "EXACTLY_ONCE_ACKID_FAILURE".to_owned(),
        domain: "pubsub.googleapis.com".to_owned(),
        metadata: reasons.collect(),
    })
}

/// The type of an [`ErrorInfo`] inside other messages.
pub(crate) const ERROR_INFO_TYPE: &str = "type.googleapis.com/google.rpc.ErrorInfo";

fn details(code: tonic::Code, message: String, info: &ErrorInfo) -> bytes::Bytes {
    let info =
        prost_types::Any { type_url: ERROR_INFO_TYPE.to_owned(), value: info.encode_to_vec() };
    let status = crate::proto::rpc::Status { code: code as i32, message, details: vec![info] };
    status.encode_to_vec().into()
}

/// The text of an error with its causes, for the wire.
pub(crate) fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
