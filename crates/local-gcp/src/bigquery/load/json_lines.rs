//! Newline-delimited JSON as rows: one object a line.

use serde_json::{Map, Value as Json};

use super::run::{Fault, Read};
use crate::bigquery::ingest::JsonRows;

/// Reads the rows of a text, and what is wrong with those that are none.
pub(super) fn read(text: &[u8], reader: &JsonRows<'_>) -> Read {
    let mut read = Read::default();
    for (line, object) in objects(text) {
        let row = object.and_then(|object| reader.read(&object).map_err(|fault| fault.message));
        match row {
            Ok(row) => read.rows.push((line, row)),
            Err(message) => read.faults.push(Fault { line, message }),
        }
    }
    read
}

type Object = Map<String, Json>;

/// The objects of a text with their lines, from 1; empty lines are left out.
pub(super) fn objects(text: &[u8]) -> impl Iterator<Item = (u64, Result<Object, String>)> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines.map(|(line, number)| (number, object(line)))
}

fn object(line: &[u8]) -> Result<Object, String> {
    serde_json::from_slice(line)
        .map_err(|error| format!("Parser terminated before end of string: {error}"))
}
