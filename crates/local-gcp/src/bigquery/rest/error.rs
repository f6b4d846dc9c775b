//! Errors as JSON, in the form of Google's older APIs: with a list of reasons.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::bigquery::error::ApiError;

/// What handlers return.
pub(super) type Answer = Result<Response, ApiError>;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.reason.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "error": {
                "code": status.as_u16(),
                "message": self.message,
                "errors": [error_item(&self)],
                "status": self.reason.status_name(),
            }
        });
        (status, Json(body)).into_response()
    }
}

/// One entry of a list of errors.
pub(super) fn error_item(error: &ApiError) -> serde_json::Value {
    json!({ "message": error.message, "domain": "global", "reason": error.reason.as_str() })
}

/// A successful answer.
pub(super) fn ok(body: serde_json::Value) -> Answer {
    Ok(Json(body).into_response())
}

/// A successful answer without content.
pub(super) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}
