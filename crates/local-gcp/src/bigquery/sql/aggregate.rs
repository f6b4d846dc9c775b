//! Aggregate functions: what they keep per group and what they yield.

use arrow_buffer::i256;
use rustc_hash::FxHashSet;

use super::arithmetic::Arithmetic;
use super::error::SqlError;
use super::expression::{Node, Row};
use super::types::DataType;
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::value::{GroupKey, Value};

type Result<T> = std::result::Result<T, SqlError>;

/// The aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Count,
    CountDistinct,
    CountIf,
    Sum,
    Average,
    Min,
    Max,
    AnyValue,
    LogicalAnd,
    LogicalOr,
    ArrayAgg,
}

impl Kind {
    /// The function of a name in upper case.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "COUNT" => Self::Count,
            // Exact here, which is within its promise.
            "APPROX_COUNT_DISTINCT" => Self::CountDistinct,
            "COUNTIF" => Self::CountIf,
            "SUM" => Self::Sum,
            "AVG" => Self::Average,
            "MIN" => Self::Min,
            "MAX" => Self::Max,
            "ANY_VALUE" => Self::AnyValue,
            "LOGICAL_AND" => Self::LogicalAnd,
            "LOGICAL_OR" => Self::LogicalOr,
            "ARRAY_AGG" => Self::ArrayAgg,
            _ => return None,
        })
    }
}

/// One aggregate of a query.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) kind: Kind,
    /// `None` for `COUNT(*)`.
    pub(super) argument: Option<Node>,
    pub(super) distinct: bool,
    pub(super) result_type: DataType,
}

impl Aggregate {
    /// What a group without rows has.
    pub(super) fn start(&self) -> Accumulator {
        Accumulator {
            kind: self.kind,
            seen: self.distinct.then(FxHashSet::default),
            count: 0,
            value: Value::Null,
            sum: i256::ZERO,
            items: Vec::new(),
        }
    }

    /// Takes in a row.
    pub(super) fn update(&self, accumulator: &mut Accumulator, row: Row<'_>) -> Result<()> {
        match &self.argument {
            None => {
                accumulator.count += 1;
                Ok(())
            }
            Some(node) => accumulator.add(node.eval(row)?),
        }
    }
}

/// What one aggregate has gathered of one group.
#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    kind: Kind,
    /// Values seen, if each counts once.
    seen: Option<FxHashSet<GroupKey>>,
    count: i64,
    value: Value,
    /// Sum of decimals and integers: wide, so that only the final result can overflow.
    sum: i256,
    items: Vec<Value>,
}

impl Accumulator {
    fn add(&mut self, value: Value) -> Result<()> {
        if value.is_null() {
            return self.add_null();
        }
        if let Some(seen) = &mut self.seen
            && !seen.insert(GroupKey(value.clone()))
        {
            return Ok(());
        }
        match self.kind {
            Kind::Count | Kind::CountDistinct => self.count += 1,
            Kind::CountIf => self.count += i64::from(value == Value::Bool(true)),
            Kind::Sum | Kind::Average => self.add_number(value)?,
            Kind::Min | Kind::Max => self.keep_extreme(value),
            Kind::AnyValue => {
                if self.count == 0 {
                    self.value = value;
                }
                self.count += 1;
            }
            Kind::LogicalAnd | Kind::LogicalOr => {
                let decisive = Value::Bool(self.kind == Kind::LogicalOr);
                if self.value.is_null() || value == decisive {
                    self.value = value;
                }
            }
            Kind::ArrayAgg => self.items.push(value),
        }
        Ok(())
    }

    /// About how many bytes it holds.
    #[cfg(feature = "sql")]
    pub(super) fn size(&self) -> usize {
        let seen = self.seen.as_ref().map_or(0, FxHashSet::len);
        (seen + self.items.len()) * size_of::<Value>()
    }

    fn add_null(&self) -> Result<()> {
        match self.kind {
            Kind::ArrayAgg => Err(SqlError::query(
                "Array cannot have a null element; error in writing field of ARRAY_AGG",
            )),
            _ => Ok(()),
        }
    }

    fn add_number(&mut self, value: Value) -> Result<()> {
        self.count += 1;
        let wide = match &value {
            Value::Int64(number) => Some(i256::from_i128((*number).into())),
            Value::Numeric(number) => Some(i256::from_i128(*number)),
            Value::BigNumeric(number) => Some(*number),
            _ => None,
        };
        match wide {
            Some(number) => {
                let sum = self.sum.checked_add(number);
                self.sum = sum.ok_or_else(|| SqlError::query("bignumeric overflow in SUM"))?;
                self.value = value;
            }
            None if self.value.is_null() => self.value = value,
            None => self.value = Arithmetic::Add.apply(&self.value, &value)?,
        }
        Ok(())
    }

    /// Keeps the least or greatest value; a NaN is both.
    fn keep_extreme(&mut self, value: Value) {
        let is_nan = |value: &Value| matches!(value, Value::Float64(number) if number.is_nan());
        let better = self.value.is_null()
            || is_nan(&value)
            || match self.kind {
                Kind::Min => value.total_compare(&self.value).is_lt(),
                _ => value.total_compare(&self.value).is_gt(),
            };
        if better && !is_nan(&self.value) {
            self.value = value;
        }
    }

    /// The aggregate's value.
    pub(super) fn finish(self) -> Result<Value> {
        match self.kind {
            Kind::Count | Kind::CountDistinct | Kind::CountIf => Ok(Value::Int64(self.count)),
            Kind::Sum => self.finish_sum(),
            Kind::Average => self.finish_average(),
            Kind::ArrayAgg if self.items.is_empty() => Ok(Value::Null),
            Kind::ArrayAgg => Ok(Value::Array(self.items.into())),
            _ => Ok(self.value),
        }
    }

    fn finish_sum(self) -> Result<Value> {
        let overflow = |kind: &str| SqlError::query(format!("{kind} overflow in SUM"));
        match self.value {
            Value::Int64(_) => {
                let sum = self.sum.to_i128().and_then(|sum| i64::try_from(sum).ok());
                sum.map(Value::Int64).ok_or_else(|| overflow("int64"))
            }
            Value::Numeric(_) => {
                let sum = decimal::to_numeric(self.sum);
                sum.map(Value::Numeric).ok_or_else(|| overflow("numeric"))
            }
            Value::BigNumeric(_) => Ok(Value::BigNumeric(self.sum)),
            other => Ok(other),
        }
    }

    fn finish_average(self) -> Result<Value> {
        let count = i256::from_i128(self.count.into());
        let scaled = |scale| {
            let count = decimal::rescale(count, 0, scale)?;
            decimal::divide(self.sum, count, scale)
        };
        let average = match &self.value {
            Value::Float64(sum) => Some(Value::Float64(sum / self.count as f64)),
            Value::Numeric(_) => {
                scaled(NUMERIC_SCALE).and_then(decimal::to_numeric).map(Value::Numeric)
            }
            Value::BigNumeric(_) => scaled(BIGNUMERIC_SCALE).map(Value::BigNumeric),
            other => Some(other.clone()),
        };
        average.ok_or_else(|| SqlError::query("numeric overflow in AVG"))
    }
}
