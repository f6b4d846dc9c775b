//! Reads values out of Arrow columns kept in a table's canonical types.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray,
    StructArray,
};

use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};
use crate::bigquery::value::Value;

/// Which of the text types a text column holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    String,
    Json,
    Geography,
}

/// A typed view of one column of a batch.
#[derive(Debug)]
pub(crate) enum Column<'a> {
    Bool(&'a BooleanArray),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Numeric(&'a PrimitiveArray<Decimal128Type>),
    BigNumeric(&'a PrimitiveArray<Decimal256Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    DateTime(&'a PrimitiveArray<TimestampMicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
    Text(&'a StringArray, Text),
    Bytes(&'a BinaryArray),
    Struct(&'a StructArray, Vec<Column<'a>>),
    List(&'a ListArray, Box<Column<'a>>),
}

impl<'a> Column<'a> {
    /// Views all columns of a batch that was made for `schema`.
    pub(crate) fn all(schema: &TableSchema, batch: &'a RecordBatch) -> Vec<Self> {
        let columns = schema.fields.iter().zip(batch.columns());
        columns.map(|(field, array)| Self::new(field, array.as_ref())).collect()
    }

    /// Views one column. The array must have the field's canonical Arrow type.
    pub(crate) fn new(field: &Field, array: &'a dyn Array) -> Self {
        match field.mode {
            Mode::Repeated => {
                let list = array.as_list::<i32>();
                Self::List(list, Box::new(Self::of_type(&field.field_type, list.values().as_ref())))
            }
            Mode::Nullable | Mode::Required => Self::of_type(&field.field_type, array),
        }
    }

    fn of_type(field_type: &FieldType, array: &'a dyn Array) -> Self {
        match field_type {
            FieldType::Bool => Self::Bool(array.as_boolean()),
            FieldType::Int64 => Self::Int64(array.as_primitive()),
            FieldType::Float64 => Self::Float64(array.as_primitive()),
            FieldType::Numeric => Self::Numeric(array.as_primitive()),
            FieldType::BigNumeric => Self::BigNumeric(array.as_primitive()),
            FieldType::Date => Self::Date(array.as_primitive()),
            FieldType::Time => Self::Time(array.as_primitive()),
            FieldType::DateTime => Self::DateTime(array.as_primitive()),
            FieldType::Timestamp => Self::Timestamp(array.as_primitive()),
            FieldType::String => Self::Text(array.as_string(), Text::String),
            FieldType::Json => Self::Text(array.as_string(), Text::Json),
            FieldType::Geography => Self::Text(array.as_string(), Text::Geography),
            FieldType::Bytes => Self::Bytes(array.as_binary()),
            FieldType::Struct(fields) => {
                let record = array.as_struct();
                let columns = fields.iter().zip(record.columns());
                let columns = columns.map(|(field, array)| Self::new(field, array.as_ref()));
                Self::Struct(record, columns.collect())
            }
        }
    }

    /// Whether the value of a row is NULL. A list never is: BigQuery reads a NULL list as empty.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Numeric(array) => array.is_null(row),
            Self::BigNumeric(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::DateTime(array) | Self::Timestamp(array) => array.is_null(row),
            Self::Text(array, _) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
            Self::Struct(array, _) => array.is_null(row),
            Self::List(..) => false,
        }
    }

    /// The value of a row.
    pub(crate) fn value(&self, row: usize) -> Value {
        if self.is_null(row) {
            return Value::Null;
        }
        match self {
            Self::Bool(array) => Value::Bool(array.value(row)),
            Self::Int64(array) => Value::Int64(array.value(row)),
            Self::Float64(array) => Value::Float64(array.value(row)),
            Self::Numeric(array) => Value::Numeric(array.value(row)),
            Self::BigNumeric(array) => Value::BigNumeric(array.value(row)),
            Self::Date(array) => Value::Date(array.value(row)),
            Self::Time(array) => Value::Time(array.value(row)),
            Self::DateTime(array) => Value::DateTime(array.value(row)),
            Self::Timestamp(array) => Value::Timestamp(array.value(row)),
            Self::Text(array, Text::String) => Value::String(Arc::from(array.value(row))),
            Self::Text(array, Text::Json) => Value::Json(Arc::from(array.value(row))),
            Self::Text(array, Text::Geography) => Value::Geography(Arc::from(array.value(row))),
            Self::Bytes(array) => Value::Bytes(Arc::from(array.value(row))),
            Self::Struct(_, columns) => {
                Value::Struct(columns.iter().map(|column| column.value(row)).collect())
            }
            Self::List(array, items) => {
                let offsets = array.value_offsets();
                let empty = array.is_null(row);
                let range = if empty { 0..0 } else { offsets[row]..offsets[row + 1] };
                Value::Array(range.map(|at| items.value(at as usize)).collect())
            }
        }
    }
}
