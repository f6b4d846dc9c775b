//! How the fields of a client's message map to the columns of a table: made once per schema, used for every row.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};
use rustc_hash::FxHashMap;

use super::arrow::extra_fields_error;
use crate::bigquery::error::WriteError;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema, index_of};

/// A message type, laid over the fields of a table or record.
#[derive(Clone, Debug)]
pub(crate) struct MessagePlan {
    /// By field number.
    pub(super) fields: FxHashMap<i32, FieldPlan>,
    /// The table's or record's fields, in order.
    pub(super) columns: Vec<Field>,
}

/// One field of a message and the column it fills.
#[derive(Clone, Debug)]
pub(super) struct FieldPlan {
    /// Position among the table's or record's fields.
    pub(super) column: usize,
    pub(super) kind: Kind,
}

/// What a message field holds.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar(Type),
    /// Names by number.
    Enum(BTreeMap<i32, String>),
    /// A message of one scalar field, `google.protobuf.Int64Value` and its like.
    Wrapper(Type),
    /// `google.protobuf.Timestamp`.
    Timestamp,
    Message(Box<MessagePlan>),
}

impl MessagePlan {
    /// Lays a message type over a table.
    ///
    /// # Errors
    /// When a field is unknown to the table, does not go with its column, or a REQUIRED column has no field.
    pub(crate) fn new(
        descriptor: &DescriptorProto,
        schema: &TableSchema,
        stream: &str,
    ) -> Result<Self, WriteError> {
        let types = Types::of(descriptor);
        let mut extra = Vec::new();
        let plan = types.plan(descriptor, &schema.fields, "", &mut extra)?;
        if extra.is_empty() { Ok(plan) } else { Err(extra_fields_error(&extra, stream)) }
    }
}

/// The message and enum types nested in a descriptor, by path from its root.
#[derive(Default)]
struct Types<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
}

impl<'a> Types<'a> {
    fn of(root: &'a DescriptorProto) -> Self {
        let mut types = Self::default();
        types.collect(root, root.name().to_owned());
        types
    }

    fn collect(&mut self, message: &'a DescriptorProto, path: String) {
        for nested in &message.enum_type {
            self.enums.push((format!("{path}.{}", nested.name()), nested));
        }
        for nested in &message.nested_type {
            self.collect(nested, format!("{path}.{}", nested.name()));
        }
        self.messages.push((path, message));
    }

    fn plan(
        &self,
        message: &DescriptorProto,
        columns: &[Field],
        prefix: &str,
        extra: &mut Vec<String>,
    ) -> Result<MessagePlan, WriteError> {
        let mut fields = FxHashMap::default();
        for field in &message.field {
            let path = format!("{prefix}{}", field.name());
            let Some(column) = index_of(columns, field.name()) else {
                extra.push(path);
                continue;
            };
            let at = format!("{}.{}", message.name(), field.name());
            let kind = self.kind(field, &columns[column], &at, &path, extra)?;
            fields.insert(field.number(), FieldPlan { column, kind });
        }
        for (at, column) in columns.iter().enumerate() {
            let known = fields.values().any(|field| field.column == at);
            if column.mode == Mode::Required && !known {
                return Err(WriteError::invalid(format!(
                    "Missing required field: '{prefix}{}'",
                    column.name
                )));
            }
        }
        Ok(MessagePlan { fields, columns: columns.to_vec() })
    }

    fn kind(
        &self,
        field: &FieldDescriptorProto,
        column: &Field,
        at: &str,
        path: &str,
        extra: &mut Vec<String>,
    ) -> Result<Kind, WriteError> {
        let repeated = field.label() == Label::Repeated;
        let mismatch = || {
            let proto = if repeated { "repeated " } else { "" };
            let table = if column.mode == Mode::Repeated { "REPEATED " } else { "" };
            WriteError::invalid(format!(
                "The proto field mismatched with BigQuery field at {at}, the proto field type {proto}{}, BigQuery field type {table}{}",
                type_name(field),
                column.field_type.rest_name()
            ))
        };
        if repeated != (column.mode == Mode::Repeated) {
            return Err(mismatch());
        }
        let kind = match field.r#type() {
            Type::Message => self.message_kind(field, column, path, extra)?,
            Type::Enum => find(&self.enums, field.type_name()).map(|names| {
                let values = names.value.iter();
                Kind::Enum(values.map(|value| (value.number(), value.name().to_owned())).collect())
            }),
            scalar => Some(Kind::Scalar(scalar)),
        };
        kind.filter(|kind| goes_with(kind, &column.field_type)).ok_or_else(mismatch)
    }

    fn message_kind(
        &self,
        field: &FieldDescriptorProto,
        column: &Field,
        path: &str,
        extra: &mut Vec<String>,
    ) -> Result<Option<Kind>, WriteError> {
        if let Some(kind) = well_known(field.type_name()) {
            return Ok(Some(kind));
        }
        let (Some(message), FieldType::Struct(columns)) =
            (find(&self.messages, field.type_name()), &column.field_type)
        else {
            return Ok(None);
        };
        let plan = self.plan(message, columns, &format!("{path}."), extra)?;
        Ok(Some(Kind::Message(Box::new(plan))))
    }
}

/// Finds a type by its name, which may be relative or fully qualified.
fn find<'a, T>(types: &[(String, &'a T)], name: &str) -> Option<&'a T> {
    let name = name.trim_start_matches('.');
    let ends_with = |long: &str, short: &str| {
        long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    types
        .iter()
        .filter(|(path, _)| ends_with(name, path) || ends_with(path, name))
        .max_by_key(|(path, _)| path.len())
        .map(|(_, found)| *found)
}

/// The wrapper and time messages every client knows; converters may have flattened their names with underscores.
fn well_known(name: &str) -> Option<Kind> {
    let name = name.trim_start_matches('.').replace('_', ".");
    let known = name.rsplit_once("google.protobuf.").map(|(_, known)| known)?;
    let scalar = match known {
        "Timestamp" => return Some(Kind::Timestamp),
        "DoubleValue" => Type::Double,
        "FloatValue" => Type::Float,
        "Int64Value" => Type::Int64,
        "UInt64Value" => Type::Uint64,
        "Int32Value" => Type::Int32,
        "UInt32Value" => Type::Uint32,
        "BoolValue" => Type::Bool,
        "StringValue" => Type::String,
        "BytesValue" => Type::Bytes,
        _ => return None,
    };
    Some(Kind::Wrapper(scalar))
}

/// Whether BigQuery converts values of this kind to the type.
fn goes_with(kind: &Kind, field_type: &FieldType) -> bool {
    let scalar = match kind {
        Kind::Message(_) => return matches!(field_type, FieldType::Struct(_)),
        Kind::Timestamp => return *field_type == FieldType::Timestamp,
        Kind::Enum(_) => return matches!(field_type, FieldType::Int64 | FieldType::String),
        Kind::Scalar(scalar) | Kind::Wrapper(scalar) => *scalar,
    };
    let signed = matches!(
        scalar,
        Type::Int64 | Type::Int32 | Type::Sint64 | Type::Sint32 | Type::Sfixed64 | Type::Sfixed32
    );
    let integer = signed || matches!(scalar, Type::Uint32 | Type::Fixed32);
    let any_integer = integer || matches!(scalar, Type::Uint64 | Type::Fixed64);
    let real = matches!(scalar, Type::Double | Type::Float);
    let text = scalar == Type::String;
    let bytes = scalar == Type::Bytes;
    match field_type {
        FieldType::Bool => any_integer || text || scalar == Type::Bool,
        FieldType::Bytes => bytes || text,
        FieldType::Date | FieldType::Time | FieldType::DateTime => signed || text,
        FieldType::Float64 => real || text,
        FieldType::Geography | FieldType::Json | FieldType::String => text,
        FieldType::Int64 | FieldType::Timestamp => integer || text,
        FieldType::Numeric | FieldType::BigNumeric => any_integer || real || text || bytes,
        FieldType::Struct(_) => false,
    }
}

/// The proto type as a `.proto` file spells it.
fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => {
            field.type_name().trim_start_matches('.').to_owned()
        }
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    }
}
