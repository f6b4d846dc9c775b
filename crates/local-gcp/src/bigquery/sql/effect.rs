//! What statements other than queries did.

#![cfg_attr(
    not(feature = "sql"),
    allow(dead_code, reason = "without the feature no statement but a query runs")
)]

use crate::bigquery::names::TableName;

/// What a statement did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// Its kind, as BigQuery's job statistics name it.
    pub(crate) statement_type: &'static str,
    /// What it changed.
    pub(crate) kind: EffectKind,
}

/// What a statement changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EffectKind {
    /// Rows of a table.
    Rows {
        /// Rows put in.
        inserted: u64,
        /// Rows changed.
        updated: u64,
        /// Rows taken out.
        deleted: u64,
    },
    /// A table as a whole.
    Table {
        /// CREATE, REPLACE, SKIP or DROP.
        operation: &'static str,
        /// The table.
        table: TableName,
    },
}

impl Effect {
    /// A change of rows.
    pub(crate) fn rows(
        statement_type: &'static str,
        inserted: usize,
        updated: usize,
        deleted: usize,
    ) -> Self {
        let [inserted, updated, deleted] = [inserted, updated, deleted].map(|count| count as u64);
        Self { statement_type, kind: EffectKind::Rows { inserted, updated, deleted } }
    }
}
