//! Which columns of a table are read, fields of records included.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array as _, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_schema::{
    ArrowError, DataType as ArrowType, Field as ArrowField, FieldRef, Fields, Schema,
};

use crate::bigquery::error::WriteError;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema, index_of};

/// A field that is read, at its place among its fellows.
#[derive(Clone, Debug)]
struct Picked {
    at: usize,
    field: Field,
    /// What is read of a record; of other types nothing more.
    inner: Vec<Picked>,
}

/// The columns that a session reads.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    picked: Vec<Picked>,
    schema: TableSchema,
    arrow: Arc<Schema>,
}

impl Projection {
    /// Picks fields by their paths, in the order of the table; all of them if none is named.
    ///
    /// # Errors
    /// When a path names no field.
    pub(crate) fn new(schema: &TableSchema, paths: &[String]) -> Result<Self, WriteError> {
        let paths: Vec<Vec<&str>> = paths.iter().map(|path| path.split('.').collect()).collect();
        let picked = pick(&schema.fields, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let fields = picked.iter().map(|it| it.field.clone()).collect();
        let arrow = Arc::new(Schema::new(picked.iter().map(arrow_field).collect::<Vec<_>>()));
        Ok(Self { picked, schema: TableSchema::new(fields), arrow })
    }

    /// The columns read.
    pub(crate) fn schema(&self) -> &TableSchema {
        &self.schema
    }

    /// The same as clients get it: columns that are REQUIRED are not nullable.
    pub(crate) fn arrow(&self) -> &Arc<Schema> {
        &self.arrow
    }

    /// The columns of a batch that are read.
    ///
    /// # Errors
    /// When the batch is not of the table's schema.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = columns_of(&self.picked, batch.columns(), self.arrow.fields())?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), columns, &options)
    }
}

fn pick(fields: &[Field], paths: &[&[&str]]) -> Result<Vec<Picked>, WriteError> {
    let unknown = |name: &str| {
        WriteError::invalid(format!("The selected field {name} does not exist in the table schema"))
    };
    if let Some(path) = paths.iter().find(|path| index_of(fields, path[0]).is_none()) {
        return Err(unknown(&path.join(".")));
    }
    let mut picked = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let named: Vec<_> =
            paths.iter().filter(|path| path[0].eq_ignore_ascii_case(&field.name)).collect();
        if named.is_empty() && !paths.is_empty() {
            continue;
        }
        let whole = named.is_empty() || named.iter().any(|path| path.len() == 1);
        let rest: Vec<_> =
            if whole { Vec::new() } else { named.iter().map(|path| &path[1..]).collect() };
        let mut field = field.clone();
        let inner = match &mut field.field_type {
            FieldType::Struct(fields) => {
                let inner = pick(fields, &rest)?;
                *fields = inner.iter().map(|it| it.field.clone()).collect();
                inner
            }
            _ => match rest.first() {
                Some(path) => return Err(unknown(&format!("{}.{}", field.name, path.join(".")))),
                None => Vec::new(),
            },
        };
        picked.push(Picked { at, field, inner });
    }
    Ok(picked)
}

fn arrow_field(picked: &Picked) -> ArrowField {
    let Field { name, mode, .. } = &picked.field;
    let value = match picked.inner.as_slice() {
        [] => picked.field.to_arrow_value(),
        inner => ArrowType::Struct(inner.iter().map(arrow_field).collect()),
    };
    let data_type = match mode {
        // Elements are never NULL, but Google's schema does not say so.
        Mode::Repeated => ArrowType::List(Arc::new(ArrowField::new("item", value, true))),
        Mode::Nullable | Mode::Required => value,
    };
    ArrowField::new(name, data_type, *mode != Mode::Required)
}

fn columns_of(
    picked: &[Picked],
    columns: &[ArrayRef],
    fields: &Fields,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let missing = |it: &Picked| ArrowError::SchemaError(format!("no column {}", it.field.name));
    let pairs = picked.iter().zip(fields);
    pairs
        .map(|(it, field)| column(it, columns.get(it.at).ok_or_else(|| missing(it))?, field))
        .collect()
}

fn column(picked: &Picked, array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    match (field.data_type(), picked.inner.as_slice()) {
        (_, []) => Ok(Arc::clone(array)),
        (ArrowType::List(item), inner) => {
            let list = array.as_list::<i32>();
            let values = record(inner, list.values(), item)?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
        }
        (_, inner) => record(inner, array, field),
    }
}

fn record(inner: &[Picked], array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let ArrowType::Struct(fields) = field.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} is no record", field.name())));
    };
    let record = array.as_struct();
    let columns = columns_of(inner, record.columns(), fields)?;
    let array = StructArray::try_new_with_length(
        fields.clone(),
        columns,
        record.nulls().cloned(),
        record.len(),
    )?;
    Ok(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::rows::build_batch;
    use crate::bigquery::value::Value;

    fn schema() -> TableSchema {
        let inner =
            vec![Field::required("x", FieldType::Int64), Field::nullable("y", FieldType::String)];
        TableSchema::new(vec![
            Field::required("n", FieldType::Int64),
            Field::nullable("one", FieldType::Struct(inner.clone())),
            Field::repeated("many", FieldType::Struct(inner)),
        ])
    }

    fn batch() -> RecordBatch {
        let record = |n: i64| Value::Struct(Arc::from([Value::Int64(n), Value::string("y")]));
        let rows = [
            vec![Value::Int64(1), record(1), Value::Array(Arc::from([record(2), record(3)]))],
            vec![Value::Int64(2), Value::Null, Value::Array(Arc::from([]))],
        ];
        build_batch(&schema(), &rows).unwrap()
    }

    fn read(paths: &[&str]) -> RecordBatch {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        Projection::new(&schema(), &paths).unwrap().apply(&batch()).unwrap()
    }

    #[test]
    fn all_columns_come_in_order_with_their_modes() {
        let all = read(&[]);
        let schema = all.schema();
        let columns: Vec<_> =
            schema.fields().iter().map(|it| (it.name().as_str(), it.is_nullable())).collect();
        assert_eq!(columns, [("n", false), ("one", true), ("many", true)]);
        assert_eq!(all.num_rows(), 2);
    }

    #[test]
    fn fields_of_records_are_picked_and_absent_records_stay_absent() {
        let some = read(&["MANY.y", "one.x"]);
        let names: Vec<_> = some.schema().fields().iter().map(|it| it.name().clone()).collect();
        assert_eq!(names, ["one", "many"]);
        let one = some.column(0).as_struct();
        assert_eq!((one.num_columns(), one.null_count()), (1, 1));
        let many = some.column(1).as_list::<i32>();
        assert_eq!(many.values().as_struct().num_columns(), 1);
        assert_eq!((many.value_length(0), many.value_length(1)), (2, 0));
        let whole = read(&["one", "one.x"]);
        assert_eq!(whole.column(0).as_struct().num_columns(), 2);
    }

    #[test]
    fn unknown_fields_are_named() {
        for (path, told) in [("m", "m"), ("one.z", "z"), ("n.x", "n.x")] {
            let error = Projection::new(&schema(), &[path.to_owned()]).unwrap_err();
            assert!(error.message.contains(told), "{}", error.message);
        }
    }
}
