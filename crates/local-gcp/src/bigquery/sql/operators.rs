//! Bringing expressions to one type: coercions, common types, and the errors when there is none.

use std::sync::Arc;

use super::cast::{cast, cast_function, is_castable};
use super::error::SqlError;
use super::expression::{Bound, Call, Function, Node};
use super::types::{DataType, StructField};
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// The one type all expressions coerce to; `None` if there is none. All-NULL lists are INT64, as in BigQuery.
pub(crate) fn common_type<'a>(
    expressions: impl Iterator<Item = &'a Bound> + Clone,
) -> Option<DataType> {
    let typed = expressions.filter(|bound| !bound.is_null_literal());
    // What is not literal has the say; literals follow if they can.
    let fixed = typed.clone().filter(|bound| !bound.is_literal);
    let candidate = widest(fixed.map(|bound| &bound.data_type))?;
    let candidate = match candidate {
        Some(candidate) => candidate,
        None => widest(typed.clone().map(|bound| &bound.data_type))?.unwrap_or(DataType::Int64),
    };
    if typed.clone().all(|bound| coerces(bound, &candidate)) {
        return Some(candidate);
    }
    // A literal may still be wider than the rest: 1.5 against an INT64 column.
    let wider = widest(typed.clone().map(|bound| &bound.data_type))??;
    typed.clone().all(|bound| coerces(bound, &wider)).then_some(wider)
}

/// The widest of types that coerce to one another: outer `None` if they do not, inner if there are no types.
fn widest<'a>(types: impl Iterator<Item = &'a DataType>) -> Option<Option<DataType>> {
    let mut widest: Option<&DataType> = None;
    for data_type in types {
        widest = match widest {
            None => Some(data_type),
            Some(widest) if data_type.coerces_to(widest) => Some(widest),
            Some(widest) if widest.coerces_to(data_type) => Some(data_type),
            // Texts among date literals: the date type wins.
            Some(DataType::String) if DataType::String.literal_coerces_to(data_type) => {
                Some(data_type)
            }
            Some(widest)
                if *data_type == DataType::String && data_type.literal_coerces_to(widest) =>
            {
                Some(widest)
            }
            Some(_) => return None,
        };
    }
    Some(widest.cloned())
}

/// Whether an expression becomes `target` without being asked to.
pub(crate) fn coerces(bound: &Bound, target: &DataType) -> bool {
    bound.is_null_literal()
        || bound.data_type.coerces_to(target)
        || (bound.is_literal && bound.data_type.literal_coerces_to(target))
}

/// Brings an expression to a type it coerces to.
pub(crate) fn coerce(bound: Bound, target: &DataType) -> Result<Bound> {
    if bound.data_type == *target {
        return Ok(bound);
    }
    let is_literal = bound.is_literal;
    let node = match bound.node {
        Node::Constant(Value::Null) => Node::Constant(Value::Null),
        Node::Constant(value) => Node::Constant(cast(&value, target).map_err(|_| {
            let shown = super::cast::to_text(&value).unwrap_or_default();
            SqlError::query(format!("Could not cast literal \"{shown}\" to type {target}"))
        })?),
        node => call(cast_function(target.clone()), vec![node]),
    };
    Ok(Bound { node, data_type: target.clone(), is_literal })
}

/// Brings expressions to their common type. `operator` names the construct in the error.
pub(crate) fn unify(expressions: Vec<Bound>, operator: &str) -> Result<(Vec<Bound>, DataType)> {
    let Some(target) = common_type(expressions.iter()) else {
        return Err(no_signature(operator, expressions.iter()));
    };
    let coerced = expressions.into_iter().map(|bound| coerce(bound, &target));
    Ok((coerced.collect::<Result<_>>()?, target))
}

/// The error of an operator or function that does not take these types.
pub(crate) fn no_signature<'a>(
    operator: &str,
    arguments: impl Iterator<Item = &'a Bound>,
) -> SqlError {
    let types: Vec<_> = arguments
        .map(|bound| match bound.is_null_literal() {
            true => "NULL".to_owned(),
            false => bound.data_type.to_string(),
        })
        .collect();
    SqlError::query(format!(
        "No matching signature for {operator} for argument types: {}",
        types.join(", ")
    ))
}

/// An explicit cast.
pub(crate) fn bind_cast(bound: Bound, target: &DataType, safe: bool) -> Result<Bound> {
    if bound.is_null_literal() {
        return Ok(Bound::new(Node::Constant(Value::Null), target.clone()));
    }
    if bound.data_type == *target {
        return Ok(Bound { is_literal: false, ..bound });
    }
    if !is_castable(&bound.data_type, target) {
        return Err(SqlError::query(format!("Invalid cast from {} to {target}", bound.data_type)));
    }
    let function = cast_function(target.clone());
    let node = Node::Call(Call { function, arguments: vec![bound.node], strict: true, safe });
    Ok(Bound::new(node, target.clone()))
}

/// A call that is NULL on NULL.
pub(crate) fn call(function: Function, arguments: Vec<Node>) -> Node {
    Node::Call(Call { function, arguments, strict: true, safe: false })
}

/// A call that sees NULLs.
pub(crate) fn call_with_nulls(function: Function, arguments: Vec<Node>) -> Node {
    Node::Call(Call { function, arguments, strict: false, safe: false })
}

/// `x IS NULL`.
pub(crate) fn is_null(node: Node) -> Node {
    call_with_nulls(Arc::new(|arguments| Ok(Value::Bool(arguments[0].is_null()))), vec![node])
}

/// A STRUCT of named expressions.
pub(crate) fn structure(fields: Vec<(String, Bound)>) -> Bound {
    let mut types = Vec::new();
    let mut nodes = Vec::new();
    for (name, bound) in fields {
        types.push(StructField { name, data_type: bound.data_type });
        nodes.push(bound.node);
    }
    let make: Function = Arc::new(|arguments| Ok(Value::Struct(arguments.into())));
    Bound::new(call_with_nulls(make, nodes), DataType::Struct(types.into()))
}

/// Whether `text` matches a LIKE pattern: `%` any text, `_` any character, `\` takes the next one literally.
pub(crate) fn like(text: &str, pattern: &str) -> Result<bool> {
    let text: Vec<char> = text.chars().collect();
    let tokens = like_tokens(pattern)?;
    // Walks both; on a mismatch, the last % swallows one character more.
    let (mut at, mut token) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match tokens.get(token) {
            Some(LikeToken::Any) => {
                retry = Some((at, token));
                token += 1;
            }
            Some(LikeToken::One) if at < text.len() => (at, token) = (at + 1, token + 1),
            Some(LikeToken::Character(wanted)) if text.get(at) == Some(wanted) => {
                (at, token) = (at + 1, token + 1);
            }
            None if at == text.len() => return Ok(true),
            _ => match retry {
                Some((start, any)) if start < text.len() => {
                    retry = Some((start + 1, any));
                    (at, token) = (start + 1, any + 1);
                }
                _ => return Ok(false),
            },
        }
    }
}

enum LikeToken {
    Any,
    One,
    Character(char),
}

fn like_tokens(pattern: &str) -> Result<Vec<LikeToken>> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '%' => LikeToken::Any,
            '_' => LikeToken::One,
            '\\' => LikeToken::Character(
                characters
                    .next()
                    .ok_or_else(|| SqlError::query("LIKE pattern ends with a backslash"))?,
            ),
            other => LikeToken::Character(other),
        });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_in_sql() {
        for (text, pattern, expected) in [
            ("hello", "h%o", true),
            ("hello", "h_llo", true),
            ("hello", "h_o", false),
            ("", "%", true),
            ("", "_", false),
            ("aXbXc", "%X%c", true),
            ("50%", "50\\%", true),
            ("500", "50\\%", false),
            ("mississippi", "%iss%ip%i", true),
            ("é", "_", true),
        ] {
            assert_eq!(like(text, pattern), Ok(expected), "{text} LIKE {pattern}");
        }
        assert!(like("a", "\\").is_err());
    }
}
