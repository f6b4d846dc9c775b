//! JSON spellings of protocol values: durations, timestamps, bytes, enums, field masks.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Padding is optional on the way in.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// A span as JSON has it: seconds with up to nine decimals and an `s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span(pub(crate) prost_types::Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom(format!("illegal duration {text:?}")))
    }
}

/// An instant as JSON has it: RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time(pub(crate) prost_types::Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom(format!("illegal timestamp {text:?}")))
    }
}

/// Bytes as base64, either alphabet on the way in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Base64(pub(crate) Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).or_else(|_| URL_SAFE.decode(text.as_bytes()));
        bytes.map(|bytes| Self(bytes.into())).map_err(|_| D::Error::custom("illegal base64"))
    }
}

/// An enum value, by number or by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Enumeration {
    Number(i32),
    Name(String),
}

impl Enumeration {
    /// The number, for a name through `by_name`; unknown names are 0, which stands for unspecified.
    pub(super) fn number(&self, by_name: impl FnOnce(&str) -> Option<i32>) -> i32 {
        match self {
            Self::Number(number) => *number,
            Self::Name(name) => by_name(name).unwrap_or(0),
        }
    }

    /// In the spelling that the request asked for.
    pub(crate) fn new(number: i32, name: &str, as_number: bool) -> Self {
        if as_number { Self::Number(number) } else { Self::Name(name.to_owned()) }
    }
}

/// A field mask as JSON has it: one string, camel case, separated by commas. Given back in the protocol's
/// spelling.
pub(crate) fn field_mask(mask: &str) -> Vec<String> {
    mask.split(',').map(str::trim).filter(|path| !path.is_empty()).map(snake_case).collect()
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for character in camel.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_their_fraction() {
        for (text, seconds, nanos) in [("600s", 600, 0), ("1.500s", 1, 500_000_000), ("0s", 0, 0)] {
            let span: Span = serde_json::from_value(text.into()).unwrap();
            assert_eq!(span.0, prost_types::Duration { seconds, nanos });
            assert_eq!(serde_json::to_value(span).unwrap(), text);
        }
        assert!(serde_json::from_value::<Span>("10".into()).is_err());
    }

    #[test]
    fn bytes_are_read_in_both_alphabets_with_and_without_padding() {
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            let bytes: Base64 = serde_json::from_value(text.into()).unwrap();
            assert_eq!(bytes.0.as_ref(), [0xfb, 0xff], "{text}");
            assert_eq!(serde_json::to_value(bytes).unwrap(), "+/8=");
        }
        assert!(serde_json::from_value::<Base64>("é".into()).is_err());
    }

    #[test]
    fn masks_come_in_the_spelling_of_either_side() {
        assert_eq!(
            field_mask("ackDeadlineSeconds, labels,retry_policy"),
            ["ack_deadline_seconds", "labels", "retry_policy"]
        );
        assert!(field_mask("").is_empty());
    }
}
