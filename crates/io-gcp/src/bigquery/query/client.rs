//! [`QueryClient`] and [`Query`]: ask, wait no longer than allowed, and take the rows.

use std::time::Duration;

use google_cloud_bigquery::client::BigQuery as GoogleClient;
use google_cloud_bigquery::error::{QueryError, RowError};
use google_cloud_bigquery::query::CompleteQuery;
use google_cloud_bigquery_v2::model::{ErrorProto, TableFieldSchema};
use google_cloud_gax::error::Error as GoogleError;
use google_cloud_gax::error::rpc::Code;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::error::{Error, QueryFailure, Result};
use super::super::failure::is_rate;
use super::super::tables::connect_error;
use super::answer::to_json;
use super::parameter::Parameter;
use crate::connection::{Connection, Service};

/// How long a query may take unless the caller says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A row of an answer, by column.
pub type Row = Map<String, Value>;

/// Asks BigQuery; cheap to clone.
#[derive(Clone, Debug)]
pub struct QueryClient {
    client: GoogleClient,
    location: Option<String>,
    timeout: Duration,
}

impl QueryClient {
    /// A client whose queries are paid by `project`.
    ///
    /// # Errors
    /// [`Error::Connect`] when the endpoint or the credentials cannot be used.
    pub async fn connect(connection: &Connection, project: impl Into<String>) -> Result<Self> {
        let resolved = connection.resolve(Service::BigQuery).map_err(connect_error)?;
        let mut builder = GoogleClient::builder()
            .with_project_id(project)
            .with_credentials(resolved.credentials());
        if let Some(endpoint) = resolved.endpoint() {
            builder = builder.with_endpoint(endpoint);
        }
        let client =
            builder.build().await.map_err(|cause| connect_error(resolved.client_error(cause)))?;
        Ok(Self { client, location: None, timeout: TIMEOUT })
    }

    /// Where queries run, such as `EU`; by default BigQuery finds out.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// How long a query may take, its rows included; 30 s by default.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A query, to be given its parameters and then asked.
    pub fn query(&self, sql: impl Into<String>) -> Query {
        Query { client: self.clone(), sql: sql.into(), named: Vec::new(), positional: Vec::new() }
    }
}

/// A query with its parameters.
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is asked for rows"]
pub struct Query {
    client: QueryClient,
    sql: String,
    named: Vec<(String, Parameter)>,
    positional: Vec<Parameter>,
}

impl Query {
    /// Gives the parameter `@name`.
    pub fn named(mut self, name: impl Into<String>, value: impl Into<Parameter>) -> Self {
        self.named.push((name.into(), value.into()));
        self
    }

    /// Gives the next parameter `?`.
    pub fn positional(mut self, value: impl Into<Parameter>) -> Self {
        self.positional.push(value.into());
        self
    }

    /// How long this query may take, its rows included.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = timeout;
        self
    }

    /// All rows of the answer.
    ///
    /// # Errors
    /// [`Error::Query`], with the predicates `is_not_found`, `is_invalid`, `is_timeout`, `is_unavailable` and `is_denied`.
    pub async fn rows(self) -> Result<Vec<Row>> {
        self.rows_up_to(usize::MAX).await
    }

    /// All rows of the answer, as values of the caller's type.
    ///
    /// # Errors
    /// Like [`Query::rows`], and [`Error::Row`] when a row does not have the form of the type.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<Vec<T>> {
        let rows = self.rows().await?;
        rows.into_iter().enumerate().map(|(index, row)| typed(index, row)).collect()
    }

    /// The first row of the answer, if there is one.
    ///
    /// # Errors
    /// Like [`Query::fetch`].
    pub async fn first<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let rows = self.rows_up_to(1).await?;
        rows.into_iter().next().map(|row| typed(0, row)).transpose()
    }

    async fn rows_up_to(self, limit: usize) -> Result<Vec<Row>> {
        let timeout = self.client.timeout;
        match tokio::time::timeout(timeout, self.ask(limit)).await {
            Ok(answered) => answered,
            Err(_) => {
                let what = format!("no answer within {timeout:?}");
                Err(Error::Query { kind: QueryFailure::Timeout, what, source: None })
            }
        }
    }

    async fn ask(self, limit: usize) -> Result<Vec<Row>> {
        if !self.named.is_empty() && !self.positional.is_empty() {
            let what = String::from("a query has named or positional parameters, not both");
            return Err(Error::Query { kind: QueryFailure::Invalid, what, source: None });
        }
        let mode = if self.named.is_empty() { "POSITIONAL" } else { "NAMED" };
        let named = self.named.into_iter().map(|(name, value)| value.into_google(&name));
        let positional = self.positional.into_iter().map(|value| value.into_google(""));
        let parameters: Vec<_> = named.chain(positional).collect();
        let mut query = self.client.client.query(self.sql);
        if !parameters.is_empty() {
            query = query.set_parameter_mode(mode).set_query_parameters(parameters);
        }
        if let Some(location) = self.client.location {
            query = query.set_location(location);
        }
        let complete = query.until_done().await.map_err(query_error)?;
        collect(complete, limit).await
    }
}

async fn collect(complete: CompleteQuery, limit: usize) -> Result<Vec<Row>> {
    let columns: Vec<TableFieldSchema> =
        complete.metadata().schema.as_ref().map(|schema| schema.fields.clone()).unwrap_or_default();
    let mut found = complete.read();
    let mut rows = Vec::new();
    while rows.len() < limit
        && let Some(next) = found.next().await
    {
        let number = rows.len();
        let mut next = next.map_err(|cause| row_error(number, cause))?;
        let mut row = Row::new();
        for (index, column) in columns.iter().enumerate() {
            let value: Value = next.take(index).map_err(|cause| row_error(number, cause))?;
            row.insert(column.name.clone(), to_json(value, column));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn typed<T: DeserializeOwned>(index: usize, row: Row) -> Result<T> {
    serde_json::from_value(Value::Object(row))
        .map_err(|cause| Error::Row { row: index, source: Box::new(cause) })
}

fn row_error(row: usize, cause: RowError) -> Error {
    match cause {
        RowError::Rpc { source, .. } => call_error(source),
        other => Error::Row { row, source: Box::new(other) },
    }
}

fn query_error(cause: QueryError) -> Error {
    match cause {
        QueryError::Rpc { source, .. } => call_error(source),
        QueryError::JobFailed { errors, .. } => {
            let kind = errors.first().map_or(QueryFailure::Other, job_failure);
            let messages: Vec<_> = errors.into_iter().map(|error| error.message).collect();
            Error::Query { kind, what: messages.join("; "), source: None }
        }
        other => Error::Query {
            kind: QueryFailure::Other,
            what: other.to_string(),
            source: Some(Box::new(other)),
        },
    }
}

/// Reasons as the page "Error messages" of BigQuery's documentation lists them.
fn job_failure(error: &ErrorProto) -> QueryFailure {
    match error.reason.as_str() {
        "notFound" => QueryFailure::NotFound,
        "invalid" | "invalidQuery" | "badRequest" | "resourcesExceeded" => QueryFailure::Invalid,
        "timeout" | "stopped" => QueryFailure::Timeout,
        "accessDenied" | "billingNotEnabled" => QueryFailure::Denied,
        "backendError"
        | "internalError"
        | "jobBackendError"
        | "jobInternalError"
        | "rateLimitExceeded"
        | "jobRateLimitExceeded"
        | "quotaExceeded"
        | "tableUnavailable" => QueryFailure::Unavailable,
        _ => QueryFailure::Other,
    }
}

fn call_error(cause: GoogleError) -> Error {
    let kind = call_failure(&cause);
    let what = cause.status().map_or_else(|| cause.to_string(), |status| status.message.clone());
    Error::Query { kind, what, source: Some(Box::new(cause)) }
}

fn call_failure(cause: &GoogleError) -> QueryFailure {
    let is_rate = || cause.status().is_some_and(|status| is_rate(&status.message));
    match cause.http_status_code() {
        Some(404) => QueryFailure::NotFound,
        Some(400 | 409 | 413) => QueryFailure::Invalid,
        Some(408 | 504) => QueryFailure::Timeout,
        Some(429) => QueryFailure::Unavailable,
        Some(403) if is_rate() => QueryFailure::Unavailable,
        Some(401 | 403) => QueryFailure::Denied,
        Some(500..) => QueryFailure::Unavailable,
        _ => match cause.status().map(|status| status.code) {
            Some(Code::NotFound) => QueryFailure::NotFound,
            Some(Code::InvalidArgument) => QueryFailure::Invalid,
            Some(Code::DeadlineExceeded) => QueryFailure::Timeout,
            Some(Code::PermissionDenied | Code::Unauthenticated) => QueryFailure::Denied,
            Some(Code::Unavailable | Code::ResourceExhausted | Code::Internal | Code::Aborted) => {
                QueryFailure::Unavailable
            }
            Some(_) => QueryFailure::Other,
            None if cause.is_timeout() => QueryFailure::Timeout,
            None if cause.is_authentication() => QueryFailure::Denied,
            None if cause.is_io()
                || cause.is_connect()
                || cause.is_transport()
                || cause.is_exhausted() =>
            {
                QueryFailure::Unavailable
            }
            None => QueryFailure::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_failed_jobs_have_their_predicates() {
        let kind = |reason: &str| job_failure(&ErrorProto::new().set_reason(reason));
        assert_eq!(kind("notFound"), QueryFailure::NotFound);
        assert_eq!(kind("invalidQuery"), QueryFailure::Invalid);
        assert_eq!(kind("accessDenied"), QueryFailure::Denied);
        assert_eq!(kind("backendError"), QueryFailure::Unavailable);
        assert_eq!(kind("somethingNew"), QueryFailure::Other);
    }

    #[test]
    fn answers_over_http_have_their_predicates() {
        let error = |code: u16| {
            call_error(GoogleError::http(code, http_headers(), bytes::Bytes::from_static(b"no")))
        };
        assert!(error(404).is_not_found());
        assert!(error(400).is_invalid());
        assert!(error(504).is_timeout());
        assert!(error(503).is_unavailable() && error(429).is_unavailable());
        assert!(error(403).is_denied());
        assert!(call_error(GoogleError::connect("refused")).is_unavailable());
        assert!(call_error(GoogleError::timeout("slow")).is_timeout());
    }

    fn http_headers<T: Default>() -> T {
        T::default()
    }
}
