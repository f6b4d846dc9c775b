//! What the state consists of: datasets, tables and write streams.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::inserts::InsertIds;
use crate::bigquery::names::{DatasetName, StreamName, TableName};
use crate::bigquery::rows::TableRows;
use crate::bigquery::schema::TableSchema;
use crate::clock::Timestamp;

/// A dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dataset {
    /// Its name.
    pub name: DatasetName,
    /// Where it pretends to be.
    pub location: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Counts its changes.
    pub version: u64,
    /// What else clients said of it (labels, description, ...), as in the REST resource.
    pub properties: Map<String, serde_json::Value>,
}

impl Dataset {
    /// Changes with every change of the dataset.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.created, self.version)
    }
}

/// A table, without its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its columns.
    pub schema: TableSchema,
    /// When it was created.
    pub created: Timestamp,
    /// When it or its rows were last changed.
    pub modified: Timestamp,
    /// Counts its changes, those of rows apart.
    pub version: u64,
    /// What else clients said of it (labels, description, partitioning, ...), as in the REST resource.
    pub properties: Map<String, serde_json::Value>,
}

impl Table {
    /// Changes with every change of the table, those of rows apart.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self.created, self.version)
    }
}

fn etag(created: Timestamp, version: u64) -> String {
    format!("{:x}-{version:x}", created.as_micros())
}

/// A table with its rows.
#[derive(Clone, Debug)]
pub(crate) struct TableEntry {
    pub(crate) table: Table,
    pub(crate) rows: TableRows,
    pub(crate) inserted: InsertIds,
    /// Changes when rows change their places: the state's version when they last did.
    pub(crate) epoch: u64,
}

/// When the rows of a write stream become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StreamType {
    /// At once.
    Committed,
    /// When flushed.
    Buffered,
    /// When the finalized stream is committed.
    Pending,
}

/// A write stream that a client created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WriteStream {
    /// Its name.
    pub name: StreamName,
    /// When its rows become visible.
    pub stream_type: StreamType,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last appended to, flushed, finalized or committed.
    pub used: Timestamp,
    /// Rows appended so far: the offset of the next.
    pub appended: u64,
    /// Rows visible in the table.
    pub visible: u64,
    /// Whether it takes no more rows.
    pub finalized: bool,
    /// When its rows were committed (PENDING only).
    pub committed: Option<Timestamp>,
}

/// A write stream with the rows it holds back.
#[derive(Clone, Debug)]
pub(crate) struct StreamEntry {
    pub(crate) stream: WriteStream,
    pub(crate) held: TableRows,
}
