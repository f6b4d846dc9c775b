//! Rows loaded together: a table is created, replaced or added to in one change.

use arrow_array::RecordBatch;
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

/// Rows of one load in memory. A load is one journal record, and those are limited.
const LOAD_BYTES_MAX: usize = 192 << 20;

/// What happens to the rows that a table has when others are loaded into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteDisposition {
    /// They stay.
    #[default]
    Append,
    /// They go, and the table gets the schema of the load.
    Truncate,
    /// There must be none.
    Empty,
}

/// Rows to load into a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Load {
    /// The table.
    pub table: TableName,
    /// Whether the table may be created.
    pub create: bool,
    /// What happens to its rows.
    pub write: WriteDisposition,
    /// The table's schema afterwards.
    pub schema: TableSchema,
    /// Properties of a table that is created.
    pub properties: Map<String, serde_json::Value>,
    /// The rows, in this order.
    pub rows: Vec<CheckedRows>,
}

impl Load {
    /// Rows to add to a table, which is created unless it exists.
    #[must_use]
    pub fn new(table: TableName, schema: TableSchema, rows: Vec<CheckedRows>) -> Self {
        let (create, write, properties) = (true, WriteDisposition::Append, Map::new());
        Self { table, create, write, schema, properties, rows }
    }
}

impl State {
    /// Loads rows, at once visible, all or none. Answers the size of the rows as BigQuery counts it, in bytes.
    ///
    /// # Errors
    /// When the table is missing and may not be created, has rows and must not, cannot take the schema, or the rows
    /// are too many for one load.
    pub fn load(&mut self, now: Timestamp, load: Load) -> Result<u64, ApiError> {
        let Load { table: name, create, write, schema, properties, rows } = load;
        let table = match self.table(&name) {
            None if !create => return Err(ApiError::table_not_found(&name)),
            None => self.new_table(now, name.clone(), schema, properties)?,
            Some(_) if write == WriteDisposition::Empty && self.row_count(&name) > 0 => {
                let message = format!("Already Exists: Table {name}");
                return Err(ApiError::new(Reason::Duplicate, message));
            }
            Some(old) => changed(old, now, schema, write)?,
        };
        let does_not_fit = |error| ApiError::invalid(format!("Rows do not fit the table: {error}"));
        let conformed = rows.into_iter().map(|rows| conform(&rows.into_batch(), &table.schema));
        let batches: Vec<_> = conformed.collect::<Result<_, _>>().map_err(does_not_fit)?;
        check_size(&batches)?;
        let before = if write == WriteDisposition::Truncate { 0 } else { self.row_bytes(&name) };
        let records = self.records(now, table, batches, write);
        self.commit(Record::Together(records))
            .map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))?;
        Ok(self.row_bytes(&name) - before)
    }

    /// The changes that bring the table to what it is after the load.
    fn records(
        &self,
        at: Timestamp,
        table: Table,
        batches: Vec<RecordBatch>,
        write: WriteDisposition,
    ) -> Vec<Record> {
        let name = table.name.clone();
        let change = |removed, rows| Record::Changed { table: name.clone(), at, removed, rows };
        let mut records = Vec::with_capacity(batches.len() + 2);
        if let Some(old) = self.table(&name).filter(|_| write == WriteDisposition::Truncate) {
            // What streams hold back is of the schema before: they go with it.
            records.push(if old.schema == table.schema {
                change(vec![(0, self.row_count(&name))], None)
            } else {
                Record::TableDeleted(name.clone())
            });
        }
        if self.table(&name) != Some(&table) {
            records.push(Record::Table(table));
        }
        let rows = batches.into_iter().map(|batch| Some(StoredRows::new(batch)));
        records.extend(rows.map(|rows| change(Vec::new(), rows)));
        records
    }

    fn new_table(
        &self,
        now: Timestamp,
        name: TableName,
        schema: TableSchema,
        properties: Map<String, serde_json::Value>,
    ) -> Result<Table, ApiError> {
        self.check_new_table(&name, &schema)?;
        Ok(Table { name, schema, created: now, modified: now, version: 1, properties })
    }
}

/// The table after a load.
fn changed(
    old: &Table,
    now: Timestamp,
    schema: TableSchema,
    write: WriteDisposition,
) -> Result<Table, ApiError> {
    let mut table = old.clone();
    if old.schema == schema {
        return Ok(table);
    }
    if write == WriteDisposition::Truncate {
        schema.check().map_err(ApiError::invalid)?;
    } else {
        old.schema.check_change(&schema).map_err(|reason| {
            let name = &old.name;
            ApiError::invalid(format!("Provided Schema does not match Table {name}. {reason}"))
        })?;
    }
    table.schema = schema;
    table.modified = now.max(old.modified);
    table.version += 1;
    Ok(table)
}

fn check_size(batches: &[RecordBatch]) -> Result<(), ApiError> {
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    if bytes <= LOAD_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "The rows of the job take {bytes} bytes, the maximum of this local BigQuery is {LOAD_BYTES_MAX}; load them in pieces"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::schema::{Field, FieldType};
    use crate::bigquery::value::Value;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn name() -> TableName {
        TableName::new("p", "d", "t")
    }

    fn schema() -> TableSchema {
        TableSchema::new(vec![Field::required("n", FieldType::Int64)])
    }

    fn numbers(state: &State) -> Vec<Vec<Value>> {
        state.rows(&name(), 0, u64::MAX)
    }

    fn load(numbers: std::ops::Range<i64>) -> Load {
        let rows: Vec<_> = numbers.map(|n| vec![Value::Int64(n)]).collect();
        Load::new(name(), schema(), vec![CheckedRows::from_values(&schema(), &rows).unwrap()])
    }

    fn state() -> State {
        let mut state = State::new();
        state.keep_changes();
        state.create_dataset(NOW, name().dataset, "US", Map::new()).unwrap();
        state
    }

    #[test]
    fn dispositions_create_add_replace_and_refuse() {
        let mut state = state();
        let never = Load { create: false, ..load(0..1) };
        assert_eq!(state.load(NOW, never).unwrap_err().reason, Reason::NotFound);
        assert_eq!(state.load(NOW, load(0..2)).unwrap(), 16);
        assert_eq!(state.load(NOW, load(2..3)).unwrap(), 8);
        let empty = Load { write: WriteDisposition::Empty, ..load(0..1) };
        assert_eq!(state.load(NOW, empty).unwrap_err().reason, Reason::Duplicate);
        assert_eq!(numbers(&state).len(), 3);

        let text = TableSchema::new(vec![Field::nullable("text", FieldType::String)]);
        let rows = CheckedRows::from_values(&text, &[vec![Value::string("a")]]).unwrap();
        let mut other = Load::new(name(), text, vec![rows]);
        let error = state.load(NOW, other.clone()).unwrap_err();
        assert!(error.message.contains("does not match Table p:d.t"), "{error}");
        other.write = WriteDisposition::Truncate;
        assert_eq!(state.load(NOW, other).unwrap(), 3);
        assert_eq!(numbers(&state), [[Value::string("a")]]);
    }

    #[test]
    fn loads_survive_journal_and_snapshot() {
        let mut state = state();
        state.load(NOW, load(0..2)).unwrap();
        let wider = TableSchema::new(vec![
            Field::nullable("n", FieldType::Int64),
            Field::nullable("m", FieldType::Int64),
        ]);
        let rows = CheckedRows::from_values(&wider, &[vec![Value::Null, Value::Int64(7)]]).unwrap();
        state.load(NOW, Load::new(name(), wider, vec![rows])).unwrap();
        let expected = [
            [Value::Int64(0), Value::Null],
            [Value::Int64(1), Value::Null],
            [Value::Null, Value::Int64(7)],
        ];
        assert_eq!(numbers(&state), expected);
        state.load(NOW, Load { write: WriteDisposition::Truncate, ..load(5..6) }).unwrap();
        let journal = state.take_changes();
        let snapshot = state.snapshot().collect();
        for records in [journal, snapshot] {
            let mut after = State::new();
            for record in records {
                let bytes = rmp_serde::to_vec(&record).unwrap();
                after.replay(rmp_serde::from_slice(&bytes).unwrap()).unwrap();
            }
            assert_eq!(numbers(&after), [[Value::Int64(5)]]);
            assert_eq!(after.table(&name()), state.table(&name()));
        }
    }
}
