//! Runs a query on DataFusion, within bounds of memory.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result as FusionResult, SchemaError};
use datafusion::datasource::MemTable;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::logical_plan::Sort as SortPlan;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use futures::TryStreamExt as _;
use sqlparser::ast::{Query, Statement};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

use super::super::error::SqlError;
use super::super::parameters::{Parameter, Parameters};
use super::super::query::{
    Catalog, QueryOptions, QueryResult, TableSnapshot, found, statement, tokens,
};
use super::super::types::DataType;
use super::from::PLACE;
use super::lateral::flatten;
use super::numbered::sort_key;
use super::planner::Surroundings;
use super::rewrite::Rewriter;
use super::scope::ELEMENT;
use super::statements;
use super::template::{Registry, failure};
use super::types::{Values, data_type, declared_name, table_batch, table_schema};
use crate::bigquery::error::Reason;
use crate::bigquery::names::TableName;
use crate::bigquery::rows::column_bytes;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// Memory for the joins, groups and sorts of one query, in bytes. The tables themselves are not counted.
const MEMORY_BYTES: usize = 1 << 30;

/// A query as DataFusion runs it.
struct Planned {
    plan: LogicalPlan,
    /// The columns of the result, hidden ones left out: their places and names.
    outputs: Vec<(usize, String)>,
    schema: TableSchema,
    tables: Vec<TableSnapshot>,
}

/// Answers a query.
///
/// # Errors
/// When it is wrong, has a construct that is not supported, or needs too much memory.
pub(in super::super) async fn answer(
    sql: &str,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    let (statement, parameters) = positioned(sql, &options.parameters)?;
    let options = QueryOptions { parameters, ..options.clone() };
    match statement {
        Statement::Query(query) => select(&query, &options, catalog, None).await,
        other => statements::run(other, &options, catalog).await,
    }
}

/// The statement of a text, its `?` made names: templates compare expressions, and all `?` look alike.
fn positioned(sql: &str, parameters: &Parameters) -> Result<(Statement, Parameters)> {
    let mut tokens = tokens(sql)?;
    let marks = tokens
        .iter_mut()
        .filter(|token| matches!(&token.token, Token::Placeholder(mark) if mark == "?"));
    for (at, mark) in marks.enumerate() {
        let word = Word {
            value: format!("@positional_{at}"),
            quote_style: None,
            keyword: Keyword::NoKeyword,
        };
        mark.token = Token::Word(word);
    }
    let named = parameters.0.iter().enumerate().map(|(at, parameter)| {
        let name = match parameter.name.is_empty() {
            true => format!("positional_{at}"),
            false => parameter.name.clone(),
        };
        Parameter { name, ..parameter.clone() }
    });
    Ok((statement(tokens)?, Parameters(named.collect())))
}

/// Runs a query. It may name `target` as [`TARGET`](super::from::TARGET), and then sees the places of its rows.
pub(super) async fn select(
    query: &Query,
    options: &QueryOptions,
    catalog: &dyn Catalog,
    target: Option<&TableName>,
) -> Result<QueryResult> {
    let registry = Arc::new(Registry::new(options.parameters.clone(), options.now));
    let state = session().map_err(described)?;
    let mut rewriter = Rewriter::new(&registry, options, target);
    let query = rewriter.query(query)?;
    let planned = plan(query, &rewriter, catalog, &registry, &state)?;
    let plan = state.optimize(&planned.plan).map_err(described)?;
    let bytes_processed = bytes_processed(&plan, &planned.tables);
    let rows = match options.dry_run {
        true => Vec::new(),
        false => rows(&plan, &planned, &state).await?,
    };
    Ok(QueryResult { schema: planned.schema, rows, bytes_processed, effect: None })
}

/// DataFusion as we want it: one partition, no files.
fn session() -> FusionResult<SessionState> {
    let mut config = SessionConfig::new().with_target_partitions(1);
    let options = config.options_mut();
    options.sql_parser.default_null_ordering = "nulls_min".to_owned();
    options.sql_parser.map_string_types_to_utf8view = false;
    let files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(MEMORY_BYTES)))
        .with_disk_manager_builder(files)
        .build_arc()?;
    Ok(SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).build())
}

fn plan(
    query: Query,
    rewriter: &Rewriter<'_>,
    catalog: &dyn Catalog,
    registry: &Arc<Registry>,
    state: &SessionState,
) -> Result<Planned> {
    let snapshots = rewriter.tables.iter().map(|(table, _)| found(table, catalog));
    let snapshots = snapshots.collect::<Result<Vec<_>>>()?;
    let tables = snapshots.iter().zip(&rewriter.tables);
    let tables = tables.map(|(snapshot, (_, placed))| table(snapshot, *placed));
    let tables = tables.collect::<Result<Vec<_>>>()?;
    let config = state.config_options().as_ref().clone();
    let surroundings = Surroundings::new(Arc::clone(registry), tables, config);
    let parsing = ParserOptions::from(&state.config_options().sql_parser);
    let planner = SqlToRel::new_with_options(&surroundings, parsing);
    let plan = planner
        .sql_statement_to_plan(Statement::Query(Box::new(query)))
        .and_then(flatten)
        .and_then(sorted)
        .map_err(described)?;
    let (outputs, schema) = outputs(&plan, registry, rewriter.outputs())?;
    Ok(Planned { plan, outputs, schema, tables: snapshots })
}

/// A table as DataFusion scans it, its rows with their places if they are `placed`.
fn table(snapshot: &TableSnapshot, placed: bool) -> Result<Arc<dyn TableProvider>> {
    let schema = table_schema(&snapshot.schema);
    let batches = snapshot.batches.iter().map(|batch| table_batch(batch, &schema));
    let mut batches = batches.collect::<Result<Vec<RecordBatch>>>()?;
    let mut schema = SchemaRef::clone(&schema);
    if placed {
        (schema, batches) = with_places(&schema, &batches).map_err(described)?;
    }
    Ok(Arc::new(MemTable::try_new(schema, vec![batches]).map_err(described)?))
}

/// Batches with one more column, the places of the rows.
fn with_places(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> FusionResult<(SchemaRef, Vec<RecordBatch>)> {
    let place = Arc::new(ArrowField::new(PLACE, ArrowType::Int64, true));
    let fields: Vec<_> = schema.fields().iter().cloned().chain([place]).collect();
    let schema = Arc::new(ArrowSchema::new(fields));
    let mut next = 0;
    let mut placed = Vec::new();
    for batch in batches {
        let behind = next + batch.num_rows() as i64;
        let places: ArrayRef = Arc::new(Int64Array::from_iter_values(next..behind));
        let columns = batch.columns().iter().cloned().chain([places]).collect();
        placed.push(RecordBatch::try_new(SchemaRef::clone(&schema), columns)?);
        next = behind;
    }
    Ok((schema, placed))
}

/// The columns of a result, and its schema.
fn outputs(
    plan: &LogicalPlan,
    registry: &Registry,
    listed: &[String],
) -> Result<(Vec<(usize, String)>, TableSchema)> {
    let mut outputs: Vec<(usize, String)> = Vec::new();
    let mut fields = Vec::new();
    for (at, field) in plan.schema().fields().iter().enumerate() {
        if field.name() == ELEMENT {
            continue;
        }
        let listed = listed.iter().find(|name| name.to_lowercase() == *field.name());
        let name = listed.cloned().or_else(|| declared_name(field).map(str::to_owned));
        let name = name.or_else(|| registry.spelling(field.name()));
        let name = name.unwrap_or_else(|| field.name().clone());
        if outputs.iter().any(|(_, known)| known.eq_ignore_ascii_case(&name)) {
            return Err(SqlError::query(format!(
                "Duplicate column names in the result are not supported. Found duplicate(s): {name}"
            )));
        }
        let of = data_type(field)?;
        let output = of.to_field(&name);
        fields.push(
            output.ok_or_else(|| SqlError::query(format!("Cannot output a value of type {of}")))?,
        );
        outputs.push((at, name));
    }
    Ok((outputs, TableSchema::new(fields)))
}

async fn rows(
    plan: &LogicalPlan,
    planned: &Planned,
    state: &SessionState,
) -> Result<Vec<Vec<Value>>> {
    let physical = state.create_physical_plan(plan).await.map_err(described)?;
    let mut batches = execute_stream(physical, state.task_ctx()).map_err(described)?;
    let types: Vec<DataType> = planned.schema.fields.iter().map(DataType::of_field).collect();
    let mut rows = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(described)? {
        let columns = planned.outputs.iter().zip(&types);
        let columns = columns.map(|((at, _), of)| Values::new(batch.column(*at), of));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut columns: Vec<_> = columns.iter().map(Values::all).collect();
        rows.extend((0..batch.num_rows()).map(|_| {
            columns.iter_mut().map(|column| column.next().unwrap_or(Value::Null)).collect()
        }));
    }
    Ok(rows)
}

/// Sorts doubles in BigQuery's order, in which NaN is the least, and refuses to sort or group what has no order.
fn sorted(plan: LogicalPlan) -> FusionResult<LogicalPlan> {
    let sorted = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Sort(SortPlan { expr, input, fetch }) => {
            let expr = expr.into_iter().map(|sort| keyed(sort, &input));
            let expr = expr.collect::<FusionResult<_>>()?;
            Ok(Transformed::yes(LogicalPlan::Sort(SortPlan { expr, input, fetch })))
        }
        LogicalPlan::Aggregate(aggregate) => {
            for key in &aggregate.group_expr {
                if matches!(key, Expr::GroupingSet(_)) {
                    continue;
                }
                let of = type_of(key, &aggregate.input)?;
                if !of.is_groupable() {
                    let message = format!("Grouping by expressions of type {of} is not allowed");
                    return Err(failure(SqlError::query(message)));
                }
            }
            Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(sorted.data)
}

fn keyed(sort: Sort, input: &LogicalPlan) -> FusionResult<Sort> {
    match type_of(&sort.expr, input)? {
        DataType::Float64 => Ok(Sort { expr: sort_key().call(vec![sort.expr]), ..sort }),
        of if of.is_orderable() => Ok(sort),
        of => {
            let message = format!("ORDER BY does not support expressions of type {of}");
            Err(failure(SqlError::query(message)))
        }
    }
}

fn type_of(expr: &Expr, input: &LogicalPlan) -> FusionResult<DataType> {
    data_type(&expr.to_field(input.schema().as_ref())?.1).map_err(failure)
}

/// Bytes of all columns the plan reads.
fn bytes_processed(plan: &LogicalPlan, tables: &[TableSnapshot]) -> u64 {
    let mut bytes = 0;
    let visited = plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && let Some(table) =
                super::from::table_place(scan.table_name.table()).and_then(|at| tables.get(at))
        {
            let all = 0..table.schema.fields.len();
            let read = scan.projection.clone().unwrap_or_else(|| all.collect());
            let of_batch = |batch: &RecordBatch| {
                read.iter().map(|column| column_bytes(batch, *column)).sum::<u64>()
            };
            bytes += table.batches.iter().map(of_batch).sum::<u64>();
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    // The visit itself never fails.
    visited.map_or(0, |_| bytes)
}

/// An error of DataFusion as BigQuery's clients know them. Ours come through it unchanged.
fn described(error: DataFusionError) -> SqlError {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(own) = inner.downcast_ref::<SqlError>()
    {
        return own.clone();
    }
    match root {
        DataFusionError::ResourcesExhausted(message) => {
            let message = format!("Resources exceeded during query execution: {message}");
            SqlError::of(Reason::ResourcesExceeded, message)
        }
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                SqlError::query(format!("Unrecognized name: {}", field.flat_name()))
            }
            SchemaError::AmbiguousReference { field } => {
                SqlError::query(format!("Column name {} is ambiguous", field.name))
            }
            other => SqlError::query(first_line(&other.to_string())),
        },
        other => {
            let message = other.strip_backtrace();
            match ungrouped(&message) {
                Some(column) => SqlError::query(format!(
                    "SELECT list expression references column {column} which is neither grouped nor aggregated"
                )),
                None => SqlError::query(first_line(&message)),
            }
        }
    }
}

/// The column that DataFusion's error says should be grouped.
fn ungrouped(message: &str) -> Option<&str> {
    let (before, _) = message.split_once("must appear in the GROUP BY clause")?;
    before.trim_end().strip_suffix('"')?.rsplit('"').next()
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}
