//! On what conditions a job writes to its table: the two fields that load jobs and query jobs have in common.

use serde_json::Value as Json;

use crate::bigquery::error::ApiError;
use crate::bigquery::state::WriteDisposition;

/// What a job does about the rows that its table has; `default` if it does not say.
///
/// # Errors
/// When the value is none that there is.
pub(crate) fn write_disposition(
    job: &Json,
    default: WriteDisposition,
) -> Result<WriteDisposition, ApiError> {
    match text(job, "writeDisposition") {
        None => Ok(default),
        Some("WRITE_APPEND") => Ok(WriteDisposition::Append),
        Some("WRITE_TRUNCATE") => Ok(WriteDisposition::Truncate),
        Some("WRITE_EMPTY") => Ok(WriteDisposition::Empty),
        Some(other) => Err(unknown("writeDisposition", other)),
    }
}

/// Whether a job may create its table.
///
/// # Errors
/// When the value is none that there is.
pub(crate) fn may_create(job: &Json) -> Result<bool, ApiError> {
    match text(job, "createDisposition") {
        None | Some("CREATE_IF_NEEDED") => Ok(true),
        Some("CREATE_NEVER") => Ok(false),
        Some(other) => Err(unknown("createDisposition", other)),
    }
}

fn text<'a>(job: &'a Json, field: &str) -> Option<&'a str> {
    job[field].as_str().filter(|text| !text.is_empty())
}

fn unknown(field: &str, value: &str) -> ApiError {
    ApiError::invalid(format!("Invalid value for {field}: {value}"))
}
