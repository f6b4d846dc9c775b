//! [`Row`]: a row of a table whose columns are known only at run time; [`Cell`]: one value of it.
//!
//! A row serialises as a map from column to value, which is what the BigQuery sink takes. The column names are shared by all
//! rows of a table, so that a row in flight is one vector.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One value of a row.
///
/// Points in time, days and JSON documents are text: that is how they come in messages, how BigQuery takes them, and how
/// people read them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// Text, or whatever is written as text.
    Text(String),
}

impl Cell {
    /// Whether there is no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The whole number, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The number, if it is one.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "that is what asking for floating point means")]
    pub const fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<Option<i64>> for Cell {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Null, Self::Float)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// Names of columns, shared by the rows of a table.
pub type Columns = Arc<[Arc<str>]>;

/// A row: the names of its columns and a value for each.
#[derive(Clone, PartialEq)]
pub struct Row {
    columns: Columns,
    cells: Vec<Cell>,
}

impl Row {
    /// A row with a value for each of `columns`.
    ///
    /// # Panics
    /// When there are more or fewer values than columns.
    #[must_use]
    pub fn new(columns: &Columns, cells: Vec<Cell>) -> Self {
        assert_eq!(columns.len(), cells.len(), "a row has a value for each column");
        Self { columns: Arc::clone(columns), cells }
    }

    /// The values in the order of the columns.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The value in `column`; nothing when there is no such column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.iter().find(|(name, _)| *name == column).map(|(_, cell)| cell)
    }

    /// Columns and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Cell)> {
        self.columns.iter().map(|name| &**name).zip(&self.cells)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.cells.len()))?;
        for (name, cell) in self.iter() {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a row: a map from column to value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let (mut columns, mut cells) = (Vec::<Arc<str>>::new(), Vec::new());
        while let Some((column, cell)) = map.next_entry::<String, Cell>()? {
            columns.push(column.into());
            cells.push(cell);
        }
        Ok(Row { columns: columns.into(), cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let columns: Columns = ["a", "b", "c", "d", "e"].map(Arc::from).into();
        let cells = vec![
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(-7),
            Cell::Float(0.5),
            Cell::Text("2013-01-01T10:00:00Z".to_owned()),
        ];
        Row::new(&columns, cells)
    }

    #[test]
    fn a_row_is_a_map_and_survives_a_checkpoint() {
        let text = serde_json::to_string(&row()).unwrap();
        assert_eq!(text, r#"{"a":null,"b":true,"c":-7,"d":0.5,"e":"2013-01-01T10:00:00Z"}"#);
        let bytes = millstream::coder::encode(&row()).unwrap();
        assert_eq!(millstream::coder::decode::<Row>(&bytes).unwrap(), row());
    }

    #[test]
    fn values_are_found_by_column() {
        assert_eq!(row().get("c").and_then(Cell::as_int), Some(-7));
        assert_eq!(row().get("c").and_then(Cell::as_float), Some(-7.0));
        assert!(row().get("a").is_some_and(Cell::is_null));
        assert!(row().get("z").is_none());
    }
}
