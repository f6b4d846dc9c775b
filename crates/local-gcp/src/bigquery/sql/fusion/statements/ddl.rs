//! CREATE TABLE, DROP TABLE and TRUNCATE TABLE.

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, DataType as SqlType, ObjectName, ObjectType, Statement,
    Truncate,
};

use super::super::super::effect::{Effect, EffectKind};
use super::super::super::error::SqlError;
use super::super::super::query::{Catalog, QueryOptions, QueryResult, found};
use super::super::super::types::from_ast;
use super::super::run::select;
use super::target::{Result, Target, checked, resolve};
use crate::bigquery::names::TableName;
use crate::bigquery::schema::{Field, Mode, TableSchema};
use crate::bigquery::state::{Removed, TableChange};

/// Runs a CREATE TABLE, with or without a query.
pub(super) async fn create(
    create: CreateTable,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    check_create(&create)?;
    let table = resolve(&create.name, options)?;
    let statement_type =
        if create.query.is_some() { "CREATE_TABLE_AS_SELECT" } else { "CREATE_TABLE" };
    let exists = catalog.snapshot(&table).is_some();
    if exists && create.if_not_exists {
        return Ok(done(statement_type, "SKIP", table));
    }
    let declared = create.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
    let result = match &create.query {
        Some(query) => select(query, options, catalog, None).await?,
        None => QueryResult::default(),
    };
    let schema = match (declared.is_empty(), &create.query) {
        (true, None) => return Err(SqlError::query("CREATE TABLE needs columns or a query")),
        (true, Some(_)) => result.schema,
        (false, None) => TableSchema::new(declared),
        (false, Some(_)) => {
            return Err(SqlError::unsupported("CREATE TABLE with columns and a query"));
        }
    };
    let rows = checked(&schema, &result.rows)?;
    if !options.dry_run {
        let replaces = create.or_replace;
        catalog.apply(TableChange::Create { table: table.clone(), schema, replaces, rows })?;
    }
    let operation = if exists { "REPLACE" } else { "CREATE" };
    let mut done = done(statement_type, operation, table);
    done.bytes_processed = result.bytes_processed;
    Ok(done)
}

fn check_create(create: &CreateTable) -> Result<()> {
    let refused = [
        (create.temporary, "A temporary table"),
        (create.external, "An external table"),
        (create.like.is_some(), "CREATE TABLE LIKE"),
        (create.clone.is_some() || create.snapshot, "CREATE TABLE CLONE"),
        (!create.constraints.is_empty(), "A table constraint"),
    ];
    match refused.iter().find(|(used, _)| *used) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}

/// A column as a statement declares it.
fn column(column: &ColumnDef) -> Result<Field> {
    let of = plain(&column.data_type);
    let data_type = from_ast(&of)?;
    let mut field = data_type.to_field(&column.name.value).ok_or_else(|| {
        SqlError::query(format!("Column {} cannot have the type {data_type}", column.name.value))
    })?;
    parametrize(&mut field, &column.data_type);
    for option in &column.options {
        match &option.option {
            ColumnOption::NotNull => field.mode = Mode::Required,
            ColumnOption::Null => {}
            ColumnOption::Default(expr) => {
                field.default_value_expression = Some(expr.to_string());
            }
            // Descriptions and the like.
            ColumnOption::Options(_) => {}
            other => return Err(SqlError::unsupported(format!("The column option {other}"))),
        }
    }
    Ok(field)
}

/// A type without its length or precision.
fn plain(of: &SqlType) -> SqlType {
    match of {
        SqlType::String(_) => SqlType::String(None),
        SqlType::Bytes(_) => SqlType::Bytes(None),
        SqlType::Numeric(_) => SqlType::Numeric(sqlparser::ast::ExactNumberInfo::None),
        SqlType::BigNumeric(_) => SqlType::BigNumeric(sqlparser::ast::ExactNumberInfo::None),
        other => other.clone(),
    }
}

/// Gives a column the length or precision of its declared type.
fn parametrize(field: &mut Field, of: &SqlType) {
    use sqlparser::ast::ExactNumberInfo::{None, Precision, PrecisionAndScale};
    let small = |number: &u64| i64::try_from(*number).ok();
    match of {
        SqlType::String(Some(length)) | SqlType::Bytes(Some(length)) => {
            field.max_length = small(length);
        }
        SqlType::Numeric(info) | SqlType::BigNumeric(info) => match info {
            None => {}
            Precision(precision) => field.precision = small(precision),
            PrecisionAndScale(precision, scale) => {
                field.precision = small(precision);
                field.scale = Some(*scale);
            }
        },
        _ => {}
    }
}

/// Runs a DROP TABLE.
pub(super) fn drop_table(
    statement: &Statement,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    let Statement::Drop { object_type: ObjectType::Table, if_exists, names, .. } = statement else {
        return Err(SqlError::unsupported("DROP of other than a table"));
    };
    let [name] = names.as_slice() else {
        return Err(SqlError::unsupported("DROP of several tables"));
    };
    let table = resolve(name, options)?;
    if *if_exists && catalog.snapshot(&table).is_none() {
        return Ok(done("DROP_TABLE", "SKIP", table));
    }
    found(&table, catalog)?;
    if !options.dry_run {
        catalog.apply(TableChange::Drop { table: table.clone() })?;
    }
    Ok(done("DROP_TABLE", "DROP", table))
}

/// Runs a TRUNCATE TABLE.
pub(super) fn truncate(
    truncate: &Truncate,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    let [table] = truncate.table_names.as_slice() else {
        return Err(SqlError::unsupported("TRUNCATE of several tables"));
    };
    let name: &ObjectName = &table.name;
    let target = Target::new(name, options, catalog)?;
    let rows = found(&target.name, catalog)?;
    let count = rows.batches.iter().map(arrow_array::RecordBatch::num_rows).sum();
    target.change(Removed::Everything, None)?;
    let effect = Effect::rows("TRUNCATE_TABLE", 0, 0, count);
    Ok(QueryResult { effect: Some(effect), ..QueryResult::default() })
}

fn done(statement_type: &'static str, operation: &'static str, table: TableName) -> QueryResult {
    let effect = Effect { statement_type, kind: EffectKind::Table { operation, table } };
    QueryResult { effect: Some(effect), ..QueryResult::default() }
}
