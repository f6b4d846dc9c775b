//! The expressions directly inside an expression, as far as our evaluator knows the constructs.

use sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Subscript,
};

use super::super::error::SqlError;

/// All operands and arguments of an expression, but not names of date parts.
///
/// # Errors
/// When neither engine knows the construct.
pub(super) fn children_mut(expr: &mut Expr) -> Result<Vec<&mut Expr>, SqlError> {
    Ok(match expr {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_) => Vec::new(),
        Expr::Nested(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Extract { expr: inner, .. }
        | Expr::Ceil { expr: inner, .. }
        | Expr::Floor { expr: inner, .. }
        | Expr::Named { expr: inner, .. } => vec![inner.as_mut()],
        Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::BinaryOp { left, right, .. }
        | Expr::AtTimeZone { timestamp: left, time_zone: right }
        | Expr::InUnnest { expr: left, array_expr: right, .. }
        | Expr::Like { expr: left, pattern: right, .. }
        | Expr::Position { expr: left, r#in: right } => vec![left.as_mut(), right.as_mut()],
        Expr::InList { expr, list, .. } => std::iter::once(expr.as_mut()).chain(list).collect(),
        Expr::Between { expr, low, high, .. } => vec![expr.as_mut(), low.as_mut(), high.as_mut()],
        Expr::Substring { expr, substring_from, substring_for, .. } => std::iter::once(expr)
            .chain(substring_from)
            .chain(substring_for)
            .map(AsMut::as_mut)
            .collect(),
        Expr::Trim { expr, trim_what, trim_characters, .. } => std::iter::once(expr)
            .chain(trim_what)
            .map(AsMut::as_mut)
            .chain(trim_characters.iter_mut().flatten())
            .collect(),
        Expr::Case { operand, conditions, else_result, .. } => {
            let branches = conditions
                .iter_mut()
                .flat_map(|branch| [&mut branch.condition, &mut branch.result]);
            let ends = operand.iter_mut().chain(else_result).map(AsMut::as_mut);
            branches.chain(ends).collect()
        }
        Expr::Interval(interval) => vec![interval.value.as_mut()],
        Expr::Tuple(values) | Expr::Struct { values, .. } => values.iter_mut().collect(),
        Expr::Array(array) => array.elem.iter_mut().collect(),
        Expr::Function(function) => arguments_mut(function)?,
        Expr::CompoundFieldAccess { root, access_chain } => {
            let indexes = access_chain.iter_mut().filter_map(index_mut);
            std::iter::once(root.as_mut()).chain(indexes).collect()
        }
        other => return Err(SqlError::unsupported(format!("The expression {other}"))),
    })
}

/// The value in `[OFFSET(value)]` or `[value]`.
fn index_mut(access: &mut AccessExpr) -> Option<&mut Expr> {
    match access {
        AccessExpr::Subscript(Subscript::Index { index }) => match index {
            Expr::Function(Function { args: FunctionArguments::List(list), .. }) => {
                list.args.iter_mut().find_map(argument_mut)
            }
            other => Some(other),
        },
        _ => None,
    }
}

/// The value of an argument.
pub(super) fn argument_mut(argument: &mut FunctionArg) -> Option<&mut Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
        | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => Some(expr),
        _ => None,
    }
}

/// The arguments of a call that are values.
fn arguments_mut(function: &mut Function) -> Result<Vec<&mut Expr>, SqlError> {
    let part = part_argument(&function.name.to_string());
    match &mut function.args {
        FunctionArguments::None => Ok(Vec::new()),
        FunctionArguments::List(list) => {
            let values = list.args.iter_mut().enumerate().filter(|(at, _)| Some(*at) != part);
            Ok(values.filter_map(|(_, argument)| argument_mut(argument)).collect())
        }
        FunctionArguments::Subquery(_) => Err(SqlError::unsupported(format!(
            "The subquery of {} over other than an UNNEST",
            function.name
        ))),
    }
}

/// Which argument of a function names a part of a date.
fn part_argument(name: &str) -> Option<usize> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SAFE.").unwrap_or(&name);
    match name {
        "LAST_DAY" => Some(1),
        _ if name.ends_with("_TRUNC") => Some(1),
        _ if name.ends_with("_DIFF") => Some(2),
        _ => None,
    }
}
