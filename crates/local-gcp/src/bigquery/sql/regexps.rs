//! Regular expressions, in RE2's syntax as far as the `regex` crate has it, which is nearly all.

use std::sync::Arc;

use regex::Regex;

use super::error::SqlError;
use super::expression::{Bound, Call, Function, Node, Row};
use super::operators::{coerces, no_signature};
use super::types::DataType;
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// Binds a function of regular expressions; `None` if there is none of this name.
pub(super) fn bind(name: &str, arguments: &[Bound], safe: bool) -> Option<Result<Bound>> {
    let (count, result_type) = match name {
        "REGEXP_CONTAINS" => (2, DataType::Bool),
        "REGEXP_EXTRACT" | "REGEXP_SUBSTR" => (2, DataType::String),
        "REGEXP_EXTRACT_ALL" => (2, DataType::Array(Arc::new(DataType::String))),
        "REGEXP_REPLACE" => (3, DataType::String),
        _ => return None,
    };
    let fits =
        arguments.len() == count && arguments.iter().all(|bound| coerces(bound, &DataType::String));
    if !fits {
        return Some(Err(no_signature(&format!("function {name}"), arguments.iter())));
    }
    // A pattern that is the same for all rows is compiled once.
    let known = match &arguments[1].node {
        node if !node.is_constant() => None,
        node => match node.eval(Row::EMPTY).map(|value| value.as_str().map(compiled)) {
            Ok(Some(Ok(regex))) => Some(regex),
            Ok(None) => None,
            Ok(Some(Err(error))) | Err(error) => return Some(Err(error)),
        },
    };
    let name = name.to_owned();
    let apply: Function = Arc::new(move |arguments| {
        let text = |at: usize| arguments[at].as_str().unwrap_or_default();
        match &known {
            Some(regex) => evaluate(&name, regex, text(0), arguments),
            None => evaluate(&name, &compiled(text(1))?, text(0), arguments),
        }
    });
    let arguments = arguments.iter().map(|bound| bound.node.clone()).collect();
    let node = Node::Call(Call { function: apply, arguments, strict: true, safe });
    Some(Ok(Bound::new(node, result_type)))
}

fn compiled(pattern: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|_| SqlError::query(format!("Cannot parse regular expression: {pattern}")))
}

fn evaluate(name: &str, regex: &Regex, text: &str, arguments: &[Value]) -> Result<Value> {
    if regex.captures_len() > 2 && name != "REGEXP_CONTAINS" && name != "REGEXP_REPLACE" {
        return Err(SqlError::query(format!(
            "Regular expression of {name} has more than 1 capturing group"
        )));
    }
    // The group if there is one, else the whole match.
    let group = regex.captures_len() - 1;
    Ok(match name {
        "REGEXP_CONTAINS" => Value::Bool(regex.is_match(text)),
        "REGEXP_REPLACE" => {
            let replacement = replacement(arguments[2].as_str().unwrap_or_default());
            regex.replace_all(text, replacement.as_str()).into_owned().into()
        }
        "REGEXP_EXTRACT_ALL" => {
            let found = regex.captures_iter(text).filter_map(|found| found.get(group));
            Value::Array(found.map(|found| Value::string(found.as_str())).collect())
        }
        _ => {
            let found = regex.captures(text).and_then(|found| found.get(group));
            found.map_or(Value::Null, |found| Value::string(found.as_str()))
        }
    })
}

/// A replacement in the crate's notation: `\1` is `${1}`, and a dollar is just one.
fn replacement(given: &str) -> String {
    let mut made = String::new();
    let mut characters = given.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' => made.push_str("$$"),
            '\\' => match characters.next() {
                Some(digit) if digit.is_ascii_digit() => made.push_str(&format!("${{{digit}}}")),
                Some(other) => made.push(other),
                None => made.push('\\'),
            },
            other => made.push(other),
        }
    }
    made
}
