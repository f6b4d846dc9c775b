//! SQL types as Arrow fields and back, and columns of values between the two engines.
//!
//! Arrow has one type for texts; JSON and GEOGRAPHY are told apart by metadata, which DataFusion carries along.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use datafusion::arrow::compute::cast;

use super::super::error::SqlError;
use super::super::types::{DataType, StructField};
use crate::bigquery::rows::{Column, build_batch};
use crate::bigquery::schema::TableSchema;
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// Key of the metadata that says which of the text types a field has.
const TYPE: &str = "bigquery:type";

/// Key of the metadata that has a column's name as it was declared; DataFusion sees it in lower case.
const NAME: &str = "bigquery:name";

/// A type as an Arrow field that may be NULL.
pub(super) fn arrow_field(name: &str, data_type: &DataType) -> ArrowField {
    let field = ArrowField::new(name, arrow_type(data_type), true);
    let text = match data_type {
        DataType::Json => "JSON",
        DataType::Geography => "GEOGRAPHY",
        _ => return field,
    };
    field.with_metadata([(TYPE.to_owned(), text.to_owned())].into())
}

fn arrow_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Array(item) => ArrowType::List(Arc::new(arrow_field("item", item))),
        DataType::Struct(fields) => ArrowType::Struct(
            fields.iter().map(|field| arrow_field(&field.name, &field.data_type)).collect(),
        ),
        scalar => scalar.to_field("").map_or(ArrowType::Null, |field| field.to_arrow_value()),
    }
}

/// The type of an Arrow field. Types that only DataFusion makes become the nearest of BigQuery's.
pub(super) fn data_type(field: &ArrowField) -> Result<DataType> {
    Ok(match field.data_type() {
        ArrowType::Boolean => DataType::Bool,
        // A column of bare NULLs has this type in BigQuery too.
        ArrowType::Null => DataType::Int64,
        ArrowType::Decimal128(_, scale) if *scale <= 9 => DataType::Numeric,
        ArrowType::Decimal128(..) | ArrowType::Decimal256(..) => DataType::BigNumeric,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => {
            match field.metadata().get(TYPE).map(String::as_str) {
                Some("JSON") => DataType::Json,
                Some("GEOGRAPHY") => DataType::Geography,
                _ => DataType::String,
            }
        }
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => DataType::Bytes,
        ArrowType::Date32 | ArrowType::Date64 => DataType::Date,
        ArrowType::Time32(_) | ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(_, None) => DataType::DateTime,
        ArrowType::Timestamp(_, Some(_)) => DataType::Timestamp,
        ArrowType::List(item) | ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _) => {
            DataType::Array(Arc::new(data_type(item)?))
        }
        ArrowType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| {
                    Ok(StructField { name: field.name().clone(), data_type: data_type(field)? })
                })
                .collect::<Result<_>>()?,
        ),
        integer if integer.is_integer() => DataType::Int64,
        float if float.is_floating() => DataType::Float64,
        other => return Err(SqlError::unsupported(format!("A value of the type {other}"))),
    })
}

/// The name a column was declared with, if the field is that column.
pub(super) fn declared_name(field: &ArrowField) -> Option<&str> {
    let name = field.metadata().get(NAME)?;
    name.to_lowercase().eq(field.name()).then_some(name.as_str())
}

/// The schema in which DataFusion sees a table.
pub(super) fn table_schema(schema: &TableSchema) -> SchemaRef {
    let fields = schema.fields.iter().map(|field| {
        let arrow = arrow_field(&field.name.to_lowercase(), &DataType::of_field(field));
        let mut metadata = arrow.metadata().clone();
        metadata.insert(NAME.to_owned(), field.name.clone());
        arrow.with_metadata(metadata)
    });
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

/// A batch of a table in the schema in which DataFusion sees it; shares its memory.
pub(super) fn table_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(array, field)| retyped(array, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(failed)
}

/// An array in a type that differs at most in the metadata and names of nested fields.
fn retyped(array: &ArrayRef, target: &ArrowType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (target, array.data_type()) {
        (ArrowType::Struct(fields), ArrowType::Struct(_)) => {
            let record = array.as_struct();
            let columns = record.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| retyped(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let nulls = record.nulls().cloned();
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls).map_err(failed)?))
        }
        (ArrowType::List(item), ArrowType::List(_)) => {
            let list = array.as_list::<i32>();
            let values = retyped(list.values(), item.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            let list = ListArray::try_new(Arc::clone(item), offsets, values, nulls);
            Ok(Arc::new(list.map_err(failed)?))
        }
        _ => cast(array, target).map_err(failed),
    }
}

/// A column of values, of any Arrow array that [`data_type`] has a type for.
#[derive(Debug)]
pub(super) struct Values {
    array: ArrayRef,
    field: crate::bigquery::schema::Field,
}

impl Values {
    pub(super) fn new(array: &ArrayRef, data_type: &DataType) -> Result<Self> {
        let field = data_type.to_field("value").ok_or_else(|| nested_arrays(data_type))?;
        Ok(Self { array: retyped(array, &arrow_type(data_type))?, field })
    }

    /// The column as an expression reads it.
    pub(super) fn column(&self) -> Column<'_> {
        Column::new(&self.field, self.array.as_ref())
    }

    /// All values; unlike in tables, an array may be NULL.
    pub(super) fn all(&self) -> impl Iterator<Item = Value> + '_ {
        let column = self.column();
        (0..self.array.len()).map(move |row| match self.array.is_null(row) {
            true => Value::Null,
            false => column.value(row),
        })
    }
}

/// Values of one type as an Arrow array.
pub(super) fn array(values: Vec<Value>, data_type: &DataType) -> Result<ArrayRef> {
    let field = data_type.to_field("value").ok_or_else(|| nested_arrays(data_type))?;
    let validity = matches!(data_type, DataType::Array(_))
        .then(|| values.iter().map(|value| !value.is_null()).collect::<NullBuffer>());
    let rows: Vec<_> = values.into_iter().map(|value| vec![value]).collect();
    let batch = build_batch(&TableSchema::new(vec![field]), &rows).map_err(failed)?;
    let array = retyped(batch.column(0), &arrow_type(data_type))?;
    let Some(validity) = validity else { return Ok(array) };
    let list = array.as_list::<i32>();
    let item = match list.data_type() {
        ArrowType::List(item) => Arc::clone(item),
        _ => return Ok(array),
    };

    let list =
        ListArray::try_new(item, list.offsets().clone(), Arc::clone(list.values()), Some(validity));
    Ok(Arc::new(list.map_err(failed)?))
}

fn nested_arrays(data_type: &DataType) -> SqlError {
    SqlError::query(format!("Cannot make a value of type {data_type}: an array of arrays"))
}

fn failed(error: arrow_schema::ArrowError) -> SqlError {
    SqlError::query(format!("The values do not fit together: {error}"))
}
