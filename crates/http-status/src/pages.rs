//! [`StatusPages`]: the endpoints, as an `axum` router to embed or served on a port of their own.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use millstream::engine::job::JobControl;
use millstream::metrics::{JobState, Status};
use tokio::net::TcpListener;

use crate::exposition::Exposition;
use crate::job_metrics;
use crate::recorder::Recorder;

/// Source: the content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The endpoints of one job.
#[derive(Clone, Debug)]
pub struct StatusPages {
    control: JobControl,
    recorder: Option<Recorder>,
}

impl StatusPages {
    /// The endpoints of the job that `control` belongs to.
    #[must_use]
    pub const fn new(control: JobControl) -> Self {
        Self { control, recorder: None }
    }

    /// Also shows what `recorder` keeps.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The endpoints as a router, to be part of another server.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/status", get(status))
            .with_state(self)
    }

    /// Opens `port` on 127.0.0.1, where only this machine sees it; 0 takes any free one.
    ///
    /// # Errors
    /// When the port is taken or may not be used.
    pub async fn bind(port: u16) -> std::io::Result<TcpListener> {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }

    /// Serves the endpoints on `listener` until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }
}

async fn metrics(State(pages): State<StatusPages>) -> impl IntoResponse {
    let mut page = Exposition::default();
    job_metrics::write(&pages.control.status(), &mut page);
    if let Some(recorder) = &pages.recorder {
        recorder.write(&mut page);
    }
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], page.into_text())
}

async fn healthz(State(pages): State<StatusPages>) -> (StatusCode, String) {
    let status = pages.control.status();
    if status.state == JobState::Failed {
        (StatusCode::SERVICE_UNAVAILABLE, format!("failed: {}\n", status.failure.join(": ")))
    } else {
        (StatusCode::OK, "ok\n".to_owned())
    }
}

async fn readyz(State(pages): State<StatusPages>) -> (StatusCode, &'static str) {
    match pages.control.status().state {
        JobState::Running => (StatusCode::OK, "ready\n"),
        JobState::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        JobState::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        JobState::Finished => (StatusCode::SERVICE_UNAVAILABLE, "finished\n"),
        JobState::Failed => (StatusCode::SERVICE_UNAVAILABLE, "failed\n"),
    }
}

async fn status(State(pages): State<StatusPages>) -> Json<Status> {
    Json(pages.control.status())
}
