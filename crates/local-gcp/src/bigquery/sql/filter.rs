//! WHERE over a batch: comparisons of a column with a constant run on the whole column, the rest row by row.

use arrow_array::{Array, PrimitiveArray, types::ArrowPrimitiveType};

use super::error::SqlError;
use super::expression::{Comparison, Node, Row, compare};
use crate::bigquery::rows::Column;
use crate::bigquery::value::Value;

/// A WHERE condition, taken apart at its top-level ANDs.
#[derive(Debug)]
pub(super) struct Filter {
    /// `column <op> constant`.
    simple: Vec<(usize, Comparison, Value)>,
    rest: Vec<Node>,
}

impl Filter {
    /// Takes a condition apart; none lets all rows pass.
    pub(super) fn new(condition: Option<&Node>) -> Self {
        let mut filter = Self { simple: Vec::new(), rest: Vec::new() };
        if let Some(condition) = condition {
            filter.add(condition);
        }
        filter
    }

    fn add(&mut self, condition: &Node) {
        match condition {
            Node::And(left, right) => {
                self.add(left);
                self.add(right);
            }
            Node::Compare(comparison, left, right) => match (column(left), constant(right)) {
                (Some(index), Some(value)) => self.simple.push((index, *comparison, value)),
                _ => match (constant(left), column(right)) {
                    (Some(value), Some(index)) => {
                        self.simple.push((index, comparison.flipped(), value));
                    }
                    _ => self.rest.push(condition.clone()),
                },
            },
            other => self.rest.push(other.clone()),
        }
    }

    /// The rows of a batch that pass, ascending.
    pub(super) fn select(
        &self,
        columns: &[Column<'_>],
        rows: usize,
    ) -> Result<Vec<usize>, SqlError> {
        let mut passed = vec![true; rows];
        for (index, comparison, value) in &self.simple {
            if let Some(column) = columns.get(*index) {
                narrow(column, *comparison, value, &mut passed);
            }
        }
        let mut selected: Vec<usize> = (0..rows).filter(|row| passed[*row]).collect();
        for node in &self.rest {
            let mut kept = Vec::with_capacity(selected.len());
            for row in selected {
                if node.holds(Row::Batch(columns, row))? {
                    kept.push(row);
                }
            }
            selected = kept;
        }
        Ok(selected)
    }
}

fn column(node: &Node) -> Option<usize> {
    match node {
        Node::Column(index) => Some(*index),
        _ => None,
    }
}

/// The value of an expression that is the same for all rows. Errors are left to the evaluation by row.
fn constant(node: &Node) -> Option<Value> {
    node.is_constant().then(|| node.eval(Row::EMPTY).ok()).flatten()
}

/// Keeps the rows whose value compares as asked.
fn narrow(column: &Column<'_>, comparison: Comparison, value: &Value, passed: &mut [bool]) {
    match (column, value) {
        (_, Value::Null) => passed.fill(false),
        (Column::Int64(array), Value::Int64(value)) => numbers(array, comparison, *value, passed),
        (Column::Float64(array), Value::Float64(value)) => {
            numbers(array, comparison, *value, passed)
        }
        (Column::Numeric(array), Value::Numeric(value)) => {
            numbers(array, comparison, *value, passed)
        }
        (Column::Date(array), Value::Date(value)) => numbers(array, comparison, *value, passed),
        (Column::Time(array), Value::Time(value)) => numbers(array, comparison, *value, passed),
        (Column::DateTime(array), Value::DateTime(value))
        | (Column::Timestamp(array), Value::Timestamp(value)) => {
            numbers(array, comparison, *value, passed);
        }
        (Column::Text(array, _), Value::String(value)) if comparison == Comparison::Equal => {
            // Equality needs no order: lengths differ for most rows.
            for (row, passed) in passed.iter_mut().enumerate() {
                *passed = *passed && !array.is_null(row) && array.value(row) == value.as_ref();
            }
        }
        (Column::Text(array, _), Value::String(value)) => {
            for (row, passed) in passed.iter_mut().enumerate() {
                let holds = || comparison.holds(Some(array.value(row).cmp(value.as_ref())));
                *passed = *passed && !array.is_null(row) && holds();
            }
        }
        (column, value) => {
            for (row, passed) in passed.iter_mut().enumerate() {
                *passed =
                    *passed && compare(comparison, &column.value(row), value) == Value::Bool(true);
            }
        }
    }
}

fn numbers<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    comparison: Comparison,
    value: T::Native,
    passed: &mut [bool],
) where
    T::Native: PartialOrd,
{
    for (row, passed) in passed.iter_mut().enumerate() {
        let holds = || comparison.holds(array.value(row).partial_cmp(&value));
        *passed = *passed && !array.is_null(row) && holds();
    }
}
