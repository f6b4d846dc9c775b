//! Casts between scalar types, and the text forms they print.

use std::sync::Arc;

use arrow_buffer::i256;

use super::error::SqlError;
use super::types::DataType;
use crate::bigquery::civil::{self, DAY};
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::ingest::from_text;
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// Casts a value that is not NULL. The caller has asked [`is_castable`].
pub(crate) fn cast(value: &Value, target: &DataType) -> Result<Value> {
    let cast = match target {
        DataType::String => Some(Value::from(to_text(value)?)),
        DataType::Int64 => Some(Value::Int64(to_int64(value)?)),
        DataType::Float64 => to_float64(value)?.map(Value::Float64),
        DataType::Numeric => {
            to_decimal(value, NUMERIC_SCALE)?.and_then(decimal::to_numeric).map(Value::Numeric)
        }
        DataType::BigNumeric => to_decimal(value, BIGNUMERIC_SCALE)?.map(Value::BigNumeric),
        DataType::Bool => to_bool(value)?,
        DataType::Bytes => match value {
            Value::String(text) => Some(Value::Bytes(text.as_bytes().into())),
            other => Some(other.clone()),
        },
        DataType::Date | DataType::Time | DataType::DateTime | DataType::Timestamp => {
            to_civil(value, target)?
        }
        _ => Some(value.clone()),
    };
    cast.ok_or_else(|| {
        let shown = to_text(value).unwrap_or_else(|_| format!("{value:?}"));
        SqlError::query(format!("Value {shown} is out of range for {target}"))
    })
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

/// Whether CAST goes from one type to the other.
pub(crate) fn is_castable(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    if from == to {
        return true;
    }
    match (from, to) {
        (T::Int64, T::Bool) | (T::Bool, T::Int64) => true,
        (T::Json | T::Geography | T::Struct(_) | T::Array(_), _)
        | (_, T::Json | T::Geography | T::Struct(_) | T::Array(_)) => false,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (T::Bytes, to) => *to == T::String,
        (from, T::Bytes) => *from == T::String,
        (T::String, _) | (_, T::String) => true,
        (T::Date, to) => matches!(to, T::DateTime | T::Timestamp),
        (T::DateTime, to) => matches!(to, T::Date | T::Time | T::Timestamp),
        (T::Timestamp, to) => matches!(to, T::Date | T::Time | T::DateTime),
        _ => false,
    }
}

/// The text CAST AS STRING gives.
pub(crate) fn to_text(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int64(value) => value.to_string(),
        Value::Float64(value) => format_float(*value),
        Value::Numeric(value) => decimal::format(i256::from_i128(*value), NUMERIC_SCALE),
        Value::BigNumeric(value) => decimal::format(*value, BIGNUMERIC_SCALE),
        Value::String(text) | Value::Json(text) | Value::Geography(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| SqlError::query("Invalid cast of bytes to UTF8 string"))?,
        Value::Date(days) => civil::format_date(*days),
        Value::Time(micros) => civil::format_time(*micros, false),
        Value::DateTime(micros) => civil::format_datetime(*micros, ' ', false),
        Value::Timestamp(micros) => civil::format_timestamp(*micros),
        Value::Null | Value::Struct(_) | Value::Array(_) => {
            return Err(SqlError::query("Value has no text form"));
        }
    })
}

/// The shortest text that reads back as the same double, in the form C's `%g` prints.
pub(crate) fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let precision = if digits <= 15 { 15 } else { 17 };
    if exponent < -4 || exponent >= precision {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    } else if value == 0.0 {
        "0".to_owned()
    } else {
        value.to_string()
    }
}

fn bad(kind: &str, text: &str) -> SqlError {
    SqlError::query(format!("{kind}: {text}"))
}

fn to_int64(value: &Value) -> Result<i64> {
    let whole = |scaled: i256, scale: u32, text: String| {
        decimal::rescale(scaled, scale, 0)
            .and_then(|whole| whole.to_i128())
            .and_then(|whole| i64::try_from(whole).ok())
            .ok_or_else(|| bad("int64 out of range", &text))
    };
    match value {
        Value::Int64(value) => Ok(*value),
        Value::Bool(value) => Ok((*value).into()),
        Value::Float64(value) => {
            // Both bounds are exact doubles; the upper one is the first that does not fit.
            let rounded = value.round();
            let fits = rounded >= i64::MIN as f64 && rounded < i64::MAX as f64;
            if fits {
                Ok(rounded as i64)
            } else {
                Err(bad(
                    "Illegal conversion of non-finite or out of range floating point number to an integer",
                    &format_float(*value),
                ))
            }
        }
        Value::Numeric(value) => whole(i256::from_i128(*value), NUMERIC_SCALE, value.to_string()),
        Value::BigNumeric(value) => whole(*value, BIGNUMERIC_SCALE, value.to_string()),
        Value::String(text) => match from_text(text, &crate::bigquery::FieldType::Int64) {
            Some(Value::Int64(value)) => Ok(value),
            _ => Err(bad("Bad int64 value", text)),
        },
        other => Err(SqlError::query(format!("{other:?} is no number"))),
    }
}

fn to_float64(value: &Value) -> Result<Option<f64>> {
    Ok(match value {
        Value::Float64(value) => Some(*value),
        Value::Int64(value) => Some(*value as f64),
        Value::Numeric(value) => Some(decimal::to_f64(i256::from_i128(*value), NUMERIC_SCALE)),
        Value::BigNumeric(value) => Some(decimal::to_f64(*value, BIGNUMERIC_SCALE)),
        Value::String(text) => {
            Some(text.trim().parse().map_err(|_| bad("Bad double value", text))?)
        }
        _ => None,
    })
}

/// The value as a scaled integer; `None` if it does not fit.
fn to_decimal(value: &Value, scale: u32) -> Result<Option<i256>> {
    Ok(match value {
        Value::Int64(value) => decimal::rescale(i256::from_i128((*value).into()), 0, scale),
        Value::Float64(value) => decimal::from_f64(*value, scale),
        Value::Numeric(value) => decimal::rescale(i256::from_i128(*value), NUMERIC_SCALE, scale),
        Value::BigNumeric(value) => decimal::rescale(*value, BIGNUMERIC_SCALE, scale),
        Value::String(text) => {
            let name = if scale == NUMERIC_SCALE { "NUMERIC" } else { "BIGNUMERIC" };
            Some(
                decimal::parse(text, scale)
                    .ok_or_else(|| bad(&format!("Invalid {name} value"), text))?,
            )
        }
        _ => None,
    })
}

fn to_bool(value: &Value) -> Result<Option<Value>> {
    match value {
        Value::Bool(_) => Ok(Some(value.clone())),
        Value::Int64(value) => Ok(Some(Value::Bool(*value != 0))),
        Value::String(text) => {
            let read = from_text(text, &crate::bigquery::FieldType::Bool);
            read.map(Some).ok_or_else(|| bad("Bad bool value", text))
        }
        _ => Ok(None),
    }
}

fn to_civil(value: &Value, target: &DataType) -> Result<Option<Value>> {
    if let Value::String(text) = value {
        let field_type = target.to_field_type();
        let read = field_type.and_then(|field_type| from_text(text, &field_type));
        let name = target.to_string().to_ascii_lowercase();
        return read.map(Some).ok_or_else(|| SqlError::query(format!("Invalid {name}: '{text}'")));
    }
    Ok(match (value, target) {
        (Value::Date(days), DataType::DateTime) => Some(Value::DateTime(i64::from(*days) * DAY)),
        (Value::Date(days), DataType::Timestamp) => Some(Value::Timestamp(i64::from(*days) * DAY)),
        (Value::DateTime(micros) | Value::Timestamp(micros), DataType::Date) => {
            Some(Value::Date(civil::split_day(*micros).0))
        }
        (Value::DateTime(micros) | Value::Timestamp(micros), DataType::Time) => {
            Some(Value::Time(civil::split_day(*micros).1))
        }
        (Value::DateTime(micros), DataType::Timestamp) => Some(Value::Timestamp(*micros)),
        (Value::Timestamp(micros), DataType::DateTime) => Some(Value::DateTime(*micros)),
        (value, _) => Some(value.clone()),
    })
}

/// [`cast`] as a function of one argument.
pub(crate) fn cast_function(target: DataType) -> super::expression::Function {
    Arc::new(move |arguments| cast(&arguments[0], &target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_like_percent_g() {
        for (value, text) in [
            (1.0, "1"),
            (-0.5, "-0.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (-0.0, "0"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn casts_round_check_ranges_and_read_texts() {
        let to = |value: Value, target| cast(&value, &target);
        assert_eq!(to(Value::Float64(2.5), DataType::Int64), Ok(Value::Int64(3)));
        assert_eq!(to(Value::Float64(-2.5), DataType::Int64), Ok(Value::Int64(-3)));
        assert!(to(Value::Float64(1e19), DataType::Int64).is_err());
        assert!(to(Value::Float64(f64::NAN), DataType::Numeric).is_err());
        assert_eq!(to(Value::Numeric(1_500_000_000), DataType::Int64), Ok(Value::Int64(2)));
        assert_eq!(
            to(Value::string("x"), DataType::Int64).unwrap_err().message,
            "Bad int64 value: x"
        );
        assert_eq!(
            to(Value::string("2024-02-30"), DataType::Date).unwrap_err().message,
            "Invalid date: '2024-02-30'"
        );
        assert_eq!(
            to(Value::Timestamp(1_000_000), DataType::String),
            Ok(Value::string("1970-01-01 00:00:01+00"))
        );
    }
}
