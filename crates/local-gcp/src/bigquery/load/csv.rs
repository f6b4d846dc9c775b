//! CSV records as rows.

use std::sync::Arc;

use super::csv_records::{CsvField, CsvRecord, CsvRecords};
use super::options::CsvOptions;
use super::run::{Fault, Read};
use crate::bigquery::ingest::{JsonRows, from_text};
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};
use crate::bigquery::value::Value;

/// So much of a bad value is told.
const TOLD_CHARACTERS: usize = 100;

/// Reads the rows of a text, and what is wrong with those that are none.
pub(super) fn read(
    text: &[u8],
    options: &CsvOptions,
    schema: &TableSchema,
    missing: &[Value],
    ignore_unknown: bool,
) -> Read {
    let rows = Rows { options, schema, missing, ignore_unknown };
    let mut read = Read::default();
    for record in records(text, options) {
        let line = record.line;
        match rows.row(record) {
            Ok(row) => read.rows.push((line, row)),
            Err(message) => read.faults.push(Fault { line, message }),
        }
    }
    read
}

/// The records after those to skip.
pub(super) fn records<'a>(
    text: &'a [u8],
    options: &CsvOptions,
) -> impl Iterator<Item = CsvRecord> + use<'a> {
    let skip = usize::try_from(options.skip_rows).unwrap_or(usize::MAX);
    CsvRecords::new(text, options).skip(skip)
}

/// The text of a field.
///
/// # Errors
/// When it is not in the encoding said.
pub(super) fn text_of(bytes: Vec<u8>, options: &CsvOptions) -> Result<String, String> {
    if options.latin1 {
        return Ok(bytes.into_iter().map(char::from).collect());
    }
    String::from_utf8(bytes).map_err(|error| format!("Bad character (not UTF-8): {error}"))
}

struct Rows<'a> {
    options: &'a CsvOptions,
    schema: &'a TableSchema,
    missing: &'a [Value],
    ignore_unknown: bool,
}

impl Rows<'_> {
    fn row(&self, record: CsvRecord) -> Result<Vec<Value>, String> {
        let (given, wanted) = (record.fields.len(), self.schema.fields.len());
        if given > wanted && !self.ignore_unknown {
            return Err(format!(
                "Too many values in row: {given}, the schema has {wanted} columns"
            ));
        }
        if given < wanted && !self.options.jagged_rows {
            return Err(format!("Too few values in row: {given}, the schema has {wanted} columns"));
        }
        let fields = record.fields.into_iter().zip(&self.schema.fields);
        let mut row =
            fields.map(|(cell, field)| self.value(cell, field)).collect::<Result<Vec<_>, _>>()?;
        for at in row.len()..wanted {
            let field = &self.schema.fields[at];
            let value = self.missing.get(at).cloned();
            row.push(value.unwrap_or_else(|| JsonRows::absent(field)));
        }
        let lacking = self.schema.fields.iter().zip(&row);
        let lacking =
            lacking.filter(|(field, value)| field.mode == Mode::Required && value.is_null());
        match lacking.map(|(field, _)| &field.name).next() {
            Some(name) => Err(format!("Required column value for column {name} is missing")),
            None => Ok(row),
        }
    }

    fn value(&self, cell: CsvField, field: &Field) -> Result<Value, String> {
        let is_text = matches!(field.field_type, FieldType::String | FieldType::Bytes);
        let is_quoted = cell.is_quoted;
        let text = text_of(cell.bytes, self.options)?;
        if text.contains(['\n', '\r']) && is_quoted && !self.options.quoted_newlines {
            return Err(format!(
                "Column {}: a quoted value has a line break; allowQuotedNewlines allows it",
                field.name
            ));
        }
        // A quoted empty text is one; any other type has no empty value.
        let is_marker = self.options.null_markers.contains(&text);
        if is_marker && !(is_quoted && is_text && text.is_empty()) {
            return Ok(Value::Null);
        }
        scalar(&text, &field.field_type).ok_or_else(|| {
            let told: String = text.chars().take(TOLD_CHARACTERS).collect();
            let kind = field.field_type.rest_name();
            format!("Could not parse '{told}' as {kind} for column {}", field.name)
        })
    }
}

/// The value of a field; CSV has more ways to say yes and no than SQL.
fn scalar(text: &str, field_type: &FieldType) -> Option<Value> {
    const YES: [&str; 4] = ["1", "t", "y", "yes"];
    const NO: [&str; 4] = ["0", "f", "n", "no"];
    let is_one_of =
        |words: [&str; 4]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    match field_type {
        FieldType::Bool if is_one_of(YES) => Some(Value::Bool(true)),
        FieldType::Bool if is_one_of(NO) => Some(Value::Bool(false)),
        FieldType::Json => from_text(text, field_type),
        FieldType::String => Some(Value::String(Arc::from(text))),
        other => from_text(text, other),
    }
}
