//! The names FROM clauses give to what they range over, as the rewriter sees them: no columns, no types.

use sqlparser::ast::{Expr, Ident};

/// A name of a FROM clause.
#[derive(Clone, Debug)]
pub(super) struct RangeVariable {
    /// In lower case.
    pub(super) name: String,
    /// It stands for the elements of an array, not for rows.
    pub(super) is_element: bool,
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

    pub(super) fn add(&mut self, name: String, is_element: bool) {
        if let Some(scope) = self.0.last_mut() {
            scope.push(RangeVariable { name, is_element });
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

    /// Splits a path into the column that DataFusion knows and the fields that follow.
    pub(super) fn column<'p>(&self, path: &'p [Ident]) -> Option<(Expr, &'p [Ident])> {
        let (first, rest) = path.split_first()?;
        let column = |path: Vec<&str>| {
            let idents = path.iter().map(|part| quoted(part)).collect();
            Expr::CompoundIdentifier(idents)
        };
        Some(match (self.variable(&first.value), rest.split_first()) {
            (Some(variable), _) if variable.is_element => {
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
