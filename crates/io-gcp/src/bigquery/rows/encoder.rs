//! [`RowEncoder`]: collects rows and gives them out as an Arrow batch, or as the bytes of its message.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::{
    DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions,
    write_message,
};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::error::{Error, Result};
use super::super::schema::TableSchema;
use super::column::arrow_field;
use super::fields::Fields;
use super::refusal::RowRefusal;
use super::row::RowSerializer;
use super::serializer::Context;

/// What happens to a field of a row that the table has no column for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SchemaPolicy {
    /// The row is refused.
    #[default]
    Freeze,
    /// The field is left out and counted, the row is written.
    DropUnknown,
}

/// Turns serde rows into Arrow batches for one table.
///
/// ```
/// use millstream_io_gcp::bigquery::rows::{RowEncoder, SchemaPolicy};
/// use millstream_io_gcp::bigquery::{Field, FieldType, TableSchema};
///
/// #[derive(serde::Serialize)]
/// struct Order {
///     id: u32,
///     at: &'static str,
/// }
///
/// let schema = TableSchema::new()
///     .field(Field::required("id", FieldType::Int64))
///     .field(Field::nullable("at", FieldType::Timestamp));
/// let mut encoder = RowEncoder::new(&schema, SchemaPolicy::Freeze)?;
/// encoder.push(&Order { id: 1, at: "2024-01-31T12:00:00Z" })?;
/// let refusal = encoder.push(&Order { id: 2, at: "noon" }).unwrap_err();
/// assert_eq!((refusal.column(), refusal.got()), ("at", "text \"noon\""));
/// assert_eq!(encoder.finish()?.num_rows(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RowEncoder {
    arrow: SchemaRef,
    fields: Fields,
    context: Context,
    rows: usize,
}

impl RowEncoder {
    /// An encoder for a table with the columns of `schema`.
    ///
    /// # Errors
    /// [`Error::Schema`] when BigQuery would refuse the schema.
    pub fn new(schema: &TableSchema, policy: SchemaPolicy) -> Result<Self> {
        schema.validate()?;
        let arrow_fields: Vec<_> = schema.fields().iter().map(arrow_field).collect();
        Ok(Self {
            arrow: Arc::new(Schema::new(arrow_fields)),
            fields: Fields::new(schema.fields()),
            context: Context { policy, bytes: 0, dropped: 0 },
            rows: 0,
        })
    }

    /// The columns as Arrow names them.
    #[must_use]
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Why the row does not fit; the rows before it are not touched.
    pub fn push<T: Serialize + ?Sized>(&mut self, row: &T) -> Result<(), RowRefusal> {
        self.push_within(row, usize::MAX)
    }

    /// Adds a row unless it takes more than about `bytes_max` bytes.
    ///
    /// # Errors
    /// Like [`RowEncoder::push`].
    pub fn push_within<T: Serialize + ?Sized>(
        &mut self,
        row: &T,
        bytes_max: usize,
    ) -> Result<(), RowRefusal> {
        let bytes = self.context.bytes;
        let mut written =
            row.serialize(RowSerializer::new(&mut self.fields, &mut self.context, self.rows));
        let size = self.context.bytes - bytes;
        if written.is_ok() && size > bytes_max {
            written = Err(RowRefusal::too_large(size, bytes_max));
        }
        match written {
            Ok(()) => self.rows += 1,
            Err(_) => {
                self.fields.truncate(self.rows);
                self.context.bytes = bytes;
            }
        }
        written
    }

    /// Rows collected.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the collected rows take.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.context.bytes
    }

    /// Values left out under [`SchemaPolicy::DropUnknown`] since the encoder was made.
    #[must_use]
    pub const fn dropped_values(&self) -> u64 {
        self.context.dropped
    }

    /// Takes the collected rows out as a batch.
    ///
    /// # Errors
    /// [`Error::Encode`] when Arrow refuses the columns.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        self.take_batch().map_err(encode_error)
    }

    fn take_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.context.bytes = 0;
        let arrays: Vec<ArrayRef> = self.fields.finish()?.1;
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options)
    }

    /// Takes the collected rows out as an Arrow IPC message, without the schema.
    ///
    /// # Errors
    /// [`Error::Encode`] when Arrow refuses the columns.
    pub fn finish_message(&mut self) -> Result<Bytes> {
        let batch = self.finish()?;
        let options = IpcWriteOptions::default();
        IpcDataGenerator::default()
            .encode(
                &batch,
                &mut DictionaryTracker::new(false),
                &options,
                &mut IpcWriteContext::default(),
            )
            .and_then(|(_, encoded)| message(encoded, &options))
            .map_err(encode_error)
    }

    /// The schema as an Arrow IPC message.
    ///
    /// # Errors
    /// [`Error::Encode`] when Arrow refuses the schema.
    pub fn schema_message(&self) -> Result<Bytes> {
        let options = IpcWriteOptions::default();
        let mut dictionaries = DictionaryTracker::new(false);
        let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            &self.arrow,
            &mut dictionaries,
            &options,
        );
        message(encoded, &options).map_err(encode_error)
    }
}

fn message(encoded: EncodedData, options: &IpcWriteOptions) -> Result<Bytes, ArrowError> {
    let mut bytes = Vec::with_capacity(encoded.ipc_message.len() + encoded.arrow_data.len() + 16);
    write_message(&mut bytes, encoded, options)?;
    Ok(Bytes::from(bytes))
}

fn encode_error(source: ArrowError) -> Error {
    Error::Encode { source: Box::new(source) }
}
