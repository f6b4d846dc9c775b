//! [`RowBody`]: a row as the answer shows it: every column of the schema, in its order, with a value of its type or null.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use millstream_io_gcp::bigquery::query::Row;
use millstream_io_gcp::bigquery::{Field, FieldType, Mode, TableSchema};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::failure::Failure;

/// A row that fits the schema.
#[derive(Debug)]
pub(super) struct RowBody<'a> {
    row: &'a Row,
    schema: &'a TableSchema,
}

impl<'a> RowBody<'a> {
    /// The row, if it fits.
    pub(super) fn new(row: &'a Row, schema: &'a TableSchema) -> Result<Self, Failure> {
        match schema.fields().iter().find(|field| !fits(row.get(&field.name), field)) {
            None => Ok(Self { row, schema }),
            Some(field) => {
                tracing::warn!(column = field.name, "a stored row does not fit the schema");
                Err(Failure::BadValue)
            }
        }
    }
}

fn fits(value: Option<&Value>, field: &Field) -> bool {
    match value {
        None => false,
        Some(Value::Null) => field.mode != Mode::Required,
        Some(value) => match field.field_type {
            FieldType::Int64 => value.is_i64(),
            FieldType::Float64 => value.is_number(),
            FieldType::Bool => value.is_boolean(),
            FieldType::Json => true,
            // Text, and what is written as text.
            _ => value.is_string(),
        },
    }
}

impl Serialize for RowBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.schema.fields();
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for field in fields {
            map.serialize_entry(&field.name, &self.row.get(&field.name))?;
        }
        map.end()
    }
}

impl IntoResponse for RowBody<'_> {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).expect("a map with text as keys is always JSON");
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> TableSchema {
        TableSchema::new()
            .field(Field::required("id", FieldType::String))
            .field(Field::nullable("b", FieldType::Int64))
            .field(Field::nullable("a", FieldType::Json))
    }

    fn body(row: &Value) -> Result<String, Failure> {
        let schema = schema();
        let body = RowBody::new(row.as_object().unwrap(), &schema)?;
        Ok(serde_json::to_string(&body).unwrap())
    }

    #[test]
    fn columns_come_in_the_order_of_the_schema_and_nothing_else_comes() {
        let row = json!({"a": {"x": [1]}, "b": null, "c": "extra", "id": "7"});
        assert_eq!(body(&row).unwrap(), r#"{"id":"7","b":null,"a":{"x":[1]}}"#);
    }

    #[test]
    fn a_row_that_does_not_fit_is_not_shown() {
        for row in [
            json!({"id": null, "b": 1, "a": null}),
            json!({"id": "7", "b": "1", "a": null}),
            json!({"id": "7", "b": 1.5, "a": null}),
            json!({"id": "7", "b": 1}),
        ] {
            assert_eq!(body(&row).unwrap_err(), Failure::BadValue, "{row}");
        }
    }
}
