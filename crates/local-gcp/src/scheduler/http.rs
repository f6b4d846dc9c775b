//! The HTTP target: the request that Cloud Scheduler sends, over a small client without TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::error::{BoxError, Error, Result};
use super::job::Tick;
use super::names::last_part;
use crate::proto::scheduler::{HttpMethod, HttpTarget};
use crate::status::Code;

/// Longest URL that Cloud Scheduler takes.
const URI_BYTES_MAX: usize = 2_083;
/// Its limit for all headers together.
const HEADERS_BYTES_MAX: usize = 80 * 1_024;
/// Redirects followed in one attempt.
const REDIRECTS_MAX: usize = 5;
/// Headers that Cloud Scheduler computes itself, and those that belong to a connection.
const COMPUTED: [&str; 7] = [
    "host",
    "content-length",
    "user-agent",
    "connection",
    "transfer-encoding",
    "upgrade",
    "keep-alive",
];
const COMPUTED_PREFIXES: [&str; 3] = ["x-google-", "x-appengine-", "x-cloudscheduler"];

/// A checked target and the client that calls it.
#[derive(Clone, Debug)]
pub(super) struct HttpCall {
    client: Client<HttpConnector, Full<Bytes>>,
    request: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer that is not of the 200s.
#[derive(Debug, thiserror::Error)]
#[error("the target answered with HTTP status {0}")]
pub(super) struct Refused(StatusCode);

impl Refused {
    /// The canonical code nearest to the HTTP status.
    pub(super) fn code(&self) -> Code {
        let all = || Code::ALL.into_iter().filter(|code| code.http() == self.0);
        match all().next() {
            Some(code) => code,
            None if self.0.is_client_error() => Code::FailedPrecondition,
            None => Code::Internal,
        }
    }
}

impl HttpCall {
    /// Checks what Cloud Scheduler checks.
    pub(super) fn new(target: &HttpTarget) -> Result<Self> {
        let method = method(target.http_method)?;
        let uri = uri(&target.uri)?;
        let takes_body = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if !target.body.is_empty() && !takes_body {
            return Err(Error::invalid(format!(
                "http_target.body goes with POST, PUT and PATCH, not {method}"
            )));
        }
        let request = Parts { method, uri, headers: headers(target)?, body: target.body.clone() };
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self { client, request: Arc::new(request) })
    }

    /// One attempt, redirects included.
    pub(super) async fn send(self, job: Arc<str>, tick: Tick) -> std::result::Result<(), BoxError> {
        let mut headers = self.request.headers.clone();
        headers.insert("x-cloudscheduler", HeaderValue::from_static("true"));
        headers.insert("x-cloudscheduler-jobname", HeaderValue::from_str(last_part(&job))?);
        if tick.is_scheduled {
            headers.insert(
                "x-cloudscheduler-scheduletime",
                HeaderValue::from_str(&tick.scheduled.to_string())?,
            );
        }
        let (mut method, mut uri) = (self.request.method.clone(), self.request.uri.clone());
        let mut body = self.request.body.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            let answer = self.client.request(request).await?;
            let status = answer.status();
            let Some(next) = answer.headers().get(LOCATION).filter(|_| status.is_redirection())
            else {
                return if status.is_success() { Ok(()) } else { Err(Refused(status).into()) };
            };
            uri = redirected(&uri, next.to_str()?)?;
            if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
                && method != Method::HEAD
            {
                (method, body) = (Method::GET, Bytes::new());
                headers.remove(CONTENT_TYPE);
            }
        }
        Err(format!("more than {REDIRECTS_MAX} redirects").into())
    }
}

fn method(number: i32) -> Result<Method> {
    match HttpMethod::try_from(number) {
        Ok(HttpMethod::Unspecified | HttpMethod::Post) => Ok(Method::POST),
        Ok(HttpMethod::Get) => Ok(Method::GET),
        Ok(HttpMethod::Head) => Ok(Method::HEAD),
        Ok(HttpMethod::Put) => Ok(Method::PUT),
        Ok(HttpMethod::Delete) => Ok(Method::DELETE),
        Ok(HttpMethod::Patch) => Ok(Method::PATCH),
        Ok(HttpMethod::Options) => Ok(Method::OPTIONS),
        Err(_) => Err(Error::invalid(format!("there is no HTTP method of number {number}"))),
    }
}

fn uri(text: &str) -> Result<Uri> {
    if text.len() > URI_BYTES_MAX {
        return Err(Error::invalid(format!(
            "http_target.uri is longer than {URI_BYTES_MAX} characters"
        )));
    }
    let wrong = || {
        Error::invalid(format!(
            "http_target.uri {text:?} does not start with http:// or https:// and a host"
        ))
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("https"), Some(_)) => {
            Err(Error::Unimplemented { what: "an HTTP target with https://" })
        }
        _ => Err(wrong()),
    }
}

/// The headers that a user may set, with the defaults.
fn headers(target: &HttpTarget) -> Result<HeaderMap> {
    let bytes: usize = target.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes >= HEADERS_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the headers together are not below {HEADERS_BYTES_MAX} bytes"
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &target.headers {
        let wrong = || Error::invalid(format!("{name:?} with {value:?} is no HTTP header"));
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        let is_computed = COMPUTED.contains(&name.as_str())
            || COMPUTED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        // A token would replace it; there is nobody here to issue one.
        let is_replaced = name == AUTHORIZATION && target.authorization_header.is_some();
        if !is_computed && !is_replaced {
            headers.insert(name, value);
        }
    }
    if !target.body.is_empty() {
        let default = HeaderValue::from_static("application/octet-stream");
        headers.entry(CONTENT_TYPE).or_insert(default);
    }
    headers.insert(USER_AGENT, HeaderValue::from_static("Google-Cloud-Scheduler"));
    Ok(headers)
}

/// Where a redirect leads: another address, or a path on the same host.
fn redirected(from: &Uri, location: &str) -> std::result::Result<Uri, BoxError> {
    let to: Uri = match location.strip_prefix('/') {
        Some(path) => {
            let authority = from.authority().map_or("", http::uri::Authority::as_str);
            format!("http://{authority}/{path}").parse()?
        }
        None => location.parse()?,
    };
    if to.scheme_str() == Some("http") {
        Ok(to)
    } else {
        Err(format!("redirected to {location:?}, which is not http://").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::scheduler::{OidcToken, http_target::AuthorizationHeader};

    fn target(uri: &str) -> HttpTarget {
        HttpTarget { uri: uri.to_owned(), ..Default::default() }
    }

    #[test]
    fn addresses_without_tls_are_taken() {
        HttpCall::new(&target("http://127.0.0.1:80/a?b=c")).unwrap();
        for wrong in [
            "",
            "127.0.0.1",
            "/path",
            "ftp://a/",
            "http://",
            "http://a b/",
            &format!("http://a/{}", "b".repeat(2_083)),
        ] {
            let error = HttpCall::new(&target(wrong)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{wrong}");
        }
        assert_eq!(HttpCall::new(&target("https://a/")).unwrap_err().code(), Code::Unimplemented);
    }

    #[test]
    fn a_body_goes_with_methods_that_have_one() {
        let with = |method: HttpMethod| HttpTarget {
            body: Bytes::from_static(b"x"),
            http_method: method as i32,
            ..target("http://a/")
        };
        for method in
            [HttpMethod::Unspecified, HttpMethod::Post, HttpMethod::Put, HttpMethod::Patch]
        {
            HttpCall::new(&with(method)).unwrap();
        }
        for method in [HttpMethod::Get, HttpMethod::Head, HttpMethod::Delete, HttpMethod::Options] {
            HttpCall::new(&with(method)).unwrap_err();
        }
    }

    #[test]
    fn computed_headers_are_ignored_and_defaults_set() {
        let mut given = target("http://a/");
        given.body = Bytes::from_static(b"x");
        for name in
            ["Host", "user-agent", "X-Google-Token", "X-CloudScheduler", "Authorization", "X-Mine"]
        {
            given.headers.insert(name.to_owned(), "v".to_owned());
        }
        let names = |it: &HttpTarget| {
            let mut names: Vec<_> = headers(it).unwrap().keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&given), ["authorization", "content-type", "user-agent", "x-mine"]);
        given.authorization_header = Some(AuthorizationHeader::OidcToken(OidcToken::default()));
        assert_eq!(names(&given), ["content-type", "user-agent", "x-mine"]);
        given.headers.insert("a b".to_owned(), String::new());
        headers(&given).unwrap_err();
    }

    #[test]
    fn redirects_stay_on_the_host_or_name_another() {
        let from = "http://a:1/x".parse().unwrap();
        assert_eq!(redirected(&from, "/y?z").unwrap(), "http://a:1/y?z");
        assert_eq!(redirected(&from, "http://b/y").unwrap(), "http://b/y");
        assert!(redirected(&from, "https://b/y").is_err());
    }
}
