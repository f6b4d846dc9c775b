//! Rows as JSON: BigQuery's `{"f": [{"v": ...}]}`, where almost everything is text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use arrow_buffer::i256;

use super::request::Params;
use crate::bigquery::civil;
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::value::Value;

/// A page of rows ends when it has this many bytes, as BigQuery counts them; Google's limit is 10 MB of JSON.
pub(super) const PAGE_BYTES_MAX: u64 = 4 << 20;

/// Rows of a page unless the client wants fewer.
pub(super) const PAGE_ROWS_MAX: u64 = 100_000;

/// How clients want values printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowFormat {
    /// TIMESTAMP as microseconds, not as seconds with a fraction.
    pub(super) int64_timestamps: bool,
}

impl RowFormat {
    /// What query parameters ask for.
    pub(super) fn of_params(params: &Params) -> Self {
        Self { int64_timestamps: params.flag("formatOptions.useInt64Timestamp") }
    }

    /// A row.
    pub(super) fn row(self, values: &[Value]) -> Json {
        json!({ "f": values.iter().map(|value| self.cell(value)).collect::<Vec<_>>() })
    }

    fn cell(self, value: &Value) -> Json {
        json!({ "v": self.value(value) })
    }

    fn value(self, value: &Value) -> Json {
        let text = match value {
            Value::Null => return Json::Null,
            Value::Bool(value) => value.to_string(),
            Value::Int64(value) => value.to_string(),
            Value::Float64(value) => float(*value),
            Value::Numeric(value) => decimal::format(i256::from_i128(*value), NUMERIC_SCALE),
            Value::BigNumeric(value) => decimal::format(*value, BIGNUMERIC_SCALE),
            Value::String(text) | Value::Json(text) | Value::Geography(text) => text.to_string(),
            Value::Bytes(bytes) => BASE64.encode(bytes),
            Value::Date(days) => civil::format_date(*days),
            Value::Time(micros) => civil::format_time(*micros, true),
            Value::DateTime(micros) => civil::format_datetime(*micros, 'T', true),
            Value::Timestamp(micros) if self.int64_timestamps => micros.to_string(),
            Value::Timestamp(micros) => civil::format_seconds(*micros),
            Value::Struct(values) => return self.row(values),
            Value::Array(values) => return values.iter().map(|value| self.cell(value)).collect(),
        };
        Json::String(text)
    }
}

/// A double as the API prints it: always with a point, with an exponent when large or small.
fn float(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if size == 0.0 || (1e-3..1e7).contains(&size) {
        format!("{value:?}")
    } else {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let point = if mantissa.contains('.') { "" } else { ".0" };
        format!("{mantissa}{point}E{exponent}")
    }
}

/// How many of these rows make a page.
pub(super) fn page_length<'a>(rows: impl Iterator<Item = &'a Vec<Value>>) -> usize {
    let mut bytes = 0;
    let within = |row: &&'a Vec<Value>| {
        // The first row belongs to the page whatever its size.
        let fits = bytes < PAGE_BYTES_MAX;
        bytes += row.iter().map(|value| 8 + value.logical_bytes()).sum::<u64>();
        fits
    };
    rows.take_while(within).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn values_print_as_the_api_does() {
        let plain = RowFormat { int64_timestamps: false };
        let list = Value::Array(Arc::from([Value::Int64(1)]));
        let record = Value::Struct(Arc::from([Value::Null, Value::Bool(true)]));
        let row = [
            Value::Float64(1.0),
            Value::Float64(1.5e10),
            Value::Float64(f64::NAN),
            Value::Timestamp(1_500_000),
            Value::DateTime(1),
            Value::Bytes(Arc::from([0xff_u8])),
            Value::Numeric(-1_500_000_000),
            list,
            record,
        ];
        let expected = json!({"f": [
            {"v": "1.0"},
            {"v": "1.5E10"},
            {"v": "NaN"},
            {"v": "1.5"},
            {"v": "1970-01-01T00:00:00.000001"},
            {"v": "/w=="},
            {"v": "-1.5"},
            {"v": [{"v": "1"}]},
            {"v": {"f": [{"v": null}, {"v": "true"}]}},
        ]});
        assert_eq!(plain.row(&row), expected);
        let int64 = RowFormat { int64_timestamps: true };
        assert_eq!(int64.value(&Value::Timestamp(1_500_000)), json!("1500000"));
    }

    #[test]
    fn pages_end_at_a_size_but_have_a_row() {
        let large = vec![Value::string("x".repeat(3 << 20))];
        let rows = vec![large; 5];
        assert_eq!(page_length(rows.iter()), 2);
        let huge = [vec![Value::string("x".repeat(9 << 20))]];
        assert_eq!(page_length(huge.iter()), 1);
    }
}
