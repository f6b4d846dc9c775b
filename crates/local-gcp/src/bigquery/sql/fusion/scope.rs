//! The names FROM clauses give to what they range over, as the rewriter sees them: no columns, no types.

use sqlparser::ast::{Expr, Ident};

/// A name of a FROM clause.
#[derive(Clone, Debug)]
pub(super) struct RangeVariable {
    /// In lower case.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What a name of a FROM clause stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The rows of a table.
    Rows,
    /// The elements of an array, as DataFusion unnests it.
    Element,
    /// The elements of an array in a subquery of which our evaluator sees all.
    Inner,
}

/// The names of the FROM clauses around an expression, innermost last.
#[derive(Clone, Debug, Default)]
pub(super) struct Scopes(Vec<Vec<RangeVariable>>);

/// The column of an UNNEST that has the whole element.
pub(super) const ELEMENT: &str = "__element";

impl Scopes {
    pub(super) fn enter(&mut self) {
        self.0.push(Vec::new());
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    pub(super) fn add(&mut self, name: String, kind: Kind) {
        if let Some(scope) = self.0.last_mut() {
            scope.push(RangeVariable { name, kind });
        }
    }

    /// How many names the innermost FROM clause has.
    pub(super) fn width(&self) -> usize {
        self.0.last().map_or(0, Vec::len)
    }

    /// How many FROM clauses there are.
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    /// The range variable of a name, the innermost first.
    pub(super) fn variable(&self, name: &str) -> Option<&RangeVariable> {
        let name = name.to_lowercase();
        self.0.iter().rev().flatten().find(|variable| variable.name == name)
    }

    /// Whether an expression stands in a subquery of which our evaluator sees all.
    pub(super) fn is_inner(&self) -> bool {
        self.0.iter().flatten().any(|variable| variable.kind == Kind::Inner)
    }

    /// Splits a path into the column that DataFusion knows and the fields that follow; `None` if it knows none of them.
    /// Inside of a subquery over an array, a name without qualifier is the subquery's.
    pub(super) fn column<'p>(&self, path: &'p [Ident]) -> Option<(Expr, &'p [Ident])> {
        let (first, rest) = path.split_first()?;
        let column = |path: Vec<&str>| {
            let idents = path.iter().map(|part| quoted(part)).collect();
            Expr::CompoundIdentifier(idents)
        };
        Some(match (self.variable(&first.value), rest.split_first()) {
            (Some(variable), _) if variable.kind == Kind::Inner => return None,
            (None, _) if self.is_inner() => return None,
            (Some(variable), _) if variable.kind == Kind::Element => {
                (column(vec![&variable.name, ELEMENT]), rest)
            }
            (Some(variable), Some((second, fields))) => {
                (column(vec![&variable.name, &second.value]), fields)
            }
            _ => (Expr::Identifier(quoted(&first.value)), rest),
        })
    }
}

/// A name as DataFusion has it: in lower case, whatever its characters.
pub(super) fn quoted(name: &str) -> Ident {
    Ident::with_quote('`', name.to_lowercase())
}
