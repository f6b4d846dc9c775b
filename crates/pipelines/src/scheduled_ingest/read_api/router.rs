//! Which path and method leads where.

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};

use super::controller::{self, Api};
use super::observed::ROWS;

/// The API's paths.
pub(super) fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let observe = middleware::from_fn_with_state(Arc::clone(&api), controller::observe);
    Router::new()
        .route("/", get(controller::index))
        .route(ROWS, get(controller::row))
        .route("/healthz", get(controller::healthz))
        .route("/readyz", get(controller::readyz))
        .route("/metrics", get(controller::metrics))
        .route("/slo", get(controller::slo))
        .route("/openapi.json", get(controller::openapi))
        .fallback(controller::unknown_path)
        .method_not_allowed_fallback(controller::wrong_method)
        .layer(observe)
        .with_state(api)
}
