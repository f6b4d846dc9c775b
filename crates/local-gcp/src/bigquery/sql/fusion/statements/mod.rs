//! Statements that change tables: what they read runs as queries, what they write is one change of the state.

mod build;
mod ddl;
mod dml;
mod merge;
mod target;

use sqlparser::ast::Statement;

use super::super::error::SqlError;
use super::super::query::{Catalog, QueryOptions, QueryResult};

/// Runs a statement that is no query.
pub(super) async fn run(
    statement: Statement,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult, SqlError> {
    match statement {
        Statement::Insert(insert) => dml::insert(insert, options, catalog).await,
        Statement::Update(update) => dml::update(update, options, catalog).await,
        Statement::Delete(delete) => dml::delete(delete, options, catalog).await,
        Statement::Merge(merge) => merge::merge(merge, options, catalog).await,
        Statement::Truncate(truncate) => ddl::truncate(&truncate, options, catalog),
        Statement::CreateTable(create) => ddl::create(create, options, catalog).await,
        Statement::Drop { .. } => ddl::drop_table(&statement, options, catalog),
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or_default();
            Err(SqlError::unsupported(format!("The statement {verb}")))
        }
    }
}

#[cfg(test)]
mod tests;
