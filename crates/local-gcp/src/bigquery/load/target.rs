//! The schemas of a load: the one that the file is read by, and the one that the table has afterwards.

use super::options::LoadOptions;
use crate::bigquery::error::ApiError;
use crate::bigquery::ingest::JsonRows;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema, index_of};
use crate::bigquery::state::WriteDisposition;
use crate::bigquery::value::Value;

/// What a file is read as, and where its columns go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The columns of the file.
    pub(super) read: TableSchema,
    /// The columns of the table afterwards.
    pub(super) table: TableSchema,
}

impl Target {
    /// Settles the schemas, given the table's own if it is there and the one given or detected.
    ///
    /// # Errors
    /// When there is no schema, or the table cannot take it.
    pub(super) fn new(
        options: &LoadOptions,
        table: Option<&TableSchema>,
        given: Option<TableSchema>,
    ) -> Result<Self, ApiError> {
        let replaces = options.write == WriteDisposition::Truncate;
        match (table, given) {
            (None, None) => Err(ApiError::invalid("No schema specified on job or table.")),
            (Some(table), None) => Ok(Self { read: table.clone(), table: table.clone() }),
            (None, Some(given)) => Ok(Self { read: given.clone(), table: given }),
            (Some(_), Some(given)) if replaces => Ok(Self { read: given.clone(), table: given }),
            (Some(table), Some(given)) => {
                let fields = merge(options, &table.fields, &given.fields, "")?;
                Ok(Self { read: given, table: TableSchema::new(fields) })
            }
        }
    }

    /// The columns of a row of the file in the order of the table.
    pub(super) fn arrange(&self, row: &mut Vec<Value>) {
        if self.read == self.table {
            return;
        }
        let mut given = std::mem::take(row);
        row.extend(self.table.fields.iter().map(|field| match self.read.index_of(&field.name) {
            Some(at) => {
                given.get_mut(at).map_or(Value::Null, |it| std::mem::replace(it, Value::Null))
            }
            None => JsonRows::absent(field),
        }));
    }
}

/// The fields of a table after those of a load came to it.
fn merge(
    options: &LoadOptions,
    table: &[Field],
    given: &[Field],
    prefix: &str,
) -> Result<Vec<Field>, ApiError> {
    let mismatch = |reason: String| {
        let name = &options.table;
        ApiError::invalid(format!("Provided Schema does not match Table {name}. {reason}"))
    };
    let mut merged = table.to_vec();
    for new in given {
        let path = format!("{prefix}{}", new.name);
        let Some(old) = index_of(table, &new.name).map(|at| &mut merged[at]) else {
            if !options.adds_fields {
                return Err(mismatch(format!("Cannot add fields (field: {path})")));
            }
            merged.push(new.clone());
            continue;
        };
        match (&mut old.field_type, &new.field_type) {
            (FieldType::Struct(fields), FieldType::Struct(new)) => {
                *fields = merge(options, fields, new, &format!("{path}."))?;
            }
            (same, other) if same == other => {}
            (is, other) => {
                let (is, other) = (is.rest_name(), other.rest_name());
                return Err(mismatch(format!(
                    "Field {path} has changed type from {is} to {other}"
                )));
            }
        }
        match (old.mode, new.mode) {
            (Mode::Required, Mode::Nullable) if options.relaxes_fields => old.mode = Mode::Nullable,
            (Mode::Nullable, Mode::Required) => {}
            (is, other) if is == other => {}
            (is, other) => {
                let (is, other) = (is.rest_name(), other.rest_name());
                return Err(mismatch(format!(
                    "Field {path} has changed mode from {is} to {other}"
                )));
            }
        }
    }
    Ok(merged)
}
