//! What stands inside a row: [`RecordWriter`] for the fields of a row or record, [`SequenceWriter`] for the values of a list.

use serde::Serialize;
use serde::ser;

use super::column::{Column, Kind};
use super::encoder::SchemaPolicy;
use super::fields::Fields;
use super::refusal::{RowRefusal, shown};
use super::row::KeySerializer;
use super::serializer::{Context, Written, write_value};

/// Where the fields of a record go.
#[derive(Debug)]
enum Target<'a> {
    Row(&'a mut Fields),
    Column(&'a mut Column),
}

/// Takes the fields of a row or of a record.
#[derive(Debug)]
pub(super) struct RecordWriter<'a> {
    target: Target<'a>,
    context: &'a mut Context,
    row: usize,
    position: usize,
    key: Option<String>,
}

impl<'a> RecordWriter<'a> {
    /// Writes row number `row` of a table.
    pub(super) const fn of_row(
        fields: &'a mut Fields,
        context: &'a mut Context,
        row: usize,
    ) -> Self {
        Self { target: Target::Row(fields), context, row, position: 0, key: None }
    }

    /// Writes the next record of `column`.
    pub(super) fn of_column(
        column: &'a mut Column,
        context: &'a mut Context,
    ) -> Result<Self, RowRefusal> {
        if column.kind() != Kind::Struct {
            return Err(column.refuse("a record"));
        }
        let row = column.len();
        Ok(Self { target: Target::Column(column), context, row, position: 0, key: None })
    }

    fn fields(&mut self) -> Option<&mut Fields> {
        match &mut self.target {
            Target::Row(fields) => Some(fields),
            Target::Column(column) => column.fields_mut(),
        }
    }

    /// Writes the field `name`.
    pub(super) fn entry<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Written {
        let (row, position) = (self.row, self.position);
        self.position += 1;
        let fields = match &mut self.target {
            Target::Row(fields) => Some(&mut **fields),
            Target::Column(column) => column.fields_mut(),
        };
        let Some(fields) = fields else { return Ok(()) };
        let Some(index) = fields.find(name, position) else {
            return self.unknown(name);
        };
        let column = fields.column_mut(index);
        if column.len() != row {
            return Err(RowRefusal::new("one value", "two fields of this name").below(name));
        }
        write_value(column, self.context, value)
            .map_err(|refusal| refusal.below(fields.name(index)))
    }

    fn unknown(&mut self, name: &str) -> Written {
        match self.context.policy {
            SchemaPolicy::DropUnknown => {
                self.context.dropped += 1;
                Ok(())
            }
            SchemaPolicy::Freeze => {
                let got = "a field that the table does not have";
                Err(RowRefusal::new("a column of the table", got).below(&shown(name)))
            }
        }
    }

    /// Completes the record.
    pub(super) fn finish(mut self) -> Written {
        let row = self.row;
        if let Some(fields) = self.fields() {
            fields.end_row(row)?;
        }
        if let Target::Column(column) = self.target {
            column.end_struct();
        }
        Ok(())
    }
}

impl ser::SerializeStruct for RecordWriter<'_> {
    type Ok = ();
    type Error = RowRefusal;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Written {
        self.entry(name, value)
    }

    fn end(self) -> Written {
        self.finish()
    }
}

impl ser::SerializeMap for RecordWriter<'_> {
    type Ok = ();
    type Error = RowRefusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        key.serialize(KeySerializer::new(|name| {
            self.key = Some(name.to_owned());
            Ok(())
        }))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let key = self.key.take().unwrap_or_default();
        self.entry(&key, value)
    }

    fn serialize_entry<K, V>(&mut self, key: &K, value: &V) -> Written
    where
        K: Serialize + ?Sized,
        V: Serialize + ?Sized,
    {
        key.serialize(KeySerializer::new(|name| self.entry(name, value)))
    }

    fn end(self) -> Written {
        self.finish()
    }
}

/// Takes the values of a list, or the numbers that make up bytes.
#[derive(Debug)]
pub(super) struct SequenceWriter<'a> {
    column: &'a mut Column,
    context: &'a mut Context,
    index: usize,
}

impl<'a> SequenceWriter<'a> {
    /// Writes the next list of `column`.
    pub(super) fn of_column(
        column: &'a mut Column,
        context: &'a mut Context,
    ) -> Result<Self, RowRefusal> {
        match column.kind() {
            Kind::List | Kind::Bytes => Ok(Self { column, context, index: 0 }),
            _ => Err(column.refuse("a list")),
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let index = self.index;
        self.index += 1;
        if let Some(items) = self.column.items_mut() {
            return write_value(items, self.context, value).map_err(|refusal| refusal.at(index));
        }
        let byte = to_byte(value).map_err(|got| self.column.refuse(got).at(index))?;
        self.context.bytes += 1;
        if let Some(data) = self.column.bytes_mut() {
            data.push(byte);
        }
        Ok(())
    }

    fn finish(self) -> Written {
        self.context.bytes += 4;
        match self.column.kind() {
            Kind::List => self.column.end_list(),
            _ => self.column.end_bytes(),
        }
    }
}

/// One of the numbers that make up bytes.
fn to_byte<T: Serialize + ?Sized>(value: &T) -> Result<u8, String> {
    let value = serde_json::to_value(value).map_err(|cause| format!("the error {cause}"))?;
    value.as_u64().and_then(|byte| u8::try_from(byte).ok()).ok_or_else(|| shown(&value.to_string()))
}

macro_rules! sequence {
    ($($which:ident $method:ident;)*) => {$(
        impl ser::$which for SequenceWriter<'_> {
            type Ok = ();
            type Error = RowRefusal;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                self.element(value)
            }

            fn end(self) -> Written {
                self.finish()
            }
        }
    )*};
}

sequence! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
}
