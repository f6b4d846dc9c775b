//! Binds function calls: aggregates are sent to `grouping`, dates and times to `moments`, numbers to `numbers`; functions of
//! any type are bound here.

use std::sync::Arc;

use sqlparser::ast::{Expr, Function as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::bind::{Binder, Result};
use super::bind_operators::compare_bound;
use super::error::{SqlError, name_place};
use super::expression::{Bound, Comparison, Function, Node};
use super::grouping::is_aggregate;
use super::moments::{bind_format, bind_moment, bind_string};
use super::operators::{call, no_signature, unify};
use super::types::DataType;
use super::{arrays, functions, numbers, parse_time, to_json};
use crate::bigquery::value::Value;

impl Binder<'_> {
    /// Binds a function call, aggregate or not.
    pub(super) fn bind_function(&mut self, function: &Ast) -> Result<Bound> {
        let name = function.name.to_string().to_ascii_uppercase();
        if function.over.is_some() {
            return Err(SqlError::unsupported("A window function (OVER)"));
        }
        if is_aggregate(&name) {
            return self.bind_aggregate(&name, function);
        }
        if function.filter.is_some() || !function.within_group.is_empty() {
            return Err(SqlError::unsupported(format!("FILTER or WITHIN GROUP of {name}")));
        }
        let (name, safe) = match name.strip_prefix("SAFE.") {
            Some(name) => (name.to_owned(), true),
            None => (name, false),
        };
        let bound = match name.as_str() {
            "TIMESTAMP_TRUNC" | "DATETIME_TRUNC" | "DATE_TRUNC" => {
                self.bind_truncate(&name, function)
            }
            "TIMESTAMP_ADD" | "DATETIME_ADD" | "DATE_ADD" => self.bind_move(function, false),
            "TIMESTAMP_SUB" | "DATETIME_SUB" | "DATE_SUB" => self.bind_move(function, true),
            "TIMESTAMP_DIFF" | "DATETIME_DIFF" | "DATE_DIFF" => {
                self.bind_difference(&name, function)
            }
            "GENERATE_DATE_ARRAY" | "GENERATE_TIMESTAMP_ARRAY" => {
                self.bind_generated_moments(&name, function)
            }
            _ => {
                let arguments = self.bind_arguments(function)?;
                self.bind_call(&name, arguments, safe)
            }
        };
        bound.map_err(|error| error.located(name_place(&function.name)))
    }

    /// The plain arguments of a call, bound.
    pub(super) fn bind_arguments(&mut self, function: &Ast) -> Result<Vec<Bound>> {
        self.bind_all(plain_arguments(function)?)
    }

    /// Binds a call of a function that takes plain values.
    pub(super) fn bind_call(
        &mut self,
        name: &str,
        arguments: Vec<Bound>,
        safe: bool,
    ) -> Result<Bound> {
        if let Some(bound) = functions::bind(name, arguments.clone(), safe) {
            // Dates can be made in more ways than the table has.
            if bound.is_ok() || !matches!(name, "DATE") {
                return bound;
            }
        }
        let others = numbers::bind(name, &arguments, safe)
            .or_else(|| arrays::bind(name, &arguments))
            .or_else(|| parse_time::bind(name, &arguments, safe))
            .or_else(|| to_json::bind(name, &arguments));
        #[cfg(feature = "sql")]
        let others = others.or_else(|| super::regexps::bind(name, &arguments, safe));
        if let Some(bound) = others {
            return bound;
        }
        match (name, arguments.len()) {
            ("IF", 3) => bind_if(arguments),
            ("IFNULL", 2) | ("COALESCE", 1..) => {
                let (arguments, data_type) = unify(arguments, &format!("function {name}"))?;
                let nodes = arguments.into_iter().map(|bound| bound.node).collect();
                Ok(Bound::new(Node::Coalesce(nodes), data_type))
            }
            ("NULLIF", 2) => bind_null_if(arguments),
            ("GREATEST" | "LEAST", 1..) => bind_extreme(name, arguments),
            ("CONCAT", 1..) => bind_concat(arguments),
            ("ARRAY_LENGTH", 1) => bind_array_length(arguments),
            ("CURRENT_TIMESTAMP", 0) => {
                Ok(Bound::new(Node::Constant(Value::Timestamp(self.now)), DataType::Timestamp))
            }
            ("CURRENT_DATE" | "CURRENT_DATETIME" | "CURRENT_TIME", 0..=1) => {
                self.bind_current(name, arguments)
            }
            ("TIMESTAMP" | "DATE" | "DATETIME" | "TIME", 1..=2) => {
                bind_moment(name, arguments, safe)
            }
            ("FORMAT_TIMESTAMP" | "FORMAT_DATE" | "FORMAT_DATETIME", 2..=3) => {
                bind_format(name, arguments)
            }
            ("STRING", 1..=2) => bind_string(arguments),
            (
                "IF" | "IFNULL" | "COALESCE" | "NULLIF" | "GREATEST" | "LEAST" | "CONCAT"
                | "ARRAY_LENGTH" | "CURRENT_TIMESTAMP" | "CURRENT_DATE" | "TIMESTAMP" | "DATETIME"
                | "TIME" | "FORMAT_TIMESTAMP" | "FORMAT_DATE" | "FORMAT_DATETIME" | "STRING",
                _,
            ) => Err(no_signature(&format!("function {name}"), arguments.iter())),
            _ => Err(SqlError {
                unsupported: true,
                ..SqlError::query(format!(
                    "Function not found: {name} (or not supported by this local BigQuery)"
                ))
            }),
        }
    }
}

/// The arguments of a call without names, DISTINCT, ORDER BY or the like.
pub(super) fn plain_arguments(function: &Ast) -> Result<Vec<&Expr>> {
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(_) => return Err(SqlError::unsupported("A subquery")),
    };
    if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return Err(SqlError::unsupported(format!(
            "A modifier in the arguments of {}",
            function.name
        )));
    }
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => {
                Err(SqlError::unsupported(format!("The argument {other} of {}", function.name)))
            }
        })
        .collect()
}

fn bind_if(arguments: Vec<Bound>) -> Result<Bound> {
    let mut arguments = arguments.into_iter();
    let condition = arguments.next().ok_or_else(|| SqlError::query("IF takes three arguments"))?;
    if condition.data_type != DataType::Bool && !condition.is_null_literal() {
        return Err(no_signature("function IF", [&condition].into_iter()));
    }
    let (branches, data_type) = unify(arguments.collect(), "function IF")?;
    let mut branches = branches.into_iter().map(|bound| bound.node);
    match (branches.next(), branches.next()) {
        (Some(then), Some(otherwise)) => {
            Ok(Bound::new(Node::Case(vec![(condition.node, then)], Box::new(otherwise)), data_type))
        }
        _ => Err(SqlError::query("IF takes three arguments")),
    }
}

fn bind_null_if(arguments: Vec<Bound>) -> Result<Bound> {
    let (sides, data_type) = unify(arguments, "function NULLIF")?;
    let [left, right]: [Bound; 2] =
        sides.try_into().map_err(|_| SqlError::query("NULLIF takes two arguments"))?;
    let equal = compare_bound(Comparison::Equal, left.clone(), right)?.node;
    let node = Node::Case(vec![(equal, Node::Constant(Value::Null))], Box::new(left.node));
    Ok(Bound::new(node, data_type))
}

fn bind_extreme(name: &str, arguments: Vec<Bound>) -> Result<Bound> {
    let (arguments, data_type) = unify(arguments, &format!("function {name}"))?;
    if !data_type.is_orderable() {
        return Err(no_signature(&format!("function {name}"), arguments.iter()));
    }
    let greatest = name == "GREATEST";
    let pick: Function = Arc::new(move |arguments| {
        // A NaN wins in both.
        if let Some(nan) =
            arguments.iter().find(|value| matches!(value, Value::Float64(v) if v.is_nan()))
        {
            return Ok(nan.clone());
        }
        let order = |left: &&Value, right: &&Value| left.total_compare(right);
        let picked =
            if greatest { arguments.iter().max_by(order) } else { arguments.iter().min_by(order) };
        Ok(picked.cloned().unwrap_or(Value::Null))
    });
    Ok(Bound::new(call(pick, arguments.into_iter().map(|bound| bound.node).collect()), data_type))
}

fn bind_concat(arguments: Vec<Bound>) -> Result<Bound> {
    let (arguments, data_type) = unify(arguments, "function CONCAT")?;
    if !matches!(data_type, DataType::String | DataType::Bytes) {
        return Err(no_signature("function CONCAT", arguments.iter()));
    }
    let nodes = arguments.into_iter().map(|bound| bound.node).collect();
    let concat: Function = Arc::new(|arguments| {
        Ok(match &arguments[0] {
            Value::Bytes(_) => Value::Bytes(
                arguments
                    .iter()
                    .flat_map(|value| match value {
                        Value::Bytes(bytes) => bytes.to_vec(),
                        _ => Vec::new(),
                    })
                    .collect(),
            ),
            _ => arguments.iter().filter_map(Value::as_str).collect::<String>().into(),
        })
    });
    Ok(Bound::new(call(concat, nodes), data_type))
}

fn bind_array_length(arguments: Vec<Bound>) -> Result<Bound> {
    if !arguments.iter().all(|bound| matches!(bound.data_type, DataType::Array(_))) {
        return Err(no_signature("function ARRAY_LENGTH", arguments.iter()));
    }
    let length: Function = Arc::new(|arguments| {
        Ok(match &arguments[0] {
            Value::Array(items) => Value::Int64(i64::try_from(items.len()).unwrap_or(i64::MAX)),
            _ => Value::Null,
        })
    });
    let nodes = arguments.into_iter().map(|bound| bound.node).collect();
    Ok(Bound::new(call(length, nodes), DataType::Int64))
}
