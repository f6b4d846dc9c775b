//! Schemas detected from the first rows of a file.

use serde_json::{Map, Value as Json};

use super::csv::{records, text_of};
use super::json_lines::objects;
use super::options::{CsvOptions, Format, LoadOptions};
use crate::bigquery::ingest::from_text;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema, index_of};

/// Rows looked at, as many as Google says it does at most.
const SAMPLE_ROWS: usize = 500;

/// A schema detected, and how many more rows of the file are its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detected {
    pub(super) schema: TableSchema,
    pub(super) header_rows: u64,
}

/// Detects the schema of a file; `None` if it has no rows to tell.
pub(super) fn detect(options: &LoadOptions, text: &[u8]) -> Option<Detected> {
    let detected = match options.format {
        Format::Csv => detect_csv(&options.csv, text)?,
        Format::JsonLines => detect_json(text),
    };
    (!detected.schema.fields.is_empty()).then_some(detected)
}

/// The type of a text; `None` if it tells nothing.
fn type_of(text: &str) -> Option<FieldType> {
    const CANDIDATES: [FieldType; 6] = [
        FieldType::Bool,
        FieldType::Int64,
        FieldType::Float64,
        FieldType::Date,
        FieldType::Time,
        FieldType::Timestamp,
    ];
    if text.is_empty() {
        return None;
    }
    let fits = |candidate: &FieldType| from_text(text, candidate).is_some();
    Some(CANDIDATES.into_iter().find(fits).unwrap_or(FieldType::String))
}

/// The narrowest type that holds values of both.
fn wider(one: Option<FieldType>, other: Option<FieldType>) -> Option<FieldType> {
    match (one, other) {
        (None, it) | (it, None) => it,
        (Some(one), Some(other)) if one == other => Some(one),
        (Some(FieldType::Struct(one)), Some(FieldType::Struct(other))) => {
            Some(FieldType::Struct(other.into_iter().fold(one, with_field)))
        }
        (
            Some(FieldType::Int64 | FieldType::Float64),
            Some(FieldType::Int64 | FieldType::Float64),
        ) => Some(FieldType::Float64),
        (
            Some(FieldType::Date | FieldType::Timestamp),
            Some(FieldType::Date | FieldType::Timestamp),
        ) => Some(FieldType::Timestamp),
        _ => Some(FieldType::String),
    }
}

fn detect_csv(options: &CsvOptions, text: &[u8]) -> Option<Detected> {
    let mut rows = Vec::new();
    for record in records(text, options).take(SAMPLE_ROWS + 1) {
        let fields = record.fields.into_iter();
        let row: Result<Vec<_>, _> = fields.map(|field| text_of(field.bytes, options)).collect();
        rows.push(row.ok()?);
    }
    let width = rows.iter().map(Vec::len).max()?;
    let types_of = |rows: &[Vec<String>]| -> Vec<Option<FieldType>> {
        let of_column = |at: usize| {
            let texts = rows.iter().filter_map(|row| row.get(at));
            let told = texts.filter(|text| !options.null_markers.contains(text));
            told.fold(None, |found, text| wider(found, type_of(text)))
        };
        (0..width).map(of_column).collect()
    };
    let (first, rest) = rows.split_first()?;
    let is_text = |it: &Option<FieldType>| matches!(it, Some(FieldType::String));
    // A header is a row of texts above rows that are not all texts.
    let types = types_of(rest);
    let has_header = first.iter().all(|text| is_text(&type_of(text)))
        && first.len() == width
        && types.iter().any(|it| it.is_some() && !is_text(it));
    let types = if has_header { types } else { types_of(&rows) };
    let fields = types.into_iter().enumerate().map(|(at, found)| {
        let found = found.unwrap_or(FieldType::String);
        let name = match first.get(at).filter(|_| has_header) {
            Some(header) => column_name(header),
            None => format!("{}_field_{at}", sql_name(&found)),
        };
        Field::nullable(name, found)
    });
    let schema = TableSchema::new(unique(fields.collect()));
    Some(Detected { schema, header_rows: u64::from(has_header) })
}

fn sql_name(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::Bool => "bool",
        FieldType::Int64 => "int64",
        FieldType::Float64 => "double",
        FieldType::Date => "date",
        FieldType::Time => "time",
        FieldType::Timestamp => "timestamp",
        _ => "string",
    }
}

/// A header as the name of a column: characters that names cannot have become underscores.
fn column_name(header: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = header.trim().chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Names that come again get a number.
fn unique(fields: Vec<Field>) -> Vec<Field> {
    let mut kept: Vec<Field> = Vec::with_capacity(fields.len());
    for mut field in fields {
        let name = field.name.clone();
        let mut number = 1;
        while index_of(&kept, &field.name).is_some() {
            field.name = format!("{name}_{number}");
            number += 1;
        }
        kept.push(field);
    }
    kept
}

fn detect_json(text: &[u8]) -> Detected {
    let rows = objects(text).take(SAMPLE_ROWS).filter_map(|(_, object)| object.ok());
    let fields =
        rows.fold(Vec::new(), |fields, row| fields_of(&row).into_iter().fold(fields, with_field));
    Detected { schema: TableSchema::new(fields), header_rows: 0 }
}

fn fields_of(object: &Map<String, Json>) -> Vec<Field> {
    object.iter().filter_map(|(name, value)| field_of(name, value)).collect()
}

fn field_of(name: &str, value: &Json) -> Option<Field> {
    let (values, mode) = match value {
        Json::Array(items) => (items.as_slice(), Mode::Repeated),
        other => (std::slice::from_ref(other), Mode::Nullable),
    };
    let found = values.iter().map(json_type).fold(None, wider)?;
    Some(Field::new(name, found, mode))
}

fn json_type(value: &Json) -> Option<FieldType> {
    match value {
        Json::Null => None,
        Json::Bool(_) => Some(FieldType::Bool),
        Json::Number(number) if number.is_i64() => Some(FieldType::Int64),
        Json::Number(_) => Some(FieldType::Float64),
        // Quoted numbers were meant as texts.
        Json::String(text) => match type_of(text)? {
            time @ (FieldType::Date | FieldType::Time | FieldType::Timestamp) => Some(time),
            _ => Some(FieldType::String),
        },
        Json::Array(_) => Some(FieldType::String),
        Json::Object(object) => {
            let fields = fields_of(object);
            (!fields.is_empty()).then_some(FieldType::Struct(fields))
        }
    }
}

/// Fields and one more, which may be known already.
fn with_field(mut fields: Vec<Field>, new: Field) -> Vec<Field> {
    match index_of(&fields, &new.name) {
        None => fields.push(new),
        Some(at) => {
            let old = &mut fields[at];
            if new.mode == Mode::Repeated {
                old.mode = Mode::Repeated;
            }
            let found = wider(Some(old.field_type.clone()), Some(new.field_type));
            old.field_type = found.unwrap_or(FieldType::String);
        }
    }
    fields
}
