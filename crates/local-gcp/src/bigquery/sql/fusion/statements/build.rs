//! Makes the queries that statements read with.

use sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, SelectItem, SetExpr,
    Statement, TableAlias, TableFactor, TableWithJoins,
};

use super::super::super::error::SqlError;
use super::super::super::query::{statement, tokens};
use super::super::from::{PLACE, TARGET};

type Result<T> = std::result::Result<T, SqlError>;

/// `SELECT items FROM from WHERE condition`.
pub(super) fn select(
    items: Vec<SelectItem>,
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
) -> Result<Query> {
    let Statement::Query(mut query) = statement(tokens("SELECT 1")?)? else {
        return Err(SqlError::query("Expected a query"));
    };
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = from;
        select.selection = condition;
    }
    Ok(*query)
}

/// An expression of a SELECT list under the name of its place.
pub(super) fn item(expr: Expr, at: usize) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('`', format!("value_{at}")) }
}

/// `alias.column`.
pub(super) fn column(alias: &str, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![Ident::with_quote('`', alias), Ident::with_quote('`', name)])
}

/// The place of a row of the target.
pub(super) fn place(alias: &str) -> SelectItem {
    let alias_of = Ident::with_quote('`', PLACE);
    SelectItem::ExprWithAlias { expr: column(alias, PLACE), alias: alias_of }
}

/// The name of the table in a statement, and what the statement calls it.
pub(super) fn named(factor: &TableFactor) -> Result<(ObjectName, String)> {
    let TableFactor::Table { name, alias, .. } = factor else {
        return Err(SqlError::query("A statement changes tables only"));
    };
    let implied = name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
    let implied = implied.and_then(|name| name.rsplit('.').next()).unwrap_or_default();
    let alias = alias.as_ref().map_or(implied, |alias| &alias.name.value).to_owned();
    Ok((name.clone(), alias))
}

/// The target under its alias, its rows with their places.
pub(super) fn target(alias: &str) -> Result<TableFactor> {
    let query = statement(tokens(&format!("SELECT 1 FROM {TARGET}"))?)?;
    let mut factor = match query {
        Statement::Query(query) => match *query.body {
            SetExpr::Select(select) => select.from.into_iter().next().map(|from| from.relation),
            _ => None,
        },
        _ => None,
    };
    if let Some(TableFactor::Table { alias: place, .. }) = &mut factor {
        *place = Some(alias_of(alias));
    }
    factor.ok_or_else(|| SqlError::query("Expected a table"))
}

fn alias_of(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('`', name), columns: Vec::new(), at: None }
}

/// A FROM entry, perhaps with one join.
pub(super) fn from(relation: TableFactor, join: Option<(TableFactor, Expr)>) -> TableWithJoins {
    let joins = join.into_iter().map(|(relation, on)| {
        let join_operator = JoinOperator::Inner(JoinConstraint::On(on));
        Join { relation, global: false, join_operator }
    });
    TableWithJoins { joins: joins.collect(), relation }
}

/// All ANDed; `None` if there are none.
pub(super) fn all(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    let nested = conditions.into_iter().map(|condition| Expr::Nested(Box::new(condition)));
    nested.reduce(|left, right| {
        super::super::expressions::binary(left, sqlparser::ast::BinaryOperator::And, right)
    })
}
