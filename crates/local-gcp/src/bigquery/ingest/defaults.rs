//! What columns get that a row does not name.

use super::json::JsonRows;
use crate::bigquery::error::ApiError;
use crate::bigquery::schema::{Field, TableSchema};
use crate::bigquery::sql::{self, DataType};
use crate::bigquery::value::Value;
use crate::clock::Timestamp;

/// The value of each column that a row does not name: the column's default, else nothing.
///
/// # Errors
/// When a default is no SQL expression that this server can evaluate.
pub(crate) fn missing_values(schema: &TableSchema, now: Timestamp) -> Result<Vec<Value>, ApiError> {
    let value = |field: &Field| match &field.default_value_expression {
        Some(sql) => {
            sql::constant(sql, now.as_micros(), &DataType::of_field(field)).map_err(|error| {
                ApiError::invalid(format!("Default value of field {}: {error}", field.name))
            })
        }
        None => Ok(JsonRows::absent(field)),
    };
    schema.fields.iter().map(value).collect()
}
