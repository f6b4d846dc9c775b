//! Rows at rest: Arrow batches in the table's canonical Arrow schema, and the ways in and out of them.

mod builder;
mod column;
mod conform;
mod table_rows;

pub(crate) use builder::build_batch;
pub(crate) use column::Column;
pub(crate) use conform::conform;
pub(crate) use table_rows::{TableRows, column_bytes};
