//! Texts as values: the one reading of string forms that protocol buffers, query parameters and casts share.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::bigquery::civil;
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::schema::FieldType;
use crate::bigquery::value::Value;

/// Reads a scalar value from its text form (BYTES as base64); `None` if the text is no such value.
pub(crate) fn from_text(text: &str, field_type: &FieldType) -> Option<Value> {
    Some(match field_type {
        FieldType::String => Value::string(text),
        FieldType::Geography => Value::Geography(Arc::from(text)),
        FieldType::Json => {
            is_json(text).then_some(())?;
            Value::Json(Arc::from(text))
        }
        FieldType::Bytes => Value::Bytes(BASE64.decode(text).ok()?.into()),
        FieldType::Int64 => Value::Int64(parse_int64(text)?),
        FieldType::Float64 => Value::Float64(parse_float64(text)?),
        FieldType::Bool => Value::Bool(parse_bool(text)?),
        FieldType::Numeric => {
            Value::Numeric(decimal::to_numeric(decimal::parse(text, NUMERIC_SCALE)?)?)
        }
        FieldType::BigNumeric => Value::BigNumeric(decimal::parse(text, BIGNUMERIC_SCALE)?),
        FieldType::Date => Value::Date(civil::parse_date(text)?),
        FieldType::Time => Value::Time(civil::parse_time(text)?),
        FieldType::DateTime => Value::DateTime(civil::parse_datetime(text)?),
        FieldType::Timestamp => Value::Timestamp(civil::parse_timestamp(text)?),
        FieldType::Struct(_) => return None,
    })
}

/// Whether a text is a JSON document.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Reads a decimal or `0x` integer.
pub(crate) fn parse_int64(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with(['+', '-']) => {
            i64::from_str_radix(&format!("{sign}{hex}"), 16).ok()
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// Reads a double; `nan`, `inf` and `infinity` in any case included.
pub(crate) fn parse_float64(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// Reads `true` or `false` in any case.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_type() {
        for (text, field_type, value) in [
            ("-0x1f", FieldType::Int64, Value::Int64(-31)),
            (" 12", FieldType::Int64, Value::Int64(12)),
            ("inf", FieldType::Float64, Value::Float64(f64::INFINITY)),
            ("TRUE", FieldType::Bool, Value::Bool(true)),
            ("1.5", FieldType::Numeric, Value::Numeric(1_500_000_000)),
            ("AP8=", FieldType::Bytes, Value::Bytes(Arc::from([0_u8, 255]))),
            ("1970-01-02", FieldType::Date, Value::Date(1)),
            ("{\"a\": 1}", FieldType::Json, Value::Json("{\"a\": 1}".into())),
        ] {
            assert_eq!(from_text(text, &field_type), Some(value), "{text}");
        }
        for (text, field_type) in [
            ("1.5", FieldType::Int64),
            ("9223372036854775808", FieldType::Int64),
            ("0x-1", FieldType::Int64),
            ("yes", FieldType::Bool),
            ("{", FieldType::Json),
            ("1e40", FieldType::Numeric),
            ("2024-02-30", FieldType::Date),
        ] {
            assert_eq!(from_text(text, &field_type), None, "{text}");
        }
    }
}
