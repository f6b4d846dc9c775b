//! TO_JSON_STRING: values as JSON texts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json};

use super::cast::to_text;
use super::error::SqlError;
use super::expression::{Bound, Function};
use super::operators::call_with_nulls;
use super::types::DataType;
use crate::bigquery::civil;
use crate::bigquery::value::Value;

/// Integers up to this size are numbers in JSON, larger ones texts: a double holds no more exactly.
const EXACT_MAX: u64 = 1 << 53;

/// Binds `TO_JSON_STRING(value)`; `None` for other functions.
pub(super) fn bind(name: &str, arguments: &[Bound]) -> Option<Result<Bound, SqlError>> {
    let ("TO_JSON_STRING", [argument]) = (name, arguments) else { return None };
    let of = argument.data_type.clone();
    let print: Function =
        Arc::new(move |arguments| Ok(json(&arguments[0], &of)?.to_string().into()));
    let node = call_with_nulls(print, vec![argument.node.clone()]);
    Some(Ok(Bound::new(node, DataType::String)))
}

fn json(value: &Value, of: &DataType) -> Result<Json, SqlError> {
    Ok(match (value, of) {
        (Value::Null, _) => Json::Null,
        (Value::Bool(value), _) => Json::Bool(*value),
        (Value::Int64(value), _) if value.unsigned_abs() <= EXACT_MAX => (*value).into(),
        (Value::Float64(number), _) => match serde_json::Number::from_f64(*number) {
            Some(_) if number.fract() == 0.0 && number.abs() < EXACT_MAX as f64 => {
                (*number as i64).into()
            }
            Some(number) => Json::Number(number),
            None => to_text(value)?.into(),
        },
        (Value::Numeric(_) | Value::BigNumeric(_), _) => {
            let text = to_text(value)?;
            match serde_json::from_str(&text) {
                Ok(Json::Number(number)) if text.len() <= 15 => Json::Number(number),
                _ => text.into(),
            }
        }
        (Value::Bytes(bytes), _) => BASE64.encode(bytes).into(),
        (Value::Json(text), _) => serde_json::from_str(text).unwrap_or(Json::Null),
        (Value::DateTime(micros), _) => civil::format_datetime(*micros, 'T', false).into(),
        (Value::Timestamp(micros), _) => {
            format!("{}Z", civil::format_datetime(*micros, 'T', false)).into()
        }
        (Value::Array(items), DataType::Array(item)) => {
            items.iter().map(|value| json(value, item)).collect::<Result<_, _>>()?
        }
        (Value::Struct(values), DataType::Struct(fields)) => {
            let mut object = Map::new();
            for (value, field) in values.iter().zip(fields.iter()) {
                object.insert(field.name.clone(), json(value, &field.data_type)?);
            }
            Json::Object(object)
        }
        (other, _) => to_text(other)?.into(),
    })
}
