//! Local BigQuery: storage, queries and the Storage Write API.

mod civil;
mod decimal;
mod error;
mod ingest;
mod names;
mod rows;
mod schema;
mod sql;
mod state;
mod value;

pub use error::{ApiError, Code, Reason, RowError, StorageErrorCode, WriteError};
pub use names::{DatasetName, StreamName, TableName};
pub use schema::{Field, FieldType, Mode, TableSchema};
pub use state::{
    Appended, CheckedRows, CommitFault, CommitOutcome, Dataset, Faults, Record, Refusal, State,
    StoredRows, StreamType, Table, WriteStream,
};
pub use value::Value;
