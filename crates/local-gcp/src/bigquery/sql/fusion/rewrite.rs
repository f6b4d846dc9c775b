//! Rewrites BigQuery's queries to ones that DataFusion plans: names, clauses and the order of things.
//!
//! DataFusion sees names in lower case, tables by number, and scalar expressions as calls of templates (`expressions`).

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowExpr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, SetOperator, SetQuantifier, TableWithJoins, Value as Literal,
    WildcardAdditionalOptions,
};

use super::super::error::SqlError;
use super::super::plan::implied_name;
use super::super::query::QueryOptions;
use super::expressions::Joining;
use super::scope::{Scopes, quoted};
use super::template::Registry;
use crate::bigquery::names::TableName;
use crate::bigquery::value::Value;

pub(super) type Result<T> = std::result::Result<T, SqlError>;

/// Deepest nesting of queries and expressions, counted together.
const DEPTH_MAX: usize = 200;

/// Rewrites the parts of one statement.
pub(super) struct Rewriter<'a> {
    pub(super) registry: &'a Registry,
    pub(super) options: &'a QueryOptions,
    /// The tables met so far, and whether their rows come with their places. DataFusion knows tables by their place here.
    pub(super) tables: Vec<(TableName, bool)>,
    /// The table that a statement changes.
    pub(super) target: Option<TableName>,
    /// Names of WITH clauses in scope, in lower case.
    pub(super) named_queries: Vec<String>,
    pub(super) scopes: Scopes,
    /// The keys of the groups that an expression sees: as written and as rewritten.
    pub(super) keys: Vec<(Expr, Expr)>,
    depth: usize,
    numbers: usize,
    /// The names of the outermost SELECT list as they are spelt.
    outputs: Option<Vec<String>>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        options: &'a QueryOptions,
        target: Option<&TableName>,
    ) -> Self {
        Self {
            registry,
            options,
            tables: Vec::new(),
            target: target.cloned(),
            named_queries: Vec::new(),
            scopes: Scopes::default(),
            keys: Vec::new(),
            depth: 0,
            numbers: 0,
            outputs: None,
        }
    }

    /// A number not given before.
    pub(super) fn next_number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => {
                Err(SqlError::query(format!("The query is nested deeper than {DEPTH_MAX} levels")))
            }
            false => Ok(()),
        }
    }

    pub(super) fn ascend(&mut self) {
        self.depth -= 1;
    }

    /// A subquery: it sees the names around it, but not the groups.
    pub(super) fn subquery(&mut self, query: &Query) -> Result<Query> {
        let keys = std::mem::take(&mut self.keys);
        let rewritten = self.query(query);
        self.keys = keys;
        rewritten
    }

    /// A query.
    pub(super) fn query(&mut self, query: &Query) -> Result<Query> {
        self.descend()?;
        let outer = self.named_queries.len();
        let rewritten = self.query_here(query);
        self.named_queries.truncate(outer);
        self.ascend();
        rewritten
    }

    fn query_here(&mut self, query: &Query) -> Result<Query> {
        let refused = [
            (query.fetch.is_some(), "FETCH"),
            (!query.locks.is_empty(), "FOR UPDATE"),
            (!query.pipe_operators.is_empty(), "Pipe syntax (|>)"),
        ];
        if let Some((_, clause)) = refused.iter().find(|(used, _)| *used) {
            return Err(SqlError::unsupported(clause));
        }
        let mut query = query.clone();
        if let Some(with) = &mut query.with {
            for named in &mut with.cte_tables {
                let name = self.registry.spell(&named.alias.name.value);
                if with.recursive {
                    self.named_queries.push(name.clone());
                }
                *named.query = self.query(&named.query)?;
                named.alias.name = quoted(&name);
                for column in &mut named.alias.columns {
                    column.name = quoted(&self.registry.spell(&column.name.value));
                }
                self.named_queries.push(name);
            }
        }
        let body = std::mem::replace(&mut *query.body, SetExpr::Values(no_values()));
        *query.body = match body {
            SetExpr::Select(select) => {
                SetExpr::Select(Box::new(self.ordered_select(*select, &mut query.order_by)?))
            }
            other => {
                let body = self.set(other)?;
                self.order_outputs(&mut query.order_by)?;
                body
            }
        };
        self.limits(&mut query)?;
        Ok(query)
    }

    /// What stands between UNION, INTERSECT and EXCEPT.
    fn set(&mut self, body: SetExpr) -> Result<SetExpr> {
        Ok(match body {
            SetExpr::Select(select) => {
                SetExpr::Select(Box::new(self.ordered_select(*select, &mut None)?))
            }
            SetExpr::Query(query) => SetExpr::Query(Box::new(self.query(&query)?)),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                self.descend()?;
                let left = Box::new(self.set(*left)?);
                let right = Box::new(self.set(*right)?);
                self.ascend();
                let quantifier = match set_quantifier {
                    SetQuantifier::All | SetQuantifier::Distinct => set_quantifier,
                    SetQuantifier::None => {
                        return Err(SqlError::query(format!(
                            "Syntax error: Expected keyword ALL or keyword DISTINCT after {op}"
                        )));
                    }
                    other => return Err(SqlError::unsupported(format!("{op} {other}"))),
                };
                // Their plain forms are the distinct ones.
                let set_quantifier = match (op, quantifier) {
                    (SetOperator::Union, quantifier) => quantifier,
                    (_, SetQuantifier::Distinct) => SetQuantifier::None,
                    (_, quantifier) => quantifier,
                };
                SetExpr::SetOperation { op, set_quantifier, left, right }
            }
            _ => return Err(SqlError::unsupported("A query without SELECT")),
        })
    }

    /// ORDER BY after a set operation names outputs.
    fn order_outputs(&mut self, order: &mut Option<sqlparser::ast::OrderBy>) -> Result<()> {
        let Some(order) = order else { return Ok(()) };
        let OrderByKind::Expressions(keys) = &mut order.kind else {
            return Err(SqlError::unsupported("ORDER BY ALL"));
        };
        for key in keys {
            key.expr = self.sort_key(&key.expr)?;
        }
        Ok(())
    }

    /// A sort key of a query: a name, the number of a column, or an expression.
    fn sort_key(&mut self, expr: &Expr) -> Result<Expr> {
        match expr {
            Expr::Value(literal) if matches!(literal.value, Literal::Number(..)) => {
                Ok(expr.clone())
            }
            other => self.scalar(other),
        }
    }

    fn ordered_select(
        &mut self,
        select: Select,
        order: &mut Option<sqlparser::ast::OrderBy>,
    ) -> Result<Select> {
        self.scopes.enter();
        let keys = std::mem::take(&mut self.keys);
        let select = self.select(select).and_then(|select| {
            self.order_outputs(order)?;
            Ok(select)
        });
        self.keys = keys;
        self.scopes.leave();
        select
    }

    fn select(&mut self, mut select: Select) -> Result<Select> {
        check_clauses(&select)?;
        joined(&mut select.from);
        for from in &mut select.from {
            self.from(from)?;
        }
        let joining = self.joining();
        if let Some(condition) = &mut select.selection {
            *condition = self.condition(condition, joining)?;
        }
        self.group_by(&mut select)?;
        let mut anonymous = 0;
        let mut names = Vec::new();
        for item in &mut select.projection {
            *item = self.item(item, &mut anonymous, &mut names)?;
        }
        self.outputs.get_or_insert(names);
        for condition in [&mut select.having, &mut select.qualify].into_iter().flatten() {
            *condition = self.condition(condition, Joining::One)?;
        }
        for window in &mut select.named_window {
            window.0 = quoted(&window.0.value);
            match &mut window.1 {
                NamedWindowExpr::NamedWindow(name) => *name = quoted(&name.value),
                NamedWindowExpr::WindowSpec(spec) => *spec = self.window(spec)?,
            }
        }
        Ok(select)
    }

    /// Whether conditions here may join: several tables meet, or the query is inside of another.
    pub(super) fn joining(&self) -> Joining {
        match self.scopes.width() > 1 || self.scopes.depth() > 1 {
            true => Joining::Several,
            false => Joining::One,
        }
    }

    fn group_by(&mut self, select: &mut Select) -> Result<()> {
        let GroupByExpr::Expressions(keys, modifiers) = &mut select.group_by else { return Ok(()) };
        if !modifiers.is_empty() {
            return Err(SqlError::unsupported("GROUP BY WITH"));
        }
        let mut found = Vec::new();
        for key in keys {
            match key {
                Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                    for key in sets.iter_mut().flatten() {
                        self.key(key, &select.projection, &mut found)?;
                    }
                }
                plain => self.key(plain, &select.projection, &mut found)?,
            }
        }
        self.keys = found;
        Ok(())
    }

    /// One key: a column, the name or number of an entry of the SELECT list, or an expression.
    fn key(
        &mut self,
        key: &mut Expr,
        items: &[SelectItem],
        found: &mut Vec<(Expr, Expr)>,
    ) -> Result<()> {
        let named = |name: &Ident| {
            items.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias }
                    if alias.value.eq_ignore_ascii_case(&name.value) =>
                {
                    Some(expr)
                }
                _ => None,
            })
        };
        let entry = match key {
            Expr::Identifier(name) => named(name),
            Expr::Value(literal) => match &literal.value {
                Literal::Number(number, _) => {
                    let at = number.parse::<usize>().ok().and_then(|at| at.checked_sub(1));
                    match at.and_then(|at| items.get(at)) {
                        Some(SelectItem::UnnamedExpr(expr))
                        | Some(SelectItem::ExprWithAlias { expr, .. }) => Some(expr),
                        _ => {
                            return Err(SqlError::query(format!(
                                "GROUP BY column number {number} is out of range"
                            )));
                        }
                    }
                }
                _ => return Err(SqlError::query("Cannot GROUP BY literal values")),
            },
            _ => None,
        };
        let original = entry.unwrap_or(key).clone();
        let rewritten = self.scalar(&original)?;
        found.push((original, rewritten.clone()));
        *key = rewritten;
        Ok(())
    }

    /// An entry of a SELECT list; every one gets a name.
    fn item(
        &mut self,
        item: &SelectItem,
        anonymous: &mut usize,
        names: &mut Vec<String>,
    ) -> Result<SelectItem> {
        let (expr, name) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.value.clone())),
            SelectItem::UnnamedExpr(expr) => (expr, implied_name(expr)),
            SelectItem::Wildcard(options) => {
                return Ok(SelectItem::Wildcard(self.star(options)?));
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let qualifier = quoted(&name.to_string().replace('`', ""));
                let name = sqlparser::ast::ObjectName::from(vec![qualifier]);
                let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                return Ok(SelectItem::QualifiedWildcard(kind, self.star(options)?));
            }
            other => return Err(SqlError::unsupported(format!("The selection {other}"))),
        };
        let name = name.unwrap_or_else(|| {
            *anonymous += 1;
            format!("f{}_", *anonymous - 1)
        });
        names.push(name.clone());
        let alias = quoted(&self.registry.spell(&name));
        Ok(SelectItem::ExprWithAlias { expr: self.scalar(expr)?, alias })
    }

    fn star(&mut self, options: &WildcardAdditionalOptions) -> Result<WildcardAdditionalOptions> {
        let mut options = options.clone();
        if let Some(except) = &mut options.opt_except {
            let names = std::iter::once(&mut except.first_element);
            for name in names.chain(&mut except.additional_elements) {
                *name = quoted(&name.value);
            }
        }
        if let Some(replace) = &mut options.opt_replace {
            for item in &mut replace.items {
                item.column_name = quoted(&item.column_name.value);
                item.expr = self.scalar(&item.expr)?;
            }
        }
        Ok(options)
    }

    /// LIMIT and OFFSET as literals.
    fn limits(&mut self, query: &mut Query) -> Result<()> {
        let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause else {
            return Ok(());
        };
        let counts = limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value));
        for count in counts {
            *count = self.literal(count)?;
        }
        Ok(())
    }

    /// The value of a constant integer expression as a literal.
    pub(super) fn literal(&mut self, expr: &Expr) -> Result<Expr> {
        let bound = self.registry.constant(expr)?;
        match bound.node.eval(super::super::expression::Row::EMPTY)? {
            Value::Int64(number) => {
                Ok(Expr::Value(Literal::Number(number.to_string(), false).into()))
            }
            other => Err(SqlError::query(format!("Expected an integer, not {other:?}"))),
        }
    }

    /// The names of the outermost SELECT list, spelt as in the query.
    pub(super) fn outputs(&self) -> &[String] {
        self.outputs.as_deref().unwrap_or_default()
    }
}

/// Makes `a, b JOIN c` one chain, `a CROSS JOIN b JOIN c`: DataFusion would join b and c first, and what b unnests of a
/// would be out of sight.
fn joined(from: &mut Vec<TableWithJoins>) {
    let mut rest = from.drain(..);
    let Some(mut first) = rest.next() else { return };
    for next in rest {
        let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
        first.joins.push(Join { relation: next.relation, global: false, join_operator });
        first.joins.extend(next.joins);
    }
    from.push(first);
}

fn check_clauses(select: &Select) -> Result<()> {
    let refused = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE"),
        (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
        (select.prewhere.is_some() || !select.connect_by.is_empty(), "This form of SELECT"),
    ];
    match refused.iter().find(|(used, _)| *used) {
        Some((_, clause)) => Err(SqlError::unsupported(clause)),
        None => Ok(()),
    }
}

fn no_values() -> sqlparser::ast::Values {
    sqlparser::ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }
}
