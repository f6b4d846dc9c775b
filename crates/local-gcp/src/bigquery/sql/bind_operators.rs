//! Binds operators: comparisons, logic, arithmetic, IN, BETWEEN, LIKE, CASE, casts, EXTRACT.

use std::sync::Arc;

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DateTimeField, Expr, UnaryOperator,
};

use super::arithmetic::{Arithmetic, negate};
use super::bind::{Binder, Result};
use super::error::{SqlError, place};
use super::expression::{Bound, Comparison, Function, Node, compare};
use super::operators::{
    bind_cast, call, call_with_nulls, coerce, is_null, like, no_signature, unify,
};
use super::types::{DataType, from_ast};
use crate::bigquery::value::Value;

impl Binder<'_> {
    /// Binds what is neither name, literal nor function call.
    pub(super) fn bind_operator(&mut self, expr: &Expr) -> Result<Bound> {
        match expr {
            Expr::BinaryOp { left, op, right } => self.bind_binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.bind_unary(op, expr),
            Expr::IsNull(inner) => Ok(boolean(is_null(self.bind(inner)?.node))),
            Expr::IsNotNull(inner) => Ok(boolean(not(is_null(self.bind(inner)?.node)))),
            Expr::IsTrue(inner) => self.bind_is(inner, Value::Bool(true), false),
            Expr::IsNotTrue(inner) => self.bind_is(inner, Value::Bool(true), true),
            Expr::IsFalse(inner) => self.bind_is(inner, Value::Bool(false), false),
            Expr::IsNotFalse(inner) => self.bind_is(inner, Value::Bool(false), true),
            Expr::IsDistinctFrom(left, right) => self.bind_distinct(left, right, true),
            Expr::IsNotDistinctFrom(left, right) => self.bind_distinct(left, right, false),
            Expr::InList { expr, list, negated } => self.bind_in_list(expr, list, *negated),
            Expr::InUnnest { expr, array_expr, negated } => {
                self.bind_in_array(expr, array_expr, *negated)
            }
            Expr::Between { expr, negated, low, high } => {
                self.bind_between(expr, low, high, *negated)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                self.bind_like(expr, pattern, *negated)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Extract { field, expr, .. } => self.bind_extract(field, expr),
            Expr::Ceil { expr, field } => self.bind_rounding("CEIL", expr, field),
            Expr::Floor { expr, field } => self.bind_rounding("FLOOR", expr, field),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
                self.bind_named("SUBSTR", parts.into_iter().flatten().map(AsRef::as_ref))
            }
            Expr::Trim { trim_where: None, trim_what: None, expr, trim_characters } => {
                let characters = trim_characters.iter().flatten();
                self.bind_named("TRIM", std::iter::once(expr.as_ref()).chain(characters))
            }
            Expr::Position { expr, r#in } => {
                self.bind_named("STRPOS", [r#in.as_ref(), expr.as_ref()])
            }
            other => Err(SqlError::unsupported(construct(other))),
        }
    }

    /// Binds a call of a function that the parser gave a node of its own.
    fn bind_named<'e>(
        &mut self,
        name: &str,
        arguments: impl IntoIterator<Item = &'e Expr>,
    ) -> Result<Bound> {
        let arguments = self.bind_all(arguments)?;
        self.bind_call(name, arguments, false)
    }

    fn bind_rounding(&mut self, name: &str, expr: &Expr, field: &CeilFloorKind) -> Result<Bound> {
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {
                self.bind_named(name, [expr])
            }
            _ => Err(SqlError::unsupported(format!("{name} with more than one argument"))),
        }
    }

    fn bind_binary(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Bound> {
        let at = place(left);
        let bound = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                return Ok(boolean(self.bind_connected(op, left, right)?));
            }
            BinaryOperator::Eq => self.bind_compare(Comparison::Equal, left, right),
            BinaryOperator::NotEq => self.bind_compare(Comparison::NotEqual, left, right),
            BinaryOperator::Lt => self.bind_compare(Comparison::Less, left, right),
            BinaryOperator::LtEq => self.bind_compare(Comparison::LessOrEqual, left, right),
            BinaryOperator::Gt => self.bind_compare(Comparison::Greater, left, right),
            BinaryOperator::GtEq => self.bind_compare(Comparison::GreaterOrEqual, left, right),
            BinaryOperator::Plus => self.bind_arithmetic(Arithmetic::Add, left, right),
            BinaryOperator::Minus => self.bind_arithmetic(Arithmetic::Subtract, left, right),
            BinaryOperator::Multiply => self.bind_arithmetic(Arithmetic::Multiply, left, right),
            BinaryOperator::Divide => self.bind_arithmetic(Arithmetic::Divide, left, right),
            BinaryOperator::StringConcat => self.bind_named("CONCAT", [left, right]),
            other => Err(SqlError::unsupported(format!("The operator {other}"))),
        };
        bound.map_err(|error| located(error, at))
    }

    /// Binds a chain of ANDs or of ORs, which may be long, as a balanced tree.
    fn bind_connected(&mut self, op: &BinaryOperator, left: &Expr, right: &Expr) -> Result<Node> {
        let clause = op.to_string();
        let (mut terms, mut rest) = (vec![right], left);
        while let Expr::BinaryOp { left, op: inner, right } = rest
            && inner == op
        {
            terms.push(right);
            rest = left;
        }
        terms.push(rest);
        terms.reverse();
        let terms = terms.into_iter().map(|term| self.bind_condition(term, &clause));
        Ok(connected(&terms.collect::<Result<Vec<_>>>()?, *op == BinaryOperator::And))
    }

    fn bind_compare(&mut self, comparison: Comparison, left: &Expr, right: &Expr) -> Result<Bound> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        compare_bound(comparison, left, right)
    }

    fn bind_arithmetic(
        &mut self,
        operator: Arithmetic,
        left: &Expr,
        right: &Expr,
    ) -> Result<Bound> {
        if let Expr::Interval(interval) = right {
            let moment = self.bind(left)?;
            return self.bind_moved(moment, interval, operator == Arithmetic::Subtract);
        }
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        arithmetic(operator, left, right)
    }

    fn bind_unary(&mut self, op: &UnaryOperator, inner: &Expr) -> Result<Bound> {
        match op {
            UnaryOperator::Not => Ok(boolean(not(self.bind_condition(inner, "NOT")?))),
            UnaryOperator::Plus => self.bind(inner),
            UnaryOperator::Minus => {
                // The smallest INT64 has no positive counterpart to negate.
                if let Expr::Value(literal) = inner
                    && literal.value.to_string() == "9223372036854775808"
                {
                    return Ok(Bound::literal(Value::Int64(i64::MIN), DataType::Int64));
                }
                let bound = self.bind(inner)?;
                if !bound.data_type.is_numeric() {
                    return Err(no_signature("operator -", [&bound].into_iter()));
                }
                match bound.node {
                    Node::Constant(value) if bound.is_literal && !value.is_null() => {
                        Ok(Bound::literal(negate(&value)?, bound.data_type))
                    }
                    node => {
                        let node = call(Arc::new(|arguments| negate(&arguments[0])), vec![node]);
                        Ok(Bound::new(node, bound.data_type))
                    }
                }
            }
            other => Err(SqlError::unsupported(format!("The operator {other}"))),
        }
    }

    fn bind_is(&mut self, inner: &Expr, wanted: Value, negated: bool) -> Result<Bound> {
        let node = self.bind_condition(inner, "IS")?;
        let is: Function =
            Arc::new(move |arguments| Ok(Value::Bool((arguments[0] == wanted) != negated)));
        Ok(boolean(call_with_nulls(is, vec![node])))
    }

    fn bind_distinct(&mut self, left: &Expr, right: &Expr, distinct: bool) -> Result<Bound> {
        let sides = vec![self.bind(left)?, self.bind(right)?];
        let (sides, _) = unify(sides, "operator IS DISTINCT FROM")?;
        let differ: Function = Arc::new(move |arguments| {
            Ok(Value::Bool(arguments[0].total_compare(&arguments[1]).is_ne() == distinct))
        });
        Ok(boolean(call_with_nulls(differ, sides.into_iter().map(|side| side.node).collect())))
    }

    fn bind_in_list(&mut self, expr: &Expr, list: &[Expr], negated: bool) -> Result<Bound> {
        let mut all = vec![self.bind(expr)?];
        all.extend(self.bind_all(list)?);
        let (all, _) = unify(all, "operator IN").map_err(|error| located(error, place(expr)))?;
        let is_in: Function =
            Arc::new(move |arguments| Ok(contains(&arguments[0], &arguments[1..])));
        let node = call_with_nulls(is_in, all.into_iter().map(|bound| bound.node).collect());
        Ok(boolean(if negated { not(node) } else { node }))
    }

    fn bind_in_array(&mut self, expr: &Expr, array: &Expr, negated: bool) -> Result<Bound> {
        let (value, array) = (self.bind(expr)?, self.bind(array)?);
        let DataType::Array(item) = &array.data_type else {
            return Err(SqlError::at("UNNEST needs an ARRAY", place(expr)));
        };
        let value = if super::operators::coerces(&value, item) {
            coerce(value, item)?
        } else {
            return Err(located(
                no_signature("operator IN UNNEST", [&value, &array].into_iter()),
                place(expr),
            ));
        };
        let is_in: Function = Arc::new(|arguments| {
            Ok(match &arguments[1] {
                Value::Array(items) => contains(&arguments[0], items),
                _ => Value::Bool(false),
            })
        });
        let node = call_with_nulls(is_in, vec![value.node, array.node]);
        Ok(boolean(if negated { not(node) } else { node }))
    }

    fn bind_between(
        &mut self,
        expr: &Expr,
        low: &Expr,
        high: &Expr,
        negated: bool,
    ) -> Result<Bound> {
        let bounds = self.bind_all([expr, low, high])?;
        let (bounds, data_type) =
            unify(bounds, "operator BETWEEN").map_err(|error| located(error, place(expr)))?;
        if !data_type.is_orderable() {
            return Err(located(no_signature("operator BETWEEN", bounds.iter()), place(expr)));
        }
        let [value, low, high]: [Node; 3] = bounds
            .into_iter()
            .map(|bound| bound.node)
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| SqlError::query("BETWEEN takes three expressions"))?;
        let at_least =
            Node::Compare(Comparison::GreaterOrEqual, Box::new(value.clone()), Box::new(low));
        let at_most = Node::Compare(Comparison::LessOrEqual, Box::new(value), Box::new(high));
        let node = Node::And(Box::new(at_least), Box::new(at_most));
        Ok(boolean(if negated { not(node) } else { node }))
    }

    fn bind_like(&mut self, expr: &Expr, pattern: &Expr, negated: bool) -> Result<Bound> {
        let sides = [self.bind(expr)?, self.bind(pattern)?];
        if !sides.iter().all(|side| side.data_type == DataType::String || side.is_null_literal()) {
            return Err(located(no_signature("operator LIKE", sides.iter()), place(expr)));
        }
        let matches: Function = Arc::new(|arguments| {
            let text = |at: usize| arguments[at].as_str().unwrap_or("");
            like(text(0), text(1)).map(Value::Bool)
        });
        let node = call(matches, sides.into_iter().map(|side| side.node).collect());
        Ok(boolean(if negated { not(node) } else { node }))
    }

    fn bind_case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Bound> {
        let operand = operand.map(|operand| self.bind(operand)).transpose()?;
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for branch in branches {
            conditions.push(match &operand {
                Some(operand) => {
                    let wanted = self.bind(&branch.condition)?;
                    compare_bound(Comparison::Equal, operand.clone(), wanted)?.node
                }
                None => self.bind_condition(&branch.condition, "CASE WHEN")?,
            });
            results.push(self.bind(&branch.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Bound::literal(Value::Null, DataType::Int64),
        });
        let (mut results, data_type) = unify(results, "operator CASE")?;
        let otherwise = results.pop().map_or(Node::Constant(Value::Null), |bound| bound.node);
        let results = results.into_iter().map(|bound| bound.node);
        let node = Node::Case(conditions.into_iter().zip(results).collect(), Box::new(otherwise));
        Ok(Bound::new(node, data_type))
    }

    pub(super) fn bind_cast_expr(
        &mut self,
        kind: &CastKind,
        expr: &Expr,
        target: &sqlparser::ast::DataType,
        with_format: bool,
    ) -> Result<Bound> {
        if with_format {
            return Err(SqlError::unsupported("CAST with FORMAT"));
        }
        let safe = match kind {
            CastKind::Cast => false,
            CastKind::SafeCast => true,
            _ => return Err(SqlError::unsupported("This form of CAST")),
        };
        let bound = self.bind(expr)?;
        bind_cast(bound, &from_ast(target)?, safe).map_err(|error| located(error, place(expr)))
    }
}

/// Terms joined by AND or OR, as flat as can be.
fn connected(terms: &[Node], is_and: bool) -> Node {
    match terms {
        [] => Node::Constant(Value::Bool(is_and)),
        [term] => term.clone(),
        terms => {
            let (left, right) = terms.split_at(terms.len() / 2);
            let (left, right) = (connected(left, is_and), connected(right, is_and));
            let (left, right) = (Box::new(left), Box::new(right));
            if is_and { Node::And(left, right) } else { Node::Or(left, right) }
        }
    }
}

/// A comparison of two bound expressions.
pub(super) fn compare_bound(comparison: Comparison, left: Bound, right: Bound) -> Result<Bound> {
    let name = match comparison {
        Comparison::Equal => "operator =",
        Comparison::NotEqual => "operator !=",
        Comparison::Less => "operator <",
        Comparison::LessOrEqual => "operator <=",
        Comparison::Greater => "operator >",
        Comparison::GreaterOrEqual => "operator >=",
    };
    let (sides, data_type) = unify(vec![left, right], name)?;
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let comparable =
        data_type.is_orderable() || (equality && matches!(data_type, DataType::Struct(_)));
    if !comparable {
        return Err(no_signature(name, sides.iter()));
    }
    let mut nodes = sides.into_iter().map(|side| Box::new(side.node));
    match (nodes.next(), nodes.next()) {
        (Some(left), Some(right)) => Ok(boolean(Node::Compare(comparison, left, right))),
        _ => Err(SqlError::query("A comparison has two sides")),
    }
}

/// Arithmetic on two bound expressions.
pub(super) fn arithmetic(operator: Arithmetic, left: Bound, right: Bound) -> Result<Bound> {
    let name = format!("operator {}", operator.symbol());
    if let (DataType::Date, DataType::Int64, Arithmetic::Add | Arithmetic::Subtract) =
        (&left.data_type, &right.data_type, operator)
    {
        let sign = if operator == Arithmetic::Add { 1 } else { -1 };
        return Ok(super::moments::move_date_by_days(left, right, sign));
    }
    let (sides, common) = unify(vec![left, right], &name)?;
    if !common.is_numeric() {
        return Err(no_signature(&name, sides.iter()));
    }
    let target = operator.result_type(common);
    let nodes: Result<Vec<_>> =
        sides.into_iter().map(|side| Ok(coerce(side, &target)?.node)).collect();
    let function: Function =
        Arc::new(move |arguments| operator.apply(&arguments[0], &arguments[1]));
    Ok(Bound::new(call(function, nodes?), target))
}

/// IN under three-valued logic.
fn contains(value: &Value, items: &[Value]) -> Value {
    if items.is_empty() {
        return Value::Bool(false);
    }
    let mut unknown = false;
    for item in items {
        match compare(Comparison::Equal, value, item) {
            Value::Bool(true) => return Value::Bool(true),
            Value::Null => unknown = true,
            _ => {}
        }
    }
    if unknown { Value::Null } else { Value::Bool(false) }
}

fn boolean(node: Node) -> Bound {
    Bound::new(node, DataType::Bool)
}

fn not(node: Node) -> Node {
    Node::Not(Box::new(node))
}

/// Adds a place to an error that has none.
fn located(error: SqlError, span: sqlparser::tokenizer::Span) -> SqlError {
    error.located(span)
}

/// What an unsupported expression is, for the error.
fn construct(expr: &Expr) -> String {
    match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            "A subquery".to_owned()
        }
        Expr::Interval(_) => "An INTERVAL outside of date arithmetic".to_owned(),
        Expr::Like { any: true, .. } => "LIKE ANY".to_owned(),
        other => format!("The expression {other}"),
    }
}
