//! Builds Arrow batches from rows of values.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    Float64Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType as ArrowType};

use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};
use crate::bigquery::value::Value;

/// Builds a batch of the table's canonical Arrow schema. Each row has one value per column.
///
/// # Errors
/// When a value is not of its column's type.
pub(crate) fn build_batch(
    schema: &TableSchema,
    rows: &[Vec<Value>],
) -> Result<RecordBatch, ArrowError> {
    let mut builders: Vec<_> = schema.fields.iter().map(ColumnBuilder::of_field).collect();
    for row in rows {
        if row.len() != builders.len() {
            return Err(ArrowError::InvalidArgumentError(format!(
                "row has {} values for {} columns",
                row.len(),
                builders.len()
            )));
        }
        for (builder, value) in builders.iter_mut().zip(row) {
            builder.append(value)?;
        }
    }
    let arrays = builders.into_iter().map(ColumnBuilder::finish).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(schema.to_arrow()), arrays, &options)
}

enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Numeric(Decimal128Builder),
    BigNumeric(Decimal256Builder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    DateTime(TimestampMicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Struct { arrow: ArrowType, fields: Vec<ColumnBuilder>, validity: NullBufferBuilder },
    List { arrow: ArrowType, items: Box<ColumnBuilder>, offsets: Vec<i32>, count: usize },
}

impl ColumnBuilder {
    fn of_field(field: &Field) -> Self {
        let arrow = field.to_arrow().data_type().clone();
        match (&arrow, field.mode) {
            (ArrowType::List(item), Mode::Repeated) => Self::List {
                items: Box::new(Self::of_type(&field.field_type, item.data_type().clone())),
                arrow,
                offsets: vec![0],
                count: 0,
            },
            _ => Self::of_type(&field.field_type, arrow),
        }
    }

    fn of_type(field_type: &FieldType, arrow: ArrowType) -> Self {
        match field_type {
            FieldType::Bool => Self::Bool(BooleanBuilder::new()),
            FieldType::Int64 => Self::Int64(Int64Builder::new()),
            FieldType::Float64 => Self::Float64(Float64Builder::new()),
            FieldType::Numeric => Self::Numeric(Decimal128Builder::new().with_data_type(arrow)),
            FieldType::BigNumeric => {
                Self::BigNumeric(Decimal256Builder::new().with_data_type(arrow))
            }
            FieldType::Date => Self::Date(Date32Builder::new()),
            FieldType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            FieldType::DateTime => Self::DateTime(TimestampMicrosecondBuilder::new()),
            FieldType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC"))
            }
            FieldType::String | FieldType::Json | FieldType::Geography => {
                Self::Text(StringBuilder::new())
            }
            FieldType::Bytes => Self::Bytes(BinaryBuilder::new()),
            FieldType::Struct(fields) => Self::Struct {
                arrow,
                fields: fields.iter().map(Self::of_field).collect(),
                validity: NullBufferBuilder::new(0),
            },
        }
    }

    fn append(&mut self, value: &Value) -> Result<(), ArrowError> {
        match (self, value) {
            (Self::Bool(builder), Value::Bool(value)) => builder.append_value(*value),
            (Self::Int64(builder), Value::Int64(value)) => builder.append_value(*value),
            (Self::Float64(builder), Value::Float64(value)) => builder.append_value(*value),
            (Self::Numeric(builder), Value::Numeric(value)) => builder.append_value(*value),
            (Self::BigNumeric(builder), Value::BigNumeric(value)) => builder.append_value(*value),
            (Self::Date(builder), Value::Date(value)) => builder.append_value(*value),
            (Self::Time(builder), Value::Time(value)) => builder.append_value(*value),
            (Self::DateTime(builder), Value::DateTime(value))
            | (Self::Timestamp(builder), Value::Timestamp(value)) => builder.append_value(*value),
            (
                Self::Text(builder),
                Value::String(text) | Value::Json(text) | Value::Geography(text),
            ) => builder.append_value(text),
            (Self::Bytes(builder), Value::Bytes(bytes)) => builder.append_value(bytes),
            (Self::Struct { fields, validity, .. }, Value::Struct(values))
                if fields.len() == values.len() =>
            {
                validity.append_non_null();
                for (builder, value) in fields.iter_mut().zip(values.iter()) {
                    builder.append(value)?;
                }
            }
            (Self::List { items, offsets, count, .. }, Value::Array(values)) => {
                values.iter().try_for_each(|value| items.append(value))?;
                *count += values.len();
                offsets.push(list_offset(*count)?);
            }
            (builder, Value::Null) => builder.append_null()?,
            (_, value) => {
                return Err(ArrowError::InvalidArgumentError(format!(
                    "value {value:?} is not of its column's type"
                )));
            }
        }
        Ok(())
    }

    fn append_null(&mut self) -> Result<(), ArrowError> {
        match self {
            Self::Bool(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Numeric(builder) => builder.append_null(),
            Self::BigNumeric(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::DateTime(builder) | Self::Timestamp(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Bytes(builder) => builder.append_null(),
            Self::Struct { fields, validity, .. } => {
                validity.append_null();
                fields.iter_mut().try_for_each(Self::append_null)?;
            }
            Self::List { offsets, count, .. } => offsets.push(list_offset(*count)?),
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bool(mut builder) => Arc::new(builder.finish()),
            Self::Int64(mut builder) => Arc::new(builder.finish()),
            Self::Float64(mut builder) => Arc::new(builder.finish()),
            Self::Numeric(mut builder) => Arc::new(builder.finish()),
            Self::BigNumeric(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
            Self::DateTime(mut builder) | Self::Timestamp(mut builder) => {
                Arc::new(builder.finish())
            }
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
            Self::Struct { arrow: ArrowType::Struct(arrow), fields, mut validity } => {
                let arrays = fields.into_iter().map(Self::finish).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new(arrow, arrays, validity.finish())?)
            }
            Self::List { arrow: ArrowType::List(item), items, offsets, .. } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(ListArray::try_new(item, offsets, items.finish()?, None)?)
            }
            Self::Struct { arrow, .. } | Self::List { arrow, .. } => {
                return Err(ArrowError::SchemaError(format!("{arrow} is no nested type")));
            }
        })
    }
}

fn list_offset(count: usize) -> Result<i32, ArrowError> {
    i32::try_from(count)
        .map_err(|_| ArrowError::InvalidArgumentError("lists too long for one batch".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::rows::Column;

    #[test]
    fn values_of_every_type_survive_a_round_trip() {
        let nested = vec![
            Field::nullable("text", FieldType::String),
            Field::repeated("numbers", FieldType::Int64),
        ];
        let columns: Vec<(FieldType, Value)> = vec![
            (FieldType::Bool, Value::Bool(true)),
            (FieldType::Int64, Value::Int64(-1)),
            (FieldType::Float64, Value::Float64(2.5)),
            (FieldType::Numeric, Value::Numeric(1_500_000_000)),
            (FieldType::BigNumeric, Value::BigNumeric(arrow_buffer::i256::MINUS_ONE)),
            (FieldType::Date, Value::Date(19_723)),
            (FieldType::Time, Value::Time(1)),
            (FieldType::DateTime, Value::DateTime(2)),
            (FieldType::Timestamp, Value::Timestamp(3)),
            (FieldType::String, Value::string("é")),
            (FieldType::Json, Value::Json("{}".into())),
            (FieldType::Geography, Value::Geography("POINT(1 2)".into())),
            (FieldType::Bytes, Value::Bytes(Arc::from([0_u8, 255]))),
            (
                FieldType::Struct(nested),
                Value::Struct(Arc::from([
                    Value::Null,
                    Value::Array(Arc::from([Value::Int64(1), Value::Int64(2)])),
                ])),
            ),
        ];
        let mut fields = Vec::new();
        let mut row = Vec::new();
        for (at, (field_type, value)) in columns.into_iter().enumerate() {
            fields.push(Field::nullable(format!("c{at}"), field_type.clone()));
            row.push(value.clone());
            fields.push(Field::repeated(format!("r{at}"), field_type));
            row.push(Value::Array(Arc::from([value.clone(), value])));
        }
        let schema = TableSchema::new(fields);
        let empty: Vec<Value> = row
            .iter()
            .map(|value| match value {
                Value::Array(_) => Value::Array(Arc::from([])),
                _ => Value::Null,
            })
            .collect();
        let batch = build_batch(&schema, &[row.clone(), empty.clone()]).unwrap();
        let columns = Column::all(&schema, &batch);
        let read = |at: usize| columns.iter().map(|column| column.value(at)).collect::<Vec<_>>();
        assert_eq!(read(0), row);
        assert_eq!(read(1), empty);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        let schema = TableSchema::new(vec![Field::nullable("n", FieldType::Int64)]);
        let error = build_batch(&schema, &[vec![Value::string("1")]]).unwrap_err();
        assert!(error.to_string().contains("not of its column's type"), "{error}");
    }
}
