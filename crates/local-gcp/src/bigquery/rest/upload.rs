//! Load jobs with their file: `POST /upload/bigquery/v2/projects/{project}/jobs`, multipart or resumable.
//!
//! The protocol is that of Google's older APIs,
//! <https://docs.cloud.google.com/bigquery/docs/reference/api-uploads>.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HOST, LOCATION, RANGE};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value as Json;

use super::error::Answer;
use super::load_jobs::insert_load;
use super::request::Params;
use super::uploads::{Part, Progress, Uploads, too_long};
use crate::bigquery::error::ApiError;
use crate::bigquery::handle::BigQuery;
use crate::bigquery::load::FILE_BYTES_MAX;

/// The longest request: a file, its job and what frames them.
pub(super) const REQUEST_BYTES_MAX: usize = FILE_BYTES_MAX + (1 << 20);

/// Uploads under way, beside the BigQuery they are for.
#[derive(Clone, Debug)]
pub(super) struct UploadState {
    pub(super) bigquery: BigQuery,
    pub(super) uploads: Arc<Mutex<Uploads>>,
}

/// Takes a file with its job, or starts a resumable upload.
pub(super) async fn start(
    State(state): State<UploadState>,
    Path(project): Path<String>,
    params: Params,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = body_of(body)?;
    match params.text("uploadType") {
        Some("multipart") => {
            let (job, file) = parts_of(&headers, &body)?;
            insert_load(&state.bigquery, project, job, file).await
        }
        Some("resumable") => {
            let job = if body.is_empty() { Json::Null } else { json_of(&body)? };
            Ok(state.start_resumable(project, job, &uri, &headers))
        }
        Some("media") | None => Err(ApiError::invalid(
            "A load job needs its configuration: uploadType must be multipart or resumable",
        )),
        Some(other) => Err(ApiError::invalid(format!("Invalid value for uploadType: {other}"))),
    }
}

/// Takes a part of a file, or tells how far an upload is.
pub(super) async fn resume(
    State(state): State<UploadState>,
    params: Params,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = body_of(body)?;
    let id = params
        .text("upload_id")
        .ok_or_else(|| ApiError::invalid("Required parameter is missing: upload_id"))?;
    let part = match headers.get(CONTENT_RANGE) {
        // Without a range, the request has the whole file.
        None => Part { start: Some(0), total: Some(body.len() as u64) },
        Some(range) => {
            let parsed = range.to_str().ok().and_then(Part::parse);
            parsed.ok_or_else(|| ApiError::invalid(format!("Invalid Content-Range: {range:?}")))?
        }
    };
    let progress = state.with_uploads(|uploads| uploads.add(id, part, &body))?;
    match progress {
        Progress::More(bytes) => Ok(incomplete(bytes)),
        Progress::Done { project, job, file } => {
            insert_load(&state.bigquery, project, job, file).await
        }
    }
}

impl UploadState {
    fn with_uploads<T>(&self, use_them: impl FnOnce(&mut Uploads) -> T) -> T {
        use_them(&mut self.uploads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start_resumable(
        &self,
        project: String,
        job: Json,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Response {
        let life = self.bigquery.now().as_micros();
        let id = self.with_uploads(|uploads| uploads.start(life, project, job));
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let authority = host.or_else(|| uri.authority().map(http::uri::Authority::as_str));
        let base = authority.map_or_else(String::new, |host| format!("http://{host}"));
        let location = format!("{base}{}?uploadType=resumable&upload_id={id}", uri.path());
        [(LOCATION, location), (http::HeaderName::from_static("x-guploader-uploadid"), id)]
            .into_response()
    }
}

/// What asks for more: Google's use of 308.
fn incomplete(bytes: u64) -> Response {
    let status = StatusCode::PERMANENT_REDIRECT;
    match bytes.checked_sub(1) {
        None => status.into_response(),
        Some(last) => (status, [(RANGE, format!("bytes=0-{last}"))]).into_response(),
    }
}

fn body_of(body: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_long(REQUEST_BYTES_MAX as u64),
        _ => {
            ApiError::invalid(format!("The request body cannot be read: {}", rejection.body_text()))
        }
    })
}

fn json_of(bytes: &[u8]) -> Result<Json, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))
}

/// The job and the file of a `multipart/related` body.
fn parts_of(headers: &HeaderMap, body: &Bytes) -> Result<(Json, Bytes), ApiError> {
    let malformed = |what: &str| ApiError::invalid(format!("Malformed multipart body: {what}"));
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(boundary_of);
    let boundary = boundary.ok_or_else(|| malformed("the Content-Type has no boundary"))?;
    let delimiter = format!("--{boundary}");
    let first = find(body, delimiter.as_bytes()).ok_or_else(|| malformed("no part starts"))?;
    let (job, rest) = part_of(body, first + delimiter.len(), &delimiter)
        .ok_or_else(|| malformed("the first part, the job, has no end"))?;
    let (file, _) = part_of(body, rest, &delimiter)
        .ok_or_else(|| malformed("the second part, the file, has no end"))?;
    Ok((json_of(&job)?, file))
}

fn boundary_of(content_type: &str) -> Option<&str> {
    let mut parameters = content_type.split(';').skip(1);
    let boundary = parameters.find_map(|it| it.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches(['"', '\'']))
}

/// The content of the part whose delimiter ends at `start`, and where the next one's ends.
fn part_of(body: &Bytes, start: usize, delimiter: &str) -> Option<(Bytes, usize)> {
    let rest = body.get(start..)?;
    let (header_end, break_length) = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|it| Some((find(rest, it)?, it.len())))
        .min()?;
    let content = start + header_end + break_length;
    let end_mark = format!("\n{delimiter}");
    let end = content + find(body.get(content..)?, end_mark.as_bytes())?;
    let next = end + end_mark.len();
    // The line break before a delimiter belongs to the delimiter.
    let end = if body.get(..end)?.ends_with(b"\r") { end - 1 } else { end };
    Some((body.slice(content..end.max(content)), next))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}
