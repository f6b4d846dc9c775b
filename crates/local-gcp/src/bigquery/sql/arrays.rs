//! Arrays: literals, and the functions that make or read them.

use std::sync::Arc;

use sqlparser::ast::{Expr, Function as Ast};

use super::arithmetic::Arithmetic;
use super::bind::{Binder, Result};
use super::calls::plain_arguments;
use super::cast::cast;
use super::error::SqlError;
use super::expression::{Bound, Function, Node};
use super::moments::part_named;
use super::operators::{call, call_with_nulls, coerce, coerces, no_signature, unify};
use super::time;
use super::types::{DataType, StructField};
use crate::bigquery::civil;
use crate::bigquery::value::Value;

/// Most elements a function may make.
const ELEMENTS_MAX: usize = 1_000_000;

impl Binder<'_> {
    /// Binds `[a, b, ...]`.
    pub(super) fn bind_array(&mut self, elements: &[Expr]) -> Result<Bound> {
        let elements = self.bind_all(elements)?;
        let (nodes, item) = match record_type(&elements) {
            Some(record) => {
                let nodes = elements.into_iter().map(|element| converted(element, &record));
                (nodes.collect(), record)
            }
            None => {
                let (elements, item) = unify(elements, "array")?;
                (elements.into_iter().map(|element| element.node).collect(), item)
            }
        };
        if matches!(item, DataType::Array(_)) {
            return Err(SqlError::query("Cannot construct array with element type ARRAY"));
        }
        let make: Function = Arc::new(|elements| Ok(Value::Array(elements.into())));
        Ok(Bound::new(call_with_nulls(make, nodes), DataType::Array(Arc::new(item))))
    }

    /// `GENERATE_DATE_ARRAY(first, last[, INTERVAL n PART])` and `GENERATE_TIMESTAMP_ARRAY`.
    pub(super) fn bind_generated_moments(&mut self, name: &str, function: &Ast) -> Result<Bound> {
        let arguments = plain_arguments(function)?;
        let (first, last, interval) = match arguments.as_slice() {
            [first, last] if name == "GENERATE_DATE_ARRAY" => (*first, *last, None),
            [first, last, Expr::Interval(interval)] => (*first, *last, Some(interval)),
            _ => {
                return Err(SqlError::query(format!("{name} takes two moments and an INTERVAL")));
            }
        };
        let target = match name {
            "GENERATE_DATE_ARRAY" => DataType::Date,
            _ => DataType::Timestamp,
        };
        let part = match interval.map(|interval| (&interval.leading_field, &interval.last_field)) {
            None => time::Part::Day,
            Some((Some(field), None)) => part_named(&field.to_string())?,
            Some(_) => return Err(SqlError::unsupported("An INTERVAL of more than one part")),
        };
        let step = match interval {
            Some(interval) => coerce(self.bind(&interval.value)?, &DataType::Int64)?.node,
            None => Node::Constant(Value::Int64(1)),
        };
        let mut nodes = Vec::new();
        for moment in [first, last] {
            let bound = self.bind(moment)?;
            if !coerces(&bound, &target) {
                return Err(no_signature(&format!("function {name}"), [&bound].into_iter()));
            }
            nodes.push(coerce(bound, &target)?.node);
        }
        nodes.push(step);
        let make: Function = Arc::new(move |arguments| moments(arguments, part));
        Ok(Bound::new(call(make, nodes), DataType::Array(Arc::new(target))))
    }
}

/// The type of records that elements of an array have in common: names from the first that has them.
fn record_type(elements: &[Bound]) -> Option<DataType> {
    let mut fields: Vec<StructField> = Vec::new();
    for element in elements.iter().filter(|element| !element.is_null_literal()) {
        let DataType::Struct(given) = &element.data_type else { return None };
        if fields.is_empty() {
            fields = given.to_vec();
        }
        if fields.len() != given.len() {
            return None;
        }
        for (field, given) in fields.iter_mut().zip(given.iter()) {
            if field.name.is_empty() {
                field.name.clone_from(&given.name);
            }
            if field.data_type.literal_coerces_to(&given.data_type) {
                field.data_type = given.data_type.clone();
            } else if !given.data_type.literal_coerces_to(&field.data_type) {
                return None;
            }
        }
    }
    (!fields.is_empty()).then(|| DataType::Struct(fields.into()))
}

/// A record with each field brought to the type wanted.
fn converted(record: Bound, target: &DataType) -> Node {
    let (from, to) = (record.data_type.clone(), target.clone());
    if from == to {
        return record.node;
    }
    let convert: Function = Arc::new(move |arguments| match (&arguments[0], &from, &to) {
        (Value::Struct(values), DataType::Struct(from), DataType::Struct(to)) => {
            let cells = values.iter().zip(from.iter().zip(to.iter()));
            let cells = cells.map(|(value, (from, to))| {
                match value.is_null() || from.data_type == to.data_type {
                    true => Ok(value.clone()),
                    false => cast(value, &to.data_type),
                }
            });
            Ok(Value::Struct(cells.collect::<Result<Arc<[_]>>>()?))
        }
        (other, ..) => Ok(other.clone()),
    });
    call(convert, vec![record.node])
}

/// Binds a function of arrays; `None` if there is none of this name.
pub(super) fn bind(name: &str, arguments: &[Bound]) -> Option<Result<Bound>> {
    Some(match (name, arguments.len()) {
        ("ARRAY_CONCAT", 1..) => bind_concat(arguments),
        ("ARRAY_REVERSE", 1) => bind_reverse(arguments),
        ("ARRAY_TO_STRING", 2 | 3) => bind_join(arguments),
        ("GENERATE_ARRAY", 2 | 3) => bind_generated(arguments),
        ("SPLIT", 1 | 2) => bind_split(arguments),
        _ => return None,
    })
}

fn bind_concat(arguments: &[Bound]) -> Result<Bound> {
    let data_type = arguments[0].data_type.clone();
    let is_array = |bound: &Bound| {
        matches!(bound.data_type, DataType::Array(_)) && bound.data_type == data_type
    };
    if !arguments.iter().all(is_array) {
        return Err(no_signature("function ARRAY_CONCAT", arguments.iter()));
    }
    let concat: Function =
        Arc::new(|arguments| Ok(Value::Array(arguments.iter().flat_map(items).cloned().collect())));
    let nodes = arguments.iter().map(|bound| bound.node.clone()).collect();
    Ok(Bound::new(call(concat, nodes), data_type))
}

fn bind_reverse(arguments: &[Bound]) -> Result<Bound> {
    let data_type = arguments[0].data_type.clone();
    if !matches!(data_type, DataType::Array(_)) {
        return Err(no_signature("function ARRAY_REVERSE", arguments.iter()));
    }
    let reverse: Function = Arc::new(|arguments| {
        Ok(Value::Array(items(&arguments[0]).iter().rev().cloned().collect()))
    });
    Ok(Bound::new(call(reverse, vec![arguments[0].node.clone()]), data_type))
}

fn bind_join(arguments: &[Bound]) -> Result<Bound> {
    let is_list = match &arguments[0].data_type {
        DataType::Array(item) => **item == DataType::String,
        _ => false,
    };
    if !is_list || !arguments[1..].iter().all(|bound| coerces(bound, &DataType::String)) {
        return Err(no_signature("function ARRAY_TO_STRING", arguments.iter()));
    }
    let join: Function = Arc::new(|arguments| {
        let instead_of_null = arguments.get(2).and_then(Value::as_str);
        let texts = items(&arguments[0]).iter();
        let texts: Vec<_> = texts.filter_map(|item| item.as_str().or(instead_of_null)).collect();
        Ok(texts.join(arguments[1].as_str().unwrap_or_default()).into())
    });
    let nodes = arguments.iter().map(|bound| bound.node.clone()).collect();
    Ok(Bound::new(call(join, nodes), DataType::String))
}

fn bind_generated(arguments: &[Bound]) -> Result<Bound> {
    let (bounds, item) = unify(arguments.to_vec(), "function GENERATE_ARRAY")?;
    if !item.is_numeric() {
        return Err(no_signature("function GENERATE_ARRAY", bounds.iter()));
    }
    let one = cast(&Value::Int64(1), &item)?;
    let make: Function = Arc::new(move |arguments| {
        let (first, last) = (&arguments[0], &arguments[1]);
        let step = arguments.get(2).unwrap_or(&one);
        let zero = Arithmetic::Subtract.apply(step, step)?;
        let order = step.total_compare(&zero);
        if order.is_eq() {
            return Err(SqlError::query("Sequence step cannot be 0."));
        }
        let mut numbers = Vec::new();
        let mut next = first.clone();
        // Behind the last number, in the direction of the step.
        while next.total_compare(last) != order {
            numbers.push(next.clone());
            check_count(numbers.len())?;
            next = Arithmetic::Add.apply(&next, step)?;
        }
        Ok(Value::Array(numbers.into()))
    });
    let nodes = bounds.into_iter().map(|bound| bound.node).collect();
    Ok(Bound::new(call(make, nodes), DataType::Array(Arc::new(item))))
}

fn bind_split(arguments: &[Bound]) -> Result<Bound> {
    if !arguments.iter().all(|bound| coerces(bound, &DataType::String)) {
        return Err(no_signature("function SPLIT", arguments.iter()));
    }
    let split: Function = Arc::new(|arguments| {
        let text = arguments[0].as_str().unwrap_or_default();
        let delimiter = arguments.get(1).and_then(Value::as_str).unwrap_or(",");
        let parts: Arc<[Value]> = match (text, delimiter) {
            ("", _) => Arc::from([Value::string("")]),
            (_, "") => text.chars().map(|part| Value::string(part.to_string())).collect(),
            _ => text.split(delimiter).map(Value::string).collect(),
        };
        Ok(Value::Array(parts))
    });
    let nodes = arguments.iter().map(|bound| bound.node.clone()).collect();
    Ok(Bound::new(call(split, nodes), DataType::Array(Arc::new(DataType::String))))
}

/// Moments from the first to the last, a number of parts apart.
fn moments(arguments: &[Value], part: time::Part) -> Result<Value> {
    let micros = |value: &Value| match value {
        Value::Date(days) => i64::from(*days) * civil::DAY,
        Value::Timestamp(micros) => *micros,
        _ => 0,
    };
    let (first, last) = (micros(&arguments[0]), micros(&arguments[1]));
    let step = arguments[2].as_i64().unwrap_or(0);
    if step == 0 {
        return Err(SqlError::query("Sequence step cannot be 0."));
    }
    let mut found = Vec::new();
    for count in 0_i64.. {
        let at = count.checked_mul(step).and_then(|count| time::add(first, count, part));
        let Some(at) = at.filter(|at| if step > 0 { *at <= last } else { *at >= last }) else {
            break;
        };
        found.push(match &arguments[0] {
            Value::Date(_) => Value::Date(civil::split_day(at).0),
            _ => Value::Timestamp(at),
        });
        check_count(found.len())?;
    }
    Ok(Value::Array(found.into()))
}

fn check_count(count: usize) -> Result<()> {
    match count > ELEMENTS_MAX {
        true => Err(SqlError::query(format!("An array may have {ELEMENTS_MAX} elements here"))),
        false => Ok(()),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}
