//! Rows as JSON objects, in the forms `tabledata.insertAll` takes, to values.

use std::sync::Arc;

use arrow_buffer::i256;
use serde_json::{Map, Value as Json};

use super::convert::from_text;
use crate::bigquery::civil::is_instant;
use crate::bigquery::decimal;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};
use crate::bigquery::value::Value;

/// So much of a bad value is told.
const TOLD_CHARACTERS: usize = 100;

/// Digits after the point of a TIMESTAMP in seconds.
const MICROS_SCALE: u32 = 6;

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonFault {
    /// The field, as a path; empty if it is not one field's value.
    pub(crate) location: String,
    /// The same for people.
    pub(crate) message: String,
}

impl JsonFault {
    fn at(path: &str, message: String) -> Self {
        Self { location: path.to_owned(), message }
    }
}

/// How the rows of one request are read.
#[derive(Debug)]
pub(crate) struct JsonRows<'a> {
    /// The table's schema.
    pub(crate) schema: &'a TableSchema,
    /// What columns that a row does not name get.
    pub(crate) missing: Vec<Value>,
    /// Whether fields that the table lacks are skipped.
    pub(crate) ignore_unknown: bool,
    /// Whether a JSON column takes any value as it is, as in load jobs, or only the text of one.
    pub(crate) any_json: bool,
}

impl JsonRows<'_> {
    /// The value of a field that a row does not name and that has no default.
    pub(crate) fn absent(field: &Field) -> Value {
        match field.mode {
            Mode::Repeated => Value::Array(Arc::from([])),
            Mode::Nullable | Mode::Required => Value::Null,
        }
    }

    /// The values of one row, one per column.
    ///
    /// # Errors
    /// The first fault of the row.
    pub(crate) fn read(&self, row: &Map<String, Json>) -> Result<Vec<Value>, JsonFault> {
        self.record(&self.schema.fields, &self.missing, row, "")
    }

    fn record(
        &self,
        fields: &[Field],
        missing: &[Value],
        given: &Map<String, Json>,
        parent: &str,
    ) -> Result<Vec<Value>, JsonFault> {
        let mut values = Vec::with_capacity(fields.len());
        let mut named = 0;
        for (position, field) in fields.iter().enumerate() {
            let path = join(parent, &field.name);
            let value = match find(given, &field.name) {
                Some(json) => {
                    named += 1;
                    self.field(field, json, &path)?
                }
                None => missing.get(position).cloned().unwrap_or_else(|| Self::absent(field)),
            };
            if field.mode == Mode::Required && value.is_null() {
                return Err(JsonFault::at("", format!("Missing required field: {path}.")));
            }
            values.push(value);
        }
        if named < given.len() && !self.ignore_unknown {
            let known = |name: &str| fields.iter().any(|it| it.name.eq_ignore_ascii_case(name));
            if let Some(name) = given.keys().find(|name| !known(name)) {
                let path = join(parent, name);
                let message = format!("no such field: {path}.");
                return Err(JsonFault { location: path, message });
            }
        }
        Ok(values)
    }

    fn field(&self, field: &Field, json: &Json, path: &str) -> Result<Value, JsonFault> {
        match (field.mode, json) {
            (Mode::Repeated, Json::Null) => Ok(Self::absent(field)),
            (Mode::Repeated, Json::Array(items)) => {
                let items = items.iter().map(|item| match item {
                    Json::Null => {
                        let message = format!(
                            "Only optional fields can be set to NULL. Field: {path}; Value: NULL"
                        );
                        Err(JsonFault::at(path, message))
                    }
                    item if self.any_json && field.field_type == FieldType::Json => {
                        Ok(Value::Json(item.to_string().into()))
                    }
                    item => self.single(&field.field_type, item, path),
                });
                items.collect::<Result<Arc<[_]>, _>>().map(Value::Array)
            }
            (Mode::Repeated, _) => {
                let message = format!("Repeated value added outside of an array, field: {path}.");
                Err(JsonFault::at(path, message))
            }
            (_, Json::Null) => Ok(Value::Null),
            (_, json) if self.any_json && field.field_type == FieldType::Json => {
                Ok(Value::Json(json.to_string().into()))
            }
            (_, Json::Array(_)) => {
                let message = format!("Array specified for non-repeated field: {path}.");
                Err(JsonFault::at(path, message))
            }
            (_, json) => self.single(&field.field_type, json, path),
        }
    }

    /// A value that is neither null nor, but for its own fault, a list.
    fn single(&self, field_type: &FieldType, json: &Json, path: &str) -> Result<Value, JsonFault> {
        let text = match (field_type, json) {
            (FieldType::Struct(fields), Json::Object(given)) => {
                let values = self.record(fields, &[], given, path)?;
                return Ok(Value::Struct(values.into()));
            }
            (FieldType::Struct(_), _) | (_, Json::Object(_)) => {
                let message = format!("This field: {path} is not a record.");
                return Err(JsonFault::at(path, message));
            }
            (_, Json::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        };
        scalar(field_type, &text)
            .ok_or_else(|| JsonFault::at(path, bad_value(field_type, &text, path)))
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// A field's value; names differ in more than case.
fn find<'a>(given: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    let in_any_case = || given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    given.get(name).or_else(|| in_any_case().map(|(_, value)| value))
}

fn scalar(field_type: &FieldType, text: &str) -> Option<Value> {
    from_text(text, field_type).or_else(|| match field_type {
        FieldType::Int64 => whole_number(text).map(Value::Int64),
        FieldType::Timestamp => seconds(text).map(Value::Timestamp),
        _ => None,
    })
}

/// An integer spelled as a double, such as `1e3`.
fn whole_number(text: &str) -> Option<i64> {
    let number: f64 = text.trim().parse().ok()?;
    // 2^53: beyond it doubles skip integers.
    let is_exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    is_exact.then_some(number as i64)
}

/// An instant in seconds since the epoch.
fn seconds(text: &str) -> Option<i64> {
    let micros: i256 = decimal::parse(text.trim(), MICROS_SCALE)?;
    micros.to_i128().and_then(|micros| i64::try_from(micros).ok()).filter(|it| is_instant(*it))
}

fn bad_value(field_type: &FieldType, text: &str, path: &str) -> String {
    let told: String = text.chars().take(TOLD_CHARACTERS).collect();
    let cannot = |name: &str| format!("Cannot convert value to {name} (bad value): {told}");
    match field_type {
        FieldType::Int64 => cannot("integer"),
        FieldType::Float64 => cannot("floating point"),
        FieldType::Bool => cannot("boolean"),
        other => {
            let name = other.rest_name().to_ascii_lowercase();
            format!("Could not convert value to {name}. Field: {path}; Value: {told}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> TableSchema {
        let inner = vec![
            Field::required("n", FieldType::Int64),
            Field::repeated("words", FieldType::String),
        ];
        TableSchema::new(vec![
            Field::nullable("id", FieldType::Int64),
            Field::nullable("at", FieldType::Timestamp),
            Field::nullable("ok", FieldType::Bool),
            Field::nullable("doc", FieldType::Json),
            Field::nullable("inner", FieldType::Struct(inner)),
        ])
    }

    fn read(row: &Json, ignore_unknown: bool) -> Result<Vec<Value>, JsonFault> {
        let schema = schema();
        let missing = vec![Value::Null; schema.fields.len()];
        JsonRows { schema: &schema, missing, ignore_unknown, any_json: false }
            .read(row.as_object().unwrap())
    }

    #[test]
    fn values_are_read_from_texts_and_numbers() {
        let words: Arc<[Value]> = Arc::from([Value::string("a")]);
        let inner = Value::Struct(Arc::from([Value::Int64(7), Value::Array(words)]));
        let expected = [
            Value::Int64(1_000),
            Value::Timestamp(1_500_000),
            Value::Bool(true),
            Value::Json("{\"a\":1}".into()),
            inner,
        ];
        for row in [
            json!({"id": 1e3, "at": 1.5, "ok": true, "doc": "{\"a\":1}", "inner": {"n": 7, "words": ["a"]}}),
            json!({"ID": "1000", "at": "1970-01-01T00:00:01.5Z", "ok": "TRUE", "doc": "{\"a\":1}",
                "inner": {"N": "7", "words": ["a"]}}),
        ] {
            assert_eq!(read(&row, false).unwrap(), expected, "{row}");
        }
        assert_eq!(read(&json!({}), false).unwrap(), vec![Value::Null; 5]);
    }

    #[test]
    fn faults_name_their_field() {
        for (row, location, message) in [
            (json!({"id": "x"}), "id", "Cannot convert value to integer (bad value): x"),
            (json!({"id": 1.5}), "id", "bad value): 1.5"),
            (json!({"id": [1]}), "id", "Array specified for non-repeated field"),
            (json!({"id": {"a": 1}}), "id", "is not a record"),
            (json!({"at": "soon"}), "at", "Could not convert value to timestamp"),
            (json!({"doc": "{"}), "doc", "Could not convert value to json"),
            (json!({"inner": 1}), "inner", "is not a record"),
            (json!({"inner": {}}), "", "Missing required field: inner.n."),
            (json!({"inner": {"n": 1, "words": "a"}}), "inner.words", "outside of an array"),
            (json!({"inner": {"n": 1, "words": [null]}}), "inner.words", "set to NULL"),
            (json!({"inner": {"n": 1, "x": 1}}), "inner.x", "no such field: inner.x."),
            (json!({"id": 1, "x": 1}), "x", "no such field: x."),
        ] {
            let fault = read(&row, false).unwrap_err();
            assert_eq!(fault.location, location, "{row}");
            assert!(fault.message.contains(message), "{row}: {}", fault.message);
        }
        assert_eq!(read(&json!({"id": 1, "x": 1}), true).unwrap()[0], Value::Int64(1));
    }
}
