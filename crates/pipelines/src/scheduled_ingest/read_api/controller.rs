//! What each path does: asks the model, hands on to the serializer, counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use millstream::Timestamp;
use millstream::engine::job::JobControl;
use millstream::time::{Clock as _, SystemClock};
use millstream_io_gcp::bigquery::TableSchema;
use serde_json::{Value, json};

use super::failure::Failure;
use super::model::{RowId, RowStore};
use super::observed::{Observed, ROWS};
use super::serializer::RowBody;
use super::service_level::ServiceLevel;
use super::{document, page};

/// For so long an answer of BigQuery shows that it is there: whoever looks often does not pay for a query each time.
const READY_FOR: Duration = Duration::from_secs(10);
/// Source: the content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What all requests share.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) store: RowStore,
    pub(super) schema: TableSchema,
    pub(super) job: Option<JobControl>,
    observed: Observed,
    clock: SystemClock,
    /// When BigQuery answered last, in microseconds.
    answered_at: AtomicI64,
}

type Shared = State<Arc<Api>>;

impl Api {
    pub(super) fn new(store: RowStore, schema: TableSchema) -> Self {
        Self {
            store,
            schema,
            job: None,
            observed: Observed::new(),
            clock: SystemClock::new(),
            answered_at: AtomicI64::new(Timestamp::EPOCH.as_micros()),
        }
    }

    fn levels(&self) -> Vec<ServiceLevel> {
        let processing = self.job.as_ref().map(|job| ServiceLevel::of_job(&job.status()));
        std::iter::once(self.observed.availability()).chain(processing).collect()
    }

    /// The answer about a row.
    async fn find(&self, id: &RowId) -> Result<Option<Response>, Failure> {
        let found = self.store.find(id).await?;
        self.answered_at.store(self.clock.now().as_micros(), Ordering::Relaxed);
        found.map(|row| Ok(RowBody::new(&row, &self.schema)?.into_response())).transpose()
    }

    async fn check_ready(&self) -> Result<(), Failure> {
        let answered_at = Timestamp::from_micros(self.answered_at.load(Ordering::Relaxed));
        if self.clock.now().since(answered_at) < READY_FOR {
            return Ok(());
        }
        self.find(&RowId::of_nothing()).await.map(drop)
    }
}

/// `GET /api/v1/{id}`.
pub(super) async fn row(
    State(api): Shared,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok()).ok_or(Failure::InvalidId)?;
    api.find(&id).await?.ok_or(Failure::UnknownId)
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: BigQuery answers about the table.
pub(super) async fn readyz(State(api): Shared) -> Response {
    match api.check_ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(failure) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", failure.title())).into_response()
        }
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(api): Shared) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], api.observed.render(&api.levels()))
}

/// `GET /slo`.
pub(super) async fn slo(State(api): Shared) -> Json<Value> {
    Json(json!({"service_levels": api.levels()}))
}

/// `GET /openapi.json`.
pub(super) async fn openapi(State(api): Shared) -> Json<Value> {
    Json(document::openapi(&api.schema))
}

/// `GET /`.
pub(super) async fn index(State(api): Shared) -> Html<String> {
    Html(page::html(&api.schema))
}

/// Any other path.
pub(super) async fn unknown_path() -> Failure {
    Failure::UnknownPath
}

/// Any other method.
pub(super) async fn wrong_method() -> Failure {
    Failure::WrongMethod
}

/// Counts every answer.
pub(super) async fn observe(State(api): Shared, request: Request, next: Next) -> Response {
    let path = named(request.uri().path());
    let began = api.clock.now();
    let _in_flight = api.observed.begin();
    let response = next.run(request).await;
    let took = api.clock.now().since(began);
    let failure = response.extensions().get::<Failure>().copied();
    api.observed.answered(path, response.status(), failure, took);
    response
}

/// The path as metrics name it: few names, whatever is asked.
fn named(path: &str) -> &'static str {
    const FIXED: [&str; 6] = ["/", "/healthz", "/readyz", "/metrics", "/slo", "/openapi.json"];
    match path.strip_prefix("/api/v1/") {
        Some(id) if !id.is_empty() && !id.contains('/') => ROWS,
        _ => FIXED.into_iter().find(|fixed| *fixed == path).unwrap_or("other"),
    }
}
