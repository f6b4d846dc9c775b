//! [`Failure`]: every way a request can fail, with its status code, and its form as `application/problem+json`.
//!
//! Source: RFC 9457, "Problem Details for HTTP APIs". The type of a problem is a link to its line on the page at `/`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millstream_io_gcp::bigquery::Error as BigQueryError;
use serde_json::{Value, json};

/// The content type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why there is no row in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    UnknownId,
    UnknownPath,
    WrongMethod,
    InvalidId,
    TableMissing,
    Timeout,
    Unavailable,
    Busy,
    BadValue,
    Refused,
}

impl Failure {
    /// Those that a request for a row can meet.
    pub(super) const OF_ROWS: [Self; 8] = [
        Self::UnknownId,
        Self::InvalidId,
        Self::BadValue,
        Self::Refused,
        Self::TableMissing,
        Self::Timeout,
        Self::Unavailable,
        Self::Busy,
    ];

    /// What an error of BigQuery means to whoever asked.
    pub(super) fn of_query(error: &BigQueryError) -> Self {
        if error.is_not_found() {
            Self::TableMissing
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_unavailable() {
            Self::Unavailable
        } else if matches!(error, BigQueryError::Row { .. }) {
            Self::BadValue
        } else {
            Self::Refused
        }
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::UnknownId | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::InvalidId => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadValue | Self::Refused => StatusCode::BAD_GATEWAY,
            Self::TableMissing | Self::Timeout | Self::Unavailable | Self::Busy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The word that stands in the problem's type and in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::UnknownId => "unknown-id",
            Self::UnknownPath => "unknown-path",
            Self::WrongMethod => "wrong-method",
            Self::InvalidId => "invalid-id",
            Self::TableMissing => "table-not-found",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::BadValue => "bad-value",
            Self::Refused => "refused",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::UnknownId => "No row has this id",
            Self::UnknownPath => "There is nothing at this path",
            Self::WrongMethod => "This path only answers GET",
            Self::InvalidId => "This is not the id of a row",
            Self::TableMissing => "The table of rows is not there",
            Self::Timeout => "BigQuery did not answer in time",
            Self::Unavailable => "BigQuery cannot be reached or is too busy",
            Self::Busy => "Too many requests wait already",
            Self::BadValue => "The stored row does not fit the schema",
            Self::Refused => "BigQuery refuses the query",
        }
    }

    /// When it is worth to ask again.
    pub(super) const fn retry_after(self) -> Option<Duration> {
        match self {
            // Made with its first row, or by whoever removed it.
            Self::TableMissing => Some(Duration::from_secs(10)),
            Self::Timeout | Self::Unavailable => Some(Duration::from_secs(2)),
            Self::Busy => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The problem as JSON.
    pub(super) fn document(self) -> Value {
        json!({
            "type": format!("/#{}", self.name()),
            "title": self.title(),
            "status": self.status().as_u16(),
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, PROBLEM_JSON)];
        let mut response = (self.status(), kind, self.document().to_string()).into_response();
        if let Some(after) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        // For the metrics, which see the response only.
        response.extensions_mut().insert(self);
        response
    }
}
