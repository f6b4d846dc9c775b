//! Changes of the state as they are journalled.

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::resources::{Dataset, Table, WriteStream};
use crate::bigquery::ingest::decode_arrow;
use crate::bigquery::names::{DatasetName, StreamName, TableName};
use crate::bigquery::schema::TableSchema;
use crate::clock::Timestamp;

/// One change of the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Record {
    /// A dataset was created or changed.
    Dataset(Dataset),
    /// A dataset, empty by now, was deleted.
    DatasetDeleted(DatasetName),
    /// A table was created or changed; its rows follow its schema.
    Table(Table),
    /// A table was deleted with its rows and streams.
    TableDeleted(TableName),
    /// A write stream was created; in a snapshot, also how far it is.
    Stream(WriteStream),
    /// Rows were appended to a stream (the default one included).
    Appended {
        /// The stream.
        stream: StreamName,
        /// When.
        at: Timestamp,
        /// The rows, in the table's schema of that moment.
        rows: StoredRows,
    },
    /// Rows of a BUFFERED stream became visible.
    Flushed {
        /// The stream.
        stream: StreamName,
        /// When.
        at: Timestamp,
        /// How many of the stream's rows are visible now.
        visible: u64,
    },
    /// A stream takes no more rows.
    Finalized {
        /// The stream.
        stream: StreamName,
        /// When.
        at: Timestamp,
    },
    /// PENDING streams of one table were committed together.
    Committed {
        /// The streams.
        streams: Vec<StreamName>,
        /// When.
        at: Timestamp,
    },
    /// A finished stream was forgotten.
    StreamForgotten(StreamName),
    /// In a snapshot: rows a stream holds back.
    HeldRows {
        /// The stream.
        stream: StreamName,
        /// The rows.
        rows: StoredRows,
    },
    /// In a snapshot: rows visible in a table.
    VisibleRows {
        /// The table.
        table: TableName,
        /// The rows.
        rows: StoredRows,
    },
    /// Rows were inserted one by one.
    Inserted {
        /// The table.
        table: TableName,
        /// When.
        at: Timestamp,
        /// The rows, in the table's schema of that moment.
        rows: StoredRows,
        /// The ids of those rows that have one.
        ids: Vec<String>,
    },
    /// In a snapshot: ids of rows inserted of late.
    InsertIds {
        /// The table.
        table: TableName,
        /// When.
        at: Timestamp,
        /// The ids.
        ids: Vec<String>,
    },
    /// In a snapshot: the number the next stream is named by.
    NextStream(u64),
    /// A statement took rows out of a table and put others in.
    Changed {
        /// The table.
        table: TableName,
        /// When.
        at: Timestamp,
        /// The places of the rows taken out: ranges in order, each from its first to behind its last row.
        removed: Vec<(u64, u64)>,
        /// The rows put in, in the table's schema of that moment.
        rows: Option<StoredRows>,
    },
    /// Changes of one statement: all of them, or none.
    Together(Vec<Record>),
}

/// Rows in a record: an Arrow batch in memory, an Arrow IPC message (without its schema) in the file.
#[derive(Clone, Debug)]
pub struct StoredRows(Form);

#[derive(Clone, Debug)]
enum Form {
    Batch(RecordBatch),
    Message(Bytes),
}

impl StoredRows {
    pub(super) fn new(batch: RecordBatch) -> Self {
        Self(Form::Batch(batch))
    }

    /// The rows, given the table's schema when the record was made.
    pub(super) fn into_batch(self, schema: &TableSchema) -> Result<RecordBatch, ArrowError> {
        match self.0 {
            Form::Batch(batch) => Ok(batch),
            Form::Message(message) => {
                let schema = Bytes::from(schema_message(&schema.to_arrow())?);
                decode_arrow(&schema, &message)
                    .map_err(|error| ArrowError::IpcError(error.to_string()))
            }
        }
    }
}

fn schema_message(schema: &ArrowSchema) -> Result<Vec<u8>, ArrowError> {
    Ok(StreamWriter::try_new(Vec::new(), schema)?.get_ref().clone())
}

/// A batch as an IPC message without its schema.
fn batch_message(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    let schema_bytes = writer.get_ref().len();
    writer.write(batch)?;
    let mut bytes = std::mem::take(writer.get_mut());
    bytes.drain(..schema_bytes);
    Ok(bytes)
}

impl Serialize for StoredRows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Message(message) => message.serialize(serializer),
            Form::Batch(batch) => {
                let message = batch_message(batch).map_err(serde::ser::Error::custom)?;
                Bytes::from(message).serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for StoredRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(|message| Self(Form::Message(message)))
    }
}
