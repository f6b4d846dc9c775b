//! BigQuery: tables and schemas, rows to Arrow.

pub mod error;
pub mod protocol;
pub mod rows;
pub mod schema;
mod table;

pub use error::{Error, QueryFailure, Result};
pub use schema::{Field, FieldType, Mode, TableSchema};
pub use table::TableReference;
