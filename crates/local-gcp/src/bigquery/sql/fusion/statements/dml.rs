//! INSERT, UPDATE and DELETE.

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, Insert, Query, SetExpr, TableObject,
    TableWithJoins, Update, UpdateTableFromKind,
};

use super::super::super::effect::Effect;
use super::super::super::error::SqlError;
use super::super::super::query::{Catalog, QueryOptions, QueryResult};
use super::super::super::types::DataType;
use super::super::template::Registry;
use super::build;
use super::target::{Changes, Result, Target};
use crate::bigquery::value::Value;

/// Runs an INSERT.
pub(super) async fn insert(
    insert: Insert,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    let TableObject::TableName(name) = &insert.table else {
        return Err(SqlError::unsupported("This form of INSERT"));
    };
    let target = Target::new(name, options, catalog)?;
    let columns = target.columns(&insert.columns)?;
    let Some(source) = insert.source else {
        return Err(SqlError::query("Syntax error: Expected VALUES or a query"));
    };
    let added = match *source.body {
        SetExpr::Values(values) => {
            let rows = values.rows.into_iter().map(|row| row.content);
            inserted(&target, &columns, rows.collect(), options).await?
        }
        _ => queried(&target, &columns, &source).await?,
    };
    let effect = Effect::rows("INSERT", added.len(), 0, 0);
    target.write(Changes { removed: Vec::new(), added }, effect)
}

/// The rows of VALUES.
async fn inserted(
    target: &Target<'_>,
    columns: &[usize],
    rows: Vec<Vec<Expr>>,
    options: &QueryOptions,
) -> Result<Vec<Vec<Value>>> {
    let registry = Registry::new(options.parameters.clone(), options.now);
    let mut added = Vec::with_capacity(rows.len());
    for row in rows {
        let (mut values, mut types) = (Vec::new(), Vec::new());
        for (expr, column) in
            row.into_iter().zip(columns.iter().map(Some).chain(std::iter::repeat(None)))
        {
            let (value, of) = match column {
                Some(column) if is_default(&expr) => {
                    let field = &target.schema.fields[*column];
                    (target.default_of(*column)?, DataType::of_field(field))
                }
                _ => value_of(target, &registry, expr).await?,
            };
            values.push(value);
            types.push(of);
        }
        added.push(target.row(columns, values, &types)?);
    }
    Ok(added)
}

/// The value of one expression of VALUES, which may hold subqueries.
async fn value_of(
    target: &Target<'_>,
    registry: &Registry,
    expr: Expr,
) -> Result<(Value, DataType)> {
    if let Some(constant) = target.constant(registry, &expr)? {
        return Ok(constant);
    }
    let result = target.read(&build::select(vec![build::item(expr, 0)], Vec::new(), None)?).await?;
    let of = result.schema.fields.first().map(DataType::of_field);
    let value = result.rows.into_iter().flatten().next();
    Ok((value.unwrap_or(Value::Null), of.unwrap_or(DataType::Int64)))
}

/// The rows of a query.
pub(super) async fn queried(
    target: &Target<'_>,
    columns: &[usize],
    query: &Query,
) -> Result<Vec<Vec<Value>>> {
    let result = target.read(query).await?;
    let types: Vec<_> = result.schema.fields.iter().map(DataType::of_field).collect();
    if types.len() != columns.len() {
        return Err(SqlError::query(format!(
            "Inserted row has wrong column count; Has {}, expected {}",
            types.len(),
            columns.len()
        )));
    }
    result.rows.into_iter().map(|row| target.row(columns, row, &types)).collect()
}

/// Runs an UPDATE.
pub(super) async fn update(
    update: Update,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    if !update.table.joins.is_empty() {
        return Err(SqlError::unsupported("UPDATE of a join"));
    }
    let (name, alias) = build::named(&update.table.relation)?;
    let target = Target::new(&name, options, catalog)?;
    let Some(condition) = update.selection else {
        return Err(SqlError::query("UPDATE must have a WHERE clause"));
    };
    let mut from = vec![build::from(build::target(&alias)?, None)];
    if let Some(UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables)) =
        update.from
    {
        from.extend(tables);
    }
    let changes = updated(&target, &alias, &update.assignments, from, Some(condition)).await?;
    let effect = Effect::rows("UPDATE", 0, changes.added.len(), 0);
    target.write(changes, effect)
}

/// The changes that assignments make to the rows of the target that a FROM clause yields.
pub(super) async fn updated(
    target: &Target<'_>,
    alias: &str,
    assignments: &[Assignment],
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
) -> Result<Changes> {
    let mut values: Vec<Expr> =
        target.schema.fields.iter().map(|field| build::column(alias, &field.name)).collect();
    let mut defaults = Vec::new();
    let mut assigned = Vec::new();
    for assignment in assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(SqlError::unsupported("An assignment to several columns"));
        };
        let column = target.column(&unqualified(name, alias))?;
        if assigned.contains(&column) {
            return Err(SqlError::query(format!("Update item {name} assigned more than once")));
        }
        assigned.push(column);
        match is_default(&assignment.value) {
            true => defaults.push(column),
            false => values[column] = assignment.value.clone(),
        }
    }
    let values = values.into_iter().enumerate().map(|(at, value)| build::item(value, at));
    let items = std::iter::once(build::place(alias)).chain(values).collect();
    let result = target.read(&build::select(items, from, condition)?).await?;
    let types: Vec<_> = result.schema.fields.iter().skip(1).map(DataType::of_field).collect();
    let mut changes = Changes::default();
    for row in result.rows {
        changes.removed.push(place_of(&row)?);
        let cells = row[1..].iter().zip(&types).enumerate();
        let mut cells = cells
            .map(|(at, (value, of))| target.assigned(value, of, at))
            .collect::<Result<Vec<_>>>()?;
        for column in &defaults {
            cells[*column] = target.default_of(*column)?;
        }
        changes.added.push(cells);
    }
    Ok(changes)
}

/// Runs a DELETE.
pub(super) async fn delete(
    delete: Delete,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let ([table], true) = (from.as_slice(), delete.using.is_none()) else {
        return Err(SqlError::unsupported("DELETE from several tables"));
    };
    let (name, alias) = build::named(&table.relation)?;
    let target = Target::new(&name, options, catalog)?;
    let Some(condition) = delete.selection else {
        return Err(SqlError::query("DELETE must have a WHERE clause"));
    };
    let from = vec![build::from(build::target(&alias)?, None)];
    let removed = placed(&target, &alias, from, Some(condition)).await?;
    let effect = Effect::rows("DELETE", 0, 0, removed.len());
    target.write(Changes { removed, added: Vec::new() }, effect)
}

/// The places of the rows of the target that a FROM clause yields.
pub(super) async fn placed(
    target: &Target<'_>,
    alias: &str,
    from: Vec<TableWithJoins>,
    condition: Option<Expr>,
) -> Result<Vec<u64>> {
    let query = build::select(vec![build::place(alias)], from, condition)?;
    target.read(&query).await?.rows.iter().map(|row| place_of(row)).collect()
}

fn place_of(row: &[Value]) -> Result<u64> {
    let place = row.first().and_then(Value::as_i64).and_then(|place| u64::try_from(place).ok());
    place.ok_or_else(|| SqlError::query("A row of the table has no place"))
}

/// A column's name without the alias of its table.
fn unqualified(name: &sqlparser::ast::ObjectName, alias: &str) -> sqlparser::ast::ObjectName {
    let mut parts = name.0.clone();
    let first = parts.first().and_then(|part| part.as_ident());
    if parts.len() > 1 && first.is_some_and(|first| first.value.eq_ignore_ascii_case(alias)) {
        parts.remove(0);
    }
    sqlparser::ast::ObjectName(parts)
}

/// Whether an expression is the keyword DEFAULT.
pub(super) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name)
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("DEFAULT"))
}
