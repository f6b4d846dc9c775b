//! The handle on one BigQuery: every access to the state goes through it, from the wire and in-process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Map;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::{ApiError, Reason};
use super::jobs::Jobs;
use super::names::{DatasetName, TableName};
use super::read::Sessions;
use super::schema::TableSchema;
use super::sql::{Catalog, TableSnapshot};
#[cfg(feature = "sql")]
use super::state::TableChange;
use super::state::{State, Table};
use super::value::Value;
use crate::clock::{Clock, Timestamp};
use crate::journal::{self, DataDirectory, Journal, Position};

/// Where datasets are unless a client says otherwise.
pub(super) const LOCATION: &str = "US";

/// A local BigQuery. Clones are handles on the same one.
///
/// A change is answered only after it is in the journal, if there is one. Readers may see it a moment
/// earlier. Jobs, their results and read sessions live in memory only.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use millstream_local_gcp::bigquery::{BigQuery, CheckedRows, Field, FieldType, StreamName, TableName, TableSchema, Value};
/// use millstream_local_gcp::clock::SystemClock;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bigquery = BigQuery::in_memory(Arc::new(SystemClock));
/// let table = TableName::new("demo", "sales", "orders");
/// let schema = TableSchema::new(vec![Field::required("sku", FieldType::String)]);
/// bigquery.ensure_table(&table, &schema)?;
///
/// let rows = CheckedRows::from_values(&schema, &[vec![Value::string("tea")]])?;
/// let stream = StreamName::default_of(table.clone());
/// bigquery.change(|state, now| state.append_rows(now, &stream, None, rows))?;
/// assert_eq!(bigquery.row_count(&table), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BigQuery {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    jobs: Mutex<Jobs>,
    reads: Mutex<Sessions>,
    clock: Arc<dyn Clock>,
    journal: Option<Arc<Journal>>,
    /// The state's version, for those who wait for a change.
    version: watch::Sender<u64>,
    shutdown: CancellationToken,
}

impl BigQuery {
    /// An empty BigQuery that lives in memory only.
    #[must_use]
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self::new(State::new(), clock, None)
    }

    /// The BigQuery kept in a data directory (file `bigquery.journal`).
    ///
    /// # Errors
    /// When the journal cannot be opened or read.
    pub fn open(directory: &DataDirectory, clock: Arc<dyn Clock>) -> journal::Result<Self> {
        let mut state = State::new();
        let journal = directory.journal("bigquery", |record| state.replay(record))?;
        state.keep_changes();
        Ok(Self::new(state, clock, Some(journal)))
    }

    fn new(state: State, clock: Arc<dyn Clock>, journal: Option<Arc<Journal>>) -> Self {
        let shared = Shared {
            version: watch::Sender::new(state.version()),
            state: Mutex::new(state),
            jobs: Mutex::new(Jobs::new(clock.now())),
            reads: Mutex::default(),
            clock,
            journal,
            shutdown: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs one step on the state, puts what it changed on file, then wakes those who wait for changes.
    ///
    /// # Errors
    /// Those of `step`, or the journal's when the change could not be put on file.
    pub fn change<T, E: From<journal::Error>>(
        &self,
        step: impl FnOnce(&mut State, Timestamp) -> Result<T, E>,
    ) -> Result<T, E> {
        let now = self.now();
        let mut state = self.lock();
        let before = state.version();
        let result = step(&mut state, now);
        let appended = self.append_records(&mut state);
        let after = state.version();
        drop(state);
        if let (Some(journal), Some(position)) = (&self.shared.journal, appended?) {
            journal.commit(position)?;
        }
        if after != before {
            // Steps finish in any order; the version only grows.
            self.shared.version.send_modify(|version| *version = after.max(*version));
        }
        result
    }

    fn append_records(&self, state: &mut State) -> journal::Result<Option<Position>> {
        let Some(journal) = &self.shared.journal else { return Ok(None) };
        let mut position = None;
        for record in state.take_changes() {
            position = Some(journal.append(&record)?);
        }
        Ok(position)
    }

    /// Looks at the state.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Rewrites the journal when most of it is garbage. Blocks, and holds the lock, for the time it takes to write all
    /// rows.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one stays in use.
    pub fn compact(&self) -> journal::Result<()> {
        let Some(journal) = &self.shared.journal else { return Ok(()) };
        let state = self.lock();
        if !journal.is_worth_rewriting(state.live_bytes()) {
            return Ok(());
        }
        journal.rewrite(state.snapshot())
    }

    /// Ends all append connections; other requests still work.
    pub(crate) fn shut_down(&self) {
        self.shared.shutdown.cancel();
    }

    pub(super) fn shutdown_token(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// The jobs. Never locked together with the state.
    pub(super) fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The read sessions. Never locked together with the state.
    pub(super) fn reads(&self) -> MutexGuard<'_, Sessions> {
        self.shared.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside a step is a bug, but one that must not take every other request down with it.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In-process use, without a client.
impl BigQuery {
    /// Creates a dataset, unless it exists.
    ///
    /// # Errors
    /// When the name is invalid or the change cannot be recorded.
    pub fn ensure_dataset(&self, name: &DatasetName) -> Result<(), ApiError> {
        self.change(|state, now| match state.dataset(name) {
            Some(_) => Ok(()),
            None => state.create_dataset(now, name.clone(), LOCATION, Map::new()).map(drop),
        })
    }

    /// Creates a table and its dataset, unless they exist.
    ///
    /// # Errors
    /// When a name or the schema is invalid, the table exists with another schema, or the change cannot be recorded.
    pub fn ensure_table(&self, name: &TableName, schema: &TableSchema) -> Result<(), ApiError> {
        self.ensure_dataset(&name.dataset)?;
        self.change(|state, now| match state.table(name) {
            Some(table) if table.schema == *schema => Ok(()),
            Some(_) => {
                let message = format!("Already Exists: Table {name} with another schema");
                Err(ApiError::new(Reason::Duplicate, message))
            }
            None => state.create_table(now, name.clone(), schema.clone(), Map::new()).map(drop),
        })
    }

    /// All tables, by name.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        self.read(|state| state.tables().cloned().collect())
    }

    /// Number of a table's visible rows; 0 if there is no such table.
    #[must_use]
    pub fn row_count(&self, table: &TableName) -> u64 {
        self.read(|state| state.row_count(table))
    }

    /// All visible rows of a table, oldest first; one value per column. For large tables use
    /// [`State::rows`] in pieces.
    #[must_use]
    pub fn rows(&self, table: &TableName) -> Vec<Vec<Value>> {
        self.read(|state| state.rows(table, 0, u64::MAX))
    }

    /// Changes whenever anything in this BigQuery has changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Waits until a table has at least `count` visible rows; returns how many it has.
    pub async fn wait_for_rows(&self, table: &TableName, count: u64) -> u64 {
        let mut changes = self.changes();
        loop {
            changes.mark_unchanged();
            let rows = self.row_count(table);
            // Without a sender nothing can change any more; but this handle holds it.
            if rows >= count || changes.changed().await.is_err() {
                return rows;
            }
        }
    }
}

impl Catalog for BigQuery {
    fn snapshot(&self, table: &TableName) -> Option<TableSnapshot> {
        self.read(|state| {
            let schema = state.table(table)?.schema.clone();
            let batches = state.batches(table, 0, u64::MAX);
            Some(TableSnapshot { schema, batches, epoch: state.epoch(table) })
        })
    }

    #[cfg(feature = "sql")]
    fn apply(&self, change: TableChange) -> Result<(), ApiError> {
        self.change(|state, now| state.run_statement(now, change))
    }
}
