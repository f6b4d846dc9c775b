//! [`Fields`]: the columns of a table or record, found by name.
//!
//! The rows of a type name their fields in the same order each time, so the order of the last row is remembered
//! and a name is usually found by one comparison.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{ArrowError, Fields as ArrowFields};
use rustc_hash::FxHashMap;

use super::super::schema::Field;
use super::column::Column;
use super::refusal::RowRefusal;

/// Most names whose order is remembered; rows with changing keys must not make it grow.
const REMEMBERED_MAX: usize = 1_024;

/// The columns of a table or record.
#[derive(Debug)]
pub(super) struct Fields {
    names: Vec<String>,
    columns: Vec<Column>,
    by_name: FxHashMap<String, usize>,
    by_lower_name: FxHashMap<String, usize>,
    remembered: Vec<Remembered>,
}

/// A name that the last row had at this position, and its column.
#[derive(Debug)]
struct Remembered {
    name: Box<str>,
    column: Option<usize>,
}

impl Fields {
    pub(super) fn new(fields: &[Field]) -> Self {
        let numbered = || fields.iter().enumerate().map(|(index, field)| (&field.name, index));
        Self {
            names: fields.iter().map(|field| field.name.clone()).collect(),
            columns: fields.iter().map(Column::new).collect(),
            by_name: numbered().map(|(name, index)| (name.clone(), index)).collect(),
            by_lower_name: numbered().map(|(name, index)| (name.to_lowercase(), index)).collect(),
            remembered: Vec::new(),
        }
    }

    pub(super) fn columns_mut(&mut self) -> impl Iterator<Item = &mut Column> {
        self.columns.iter_mut()
    }

    pub(super) fn column_mut(&mut self, index: usize) -> &mut Column {
        &mut self.columns[index]
    }

    pub(super) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The column `name`, which stands at `position` of its row.
    pub(super) fn find(&mut self, name: &str, position: usize) -> Option<usize> {
        if let Some(remembered) = self.remembered.get(position)
            && *remembered.name == *name
        {
            return remembered.column;
        }
        let exact = self.by_name.get(name).copied();
        let column = exact.or_else(|| self.by_lower_name.get(&name.to_lowercase()).copied());
        let fresh = Remembered { name: name.into(), column };
        if let Some(place) = self.remembered.get_mut(position) {
            *place = fresh;
        } else if position == self.remembered.len() && position < REMEMBERED_MAX {
            self.remembered.push(fresh);
        }
        column
    }

    /// Completes row number `row`: columns that it did not name are empty.
    pub(super) fn end_row(&mut self, row: usize) -> Result<(), RowRefusal> {
        for (column, name) in self.columns.iter_mut().zip(&self.names) {
            if column.len() == row {
                column.push_null("no such field").map_err(|refusal| refusal.below(name))?;
            }
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// Takes all values out.
    pub(super) fn finish(&mut self) -> Result<(ArrowFields, Vec<ArrayRef>), ArrowError> {
        let fields = self.columns.iter().map(|column| Arc::clone(column.field())).collect();
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<_, _>>()?;
        Ok((fields, arrays))
    }
}
