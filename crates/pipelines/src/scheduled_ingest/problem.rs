//! [`Problem`]: why a message cannot be used; its reason is one of a few words, its detail names field and value.

use std::fmt;

/// Longest part of a value that a detail shows, in characters.
const SHOWN_CHARS: usize = 60;

/// Why a message cannot be used.
///
/// It displays as its [`reason`](Problem::reason), by which dead letters are counted; what exactly is wrong is its source.
#[derive(Debug, thiserror::Error)]
#[error("{}", .reason.as_str())]
pub struct Problem {
    reason: Reason,
    #[source]
    detail: Detail,
}

/// Why messages become dead letters, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// There is no payload.
    EmptyMessage,
    /// The payload is no JSON object.
    BadJson,
    /// A value is not of its field's type.
    WrongType,
    /// A required field is missing or null.
    MissingField,
    /// A field is not listed in the configuration.
    UnknownField,
    /// A field is there twice.
    DuplicateField,
}

impl Reason {
    /// The word that stands in the dead letter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyMessage => "empty_message",
            Self::BadJson => "bad_json",
            Self::WrongType => "wrong_type",
            Self::MissingField => "missing_field",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
        }
    }
}

/// What exactly is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Detail(String);

impl Problem {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: Detail(detail.into()) }
    }

    pub(super) fn wrong_type(field: &str, expected: &str, got: impl fmt::Display) -> Self {
        Self::new(Reason::WrongType, format!("field {field:?} is {got}, expected {expected}"))
    }

    /// Why, in a word.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What exactly is wrong.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail.0
    }
}

/// Text as a detail shows it: quoted, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
