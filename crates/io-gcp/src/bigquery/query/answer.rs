//! Makes plain JSON of what Google's client gives for a row.

use google_cloud_bigquery_v2::model::TableFieldSchema;
use millstream::Timestamp;
use serde_json::Value;

/// Microseconds of a second.
const SECOND: f64 = 1e6;

/// The JSON of a value of the column `field`.
pub(super) fn to_json(value: Value, field: &TableFieldSchema) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(|value| to_json(value, field)).collect(),
        Value::Object(mut record) => {
            for field in &field.fields {
                if let Some(value) = record.get_mut(&field.name) {
                    *value = to_json(value.take(), field);
                }
            }
            Value::Object(record)
        }
        Value::String(text) => match field.r#type.as_str() {
            "TIMESTAMP" => timestamp(text),
            "JSON" => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            _ => Value::String(text),
        },
        other => other,
    }
}

/// A TIMESTAMP comes in microseconds, or from older servers in seconds with a fraction.
fn timestamp(text: String) -> Value {
    #[allow(clippy::cast_possible_truncation, reason = "out of range is cut, and no TIMESTAMP is")]
    let micros = text
        .parse()
        .ok()
        .or_else(|| text.parse::<f64>().ok().map(|seconds| (seconds * SECOND).round() as i64));
    Value::String(micros.map_or(text, |micros| Timestamp::from_micros(micros).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(name: &str, kind: &str) -> TableFieldSchema {
        TableFieldSchema::new().set_name(name).set_type(kind)
    }

    #[test]
    fn timestamps_and_json_are_found_at_any_depth() {
        let inner = [field("at", "TIMESTAMP"), field("doc", "JSON"), field("n", "NUMERIC")];
        let record = field("r", "RECORD").set_fields(inner);
        let value =
            json!([{"at": "1357041600000000", "doc": "{\"a\":[1]}", "n": "1.50"}, {"at": null}]);
        assert_eq!(
            to_json(value, &record),
            json!([{"at": "2013-01-01T12:00:00Z", "doc": {"a": [1]}, "n": "1.50"}, {"at": null}])
        );
    }

    #[test]
    fn a_timestamp_in_seconds_is_understood_too() {
        let at = field("at", "TIMESTAMP");
        assert_eq!(to_json(json!("1.3570416005E9"), &at), json!("2013-01-01T12:00:00.5Z"));
        assert_eq!(to_json(json!("2013-01-01 12:00:00"), &at), json!("2013-01-01 12:00:00"));
    }
}
