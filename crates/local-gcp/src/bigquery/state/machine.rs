//! The state itself: applying records, handing them to a journal, making a snapshot, and looking around.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;

use super::faults::Faults;
use super::inserts::InsertIds;
use super::record::{Record, StoredRows};
use super::resources::{Dataset, StreamEntry, Table, TableEntry, WriteStream};
use crate::bigquery::names::{DatasetName, StreamName, TableName};
use crate::bigquery::rows::{Column, TableRows};
use crate::bigquery::value::Value;
use crate::clock::Timestamp;
use crate::journal::BoxError;

/// All of local BigQuery but its jobs. See the module's documentation.
#[derive(Debug, Default)]
pub struct State {
    pub(super) datasets: BTreeMap<DatasetName, Dataset>,
    pub(super) tables: BTreeMap<TableName, TableEntry>,
    pub(super) streams: BTreeMap<StreamName, StreamEntry>,
    pub(super) next_stream: u64,
    pub(super) faults: Faults,
    /// Records not yet taken by a journal; `None` if nobody keeps one.
    changes: Option<Vec<Record>>,
    version: u64,
}

impl State {
    /// An empty state that keeps no records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on keeps a record of every change until [`take_changes`](Self::take_changes).
    pub fn keep_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// The records of the changes since the last call, oldest first.
    pub fn take_changes(&mut self) -> Vec<Record> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Counts the changes made.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The faults that requests meet.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Applies a record of a journal.
    ///
    /// # Errors
    /// When the record does not follow from the records before it.
    pub fn replay(&mut self, record: Record) -> Result<(), BoxError> {
        self.apply(record)
    }

    /// Applies a change just checked, and keeps its record.
    pub(super) fn commit(&mut self, record: Record) -> Result<(), BoxError> {
        let kept = self.changes.is_some().then(|| record.clone());
        self.apply(record)?;
        if let (Some(changes), Some(record)) = (&mut self.changes, kept) {
            changes.push(record);
        }
        Ok(())
    }

    fn apply(&mut self, record: Record) -> Result<(), BoxError> {
        match record {
            Record::Dataset(dataset) => {
                self.datasets.insert(dataset.name.clone(), dataset);
            }
            Record::DatasetDeleted(name) => {
                self.datasets.remove(&name).ok_or("no such dataset")?;
            }
            Record::Table(table) => self.apply_table(table)?,
            Record::TableDeleted(name) => {
                self.tables.remove(&name).ok_or("no such table")?;
                self.streams.retain(|stream, _| stream.table != name);
            }
            Record::Stream(stream) => {
                let name = stream.name.clone();
                self.next_stream += 1;
                self.streams.insert(name, StreamEntry { stream, held: TableRows::default() });
            }
            Record::Appended { stream, at, rows } => self.apply_append(&stream, at, rows)?,
            Record::Flushed { stream, at, visible } => self.apply_flush(&stream, at, visible)?,
            Record::Finalized { stream, at } => {
                let entry = self.streams.get_mut(&stream).ok_or("no such stream")?;
                entry.stream.finalized = true;
                entry.stream.used = at;
            }
            Record::Committed { streams, at } => {
                streams.iter().try_for_each(|stream| self.apply_commit(stream, at))?;
            }
            Record::StreamForgotten(stream) => {
                self.streams.remove(&stream).ok_or("no such stream")?;
            }
            Record::HeldRows { stream, rows } => {
                let table = self.tables.get(&stream.table).ok_or("no such table")?;
                let entry = self.streams.get_mut(&stream).ok_or("no such stream")?;
                entry.held.push(rows.into_batch(&table.table.schema)?);
            }
            Record::VisibleRows { table, rows } => {
                let entry = self.tables.get_mut(&table).ok_or("no such table")?;
                entry.rows.push(rows.into_batch(&entry.table.schema)?);
            }
            Record::Inserted { table, at, rows, ids } => {
                let entry = self.tables.get_mut(&table).ok_or("no such table")?;
                entry.inserted.remember(at, ids);
                entry.show(vec![rows.into_batch(&entry.table.schema)?], at);
            }
            Record::InsertIds { table, at, ids } => {
                let entry = self.tables.get_mut(&table).ok_or("no such table")?;
                entry.inserted.remember(at, ids);
            }
            Record::NextStream(next) => self.next_stream = next,
            Record::Changed { table, at, removed, rows } => {
                self.apply_change(&table, at, &removed, rows)?;
            }
            Record::Together(records) => {
                records.into_iter().try_for_each(|record| self.apply(record))?;
            }
        }
        self.version += 1;
        Ok(())
    }

    fn apply_table(&mut self, table: Table) -> Result<(), BoxError> {
        let Some(entry) = self.tables.get_mut(&table.name) else {
            let entry = TableEntry {
                table,
                rows: TableRows::default(),
                inserted: InsertIds::default(),
                epoch: self.version,
            };
            self.tables.insert(entry.table.name.clone(), entry);
            return Ok(());
        };
        if entry.table.schema != table.schema {
            entry.rows.conform(&table.schema)?;
            entry.epoch = self.version;
            let streams = self.streams.iter_mut();
            for (_, stream) in streams.filter(|(name, _)| name.table == table.name) {
                stream.held.conform(&table.schema)?;
            }
        }
        entry.table = table;
        Ok(())
    }

    fn apply_append(
        &mut self,
        name: &StreamName,
        at: Timestamp,
        rows: StoredRows,
    ) -> Result<(), BoxError> {
        let table = self.tables.get_mut(&name.table).ok_or("no such table")?;
        let rows = rows.into_batch(&table.table.schema)?;
        let count = rows.num_rows() as u64;
        let visible = match self.streams.get_mut(name) {
            None if name.is_default() => true,
            None => return Err("no such stream".into()),
            Some(entry) => {
                entry.stream.used = at;
                entry.stream.appended += count;
                entry.stream.shows_at_once()
            }
        };
        match self.streams.get_mut(name) {
            Some(entry) if !visible => entry.held.push(rows),
            other => {
                other.into_iter().for_each(|entry| entry.stream.visible += count);
                table.show(vec![rows], at);
            }
        }
        Ok(())
    }

    fn apply_flush(
        &mut self,
        name: &StreamName,
        at: Timestamp,
        visible: u64,
    ) -> Result<(), BoxError> {
        let entry = self.streams.get_mut(name).ok_or("no such stream")?;
        let table = self.tables.get_mut(&name.table).ok_or("no such table")?;
        entry.stream.used = at;
        let fresh = visible.saturating_sub(entry.stream.visible);
        if fresh > 0 {
            table.show(entry.held.take_front(fresh), at);
            entry.stream.visible = visible;
        }
        Ok(())
    }

    fn apply_commit(&mut self, name: &StreamName, at: Timestamp) -> Result<(), BoxError> {
        let entry = self.streams.get_mut(name).ok_or("no such stream")?;
        let table = self.tables.get_mut(&name.table).ok_or("no such table")?;
        table.show(entry.held.take(), at);
        entry.stream.visible = entry.stream.appended;
        entry.stream.committed = Some(at);
        entry.stream.used = at;
        Ok(())
    }

    /// Records that give this state when replayed from nothing.
    pub fn snapshot(&self) -> impl Iterator<Item = Record> + '_ {
        let datasets = self.datasets.values().cloned().map(Record::Dataset);
        let tables = self.tables.values().flat_map(|entry| {
            let rows = entry.rows.batches().map(|batch| Record::VisibleRows {
                table: entry.table.name.clone(),
                rows: StoredRows::new(batch.clone()),
            });
            let ids = entry.inserted.requests().map(|(at, ids)| Record::InsertIds {
                table: entry.table.name.clone(),
                at: *at,
                ids: ids.clone(),
            });
            std::iter::once(Record::Table(entry.table.clone())).chain(rows).chain(ids)
        });
        let streams = self.streams.values().flat_map(|entry| {
            let rows = entry.held.batches().map(|batch| Record::HeldRows {
                stream: entry.stream.name.clone(),
                rows: StoredRows::new(batch.clone()),
            });
            std::iter::once(Record::Stream(entry.stream.clone())).chain(rows)
        });
        datasets.chain(tables).chain(streams).chain([Record::NextStream(self.next_stream)])
    }

    /// About how many bytes a journal of [`snapshot`](Self::snapshot) has.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        let tables = self.tables.values().map(|entry| entry.rows.logical_bytes());
        let streams = self.streams.values().map(|entry| entry.held.logical_bytes());
        tables.chain(streams).sum()
    }

    /// All datasets, by name.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.datasets.values()
    }

    /// A dataset.
    #[must_use]
    pub fn dataset(&self, name: &DatasetName) -> Option<&Dataset> {
        self.datasets.get(name)
    }

    /// All tables, by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values().map(|entry| &entry.table)
    }

    /// A table.
    #[must_use]
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.get(name).map(|entry| &entry.table)
    }

    /// Number of a table's visible rows; 0 if there is no such table.
    #[must_use]
    pub fn row_count(&self, name: &TableName) -> u64 {
        self.tables.get(name).map_or(0, |entry| entry.rows.len())
    }

    /// Size of a table's visible rows as BigQuery counts it, in bytes; 0 if there is no such table.
    #[must_use]
    pub fn row_bytes(&self, name: &TableName) -> u64 {
        self.tables.get(name).map_or(0, |entry| entry.rows.logical_bytes())
    }

    /// A table's visible rows from `offset` on, at most `limit`, oldest first; batches share the table's memory.
    #[must_use]
    pub fn batches(&self, name: &TableName, offset: u64, limit: u64) -> Vec<RecordBatch> {
        self.tables.get(name).map_or_else(Vec::new, |entry| entry.rows.range(offset, limit))
    }

    /// A table's visible rows from `offset` on, at most `limit`, oldest first; one value per column.
    #[must_use]
    pub fn rows(&self, name: &TableName, offset: u64, limit: u64) -> Vec<Vec<Value>> {
        let Some(entry) = self.tables.get(name) else { return Vec::new() };
        let mut rows = Vec::new();
        for batch in entry.rows.range(offset, limit) {
            let columns = Column::all(&entry.table.schema, &batch);
            let row = |at| columns.iter().map(|column| column.value(at)).collect();
            rows.extend((0..batch.num_rows()).map(row));
        }
        rows
    }

    /// The write streams clients created, by name.
    pub fn write_streams(&self) -> impl Iterator<Item = &WriteStream> {
        self.streams.values().map(|entry| &entry.stream)
    }
}

impl TableEntry {
    /// Makes rows visible.
    pub(super) fn show(&mut self, rows: Vec<RecordBatch>, at: Timestamp) {
        rows.into_iter().for_each(|batch| self.rows.push(batch));
        self.table.modified = self.table.modified.max(at);
    }
}
