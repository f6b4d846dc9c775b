//! [`Column`]: the values of one column as they are collected, and the Arrow array they become.
//!
//! Unlike Arrow's own builders a column can be cut back to a number of rows, which is how a row that turns out not to fit
//! halfway leaves no trace.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, PrimitiveArray,
    StringArray, StructArray,
};
use arrow_buffer::{ArrowNativeType, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::{ArrowError, DataType, Field as ArrowField, FieldRef, TimeUnit};

use super::super::schema::{Field, FieldType, Mode};
use super::decimal::{BIGNUMERIC_DIGITS, BIGNUMERIC_SCALE, NUMERIC_DIGITS, NUMERIC_SCALE};
use super::fields::Fields;
use super::refusal::RowRefusal;

/// The zone of a TIMESTAMP column.
const UTC: &str = "UTC";
/// Name of the values of a list, as Arrow has it.
const LIST_ITEM: &str = "item";

/// What a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bytes,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    Bool,
    Timestamp,
    Date,
    Time,
    DateTime,
    Json,
    Geography,
    Struct,
    List,
}

impl Kind {
    fn of(field_type: &FieldType) -> Self {
        match field_type {
            FieldType::String => Self::String,
            FieldType::Bytes => Self::Bytes,
            FieldType::Int64 => Self::Int64,
            FieldType::Float64 => Self::Float64,
            FieldType::Numeric => Self::Numeric,
            FieldType::BigNumeric => Self::BigNumeric,
            FieldType::Bool => Self::Bool,
            FieldType::Timestamp => Self::Timestamp,
            FieldType::Date => Self::Date,
            FieldType::Time => Self::Time,
            FieldType::DateTime => Self::DateTime,
            FieldType::Json => Self::Json,
            FieldType::Geography => Self::Geography,
            FieldType::Struct(_) => Self::Struct,
        }
    }

    /// What the column takes, for people.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Bytes => "BYTES (bytes or base64 text)",
            Self::Int64 => "INT64",
            Self::Float64 => "FLOAT64",
            Self::Numeric => "NUMERIC (29 digits before, 9 behind the point)",
            Self::BigNumeric => "BIGNUMERIC (38 digits before, 38 behind the point)",
            Self::Bool => "BOOL",
            Self::Timestamp => "TIMESTAMP (RFC 3339 text or microseconds, years 1 to 9999)",
            Self::Date => "DATE (such as 2024-01-31, years 1 to 9999)",
            Self::Time => "TIME (such as 12:30:00.5)",
            Self::DateTime => "DATETIME (such as 2024-01-31T12:30:00.5, years 1 to 9999)",
            Self::Json => "JSON",
            Self::Geography => "GEOGRAPHY",
            Self::Struct => "STRUCT",
            Self::List => "a list (REPEATED)",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::String | Self::Json | Self::Geography => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Numeric => DataType::Decimal128(NUMERIC_DIGITS, NUMERIC_SCALE),
            Self::BigNumeric => DataType::Decimal256(BIGNUMERIC_DIGITS, BIGNUMERIC_SCALE),
            Self::Bool => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Struct | Self::List => DataType::Null,
        }
    }
}

/// The Arrow column of a BigQuery column.
pub(super) fn arrow_field(field: &Field) -> ArrowField {
    let data_type = match &field.field_type {
        FieldType::Struct(fields) => DataType::Struct(fields.iter().map(arrow_field).collect()),
        plain => Kind::of(plain).data_type(),
    };
    match field.mode {
        Mode::Nullable => ArrowField::new(&field.name, data_type, true),
        Mode::Required => ArrowField::new(&field.name, data_type, false),
        Mode::Repeated => {
            let item = ArrowField::new(LIST_ITEM, data_type, false);
            ArrowField::new(&field.name, DataType::List(Arc::new(item)), false)
        }
    }
}

/// Which values are there; nothing is kept until the first is missing.
#[derive(Debug, Default)]
struct Validity {
    len: usize,
    flags: Option<Vec<bool>>,
}

impl Validity {
    fn push(&mut self, is_valid: bool) {
        if !is_valid && self.flags.is_none() {
            self.flags = Some(vec![true; self.len]);
        }
        if let Some(flags) = &mut self.flags {
            flags.push(is_valid);
        }
        self.len += 1;
    }

    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if let Some(flags) = &mut self.flags {
            flags.truncate(len);
        }
    }

    fn take(&mut self) -> Option<NullBuffer> {
        self.len = 0;
        self.flags.take().map(NullBuffer::from)
    }
}

/// The values themselves.
#[derive(Debug)]
enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Int128(Vec<i128>),
    Int256(Vec<i256>),
    Bytes { offsets: Vec<i32>, data: Vec<u8> },
    Struct(Fields),
    List { offsets: Vec<i32>, items: Box<Column> },
}

/// The values of one column as they are collected.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    is_required: bool,
    field: FieldRef,
    values: Values,
    validity: Validity,
}

impl Column {
    pub(super) fn new(field: &Field) -> Self {
        let arrow = Arc::new(arrow_field(field));
        if field.mode != Mode::Repeated {
            return Self::plain(field, arrow);
        }
        let item_field = match arrow.data_type() {
            DataType::List(item) => Arc::clone(item),
            _ => Arc::clone(&arrow),
        };
        let items = Self::plain(&Field { mode: Mode::Required, ..field.clone() }, item_field);
        Self {
            kind: Kind::List,
            is_required: false,
            field: arrow,
            values: Values::List { offsets: vec![0], items: Box::new(items) },
            validity: Validity::default(),
        }
    }

    fn plain(field: &Field, arrow: FieldRef) -> Self {
        let kind = Kind::of(&field.field_type);
        let values = match kind {
            Kind::Bool => Values::Bool(Vec::new()),
            Kind::Date => Values::Int32(Vec::new()),
            Kind::Int64 | Kind::Timestamp | Kind::Time | Kind::DateTime => {
                Values::Int64(Vec::new())
            }
            Kind::Float64 => Values::Float64(Vec::new()),
            Kind::Numeric => Values::Int128(Vec::new()),
            Kind::BigNumeric => Values::Int256(Vec::new()),
            Kind::Struct => Values::Struct(Fields::new(field.fields())),
            Kind::String | Kind::Bytes | Kind::Json | Kind::Geography | Kind::List => {
                Values::Bytes { offsets: vec![0], data: Vec::new() }
            }
        };
        let is_required = field.mode == Mode::Required;
        Self { kind, is_required, field: arrow, values, validity: Validity::default() }
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) const fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Number of values.
    pub(super) const fn len(&self) -> usize {
        self.validity.len
    }

    /// A refusal of a value that is described by `got`.
    pub(super) fn refuse(&self, got: impl Into<String>) -> RowRefusal {
        RowRefusal::new(self.kind.expected(), got)
    }

    /// Adds "no value": NULL, or an empty list.
    pub(super) fn push_null(&mut self, got: &str) -> Result<(), RowRefusal> {
        if self.is_required {
            return Err(RowRefusal::new(format!("{} (REQUIRED)", self.kind.expected()), got));
        }
        self.push_default();
        Ok(())
    }

    /// Adds a place holder, which is NULL where the column may be.
    fn push_default(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.push(false),
            Values::Int32(values) => values.push(0),
            Values::Int64(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Int128(values) => values.push(0),
            Values::Int256(values) => values.push(i256::ZERO),
            Values::Bytes { offsets, .. } | Values::List { offsets, .. } => repeat_last(offsets),
            Values::Struct(fields) => fields.columns_mut().for_each(Self::push_default),
        }
        self.validity.push(self.is_required || self.kind == Kind::List);
    }

    pub(super) fn push_bool(&mut self, value: bool) {
        if let Values::Bool(values) = &mut self.values {
            values.push(value);
            self.validity.push(true);
        }
    }

    /// Adds a whole number that is known to be within what the column takes.
    pub(super) fn push_integer(&mut self, value: i64) {
        match &mut self.values {
            Values::Int64(values) => values.push(value),
            #[allow(clippy::cast_possible_truncation, reason = "days of the years 1 to 9999")]
            Values::Int32(values) => values.push(value as i32),
            _ => return,
        }
        self.validity.push(true);
    }

    pub(super) fn push_float(&mut self, value: f64) {
        if let Values::Float64(values) = &mut self.values {
            values.push(value);
            self.validity.push(true);
        }
    }

    pub(super) fn push_numeric(&mut self, value: i128) {
        if let Values::Int128(values) = &mut self.values {
            values.push(value);
            self.validity.push(true);
        }
    }

    pub(super) fn push_bignumeric(&mut self, value: i256) {
        if let Values::Int256(values) = &mut self.values {
            values.push(value);
            self.validity.push(true);
        }
    }

    /// Adds bytes or text.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), RowRefusal> {
        if let Values::Bytes { data, .. } = &mut self.values {
            data.extend_from_slice(bytes);
        }
        self.end_bytes()
    }

    /// Where the bytes of the value that is being written go; [`Column::end_bytes`] ends it.
    pub(super) fn bytes_mut(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.values {
            Values::Bytes { data, .. } => Some(data),
            _ => None,
        }
    }

    /// Bytes of the value that is being written.
    pub(super) fn open_bytes(&self) -> &[u8] {
        match &self.values {
            Values::Bytes { offsets, data } => &data[last(offsets)..],
            _ => &[],
        }
    }

    /// Ends the value that is being written.
    pub(super) fn end_bytes(&mut self) -> Result<(), RowRefusal> {
        if let Values::Bytes { offsets, data } = &mut self.values {
            let Ok(end) = i32::try_from(data.len()) else {
                let got = format!("{} bytes", data.len() - last(offsets));
                return Err(RowRefusal::new("at most 2 GiB in a request", got));
            };
            offsets.push(end);
            self.validity.push(true);
        }
        Ok(())
    }

    /// Drops the bytes of the value that is being written.
    pub(super) fn drop_open_bytes(&mut self) {
        if let Values::Bytes { offsets, data } = &mut self.values {
            data.truncate(last(offsets));
        }
    }

    /// The columns of a record.
    pub(super) fn fields_mut(&mut self) -> Option<&mut Fields> {
        match &mut self.values {
            Values::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// Ends a record whose columns were all written.
    pub(super) fn end_struct(&mut self) {
        self.validity.push(true);
    }

    /// The values of a list.
    pub(super) fn items_mut(&mut self) -> Option<&mut Self> {
        match &mut self.values {
            Values::List { items, .. } => Some(items),
            _ => None,
        }
    }

    /// Ends a list whose items were all written.
    pub(super) fn end_list(&mut self) -> Result<(), RowRefusal> {
        if let Values::List { offsets, items } = &mut self.values {
            let end = i32::try_from(items.len())
                .map_err(|_| RowRefusal::new("at most 2^31 values in a request", "more"))?;
            offsets.push(end);
            self.validity.push(true);
        }
        Ok(())
    }

    /// Cuts back to `len` values.
    pub(super) fn truncate(&mut self, len: usize) {
        match &mut self.values {
            Values::Bool(values) => values.truncate(len),
            Values::Int32(values) => values.truncate(len),
            Values::Int64(values) => values.truncate(len),
            Values::Float64(values) => values.truncate(len),
            Values::Int128(values) => values.truncate(len),
            Values::Int256(values) => values.truncate(len),
            Values::Bytes { offsets, data } => {
                offsets.truncate(len + 1);
                data.truncate(last(offsets));
            }
            Values::Struct(fields) => {
                fields.columns_mut().for_each(|column| column.truncate(len));
            }
            Values::List { offsets, items } => {
                offsets.truncate(len + 1);
                items.truncate(last(offsets));
            }
        }
        self.validity.truncate(len);
    }

    /// Takes all values out as an Arrow array.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let len = self.validity.len;
        let nulls = self.validity.take();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(take(values).into(), nulls)),
            Values::Int32(values) => primitive::<Date32Type>(values, nulls, self.kind)?,
            Values::Int64(values) => match self.kind {
                Kind::Time => primitive::<Time64MicrosecondType>(values, nulls, self.kind)?,
                Kind::Int64 => primitive::<Int64Type>(values, nulls, self.kind)?,
                _ => primitive::<TimestampMicrosecondType>(values, nulls, self.kind)?,
            },
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, self.kind)?,
            Values::Int128(values) => primitive::<Decimal128Type>(values, nulls, self.kind)?,
            Values::Int256(values) => primitive::<Decimal256Type>(values, nulls, self.kind)?,
            Values::Bytes { offsets, data } => {
                let (offsets, data) = (take_offsets(offsets), Buffer::from_vec(take(data)));
                match self.kind {
                    Kind::Bytes => Arc::new(BinaryArray::try_new(offsets, data, nulls)?),
                    _ => Arc::new(StringArray::try_new(offsets, data, nulls)?),
                }
            }
            Values::Struct(fields) => {
                let (arrow_fields, arrays) = fields.finish()?;
                Arc::new(StructArray::try_new_with_length(arrow_fields, arrays, nulls, len)?)
            }
            Values::List { offsets, items } => {
                let offsets = take_offsets(offsets);
                let item_field = Arc::clone(items.field());
                Arc::new(ListArray::try_new(item_field, offsets, items.finish()?, nulls)?)
            }
        })
    }
}

/// Takes the values out and leaves room for as many again.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len();
    std::mem::replace(values, Vec::with_capacity(capacity))
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut fresh = Vec::with_capacity(offsets.len());
    fresh.push(0);
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, fresh)))
}

fn repeat_last(offsets: &mut Vec<i32>) {
    offsets.push(offsets.last().copied().unwrap_or(0));
}

fn last(offsets: &[i32]) -> usize {
    offsets.last().map_or(0, |end| end.as_usize())
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    kind: Kind,
) -> Result<ArrayRef, ArrowError> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(take(values)), nulls)?;
    Ok(Arc::new(array.with_data_type(kind.data_type())))
}
