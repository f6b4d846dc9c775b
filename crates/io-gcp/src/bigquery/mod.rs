//! BigQuery: a sink over the Storage Write API, tables and schemas, and parameterised queries.
//!
//! - [`BigQuery::table`] makes the sink. By default every row is in the table exactly once, whatever crashes.
//! - [`BigQuery::table_by`] makes one that chooses the table of each row.
//! - [`QueryClient`] asks questions, with parameters, and gives rows as JSON or as your own types.
//! - [`TableAdmin`] looks tables up and creates them.
//!
//! [`rows`] turns serde rows into Arrow, [`protocol`] holds the state machines that the sink's shell carries out.

mod by_table;
mod clients;
pub mod error;
mod failure;
mod link;
pub mod protocol;
pub mod query;
pub mod rows;
pub mod schema;
mod setup;
mod shell;
mod sink;
mod table;
mod tables;
mod writer;

pub use by_table::{BigQueryTables, BigQueryTablesWriter};
pub use error::{Error, QueryFailure, Result};
pub use link::WriterLink;
pub use query::{Parameter, QueryClient};
pub use rows::SchemaPolicy;
pub use schema::{Field, FieldType, Mode, TableSchema};
pub use setup::CreatePolicy;
pub use sink::{BigQuery, BigQuerySink, Delivery};
pub use table::TableReference;
pub use tables::{TableAdmin, TableLayout};
pub use writer::BigQueryWriter;
