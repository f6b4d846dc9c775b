//! Why a query cannot be analysed or fails while it runs.

use sqlparser::ast::{Expr, ObjectName};
use sqlparser::tokenizer::Span;

use crate::bigquery::error::{ApiError, Reason};

/// A query's error; its reason decides the HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SqlError {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// Another engine may know what this one does not.
    pub(crate) unsupported: bool,
}

impl SqlError {
    /// An error for any reason.
    pub(crate) fn of(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), unsupported: false }
    }

    /// The query is wrong, or its values are.
    pub(crate) fn query(message: impl Into<String>) -> Self {
        Self::of(Reason::InvalidQuery, message)
    }

    /// The query is wrong at a place of its text.
    pub(crate) fn at(message: impl AsRef<str>, span: Span) -> Self {
        let (line, column) = (span.start.line, span.start.column);
        match line {
            0 => Self::query(message.as_ref()),
            _ => Self::query(format!("{} at [{line}:{column}]", message.as_ref())),
        }
    }

    /// The error with a place, if it has none.
    pub(crate) fn located(self, span: Span) -> Self {
        match self.message.contains(" at [") {
            true => self,
            false => Self { unsupported: self.unsupported, ..Self::at(self.message, span) },
        }
    }

    /// The query may be right, but this evaluator does not know the construct.
    pub(crate) fn unsupported(construct: impl std::fmt::Display) -> Self {
        let message = format!("{construct} is not supported by this local BigQuery");
        Self { unsupported: true, ..Self::query(message) }
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        Self::new(error.reason, error.message)
    }
}

/// Where an expression starts. Follows the left side down in a loop: chains of operators are deep.
pub(crate) fn place(expr: &Expr) -> Span {
    let mut expr = expr;
    loop {
        expr = match expr {
            Expr::BinaryOp { left: inner, .. }
            | Expr::Nested(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::Cast { expr: inner, .. }
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsDistinctFrom(inner, _)
            | Expr::IsNotDistinctFrom(inner, _)
            | Expr::InList { expr: inner, .. }
            | Expr::InUnnest { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::Like { expr: inner, .. }
            | Expr::CompoundFieldAccess { root: inner, .. } => inner,
            Expr::Identifier(name) => return name.span,
            Expr::CompoundIdentifier(path) => {
                return path.first().map_or_else(Span::empty, |name| name.span);
            }
            Expr::Value(literal) => return literal.span,
            Expr::TypedString(literal) => return literal.value.span,
            Expr::Function(function) => return name_place(&function.name),
            Expr::Case { case_token, .. } => return case_token.0.span,
            _ => return Span::empty(),
        }
    }
}

/// Where a name starts.
pub(crate) fn name_place(name: &ObjectName) -> Span {
    let first = name.0.first().and_then(|part| part.as_ident());
    first.map_or_else(Span::empty, |ident| ident.span)
}
