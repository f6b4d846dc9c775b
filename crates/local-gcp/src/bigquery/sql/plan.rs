//! Binds a whole SELECT: which table, which rows, which groups, which outputs, in which order.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use sqlparser::ast::{
    AccessExpr, Distinct, Expr, GroupByExpr, Ident, LimitClause, ObjectNamePart, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Value as Literal,
    WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Location;

use super::aggregate::Aggregate;
use super::bind::{Binder, Result, Scope};
use super::error::{SqlError, name_place, place};
use super::expression::{Bound, Node, Row};
use super::grouping::Grouping;
use super::operators::coerce;
use super::parameters::Parameters;
use super::types::DataType;
use crate::bigquery::names::TableName;
use crate::bigquery::value::Value;

/// A SELECT ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) filter: Option<Node>,
    pub(super) groups: Option<Groups>,
    pub(super) outputs: Vec<Output>,
    pub(super) distinct: bool,
    pub(super) order: Vec<SortKey>,
    pub(super) offset: usize,
    pub(super) limit: Option<usize>,
}

/// How rows become groups.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) keys: Vec<Node>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) having: Option<Node>,
}

/// A column of the result.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) node: Node,
}

/// A sort key: an expression on the same row as the outputs'.
#[derive(Debug)]
pub(super) struct SortKey {
    /// The output it is, if it is one.
    pub(super) output: Option<usize>,
    pub(super) node: Node,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// Everything around the query that binding needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) scope: &'a Scope,
    pub(super) parameters: &'a Parameters,
    pub(super) placeholders: &'a FxHashMap<Location, usize>,
    pub(super) now: i64,
}

/// The SELECT of a query, if it is nothing but one.
pub(super) fn single_select(query: &Query) -> Result<&Select> {
    let refused = [
        (query.with.is_some(), "A WITH clause"),
        (query.fetch.is_some(), "FETCH"),
        (!query.locks.is_empty(), "FOR UPDATE"),
        (!query.pipe_operators.is_empty(), "Pipe syntax (|>)"),
        (
            query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some(),
            "This clause",
        ),
    ];
    refuse(&refused)?;
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { op, .. } => return Err(SqlError::unsupported(op)),
        SetExpr::Query(_) => return Err(SqlError::unsupported("A parenthesized query")),
        _ => return Err(SqlError::unsupported("A query without SELECT")),
    };
    let refused = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (
            !select.cluster_by.is_empty()
                || !select.distribute_by.is_empty()
                || !select.sort_by.is_empty(),
            "SORT BY",
        ),
        (!select.named_window.is_empty(), "WINDOW"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE"),
        (select.exclude.is_some() || select.select_modifiers.is_some(), "This form of SELECT"),
    ];
    refuse(&refused)?;
    Ok(select)
}

fn refuse(clauses: &[(bool, &str)]) -> Result<()> {
    match clauses.iter().find(|(used, _)| *used) {
        Some((_, clause)) => Err(SqlError::unsupported(clause)),
        None => Ok(()),
    }
}

/// The table of FROM and the name its columns may be qualified with.
pub(super) fn source_table(
    select: &Select,
    project: &str,
    default_dataset: Option<&crate::bigquery::names::DatasetName>,
) -> Result<Option<(TableName, String)>> {
    let from = match select.from.as_slice() {
        [] => return Ok(None),
        [from] => from,
        _ => return Err(SqlError::unsupported("A join of several tables")),
    };
    if !from.joins.is_empty() {
        return Err(SqlError::unsupported("JOIN"));
    }
    let TableFactor::Table { name, alias, args, version, sample, with_hints, .. } = &from.relation
    else {
        return Err(SqlError::unsupported(match &from.relation {
            TableFactor::Derived { .. } => "A subquery in FROM",
            TableFactor::UNNEST { .. } => "UNNEST in FROM",
            _ => "This form of FROM",
        }));
    };
    let refused = [
        (args.is_some(), "A table function"),
        (version.is_some(), "FOR SYSTEM_TIME AS OF"),
        (sample.is_some(), "TABLESAMPLE"),
        (!with_hints.is_empty(), "WITH hints"),
        (
            alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()),
            "A column list of an alias",
        ),
    ];
    refuse(&refused)?;
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .flat_map(|ident| ident.value.split('.').map(str::to_owned))
        .collect();
    let table = table_name(&parts, project, default_dataset)
        .map_err(|message| SqlError::at(message, name_place(name)))?;
    let qualifier = alias.as_ref().map_or(&table.table, |alias| &alias.name.value).clone();
    Ok(Some((table, qualifier)))
}

/// The table that the parts of a name stand for.
///
/// # Errors
/// When a dataset is missing, or there are no such tables here.
pub(super) fn table_name(
    parts: &[String],
    project: &str,
    default_dataset: Option<&crate::bigquery::names::DatasetName>,
) -> std::result::Result<TableName, String> {
    if parts.iter().any(|part| part.eq_ignore_ascii_case("INFORMATION_SCHEMA")) {
        return Err("INFORMATION_SCHEMA is not supported by this local BigQuery".to_owned());
    }
    match parts {
        [table] if table.contains('*') => {
            Err("A wildcard table is not supported by this local BigQuery".to_owned())
        }
        [table] => match default_dataset {
            Some(dataset) => Ok(dataset.table(table)),
            None => Err(format!(
                "Table \"{table}\" must be qualified with a dataset (e.g. dataset.table)."
            )),
        },
        [dataset, table] => Ok(TableName::new(project, dataset, table)),
        // Domain-scoped projects have dots of their own.
        [project @ .., dataset, table] => Ok(TableName::new(project.join("."), dataset, table)),
        [] => Err("Empty table name".to_owned()),
    }
}

/// Binds the SELECT.
pub(super) fn bind(query: &Query, select: &Select, context: Context<'_>) -> Result<Plan> {
    let items = select_items(select, context.scope)?;
    let keys = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => keys,
        _ => return Err(SqlError::unsupported("GROUP BY ALL, ROLLUP, CUBE or GROUPING SETS")),
    };
    let mut rows = binder(context);
    let filter = select.selection.as_ref();
    let filter = filter.map(|filter| rows.bind_condition(filter, "WHERE clause")).transpose()?;
    rows.saw_aggregate = false;

    let mut binder = binder(context);
    if !keys.is_empty() || select.having.is_some() {
        binder.grouping = Some(Grouping::new(bind_keys(keys, &items, context)?));
    }
    let outputs = match bind_outputs(&items, &mut binder) {
        // An aggregate makes a SELECT without GROUP BY one group.
        Err(_) if binder.saw_aggregate => {
            binder.saw_aggregate = false;
            binder.grouping = Some(Grouping::default());
            bind_outputs(&items, &mut binder)?
        }
        outputs => outputs?,
    };
    binder.aliases = items
        .iter()
        .filter_map(|item| Some((item.alias.as_deref()?, item.expr.as_ref())))
        .collect();
    let having = select.having.as_ref();
    let having = having.map(|having| binder.bind_condition(having, "HAVING clause")).transpose()?;
    let distinct = is_distinct(select)?;
    let order = bind_order(query, &items, &outputs, distinct, &mut binder)?;
    let (limit, offset) = limits(query, &mut binder)?;
    let groups = binder.grouping.map(|grouping| Groups {
        keys: grouping.key_nodes(),
        aggregates: grouping.aggregates,
        having,
    });
    Ok(Plan { filter, groups, outputs, distinct, order, offset, limit })
}

fn binder(context: Context<'_>) -> Binder<'_> {
    Binder {
        scope: context.scope,
        parameters: context.parameters,
        placeholders: context.placeholders,
        now: context.now,
        grouping: None,
        aliases: Vec::new(),
        saw_aggregate: false,
        depth: 0,
    }
}

/// One entry of the SELECT list, `*` spelled out.
struct Item<'a> {
    /// Borrowed where it can be: copying a deep expression recurses.
    expr: Cow<'a, Expr>,
    alias: Option<String>,
}

fn select_items<'a>(select: &'a Select, scope: &Scope) -> Result<Vec<Item<'a>>> {
    let mut items = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                items.push(Item { expr: Cow::Borrowed(expr), alias: None })
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item { expr: Cow::Borrowed(expr), alias: Some(alias.value.clone()) });
            }
            SelectItem::Wildcard(options) => items.extend(star(options, scope)?),
            SelectItem::QualifiedWildcard(kind, options) => {
                let qualifier = scope.qualifier.as_deref().unwrap_or_default();
                let named = kind.to_string();
                if !named.trim_end_matches(".*").eq_ignore_ascii_case(qualifier) {
                    return Err(SqlError::unsupported(format!("The selection {named}")));
                }
                items.extend(star(options, scope)?);
            }
            other => return Err(SqlError::unsupported(format!("The selection {other}"))),
        }
    }
    Ok(items)
}

/// The entries `*` stands for.
fn star<'a>(options: &'a WildcardAdditionalOptions, scope: &Scope) -> Result<Vec<Item<'a>>> {
    if options.opt_ilike.is_some() || options.opt_exclude.is_some() || options.opt_rename.is_some()
    {
        return Err(SqlError::unsupported("This form of SELECT *"));
    }
    if scope.qualifier.is_none() && scope.visible.is_none() {
        return Err(SqlError::query("SELECT * must have a FROM clause"));
    }
    let except = options.opt_except.as_ref();
    let excepted: Vec<&Ident> = except
        .map(|except| {
            std::iter::once(&except.first_element).chain(&except.additional_elements).collect()
        })
        .unwrap_or_default();
    let matches = |ident: &Ident, name: &str| ident.value.eq_ignore_ascii_case(name);
    for ident in &excepted {
        if !scope.columns.iter().any(|(name, _)| matches(ident, name)) {
            let message = format!("Column {} in SELECT * EXCEPT list does not exist", ident.value);
            return Err(SqlError::at(message, ident.span));
        }
    }
    let replaced = options.opt_replace.iter().flat_map(|replace| &replace.items);
    let replaced: Vec<_> = replaced.collect();
    let visible = &scope.columns[..scope.visible.unwrap_or(scope.columns.len())];
    let kept =
        visible.iter().filter(|(name, _)| !excepted.iter().any(|ident| matches(ident, name)));
    Ok(kept
        .map(|(name, _)| {
            let replacement = replaced.iter().find(|item| matches(&item.column_name, name));
            let column = || Cow::Owned(Expr::Identifier(Ident::with_quote('`', name)));
            let expr = replacement.map_or_else(column, |item| Cow::Borrowed(&item.expr));
            Item { expr, alias: Some(name.clone()) }
        })
        .collect())
}

fn bind_keys<'a>(
    keys: &'a [Expr],
    items: &'a [Item<'_>],
    context: Context<'a>,
) -> Result<Vec<(&'a Expr, Bound)>> {
    keys.iter()
        .map(|key| {
            let aliased = match key {
                Expr::Identifier(name) => items.iter().find(|item| {
                    item.alias.as_ref().is_some_and(|alias| alias.eq_ignore_ascii_case(&name.value))
                }),
                Expr::Value(literal) => match &literal.value {
                    Literal::Number(number, _) => {
                        Some(ordinal(number, items.len(), "GROUP BY").map(|at| &items[at])?)
                    }
                    _ => return Err(SqlError::at("Cannot GROUP BY literal values", place(key))),
                },
                _ => None,
            };
            let mut binder = binder(context);
            let entry = aliased.map(|item| (item.expr.as_ref(), binder.bind(&item.expr)));
            let (expr, bound) = match entry {
                // An alias of an aggregate cannot be meant; the column of the same name can.
                Some((_, Err(_))) if binder.saw_aggregate && matches!(key, Expr::Identifier(_)) => {
                    (key, binder.bind(key)?)
                }
                Some((expr, bound)) => (expr, bound?),
                None => (key, binder.bind(key)?),
            };
            if !bound.data_type.is_groupable() {
                let message =
                    format!("Grouping by expressions of type {} is not allowed", bound.data_type);
                return Err(SqlError::at(message, place(key)));
            }
            Ok((expr, bound))
        })
        .collect()
}

fn ordinal(number: &str, count: usize, clause: &str) -> Result<usize> {
    match number.parse::<usize>() {
        Ok(at) if (1..=count).contains(&at) => Ok(at - 1),
        _ => Err(SqlError::query(format!(
            "{clause} column number item is out of range. Allowed column numbers are 1 to {count}, found {number}"
        ))),
    }
}

fn bind_outputs(items: &[Item<'_>], binder: &mut Binder<'_>) -> Result<Vec<Output>> {
    let mut anonymous = 0;
    let mut outputs: Vec<Output> = Vec::new();
    for item in items {
        let bound = binder.bind(&item.expr)?;
        let named = item.alias.clone().or_else(|| implied_name(&item.expr));
        let name = named.unwrap_or_else(|| {
            anonymous += 1;
            format!("f{}_", anonymous - 1)
        });
        if outputs.iter().any(|output| output.name.eq_ignore_ascii_case(&name)) {
            return Err(SqlError::query(format!(
                "Duplicate column names in the result are not supported. Found duplicate(s): {name}"
            )));
        }
        outputs.push(Output { name, data_type: bound.data_type, node: bound.node });
    }
    Ok(outputs)
}

/// The name an output has without an alias: that of its column or field.
pub(super) fn implied_name(expr: &Expr) -> Option<String> {
    let name = match expr {
        Expr::Identifier(name) if !name.value.starts_with('@') => name,
        Expr::CompoundIdentifier(path) => path.last()?,
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last()? {
            AccessExpr::Dot(Expr::Identifier(name)) => name,
            _ => return None,
        },
        _ => return None,
    };
    Some(name.value.clone())
}

fn is_distinct(select: &Select) -> Result<bool> {
    match &select.distinct {
        None | Some(Distinct::All) => Ok(false),
        Some(Distinct::Distinct) => Ok(true),
        Some(Distinct::On(_)) => Err(SqlError::unsupported("DISTINCT ON")),
    }
}

fn bind_order(
    query: &Query,
    items: &[Item<'_>],
    outputs: &[Output],
    distinct: bool,
    binder: &mut Binder<'_>,
) -> Result<Vec<SortKey>> {
    if distinct && let Some(output) = outputs.iter().find(|output| !output.data_type.is_groupable())
    {
        let message = format!(
            "Column {} of type {} cannot be used in SELECT DISTINCT",
            output.name, output.data_type
        );
        return Err(SqlError::query(message));
    }
    let Some(order) = &query.order_by else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(keys) = &order.kind else {
        return Err(SqlError::unsupported("ORDER BY ALL"));
    };
    keys.iter().map(|key| bind_sort_key(key, items, outputs, distinct, binder)).collect()
}

fn bind_sort_key(
    key: &OrderByExpr,
    items: &[Item<'_>],
    outputs: &[Output],
    distinct: bool,
    binder: &mut Binder<'_>,
) -> Result<SortKey> {
    if key.with_fill.is_some() {
        return Err(SqlError::unsupported("WITH FILL"));
    }
    let output = match &key.expr {
        Expr::Value(literal) => match &literal.value {
            Literal::Number(number, _) => Some(ordinal(number, outputs.len(), "ORDER BY")?),
            _ => return Err(SqlError::at("Cannot ORDER BY literal values", place(&key.expr))),
        },
        Expr::Identifier(name) => {
            outputs.iter().position(|output| output.name.eq_ignore_ascii_case(&name.value))
        }
        other => items.iter().position(|item| item.expr.as_ref() == other),
    };
    let (node, data_type) = match output {
        Some(at) => (outputs[at].node.clone(), outputs[at].data_type.clone()),
        None if distinct => {
            let message = "ORDER BY clause expression references a column which is not visible after SELECT DISTINCT";
            return Err(SqlError::at(message, place(&key.expr)));
        }
        None => {
            let bound = binder.bind(&key.expr)?;
            (bound.node, bound.data_type)
        }
    };
    if !data_type.is_orderable() {
        let message = format!("ORDER BY does not support expressions of type {data_type}");
        return Err(SqlError::at(message, place(&key.expr)));
    }
    let descending = key.options.asc == Some(false);
    let nulls_first = key.options.nulls_first.unwrap_or(!descending);
    Ok(SortKey { output, node, descending, nulls_first })
}

/// LIMIT and OFFSET: constants that are not negative.
fn limits(query: &Query, binder: &mut Binder<'_>) -> Result<(Option<usize>, usize)> {
    let Some(clause) = &query.limit_clause else { return Ok((None, 0)) };
    let LimitClause::LimitOffset { limit, offset, limit_by } = clause else {
        return Err(SqlError::unsupported("LIMIT with a comma"));
    };
    if !limit_by.is_empty() {
        return Err(SqlError::unsupported("LIMIT BY"));
    }
    let mut count = |expr: &Expr, clause: &str| {
        let bound = binder.bind(expr)?;
        let message = || {
            SqlError::at(
                format!("{clause} expects a non-negative integer literal or parameter"),
                place(expr),
            )
        };
        if !bound.node.is_constant() || bound.data_type != DataType::Int64 {
            return Err(message());
        }
        match coerce(bound, &DataType::Int64)?.node.eval(Row::EMPTY)? {
            Value::Int64(count) => usize::try_from(count).map_err(|_| message()),
            _ => Err(message()),
        }
    };
    let limit = limit.as_ref().map(|limit| count(limit, "LIMIT")).transpose()?;
    let offset = offset.as_ref().map(|offset| count(&offset.value, "OFFSET")).transpose()?;
    Ok((limit, offset.unwrap_or(0)))
}
