//! Runs a query off the asynchronous threads.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use super::parameters::read_parameters;
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::BigQuery;
use crate::bigquery::names::DatasetName;
use crate::bigquery::sql::{self, QueryOptions, QueryResult};

/// Queries that run at once; others wait. Google runs 100 or more, on more than two cores.
static SLOTS: Semaphore = Semaphore::const_new(8);

/// Stack of a query's thread: expressions and plans are walked recursively, in debug builds with large frames. Only what
/// is used of it becomes memory.
pub(crate) const STACK_BYTES: usize = 64 << 20;

/// How long a query may take unless its request says less. Google's limit is six hours, on more than two cores.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// What REST requests say of a query.
#[derive(Clone, Debug)]
pub(crate) struct QueryRequest {
    pub(crate) sql: String,
    pub(crate) options: QueryOptions,
    /// How long it may take.
    pub(crate) time_limit: Duration,
    /// Where its result goes besides the client.
    pub(crate) destination: Option<Destination>,
}

impl QueryRequest {
    /// Reads a `QueryRequest` or a `JobConfigurationQuery`, whose fields of interest have the same names.
    ///
    /// # Errors
    /// When there is no query, or it asks for something this server does not do.
    pub(crate) fn read(
        project: &str,
        given: &Json,
        now: i64,
        dry_run: bool,
    ) -> Result<Self, ApiError> {
        let sql = given["query"].as_str().unwrap_or_default().to_owned();
        if sql.is_empty() {
            return Err(ApiError::invalid("Required parameter is missing: query"));
        }
        let unsupported = [
            ("useLegacySql", "Legacy SQL", given["useLegacySql"] == true),
            ("createSession", "A session", given["createSession"] == true),
            ("continuous", "A continuous query", given["continuous"] == true),
            ("tableDefinitions", "An external table", !given["tableDefinitions"].is_null()),
        ];
        if let Some((field, what, _)) = unsupported.iter().find(|(.., used)| *used) {
            let message = format!("{what} ({field}) is not supported by this local BigQuery");
            return Err(ApiError::new(Reason::NotImplemented, message));
        }
        let dataset = &given["defaultDataset"];
        let default_dataset = dataset["datasetId"]
            .as_str()
            .map(|id| DatasetName::new(dataset["projectId"].as_str().unwrap_or(project), id));
        let options = QueryOptions {
            project: project.to_owned(),
            default_dataset,
            parameters: read_parameters(&given["queryParameters"])?,
            now,
            dry_run,
        };
        let time_limit = QUERY_TIME_MAX;
        let destination = Destination::read(project, given)?;
        Ok(Self { sql, options, time_limit, destination })
    }
}

impl QueryRequest {
    /// Takes over the `jobTimeoutMs` of a request, if it has one.
    pub(crate) fn limit_time(&mut self, milliseconds: &Json) {
        let given = milliseconds.as_u64().or_else(|| milliseconds.as_str()?.parse().ok());
        if let Some(given) = given.filter(|given| *given > 0) {
            self.time_limit = Duration::from_millis(given).min(QUERY_TIME_MAX);
        }
    }
}

/// Runs a query on a thread of its own.
///
/// # Errors
/// Those of the query.
pub(crate) async fn run(
    bigquery: &BigQuery,
    request: QueryRequest,
) -> Result<QueryResult, ApiError> {
    let failed = |reason: &str| ApiError::new(Reason::InternalError, format!("The query {reason}"));
    let slot = SLOTS.acquire().await.map_err(|_| failed("was not admitted"))?;
    let (sender, receiver) = oneshot::channel();
    // Dropped with this future when the client hangs up, which ends the query too.
    let cancelled = CancellationToken::new();
    let _guard = cancelled.clone().drop_guard();
    let deadline = bigquery.now() + request.time_limit;
    let (bigquery, clock) = (bigquery.clone(), bigquery.clock());
    let thread =
        std::thread::Builder::new().name("bigquery-query".to_owned()).stack_size(STACK_BYTES);
    let spawned = thread.spawn(move || {
        // Held here, so that a client that hung up does not let another query in early.
        let _slot = slot;
        let answer = answer(&bigquery, &request, cancelled);
        let _ = sender.send(answer);
    });
    spawned.map_err(|error| failed(&format!("got no thread: {error}")))?;
    tokio::select! {
        answer = receiver => answer.map_err(|_| failed("ended without a result"))?,
        () = clock.sleep_until(deadline) => {
            let message = "Job execution was cancelled: Job timed out";
            Err(ApiError::new(Reason::Stopped, message))
        }
    }
}

/// Answers on this thread, until done or cancelled.
fn answer(
    bigquery: &BigQuery,
    request: &QueryRequest,
    cancelled: CancellationToken,
) -> Result<QueryResult, ApiError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| {
        ApiError::new(Reason::InternalError, format!("The query got no runtime: {error}"))
    })?;
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => {
                Err(ApiError::new(Reason::Stopped, "Job execution was cancelled"))
            }
            result = sql::answer(&request.sql, &request.options, bigquery) => {
                result.map_err(ApiError::from)
            }
        }
    })?;
    if let Some(destination) = &request.destination
        && !request.options.dry_run
    {
        destination.store(bigquery, &result)?;
    }
    Ok(result)
}
