//! Table schemas as Avro schemas, as
//! <https://docs.cloud.google.com/bigquery/docs/reference/storage#avro_schema_details> maps the types.

use serde_json::{Value as Json, json};

use crate::bigquery::decimal::{
    BIGNUMERIC_PRECISION, BIGNUMERIC_SCALE, NUMERIC_PRECISION, NUMERIC_SCALE,
};
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};

/// The Avro schema of a table's rows, as text.
pub(crate) fn schema_text(schema: &TableSchema) -> String {
    // Names of records must differ in all of the schema.
    let mut records = 0;
    record(&schema.fields, "__root__".to_owned(), &mut records).to_string()
}

fn record(fields: &[Field], name: String, records: &mut usize) -> Json {
    let fields: Vec<Json> = fields
        .iter()
        .map(|field| json!({ "name": field.name, "type": field_type(field, records) }))
        .collect();
    json!({ "type": "record", "name": name, "fields": fields })
}

fn field_type(field: &Field, records: &mut usize) -> Json {
    let value = value_type(&field.field_type, records);
    match field.mode {
        Mode::Required => value,
        Mode::Nullable => json!(["null", value]),
        Mode::Repeated => json!({ "type": "array", "items": value }),
    }
}

fn value_type(field_type: &FieldType, records: &mut usize) -> Json {
    let decimal = |precision: u8, scale: u32| json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale });
    match field_type {
        FieldType::String => json!("string"),
        FieldType::Bytes => json!("bytes"),
        FieldType::Int64 => json!("long"),
        FieldType::Float64 => json!("double"),
        FieldType::Bool => json!("boolean"),
        FieldType::Numeric => decimal(NUMERIC_PRECISION, NUMERIC_SCALE),
        FieldType::BigNumeric => decimal(BIGNUMERIC_PRECISION, BIGNUMERIC_SCALE),
        FieldType::Date => json!({ "type": "int", "logicalType": "date" }),
        FieldType::Time => json!({ "type": "long", "logicalType": "time-micros" }),
        FieldType::DateTime => json!({ "type": "string", "sqlType": "DATETIME" }),
        FieldType::Timestamp => json!({ "type": "long", "logicalType": "timestamp-micros" }),
        FieldType::Json => json!({ "type": "string", "sqlType": "JSON" }),
        FieldType::Geography => json!({ "type": "string", "sqlType": "GEOGRAPHY" }),
        FieldType::Struct(fields) => {
            *records += 1;
            let name = format!("__s_{}", *records - 1);
            record(fields, name, records)
        }
    }
}
