//! Which path goes where.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{any, get, post};
use http::Method;

use super::error::Answer;
use super::upload::UploadState;
use super::{datasets, discovery, insert_all, jobs, tables, upload};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::BigQuery;

/// The routes of a BigQuery, below `/bigquery/v2`, `/upload/bigquery/v2` and `/resumable/upload/bigquery/v2`, and where clients
/// ask what there is.
pub(crate) fn router(bigquery: BigQuery) -> Router {
    let dataset =
        get(datasets::get).patch(datasets::patch).put(datasets::update).delete(datasets::delete);
    let table = get(tables::get).patch(tables::patch).put(tables::update).delete(tables::delete);
    let project = Router::new()
        .route("/datasets", get(datasets::list).post(datasets::insert))
        .route("/datasets/{dataset}", dataset)
        .route("/datasets/{dataset}/tables", get(tables::list).post(tables::insert))
        .route("/datasets/{dataset}/tables/{table}", table)
        .route("/datasets/{dataset}/tables/{table}/data", get(tables::data))
        .route("/datasets/{dataset}/tables/{table}/insertAll", post(insert_all::insert_all))
        .route("/queries", post(jobs::query))
        .route("/queries/{job}", get(jobs::results))
        .route("/jobs", get(jobs::list).post(jobs::insert))
        .route("/jobs/{job}", get(jobs::get))
        .route("/jobs/{job}/cancel", post(jobs::cancel))
        .route("/jobs/{job}/delete", axum::routing::delete(jobs::delete));
    Router::new()
        .nest("/bigquery/v2/projects/{project}", project)
        .merge(uploads(&bigquery))
        .route("/bigquery/v2/{*path}", any(not_offered))
        .method_not_allowed_fallback(not_offered_here)
        .layer(middleware::from_fn_with_state(bigquery.clone(), check))
        .route("/$discovery/rest", get(discovery::document))
        .route("/discovery/v1/apis/bigquery/v2/rest", get(discovery::document))
        .with_state(bigquery)
}

/// Where files come in; `/resumable/...` is what Google's discovery document names for resumable uploads.
fn uploads(bigquery: &BigQuery) -> Router<BigQuery> {
    let state = UploadState { bigquery: bigquery.clone(), uploads: Arc::default() };
    let jobs = || post(upload::start).put(upload::resume);
    Router::new()
        .route("/upload/bigquery/v2/projects/{project}/jobs", jobs())
        .route("/resumable/upload/bigquery/v2/projects/{project}/jobs", jobs())
        .layer(DefaultBodyLimit::max(upload::REQUEST_BYTES_MAX))
        .with_state(state)
}

/// Middleware that refuses requests as faults say.
async fn check(
    State(bigquery): State<BigQuery>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let refused = bigquery.change(|state, now| state.faults().check_rest(now));
    match refused {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn not_offered(method: Method, Path(path): Path<String>) -> Answer {
    Err(not_implemented(&method, &path))
}

async fn not_offered_here(method: Method, uri: http::Uri) -> Answer {
    Err(not_implemented(&method, uri.path()))
}

fn not_implemented(method: &Method, path: &str) -> ApiError {
    let message = format!("{method} {path} is not offered by this local BigQuery");
    ApiError::new(Reason::NotImplemented, message)
}
