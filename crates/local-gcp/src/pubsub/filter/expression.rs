//! What a filter asks of a message.

use std::collections::BTreeMap;

use super::parser;
use crate::pubsub::error::{Error, Result};

/// Longest filter.
const FILTER_BYTES_MAX: usize = 256;

/// A condition on the attributes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pubsub) enum Filter {
    /// There is an attribute of this key.
    Has {
        key: String,
    },
    /// There is one, with this value.
    Equals {
        key: String,
        value: String,
    },
    /// There is one, whose value begins like this.
    HasPrefix {
        key: String,
        prefix: String,
    },
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Filter {
    /// Reads a filter expression.
    ///
    /// # Errors
    /// When the text is longer than 256 bytes or not a filter; the error names the position.
    pub(in crate::pubsub) fn parse(text: &str) -> Result<Self> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(Error::invalid(format!(
                "Invalid filter given: it has {} bytes, the maximum is {FILTER_BYTES_MAX}.",
                text.len()
            )));
        }
        parser::parse(text).map_err(|wrong| {
            Error::invalid(format!(
                "Invalid filter given: {} at position {} of {text:?}.",
                wrong.expected, wrong.position
            ))
        })
    }

    /// Whether a message with these attributes is to be delivered.
    pub(in crate::pubsub) fn matches(&self, attributes: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Has { key } => attributes.contains_key(key),
            Self::Equals { key, value } => attributes.get(key) == Some(value),
            Self::HasPrefix { key, prefix } => {
                attributes.get(key).is_some_and(|value| value.starts_with(prefix.as_str()))
            }
            Self::Not(inner) => !inner.matches(attributes),
            Self::All(parts) => parts.iter().all(|part| part.matches(attributes)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(attributes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, attributes: &[(&str, &str)]) -> bool {
        let attributes =
            attributes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Filter::parse(filter).unwrap().matches(&attributes)
    }

    #[test]
    fn filters_select_by_key_value_and_prefix() {
        let com = [("domain", "com"), ("iana.org/language_tag", "en")];
        for (filter, expected) in [
            ("attributes:domain", true),
            ("attributes:other", false),
            ("attributes:\"iana.org/language_tag\"", true),
            ("attributes.\"iana.org/language_tag\" = \"en\"", true),
            ("attributes.domain = \"com\"", true),
            ("attributes.domain=\"Com\"", false),
            ("attributes.domain != \"com\"", false),
            ("attributes.domain != \"org\"", true),
            ("hasPrefix(attributes.domain, \"co\")", true),
            ("hasPrefix ( attributes.domain , \"om\" )", false),
            ("hasPrefix(attributes.other, \"\")", false),
            ("NOT attributes:domain", false),
            ("-attributes:other", true),
            ("NOT -attributes:domain", true),
            ("attributes:domain AND attributes:other", false),
            ("attributes:domain OR attributes:other", true),
            ("attributes:domain AND (attributes:other OR -attributes.domain = \"org\")", true),
            ("NOT (attributes:domain AND attributes:other)", true),
            ("((attributes:domain))", true),
        ] {
            assert_eq!(matches(filter, &com), expected, "{filter}");
        }
    }

    #[test]
    fn string_literals_take_escapes() {
        let attributes = [("k", "a\"b\\c\nAé\u{1}")];
        assert!(matches(r#"attributes.k = "a\"b\\c\n\x41\u00e9\001""#, &attributes));
        assert!(matches("attributes:\"k\"", &attributes));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_position() {
        for (filter, position) in [
            ("", 0),
            ("attribute:k", 0),
            ("attributes", 10),
            ("attributes.", 11),
            ("attributes.k", 12),
            ("attributes.k = v", 15),
            ("attributes.k > \"v\"", 13),
            ("attributes.k = \"v", 15),
            ("attributes.k = \"\\q\"", 16),
            ("attributes:k attributes:l", 13),
            ("attributes:k AND", 16),
            ("attributes:k and attributes:l", 13),
            ("attributes:a AND attributes:b OR attributes:c", 30),
            ("(attributes:k", 13),
            ("attributes:k)", 12),
            ("hasPrefix(attributes.k)", 22),
            ("hasPrefix(attributes:k, \"v\")", 20),
            ("attributes:é", 11),
        ] {
            let error = Filter::parse(filter).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { .. }));
            let expected = format!("at position {position} of");
            assert!(error.to_string().contains(&expected), "{filter}: {error}");
        }
        let long = format!("attributes.k = \"{}\"", "v".repeat(240));
        assert!(Filter::parse(&long).unwrap_err().to_string().contains("257 bytes"));
        assert!(Filter::parse(&long[1..]).is_err());
        Filter::parse(&format!("attributes.k = \"{}\"", "v".repeat(239))).unwrap();
        Filter::parse(&format!("{}attributes:k{}", "(".repeat(122), ")".repeat(122))).unwrap();
    }
}
