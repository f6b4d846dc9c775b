//! [`RowSerializer`] takes a row as a whole, [`KeySerializer`] the name of a field that comes as the key of a map.

use serde::Serialize;
use serde::ser::{Impossible, Serializer};

use super::fields::Fields;
use super::refusal::RowRefusal;
use super::serializer::{Context, Written};
use super::writers::RecordWriter;

/// Serializer methods that all refuse what they are given.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $output:ty = $got:expr;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$output, RowRefusal> {
            Err(Self::refuse($got))
        }
    )*};
}

/// The methods for everything that is neither text, a row nor a wrapper.
macro_rules! refuse_others {
    () => {
        type Ok = ();
        type Error = RowRefusal;
        type SerializeSeq = Impossible<(), RowRefusal>;
        type SerializeTuple = Impossible<(), RowRefusal>;
        type SerializeTupleStruct = Impossible<(), RowRefusal>;
        type SerializeTupleVariant = Impossible<(), RowRefusal>;
        type SerializeStructVariant = Impossible<(), RowRefusal>;

        refuse! {
            serialize_bool(bool) -> () = "a boolean";
            serialize_i8(i8) -> () = "a number";
            serialize_i16(i16) -> () = "a number";
            serialize_i32(i32) -> () = "a number";
            serialize_i64(i64) -> () = "a number";
            serialize_u8(u8) -> () = "a number";
            serialize_u16(u16) -> () = "a number";
            serialize_u32(u32) -> () = "a number";
            serialize_u64(u64) -> () = "a number";
            serialize_f32(f32) -> () = "a number";
            serialize_f64(f64) -> () = "a number";
            serialize_bytes(&[u8]) -> () = "bytes";
            serialize_none() -> () = "nothing";
            serialize_unit() -> () = "nothing";
            serialize_unit_struct(&'static str) -> () = "nothing";
            serialize_seq(Option<usize>) -> Self::SerializeSeq = "a list";
            serialize_tuple(usize) -> Self::SerializeTuple = "a list";
            serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct = "a list";
            serialize_tuple_variant(&'static str, u32, &'static str, usize)
                -> Self::SerializeTupleVariant = "an enum variant with several values";
            serialize_struct_variant(&'static str, u32, &'static str, usize)
                -> Self::SerializeStructVariant = "an enum variant with fields";
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
    };
}

/// Takes a row: a struct or a map.
#[derive(Debug)]
pub(super) struct RowSerializer<'a> {
    fields: &'a mut Fields,
    context: &'a mut Context,
    row: usize,
}

impl<'a> RowSerializer<'a> {
    /// Writes row number `row`.
    pub(super) const fn new(fields: &'a mut Fields, context: &'a mut Context, row: usize) -> Self {
        Self { fields, context, row }
    }

    fn refuse(got: &str) -> RowRefusal {
        RowRefusal::new("a row: a struct or a map", got)
    }

    fn record(self) -> RecordWriter<'a> {
        RecordWriter::of_row(self.fields, self.context, self.row)
    }
}

impl<'a> Serializer for RowSerializer<'a> {
    type SerializeMap = RecordWriter<'a>;
    type SerializeStruct = RecordWriter<'a>;

    refuse_others!();
    refuse! {
        serialize_char(char) -> () = "text";
        serialize_str(&str) -> () = "text";
        serialize_unit_variant(&'static str, u32, &'static str) -> () = "text";
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        let mut record = self.record();
        record.entry(variant, value)?;
        record.finish()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<RecordWriter<'a>, RowRefusal> {
        Ok(self.record())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<RecordWriter<'a>, RowRefusal> {
        Ok(self.record())
    }
}

/// Takes the key of a map and hands it on as text.
#[derive(Debug)]
pub(super) struct KeySerializer<F> {
    take: F,
}

impl<F: FnOnce(&str) -> Written> KeySerializer<F> {
    /// Hands the key to `take`.
    pub(super) const fn new(take: F) -> Self {
        Self { take }
    }

    fn refuse(got: &str) -> RowRefusal {
        RowRefusal::new("the name of a field", got)
    }
}

impl<F: FnOnce(&str) -> Written> Serializer for KeySerializer<F> {
    type SerializeMap = Impossible<(), RowRefusal>;
    type SerializeStruct = Impossible<(), RowRefusal>;

    refuse_others!();
    refuse! {
        serialize_map(Option<usize>) -> Self::SerializeMap = "a map";
        serialize_struct(&'static str, usize) -> Self::SerializeStruct = "a struct";
    }

    fn serialize_char(self, value: char) -> Written {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Written {
        (self.take)(value)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.serialize_str(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Written {
        Err(Self::refuse("an enum variant with a value"))
    }
}
