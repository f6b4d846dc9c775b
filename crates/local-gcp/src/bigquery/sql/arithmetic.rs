//! `+ - * /` and unary minus on numbers, with BigQuery's overflow and division errors.

use arrow_buffer::i256;

use super::cast::to_text;
use super::error::SqlError;
use super::types::DataType;
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Arithmetic {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    /// The type operands of this common type are brought to, which is also the result's.
    pub(crate) fn result_type(self, operands: DataType) -> DataType {
        if self == Self::Divide && operands == DataType::Int64 {
            DataType::Float64
        } else {
            operands
        }
    }

    /// Applies the operator to two numbers of one type.
    pub(crate) fn apply(self, left: &Value, right: &Value) -> Result<Value> {
        let overflow = |kind: &str| {
            let (left, right) = (shown(left), shown(right));
            SqlError::query(format!("{kind} overflow: {left} {} {right}", self.symbol()))
        };
        if self == Self::Divide && is_zero(right) {
            return Err(division_by_zero(left, right, "/"));
        }
        match (left, right) {
            (Value::Int64(left), Value::Int64(right)) => {
                let result = match self {
                    Self::Add => left.checked_add(*right),
                    Self::Subtract => left.checked_sub(*right),
                    Self::Multiply => left.checked_mul(*right),
                    Self::Divide => left.checked_div(*right),
                };
                result.map(Value::Int64).ok_or_else(|| overflow("int64"))
            }
            (Value::Float64(left), Value::Float64(right)) => {
                let result = match self {
                    Self::Add => left + right,
                    Self::Subtract => left - right,
                    Self::Multiply => left * right,
                    Self::Divide => left / right,
                };
                let overflows = result.is_infinite() && left.is_finite() && right.is_finite();
                if overflows { Err(overflow("double")) } else { Ok(Value::Float64(result)) }
            }
            (Value::Numeric(left), Value::Numeric(right)) => self
                .decimal(i256::from_i128(*left), i256::from_i128(*right), NUMERIC_SCALE)
                .and_then(decimal::to_numeric)
                .map(Value::Numeric)
                .ok_or_else(|| overflow("numeric")),
            (Value::BigNumeric(left), Value::BigNumeric(right)) => self
                .decimal(*left, *right, BIGNUMERIC_SCALE)
                .map(Value::BigNumeric)
                .ok_or_else(|| overflow("bignumeric")),
            _ => Err(SqlError::query(format!("{} needs two numbers of one type", self.symbol()))),
        }
    }

    fn decimal(self, left: i256, right: i256, scale: u32) -> Option<i256> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => decimal::multiply(left, right, scale),
            Self::Divide => decimal::divide(left, right, scale),
        }
    }
}

/// The negative of a number.
pub(crate) fn negate(value: &Value) -> Result<Value> {
    let negated = match value {
        Value::Int64(value) => value.checked_neg().map(Value::Int64),
        Value::Float64(value) => Some(Value::Float64(-value)),
        Value::Numeric(value) => Some(Value::Numeric(-value)),
        Value::BigNumeric(value) => value.checked_neg().map(Value::BigNumeric),
        _ => None,
    };
    negated.ok_or_else(|| SqlError::query(format!("int64 overflow: -({})", shown(value))))
}

/// Integer division or remainder, DIV and MOD.
pub(crate) fn divide_whole(left: &Value, right: &Value, remainder: bool) -> Result<Value> {
    let name = if remainder { "MOD" } else { "DIV" };
    if is_zero(right) {
        return Err(division_by_zero(left, right, name));
    }
    let result = match (left, right) {
        (Value::Int64(left), Value::Int64(right)) => {
            // The one case that overflows, MIN / -1, has the remainder 0.
            let result =
                if remainder { Some(left.wrapping_rem(*right)) } else { left.checked_div(*right) };
            result.map(Value::Int64)
        }
        (Value::Numeric(left), Value::Numeric(right)) if remainder => {
            Some(Value::Numeric(left % right))
        }
        (Value::Numeric(left), Value::Numeric(right)) => i256::from_i128(left / right)
            .checked_mul(i256::from_i128(10_i128.pow(NUMERIC_SCALE)))
            .and_then(decimal::to_numeric)
            .map(Value::Numeric),
        (Value::BigNumeric(left), Value::BigNumeric(right)) if remainder => {
            left.checked_rem(*right).map(Value::BigNumeric)
        }
        (Value::BigNumeric(left), Value::BigNumeric(right)) => left
            .checked_div(*right)
            .and_then(|whole| decimal::rescale(whole, 0, BIGNUMERIC_SCALE))
            .map(Value::BigNumeric),
        _ => None,
    };
    result.ok_or_else(|| {
        SqlError::query(format!("int64 overflow: {name}({}, {})", shown(left), shown(right)))
    })
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Int64(value) => *value == 0,
        Value::Float64(value) => *value == 0.0,
        Value::Numeric(value) => *value == 0,
        Value::BigNumeric(value) => *value == i256::ZERO,
        _ => false,
    }
}

fn division_by_zero(left: &Value, right: &Value, operator: &str) -> SqlError {
    SqlError::query(format!("division by zero: {} {operator} {}", shown(left), shown(right)))
}

fn shown(value: &Value) -> String {
    to_text(value).unwrap_or_else(|_| format!("{value:?}"))
}
