//! What handlers take from requests: query parameters, JSON bodies, page tokens.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Map, Value as Json};

use crate::bigquery::error::{ApiError, Reason};

/// The query parameters of a request.
#[derive(Debug)]
pub(super) struct Params(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::invalid(error.to_string()))?;
        Ok(Self(pairs.into_iter().collect()))
    }
}

impl Params {
    /// A parameter that was given and is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A count.
    ///
    /// # Errors
    /// When it is no number, or negative.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| ApiError::invalid(format!("Invalid value for {name}: {text:?}")))
        };
        self.text(name).map(parse).transpose()
    }

    /// A switch, off unless given as `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }
}

/// A JSON object as body; an empty body is an empty object.
#[derive(Debug)]
pub(super) struct Body(pub(super) Map<String, Json>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let message = format!("The request body cannot be read: {}", rejection.body_text());
            ApiError::new(Reason::Invalid, message)
        })?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))
    }
}

/// The etag a change is meant for, if the request names one.
pub(super) fn if_match(headers: &HeaderMap) -> Option<&str> {
    let etag = headers.get(http::header::IF_MATCH)?.to_str().ok()?;
    (etag != "*").then(|| etag.trim_matches('"'))
}

/// Where a page starts: at its token, else at 0.
///
/// # Errors
/// When the token is none of ours.
pub(super) fn page_start(token: Option<&str>) -> Result<u64, ApiError> {
    let Some(token) = token else { return Ok(0) };
    let decoded =
        URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .and_then(|text| text.strip_prefix("row:")?.parse().ok())
        .ok_or_else(|| ApiError::invalid(format!("Invalid page token {token:?}")))
}

/// The token of a page that starts here.
pub(super) fn page_token(start: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("row:{start}"))
}

/// One page of a list: the entries, and the token of the next page if there is one.
///
/// # Errors
/// When a paging parameter is malformed.
pub(super) fn page<T>(
    items: Vec<T>,
    params: &Params,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    /// Entries of a page unless the client wants fewer.
    const PAGE_DEFAULT: u64 = 1_000;
    let start = page_start(params.text("pageToken"))?;
    let size = params.count("maxResults")?.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_DEFAULT);
    let end = start.saturating_add(size);
    let next = (end < items.len() as u64).then(|| page_token(end));
    let entries = items.into_iter().skip(start as usize).take(size as usize);
    Ok((entries.collect(), next))
}
