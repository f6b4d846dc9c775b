//! Changes made by SQL statements: all of one statement's, or none. Only with the cargo feature `sql`, which runs statements.

use serde_json::Map;

use super::machine::State;
use super::record::{Record, StoredRows};
use super::resources::Table;
use super::rows_in::CheckedRows;
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::names::TableName;
use crate::bigquery::rows::conform;
use crate::bigquery::schema::TableSchema;
use crate::clock::Timestamp;

/// Most bytes one statement may write, as BigQuery counts them: a statement is one journal record, and those are limited.
const STATEMENT_BYTES_MAX: usize = 192 << 20;

/// What a statement does to a table.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "sql"),
    allow(dead_code, reason = "without the feature only query jobs write, and they need less")
)]
pub(crate) enum TableChange {
    /// Takes rows out and puts rows in.
    Rows {
        /// The table.
        table: TableName,
        /// The epoch in which the places of the rows were read.
        epoch: u64,
        /// Rows to take out.
        removed: Removed,
        /// Rows to put in.
        added: Option<CheckedRows>,
    },
    /// Makes a table.
    Create {
        /// The table.
        table: TableName,
        /// Its columns.
        schema: TableSchema,
        /// Whether it takes the place of one that exists.
        replaces: bool,
        /// Its first rows.
        rows: Option<CheckedRows>,
    },
    /// Removes a table with its rows and streams.
    Drop {
        /// The table.
        table: TableName,
    },
}

/// Rows that a statement takes out.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(feature = "sql"),
    allow(
        dead_code,
        reason = "without the feature only query jobs write, and they take nothing out"
    )
)]
pub(crate) enum Removed {
    /// None.
    #[default]
    Nothing,
    /// Those at these places, in order.
    Places(Vec<u64>),
    /// All.
    Everything,
}

impl State {
    /// Makes the change of a statement.
    ///
    /// # Errors
    /// When a table is missing or exists already, rows moved since their places were read, or the change is too large.
    pub(crate) fn run_statement(
        &mut self,
        now: Timestamp,
        change: TableChange,
    ) -> Result<(), ApiError> {
        let record = match change {
            TableChange::Rows { table, epoch, removed, added } => {
                self.rows_record(now, table, epoch, removed, added)?
            }
            TableChange::Create { table, schema, replaces, rows } => {
                self.create_record(now, table, schema, replaces, rows)?
            }
            TableChange::Drop { table } => return self.delete_table(&table),
        };
        self.commit(record).map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))
    }

    fn rows_record(
        &self,
        at: Timestamp,
        table: TableName,
        epoch: u64,
        removed: Removed,
        added: Option<CheckedRows>,
    ) -> Result<Record, ApiError> {
        let entry = self.tables.get(&table).ok_or_else(|| ApiError::table_not_found(&table))?;
        if entry.epoch != epoch {
            let message =
                format!("Transaction is aborted due to concurrent update against table {table}.");
            return Err(ApiError::new(Reason::ConditionNotMet, message));
        }
        let removed = match removed {
            Removed::Nothing => Vec::new(),
            Removed::Places(places) => ranges(&places),
            Removed::Everything => vec![(0, entry.rows.len())],
        };
        let rows = stored(added, &entry.table.schema)?;
        Ok(Record::Changed { table, at, removed, rows })
    }

    fn create_record(
        &self,
        now: Timestamp,
        name: TableName,
        schema: TableSchema,
        replaces: bool,
        rows: Option<CheckedRows>,
    ) -> Result<Record, ApiError> {
        self.check_new_table(&name, &schema)?;
        let mut records = Vec::new();
        if self.tables.contains_key(&name) {
            if !replaces {
                let message = format!("Already Exists: Table {name}");
                return Err(ApiError::new(Reason::Duplicate, message));
            }
            records.push(Record::TableDeleted(name.clone()));
        }
        let rows = stored(rows, &schema)?;
        let table = Table {
            name: name.clone(),
            schema,
            created: now,
            modified: now,
            version: 1,
            properties: Map::new(),
        };
        records.push(Record::Table(table));
        if rows.is_some() {
            records.push(Record::Changed { table: name, at: now, removed: Vec::new(), rows });
        }
        Ok(Record::Together(records))
    }
}

/// Rows in the form of the journal, in the table's present schema.
fn stored(rows: Option<CheckedRows>, schema: &TableSchema) -> Result<Option<StoredRows>, ApiError> {
    let Some(rows) = rows else { return Ok(None) };
    let batch = conform(&rows.into_batch(), schema)
        .map_err(|error| ApiError::invalid(format!("Rows do not fit the table: {error}")))?;
    if batch.get_array_memory_size() > STATEMENT_BYTES_MAX {
        return Err(ApiError::new(
            Reason::ResourcesExceeded,
            format!("One statement may write at most {STATEMENT_BYTES_MAX} bytes here"),
        ));
    }
    Ok(Some(StoredRows::new(batch)))
}

/// Places in order as ranges, each from its first to behind its last.
fn ranges(places: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for place in places {
        match ranges.last_mut() {
            Some((_, behind)) if *behind == *place => *behind += 1,
            _ => ranges.push((*place, place + 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::schema::{Field, FieldType};
    use crate::bigquery::value::Value;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn name() -> TableName {
        TableName::new("p", "d", "t")
    }

    fn schema() -> TableSchema {
        TableSchema::new(vec![Field::required("n", FieldType::Int64)])
    }

    fn checked(numbers: &[i64]) -> Option<CheckedRows> {
        let rows: Vec<_> = numbers.iter().map(|n| vec![Value::Int64(*n)]).collect();
        Some(CheckedRows::from_values(&schema(), &rows).unwrap())
    }

    fn create(replaces: bool, numbers: &[i64]) -> TableChange {
        TableChange::Create { table: name(), schema: schema(), replaces, rows: checked(numbers) }
    }

    fn state() -> State {
        let mut state = State::new();
        state.keep_changes();
        state.create_dataset(NOW, name().dataset, "US", Map::new()).unwrap();
        state.run_statement(NOW, create(false, &[0, 1, 2, 3, 4])).unwrap();
        state
    }

    fn numbers(state: &State) -> Vec<i64> {
        let rows = state.rows(&name(), 0, u64::MAX);
        rows.iter().filter_map(|row| row[0].as_i64()).collect()
    }

    fn change(state: &State, removed: Removed, added: &[i64]) -> TableChange {
        let added = if added.is_empty() { None } else { checked(added) };
        TableChange::Rows { table: name(), epoch: state.epoch(&name()), removed, added }
    }

    #[test]
    fn rows_go_out_and_come_in_together_and_survive_a_replay() {
        let mut state = state();
        let swap = change(&state, Removed::Places(vec![1, 2, 4]), &[7]);
        state.run_statement(NOW, swap).unwrap();
        assert_eq!(numbers(&state), [0, 3, 7]);

        let mut again = State::new();
        for record in state.take_changes() {
            // As the journal keeps it.
            let bytes = rmp_serde::to_vec(&record).unwrap();
            again.replay(rmp_serde::from_slice(&bytes).unwrap()).unwrap();
        }
        assert_eq!(numbers(&again), [0, 3, 7]);
        let all = change(&again, Removed::Everything, &[]);
        again.run_statement(NOW, all).unwrap();
        assert_eq!(again.row_count(&name()), 0);
    }

    #[test]
    fn a_change_to_moved_rows_is_refused() {
        let mut state = state();
        let late = change(&state, Removed::Places(vec![0]), &[]);
        let first = change(&state, Removed::Places(vec![1]), &[]);
        state.run_statement(NOW, first).unwrap();
        let error = state.run_statement(NOW, late).unwrap_err();
        assert_eq!(error.reason, Reason::ConditionNotMet);
        assert_eq!(numbers(&state), [0, 2, 3, 4]);
    }

    #[test]
    fn tables_are_replaced_only_if_asked_to() {
        let mut state = state();
        let error = state.run_statement(NOW, create(false, &[9])).unwrap_err();
        assert_eq!(error.reason, Reason::Duplicate);
        state.run_statement(NOW, create(true, &[9])).unwrap();
        assert_eq!(numbers(&state), [9]);
        state.run_statement(NOW, TableChange::Drop { table: name() }).unwrap();
        assert!(state.table(&name()).is_none());
    }
}
