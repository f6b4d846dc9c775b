//! Local BigQuery: storage, queries and the Storage Write API, for Google's clients and in-process.
//!
//! [`State`] is the pure state machine of datasets, tables, rows and write streams; a simulator can drive it
//! directly. [`BigQuery`] is the shell around it: lock, clock, journal, jobs. [`service`] makes the two
//! faces of a [`BigQuery`]: REST (`/bigquery/v2`: datasets, tables, rows listed and inserted, query jobs, load jobs of uploaded files)
//! and gRPC (`BigQueryWrite`: default, COMMITTED, BUFFERED and PENDING streams; protocol-buffer and Arrow rows;
//! `BigQueryRead`: sessions with selected fields and row restrictions, Arrow and Avro).
//!
//! Rows are kept as Arrow batches in the schema Google's Storage Read API has. Queries are single
//! SELECTs over one table; what they do not support is refused by name. Built with the cargo feature `sql`, the server
//! gives such queries to DataFusion, and runs DML and CREATE TABLE.

mod civil;
mod decimal;
mod error;
mod grpc;
mod handle;
mod ingest;
mod jobs;
mod load;
mod names;
mod read;
mod rest;
mod rows;
mod schema;
mod service;
mod sql;
mod state;
mod value;

pub use error::{ApiError, Reason, RowError, StorageErrorCode, WriteError};
pub use grpc::{ReadService, WriteService};
pub use handle::BigQuery;
pub use names::{DatasetName, StreamName, TableName};
pub use schema::{Field, FieldType, Mode, TableSchema};
pub use service::{APPEND_BYTES_MAX, service};
pub use state::{
    Appended, Calls, CheckedRows, CommitFault, CommitOutcome, Dataset, Faults, Load, Record,
    Refusal, State, StoredRows, StreamType, Table, WriteDisposition, WriteStream,
};
pub use value::Value;

pub use crate::status::Code;
