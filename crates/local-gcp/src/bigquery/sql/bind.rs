//! Binds expressions: resolves names, checks types, and refuses what is not supported.
//!
//! Operators are bound in `bind_operators`, function calls in `calls`.

use rustc_hash::FxHashMap;
use sqlparser::ast::{
    AccessExpr, Expr, FunctionArguments, Ident, Subscript, Value as Literal, ValueWithSpan,
};
use sqlparser::tokenizer::Location;

use super::error::{SqlError, place};
use super::expression::{Bound, Node};
use super::grouping::Grouping;
use super::operators::{bind_cast, call, structure};
use super::parameters::Parameters;
use super::subqueries::Form;
use super::types::{DataType, from_ast};
use crate::bigquery::value::Value;

pub(super) type Result<T> = std::result::Result<T, SqlError>;

/// The columns an expression can name.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<(String, DataType)>,
    /// The alias or name of the table.
    pub(super) qualifier: Option<String>,
    /// How many of the first columns `*` stands for; all if `None`.
    pub(super) visible: Option<usize>,
}

impl Scope {
    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name))
    }
}

/// Binds the expressions of one SELECT.
pub(super) struct Binder<'a> {
    pub(super) scope: &'a Scope,
    pub(super) parameters: &'a Parameters,
    /// Which parameter each `?` stands for.
    pub(super) placeholders: &'a FxHashMap<Location, usize>,
    /// What CURRENT_TIMESTAMP is, in microseconds.
    pub(super) now: i64,
    /// Set while what is bound sees groups instead of rows.
    pub(super) grouping: Option<Grouping<'a>>,
    /// Aliases of the SELECT list, where they may be used.
    pub(super) aliases: Vec<(&'a str, &'a Expr)>,
    /// An aggregate function was met where rows are seen.
    pub(super) saw_aggregate: bool,
    /// How deep the expression being bound is nested.
    pub(super) depth: usize,
}

/// Deepest nesting of an expression, chains of AND and OR apart; binding and evaluation recurse.
const DEPTH_MAX: usize = 100;

impl Binder<'_> {
    /// Binds one expression.
    pub(super) fn bind(&mut self, expr: &Expr) -> Result<Bound> {
        if self.depth >= DEPTH_MAX {
            return Err(SqlError::query(format!(
                "The query has an expression nested deeper than {DEPTH_MAX} levels"
            )));
        }
        self.depth += 1;
        let bound = self.bind_here(expr);
        self.depth -= 1;
        bound
    }

    fn bind_here(&mut self, expr: &Expr) -> Result<Bound> {
        if let Some(key) = self.grouping.as_ref().and_then(|grouping| grouping.key_of(expr)) {
            return Ok(key);
        }
        match expr {
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(literal) => self.bind_literal(literal),
            Expr::Identifier(name) => self.bind_path(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(path) => self.bind_path(path),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.bind_access(root, access_chain)
            }
            Expr::TypedString(typed) => {
                let text = literal_text(&typed.value.value)
                    .ok_or_else(|| SqlError::at("Expected a string literal", typed.value.span))?;
                let target = from_ast(&typed.data_type)?;
                let literal = Bound::literal(Value::string(text), DataType::String);
                if target == DataType::Json {
                    let bound = super::functions::bind("PARSE_JSON", vec![literal], false);
                    return bound.unwrap_or_else(|| Err(SqlError::unsupported("JSON")));
                }
                let value =
                    bind_cast(literal, &target, false)?.node.eval(super::expression::Row::EMPTY);
                Ok(Bound::literal(
                    value.map_err(|error| SqlError::at(error.message, place(expr)))?,
                    target,
                ))
            }
            Expr::Cast { kind, expr, data_type, format, .. } => {
                self.bind_cast_expr(kind, expr, data_type, format.is_some())
            }
            Expr::Function(function) => match &function.args {
                FunctionArguments::Subquery(query)
                    if function.name.to_string().eq_ignore_ascii_case("ARRAY") =>
                {
                    self.bind_subquery(query, Form::Array)
                }
                _ => self.bind_function(function),
            },
            Expr::Subquery(query) => self.bind_subquery(query, Form::Scalar),
            Expr::Exists { subquery, negated } => {
                let exists = self.bind_subquery(subquery, Form::Exists)?;
                let node = if *negated { Node::Not(Box::new(exists.node)) } else { exists.node };
                Ok(Bound::new(node, DataType::Bool))
            }
            Expr::Struct { values, fields } => self.bind_struct(values, fields),
            Expr::Array(array) => self.bind_array(&array.elem),
            Expr::Tuple(values) => self.bind_struct(values, &[]),
            other => self.bind_operator(other),
        }
    }

    /// Binds several expressions.
    pub(super) fn bind_all<'e>(
        &mut self,
        expressions: impl IntoIterator<Item = &'e Expr>,
    ) -> Result<Vec<Bound>> {
        expressions.into_iter().map(|expr| self.bind(expr)).collect()
    }

    /// Binds an expression that must be BOOL.
    pub(super) fn bind_condition(&mut self, expr: &Expr, clause: &str) -> Result<Node> {
        let bound = self.bind(expr)?;
        match bound.data_type {
            DataType::Bool => Ok(bound.node),
            _ if bound.is_null_literal() => Ok(bound.node),
            other => Err(SqlError::at(
                format!("{clause} should return type BOOL, but returns {other}"),
                place(expr),
            )),
        }
    }

    fn bind_literal(&self, literal: &ValueWithSpan) -> Result<Bound> {
        let text = |text: &str| Ok(Bound::literal(Value::string(text), DataType::String));
        match &literal.value {
            Literal::Number(number, _) => number_literal(number)
                .ok_or_else(|| SqlError::at(format!("Invalid number {number}"), literal.span)),
            Literal::Boolean(value) => Ok(Bound::literal(Value::Bool(*value), DataType::Bool)),
            // The type of a bare NULL; it coerces to all others.
            Literal::Null => Ok(Bound::literal(Value::Null, DataType::Int64)),
            Literal::Placeholder(mark) if mark == "?" => {
                let at = self.placeholders.get(&literal.span.start);
                let parameter = at.and_then(|at| self.parameters.positional(*at));
                match parameter {
                    Some(parameter) => {
                        Ok(Bound::literal(parameter.value.clone(), parameter.data_type.clone()))
                    }
                    None => {
                        Err(SqlError::at("Query parameter number is out of range", literal.span))
                    }
                }
            }
            Literal::SingleQuotedByteStringLiteral(bytes)
            | Literal::DoubleQuotedByteStringLiteral(bytes) => {
                let bytes = unescape(bytes)
                    .ok_or_else(|| SqlError::at("Invalid escape sequence", literal.span))?;
                Ok(Bound::literal(Value::Bytes(bytes.into()), DataType::Bytes))
            }
            // BigQuery has no such strings: this is how the tokenizer reads 0x1F.
            Literal::HexStringLiteral(digits) => i64::from_str_radix(digits, 16)
                .map(|value| Bound::literal(Value::Int64(value), DataType::Int64))
                .map_err(|_| SqlError::at(format!("Invalid number 0x{digits}"), literal.span)),
            other => match literal_text(other) {
                Some(found) => text(found),
                None => Err(SqlError::unsupported(format!("The literal {other}"))),
            },
        }
    }

    /// Binds `column`, `table.column`, `column.field...` or `@parameter`.
    fn bind_path(&mut self, path: &[Ident]) -> Result<Bound> {
        let Some((first, rest)) = path.split_first() else {
            return Err(SqlError::query("Empty name"));
        };
        if first.quote_style.is_none()
            && let Some(name) = first.value.strip_prefix('@')
        {
            return self.bind_parameter(name, first, rest);
        }
        if let Some(bound) = self.bind_alias(first, rest)? {
            return Ok(bound);
        }
        let qualified = self
            .scope
            .qualifier
            .as_deref()
            .is_some_and(|qualifier| qualifier.eq_ignore_ascii_case(&first.value));
        let (name, fields) = match (self.scope.column(&first.value), rest.split_first()) {
            (None, Some((name, fields))) if qualified => (name, fields),
            _ => (first, rest),
        };
        let Some(index) = self.scope.column(&name.value) else {
            return Err(self.unrecognized(path));
        };
        let column = Bound::new(Node::Column(index), self.scope.columns[index].1.clone());
        self.bind_column(column, name, fields)
    }

    fn bind_parameter(&self, name: &str, ident: &Ident, fields: &[Ident]) -> Result<Bound> {
        if name.starts_with('@') {
            return Err(SqlError::unsupported(format!("The system variable @{name}")));
        }
        let Some(parameter) = self.parameters.named(name) else {
            let message = format!("Query parameter '{name}' not found");
            return Err(SqlError::at(message, ident.span));
        };
        let bound = Bound::literal(parameter.value.clone(), parameter.data_type.clone());
        fields.iter().try_fold(bound, access_field)
    }

    /// Binds the name of a SELECT list entry, where those may be used.
    fn bind_alias(&mut self, first: &Ident, fields: &[Ident]) -> Result<Option<Bound>> {
        let found = self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&first.value));
        let Some(&(_, expr)) = found else { return Ok(None) };
        // The entry itself sees columns, not aliases.
        let aliases = std::mem::take(&mut self.aliases);
        let bound = self.bind(expr);
        self.aliases = aliases;
        let bound = fields.iter().try_fold(bound?, access_field)?;
        Ok(Some(bound))
    }

    /// Follows fields from a column; where groups are seen, some prefix of the path must be a group's key.
    fn bind_column(&self, column: Bound, name: &Ident, fields: &[Ident]) -> Result<Bound> {
        let Some(grouping) = &self.grouping else {
            return fields.iter().try_fold(column, access_field);
        };
        let mut raw = column;
        let mut grouped = grouping.key_like(&raw.node);
        for field in fields {
            raw = access_field(raw, field)?;
            grouped = match grouped {
                Some(bound) => Some(access_field(bound, field)?),
                None => grouping.key_like(&raw.node),
            };
        }
        grouped.ok_or_else(|| {
            let message = format!(
                "SELECT list expression references column {} which is neither grouped nor aggregated",
                name.value
            );
            SqlError::at(message, name.span)
        })
    }

    fn unrecognized(&self, path: &[Ident]) -> SqlError {
        let name = path.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        SqlError::at(format!("Unrecognized name: {name}"), path[0].span)
    }

    fn bind_access(&mut self, root: &Expr, chain: &[AccessExpr]) -> Result<Bound> {
        // `table.column[...]` comes as a name followed by accesses.
        let names = chain.iter().map_while(|access| match access {
            AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
            _ => None,
        });
        let (mut bound, chain) = match root {
            Expr::Identifier(first) => {
                let path: Vec<_> = std::iter::once(first.clone()).chain(names).collect();
                (self.bind_path(&path)?, &chain[path.len() - 1..])
            }
            other => (self.bind(other)?, chain),
        };
        for access in chain {
            bound = match access {
                AccessExpr::Dot(Expr::Identifier(field)) => access_field(bound, field)?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    self.bind_index(bound, index)?
                }
                other => return Err(SqlError::unsupported(format!("The access {other}"))),
            };
        }
        Ok(bound)
    }

    /// Binds `array[OFFSET(i)]` and its three sisters.
    fn bind_index(&mut self, array: Bound, index: &Expr) -> Result<Bound> {
        let DataType::Array(item) = &array.data_type else {
            let message = format!("Element access is not supported on type {}", array.data_type);
            return Err(SqlError::at(message, place(index)));
        };
        let item = item.as_ref().clone();
        let (name, position) = match index {
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_uppercase();
                let [position] = self.bind_arguments(function)?.try_into().map_err(|_| {
                    SqlError::at(format!("{name} takes one argument"), place(index))
                })?;
                (name, position)
            }
            other => ("OFFSET".to_owned(), self.bind(other)?),
        };
        let (base, safe) = match name.as_str() {
            "OFFSET" => (0, false),
            "ORDINAL" => (1, false),
            "SAFE_OFFSET" => (0, true),
            "SAFE_ORDINAL" => (1, true),
            _ => return Err(SqlError::unsupported(format!("The subscript {name}"))),
        };
        let position = super::operators::coerce(position, &DataType::Int64)?;
        let node = call(
            std::sync::Arc::new(move |arguments| element(arguments, base, safe)),
            vec![array.node, position.node],
        );
        Ok(Bound::new(node, item))
    }

    fn bind_struct(
        &mut self,
        values: &[Expr],
        fields: &[sqlparser::ast::StructField],
    ) -> Result<Bound> {
        let mut bound = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let (name, value) = match value {
                Expr::Named { expr, name } => (name.value.clone(), self.bind(expr)?),
                Expr::Identifier(name) if fields.is_empty() => {
                    (name.value.clone(), self.bind(value)?)
                }
                Expr::CompoundIdentifier(path) if fields.is_empty() => {
                    (path.last().map_or("", |name| &name.value).to_owned(), self.bind(value)?)
                }
                other => (String::new(), self.bind(other)?),
            };
            bound.push(match fields.get(at) {
                Some(field) => {
                    let name = field.field_name.as_ref().map_or("", |name| &name.value).to_owned();
                    (name, super::operators::coerce(value, &from_ast(&field.field_type)?)?)
                }
                None => (name, value),
            });
        }
        Ok(structure(bound))
    }
}

/// One element of an array.
fn element(arguments: &[Value], base: i64, safe: bool) -> Result<Value> {
    let (Value::Array(items), Value::Int64(position)) = (&arguments[0], &arguments[1]) else {
        return Ok(Value::Null);
    };
    let index = position.checked_sub(base).and_then(|index| usize::try_from(index).ok());
    match index.and_then(|index| items.get(index)) {
        Some(item) => Ok(item.clone()),
        None if safe => Ok(Value::Null),
        None => Err(SqlError::query(format!("Array index {position} is out of bounds"))),
    }
}

/// A field of a STRUCT.
fn access_field(bound: Bound, field: &Ident) -> Result<Bound> {
    let DataType::Struct(fields) = &bound.data_type else {
        let message =
            format!("Cannot access field {} on a value with type {}", field.value, bound.data_type);
        return Err(SqlError::at(message, field.span));
    };
    let found =
        fields.iter().position(|candidate| candidate.name.eq_ignore_ascii_case(&field.value));
    let Some(index) = found else {
        let message = format!("Field name {} does not exist in {}", field.value, bound.data_type);
        return Err(SqlError::at(message, field.span));
    };
    let data_type = fields[index].data_type.clone();
    Ok(Bound::new(Node::Field(Box::new(bound.node), index), data_type))
}

/// The text of any kind of string literal.
pub(super) fn literal_text(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::SingleQuotedString(text)
        | Literal::DoubleQuotedString(text)
        | Literal::TripleSingleQuotedString(text)
        | Literal::TripleDoubleQuotedString(text)
        | Literal::SingleQuotedRawStringLiteral(text)
        | Literal::DoubleQuotedRawStringLiteral(text)
        | Literal::TripleSingleQuotedRawStringLiteral(text)
        | Literal::TripleDoubleQuotedRawStringLiteral(text) => Some(text),
        _ => None,
    }
}

/// The bytes of a byte literal, its escapes resolved; `None` if one is invalid.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (kind, tail) = rest.split_first()?;
        rest = tail;
        let mut number = |digits: usize, radix: u32, lead: &str| {
            let (digits, tail) = rest.split_at_checked(digits)?;
            rest = tail;
            let digits = format!("{lead}{}", std::str::from_utf8(digits).ok()?);
            u8::from_str_radix(&digits, radix).ok()
        };
        bytes.push(match kind {
            b'x' | b'X' => number(2, 16, "")?,
            b'0'..=b'3' => number(2, 8, &char::from(*kind).to_string())?,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'\\' | b'\'' | b'"' | b'`' | b'?' => *kind,
            _ => return None,
        });
    }
    Some(bytes)
}

/// An INT64 if it is one, else a FLOAT64.
fn number_literal(number: &str) -> Option<Bound> {
    if let Some(value) = crate::bigquery::ingest::parse_int64(number) {
        return Some(Bound::literal(Value::Int64(value), DataType::Int64));
    }
    let is_real = number.contains(['.', 'e', 'E']) && !number.starts_with("0x");
    let value = is_real.then(|| number.parse().ok()).flatten()?;
    Some(Bound::literal(Value::Float64(value), DataType::Float64))
}
