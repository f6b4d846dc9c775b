//! Brings batches made for an older schema of a table to its current one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow_schema::{ArrowError, DataType as ArrowType, Field as ArrowField};

use crate::bigquery::schema::TableSchema;

/// The batch in the canonical Arrow schema of `schema`: columns matched by name (ignoring case), new ones NULL.
///
/// # Errors
/// When a column's type changed, which schema changes never do.
pub(crate) fn conform(
    batch: &RecordBatch,
    schema: &TableSchema,
) -> Result<RecordBatch, ArrowError> {
    let target = schema.to_arrow();
    if *batch.schema_ref().as_ref() == target {
        return Ok(batch.clone());
    }
    let old = batch.schema_ref().fields();
    let arrays = target
        .fields()
        .iter()
        .map(|field| conform_field(position(old, field), batch.columns(), field, batch.num_rows()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(target), arrays, &options)
}

fn position(fields: &[Arc<ArrowField>], wanted: &ArrowField) -> Option<usize> {
    fields.iter().position(|field| field.name().eq_ignore_ascii_case(wanted.name()))
}

fn conform_field(
    at: Option<usize>,
    arrays: &[ArrayRef],
    field: &ArrowField,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    match at {
        Some(at) => conform_array(&arrays[at], field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows)),
    }
}

fn conform_array(array: &ArrayRef, target: &ArrowType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match target {
        ArrowType::Struct(fields) => {
            let record = array
                .as_struct_opt()
                .ok_or_else(|| ArrowError::SchemaError("column is no longer a record".into()))?;
            let columns = fields
                .iter()
                .map(|field| {
                    let at = position(record.fields(), field);
                    conform_field(at, record.columns(), field, record.len())
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, record.nulls().cloned())?))
        }
        ArrowType::List(item) => {
            let list = array
                .as_list_opt::<i32>()
                .ok_or_else(|| ArrowError::SchemaError("column is no longer repeated".into()))?;
            let values = conform_array(list.values(), item.data_type())?;
            let nulls = list.nulls().cloned();
            let item = Arc::clone(item);
            Ok(Arc::new(ListArray::try_new(item, list.offsets().clone(), values, nulls)?))
        }
        other => Err(ArrowError::SchemaError(format!(
            "column changed from {} to {other}",
            array.data_type()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::rows::{Column, build_batch};
    use crate::bigquery::schema::{Field, FieldType};
    use crate::bigquery::value::Value;

    #[test]
    fn old_rows_get_null_in_new_columns_at_every_level() {
        let record =
            |fields| TableSchema::new(vec![Field::repeated("r", FieldType::Struct(fields))]);
        let old = record(vec![Field::nullable("a", FieldType::Int64)]);
        let mut new = record(vec![
            Field::nullable("a", FieldType::Int64),
            Field::repeated("b", FieldType::String),
        ]);
        new.fields.push(Field::nullable("c", FieldType::Date));
        let cell = Value::Array(Arc::from([Value::Struct(Arc::from([Value::Int64(7)]))]));
        let batch = build_batch(&old, &[vec![cell]]).unwrap();

        let wide = conform(&batch, &new).unwrap();
        let columns = Column::all(&new, &wide);
        let element = Value::Struct(Arc::from([Value::Int64(7), Value::Array(Arc::from([]))]));
        assert_eq!(columns[0].value(0), Value::Array(Arc::from([element])));
        assert_eq!(columns[1].value(0), Value::Null);
    }
}
