//! Reads Avro definitions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::definition::{Definition, Named, Type};

type Parsed<T> = Result<T, String>;

pub(super) fn parse(text: &str) -> Parsed<Definition> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let mut parser = Parser { names: BTreeMap::new() };
    let root = parser.any(&value, "")?;
    Ok(Definition { root, names: parser.names })
}

struct Parser {
    names: BTreeMap<String, Named>,
}

impl Parser {
    fn any(&mut self, value: &Value, namespace: &str) -> Parsed<Type> {
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            _ => Err("a type is missing".to_owned()),
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Parsed<Type> {
        if let Some(primitive) = primitive(name) {
            return Ok(primitive);
        }
        let full = full_name(name, namespace);
        let known = [full, name.to_owned()].into_iter().find(|it| self.names.contains_key(it));
        known.map(Type::Named).ok_or_else(|| format!("unknown type {name}"))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Parsed<Type> {
        let mut seen = BTreeSet::new();
        let mut types = Vec::new();
        for branch in branches {
            let branch = self.any(branch, namespace)?;
            if matches!(branch, Type::Union(_)) {
                return Err("a union in a union".to_owned());
            }
            let name = branch_name(&branch).to_owned();
            if let Some(name) = seen.replace(name) {
                return Err(format!("{name} occurs twice in a union"));
            }
            types.push(branch);
        }
        Ok(Type::Union(types))
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<Type> {
        let inner = |field: &str| object.get(field).unwrap_or(&Value::Null);
        match object.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "array" => Ok(Type::Array(Box::new(self.any(inner("items"), namespace)?))),
                "map" => Ok(Type::Map(Box::new(self.any(inner("values"), namespace)?))),
                "record" | "error" => self.record(object, namespace),
                "enum" => self.enumeration(object, namespace),
                "fixed" => self.fixed(object, namespace),
                name => self.by_name(name, namespace),
            },
            Some(nested) => self.any(nested, namespace),
            None => Err("a type is missing".to_owned()),
        }
    }

    /// Gives a name its meaning, for the time being an empty one, so that fields may refer to it.
    fn define(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<String> {
        let name = object.get("name").and_then(Value::as_str).ok_or("a name is missing")?;
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(name, namespace);
        if !full.split('.').all(is_name) {
            return Err(format!("the name {full} is not allowed"));
        }
        match self.names.insert(full.clone(), Named::Record(Vec::new())) {
            Some(_) => Err(format!("{full} is defined twice")),
            None => Ok(full),
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<Type> {
        let full = self.define(object, namespace)?;
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let given = object.get("fields").and_then(Value::as_array);
        let given = given.ok_or_else(|| format!("{full} has no fields"))?;
        let mut fields: Vec<(String, Type)> = Vec::new();
        for field in given {
            let name = field.get("name").and_then(Value::as_str).filter(|name| is_name(name));
            let name = name.ok_or_else(|| format!("a field of {full} has no valid name"))?;
            if fields.iter().any(|(other, _)| other == name) {
                return Err(format!("{name} occurs twice in {full}"));
            }
            let kind = self.any(field.get("type").unwrap_or(&Value::Null), namespace)?;
            fields.push((name.to_owned(), kind));
        }
        self.names.insert(full.clone(), Named::Record(fields));
        Ok(Type::Named(full))
    }

    fn enumeration(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<Type> {
        let full = self.define(object, namespace)?;
        let given = object.get("symbols").and_then(Value::as_array);
        let mut symbols: Vec<String> = Vec::new();
        for symbol in given.ok_or_else(|| format!("{full} has no symbols"))? {
            let symbol = symbol.as_str().filter(|symbol| is_name(symbol));
            let symbol = symbol.ok_or_else(|| format!("a symbol of {full} is not a name"))?;
            if symbols.iter().any(|other| other == symbol) {
                return Err(format!("{symbol} occurs twice in {full}"));
            }
            symbols.push(symbol.to_owned());
        }
        self.names.insert(full.clone(), Named::Enumeration(symbols));
        Ok(Type::Named(full))
    }

    fn fixed(&mut self, object: &Map<String, Value>, namespace: &str) -> Parsed<Type> {
        let full = self.define(object, namespace)?;
        let size = object.get("size").and_then(Value::as_u64);
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| format!("{full} has no size"))?;
        self.names.insert(full.clone(), Named::Fixed(size));
        Ok(Type::Named(full))
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::String,
        _ => return None,
    })
}

/// How a branch of a union is called in the JSON encoding.
pub(super) fn branch_name(kind: &Type) -> &str {
    match kind {
        Type::Null => "null",
        Type::Boolean => "boolean",
        Type::Int => "int",
        Type::Long => "long",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes => "bytes",
        Type::String => "string",
        Type::Array(_) => "array",
        Type::Map(_) => "map",
        Type::Union(_) => "union",
        Type::Named(name) => name,
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
