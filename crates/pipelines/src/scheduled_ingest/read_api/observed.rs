//! [`Observed`]: what the API counts of itself: answers by path and status code, their time, problems by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use millstream_http_status::Recorder;

use super::failure::Failure;
use super::service_level::{AVAILABILITY, ServiceLevel};

const REQUESTS: &str = "millstream_api_requests_total";
const SECONDS: &str = "millstream_api_request_seconds";
const PROBLEMS: &str = "millstream_api_problems_total";
const IN_FLIGHT: &str = "millstream_api_requests_in_flight";
const OBJECTIVE: &str = "millstream_slo_objective";
const EVENTS: &str = "millstream_slo_events_total";
const GOOD: &str = "millstream_slo_good_events_total";
const BUDGET: &str = "millstream_slo_error_budget_left";

/// The path of rows, as metrics name it.
pub(super) const ROWS: &str = "/api/v1/{id}";

/// What the API counts; a recorder of its own, so that two APIs of a process do not mix.
#[derive(Debug, Default)]
pub(super) struct Observed {
    recorder: Recorder,
    answers: AtomicU64,
    failed: AtomicU64,
    in_flight: Arc<AtomicU64>,
}

/// A request under way; it counts until it is dropped, so also when its client goes away.
#[derive(Debug)]
pub(super) struct InFlight(Arc<AtomicU64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Observed {
    /// Nothing counted yet.
    pub(super) fn new() -> Self {
        let observed = Self::default();
        metrics::with_local_recorder(&observed.recorder, || {
            describe_counter!(REQUESTS, "Answers by path and status code.");
            describe_histogram!(SECONDS, "Time to answer, by path.");
            describe_counter!(PROBLEMS, "Answers that are problems, by name.");
            describe_gauge!(IN_FLIGHT, "Requests under way.");
            describe_gauge!(OBJECTIVE, "Share of events that should be good.");
            describe_counter!(EVENTS, "Events that count for a service level.");
            describe_counter!(GOOD, "Those of them that were good.");
            describe_gauge!(BUDGET, "Share of the error budget that is left since the start.");
        });
        observed
    }

    /// A request begins.
    pub(super) fn begin(&self) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.in_flight))
    }

    /// A request was answered.
    pub(super) fn answered(
        &self,
        path: &'static str,
        status: StatusCode,
        failure: Option<Failure>,
        took: Duration,
    ) {
        if path == ROWS {
            self.answers.fetch_add(1, Ordering::Relaxed);
            self.failed.fetch_add(u64::from(status.is_server_error()), Ordering::Relaxed);
        }
        metrics::with_local_recorder(&self.recorder, || {
            counter!(REQUESTS, "path" => path, "code" => status.as_str().to_owned()).increment(1);
            histogram!(SECONDS, "path" => path).record(took.as_secs_f64());
            if let Some(failure) = failure {
                counter!(PROBLEMS, "problem" => failure.name()).increment(1);
            }
        });
    }

    /// How many answers about rows were no server errors.
    pub(super) fn availability(&self) -> ServiceLevel {
        // In this order, or an answer in between could be failed and not counted.
        let failed = self.failed.load(Ordering::Relaxed);
        let total = self.answers.load(Ordering::Relaxed);
        ServiceLevel::new("availability", AVAILABILITY, total.saturating_sub(failed), total)
    }

    /// Everything in Prometheus' text format.
    pub(super) fn render(&self, levels: &[ServiceLevel]) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            let in_flight = self.in_flight.load(Ordering::Relaxed);
            gauge!(IN_FLIGHT).set(u32::try_from(in_flight).unwrap_or(u32::MAX));
            for level in levels {
                gauge!(OBJECTIVE, "slo" => level.name()).set(level.objective());
                counter!(EVENTS, "slo" => level.name()).absolute(level.total());
                counter!(GOOD, "slo" => level.name()).absolute(level.good());
                gauge!(BUDGET, "slo" => level.name()).set(level.error_budget_left());
            }
        });
        self.recorder.render()
    }
}
