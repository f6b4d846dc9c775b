//! [`ValueSerializer`]: writes one value of a row straight into its column, converting what the column's type allows.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use super::civil::{self, DATE_MAX, DATE_MIN, DAY};
use super::column::{Column, Kind};
use super::decimal::{Problem, parse_bignumeric, parse_numeric};
use super::encoder::SchemaPolicy;
use super::refusal::{RowRefusal, shown};
use super::writers::{RecordWriter, SequenceWriter};

/// Whether a value was written.
pub(super) type Written = Result<(), RowRefusal>;

/// What all serializers of an encoder share.
#[derive(Debug)]
pub(super) struct Context {
    /// What to do with fields that the table does not have.
    pub(super) policy: SchemaPolicy,
    /// Bytes written, about as many as the Arrow batch will have.
    pub(super) bytes: usize,
    /// Values dropped because the table does not have their field.
    pub(super) dropped: u64,
}

/// Writes `value` as the next value of `column`.
pub(super) fn write_value<T: Serialize + ?Sized>(
    column: &mut Column,
    context: &mut Context,
    value: &T,
) -> Written {
    if column.kind() == Kind::Json {
        return write_json(column, context, value);
    }
    value.serialize(ValueSerializer { column, context })
}

fn write_json<T: Serialize + ?Sized>(
    column: &mut Column,
    context: &mut Context,
    value: &T,
) -> Written {
    let Some(data) = column.bytes_mut() else { return Ok(()) };
    serde_json::to_writer(data, value)
        .map_err(|cause| column.refuse(format!("the error {:?}", shown(&cause.to_string()))))?;
    if column.open_bytes() == b"null" {
        column.drop_open_bytes();
        return column.push_null("null");
    }
    context.bytes += 4 + column.open_bytes().len();
    column.end_bytes()
}

/// Takes one value of a column.
#[derive(Debug)]
pub(super) struct ValueSerializer<'a> {
    column: &'a mut Column,
    context: &'a mut Context,
}

impl<'a> ValueSerializer<'a> {
    fn refuse(&self, got: &str) -> RowRefusal {
        self.column.refuse(got)
    }

    fn integer(self, value: i64) -> Written {
        let is_within = match self.column.kind() {
            Kind::Int64 => true,
            Kind::Timestamp | Kind::DateTime => civil::is_timestamp(value),
            Kind::Date => (DATE_MIN..=DATE_MAX).contains(&value),
            Kind::Time => (0..DAY).contains(&value),
            Kind::Float64 => {
                #[allow(
                    clippy::cast_precision_loss,
                    reason = "what a FLOAT64 column makes of it"
                )]
                return self.float(value as f64);
            }
            Kind::Numeric | Kind::BigNumeric => return self.decimal(&value.to_string()),
            _ => false,
        };
        if !is_within {
            return Err(self.column.refuse(format!("integer {value}")));
        }
        self.context.bytes += 8;
        self.column.push_integer(value);
        Ok(())
    }

    fn wide_integer(self, value: i128) -> Written {
        match (i64::try_from(value), self.column.kind()) {
            (Ok(value), _) => self.integer(value),
            (Err(_), Kind::Numeric | Kind::BigNumeric) => self.decimal(&value.to_string()),
            #[allow(clippy::cast_precision_loss, reason = "what a FLOAT64 column makes of it")]
            (Err(_), Kind::Float64) => self.float(value as f64),
            (Err(_), _) => Err(self.column.refuse(format!("integer {value}"))),
        }
    }

    fn float(self, value: f64) -> Written {
        match self.column.kind() {
            Kind::Float64 => {
                self.context.bytes += 8;
                self.column.push_float(value);
                Ok(())
            }
            Kind::Numeric | Kind::BigNumeric if value.is_finite() => {
                self.decimal(&format!("{value:e}"))
            }
            _ => Err(self.column.refuse(format!("number {value}"))),
        }
    }

    fn decimal(self, text: &str) -> Written {
        let done = if self.column.kind() == Kind::Numeric {
            self.context.bytes += 16;
            parse_numeric(text).map(|value| self.column.push_numeric(value))
        } else {
            self.context.bytes += 32;
            parse_bignumeric(text).map(|value| self.column.push_bignumeric(value))
        };
        done.map_err(|problem| {
            let text = shown(text);
            self.column.refuse(match problem {
                Problem::NotANumber => format!("text {text:?}"),
                Problem::TooPrecise => format!("{text}, which has more digits behind the point"),
                Problem::OutOfRange => format!("{text}, which is out of range"),
            })
        })
    }

    fn text(self, text: &str) -> Written {
        let parsed = match self.column.kind() {
            Kind::String | Kind::Geography => return self.bytes(text.as_bytes()),
            Kind::Bytes => {
                return match BASE64_STANDARD.decode(text) {
                    Ok(bytes) => self.bytes(&bytes),
                    Err(_) => Err(self.refuse_text(text)),
                };
            }
            Kind::Numeric | Kind::BigNumeric => return self.decimal(text),
            Kind::Float64 => {
                return match text {
                    "NaN" => self.float(f64::NAN),
                    "Infinity" => self.float(f64::INFINITY),
                    "-Infinity" => self.float(f64::NEG_INFINITY),
                    _ => Err(self.refuse_text(text)),
                };
            }
            Kind::Timestamp => civil::parse_timestamp(text),
            Kind::Date => civil::parse_date(text),
            Kind::Time => civil::parse_time(text),
            Kind::DateTime => civil::parse_datetime(text),
            _ => None,
        };
        match parsed {
            Some(value) => self.integer(value),
            None => Err(self.refuse_text(text)),
        }
    }

    fn refuse_text(&self, text: &str) -> RowRefusal {
        self.column.refuse(format!("text {:?}", shown(text)))
    }

    fn bytes(self, bytes: &[u8]) -> Written {
        self.context.bytes += 4 + bytes.len();
        self.column.push_bytes(bytes)
    }
}

impl<'a> Serializer for ValueSerializer<'a> {
    type Ok = ();
    type Error = RowRefusal;
    type SerializeSeq = SequenceWriter<'a>;
    type SerializeTuple = SequenceWriter<'a>;
    type SerializeTupleStruct = SequenceWriter<'a>;
    type SerializeTupleVariant = Impossible<(), RowRefusal>;
    type SerializeMap = RecordWriter<'a>;
    type SerializeStruct = RecordWriter<'a>;
    type SerializeStructVariant = Impossible<(), RowRefusal>;

    fn serialize_bool(self, value: bool) -> Written {
        if self.column.kind() != Kind::Bool {
            return Err(self.column.refuse(format!("boolean {value}")));
        }
        self.context.bytes += 1;
        self.column.push_bool(value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Written {
        self.integer(value.into())
    }

    fn serialize_i16(self, value: i16) -> Written {
        self.integer(value.into())
    }

    fn serialize_i32(self, value: i32) -> Written {
        self.integer(value.into())
    }

    fn serialize_i64(self, value: i64) -> Written {
        self.integer(value)
    }

    fn serialize_i128(self, value: i128) -> Written {
        self.wide_integer(value)
    }

    fn serialize_u8(self, value: u8) -> Written {
        self.integer(value.into())
    }

    fn serialize_u16(self, value: u16) -> Written {
        self.integer(value.into())
    }

    fn serialize_u32(self, value: u32) -> Written {
        self.integer(value.into())
    }

    fn serialize_u64(self, value: u64) -> Written {
        self.wide_integer(value.into())
    }

    fn serialize_u128(self, value: u128) -> Written {
        match i128::try_from(value) {
            Ok(value) => self.wide_integer(value),
            Err(_) => Err(self.column.refuse(format!("integer {value}"))),
        }
    }

    fn serialize_f32(self, value: f32) -> Written {
        if matches!(self.column.kind(), Kind::Numeric | Kind::BigNumeric) && value.is_finite() {
            // By way of f64 the shortest decimal would become longer: 0.1 would be 0.10000000149.
            return self.decimal(&format!("{value:e}"));
        }
        self.float(value.into())
    }

    fn serialize_f64(self, value: f64) -> Written {
        self.float(value)
    }

    fn serialize_char(self, value: char) -> Written {
        self.text(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Written {
        self.text(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Written {
        match self.column.kind() {
            Kind::Bytes => self.bytes(value),
            _ => Err(self.refuse("bytes")),
        }
    }

    fn serialize_none(self) -> Written {
        self.column.push_null("null")
    }

    fn serialize_unit(self) -> Written {
        self.column.push_null("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.column.push_null("null")
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.text(variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        let mut record = RecordWriter::of_column(self.column, self.context)?;
        record.entry(variant, value)?;
        record.finish()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<SequenceWriter<'a>, RowRefusal> {
        SequenceWriter::of_column(self.column, self.context)
    }

    fn serialize_tuple(self, _: usize) -> Result<SequenceWriter<'a>, RowRefusal> {
        SequenceWriter::of_column(self.column, self.context)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<SequenceWriter<'a>, RowRefusal> {
        SequenceWriter::of_column(self.column, self.context)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, RowRefusal> {
        Err(self.refuse("an enum variant with several values"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<RecordWriter<'a>, RowRefusal> {
        RecordWriter::of_column(self.column, self.context)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<RecordWriter<'a>, RowRefusal> {
        RecordWriter::of_column(self.column, self.context)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, RowRefusal> {
        Err(self.refuse("an enum variant with fields"))
    }
}
