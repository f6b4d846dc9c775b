//! What the answers of Google's client mean to the protocol machines.
//!
//! The client drops the `StorageError` detail of a status, so the code and, for an ended stream, the message decide.

use google_cloud_bigquery::error::{AppendError, WriterBuilderError};
use google_cloud_gax::error::Error as GoogleError;
use google_cloud_gax::error::rpc::{Code, Status};

use super::protocol::{Failure, FailureKind, RowFailure};

/// Part of the message of every status about a stream that was ended.
const FINALIZED: &str = "finaliz";

impl Failure {
    /// What a status of the service means: the number of its gRPC code, and its message.
    ///
    /// ```
    /// use millstream_io_gcp::bigquery::protocol::{Failure, FailureKind};
    ///
    /// assert_eq!(Failure::of_grpc(6, "The offset is within stream").kind, FailureKind::AlreadyExists);
    /// ```
    #[must_use]
    pub fn of_grpc(code: i32, message: &str) -> Self {
        of_status(&Status::default().set_code(code).set_message(message))
    }
}

/// What a failed append means.
pub(super) fn of_append(error: AppendError) -> Failure {
    match error {
        AppendError::Rpc { source, .. } => of_call(&source),
        AppendError::RowErrors { status, row_errors, .. } => {
            let rows = row_errors
                .into_iter()
                .map(|row| RowFailure {
                    index: u64::try_from(row.index).unwrap_or(u64::MAX),
                    reason: row.message,
                })
                .collect();
            Failure::new(FailureKind::Rows(rows), status.message)
        }
        AppendError::UnexpectedEndOfStream => {
            Failure::new(FailureKind::ConnectionLost, "the connection ended")
        }
        other => Failure::new(FailureKind::Other, other.to_string()),
    }
}

/// What a stream that cannot be opened or connected to means.
pub(super) fn of_opening(error: &WriterBuilderError) -> Failure {
    match error {
        WriterBuilderError::Rpc { source, .. } => of_call(source),
        other => Failure::new(FailureKind::Other, other.to_string()),
    }
}

/// What a failed call means.
pub(super) fn of_call(error: &GoogleError) -> Failure {
    if let Some(status) = error.status() {
        return of_answer(error.http_status_code(), status);
    }
    if error.is_exhausted() {
        return of_exhausted(error);
    }
    let message = millstream::error::reason_chain(error).join(": ");
    let is_lost = error.is_timeout() || error.is_io() || error.is_connect() || error.is_transport();
    let kind = match error.http_status_code() {
        Some(429) => FailureKind::Throttled,
        Some(500 | 502 | 503 | 504) => FailureKind::Unavailable,
        Some(401 | 403) => FailureKind::Denied,
        Some(404) => FailureKind::NotFound,
        _ if is_lost => FailureKind::ConnectionLost,
        _ if error.is_transient_and_before_rpc() => FailureKind::Unavailable,
        _ if error.is_authentication() => FailureKind::Denied,
        _ => FailureKind::Other,
    };
    Failure::new(kind, message)
}

/// The client has tried again by itself until it gave up: what it tried against is what counts.
fn of_exhausted(error: &GoogleError) -> Failure {
    let cause = std::error::Error::source(error);
    match cause.and_then(|cause| cause.downcast_ref::<GoogleError>()) {
        Some(cause) => of_call(cause),
        None => Failure::new(FailureKind::Unavailable, error.to_string()),
    }
}

/// What an answer means: of a call over REST, where quotas answer 403 like permissions, or over gRPC.
fn of_answer(http: Option<u16>, status: &Status) -> Failure {
    match http {
        Some(429) => Failure::new(FailureKind::Throttled, &status.message),
        Some(403) if is_rate(&status.message) => {
            Failure::new(FailureKind::Throttled, &status.message)
        }
        Some(500 | 502 | 503 | 504) => Failure::new(FailureKind::Unavailable, &status.message),
        _ => of_status(status),
    }
}

/// Whether a refusal is about how much is asked and not about who asks.
pub(super) fn is_rate(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("quota exceeded") || message.contains("rate limit")
}

fn of_status(status: &Status) -> Failure {
    let is_finalized = || status.message.to_lowercase().contains(FINALIZED);
    let kind = match status.code {
        Code::AlreadyExists => FailureKind::AlreadyExists,
        Code::OutOfRange => FailureKind::OutOfRange,
        Code::ResourceExhausted => FailureKind::Throttled,
        Code::Unavailable
        | Code::Aborted
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unknown => FailureKind::Unavailable,
        Code::NotFound => FailureKind::NotFound,
        Code::PermissionDenied | Code::Unauthenticated => FailureKind::Denied,
        Code::InvalidArgument | Code::FailedPrecondition if is_finalized() => {
            FailureKind::StreamFinalized
        }
        Code::InvalidArgument | Code::Unimplemented => FailureKind::Invalid,
        _ => FailureKind::Other,
    };
    Failure::new(kind, &status.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: Code, message: &str) -> FailureKind {
        of_call(&GoogleError::service(Status::default().set_code(code).set_message(message))).kind
    }

    #[test]
    fn codes_mean_what_the_storage_api_means_by_them() {
        assert_eq!(
            kind(Code::AlreadyExists, "The offset is within stream"),
            FailureKind::AlreadyExists
        );
        assert_eq!(kind(Code::OutOfRange, "beyond"), FailureKind::OutOfRange);
        assert_eq!(kind(Code::ResourceExhausted, "quota"), FailureKind::Throttled);
        assert_eq!(
            kind(Code::InvalidArgument, "Stream is already finalized"),
            FailureKind::StreamFinalized
        );
        assert_eq!(kind(Code::InvalidArgument, "bad schema"), FailureKind::Invalid);
        assert_eq!(kind(Code::FailedPrecondition, "x"), FailureKind::Other);
        assert_eq!(kind(Code::Internal, "x"), FailureKind::Unavailable);
        assert_eq!(kind(Code::PermissionDenied, "x"), FailureKind::Denied);
    }

    #[test]
    fn a_client_that_gave_up_met_what_it_met_last() {
        let status = Status::default().set_code(Code::ResourceExhausted).set_message("slower");
        let last = [
            (GoogleError::connect("refused"), FailureKind::ConnectionLost),
            (GoogleError::service(status), FailureKind::Throttled),
            (GoogleError::exhausted(GoogleError::io("reset")), FailureKind::ConnectionLost),
        ];
        for (cause, expected) in last {
            assert_eq!(of_call(&GoogleError::exhausted(cause)).kind, expected);
        }
        assert_eq!(of_call(&GoogleError::exhausted("slow")).kind, FailureKind::Unavailable);
    }

    #[test]
    fn over_rest_a_quota_is_no_matter_of_permission() {
        let kind = |http: u16, code: Code, message: &str| {
            let status = Status::default().set_code(code).set_message(message);
            let headers = Some(Default::default());
            of_call(&GoogleError::service_with_http_metadata(status, Some(http), headers)).kind
        };
        let exceeded = "Exceeded rate limits: too many table update operations";
        assert_eq!(kind(403, Code::PermissionDenied, exceeded), FailureKind::Throttled);
        assert_eq!(kind(403, Code::PermissionDenied, "Access Denied"), FailureKind::Denied);
        assert_eq!(kind(429, Code::Unknown, "x"), FailureKind::Throttled);
        assert_eq!(kind(503, Code::Unknown, "x"), FailureKind::Unavailable);
        assert_eq!(kind(404, Code::NotFound, "x"), FailureKind::NotFound);
    }

    #[test]
    fn what_never_reached_the_server_is_a_lost_connection() {
        for error in [
            GoogleError::io("broken pipe"),
            GoogleError::connect("refused"),
            GoogleError::timeout("slow"),
        ] {
            assert_eq!(of_call(&error).kind, FailureKind::ConnectionLost);
        }
        let gone = of_append(AppendError::UnexpectedEndOfStream);
        assert_eq!(gone.kind, FailureKind::ConnectionLost);
    }
}
