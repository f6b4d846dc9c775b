//! Bound expressions and their evaluation on one row.

use std::fmt;
use std::sync::Arc;

use super::error::SqlError;
use super::types::DataType;
use crate::bigquery::rows::Column;
use crate::bigquery::value::Value;

/// An expression whose names and types are resolved.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) node: Node,
    pub(crate) data_type: DataType,
    /// A literal or parameter: it coerces more freely than other expressions.
    pub(crate) is_literal: bool,
}

impl Bound {
    pub(crate) fn new(node: Node, data_type: DataType) -> Self {
        Self { node, data_type, is_literal: false }
    }

    pub(crate) fn literal(value: Value, data_type: DataType) -> Self {
        Self { node: Node::Constant(value), data_type, is_literal: true }
    }

    /// Whether this is the literal NULL (or a NULL parameter), which has every type.
    pub(crate) fn is_null_literal(&self) -> bool {
        self.is_literal && matches!(self.node, Node::Constant(Value::Null))
    }
}

/// A function over evaluated arguments.
pub(crate) type Function = Arc<dyn Fn(&[Value]) -> Result<Value, SqlError> + Send + Sync>;

/// What an expression computes.
#[derive(Clone)]
pub(crate) enum Node {
    Constant(Value),
    /// A column of the input row.
    Column(usize),
    /// A field of a STRUCT.
    Field(Box<Node>, usize),
    /// A comparison, kept apart because scans run some of them on whole columns.
    Compare(Comparison, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    /// The first branch whose condition is TRUE.
    Case(Vec<(Node, Node)>, Box<Node>),
    /// The first value that is not NULL.
    Coalesce(Vec<Node>),
    Call(Call),
}

/// A function call.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) arguments: Vec<Node>,
    /// A NULL argument makes the result NULL without a call.
    pub(crate) strict: bool,
    /// An error of the function (not of its arguments) makes the result NULL.
    pub(crate) safe: bool,
}

/// The comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Applies the operator to an order; `None` means a NaN is involved.
    pub(crate) fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        let Some(order) = order else { return self == Self::NotEqual };
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// The operator with its sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// The row an expression is evaluated on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row<'a> {
    /// A row of a batch.
    Batch(&'a [Column<'a>], usize),
    /// A row of values: the result of grouping.
    Values(&'a [Value]),
}

impl Row<'_> {
    /// A row of no columns.
    pub(crate) const EMPTY: Self = Self::Values(&[]);

    fn column(&self, index: usize) -> Value {
        match self {
            Self::Batch(columns, row) => {
                columns.get(index).map_or(Value::Null, |column| column.value(*row))
            }
            Self::Values(values) => values.get(index).cloned().unwrap_or(Value::Null),
        }
    }
}

impl Node {
    /// The value of the expression on a row.
    pub(crate) fn eval(&self, row: Row<'_>) -> Result<Value, SqlError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Column(index) => Ok(row.column(*index)),
            Self::Field(record, index) => Ok(match record.eval(row)? {
                Value::Struct(values) => values.get(*index).cloned().unwrap_or(Value::Null),
                _ => Value::Null,
            }),
            Self::Compare(comparison, left, right) => {
                Ok(compare(*comparison, &left.eval(row)?, &right.eval(row)?))
            }
            Self::And(left, right) => connect(left, right, row, false),
            Self::Or(left, right) => connect(left, right, row, true),
            Self::Not(inner) => Ok(match inner.eval(row)? {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            }),
            Self::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    if condition.holds(row)? {
                        return result.eval(row);
                    }
                }
                otherwise.eval(row)
            }
            Self::Coalesce(nodes) => {
                for node in nodes {
                    let value = node.eval(row)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Self::Call(call) => call.eval(row),
        }
    }

    /// Whether the expression is TRUE on a row.
    pub(crate) fn holds(&self, row: Row<'_>) -> Result<bool, SqlError> {
        Ok(self.eval(row)? == Value::Bool(true))
    }

    /// Calls `visit` with every column the expression reads.
    pub(crate) fn visit_columns(&self, visit: &mut impl FnMut(usize)) {
        match self {
            Self::Constant(_) => {}
            Self::Column(index) => visit(*index),
            Self::Field(inner, _) | Self::Not(inner) => inner.visit_columns(visit),
            Self::Compare(_, left, right) | Self::And(left, right) | Self::Or(left, right) => {
                left.visit_columns(visit);
                right.visit_columns(visit);
            }
            Self::Case(branches, otherwise) => {
                for (condition, result) in branches {
                    condition.visit_columns(visit);
                    result.visit_columns(visit);
                }
                otherwise.visit_columns(visit);
            }
            Self::Coalesce(nodes) => nodes.iter().for_each(|node| node.visit_columns(visit)),
            Self::Call(call) => call.arguments.iter().for_each(|node| node.visit_columns(visit)),
        }
    }

    /// Whether the value is the same on all rows.
    pub(crate) fn is_constant(&self) -> bool {
        let mut constant = true;
        self.visit_columns(&mut |_| constant = false);
        constant
    }
}

impl Call {
    fn eval(&self, row: Row<'_>) -> Result<Value, SqlError> {
        let arguments =
            self.arguments.iter().map(|node| node.eval(row)).collect::<Result<Vec<_>, _>>()?;
        if self.strict && arguments.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        match (self.function)(&arguments) {
            Err(_) if self.safe => Ok(Value::Null),
            result => result,
        }
    }
}

/// A comparison under three-valued logic.
pub(crate) fn compare(comparison: Comparison, left: &Value, right: &Value) -> Value {
    if left.is_null() || right.is_null() {
        return Value::Null;
    }
    let order = left.sql_compare(right);
    // Structs may hold NULLs: then the answer is unknown, unlike with NaN.
    if order.is_none() && matches!(left, Value::Struct(_)) {
        return Value::Null;
    }
    Value::Bool(comparison.holds(order))
}

/// AND (`decisive` FALSE) or OR (`decisive` TRUE) under three-valued logic; the right side is skipped when the left
/// decides.
fn connect(left: &Node, right: &Node, row: Row<'_>, decisive: bool) -> Result<Value, SqlError> {
    let left = left.eval(row)?;
    if left == Value::Bool(decisive) {
        return Ok(left);
    }
    let right = right.eval(row)?;
    Ok(if right == Value::Bool(decisive) || left != Value::Null { right } else { Value::Null })
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => write!(f, "{value:?}"),
            Self::Column(index) => write!(f, "#{index}"),
            Self::Field(record, index) => write!(f, "{record:?}.{index}"),
            Self::Compare(comparison, left, right) => {
                write!(f, "({left:?} {comparison:?} {right:?})")
            }
            Self::And(left, right) => write!(f, "({left:?} AND {right:?})"),
            Self::Or(left, right) => write!(f, "({left:?} OR {right:?})"),
            Self::Not(inner) => write!(f, "NOT {inner:?}"),
            Self::Case(branches, otherwise) => write!(f, "CASE {branches:?} ELSE {otherwise:?}"),
            Self::Coalesce(nodes) => write!(f, "COALESCE{nodes:?}"),
            Self::Call(call) => write!(f, "call{:?}", call.arguments),
        }
    }
}
