//! [`Parameter`]: a value that a query is given, with its type.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use google_cloud_bigquery_v2::model::{QueryParameter, QueryParameterType, QueryParameterValue};
use millstream::Timestamp;

use super::super::schema::FieldType;

/// A value that a query is given, with its type.
///
/// ```
/// use millstream_io_gcp::bigquery::{FieldType, Parameter};
///
/// let id = Parameter::from("a-17");
/// let ids = Parameter::array(FieldType::Int64, [1_i64, 2]);
/// let nothing = Parameter::null(FieldType::Timestamp);
/// let day = Parameter::typed(FieldType::Date, "2024-01-31");
/// # let _ = (id, ids, nothing, day);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    kind: QueryParameterType,
    value: QueryParameterValue,
}

impl Parameter {
    /// NULL of this type.
    #[must_use]
    pub fn null(field_type: FieldType) -> Self {
        Self { kind: kind(&field_type), value: QueryParameterValue::new() }
    }

    /// A value of this type, written as BigQuery writes it.
    pub fn typed(field_type: FieldType, text: impl Into<String>) -> Self {
        let value = QueryParameterValue::new().set_value(text.into());
        Self { kind: kind(&field_type), value }
    }

    /// An array of values of this type.
    pub fn array<P: Into<Self>>(
        field_type: FieldType,
        values: impl IntoIterator<Item = P>,
    ) -> Self {
        let values = values.into_iter().map(|value| value.into().value);
        Self {
            kind: QueryParameterType::new().set_type("ARRAY").set_array_type(kind(&field_type)),
            value: QueryParameterValue::new().set_array_values(values),
        }
    }

    pub(super) fn into_google(self, name: &str) -> QueryParameter {
        QueryParameter::new()
            .set_name(name)
            .set_parameter_type(self.kind)
            .set_parameter_value(self.value)
    }
}

fn kind(field_type: &FieldType) -> QueryParameterType {
    QueryParameterType::new().set_type(field_type.name())
}

impl From<&str> for Parameter {
    fn from(value: &str) -> Self {
        Self::typed(FieldType::String, value)
    }
}

impl From<String> for Parameter {
    fn from(value: String) -> Self {
        Self::typed(FieldType::String, value)
    }
}

impl From<&String> for Parameter {
    fn from(value: &String) -> Self {
        Self::typed(FieldType::String, value.as_str())
    }
}

impl From<i64> for Parameter {
    fn from(value: i64) -> Self {
        Self::typed(FieldType::Int64, value.to_string())
    }
}

impl From<i32> for Parameter {
    fn from(value: i32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<u32> for Parameter {
    fn from(value: u32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<f64> for Parameter {
    fn from(value: f64) -> Self {
        let text = if value.is_infinite() {
            if value > 0.0 { String::from("Infinity") } else { String::from("-Infinity") }
        } else {
            value.to_string()
        };
        Self::typed(FieldType::Float64, text)
    }
}

impl From<bool> for Parameter {
    fn from(value: bool) -> Self {
        Self::typed(FieldType::Bool, value.to_string())
    }
}

impl From<Timestamp> for Parameter {
    fn from(value: Timestamp) -> Self {
        Self::typed(FieldType::Timestamp, value.to_string())
    }
}

impl From<&[u8]> for Parameter {
    fn from(value: &[u8]) -> Self {
        Self::typed(FieldType::Bytes, BASE64_STANDARD.encode(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parameter: impl Into<Parameter>) -> (String, Option<String>) {
        let google = parameter.into().into_google("x");
        assert_eq!(google.name, "x");
        (google.parameter_type.unwrap().r#type, google.parameter_value.unwrap().value)
    }

    #[test]
    fn values_go_out_with_their_type() {
        let of = |kind: &str, value: &str| (kind.to_owned(), Some(value.to_owned()));
        assert_eq!(parts("a' OR 1=1"), of("STRING", "a' OR 1=1"));
        assert_eq!(parts(-5), of("INT64", "-5"));
        assert_eq!(parts(f64::NEG_INFINITY), of("FLOAT64", "-Infinity"));
        assert_eq!(parts(f64::NAN), of("FLOAT64", "NaN"));
        assert_eq!(parts(true), of("BOOL", "true"));
        assert_eq!(
            parts(Timestamp::from_micros(1)),
            of("TIMESTAMP", "1970-01-01T00:00:00.000001Z")
        );
        assert_eq!(parts(&b"\x00\xff"[..]), of("BYTES", "AP8="));
        assert_eq!(parts(Parameter::null(FieldType::Date)), ("DATE".to_owned(), None));
    }

    #[test]
    fn an_array_names_the_type_of_its_values_even_when_it_is_empty() {
        let google = Parameter::array(FieldType::Int64, Vec::<i64>::new()).into_google("");
        let kind = google.parameter_type.unwrap();
        assert_eq!(
            (kind.r#type.as_str(), kind.array_type.unwrap().r#type.as_str()),
            ("ARRAY", "INT64")
        );
    }
}
