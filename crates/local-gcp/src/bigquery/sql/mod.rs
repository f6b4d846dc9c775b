//! SQL of query jobs: one SELECT over one table or none, without a heavy engine; for the rest, `fusion` (feature `sql`).
//!
//! A query goes through three steps: `sqlparser` reads BigQuery's dialect, the binder resolves names and types
//! and refuses what is not supported by name, and the executor scans the table's Arrow batches. Semantics are
//! BigQuery's: three-valued logic, NaN, overflow and division errors, implicit coercions.

mod aggregate;
mod arithmetic;
mod arrays;
mod bind;
mod bind_operators;
mod calls;
mod cast;
mod effect;
mod engines;
mod error;
mod execute;
mod expression;
mod filter;
mod functions;
#[cfg(feature = "sql")]
mod fusion;
mod grouping;
mod moments;
mod numbers;
mod operators;
mod parameters;
mod parse_time;
mod plan;
mod query;
#[cfg(feature = "sql")]
mod regexps;
mod restriction;
mod subqueries;
mod time;
mod to_json;
mod types;

pub(crate) use effect::{Effect, EffectKind};
pub(crate) use engines::answer;
pub(crate) use parameters::{Parameter, Parameters};
pub(crate) use query::{Catalog, QueryOptions, QueryResult, TableSnapshot, constant};
pub(crate) use restriction::Restriction;
pub(crate) use types::{DataType, StructField};
