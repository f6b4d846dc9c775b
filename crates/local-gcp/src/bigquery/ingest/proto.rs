//! Protocol-buffer rows: messages of a type known only at run time, decoded to values of the table's types.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_buffer::i256;
use bytes::Bytes;
use prost_types::field_descriptor_proto::Type;

use super::convert::from_text;
use super::plan::{FieldPlan, Kind, MessagePlan};
use super::wire::{Wire, WireReader};
use crate::bigquery::civil;
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::error::RowError;
use crate::bigquery::schema::{Field, FieldType, Mode};
use crate::bigquery::value::Value;

/// Decodes rows. Fields a row lacks get the value of `missing` (one per column): NULL, or a default.
///
/// # Errors
/// Every row that cannot be decoded, with the reason.
pub(crate) fn decode_rows(
    plan: &MessagePlan,
    rows: &[Bytes],
    missing: &[Value],
) -> Result<Vec<Vec<Value>>, Vec<RowError>> {
    let mut decoded = Vec::with_capacity(rows.len());
    let mut errors = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match plan.decode(row, missing) {
            Ok(values) => decoded.push(values),
            Err(message) => errors.push(RowError { index, message }),
        }
    }
    if errors.is_empty() { Ok(decoded) } else { Err(errors) }
}

/// A scalar off the wire.
#[derive(Clone, Copy, Debug)]
enum Raw<'a> {
    Signed(i64),
    Unsigned(u64),
    Real(f64),
    Bool(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl MessagePlan {
    /// What fields that a message lacks are.
    pub(crate) fn missing_values(&self) -> Vec<Value> {
        self.columns.iter().map(missing_value).collect()
    }

    fn decode(&self, bytes: &[u8], missing: &[Value]) -> Result<Vec<Value>, String> {
        let mut values: Vec<Option<Value>> = vec![None; self.columns.len()];
        let mut lists: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
        let mut reader = WireReader::new(bytes);
        while let Some((number, wire)) = reader.field().map_err(|error| error.to_string())? {
            let Some(plan) = self.fields.get(&number) else { continue };
            let field = &self.columns[plan.column];
            if field.mode == Mode::Repeated {
                plan.elements(wire, field, lists.entry(plan.column).or_default())?;
            } else {
                values[plan.column] = Some(plan.value(wire, field)?);
            }
        }
        for (column, list) in lists {
            values[column] = Some(Value::Array(list.into()));
        }
        let values = values.into_iter().zip(missing);
        Ok(values.map(|(value, missing)| value.unwrap_or_else(|| missing.clone())).collect())
    }
}

fn missing_value(field: &Field) -> Value {
    match field.mode {
        Mode::Repeated => Value::Array(Arc::from([])),
        Mode::Nullable | Mode::Required => Value::Null,
    }
}

impl FieldPlan {
    fn value(&self, wire: Wire<'_>, field: &Field) -> Result<Value, String> {
        let fault = |reason: &str| format!("Field {}: {reason}", field.name);
        match &self.kind {
            Kind::Scalar(scalar) => {
                let raw = raw(*scalar, wire).ok_or_else(|| fault("malformed value"))?;
                convert(raw, field)
            }
            Kind::Enum(names) => {
                let Wire::Varint(number) = wire else { return Err(fault("malformed enum value")) };
                let number = number as i32;
                match (&field.field_type, names.get(&number)) {
                    (FieldType::String, Some(name)) => Ok(Value::string(name)),
                    (FieldType::String, None) => {
                        Err(fault(&format!("unknown enum value {number}")))
                    }
                    _ => Ok(Value::Int64(number.into())),
                }
            }
            Kind::Wrapper(scalar) => {
                let inner = last_field(message(wire, field)?, 1).map_err(|error| fault(&error))?;
                let raw = match inner {
                    Some(wire) => raw(*scalar, wire).ok_or_else(|| fault("malformed value"))?,
                    None => default_of(*scalar),
                };
                convert(raw, field)
            }
            Kind::Timestamp => {
                let bytes = message(wire, field)?;
                let part = |number| match last_field(bytes, number) {
                    Ok(Some(Wire::Varint(part))) => Ok(part as i64),
                    Ok(None) => Ok(0),
                    _ => Err(fault("malformed timestamp")),
                };
                let micros = part(1)?.checked_mul(civil::SECOND);
                let micros =
                    micros.and_then(|micros| micros.checked_add(part(2).ok()?.div_euclid(1_000)));
                micros.map(Value::Timestamp).ok_or_else(|| fault("timestamp is out of range"))
            }
            Kind::Message(plan) => {
                let values = plan.decode(message(wire, field)?, &plan.missing_values())?;
                Ok(Value::Struct(values.into()))
            }
        }
    }

    /// Adds one element, or all elements of a packed list.
    fn elements(&self, wire: Wire<'_>, field: &Field, list: &mut Vec<Value>) -> Result<(), String> {
        let packed = match (&self.kind, wire) {
            (Kind::Scalar(Type::String | Type::Bytes), _) => None,
            (Kind::Scalar(scalar), Wire::Bytes(bytes)) => Some((*scalar, bytes)),
            (Kind::Enum(_), Wire::Bytes(bytes)) => Some((Type::Enum, bytes)),
            _ => None,
        };
        let Some((scalar, bytes)) = packed else {
            list.push(self.value(wire, field)?);
            return Ok(());
        };
        let mut reader = WireReader::new(bytes);
        while !reader.is_empty() {
            let wire = match scalar {
                Type::Double | Type::Fixed64 | Type::Sfixed64 => {
                    reader.fixed64().map(Wire::Fixed64)
                }
                Type::Float | Type::Fixed32 | Type::Sfixed32 => reader.fixed32().map(Wire::Fixed32),
                _ => reader.varint().map(Wire::Varint),
            };
            let wire = wire.map_err(|error| format!("Field {}: {error}", field.name))?;
            list.push(self.value(wire, field)?);
        }
        Ok(())
    }
}

fn message<'a>(wire: Wire<'a>, field: &Field) -> Result<&'a [u8], String> {
    match wire {
        Wire::Bytes(bytes) => Ok(bytes),
        _ => Err(format!("Field {}: malformed message", field.name)),
    }
}

/// The last occurrence of a field in a message, which is the one that counts.
fn last_field(bytes: &[u8], wanted: i32) -> Result<Option<Wire<'_>>, String> {
    let mut reader = WireReader::new(bytes);
    let mut found = None;
    while let Some((number, wire)) = reader.field().map_err(|error| error.to_string())? {
        if number == wanted {
            found = Some(wire);
        }
    }
    Ok(found)
}

fn raw<'a>(scalar: Type, wire: Wire<'a>) -> Option<Raw<'a>> {
    let zigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
    Some(match (scalar, wire) {
        (Type::Double, Wire::Fixed64(bits)) => Raw::Real(f64::from_bits(bits)),
        (Type::Float, Wire::Fixed32(bits)) => Raw::Real(f32::from_bits(bits).into()),
        (Type::Int64, Wire::Varint(value)) => Raw::Signed(value as i64),
        (Type::Int32, Wire::Varint(value)) => Raw::Signed((value as i32).into()),
        (Type::Uint64, Wire::Varint(value)) => Raw::Unsigned(value),
        (Type::Uint32, Wire::Varint(value)) => Raw::Unsigned((value as u32).into()),
        (Type::Sint64 | Type::Sint32, Wire::Varint(value)) => Raw::Signed(zigzag(value)),
        (Type::Bool, Wire::Varint(value)) => Raw::Bool(value != 0),
        (Type::Fixed64, Wire::Fixed64(value)) => Raw::Unsigned(value),
        (Type::Sfixed64, Wire::Fixed64(value)) => Raw::Signed(value as i64),
        (Type::Fixed32, Wire::Fixed32(value)) => Raw::Unsigned(value.into()),
        (Type::Sfixed32, Wire::Fixed32(value)) => Raw::Signed((value as i32).into()),
        (Type::String, Wire::Bytes(bytes)) => Raw::Text(std::str::from_utf8(bytes).ok()?),
        (Type::Bytes, Wire::Bytes(bytes)) => Raw::Bytes(bytes),
        _ => return None,
    })
}

fn default_of(scalar: Type) -> Raw<'static> {
    match scalar {
        Type::Double | Type::Float => Raw::Real(0.0),
        Type::Bool => Raw::Bool(false),
        Type::String => Raw::Text(""),
        Type::Bytes => Raw::Bytes(&[]),
        _ => Raw::Signed(0),
    }
}

/// A scalar as a value of the field's type; the plan has made sure that the two go together.
fn convert(raw: Raw<'_>, field: &Field) -> Result<Value, String> {
    let converted = match raw {
        Raw::Signed(number) => from_integer(number, &field.field_type),
        Raw::Unsigned(number) => match i64::try_from(number) {
            Ok(number) => from_integer(number, &field.field_type),
            Err(_) => from_large(number, &field.field_type),
        },
        Raw::Real(number) => match field.field_type {
            FieldType::Float64 => Some(Value::Float64(number)),
            FieldType::Numeric => decimal::from_f64(number, NUMERIC_SCALE)
                .and_then(decimal::to_numeric)
                .map(Value::Numeric),
            FieldType::BigNumeric => {
                decimal::from_f64(number, BIGNUMERIC_SCALE).map(Value::BigNumeric)
            }
            _ => None,
        },
        Raw::Bool(value) => Some(Value::Bool(value)),
        Raw::Text(text) => match field.field_type {
            FieldType::Bytes => Some(Value::Bytes(text.as_bytes().into())),
            ref field_type => from_text(text, field_type),
        },
        Raw::Bytes(bytes) => match field.field_type {
            FieldType::Numeric => {
                decimal::from_little_endian(bytes).and_then(decimal::to_numeric).map(Value::Numeric)
            }
            FieldType::BigNumeric => decimal::from_little_endian(bytes).map(Value::BigNumeric),
            _ => Some(Value::Bytes(bytes.into())),
        },
    };
    converted.ok_or_else(|| {
        format!(
            "Field {}: Could not convert value to {}: {raw}",
            field.name,
            field.field_type.rest_name()
        )
    })
}

impl std::fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

fn from_integer(number: i64, field_type: &FieldType) -> Option<Value> {
    let wide = i256::from_i128(number.into());
    Some(match field_type {
        FieldType::Int64 => Value::Int64(number),
        FieldType::Bool => Value::Bool(number != 0),
        FieldType::Date => Value::Date(i32::try_from(number).ok()?),
        FieldType::Time => Value::Time(civil::unpack_time(number)?),
        FieldType::DateTime => Value::DateTime(civil::unpack_datetime(number)?),
        FieldType::Timestamp => Value::Timestamp(number),
        FieldType::Numeric => {
            Value::Numeric(decimal::to_numeric(decimal::rescale(wide, 0, NUMERIC_SCALE)?)?)
        }
        FieldType::BigNumeric => Value::BigNumeric(decimal::rescale(wide, 0, BIGNUMERIC_SCALE)?),
        _ => return None,
    })
}

/// Unsigned numbers beyond the signed ones fit only three types.
fn from_large(number: u64, field_type: &FieldType) -> Option<Value> {
    let wide = i256::from_i128(number.into());
    match field_type {
        FieldType::Bool => Some(Value::Bool(true)),
        FieldType::Numeric => decimal::rescale(wide, 0, NUMERIC_SCALE)
            .and_then(decimal::to_numeric)
            .map(Value::Numeric),
        FieldType::BigNumeric => decimal::rescale(wide, 0, BIGNUMERIC_SCALE).map(Value::BigNumeric),
        _ => None,
    }
}

#[cfg(test)]
#[path = "proto_tests.rs"]
mod tests;
