//! [`TableSchema`], [`Field`], [`FieldType`] and [`Mode`]: the columns of a table, in code or in a configuration.
//!
//! The serialised form is Google's own: a list of `{"name", "type", "mode", "fields"}`, alone or below `fields`,
//! so that the schema file of a table can be used as it is. Must not know rows or Arrow.
//!
//! ```
//! use millstream_io_gcp::bigquery::{Field, FieldType, TableSchema};
//!
//! let schema = TableSchema::new()
//!     .field(Field::required("id", FieldType::String))
//!     .field(Field::nullable("cents", FieldType::Int64))
//!     .field(Field::repeated("lines", FieldType::record([Field::required("sku", FieldType::String)])));
//! schema.validate()?;
//! let same: TableSchema = serde_json::from_str(
//!     r#"[{"name": "id", "type": "STRING", "mode": "REQUIRED"},
//!         {"name": "cents", "type": "INTEGER"},
//!         {"name": "lines", "type": "RECORD", "mode": "REPEATED",
//!          "fields": [{"name": "sku", "type": "STRING", "mode": "REQUIRED"}]}]"#,
//! )?;
//! assert_eq!(schema, same);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// Longest column name in characters; BigQuery's own limit.
const NAME_CHARS_MAX: usize = 300;
/// Deepest nesting of records; BigQuery's own limit.
const DEPTH_MAX: usize = 15;
/// Most columns of a table, nested ones counted; BigQuery's own limit.
const COLUMNS_MAX: usize = 10_000;

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldType {
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Whole numbers of 64 bits.
    Int64,
    /// Floating point numbers of 64 bits.
    Float64,
    /// Decimal numbers with 29 digits before and 9 behind the point.
    Numeric,
    /// Decimal numbers with 38 digits before and 38 behind the point.
    BigNumeric,
    /// True or false.
    Bool,
    /// A point in time, in microseconds.
    Timestamp,
    /// A day.
    Date,
    /// A time of day, in microseconds.
    Time,
    /// A day and a time of day without a zone, in microseconds.
    DateTime,
    /// A JSON document.
    Json,
    /// A place or shape, as well-known text or GeoJSON.
    Geography,
    /// A record of columns.
    Struct(Vec<Field>),
}

impl FieldType {
    /// A record of `fields`.
    pub fn record(fields: impl IntoIterator<Item = Field>) -> Self {
        Self::Struct(fields.into_iter().collect())
    }

    /// The name of the type in BigQuery's SQL.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Int64 => "INT64",
            Self::Float64 => "FLOAT64",
            Self::Numeric => "NUMERIC",
            Self::BigNumeric => "BIGNUMERIC",
            Self::Bool => "BOOL",
            Self::Timestamp => "TIMESTAMP",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::DateTime => "DATETIME",
            Self::Json => "JSON",
            Self::Geography => "GEOGRAPHY",
            Self::Struct(_) => "STRUCT",
        }
    }

    /// The name of the type in BigQuery's REST interface, which keeps the older names of some.
    #[must_use]
    pub const fn api_name(&self) -> &'static str {
        match self {
            Self::Int64 => "INTEGER",
            Self::Float64 => "FLOAT",
            Self::Bool => "BOOLEAN",
            Self::Struct(_) => "RECORD",
            other => other.name(),
        }
    }

    pub(super) fn from_name(name: &str, fields: Vec<Field>) -> Result<Self> {
        let plain = match name.to_ascii_uppercase().as_str() {
            "STRING" => Self::String,
            "BYTES" => Self::Bytes,
            "INT64" | "INTEGER" | "INT" | "SMALLINT" | "BIGINT" | "TINYINT" | "BYTEINT" => {
                Self::Int64
            }
            "FLOAT64" | "FLOAT" => Self::Float64,
            "NUMERIC" | "DECIMAL" => Self::Numeric,
            "BIGNUMERIC" | "BIGDECIMAL" => Self::BigNumeric,
            "BOOL" | "BOOLEAN" => Self::Bool,
            "TIMESTAMP" => Self::Timestamp,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" => Self::DateTime,
            "JSON" => Self::Json,
            "GEOGRAPHY" => Self::Geography,
            "STRUCT" | "RECORD" => return Ok(Self::Struct(fields)),
            _ => return Err(Error::schema(format!("column type {name:?} is not supported"))),
        };
        if fields.is_empty() {
            return Ok(plain);
        }
        Err(Error::schema(format!("a column of type {name} has no fields of its own")))
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Whether a column may be empty or holds several values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// NULL is allowed.
    #[default]
    Nullable,
    /// Every row has a value.
    Required,
    /// A list of values.
    Repeated,
}

impl Mode {
    /// The name of the mode in BigQuery's interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nullable => "NULLABLE",
            Self::Required => "REQUIRED",
            Self::Repeated => "REPEATED",
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FieldForm", into = "FieldForm")]
#[non_exhaustive]
pub struct Field {
    /// Its name; BigQuery does not tell upper from lower case.
    pub name: String,
    /// What it holds.
    pub field_type: FieldType,
    /// Whether it may be empty or holds several values.
    pub mode: Mode,
    /// What it means, for people.
    pub description: Option<String>,
}

impl Field {
    /// A column `name`.
    pub fn new(name: impl Into<String>, field_type: FieldType, mode: Mode) -> Self {
        Self { name: name.into(), field_type, mode, description: None }
    }

    /// A column that may be NULL.
    pub fn nullable(name: impl Into<String>, field_type: FieldType) -> Self {
        Self::new(name, field_type, Mode::Nullable)
    }

    /// A column that every row has a value for.
    pub fn required(name: impl Into<String>, field_type: FieldType) -> Self {
        Self::new(name, field_type, Mode::Required)
    }

    /// A column of lists.
    pub fn repeated(name: impl Into<String>, field_type: FieldType) -> Self {
        Self::new(name, field_type, Mode::Repeated)
    }

    /// Says what the column means.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The columns of a record; none for any other type.
    #[must_use]
    pub fn fields(&self) -> &[Self] {
        match &self.field_type {
            FieldType::Struct(fields) => fields,
            _ => &[],
        }
    }
}

/// A column as Google writes it.
#[derive(Clone, Serialize, Deserialize)]
struct FieldForm {
    name: String,
    #[serde(rename = "type")]
    field_type: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl TryFrom<FieldForm> for Field {
    type Error = Error;

    fn try_from(form: FieldForm) -> Result<Self> {
        let field_type = FieldType::from_name(&form.field_type, form.fields)?;
        Ok(Self { name: form.name, field_type, mode: form.mode, description: form.description })
    }
}

impl From<Field> for FieldForm {
    fn from(field: Field) -> Self {
        let name = field.field_type.name().to_owned();
        let fields = match field.field_type {
            FieldType::Struct(fields) => fields,
            _ => Vec::new(),
        };
        Self {
            name: field.name,
            field_type: name,
            mode: field.mode,
            fields,
            description: field.description,
        }
    }
}

/// The columns of a table, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SchemaForm")]
pub struct TableSchema {
    fields: Vec<Field>,
}

/// A schema as Google writes it: a bare list in schema files, below `fields` in the REST interface.
#[derive(Deserialize)]
#[serde(untagged)]
enum SchemaForm {
    List(Vec<Field>),
    Below { fields: Vec<Field> },
}

impl From<SchemaForm> for TableSchema {
    fn from(form: SchemaForm) -> Self {
        match form {
            SchemaForm::List(fields) | SchemaForm::Below { fields } => Self { fields },
        }
    }
}

impl TableSchema {
    /// A schema without columns, to be added with [`TableSchema::field`].
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// Adds a column.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The columns in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Checks names, nesting and size as BigQuery does.
    ///
    /// # Errors
    /// [`Error::Schema`] naming the first column that is wrong.
    pub fn validate(&self) -> Result<()> {
        let count = validate_fields(&self.fields, "", 1)?;
        if count > COLUMNS_MAX {
            return Err(Error::schema(format!("{count} columns are more than {COLUMNS_MAX}")));
        }
        Ok(())
    }

    /// Every reason why rows of this schema do not fit into a table whose schema is `table`.
    /// A table may have further columns that are not required.
    #[must_use]
    pub fn differences_to(&self, table: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare(&self.fields, &table.fields, "", &mut found);
        found
    }
}

impl FromIterator<Field> for TableSchema {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        Self { fields: fields.into_iter().collect() }
    }
}

fn validate_fields(fields: &[Field], path: &str, depth: usize) -> Result<usize> {
    if fields.is_empty() {
        let place = if path.is_empty() { "the table".to_owned() } else { format!("{path:?}") };
        return Err(Error::schema(format!("{place} has no columns")));
    }
    if depth > DEPTH_MAX {
        return Err(Error::schema(format!("{path:?} is nested deeper than {DEPTH_MAX} levels")));
    }
    let mut names = FxHashSet::default();
    let mut count = fields.len();
    for field in fields {
        let name = below(path, &field.name);
        if !is_column_name(&field.name) {
            return Err(Error::schema(format!("{name:?} is no column name")));
        }
        if !names.insert(field.name.to_lowercase()) {
            return Err(Error::schema(format!("column {name:?} appears twice")));
        }
        if let FieldType::Struct(fields) = &field.field_type {
            count += validate_fields(fields, &name, depth + 1)?;
        }
    }
    Ok(count)
}

fn compare(ours: &[Field], theirs: &[Field], path: &str, found: &mut Vec<String>) {
    let same_name = |a: &Field, b: &Field| a.name.to_lowercase() == b.name.to_lowercase();
    for field in ours {
        let name = below(path, &field.name);
        let Some(other) = theirs.iter().find(|other| same_name(other, field)) else {
            found.push(format!("the table has no column {name:?}"));
            continue;
        };
        if field.field_type.name() != other.field_type.name() {
            found.push(format!(
                "column {name:?} is {} in the table, not {}",
                other.field_type, field.field_type
            ));
        } else {
            compare(field.fields(), other.fields(), &name, found);
        }
        let fits = field.mode == other.mode
            || (field.mode == Mode::Required && other.mode == Mode::Nullable);
        if !fits {
            let (theirs, ours) = (other.mode.name(), field.mode.name());
            found.push(format!("column {name:?} is {theirs} in the table, not {ours}"));
        }
    }
    let is_missing = |other: &&Field| {
        other.mode == Mode::Required && !ours.iter().any(|field| same_name(other, field))
    };
    for other in theirs.iter().filter(is_missing) {
        found.push(format!("the table requires a column {:?}", below(path, &other.name)));
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// BigQuery's flexible column names: letters, digits, underscores and some signs, not starting with a digit or a reserved prefix.
fn is_column_name(name: &str) -> bool {
    const RESERVED: [&str; 6] =
        ["_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier"];
    let lower = name.to_lowercase();
    let is_allowed = |c: char| {
        c.is_alphanumeric()
            || matches!(
                c,
                '_' | '-' | '&' | '%' | '=' | '+' | ':' | '\'' | '<' | '>' | '#' | '|' | ' '
            )
    };
    name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(is_allowed)
        && !RESERVED.iter().any(|prefix| lower.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_bigquery_refuses_are_refused_here_with_their_path() {
        let nested = |name: &str| {
            TableSchema::new().field(Field::nullable(
                "outer",
                FieldType::record([Field::nullable(name, FieldType::Int64)]),
            ))
        };
        assert!(nested("ok_1").validate().is_ok());
        for bad in ["", "1st", "a.b", "a`b", "_PARTITIONTIME", "a\nb"] {
            let message = nested(bad).validate().unwrap_err().to_string();
            assert!(message.contains("outer."), "{message}");
        }
        let twice = TableSchema::new()
            .field(Field::nullable("id", FieldType::Int64))
            .field(Field::nullable("ID", FieldType::Int64));
        assert_eq!(
            twice.validate().unwrap_err().to_string(),
            "invalid schema: column \"ID\" appears twice"
        );
        assert!(TableSchema::new().validate().is_err());
    }

    #[test]
    fn records_nested_too_deep_are_refused() {
        let mut field = Field::nullable("leaf", FieldType::Int64);
        for _ in 0..DEPTH_MAX {
            field = Field::nullable("r", FieldType::record([field]));
        }
        assert!(TableSchema::new().field(field.clone()).validate().is_err());
        assert!(TableSchema::new().field(field.fields()[0].clone()).validate().is_ok());
    }

    #[test]
    fn both_serialised_forms_are_read_and_unknown_types_named() {
        let below = r#"{"fields": [{"name": "at", "type": "timestamp", "mode": "REQUIRED", "description": "when"}]}"#;
        let schema: TableSchema = serde_json::from_str(below).unwrap();
        let at = Field::required("at", FieldType::Timestamp).description("when");
        assert_eq!(schema.fields(), [at]);
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<TableSchema>(&text).unwrap(), schema);
        let error =
            serde_json::from_str::<Field>(r#"{"name": "x", "type": "INTERVAL"}"#).unwrap_err();
        assert!(error.to_string().contains("INTERVAL"), "{error}");
        assert!(
            serde_json::from_str::<Field>(
                r#"{"name": "x", "type": "INT64", "fields": [{"name": "y", "type": "INT64"}]}"#
            )
            .is_err()
        );
    }

    #[test]
    fn differences_name_every_column_that_does_not_fit() {
        let ours = TableSchema::new()
            .field(Field::required("id", FieldType::String))
            .field(Field::nullable("at", FieldType::Timestamp))
            .field(Field::nullable("extra", FieldType::Int64))
            .field(Field::nullable("tags", FieldType::String));
        let table = TableSchema::new()
            .field(Field::nullable("ID", FieldType::String))
            .field(Field::nullable("at", FieldType::Int64))
            .field(Field::repeated("tags", FieldType::String))
            .field(Field::required("owner", FieldType::String))
            .field(Field::nullable("note", FieldType::String));
        assert_eq!(
            ours.differences_to(&table),
            [
                "column \"at\" is INT64 in the table, not TIMESTAMP",
                "the table has no column \"extra\"",
                "column \"tags\" is REPEATED in the table, not NULLABLE",
                "the table requires a column \"owner\"",
            ]
        );
        assert!(ours.differences_to(&ours).is_empty());
    }
}
