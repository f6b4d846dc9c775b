//! Arrow rows: IPC bytes to batches, and foreign Arrow types to the table's canonical ones.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    StringArray, StructArray, new_null_array, types,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Fields, TimeUnit};
use bytes::Bytes;

use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::error::{StorageErrorCode, WriteError};
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema, index_of};

/// What ends an Arrow stream; writers that serialise a schema as a stream may leave it behind.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Decodes one record batch message, given the schema message of its connection.
///
/// # Errors
/// When the bytes are no Arrow IPC messages, or hold something else than one batch.
pub(crate) fn decode_arrow(schema: &Bytes, batch: &Bytes) -> Result<RecordBatch, WriteError> {
    let malformed = |error: arrow_schema::ArrowError| {
        WriteError::invalid(format!("Failed to parse the Arrow data: {error}"))
    };
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(without_end(schema));
    while !buffer.is_empty() {
        decoder.decode(&mut buffer).map_err(malformed)?;
    }
    let mut buffer = Buffer::from(batch.clone());
    let decoded = decoder.decode(&mut buffer).map_err(malformed)?;
    decoded.ok_or_else(|| {
        WriteError::invalid("Failed to parse the Arrow data: the request holds no record batch")
    })
}

fn without_end(bytes: &Bytes) -> Bytes {
    match bytes.strip_suffix(&END_OF_STREAM) {
        Some(rest) => bytes.slice(..rest.len()),
        None => bytes.clone(),
    }
}

/// Brings a batch to the table's canonical schema; columns are matched by name.
///
/// # Errors
/// When a column is unknown, of another type, or a REQUIRED one is missing.
pub(crate) fn to_canonical(
    batch: &RecordBatch,
    schema: &TableSchema,
    stream: &str,
) -> Result<RecordBatch, WriteError> {
    let given = batch.schema_ref().fields();
    let extra = extra_fields(given, &schema.fields, "");
    if !extra.is_empty() {
        return Err(extra_fields_error(&extra, stream));
    }
    let arrays = columns(given, batch.columns(), &schema.fields, "", batch.num_rows())?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema.to_arrow()), arrays, &options)
        .map_err(|error| WriteError::invalid(format!("Failed to parse the Arrow data: {error}")))
}

/// The error of writers that know more fields than the table.
pub(crate) fn extra_fields_error(extra: &[String], stream: &str) -> WriteError {
    let names = extra.join("', '");
    WriteError::invalid(format!(
        "Input schema has more fields than BigQuery schema, extra fields: '{names}'"
    ))
    .with_detail(StorageErrorCode::SchemaMismatchExtraFields, stream)
}

fn extra_fields(given: &Fields, fields: &[Field], prefix: &str) -> Vec<String> {
    let mut extra = Vec::new();
    for arrow in given {
        let path = format!("{prefix}{}", arrow.name());
        match index_of(fields, arrow.name()) {
            None => extra.push(path),
            Some(at) => {
                let nested = match arrow.data_type() {
                    ArrowType::List(item) | ArrowType::LargeList(item) => item.data_type(),
                    other => other,
                };
                if let (ArrowType::Struct(given), FieldType::Struct(fields)) =
                    (nested, &fields[at].field_type)
                {
                    extra.extend(extra_fields(given, fields, &format!("{path}.")));
                }
            }
        }
    }
    extra
}

fn columns(
    given: &Fields,
    arrays: &[ArrayRef],
    fields: &[Field],
    prefix: &str,
    rows: usize,
) -> Result<Vec<ArrayRef>, WriteError> {
    fields
        .iter()
        .map(|field| {
            let path = format!("{prefix}{}", field.name);
            let at = given.iter().position(|given| given.name().eq_ignore_ascii_case(&field.name));
            match at {
                Some(at) => column(&arrays[at], field, &path),
                None if field.mode == Mode::Required => {
                    Err(WriteError::invalid(format!("Missing required field: '{path}'")))
                }
                None => Ok(new_null_array(field.to_arrow().data_type(), rows)),
            }
        })
        .collect()
}

fn column(array: &ArrayRef, field: &Field, path: &str) -> Result<ArrayRef, WriteError> {
    let canonical = field.to_arrow();
    if array.data_type() == canonical.data_type() {
        return Ok(Arc::clone(array));
    }
    let mismatch = || {
        let repeated = if field.mode == Mode::Repeated { "REPEATED " } else { "" };
        WriteError::invalid(format!(
            "The Arrow field mismatched with BigQuery field at {path}, the Arrow field type {}, BigQuery field type {repeated}{}",
            array.data_type(),
            field.field_type.rest_name()
        ))
    };
    match (field.mode, canonical.data_type()) {
        (Mode::Repeated, ArrowType::List(item)) => list(array, item, field, path, mismatch),
        _ => values(array, field, path).unwrap_or_else(|| Err(mismatch())),
    }
}

fn list(
    array: &ArrayRef,
    item: &Arc<ArrowField>,
    field: &Field,
    path: &str,
    mismatch: impl Fn() -> WriteError,
) -> Result<ArrayRef, WriteError> {
    let (offsets, elements) = match array.data_type() {
        ArrowType::List(_) => {
            let list = array.as_list::<i32>();
            (list.offsets().clone(), list.values())
        }
        ArrowType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let narrow = list.offsets().iter().map(|offset| i32::try_from(*offset).ok());
            let narrow: Option<Vec<i32>> = narrow.collect();
            (OffsetBuffer::new(ScalarBuffer::from(narrow.ok_or_else(&mismatch)?)), list.values())
        }
        _ => return Err(mismatch()),
    };
    let elements = if elements.data_type() == item.data_type() {
        Arc::clone(elements)
    } else {
        values(elements, field, path).unwrap_or_else(|| Err(mismatch()))?
    };
    ListArray::try_new(Arc::clone(item), offsets, elements, array.nulls().cloned())
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(|error| WriteError::invalid(format!("Field {path}: {error}")))
}

/// Converts values (not lists) to the field's canonical type; `None` if the types do not go together.
fn values(array: &ArrayRef, field: &Field, path: &str) -> Option<Result<ArrayRef, WriteError>> {
    let converted: Option<ArrayRef> = match &field.field_type {
        FieldType::Struct(fields) => {
            let record = array.as_struct_opt()?;
            return Some(structs(record, fields, field, path));
        }
        FieldType::String | FieldType::Json | FieldType::Geography => texts(array),
        FieldType::Bytes => binaries(array),
        FieldType::Int64 => integers(array),
        FieldType::Float64 => floats(array),
        FieldType::Bool => array.as_boolean_opt().map(|array| Arc::new(array.clone()) as ArrayRef),
        FieldType::Numeric => decimals(array, NUMERIC_SCALE).map(|values| {
            let values = values.into_iter().map(|value| value.and_then(decimal::to_numeric));
            let array: PrimitiveArray<types::Decimal128Type> = values.collect();
            Arc::new(array.with_data_type(field.to_arrow_value())) as ArrayRef
        }),
        FieldType::BigNumeric => decimals(array, BIGNUMERIC_SCALE).map(|values| {
            let array: PrimitiveArray<types::Decimal256Type> = values.into_iter().collect();
            Arc::new(array.with_data_type(field.to_arrow_value())) as ArrayRef
        }),
        FieldType::Date => dates(array),
        FieldType::Time => times(array),
        FieldType::DateTime | FieldType::Timestamp => instants(array, field),
    };
    let converted = converted?;
    // A conversion that makes new NULLs lost values that do not fit.
    if converted.null_count() > array.null_count() {
        let message =
            format!("Field {path}: a value is out of range for {}", field.field_type.rest_name());
        return Some(Err(WriteError::invalid(message)));
    }
    Some(Ok(converted))
}

fn structs(
    record: &StructArray,
    fields: &[Field],
    field: &Field,
    path: &str,
) -> Result<ArrayRef, WriteError> {
    let prefix = format!("{path}.");
    let arrays = columns(record.fields(), record.columns(), fields, &prefix, record.len())?;
    let target: Fields = fields.iter().map(Field::to_arrow).collect();
    StructArray::try_new(target, arrays, record.nulls().cloned())
        .map(|record| Arc::new(record) as ArrayRef)
        .map_err(|error| WriteError::invalid(format!("Field {}: {error}", field.name)))
}

fn texts(array: &ArrayRef) -> Option<ArrayRef> {
    let texts: StringArray = match array.data_type() {
        ArrowType::Utf8 => return Some(Arc::clone(array)),
        ArrowType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
        ArrowType::Utf8View => array.as_string_view().iter().collect(),
        _ => return None,
    };
    Some(Arc::new(texts))
}

fn binaries(array: &ArrayRef) -> Option<ArrayRef> {
    let binaries: BinaryArray = match array.data_type() {
        ArrowType::Binary => return Some(Arc::clone(array)),
        ArrowType::LargeBinary => array.as_binary::<i64>().iter().collect(),
        ArrowType::BinaryView => array.as_binary_view().iter().collect(),
        ArrowType::FixedSizeBinary(_) => array.as_fixed_size_binary().iter().collect(),
        _ => return None,
    };
    Some(Arc::new(binaries))
}

fn map<T: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    array: &ArrayRef,
    convert: impl Fn(T::Native) -> Option<O::Native>,
) -> PrimitiveArray<O> {
    array.as_primitive::<T>().iter().map(|value| value.and_then(&convert)).collect()
}

fn integers(array: &ArrayRef) -> Option<ArrayRef> {
    let integers: PrimitiveArray<Int64Type> = match array.data_type() {
        ArrowType::Int64 => return Some(Arc::clone(array)),
        ArrowType::Int8 => map::<types::Int8Type, _>(array, |value| Some(value.into())),
        ArrowType::Int16 => map::<types::Int16Type, _>(array, |value| Some(value.into())),
        ArrowType::Int32 => map::<types::Int32Type, _>(array, |value| Some(value.into())),
        ArrowType::UInt8 => map::<types::UInt8Type, _>(array, |value| Some(value.into())),
        ArrowType::UInt16 => map::<types::UInt16Type, _>(array, |value| Some(value.into())),
        ArrowType::UInt32 => map::<types::UInt32Type, _>(array, |value| Some(value.into())),
        ArrowType::UInt64 => map::<types::UInt64Type, _>(array, |value| value.try_into().ok()),
        _ => return None,
    };
    Some(Arc::new(integers))
}

fn floats(array: &ArrayRef) -> Option<ArrayRef> {
    let floats: PrimitiveArray<types::Float64Type> = match array.data_type() {
        ArrowType::Float64 => return Some(Arc::clone(array)),
        ArrowType::Float32 => map::<types::Float32Type, _>(array, |value| Some(value.into())),
        ArrowType::Float16 => map::<types::Float16Type, _>(array, |value| Some(value.into())),
        _ => return None,
    };
    Some(Arc::new(floats))
}

/// Decimals of any scale (or integers) at the wanted scale; `None` entries are NULL or do not fit.
fn decimals(array: &ArrayRef, scale: u32) -> Option<Vec<Option<i256>>> {
    let rescale = |value: i256, from: i8| match u32::try_from(from) {
        Ok(from) => decimal::rescale(value, from, scale),
        Err(_) => decimal::power_of_ten(from.unsigned_abs().into())
            .and_then(|power| value.checked_mul(power))
            .and_then(|value| decimal::rescale(value, 0, scale)),
    };
    Some(match array.data_type() {
        ArrowType::Decimal128(_, from) => array
            .as_primitive::<types::Decimal128Type>()
            .iter()
            .map(|value| rescale(i256::from_i128(value?), *from))
            .collect(),
        ArrowType::Decimal256(_, from) => array
            .as_primitive::<types::Decimal256Type>()
            .iter()
            .map(|value| rescale(value?, *from))
            .collect(),
        _ => integers(array)?
            .as_primitive::<Int64Type>()
            .iter()
            .map(|value| rescale(i256::from_i128(value?.into()), 0))
            .collect(),
    })
}

fn dates(array: &ArrayRef) -> Option<ArrayRef> {
    const DAY_MILLIS: i64 = 86_400_000;
    match array.data_type() {
        ArrowType::Date32 => Some(Arc::clone(array)),
        ArrowType::Date64 => {
            Some(Arc::new(map::<types::Date64Type, types::Date32Type>(array, |millis| {
                i32::try_from(millis.div_euclid(DAY_MILLIS)).ok()
            })))
        }
        _ => None,
    }
}

fn times(array: &ArrayRef) -> Option<ArrayRef> {
    type Micros = types::Time64MicrosecondType;
    let times = match array.data_type() {
        ArrowType::Time64(TimeUnit::Microsecond) => return Some(Arc::clone(array)),
        ArrowType::Time64(_) => {
            map::<types::Time64NanosecondType, Micros>(array, |nanos| Some(nanos.div_euclid(1_000)))
        }
        ArrowType::Time32(TimeUnit::Second) => {
            map::<types::Time32SecondType, Micros>(array, |time| Some(i64::from(time) * 1_000_000))
        }
        ArrowType::Time32(_) => {
            map::<types::Time32MillisecondType, Micros>(array, |time| Some(i64::from(time) * 1_000))
        }
        _ => return None,
    };
    Some(Arc::new(times))
}

/// Timestamps of any unit. A TIMESTAMP wants a time zone in the Arrow type, a DATETIME wants none.
fn instants(array: &ArrayRef, field: &Field) -> Option<ArrayRef> {
    type Micros = types::TimestampMicrosecondType;
    let ArrowType::Timestamp(unit, zone) = array.data_type() else { return None };
    if zone.is_some() != (field.field_type == FieldType::Timestamp) {
        return None;
    }
    let micros = match unit {
        TimeUnit::Second => map::<types::TimestampSecondType, Micros>(array, |seconds| {
            seconds.checked_mul(1_000_000)
        }),
        TimeUnit::Millisecond => map::<types::TimestampMillisecondType, Micros>(array, |millis| {
            millis.checked_mul(1_000)
        }),
        TimeUnit::Microsecond => map::<Micros, Micros>(array, Some),
        TimeUnit::Nanosecond => map::<types::TimestampNanosecondType, Micros>(array, |nanos| {
            Some(nanos.div_euclid(1_000))
        }),
    };
    Some(Arc::new(micros.with_data_type(field.to_arrow_value())))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, LargeStringArray, TimestampMillisecondArray};
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::Schema;

    use super::*;
    use crate::bigquery::rows::Column;
    use crate::bigquery::value::Value;

    fn ipc(batch: &RecordBatch) -> (Bytes, Bytes) {
        let schema_only = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
        let schema = schema_only.get_ref().clone();
        let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
        writer.write(batch).unwrap();
        let all = writer.get_ref().clone();
        (schema.clone().into(), all[schema.len()..].to_vec().into())
    }

    fn sample() -> RecordBatch {
        let millis = TimestampMillisecondArray::from(vec![Some(1), None]).with_timezone("UTC");
        RecordBatch::try_new(
            Arc::new(Schema::new(vec![
                ArrowField::new("at", millis.data_type().clone(), true),
                ArrowField::new("N", ArrowType::Int32, true),
                ArrowField::new("name", ArrowType::LargeUtf8, true),
            ])),
            vec![
                Arc::new(millis),
                Arc::new(Int32Array::from(vec![7, 8])),
                Arc::new(LargeStringArray::from(vec!["a", "b"])),
            ],
        )
        .unwrap()
    }

    fn table() -> TableSchema {
        TableSchema::new(vec![
            Field::required("n", FieldType::Int64),
            Field::nullable("name", FieldType::String),
            Field::nullable("at", FieldType::Timestamp),
            Field::repeated("tags", FieldType::String),
        ])
    }

    #[test]
    fn ipc_bytes_become_canonical_columns() {
        let (schema, batch) = ipc(&sample());
        let decoded = decode_arrow(&schema, &batch).unwrap();
        let rows = to_canonical(&decoded, &table(), "s").unwrap();
        let table = table();
        let columns = Column::all(&table, &rows);
        let row: Vec<_> = columns.iter().map(|column| column.value(0)).collect();
        let expected = vec![
            Value::Int64(7),
            Value::string("a"),
            Value::Timestamp(1_000),
            Value::Array(Arc::from([])),
        ];
        assert_eq!(row, expected);
    }

    #[test]
    fn a_schema_with_an_end_marker_is_taken_too() {
        let (schema, batch) = ipc(&sample());
        let ended = [schema.as_ref(), &END_OF_STREAM].concat();
        assert_eq!(decode_arrow(&ended.into(), &batch).unwrap().num_rows(), 2);
    }

    #[test]
    fn garbage_and_mismatches_are_refused_with_the_column_named() {
        let (schema, batch) = ipc(&sample());
        let error = decode_arrow(&schema, &Bytes::from_static(b"garbage!garbage!")).unwrap_err();
        assert!(error.message.starts_with("Failed to parse the Arrow data"), "{error}");
        assert!(decode_arrow(&schema, &Bytes::new()).is_err());

        let decoded = decode_arrow(&schema, &batch).unwrap();
        let mut narrow = table();
        narrow.fields.remove(1);
        let error = to_canonical(&decoded, &narrow, "s").unwrap_err();
        assert!(error.message.ends_with("extra fields: 'name'"), "{error}");
        assert_eq!(
            error.detail,
            Some((StorageErrorCode::SchemaMismatchExtraFields, "s".to_owned()))
        );

        let mut retyped = table();
        retyped.fields[1].field_type = FieldType::Int64;
        let error = to_canonical(&decoded, &retyped, "s").unwrap_err();
        assert!(error.message.contains("mismatched with BigQuery field at name"), "{error}");

        let mut required = table();
        required.fields.push(Field::required("other", FieldType::Bool));
        let error = to_canonical(&decoded, &required, "s").unwrap_err();
        assert_eq!(error.message, "Missing required field: 'other'");
    }
}
