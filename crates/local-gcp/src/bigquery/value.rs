//! Single values: what a cell, a query parameter or an expression yields.
//!
//! Rows at rest are Arrow columns (see `rows`); values exist while rows come in one by one, while
//! expressions are evaluated, and in query results.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_buffer::i256;

/// One BigQuery value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL, of any type.
    Null,
    /// BOOL.
    Bool(bool),
    /// INT64.
    Int64(i64),
    /// FLOAT64.
    Float64(f64),
    /// NUMERIC, scaled by 10^9.
    Numeric(i128),
    /// BIGNUMERIC, scaled by 10^38.
    BigNumeric(i256),
    /// STRING.
    String(Arc<str>),
    /// BYTES.
    Bytes(Arc<[u8]>),
    /// DATE, in days since the epoch.
    Date(i32),
    /// TIME, in microseconds since midnight.
    Time(i64),
    /// DATETIME, in microseconds since 1970-01-01 00:00 of no zone.
    DateTime(i64),
    /// TIMESTAMP, in microseconds since the epoch.
    Timestamp(i64),
    /// JSON, as text.
    Json(Arc<str>),
    /// GEOGRAPHY, as text.
    Geography(Arc<str>),
    /// STRUCT: the fields' values in order.
    Struct(Arc<[Value]>),
    /// ARRAY.
    Array(Arc<[Value]>),
}

impl Value {
    /// A STRING.
    #[must_use]
    pub fn string(text: impl AsRef<str>) -> Self {
        Self::String(Arc::from(text.as_ref()))
    }

    /// Whether this is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a STRING, JSON or GEOGRAPHY.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Json(text) | Self::Geography(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an INT64.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int64(number) => Some(*number),
            _ => None,
        }
    }

    /// Bytes BigQuery counts for this value when it sizes tables and queries.
    pub(crate) fn logical_bytes(&self) -> u64 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int64(_)
            | Self::Float64(_)
            | Self::Date(_)
            | Self::Time(_)
            | Self::DateTime(_)
            | Self::Timestamp(_) => 8,
            Self::Numeric(_) => 16,
            Self::BigNumeric(_) => 32,
            Self::String(text) | Self::Json(text) | Self::Geography(text) => 2 + text.len() as u64,
            Self::Bytes(bytes) => 2 + bytes.len() as u64,
            Self::Struct(values) | Self::Array(values) => {
                values.iter().map(Self::logical_bytes).sum()
            }
        }
    }

    /// Compares as SQL's `=`, `<`, `>` do: `None` if either is NULL, holds a NULL or is a NaN. Both must be of
    /// one type (the binder sees to it).
    pub(crate) fn sql_compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Float64(left), Self::Float64(right)) => left.partial_cmp(right),
            (Self::Struct(left), Self::Struct(right)) => left
                .iter()
                .zip(right.iter())
                .map(|(left, right)| left.sql_compare(right))
                .find(|order| *order != Some(Ordering::Equal))
                .unwrap_or(Some(Ordering::Equal)),
            _ => Some(self.total_compare(other)),
        }
    }

    /// Compares as ORDER BY does: NULL first, then NaN, then the numbers; total.
    pub(crate) fn total_compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Int64(left), Self::Int64(right))
            | (Self::Time(left), Self::Time(right))
            | (Self::DateTime(left), Self::DateTime(right))
            | (Self::Timestamp(left), Self::Timestamp(right)) => left.cmp(right),
            (Self::Float64(left), Self::Float64(right)) => compare_floats(*left, *right),
            (Self::Numeric(left), Self::Numeric(right)) => left.cmp(right),
            (Self::BigNumeric(left), Self::BigNumeric(right)) => left.cmp(right),
            (Self::String(left), Self::String(right))
            | (Self::Json(left), Self::Json(right))
            | (Self::Geography(left), Self::Geography(right)) => left.cmp(right),
            (Self::Bytes(left), Self::Bytes(right)) => left.cmp(right),
            (Self::Date(left), Self::Date(right)) => left.cmp(right),
            (Self::Struct(left), Self::Struct(right)) | (Self::Array(left), Self::Array(right)) => {
                compare_lists(left, right)
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// Orders values of different types; only NULL against something can happen in a typed query.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int64(_) => 2,
            Self::Float64(_) => 3,
            Self::Numeric(_) => 4,
            Self::BigNumeric(_) => 5,
            Self::String(_) => 6,
            Self::Bytes(_) => 7,
            Self::Date(_) => 8,
            Self::Time(_) => 9,
            Self::DateTime(_) => 10,
            Self::Timestamp(_) => 11,
            Self::Json(_) => 12,
            Self::Geography(_) => 13,
            Self::Struct(_) => 14,
            Self::Array(_) => 15,
        }
    }
}

/// NaN before all numbers; the two zeros equal.
fn compare_floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

fn compare_lists(left: &[Value], right: &[Value]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| left.total_compare(right))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// A value as GROUP BY and DISTINCT see it: NULLs are one group, so are NaNs, so are the two zeros.
#[derive(Clone, Debug)]
pub(crate) struct GroupKey(pub(crate) Value);

impl PartialEq for GroupKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_compare(&other.0).is_eq()
    }
}

impl Eq for GroupKey {}

impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_value(&self.0, state);
    }
}

fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
    value.rank().hash(state);
    match value {
        Value::Null => {}
        Value::Bool(value) => value.hash(state),
        Value::Int64(value)
        | Value::Time(value)
        | Value::DateTime(value)
        | Value::Timestamp(value) => value.hash(state),
        Value::Float64(value) if value.is_nan() => f64::NAN.to_bits().hash(state),
        // Adding zero turns the negative zero into the positive one.
        Value::Float64(value) => (value + 0.0).to_bits().hash(state),
        Value::Numeric(value) => value.hash(state),
        Value::BigNumeric(value) => value.hash(state),
        Value::String(text) | Value::Json(text) | Value::Geography(text) => text.hash(state),
        Value::Bytes(bytes) => bytes.hash(state),
        Value::Date(value) => value.hash(state),
        Value::Struct(values) | Value::Array(values) => {
            values.len().hash(state);
            values.iter().for_each(|value| hash_value(value, state));
        }
    }
}

#[cfg(test)]
mod tests {
    use rustc_hash::FxHashSet;

    use super::*;

    #[test]
    fn null_and_nan_compare_as_sql_demands() {
        let nan = Value::Float64(f64::NAN);
        assert_eq!(Value::Null.sql_compare(&Value::Int64(1)), None);
        assert_eq!(nan.sql_compare(&nan), None);
        assert_eq!(nan.total_compare(&nan), Ordering::Equal);
        assert_eq!(Value::Null.total_compare(&nan), Ordering::Less);
        assert_eq!(nan.total_compare(&Value::Float64(f64::NEG_INFINITY)), Ordering::Less);
    }

    #[test]
    fn nans_nulls_and_zeros_form_one_group_each() {
        let values = [
            Value::Null,
            Value::Null,
            Value::Float64(f64::NAN),
            Value::Float64(-f64::NAN),
            Value::Float64(0.0),
            Value::Float64(-0.0),
        ];
        let groups: FxHashSet<GroupKey> = values.into_iter().map(GroupKey).collect();
        assert_eq!(groups.len(), 3);
    }

    #[test]
    fn sizes_are_the_billed_ones() {
        assert_eq!(Value::string("abc").logical_bytes(), 5);
        assert_eq!(Value::Numeric(1).logical_bytes(), 16);
        let pair = Value::Struct(Arc::from([Value::Int64(1), Value::Null]));
        assert_eq!(pair.logical_bytes(), 8);
    }
}
