//! `/faults`: trouble on request, over HTTP, so that the tests of any program in any language can ask for it.
//!
//! `PUT` replaces all faults, `GET` tells what is left of them and what they did, `DELETE` ends them. The body of `PUT`, in which
//! everything may be left out:
//!
//! ```json
//! {
//!   "bigquery": {
//!     "appends": { "code": "RESOURCE_EXHAUSTED", "requests": 20 },
//!     "writes": { "code": "UNAVAILABLE", "seconds": 5 },
//!     "rest": { "code": "RESOURCE_EXHAUSTED", "seconds": 2.5 },
//!     "lost_append_answers": 3
//!   }
//! }
//! ```
//!
//! - `appends` refuses appends, `writes` every call of the Storage Write API, `rest` every REST request of BigQuery; each for a
//!   number of requests or of seconds by the server's clock. REST answers 429 for `RESOURCE_EXHAUSTED`, 503 for `UNAVAILABLE`.
//! - `lost_append_answers`: so many appends are applied, and their connections end without an answer.
//!
//! Faults are in memory: a server that starts has none.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::bigquery::{BigQuery, Calls, Faults, Refusal};
use crate::clock::Timestamp;
use crate::journal;
use crate::status::{Code, json_error};

/// The route `/faults`.
pub(super) fn router(bigquery: BigQuery) -> Router {
    Router::new().route("/faults", get(tell).put(replace).delete(end)).with_state(bigquery)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    bigquery: WantedOfBigQuery,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WantedOfBigQuery {
    appends: Option<WantedRefusal>,
    writes: Option<WantedRefusal>,
    rest: Option<WantedRefusal>,
    lost_append_answers: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedRefusal {
    code: String,
    requests: Option<u32>,
    seconds: Option<f64>,
}

impl Wanted {
    fn read(body: &[u8], now: Timestamp) -> Result<Faults, String> {
        let wanted: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let WantedOfBigQuery { appends, writes, rest, lost_append_answers } = wanted.bigquery;
        let mut faults = Faults::default();
        for (calls, refusal) in Calls::ALL.into_iter().zip([appends, writes, rest]) {
            if let Some(refusal) = refusal {
                let read = refusal.read(now);
                let (code, refusal) =
                    read.map_err(|what| format!("bigquery.{}: {what}", name(calls)))?;
                faults.refuse(calls, code, refusal);
            }
        }
        faults.lose_append_answers(lost_append_answers);
        Ok(faults)
    }
}

impl WantedRefusal {
    fn read(self, now: Timestamp) -> Result<(Code, Refusal), String> {
        let code = Code::from_name(&self.code).ok_or_else(|| {
            let known = Code::ALL.map(Code::name).join(", ");
            format!("unknown code {:?}; there are {known}", self.code)
        })?;
        let refusal = match (self.requests, self.seconds) {
            (Some(requests), None) => Some(requests).filter(|it| *it > 0).map(Refusal::Requests),
            (None, Some(seconds)) => Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|span| !span.is_zero())
                .map(|span| Refusal::Until(now + span)),
            _ => return Err("give either requests or seconds".to_owned()),
        };
        let refusal = refusal.ok_or("requests and seconds must be more than 0")?;
        Ok((code, refusal))
    }
}

async fn replace(State(bigquery): State<BigQuery>, body: Bytes) -> Response {
    set(&bigquery, |now| Wanted::read(&body, now))
}

async fn end(State(bigquery): State<BigQuery>) -> Response {
    set(&bigquery, |_| Ok(Faults::default()))
}

async fn tell(State(bigquery): State<BigQuery>) -> Response {
    set_or_tell(&bigquery, |faults, now| Ok(about(faults, now)))
}

/// Replaces the faults, and tells of the new ones.
fn set(bigquery: &BigQuery, wanted: impl FnOnce(Timestamp) -> Result<Faults, String>) -> Response {
    set_or_tell(bigquery, |faults, now| {
        *faults = wanted(now)?;
        Ok(about(faults, now))
    })
}

fn set_or_tell(
    bigquery: &BigQuery,
    step: impl FnOnce(&mut Faults, Timestamp) -> Result<Value, String>,
) -> Response {
    let done = bigquery.change(|state, now| Ok::<_, journal::Error>(step(state.faults(), now)));
    match done {
        Ok(Ok(about)) => Json(about).into_response(),
        Ok(Err(what)) => error(Code::InvalidArgument, &what),
        Err(cause) => error(Code::Internal, &cause.to_string()),
    }
}

fn error(code: Code, message: &str) -> Response {
    let status: StatusCode = code.http();
    (status, Json(json_error(status, code.name(), message))).into_response()
}

const fn name(calls: Calls) -> &'static str {
    match calls {
        Calls::Appends => "appends",
        Calls::Writes => "writes",
        Calls::Rest => "rest",
    }
}

fn about(faults: &Faults, now: Timestamp) -> Value {
    let gate = |calls| {
        let mut about = json!({ "refused": faults.refused(calls) });
        if let Some((code, refusal)) = faults.refusal(calls, now) {
            about["code"] = code.name().into();
            match refusal {
                Refusal::Requests(left) => about["requests"] = left.into(),
                Refusal::Until(end) => about["seconds"] = end.since(now).as_secs_f64().into(),
            }
        }
        (name(calls).to_owned(), about)
    };
    let mut bigquery: Map<String, Value> = Calls::ALL.into_iter().map(gate).collect();
    bigquery.insert("lost_append_answers".to_owned(), faults.answers_to_lose().into());
    json!({ "bigquery": bigquery })
}
