//! Table schemas: fields, types, modes, their Arrow form, and which changes a table accepts.
//!
//! Knows nothing of rows, JSON or protocol messages; those mappings stand beside their protocols.

use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, TimeUnit};
use serde::{Deserialize, Serialize};

use super::decimal::{BIGNUMERIC_PRECISION, BIGNUMERIC_SCALE, NUMERIC_PRECISION, NUMERIC_SCALE};
use super::names::is_column_name;

/// Deepest nesting of records BigQuery accepts.
const NESTING_MAX: usize = 15;

/// The type of a field's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FieldType {
    /// Unicode text.
    String,
    /// Binary data.
    Bytes,
    /// 64-bit signed integer.
    Int64,
    /// Double-precision floating point.
    Float64,
    /// True or false.
    Bool,
    /// Fixed point with 9 digits after the point.
    Numeric,
    /// Fixed point with 38 digits after the point.
    BigNumeric,
    /// A day of the calendar.
    Date,
    /// A time of day, in microseconds.
    Time,
    /// A day and time without a zone.
    DateTime,
    /// An instant, in microseconds.
    Timestamp,
    /// A JSON document, kept as text.
    Json,
    /// A geography, kept as text.
    Geography,
    /// A record of named fields.
    Struct(Vec<Field>),
}

impl FieldType {
    /// The type's name in REST schemas (`INTEGER`, `FLOAT`, `RECORD`, ...).
    #[must_use]
    pub fn rest_name(&self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Int64 => "INTEGER",
            Self::Float64 => "FLOAT",
            Self::Bool => "BOOLEAN",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::DateTime => "DATETIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Json => "JSON",
            Self::Geography => "GEOGRAPHY",
            Self::Struct(_) => "RECORD",
        }
    }

    /// The scalar type of a REST or SQL name; `None` for records and unknown names.
    #[must_use]
    pub fn scalar(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "STRING" => Self::String,
            "BYTES" => Self::Bytes,
            "INTEGER" | "INT64" | "INT" | "SMALLINT" | "BIGINT" | "TINYINT" | "BYTEINT" => {
                Self::Int64
            }
            "FLOAT" | "FLOAT64" | "DOUBLE" => Self::Float64,
            "BOOLEAN" | "BOOL" => Self::Bool,
            "NUMERIC" | "DECIMAL" => Self::Numeric,
            "BIGNUMERIC" | "BIGDECIMAL" => Self::BigNumeric,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" => Self::DateTime,
            "TIMESTAMP" => Self::Timestamp,
            "JSON" => Self::Json,
            "GEOGRAPHY" => Self::Geography,
            _ => return None,
        })
    }

    fn to_arrow(&self) -> ArrowType {
        match self {
            Self::String | Self::Json | Self::Geography => ArrowType::Utf8,
            Self::Bytes => ArrowType::Binary,
            Self::Int64 => ArrowType::Int64,
            Self::Float64 => ArrowType::Float64,
            Self::Bool => ArrowType::Boolean,
            Self::Numeric => ArrowType::Decimal128(NUMERIC_PRECISION, NUMERIC_SCALE as i8),
            Self::BigNumeric => ArrowType::Decimal256(BIGNUMERIC_PRECISION, BIGNUMERIC_SCALE as i8),
            Self::Date => ArrowType::Date32,
            Self::Time => ArrowType::Time64(TimeUnit::Microsecond),
            Self::DateTime => ArrowType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Struct(fields) => ArrowType::Struct(fields.iter().map(Field::to_arrow).collect()),
        }
    }
}

/// Whether a field may or must have a value, or has a list of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mode {
    /// May be NULL.
    #[default]
    Nullable,
    /// Never NULL.
    Required,
    /// A list of values, none of them NULL.
    Repeated,
}

impl Mode {
    /// The mode's name in REST schemas.
    #[must_use]
    pub fn rest_name(self) -> &'static str {
        match self {
            Self::Nullable => "NULLABLE",
            Self::Required => "REQUIRED",
            Self::Repeated => "REPEATED",
        }
    }
}

/// One field of a table or record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Field {
    /// The field's name; names differ in more than case.
    pub name: String,
    /// What its values are.
    pub field_type: FieldType,
    /// Whether it may be NULL or repeats.
    pub mode: Mode,
    /// Text for people.
    pub description: Option<String>,
    /// Longest STRING (in characters) or BYTES value.
    pub max_length: Option<i64>,
    /// Digits in all of a NUMERIC or BIGNUMERIC.
    pub precision: Option<i64>,
    /// Digits after the point of a NUMERIC or BIGNUMERIC.
    pub scale: Option<i64>,
    /// SQL of the value a missing field gets.
    pub default_value_expression: Option<String>,
}

impl Field {
    /// A field without description, limits or default.
    #[must_use]
    pub fn new(name: impl Into<String>, field_type: FieldType, mode: Mode) -> Self {
        Self {
            name: name.into(),
            field_type,
            mode,
            description: None,
            max_length: None,
            precision: None,
            scale: None,
            default_value_expression: None,
        }
    }

    /// A field that may be NULL.
    #[must_use]
    pub fn nullable(name: impl Into<String>, field_type: FieldType) -> Self {
        Self::new(name, field_type, Mode::Nullable)
    }

    /// A field that is never NULL.
    #[must_use]
    pub fn required(name: impl Into<String>, field_type: FieldType) -> Self {
        Self::new(name, field_type, Mode::Required)
    }

    /// A field that holds a list.
    #[must_use]
    pub fn repeated(name: impl Into<String>, field_type: FieldType) -> Self {
        Self::new(name, field_type, Mode::Repeated)
    }

    /// The Arrow field in which columns of this field are kept. Always nullable there: a column that
    /// was REQUIRED when rows came in may be relaxed later.
    pub(crate) fn to_arrow(&self) -> ArrowField {
        let value = self.field_type.to_arrow();
        let data_type = match self.mode {
            Mode::Repeated => ArrowType::List(Arc::new(ArrowField::new("item", value, true))),
            Mode::Nullable | Mode::Required => value,
        };
        ArrowField::new(&self.name, data_type, true)
    }

    /// The Arrow type of one value (of one element, if repeated).
    pub(crate) fn to_arrow_value(&self) -> ArrowType {
        self.field_type.to_arrow()
    }

    /// The fields of a record; empty for other types.
    #[must_use]
    pub fn fields(&self) -> &[Self] {
        match &self.field_type {
            FieldType::Struct(fields) => fields,
            _ => &[],
        }
    }

    fn check(&self, depth: usize) -> Result<(), String> {
        if !is_column_name(&self.name) {
            return Err(format!(
                "Invalid field name \"{}\". Fields must contain the allowed characters, and be at most 300 characters long.",
                self.name
            ));
        }
        if depth > NESTING_MAX {
            return Err(format!("Field {} is nested deeper than {NESTING_MAX} levels", self.name));
        }
        self.check_parameters()?;
        match &self.field_type {
            FieldType::Struct(fields) if fields.is_empty() => {
                Err(format!("Field {} is type RECORD but has no schema", self.name))
            }
            FieldType::Struct(fields) => check_fields(fields, depth + 1),
            _ => Ok(()),
        }
    }

    fn check_parameters(&self) -> Result<(), String> {
        let sized = matches!(self.field_type, FieldType::String | FieldType::Bytes);
        if self.max_length.is_some_and(|length| length <= 0 || !sized) {
            return Err(format!("Field {} has an invalid maxLength", self.name));
        }
        let (whole_max, scale_max) = match self.field_type {
            FieldType::Numeric => (29, 9),
            FieldType::BigNumeric => (38, 38),
            _ if self.precision.is_none() && self.scale.is_none() => return Ok(()),
            _ => return Err(format!("Field {} cannot have a precision or scale", self.name)),
        };
        let scale = self.scale.unwrap_or(0);
        let fits = |precision: i64| {
            (1..=whole_max).contains(&(precision - scale)) || (precision == scale && scale > 0)
        };
        match self.precision {
            None if self.scale.is_none() => Ok(()),
            Some(precision) if fits(precision) && (0..=scale_max).contains(&scale) => Ok(()),
            _ => Err(format!("Field {} has an invalid precision or scale", self.name)),
        }
    }

    /// Whether `self` may replace `old` in a table with rows; the reason if not.
    fn check_change(&self, old: &Self, path: &str) -> Result<(), String> {
        let type_change = || {
            format!(
                "Field {path} has changed type from {} to {}",
                old.field_type.rest_name(),
                self.field_type.rest_name()
            )
        };
        match (&self.field_type, &old.field_type) {
            (FieldType::Struct(new), FieldType::Struct(old)) => {
                check_changes(new, old, &format!("{path}."))?;
            }
            (new, old) if new == old => {}
            _ => return Err(type_change()),
        }
        if self.mode != old.mode && (old.mode, self.mode) != (Mode::Required, Mode::Nullable) {
            return Err(format!(
                "Field {path} has changed mode from {} to {}",
                old.mode.rest_name(),
                self.mode.rest_name()
            ));
        }
        // A missing limit is the widest.
        let shrinks = |new: Option<i64>, old: Option<i64>| {
            new.is_some_and(|new| old.is_none_or(|old| new < old))
        };
        if shrinks(self.max_length, old.max_length) || shrinks(self.precision, old.precision) {
            return Err(format!("Field {path} cannot be made narrower"));
        }
        Ok(())
    }
}

/// The fields of a table, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableSchema {
    /// The top-level fields (columns).
    pub fields: Vec<Field>,
}

impl TableSchema {
    /// A schema of these columns.
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    /// The Arrow schema in which rows are kept (the one Google's Storage Read API also uses).
    #[must_use]
    pub fn to_arrow(&self) -> ArrowSchema {
        ArrowSchema::new(self.fields.iter().map(Field::to_arrow).collect::<Vec<_>>())
    }

    /// The position of a column, ignoring case.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        index_of(&self.fields, name)
    }

    /// Checks names, nesting and type parameters.
    ///
    /// # Errors
    /// What Google would say of the first problem.
    pub(crate) fn check(&self) -> Result<(), String> {
        check_fields(&self.fields, 1)
    }

    /// Checks that a table of this schema can take `new` without touching its rows' values.
    ///
    /// # Errors
    /// What Google would say of the first problem.
    pub(crate) fn check_change(&self, new: &Self) -> Result<(), String> {
        new.check()?;
        check_changes(&new.fields, &self.fields, "")
    }
}

/// The position of a field, ignoring case.
pub(crate) fn index_of(fields: &[Field], name: &str) -> Option<usize> {
    fields.iter().position(|field| field.name.eq_ignore_ascii_case(name))
}

fn check_fields(fields: &[Field], depth: usize) -> Result<(), String> {
    for (at, field) in fields.iter().enumerate() {
        field.check(depth)?;
        if index_of(&fields[..at], &field.name).is_some() {
            return Err(format!("Duplicate field name: {}", field.name));
        }
    }
    Ok(())
}

fn check_changes(new: &[Field], old: &[Field], prefix: &str) -> Result<(), String> {
    for field in old {
        let path = format!("{prefix}{}", field.name);
        match index_of(new, &field.name) {
            Some(at) => new[at].check_change(field, &path)?,
            None => return Err(format!("Field {path} is missing in new schema")),
        }
    }
    for field in new {
        if index_of(old, &field.name).is_none() && field.mode == Mode::Required {
            return Err(format!(
                "Cannot add required fields to an existing schema. (field: {prefix}{})",
                field.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: Vec<Field>) -> TableSchema {
        TableSchema::new(fields)
    }

    #[test]
    fn columns_may_be_added_and_relaxed_but_not_dropped_or_retyped() {
        let old = schema(vec![Field::required("id", FieldType::String)]);
        let relaxed = schema(vec![
            Field::nullable("id", FieldType::String),
            Field::repeated("tags", FieldType::String),
        ]);
        old.check_change(&relaxed).unwrap();
        let error = relaxed.check_change(&old).unwrap_err();
        assert_eq!(error, "Field id has changed mode from NULLABLE to REQUIRED");
        let retyped = schema(vec![Field::required("id", FieldType::Int64)]);
        let error = old.check_change(&retyped).unwrap_err();
        assert_eq!(error, "Field id has changed type from STRING to INTEGER");
        let required = schema(vec![
            Field::required("id", FieldType::String),
            Field::required("n", FieldType::Int64),
        ]);
        assert!(old.check_change(&required).unwrap_err().starts_with("Cannot add required"));
    }

    #[test]
    fn nested_columns_follow_the_same_rules() {
        let nested = |fields| schema(vec![Field::nullable("r", FieldType::Struct(fields))]);
        let old = nested(vec![Field::nullable("a", FieldType::Int64)]);
        let wider = nested(vec![
            Field::nullable("a", FieldType::Int64),
            Field::nullable("b", FieldType::Bytes),
        ]);
        old.check_change(&wider).unwrap();
        assert_eq!(wider.check_change(&old).unwrap_err(), "Field r.b is missing in new schema");
    }

    #[test]
    fn bad_fields_are_named() {
        let check = |field: Field| schema(vec![field]).check().unwrap_err();
        assert!(check(Field::nullable("1x", FieldType::Bool)).contains("1x"));
        assert!(check(Field::nullable("r", FieldType::Struct(vec![]))).contains("RECORD"));
        let mut limited = Field::nullable("n", FieldType::Int64);
        limited.max_length = Some(3);
        assert!(check(limited).contains("maxLength"));
        let twice = schema(vec![
            Field::nullable("a", FieldType::Bool),
            Field::nullable("A", FieldType::Bool),
        ]);
        assert_eq!(twice.check().unwrap_err(), "Duplicate field name: A");
    }
}
