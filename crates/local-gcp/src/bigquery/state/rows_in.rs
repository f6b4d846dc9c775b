//! Rows that were checked against a table's schema and may be appended to it.

use std::collections::BTreeMap;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;

use crate::bigquery::error::{ApiError, WriteError};
use crate::bigquery::ingest::{check_rows, decode_arrow, to_canonical};
use crate::bigquery::rows::build_batch;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::value::Value;

/// Rows fit for a table of one schema (or a later schema of the same table).
#[derive(Clone, Debug)]
pub struct CheckedRows(RecordBatch);

impl CheckedRows {
    /// Checks rows of values, one value per column.
    ///
    /// # Errors
    /// When there are no rows, or values do not fit; row errors name the rows.
    pub fn from_values(schema: &TableSchema, rows: &[Vec<Value>]) -> Result<Self, WriteError> {
        let batch = build_batch(schema, rows)
            .map_err(|error| WriteError::invalid(format!("Rows do not fit the table: {error}")))?;
        Self::from_canonical(schema, batch)
    }

    /// Checks rows with what they are known by, and takes those out that have values out of range, too long and the like;
    /// the rest, if any, may be written.
    ///
    /// # Errors
    /// When values are not of the schema's types at all.
    pub(crate) fn sift<T>(
        schema: &TableSchema,
        rows: &mut Vec<(T, Vec<Value>)>,
        mut on_fault: impl FnMut(T, String),
    ) -> Result<Option<Self>, ApiError> {
        // Every round but the last takes a row out: a check tells of so many rows at most.
        while !rows.is_empty() {
            let values: Vec<_> = rows.iter_mut().map(|row| std::mem::take(&mut row.1)).collect();
            let error = match Self::from_values(schema, &values) {
                Ok(checked) => return Ok(Some(checked)),
                Err(error) if error.row_errors.is_empty() => {
                    return Err(ApiError::invalid(error.message));
                }
                Err(error) => error,
            };
            let mut bad: BTreeMap<_, _> =
                error.row_errors.into_iter().map(|row| (row.index, row.message)).collect();
            let known_by = std::mem::take(rows).into_iter().map(|(known_by, _)| known_by);
            for (position, row) in known_by.zip(values).enumerate() {
                match bad.remove(&position) {
                    Some(message) => on_fault(row.0, message),
                    None => rows.push(row),
                }
            }
        }
        Ok(None)
    }

    /// Checks an Arrow batch; columns are matched by name and converted. `stream` is named in errors.
    ///
    /// # Errors
    /// When there are no rows, columns do not fit, or values do not; row errors name the rows.
    pub fn from_batch(
        schema: &TableSchema,
        batch: &RecordBatch,
        stream: &str,
    ) -> Result<Self, WriteError> {
        Self::from_canonical(schema, to_canonical(batch, schema, stream)?)
    }

    /// Checks rows as a client sends them: the schema message of its connection and the message of one batch, in Arrow's IPC
    /// format. `stream` is named in errors.
    ///
    /// # Errors
    /// Like [`from_batch`](Self::from_batch), and when the bytes are no such messages.
    pub fn from_arrow(
        schema: &TableSchema,
        writer_schema: &Bytes,
        batch: &Bytes,
        stream: &str,
    ) -> Result<Self, WriteError> {
        Self::from_batch(schema, &decode_arrow(writer_schema, batch)?, stream)
    }

    fn from_canonical(schema: &TableSchema, batch: RecordBatch) -> Result<Self, WriteError> {
        if batch.num_rows() == 0 {
            return Err(WriteError::invalid("The request holds no rows"));
        }
        let errors = check_rows(schema, &batch);
        if errors.is_empty() { Ok(Self(batch)) } else { Err(WriteError::rows(errors)) }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// Never: rows were asked for when it was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of the rows whose place in `keep` says so; perhaps none.
    pub(super) fn kept(self, keep: &[bool]) -> Result<RecordBatch, ArrowError> {
        if keep.iter().all(|kept| *kept) && keep.len() == self.len() {
            return Ok(self.0);
        }
        filter_record_batch(&self.0, &BooleanArray::from(keep.to_vec()))
    }

    pub(super) fn into_batch(self) -> RecordBatch {
        self.0
    }
}
