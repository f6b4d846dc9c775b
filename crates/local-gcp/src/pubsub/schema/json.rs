//! Messages in Avro's JSON encoding. Nesting is bounded by the JSON reader.

use serde_json::{Map, Value};

use super::definition::{Definition, Named, Type};
use super::parse::branch_name;

type Checked = Result<(), String>;

pub(super) fn check(definition: &Definition, data: &[u8]) -> Checked {
    let value: Value =
        serde_json::from_slice(data).map_err(|error| format!("not JSON: {error}"))?;
    any(definition, &definition.root, &value).map_err(|(path, reason)| match path.as_str() {
        "" => reason,
        path => format!("{}: {reason}", path.trim_start_matches('.')),
    })
}

/// Where in the message, and what is wrong there.
type Wrong = (String, String);

fn wrong(reason: impl Into<String>) -> Wrong {
    (String::new(), reason.into())
}

fn inside(step: impl std::fmt::Display) -> impl FnOnce(Wrong) -> Wrong {
    move |(path, reason)| (format!("{step}{path}"), reason)
}

fn any(definition: &Definition, kind: &Type, value: &Value) -> Result<(), Wrong> {
    let conforms = match kind {
        Type::Null => value.is_null(),
        Type::Boolean => value.is_boolean(),
        Type::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Type::Long => value.is_i64(),
        Type::Float | Type::Double => value.is_number() || is_special(value),
        Type::Bytes => value.as_str().and_then(bytes).is_some(),
        Type::String => value.is_string(),
        Type::Array(items) => return array(definition, items, value),
        Type::Map(values) => {
            let entries = object(value)?.iter();
            return entries.into_iter().try_for_each(|(key, value)| {
                any(definition, values, value).map_err(inside(format!(".{key}")))
            });
        }
        Type::Union(branches) => return union(definition, branches, value),
        Type::Named(name) => return named(definition, name, value),
    };
    if conforms { Ok(()) } else { Err(wrong(format!("not a {}", branch_name(kind)))) }
}

/// Numbers that JSON has no digits for.
fn is_special(value: &Value) -> bool {
    matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
}

/// How many bytes a text stands for: one by character, if there are no others.
fn bytes(text: &str) -> Option<usize> {
    text.chars().all(|character| u32::from(character) < 256).then(|| text.chars().count())
}

fn object(value: &Value) -> Result<&Map<String, Value>, Wrong> {
    value.as_object().ok_or_else(|| wrong("not an object"))
}

fn array(definition: &Definition, items: &Type, value: &Value) -> Result<(), Wrong> {
    let values = value.as_array().ok_or_else(|| wrong("not an array"))?;
    values.iter().enumerate().try_for_each(|(at, value)| {
        any(definition, items, value).map_err(inside(format!("[{at}]")))
    })
}

/// Null stands for itself, any other branch is an object with the branch's name as its key.
fn union(definition: &Definition, branches: &[Type], value: &Value) -> Result<(), Wrong> {
    let no_branch = || wrong("not a branch of the union");
    if value.is_null() {
        return if branches.contains(&Type::Null) { Ok(()) } else { Err(no_branch()) };
    }
    let mut entries = value.as_object().ok_or_else(no_branch)?.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return Err(no_branch());
    };
    let branch = branches.iter().find(|branch| branch_name(branch) == name);
    any(definition, branch.ok_or_else(no_branch)?, value)
}

fn named(definition: &Definition, name: &str, value: &Value) -> Result<(), Wrong> {
    match definition.names.get(name) {
        Some(Named::Record(fields)) => record(definition, fields, value),
        Some(Named::Enumeration(symbols)) => match value.as_str() {
            Some(symbol) if symbols.iter().any(|it| it == symbol) => Ok(()),
            _ => Err(wrong(format!("not a symbol of {name}"))),
        },
        Some(Named::Fixed(size)) => match value.as_str().and_then(bytes) {
            Some(length) if length == *size => Ok(()),
            _ => Err(wrong(format!("not {size} bytes"))),
        },
        None => Err(wrong(format!("unknown type {name}"))),
    }
}

/// Every field must be there, also one with a default, which is for readers of another schema; and no other may.
fn record(definition: &Definition, fields: &[(String, Type)], value: &Value) -> Result<(), Wrong> {
    let values = object(value)?;
    for (name, kind) in fields {
        let step = || inside(format!(".{name}"));
        let value = values.get(name).ok_or_else(|| step()(wrong("missing")))?;
        any(definition, kind, value).map_err(step())?;
    }
    let is_unknown = |name: &&String| !fields.iter().any(|(field, _)| field == *name);
    match values.keys().find(is_unknown) {
        Some(name) => Err(inside(format!(".{name}"))(wrong("unknown field"))),
        None => Ok(()),
    }
}
