//! Rows in Avro's binary encoding, <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

use arrow_array::RecordBatch;
use arrow_buffer::i256;
use bytes::Bytes;

use crate::bigquery::civil;
use crate::bigquery::rows::Column;
use crate::bigquery::schema::{Field, Mode, TableSchema};
use crate::bigquery::value::Value;

/// The rows of a batch, one after the other.
pub(crate) fn encode_rows(schema: &TableSchema, batch: &RecordBatch) -> Bytes {
    let columns = Column::all(schema, batch);
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        for (field, column) in schema.fields.iter().zip(&columns) {
            encode_field(field, &column.value(row), &mut out);
        }
    }
    out.into()
}

fn encode_field(field: &Field, value: &Value, out: &mut Vec<u8>) {
    match (field.mode, value) {
        (Mode::Nullable, Value::Null) => encode_long(0, out),
        (Mode::Nullable, value) => {
            // The second branch of the union with null.
            encode_long(1, out);
            encode_value(field, value, out);
        }
        (Mode::Required, value) => encode_value(field, value, out),
        (Mode::Repeated, value) => {
            let items: &[Value] = if let Value::Array(items) = value { items } else { &[] };
            if !items.is_empty() {
                encode_long(items.len() as i64, out);
                items.iter().for_each(|item| encode_value(field, item, out));
            }
            // Blocks of items end with an empty one.
            encode_long(0, out);
        }
    }
}

fn encode_value(field: &Field, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.push(u8::from(*value)),
        Value::Int64(value) | Value::Time(value) | Value::Timestamp(value) => {
            encode_long(*value, out);
        }
        Value::Date(days) => encode_long((*days).into(), out),
        Value::Float64(value) => out.extend_from_slice(&value.to_le_bytes()),
        Value::Numeric(scaled) => encode_bytes(shortest(&scaled.to_be_bytes()), out),
        Value::BigNumeric(scaled) => encode_bytes(shortest(&i256::to_be_bytes(*scaled)), out),
        Value::DateTime(micros) => {
            encode_bytes(civil::format_datetime(*micros, 'T', true).as_bytes(), out);
        }
        Value::String(text) | Value::Json(text) | Value::Geography(text) => {
            encode_bytes(text.as_bytes(), out);
        }
        Value::Bytes(bytes) => encode_bytes(bytes, out),
        Value::Struct(values) => {
            let fields = field.fields().iter().zip(values.iter());
            fields.for_each(|(field, value)| encode_field(field, value, out));
        }
        // Neither is a value of a field: elements are never lists, and REQUIRED values never NULL.
        Value::Null | Value::Array(_) => {}
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Zigzag, then seven bits a byte.
fn encode_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A two's complement number, most significant byte first, without bytes that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let is_sign = matches!((first, second & 0x80), (0, 0) | (0xff, 0x80));
        if !is_sign {
            break;
        }
        rest = &rest[1..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bigquery::rows::build_batch;
    use crate::bigquery::schema::FieldType;

    fn encoded(field_type: FieldType, mode: Mode, value: Value) -> Vec<u8> {
        let schema = TableSchema::new(vec![Field::new("f", field_type, mode)]);
        let batch = build_batch(&schema, &[vec![value]]).unwrap();
        encode_rows(&schema, &batch).to_vec()
    }

    #[test]
    fn numbers_are_zigzag_and_of_variable_length() {
        for (number, bytes) in [
            (0, vec![0]),
            (-1, vec![1]),
            (1, vec![2]),
            (-64, vec![0x7f]),
            (64, vec![0x80, 0x01]),
            (i64::MIN, vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            assert_eq!(encoded(FieldType::Int64, Mode::Required, Value::Int64(number)), bytes);
        }
    }

    #[test]
    fn every_mode_and_shape_has_its_form() {
        let text = |text: &str| Value::string(text);
        assert_eq!(encoded(FieldType::String, Mode::Nullable, Value::Null), [0]);
        assert_eq!(encoded(FieldType::String, Mode::Nullable, text("ab")), [2, 4, b'a', b'b']);
        let list = Value::Array(Arc::from([text("a"), text("")]));
        assert_eq!(encoded(FieldType::String, Mode::Repeated, list), [4, 2, b'a', 0, 0]);
        assert_eq!(encoded(FieldType::String, Mode::Repeated, Value::Array(Arc::from([]))), [0]);
        let inner =
            vec![Field::nullable("x", FieldType::Bool), Field::required("y", FieldType::Int64)];
        let record = Value::Struct(Arc::from([Value::Bool(true), Value::Int64(2)]));
        assert_eq!(encoded(FieldType::Struct(inner), Mode::Required, record), [2, 1, 4]);
        let decimal = |n: i128| encoded(FieldType::Numeric, Mode::Required, Value::Numeric(n));
        assert_eq!(decimal(1), [2, 1]);
        assert_eq!(decimal(-1), [2, 0xff]);
        assert_eq!(decimal(128), [4, 0, 128]);
        assert_eq!(decimal(-129), [4, 0xff, 0x7f]);
        let moment = Value::DateTime(1_500_000);
        let given = encoded(FieldType::DateTime, Mode::Required, moment);
        assert_eq!(given[1..], *b"1970-01-01T00:00:01.500000");
    }
}
