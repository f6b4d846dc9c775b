//! Subqueries over the elements of an array: they go to our evaluator as a whole, with what they use of outer rows.

use sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Ident, ObjectNamePart, OrderByKind, Query,
    SelectItem, SetExpr, TableFactor,
};

use super::super::subqueries::Elements;
use super::from::unnest_of;
use super::rewrite::{Result, Rewriter};
use super::scope::Kind;

/// The query of an expression that is a subquery.
pub(super) fn subquery_mut(expr: &mut Expr) -> Option<&mut Query> {
    match expr {
        Expr::Subquery(query) | Expr::Exists { subquery: query, .. } => Some(query),
        Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. })
            if name.to_string().eq_ignore_ascii_case("ARRAY") =>
        {
            Some(query)
        }
        _ => None,
    }
}

impl Rewriter<'_> {
    /// Whether a query ranges over the elements of one array and nothing else; `FROM t.items` becomes `FROM UNNEST(t.items)`.
    pub(super) fn is_over_elements(&self, query: &mut Query) -> bool {
        if let SetExpr::Select(select) = query.body.as_mut()
            && let [from] = select.from.as_mut_slice()
            && let TableFactor::Table { name, alias, .. } = &mut from.relation
        {
            let path: Vec<Ident> =
                name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
            if let [first, _, ..] = path.as_slice()
                && self.scopes.variable(&first.value).is_some()
            {
                from.relation = unnest_of(path, alias.take());
            }
        }
        Elements::of(query).is_some()
    }

    /// Cuts what a query over elements uses of outer rows out of it.
    pub(super) fn cut_elements(&mut self, query: &mut Query, leaves: &mut Vec<Expr>) -> Result<()> {
        let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
        let mut alias = String::new();
        for from in &mut select.from {
            if let TableFactor::UNNEST { alias: given, array_exprs, .. } = &mut from.relation {
                alias = given.as_ref().map(|it| it.name.value.to_lowercase()).unwrap_or_default();
                array_exprs.iter_mut().try_for_each(|array| self.cut(array, leaves))?;
            }
        }
        let mut inside: Vec<&mut Expr> = Vec::new();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                inside.push(expr);
            }
        }
        inside.extend(&mut select.selection);
        inside.extend(&mut select.having);
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            inside.extend(keys);
        }
        if let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(keys) = &mut order.kind
        {
            inside.extend(keys.iter_mut().map(|key| &mut key.expr));
        }
        self.scopes.enter();
        self.scopes.add(alias, Kind::Inner);
        let cut = inside.into_iter().try_for_each(|expr| self.cut(expr, leaves));
        self.scopes.leave();
        cut
    }
}
