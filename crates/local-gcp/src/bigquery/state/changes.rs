//! Rows taken out of a table and put into it by one record, and how to know whether rows are still at their places.

use super::machine::State;
use super::record::StoredRows;
use crate::bigquery::names::TableName;
use crate::clock::Timestamp;
use crate::journal::BoxError;

impl State {
    pub(super) fn apply_change(
        &mut self,
        table: &TableName,
        at: Timestamp,
        removed: &[(u64, u64)],
        rows: Option<StoredRows>,
    ) -> Result<(), BoxError> {
        let epoch = self.version();
        let entry = self.tables.get_mut(table).ok_or("no such table")?;
        let rows = rows.map(|rows| rows.into_batch(&entry.table.schema)).transpose()?;
        if !removed.is_empty() {
            entry.rows.remove(removed)?;
            entry.epoch = epoch;
        }
        entry.show(rows.into_iter().collect(), at);
        Ok(())
    }

    /// A number that changes when rows of the table change their places; 0 if there is no such table.
    pub(crate) fn epoch(&self, table: &TableName) -> u64 {
        self.tables.get(table).map_or(0, |entry| entry.epoch)
    }
}
