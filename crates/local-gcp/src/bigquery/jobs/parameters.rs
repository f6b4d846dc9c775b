//! Query parameters as REST requests carry them.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::bigquery::error::ApiError;
use crate::bigquery::ingest::from_text;
use crate::bigquery::schema::FieldType;
use crate::bigquery::sql::{DataType, Parameter, Parameters, StructField};
use crate::bigquery::value::Value;

/// Deepest nesting of a parameter's type.
const NESTING_MAX: usize = 15;

/// Reads the `queryParameters` of a request.
///
/// # Errors
/// When a type is unknown or a value is not of its type.
pub(crate) fn read_parameters(given: &Json) -> Result<Parameters, ApiError> {
    let list = match given {
        Json::Null => &[][..],
        Json::Array(list) => list,
        _ => return Err(ApiError::invalid("queryParameters must be a list")),
    };
    list.iter().map(read_parameter).collect::<Result<_, _>>().map(Parameters)
}

fn read_parameter(given: &Json) -> Result<Parameter, ApiError> {
    let name = given["name"].as_str().unwrap_or_default().to_owned();
    let data_type = read_type(&given["parameterType"], 0)?;
    let value = read_value(&given["parameterValue"], &data_type).map_err(|text| {
        ApiError::invalid(format!(
            "Invalid value for parameter {name:?} of type {data_type}: {text}"
        ))
    })?;
    Ok(Parameter { name, data_type, value })
}

fn read_type(given: &Json, depth: usize) -> Result<DataType, ApiError> {
    if depth > NESTING_MAX {
        return Err(ApiError::invalid("A query parameter's type is nested too deeply"));
    }
    let name = given["type"].as_str().unwrap_or_default();
    match name.to_ascii_uppercase().as_str() {
        "ARRAY" => Ok(DataType::Array(read_type(&given["arrayType"], depth + 1)?.into())),
        "STRUCT" => {
            let fields = given["structTypes"].as_array().map_or(&[][..], Vec::as_slice);
            let fields = fields.iter().map(|field| {
                let name = field["name"].as_str().unwrap_or_default().to_owned();
                Ok(StructField { name, data_type: read_type(&field["type"], depth + 1)? })
            });
            Ok(DataType::Struct(fields.collect::<Result<_, ApiError>>()?))
        }
        scalar => match FieldType::scalar(scalar) {
            Some(field_type) => Ok(DataType::of_field_type(&field_type)),
            None => Err(ApiError::invalid(format!("Invalid query parameter type: {name:?}"))),
        },
    }
}

/// Reads a value; the error is the text that is no such value.
fn read_value(given: &Json, data_type: &DataType) -> Result<Value, String> {
    match data_type {
        DataType::Array(item) => {
            let values = given["arrayValues"].as_array().map_or(&[][..], Vec::as_slice);
            let values = values.iter().map(|value| read_value(value, item));
            values.collect::<Result<Arc<[_]>, _>>().map(Value::Array)
        }
        DataType::Struct(fields) => {
            let Some(values) = given["structValues"].as_object() else { return Ok(Value::Null) };
            let values = fields.iter().map(|field| {
                let value = values.get(&field.name).unwrap_or(&Json::Null);
                read_value(value, &field.data_type)
            });
            values.collect::<Result<Arc<[_]>, _>>().map(Value::Struct)
        }
        scalar => {
            let text = match &given["value"] {
                Json::Null => return Ok(Value::Null),
                Json::String(text) => text.clone(),
                // Hand-written requests send plain numbers and booleans.
                other => other.to_string(),
            };
            let field_type = scalar.to_field_type();
            field_type.and_then(|field_type| from_text(&text, &field_type)).ok_or(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_parameters_are_read() {
        let given = json!([
            {"name": "n", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "7"}},
            {"name": "missing", "parameterType": {"type": "STRING"}, "parameterValue": {}},
            {
                "name": "list",
                "parameterType": {"type": "ARRAY", "arrayType": {"type": "DATE"}},
                "parameterValue": {"arrayValues": [{"value": "1970-01-02"}]},
            },
            {
                "name": "pair",
                "parameterType": {"type": "STRUCT", "structTypes": [
                    {"name": "a", "type": {"type": "BOOL"}},
                    {"name": "b", "type": {"type": "TIMESTAMP"}},
                ]},
                "parameterValue": {"structValues": {
                    "b": {"value": "1970-01-01 00:00:01+00:00"},
                    "a": {"value": "true"},
                }},
            },
        ]);
        let values: Vec<_> =
            read_parameters(&given).unwrap().0.into_iter().map(|it| it.value).collect();
        let expected = vec![
            Value::Int64(7),
            Value::Null,
            Value::Array(Arc::from([Value::Date(1)])),
            Value::Struct(Arc::from([Value::Bool(true), Value::Timestamp(1_000_000)])),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn wrong_parameters_are_named() {
        let one = |kind: &str, value: &str| {
            let parameter = json!({
                "name": "x", "parameterType": {"type": kind}, "parameterValue": {"value": value},
            });
            read_parameters(&json!([parameter])).unwrap_err().message
        };
        assert_eq!(one("INT64", "1.5"), "Invalid value for parameter \"x\" of type INT64: 1.5");
        assert_eq!(one("RANGE", ""), "Invalid query parameter type: \"RANGE\"");
    }
}
