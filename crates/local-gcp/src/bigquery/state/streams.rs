//! Write streams: creation, offsets, visibility, finalizing and committing, with Google's rules and errors.

use std::time::Duration;

use super::machine::State;
use super::record::{Record, StoredRows};
use super::resources::{StreamType, TableEntry, WriteStream};
use super::rows_in::CheckedRows;
use crate::bigquery::error::{StorageErrorCode, WriteError};
use crate::bigquery::names::{StreamName, TableName};
use crate::bigquery::rows::conform;
use crate::clock::Timestamp;
use crate::status::Code;

/// A finished stream is remembered this long, so that late retries get exact answers.
const FINISHED_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// A successful append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// Offset of the first row; `None` on the default stream.
    pub offset: Option<i64>,
    /// Whether the answer is to be lost (a fault a test asked for).
    pub answer_lost: bool,
}

/// What became of a request to commit PENDING streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitOutcome {
    /// All are committed.
    Committed(Timestamp),
    /// None is committed, for these reasons.
    Refused(Vec<CommitFault>),
}

/// Why a stream cannot be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitFault {
    /// The stream's path.
    pub stream: String,
    /// What is wrong.
    pub code: StorageErrorCode,
    /// The same for people.
    pub message: String,
}

impl WriteStream {
    /// Whether rows are visible as soon as they are appended.
    pub(super) fn shows_at_once(&self) -> bool {
        self.stream_type == StreamType::Committed
    }

    fn is_finished(&self) -> bool {
        self.finalized && (self.stream_type != StreamType::Pending || self.committed.is_some())
    }

    fn invalid_type(&self, operation: &str) -> WriteError {
        WriteError::invalid(format!(
            "{operation} is not supported on {} streams.",
            self.stream_type.name()
        ))
        .with_detail(StorageErrorCode::InvalidStreamType, self.name.path())
    }
}

impl StreamType {
    /// The type's name in Google's messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Committed => "COMMITTED",
            Self::Buffered => "BUFFERED",
            Self::Pending => "PENDING",
        }
    }
}

impl State {
    /// Creates a write stream.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn create_write_stream(
        &mut self,
        now: Timestamp,
        table: &TableName,
        stream_type: StreamType,
    ) -> Result<WriteStream, WriteError> {
        self.table_entry(table)?;
        self.forget_finished(now)?;
        let id = format!("s{:08}", self.next_stream);
        let stream = WriteStream {
            name: StreamName { table: table.clone(), stream: id },
            stream_type,
            created: now,
            used: now,
            appended: 0,
            visible: 0,
            finalized: false,
            committed: None,
        };
        self.change(Record::Stream(stream.clone()))?;
        Ok(stream)
    }

    /// A write stream; the default stream of every table is a COMMITTED one as old as the table.
    ///
    /// # Errors
    /// When there is no such table or stream.
    pub fn write_stream(&self, name: &StreamName) -> Result<WriteStream, WriteError> {
        let table = self.table_entry(&name.table)?;
        if name.is_default() {
            return Ok(WriteStream {
                name: name.clone(),
                stream_type: StreamType::Committed,
                created: table.table.created,
                used: table.table.modified,
                appended: 0,
                visible: 0,
                finalized: false,
                committed: None,
            });
        }
        let entry = self.streams.get(name).ok_or_else(|| WriteError::stream_not_found(name))?;
        Ok(entry.stream.clone())
    }

    /// Appends rows to a stream, at `offset` if one is given.
    ///
    /// # Errors
    /// When there is no such stream, it is finalized, the offset is not its end, or a fault refuses it.
    pub fn append_rows(
        &mut self,
        now: Timestamp,
        name: &StreamName,
        offset: Option<i64>,
        rows: CheckedRows,
    ) -> Result<Appended, WriteError> {
        self.faults.check_append(now)?;
        let stream = self.write_stream(name)?;
        let start = if name.is_default() {
            check_default_offset(offset)?;
            None
        } else {
            Some(check_append(&stream, offset)?)
        };
        // Checked against an older schema perhaps; the record needs the current one.
        let schema = &self.table_entry(&name.table)?.table.schema;
        let rows = conform(&rows.into_batch(), schema)
            .map_err(|error| WriteError::invalid(format!("Rows do not fit the table: {error}")))?;
        let rows = StoredRows::new(rows);
        self.change(Record::Appended { stream: name.clone(), at: now, rows })?;
        Ok(Appended { offset: start, answer_lost: self.faults.loses_answer() })
    }

    /// Makes the rows of a BUFFERED stream up to and including `offset` visible. An offset flushed before is fine.
    ///
    /// Answers the offset asked for.
    ///
    /// # Errors
    /// When there is no such stream, it is of another type, or has no row at the offset.
    pub fn flush_rows(
        &mut self,
        now: Timestamp,
        name: &StreamName,
        offset: i64,
    ) -> Result<i64, WriteError> {
        let stream = self.write_stream(name)?;
        if stream.stream_type != StreamType::Buffered {
            return Err(stream.invalid_type("FlushRows"));
        }
        let row = u64::try_from(offset)
            .map_err(|_| WriteError::invalid(format!("Offset must not be negative: {offset}")))?;
        if row >= stream.appended {
            let message = format!(
                "The offset is beyond stream, stream has {} rows, flush to offset {offset}",
                stream.appended
            );
            return Err(WriteError::new(Code::OutOfRange, message)
                .with_detail(StorageErrorCode::OffsetOutOfRange, name.path()));
        }
        if row >= stream.visible {
            let stream = name.clone();
            self.change(Record::Flushed { stream, at: now, visible: row + 1 })?;
        }
        Ok(offset)
    }

    /// Ends a stream; answers its number of rows. Ending it twice is fine.
    ///
    /// # Errors
    /// When there is no such stream, or it is the default one.
    pub fn finalize_write_stream(
        &mut self,
        now: Timestamp,
        name: &StreamName,
    ) -> Result<u64, WriteError> {
        let stream = self.write_stream(name)?;
        if name.is_default() {
            return Err(WriteError::invalid("Finalize is not supported on the '_default' stream.")
                .with_detail(StorageErrorCode::InvalidStreamType, name.path()));
        }
        if !stream.finalized {
            self.change(Record::Finalized { stream: name.clone(), at: now })?;
        }
        Ok(stream.appended)
    }

    /// Makes all rows of finalized PENDING streams visible, of all streams or of none.
    ///
    /// # Errors
    /// When there is no such table, or no streams are given. Faults of single streams are an outcome.
    pub fn batch_commit_write_streams(
        &mut self,
        now: Timestamp,
        table: &TableName,
        names: &[StreamName],
    ) -> Result<CommitOutcome, WriteError> {
        self.table_entry(table)?;
        if names.is_empty() {
            return Err(WriteError::invalid("No write streams to commit"));
        }
        let mut streams = names.to_vec();
        streams.sort();
        streams.dedup();
        let faults: Vec<_> =
            streams.iter().filter_map(|name| self.commit_fault(table, name)).collect();
        if !faults.is_empty() {
            return Ok(CommitOutcome::Refused(faults));
        }
        // In the order asked for: rows show in it.
        let mut seen = std::collections::BTreeSet::new();
        let streams = names.iter().filter(|name| seen.insert(*name)).cloned().collect();
        self.change(Record::Committed { streams, at: now })?;
        Ok(CommitOutcome::Committed(now))
    }

    fn commit_fault(&self, table: &TableName, name: &StreamName) -> Option<CommitFault> {
        let fault =
            |code, message: String| Some(CommitFault { stream: name.path(), code, message });
        let not_found =
            || fault(StorageErrorCode::StreamNotFound, "Stream is not found".to_owned());
        if name.table != *table {
            return not_found();
        }
        let Ok(stream) = self.write_stream(name) else { return not_found() };
        if stream.stream_type != StreamType::Pending {
            let actual = stream.stream_type.name();
            let message = format!("Stream must be created in pending mode, actual: {actual}");
            return fault(StorageErrorCode::InvalidStreamType, message);
        }
        if stream.committed.is_some() {
            let message = "Stream is already committed".to_owned();
            return fault(StorageErrorCode::StreamAlreadyCommitted, message);
        }
        if !stream.finalized {
            let message = "Stream has not been finalized".to_owned();
            return fault(StorageErrorCode::InvalidStreamState, message);
        }
        None
    }

    fn forget_finished(&mut self, now: Timestamp) -> Result<(), WriteError> {
        let old =
            |stream: &WriteStream| stream.is_finished() && now.since(stream.used) > FINISHED_KEPT;
        let finished: Vec<_> = self
            .write_streams()
            .filter(|stream| old(stream))
            .map(|stream| stream.name.clone())
            .collect();
        finished.into_iter().try_for_each(|name| self.change(Record::StreamForgotten(name)))
    }

    fn table_entry(&self, name: &TableName) -> Result<&TableEntry, WriteError> {
        self.tables.get(name).ok_or_else(|| WriteError::table_not_found(name))
    }

    /// Applies a checked change. It can only fail on a fault of this module, which clients see as INTERNAL.
    fn change(&mut self, record: Record) -> Result<(), WriteError> {
        self.commit(record).map_err(|error| WriteError::new(Code::Internal, error.to_string()))
    }
}

fn check_default_offset(offset: Option<i64>) -> Result<(), WriteError> {
    match offset {
        None => Ok(()),
        Some(_) => Err(WriteError::invalid("Offset must not be set on the '_default' stream.")),
    }
}

/// The offset of the rows to append, if they may be.
fn check_append(stream: &WriteStream, offset: Option<i64>) -> Result<i64, WriteError> {
    let path = || stream.name.path();
    if stream.finalized {
        return Err(WriteError::invalid("Stream is already finalized.")
            .with_detail(StorageErrorCode::StreamFinalized, path()));
    }
    let end = i64::try_from(stream.appended).unwrap_or(i64::MAX);
    match offset {
        Some(offset) if offset < 0 => {
            Err(WriteError::invalid(format!("Offset must not be negative: {offset}")))
        }
        Some(offset) if offset < end => {
            let message =
                format!("The offset is within stream, expected offset {end}, received {offset}");
            Err(WriteError::new(Code::AlreadyExists, message)
                .with_detail(StorageErrorCode::OffsetAlreadyExists, path()))
        }
        Some(offset) if offset > end => {
            let message =
                format!("The offset is beyond stream, expected offset {end}, received {offset}");
            Err(WriteError::new(Code::OutOfRange, message)
                .with_detail(StorageErrorCode::OffsetOutOfRange, path()))
        }
        _ => Ok(end),
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
