//! [`RowRefusal`]: why a row does not fit into its table.

use std::fmt;

/// Characters of a value that are shown; the rest is cut.
const SHOWN_CHARS_MAX: usize = 60;

/// Why a row does not fit into its table: the column, what it takes, what was given.
#[derive(Clone, PartialEq, Eq)]
pub struct RowRefusal {
    parts: Box<Parts>,
}

#[derive(Clone, PartialEq, Eq)]
struct Parts {
    column: String,
    expected: String,
    got: String,
    is_too_large: bool,
}

impl RowRefusal {
    pub(super) fn new(expected: impl Into<String>, got: impl Into<String>) -> Self {
        let parts = Parts {
            column: String::new(),
            expected: expected.into(),
            got: got.into(),
            is_too_large: false,
        };
        Self { parts: Box::new(parts) }
    }

    pub(super) fn too_large(bytes: usize, bytes_max: usize) -> Self {
        let expected = format!("a row of at most {bytes_max} bytes");
        let mut refusal = Self::new(expected, format!("{bytes} bytes"));
        refusal.parts.is_too_large = true;
        refusal
    }

    /// Whether the row is refused for its size alone.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.parts.is_too_large
    }

    /// Path of the column, such as `lines[2].sku`; empty when the row as a whole is refused.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.parts.column
    }

    /// What the column takes.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.parts.expected
    }

    /// What was given, cut where it is long.
    #[must_use]
    pub fn got(&self) -> &str {
        &self.parts.got
    }

    /// The same refusal, seen from the record that has the column `name`.
    pub(super) fn below(mut self, name: &str) -> Self {
        let rest = &self.parts.column;
        let dot = if rest.is_empty() || rest.starts_with('[') { "" } else { "." };
        self.parts.column = format!("{name}{dot}{rest}");
        self
    }

    /// The same refusal, seen from the list that has it at `index`.
    pub(super) fn at(self, index: usize) -> Self {
        self.below(&format!("[{index}]"))
    }
}

impl fmt::Display for RowRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { column, expected, got, .. } = &*self.parts;
        if column.is_empty() {
            write!(formatter, "expected {expected}, got {got}")
        } else {
            write!(formatter, "column {column:?}: expected {expected}, got {got}")
        }
    }
}

impl fmt::Debug for RowRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RowRefusal({self})")
    }
}

impl std::error::Error for RowRefusal {}

impl serde::ser::Error for RowRefusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(
            "a value that can be serialised",
            format!("the error {:?}", shown(&message.to_string())),
        )
    }
}

/// `text` as it is shown in a refusal.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_grows_from_the_inside_out() {
        let refusal =
            RowRefusal::new("INT64", "null").below("sku").at(2).below("lines").below("order");
        assert_eq!(refusal.column(), "order.lines[2].sku");
        assert_eq!(refusal.to_string(), "column \"order.lines[2].sku\": expected INT64, got null");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let text = "ü".repeat(SHOWN_CHARS_MAX + 1);
        assert_eq!(shown(&text), format!("{}...", "ü".repeat(SHOWN_CHARS_MAX)));
        assert_eq!(shown("short"), "short");
    }
}
