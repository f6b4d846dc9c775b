//! Binds functions of numbers that work on every numeric type.

use std::sync::Arc;

use arrow_buffer::i256;

use super::arithmetic::{Arithmetic, divide_whole, negate};
use super::bind::Result;
use super::error::SqlError;
use super::expression::{Bound, Call, Function, Node};
use super::operators::{coerce, coerces, no_signature, unify};
use super::types::DataType;
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::value::Value;

/// How a number is brought to a number of digits.
#[derive(Clone, Copy, Debug)]
enum Rounding {
    HalfAway,
    TowardsZero,
    Up,
    Down,
}

/// Binds a call of a numeric function; `None` if no function here has this name.
pub(super) fn bind(name: &str, arguments: &[Bound], safe: bool) -> Option<Result<Bound>> {
    let all = || arguments.to_vec();
    Some(match (name, arguments.len()) {
        ("ABS", 1) => unary(name, all(), safe, absolute),
        ("SIGN", 1) => unary(name, all(), safe, sign),
        ("ROUND", 1..=2) => rounding(name, all(), Rounding::HalfAway),
        ("TRUNC", 1..=2) => rounding(name, all(), Rounding::TowardsZero),
        ("CEIL" | "CEILING", 1) => rounding(name, all(), Rounding::Up),
        ("FLOOR", 1) => rounding(name, all(), Rounding::Down),
        ("MOD", 2) => {
            binary(name, all(), safe, None, |left, right| divide_whole(left, right, true))
        }
        ("DIV", 2) => {
            binary(name, all(), safe, None, |left, right| divide_whole(left, right, false))
        }
        ("SAFE_ADD", 2) => safe_arithmetic(name, all(), Arithmetic::Add),
        ("SAFE_SUBTRACT", 2) => safe_arithmetic(name, all(), Arithmetic::Subtract),
        ("SAFE_MULTIPLY", 2) => safe_arithmetic(name, all(), Arithmetic::Multiply),
        ("SAFE_DIVIDE", 2) => safe_arithmetic(name, all(), Arithmetic::Divide),
        ("IEEE_DIVIDE", 2) => binary(name, all(), safe, Some(DataType::Float64), ieee_divide),
        ("SAFE_NEGATE", 1) => unary(name, all(), true, negate),
        (
            "ABS" | "SIGN" | "ROUND" | "TRUNC" | "CEIL" | "CEILING" | "FLOOR" | "MOD" | "DIV"
            | "SAFE_ADD" | "SAFE_SUBTRACT" | "SAFE_MULTIPLY" | "SAFE_DIVIDE" | "IEEE_DIVIDE"
            | "SAFE_NEGATE",
            _,
        ) => Err(no_signature(&format!("function {name}"), arguments.iter())),
        _ => return None,
    })
}

fn unary(
    name: &str,
    arguments: Vec<Bound>,
    safe: bool,
    code: fn(&Value) -> Result<Value>,
) -> Result<Bound> {
    let (arguments, data_type) = numbers(name, arguments, None)?;
    let function: Function = Arc::new(move |arguments| code(&arguments[0]));
    let node = Node::Call(Call { function, arguments, strict: true, safe });
    Ok(Bound::new(node, data_type))
}

fn binary(
    name: &str,
    arguments: Vec<Bound>,
    safe: bool,
    target: Option<DataType>,
    code: fn(&Value, &Value) -> Result<Value>,
) -> Result<Bound> {
    let (arguments, data_type) = numbers(name, arguments, target)?;
    let function: Function = Arc::new(move |arguments| code(&arguments[0], &arguments[1]));
    let node = Node::Call(Call { function, arguments, strict: true, safe });
    Ok(Bound::new(node, data_type))
}

fn safe_arithmetic(name: &str, arguments: Vec<Bound>, operator: Arithmetic) -> Result<Bound> {
    let common = numbers(name, arguments.clone(), None)?.1;
    let (arguments, data_type) = numbers(name, arguments, Some(operator.result_type(common)))?;
    let function: Function =
        Arc::new(move |arguments| operator.apply(&arguments[0], &arguments[1]));
    let node = Node::Call(Call { function, arguments, strict: true, safe: true });
    Ok(Bound::new(node, data_type))
}

/// Brings arguments to one numeric type, the given one or their common one.
fn numbers(
    name: &str,
    arguments: Vec<Bound>,
    target: Option<DataType>,
) -> Result<(Vec<Node>, DataType)> {
    let operator = format!("function {name}");
    let (arguments, common) = unify(arguments, &operator)?;
    let target = target.unwrap_or(common);
    if !target.is_numeric() || !arguments.iter().all(|bound| coerces(bound, &target)) {
        return Err(no_signature(&operator, arguments.iter()));
    }
    let nodes = arguments.into_iter().map(|bound| Ok(coerce(bound, &target)?.node));
    Ok((nodes.collect::<Result<_>>()?, target))
}

fn absolute(value: &Value) -> Result<Value> {
    match value {
        Value::Int64(number) if *number >= 0 => Ok(value.clone()),
        Value::Float64(number) => Ok(Value::Float64(number.abs())),
        Value::Numeric(number) => Ok(Value::Numeric(number.abs())),
        Value::BigNumeric(number) if !number.is_negative() => Ok(value.clone()),
        other => negate(other),
    }
}

fn sign(value: &Value) -> Result<Value> {
    let one = 10_i128.pow(NUMERIC_SCALE);
    Ok(match value {
        Value::Int64(number) => Value::Int64(number.signum()),
        Value::Float64(number) if *number == 0.0 || number.is_nan() => value.clone(),
        Value::Float64(number) => Value::Float64(number.signum()),
        Value::Numeric(number) => Value::Numeric(number.signum() * one),
        Value::BigNumeric(number) => {
            let unit = decimal::power_of_ten(BIGNUMERIC_SCALE).unwrap_or(i256::ONE);
            let signum = if number.is_negative() { unit.wrapping_neg() } else { unit };
            Value::BigNumeric(if *number == i256::ZERO { i256::ZERO } else { signum })
        }
        other => other.clone(),
    })
}

fn ieee_divide(left: &Value, right: &Value) -> Result<Value> {
    match (left, right) {
        (Value::Float64(left), Value::Float64(right)) => Ok(Value::Float64(left / right)),
        _ => Err(SqlError::query("IEEE_DIVIDE needs two FLOAT64")),
    }
}

/// `ROUND(x[, digits])` and its sisters; INT64 becomes FLOAT64 as in BigQuery.
fn rounding(name: &str, mut arguments: Vec<Bound>, mode: Rounding) -> Result<Bound> {
    let digits = if arguments.len() == 2 { arguments.pop() } else { None };
    let digits = match digits {
        Some(digits) if coerces(&digits, &DataType::Int64) => {
            coerce(digits, &DataType::Int64)?.node
        }
        Some(digits) => {
            return Err(no_signature(&format!("function {name}"), [&digits].into_iter()));
        }
        None => Node::Constant(Value::Int64(0)),
    };
    let common = numbers(name, arguments.clone(), None)?.1;
    let target = if common == DataType::Int64 { DataType::Float64 } else { common };
    let (mut nodes, data_type) = numbers(name, arguments, Some(target))?;
    nodes.push(digits);
    let function: Function = Arc::new(move |arguments| {
        let digits = arguments[1].as_i64().unwrap_or(0);
        let rounded = round(&arguments[0], digits, mode);
        rounded.ok_or_else(|| SqlError::query("Rounding result is out of range"))
    });
    Ok(Bound::new(
        Node::Call(Call { function, arguments: nodes, strict: true, safe: false }),
        data_type,
    ))
}

fn round(value: &Value, digits: i64, mode: Rounding) -> Option<Value> {
    match value {
        Value::Float64(number) => Some(Value::Float64(round_float(*number, digits, mode))),
        Value::Numeric(number) => {
            let rounded = round_decimal(i256::from_i128(*number), digits, NUMERIC_SCALE, mode)?;
            decimal::to_numeric(rounded).map(Value::Numeric)
        }
        Value::BigNumeric(number) => {
            round_decimal(*number, digits, BIGNUMERIC_SCALE, mode).map(Value::BigNumeric)
        }
        _ => None,
    }
}

fn round_float(number: f64, digits: i64, mode: Rounding) -> f64 {
    let apply = |number: f64| match mode {
        Rounding::HalfAway => number.round(),
        Rounding::TowardsZero => number.trunc(),
        Rounding::Up => number.ceil(),
        Rounding::Down => number.floor(),
    };
    if digits == 0 || !number.is_finite() {
        return apply(number);
    }
    let power = 10_f64.powi(i32::try_from(digits.clamp(-400, 400)).unwrap_or(0));
    let scaled = number * power;
    // Beyond the digits a double has, there is nothing to round.
    if scaled.is_finite() && power > 0.0 { apply(scaled) / power } else { number }
}

fn round_decimal(number: i256, digits: i64, scale: u32, mode: Rounding) -> Option<i256> {
    let dropped = i64::from(scale).checked_sub(digits)?;
    if dropped <= 0 {
        return Some(number);
    }
    let Some(unit) = u32::try_from(dropped).ok().and_then(decimal::power_of_ten) else {
        return Some(i256::ZERO);
    };
    let remainder = number.checked_rem(unit)?;
    let whole = number.checked_sub(remainder)?;
    let up = remainder != i256::ZERO && !number.is_negative();
    let down = remainder != i256::ZERO && number.is_negative();
    match mode {
        Rounding::TowardsZero => Some(whole),
        Rounding::Up if up => whole.checked_add(unit),
        Rounding::Down if down => whole.checked_sub(unit),
        Rounding::Up | Rounding::Down => Some(whole),
        Rounding::HalfAway => decimal::divide_rounding(number, unit)?.checked_mul(unit),
    }
}
