//! Sends each request to the face that it is meant for: gRPC by its content type, REST otherwise.

use std::task::{Context, Poll};

use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Uri};
use hyper::body::Incoming;
use tower::Service;
use tower_http::decompression::RequestDecompressionLayer;

use super::host::check_host;
use crate::status::json_error;

/// What a port serves.
#[derive(Clone, Debug)]
pub(super) enum Mux {
    Rest(Router),
    Grpc(Router),
    Both { rest: Router, grpc: Router },
}

impl Service<Request<Incoming>> for Mux {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = axum::routing::future::RouteFuture<Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        match self {
            Self::Rest(router) | Self::Grpc(router) => router.call(request),
            Self::Both { grpc, .. } if is_grpc(&request) => grpc.call(request),
            Self::Both { rest, .. } => rest.call(request),
        }
    }
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The routes of all services with what holds for each: host check, decompression, limit of the body (after
/// decompression), an answer for unknown paths.
pub(super) fn rest(routes: Router, body_bytes_max: usize) -> Router {
    routes
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(RequestDecompressionLayer::new())
        .layer(middleware::from_fn(check_host))
}

async fn not_found(uri: Uri) -> Response {
    let message = format!("there is nothing at {} on this server", uri.path());
    let body = json_error(StatusCode::NOT_FOUND, "NOT_FOUND", &message);
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
