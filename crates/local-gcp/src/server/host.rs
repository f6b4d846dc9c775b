//! Refuses REST requests made under a foreign host name.
//!
//! A web page may let its own name resolve to 127.0.0.1 (DNS rebinding) and then speak to this server from
//! a developer's browser. Such requests carry the page's name; those of local clients a loopback name. gRPC
//! needs no such check: browsers cannot speak HTTP/2 without TLS.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::HOST;
use http::uri::Authority;

use crate::status::json_error;

/// Middleware that lets only requests to a loopback name through.
pub(super) async fn check_host(request: Request, next: Next) -> Response {
    if is_local(&request) {
        return next.run(request).await;
    }
    let message = "this server answers requests to localhost, 127.0.0.1 or [::1] only";
    let body = json_error(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message);
    (StatusCode::FORBIDDEN, Json(body)).into_response()
}

/// Both spellings of the host count, where both are given: HTTP/2 has it in the URI, HTTP/1.1 in a header.
fn is_local<B>(request: &http::Request<B>) -> bool {
    let headers = request.headers().get_all(HOST).iter();
    let hosts = headers.map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    let hosts: Vec<Option<Authority>> =
        request.uri().authority().cloned().map(Some).into_iter().chain(hosts).collect();
    !hosts.is_empty() && hosts.iter().all(|host| host.as_ref().is_some_and(is_loopback))
}

fn is_loopback(authority: &Authority) -> bool {
    !authority.as_str().contains('@')
        && ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|it| authority.host().eq_ignore_ascii_case(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, hosts: &[&str]) -> http::Request<()> {
        let request = http::Request::builder().uri(uri);
        hosts.iter().fold(request, |it, host| it.header(HOST, *host)).body(()).unwrap()
    }

    #[test]
    fn loopback_names_pass_and_others_do_not() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8085", "[::1]:1", "[::1]"]
        {
            assert!(is_local(&request("/", &[host])), "{host}");
            assert!(is_local(&request(&format!("http://{host}/"), &[])), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io:80",
            "user@localhost",
            "localhost@evil.example",
            "0.0.0.0",
            "",
            "a b",
        ] {
            assert!(!is_local(&request("/", &[host])), "{host}");
        }
        assert!(!is_local(&request("/", &[])), "no host at all");
        assert!(!is_local(&request("/", &["localhost", "evil.example"])));
        assert!(!is_local(&request("http://evil.example/", &["localhost"])));
    }
}
