//! [`RowId`], and the rows in BigQuery: a parameterised query, how many at a time, and how long.

use std::str::FromStr;
use std::time::Duration;

use millstream::error::reason_chain;
use millstream_io_gcp::bigquery::query::Row;
use millstream_io_gcp::bigquery::{QueryClient, TableReference, TableSchema};
use tokio::sync::Semaphore;

use super::super::identity::ID_DIGITS;
use super::super::message::ID;
use super::config::ReadApiConfig;
use super::failure::Failure;

/// The id of a row: 32 hexadecimal digits in lower case.
///
/// ```
/// use millstream_pipelines::scheduled_ingest::RowId;
///
/// let id: RowId = "c310b5c983f5fbec2b6b9f51b6083918".parse()?;
/// assert_eq!(id.as_str().len(), 32);
/// assert!("C310B5C983F5FBEC2B6B9F51B6083918".parse::<RowId>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowId(String);

/// A text is not the id of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a row is {ID_DIGITS} hexadecimal digits in lower case")]
pub struct InvalidId;

impl RowId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id to ask for only to see whether there is an answer.
    pub(super) fn of_nothing() -> Self {
        Self("0".repeat(ID_DIGITS))
    }
}

impl FromStr for RowId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        if is_id { Ok(Self(text.to_owned())) } else { Err(InvalidId) }
    }
}

/// The table of rows.
#[derive(Debug)]
pub(super) struct RowStore {
    client: QueryClient,
    sql: String,
    /// Requests that ask or wait.
    room: Semaphore,
    /// Queries under way.
    queries: Semaphore,
    timeout: Duration,
}

impl RowStore {
    /// The rows of `table`, which has the columns of `schema`.
    pub(super) fn new(
        client: QueryClient,
        table: &TableReference,
        schema: &TableSchema,
        config: &ReadApiConfig,
    ) -> Self {
        let columns: Vec<String> =
            schema.fields().iter().map(|field| format!("`{}`", field.name)).collect();
        let (columns, table) = (columns.join(", "), table.sql());
        Self {
            client: client.timeout(config.timeout()),
            sql: format!("SELECT {columns} FROM {table} WHERE {ID} = @id LIMIT 1"),
            room: Semaphore::new(config.queries_max + config.waiting_max),
            queries: Semaphore::new(config.queries_max),
            timeout: config.timeout(),
        }
    }

    /// The row with this id, if there is one.
    pub(super) async fn find(&self, id: &RowId) -> Result<Option<Row>, Failure> {
        let _place = self.room.try_acquire().map_err(|_| Failure::Busy)?;
        let mut has_asked = false;
        let asked = tokio::time::timeout(self.timeout, async {
            let _turn = self.queries.acquire().await;
            has_asked = true;
            self.client.query(&self.sql).named("id", id.as_str()).first().await
        });
        match asked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                let failure = Failure::of_query(&error);
                let reason = reason_chain(&error).join(": ");
                tracing::warn!(problem = failure.name(), reason, "a query failed");
                Err(failure)
            }
            Err(_) => {
                let failure = if has_asked { Failure::Timeout } else { Failure::Busy };
                tracing::warn!(problem = failure.name(), "no answer within {:?}", self.timeout);
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_stable_id_can_be_is_an_id() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(id.parse::<RowId>().unwrap().as_str(), id);
        assert!(RowId::of_nothing().as_str().parse::<RowId>().is_ok());
        let quote = "' OR ''='0123456789abcdef01234567";
        for wrong in [
            "",
            &id[1..],
            &format!("{id}0"),
            &id.to_uppercase(),
            quote,
            "\u{e9}".repeat(16).as_str(),
        ] {
            assert_eq!(wrong.parse::<RowId>(), Err(InvalidId), "{wrong}");
        }
    }
}
