//! SQL types: names, coercions, and how they relate to the fields of tables.

use std::fmt;
use std::sync::Arc;

use super::error::SqlError;
use crate::bigquery::schema::{Field, FieldType, Mode};

/// The type of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DataType {
    Bool,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    String,
    Bytes,
    Date,
    Time,
    DateTime,
    Timestamp,
    Json,
    Geography,
    Struct(Arc<[StructField]>),
    Array(Arc<DataType>),
}

/// A field of a STRUCT; its name is empty if it has none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StructField {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
}

impl DataType {
    /// The type of a column.
    pub(crate) fn of_field(field: &Field) -> Self {
        let value = Self::of_field_type(&field.field_type);
        match field.mode {
            Mode::Repeated => Self::Array(Arc::new(value)),
            Mode::Nullable | Mode::Required => value,
        }
    }

    /// The type of a scalar or record field.
    pub(crate) fn of_field_type(field_type: &FieldType) -> Self {
        match field_type {
            FieldType::String => Self::String,
            FieldType::Bytes => Self::Bytes,
            FieldType::Int64 => Self::Int64,
            FieldType::Float64 => Self::Float64,
            FieldType::Bool => Self::Bool,
            FieldType::Numeric => Self::Numeric,
            FieldType::BigNumeric => Self::BigNumeric,
            FieldType::Date => Self::Date,
            FieldType::Time => Self::Time,
            FieldType::DateTime => Self::DateTime,
            FieldType::Timestamp => Self::Timestamp,
            FieldType::Json => Self::Json,
            FieldType::Geography => Self::Geography,
            FieldType::Struct(fields) => Self::Struct(
                fields
                    .iter()
                    .map(|field| StructField {
                        name: field.name.clone(),
                        data_type: Self::of_field(field),
                    })
                    .collect(),
            ),
        }
    }

    /// The field type of values of this type; `None` for arrays.
    pub(crate) fn to_field_type(&self) -> Option<FieldType> {
        Some(match self {
            Self::Bool => FieldType::Bool,
            Self::Int64 => FieldType::Int64,
            Self::Float64 => FieldType::Float64,
            Self::Numeric => FieldType::Numeric,
            Self::BigNumeric => FieldType::BigNumeric,
            Self::String => FieldType::String,
            Self::Bytes => FieldType::Bytes,
            Self::Date => FieldType::Date,
            Self::Time => FieldType::Time,
            Self::DateTime => FieldType::DateTime,
            Self::Timestamp => FieldType::Timestamp,
            Self::Json => FieldType::Json,
            Self::Geography => FieldType::Geography,
            Self::Struct(fields) => FieldType::Struct(
                fields
                    .iter()
                    .enumerate()
                    .map(|(at, field)| {
                        let anonymous = format!("_field_{}", at + 1);
                        let name = if field.name.is_empty() { &anonymous } else { &field.name };
                        field.data_type.to_field(name)
                    })
                    .collect::<Option<_>>()?,
            ),
            Self::Array(_) => return None,
        })
    }

    /// A result column of this type; `None` for arrays of arrays, which BigQuery does not have.
    pub(crate) fn to_field(&self, name: &str) -> Option<Field> {
        match self {
            Self::Array(item) => Some(Field::repeated(name, item.to_field_type()?)),
            other => Some(Field::nullable(name, other.to_field_type()?)),
        }
    }

    pub(crate) fn is_numeric(&self) -> bool {
        self.numeric_rank().is_some()
    }

    /// Place in the chain of numeric types, each of which coerces to all later ones.
    fn numeric_rank(&self) -> Option<u8> {
        match self {
            Self::Int64 => Some(0),
            Self::Numeric => Some(1),
            Self::BigNumeric => Some(2),
            Self::Float64 => Some(3),
            _ => None,
        }
    }

    /// Whether values can be compared for order.
    pub(crate) fn is_orderable(&self) -> bool {
        !matches!(self, Self::Json | Self::Geography | Self::Struct(_) | Self::Array(_))
    }

    /// Whether values can be grouped.
    pub(crate) fn is_groupable(&self) -> bool {
        match self {
            Self::Json | Self::Geography => false,
            Self::Struct(fields) => fields.iter().all(|field| field.data_type.is_groupable()),
            Self::Array(item) => item.is_groupable(),
            _ => true,
        }
    }

    /// Whether values of this type become values of `target` without being asked to.
    pub(crate) fn coerces_to(&self, target: &Self) -> bool {
        match (self.numeric_rank(), target.numeric_rank()) {
            (Some(from), Some(to)) => from <= to,
            _ => self == target || (*self == Self::Date && *target == Self::DateTime),
        }
    }

    /// Whether a literal or parameter of this type becomes a value of `target` without being asked to.
    pub(crate) fn literal_coerces_to(&self, target: &Self) -> bool {
        let from_text = matches!(
            target,
            Self::Date | Self::Time | Self::DateTime | Self::Timestamp | Self::Geography
        );
        (*self == Self::String && from_text)
            || (*self == Self::Int64 && target.is_numeric())
            || (*self == Self::Float64 && target.is_numeric() && *target != Self::Int64)
            || self.coerces_to(target)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "BOOL",
            Self::Int64 => "INT64",
            Self::Float64 => "FLOAT64",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::DateTime => "DATETIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Json => "JSON",
            Self::Geography => "GEOGRAPHY",
            Self::Struct(fields) => return write_struct(f, fields),
            Self::Array(item) => return write!(f, "ARRAY<{item}>"),
        })
    }
}

fn write_struct(f: &mut fmt::Formatter<'_>, fields: &[StructField]) -> fmt::Result {
    f.write_str("STRUCT<")?;
    for (at, field) in fields.iter().enumerate() {
        let separator = if at == 0 { "" } else { ", " };
        let space = if field.name.is_empty() { "" } else { " " };
        write!(f, "{separator}{}{space}{}", field.name, field.data_type)?;
    }
    f.write_str(">")
}

/// The type of a SQL type name in a cast or literal.
pub(crate) fn from_ast(data_type: &sqlparser::ast::DataType) -> Result<DataType, SqlError> {
    use sqlparser::ast::{ArrayElemTypeDef, DataType as Ast};
    match data_type {
        Ast::Array(ArrayElemTypeDef::AngleBracket(item)) => {
            Ok(DataType::Array(Arc::new(from_ast(item)?)))
        }
        Ast::Struct(fields, _) => {
            let fields = fields.iter().map(|field| {
                let name = field.field_name.as_ref().map_or("", |name| &name.value).to_owned();
                Ok(StructField { name, data_type: from_ast(&field.field_type)? })
            });
            Ok(DataType::Struct(fields.collect::<Result<_, SqlError>>()?))
        }
        other => {
            let text = other.to_string();
            match FieldType::scalar(&text) {
                Some(scalar) => Ok(DataType::of_field_type(&scalar)),
                None if text.contains('(') => {
                    Err(SqlError::unsupported(format!("The parameterized type {text}")))
                }
                None => Err(SqlError::query(format!("Type not found: {text}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_coerce_upwards_and_texts_only_when_literal() {
        assert!(DataType::Int64.coerces_to(&DataType::Numeric));
        assert!(DataType::Numeric.coerces_to(&DataType::Float64));
        assert!(!DataType::Float64.coerces_to(&DataType::Int64));
        assert!(!DataType::String.coerces_to(&DataType::Date));
        assert!(DataType::String.literal_coerces_to(&DataType::Date));
        assert!(!DataType::String.literal_coerces_to(&DataType::Int64));
    }

    #[test]
    fn types_print_as_bigquery_spells_them() {
        let fields = [
            StructField { name: "a".to_owned(), data_type: DataType::Int64 },
            StructField { name: String::new(), data_type: DataType::String },
        ];
        let nested = DataType::Array(Arc::new(DataType::Struct(Arc::from(fields))));
        assert_eq!(nested.to_string(), "ARRAY<STRUCT<a INT64, STRING>>");
    }
}
