//! The way in: from query text to result rows.

use arrow_array::RecordBatch;
use rustc_hash::FxHashMap;
use sqlparser::ast::{Query, Statement};
use sqlparser::dialect::BigQueryDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::bind::Scope;
use super::effect::Effect;
use super::error::SqlError;
use super::execute::execute;
use super::expression::Node;
use super::parameters::Parameters;
use super::plan::{self, Context, Plan};
use super::types::DataType;
#[cfg(feature = "sql")]
use crate::bigquery::error::ApiError;
use crate::bigquery::error::Reason;
use crate::bigquery::names::{DatasetName, TableName};
use crate::bigquery::rows::column_bytes;
use crate::bigquery::schema::TableSchema;
#[cfg(feature = "sql")]
use crate::bigquery::state::TableChange;
use crate::bigquery::value::Value;

/// Deepest nesting of expressions: the parser and the evaluator recurse.
const RECURSION_MAX: usize = 50;

/// Most infix operators in a query. Chains of them are deep trees, and the parser drops those recursively.
const OPERATORS_MAX: usize = 2_000;

/// Longest query text in bytes; Google's own limit for unresolved queries.
const QUERY_BYTES_MAX: usize = 1 << 20;

/// A table as it is when the query starts.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableSnapshot {
    pub(crate) schema: TableSchema,
    pub(crate) batches: Vec<RecordBatch>,
    /// Until it changes, rows stay at their places.
    #[cfg_attr(not(feature = "sql"), allow(dead_code, reason = "statements need it"))]
    pub(crate) epoch: u64,
}

/// Where queries find tables.
pub(crate) trait Catalog {
    /// The table's present content.
    fn snapshot(&self, table: &TableName) -> Option<TableSnapshot>;

    /// Makes the change of a statement.
    ///
    /// # Errors
    /// When it cannot be made, or nothing can be changed here.
    #[cfg(feature = "sql")]
    fn apply(&self, _: TableChange) -> Result<(), ApiError> {
        Err(ApiError::new(Reason::NotImplemented, "These tables cannot be changed"))
    }
}

/// What a query needs besides its text.
#[derive(Clone, Debug)]
pub(crate) struct QueryOptions {
    pub(crate) project: String,
    pub(crate) default_dataset: Option<DatasetName>,
    pub(crate) parameters: Parameters,
    /// What CURRENT_TIMESTAMP is, in microseconds.
    pub(crate) now: i64,
    /// Only analyse: no rows.
    pub(crate) dry_run: bool,
}

/// What a query gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct QueryResult {
    pub(crate) schema: TableSchema,
    pub(crate) rows: Vec<Vec<Value>>,
    /// Bytes of the columns it read.
    pub(crate) bytes_processed: u64,
    /// What the statement did, if it is no query.
    pub(crate) effect: Option<Effect>,
}

/// Runs a query.
pub(crate) fn run(
    sql: &str,
    options: &QueryOptions,
    catalog: &dyn Catalog,
) -> Result<QueryResult, SqlError> {
    let (query, placeholders) = parse(sql)?;
    let select = plan::single_select(&query)?;
    let source = plan::source_table(select, &options.project, options.default_dataset.as_ref())?;
    let (table, qualifier) = source.unzip();
    let table = table.map(|table| found(&table, catalog)).transpose()?;
    let columns = table.iter().flat_map(|table| &table.schema.fields);
    let columns = columns.map(|field| (field.name.clone(), DataType::of_field(field))).collect();
    let scope = Scope { columns, qualifier, visible: None };
    let context = Context {
        scope: &scope,
        parameters: &options.parameters,
        placeholders: &placeholders,
        now: options.now,
    };
    let plan = plan::bind(&query, select, context)?;
    let batches = table.as_ref().map(|table| table.batches.as_slice());
    let schema = result_schema(&plan)?;
    let bytes_processed = bytes_processed(&plan, batches.unwrap_or_default());
    let rows = if options.dry_run {
        Vec::new()
    } else {
        let empty = TableSchema::default();
        execute(&plan, table.as_ref().map_or(&empty, |table| &table.schema), batches)?
    };
    Ok(QueryResult { schema, rows, bytes_processed, effect: None })
}

/// The table's present content.
///
/// # Errors
/// When there is no such table.
pub(super) fn found(table: &TableName, catalog: &dyn Catalog) -> Result<TableSnapshot, SqlError> {
    catalog.snapshot(table).ok_or_else(|| {
        let message = format!("Not found: Table {table} was not found in location US");
        SqlError::of(Reason::NotFound, message)
    })
}

/// The value of an expression without names, such as a column's default.
pub(crate) fn constant(sql: &str, now: i64, target: &DataType) -> Result<Value, SqlError> {
    struct Nothing;
    impl Catalog for Nothing {
        fn snapshot(&self, _: &TableName) -> Option<TableSnapshot> {
            None
        }
    }
    let options = QueryOptions {
        project: String::new(),
        default_dataset: None,
        parameters: Parameters::default(),
        now,
        dry_run: false,
    };
    let text = format!("SELECT CAST(({sql}) AS {target})");
    let plain = format!("SELECT ({sql})");
    let nested = matches!(target, DataType::Array(_) | DataType::Struct(_) | DataType::Json);
    let result = run(if nested { &plain } else { &text }, &options, &Nothing)?;
    let value = result.rows.into_iter().flatten().next();
    value.ok_or_else(|| SqlError::query("The expression has no value"))
}

/// Reads one query; also which `?` is which parameter.
pub(super) fn parse(sql: &str) -> Result<(Box<Query>, FxHashMap<Location, usize>), SqlError> {
    let tokens = tokens(sql)?;
    let placeholders = placeholders(&tokens);
    match statement(tokens)? {
        Statement::Query(query) => Ok((query, placeholders)),
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or_default();
            Err(SqlError::unsupported(format!("The statement {verb}")))
        }
    }
}

/// The words of a query text.
pub(super) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    if sql.len() > QUERY_BYTES_MAX {
        return Err(SqlError::query(format!(
            "The query is too large. The maximum is {QUERY_BYTES_MAX} bytes"
        )));
    }
    let dialect = BigQueryDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| syntax_error(&error.to_string()))?;
    if tokens.iter().filter(|token| is_operator(&token.token)).count() > OPERATORS_MAX {
        return Err(SqlError::query(format!("The query has more than {OPERATORS_MAX} operators")));
    }
    Ok(tokens)
}

/// Reads one statement.
pub(super) fn statement(tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    let mut parser = Parser::new(&BigQueryDialect {})
        .with_recursion_limit(RECURSION_MAX)
        .with_tokens_with_locations(tokens);
    let statements = parser.parse_statements().map_err(|error| syntax_error(&error.to_string()))?;
    let mut statements = statements.into_iter();
    match (statements.next(), statements.next()) {
        (Some(statement), None) => Ok(statement),
        (None, _) => Err(SqlError::query("Syntax error: Unexpected end of statement")),
        (_, Some(_)) => Err(SqlError::unsupported("A script of several statements")),
    }
}

/// Whether a token may join two expressions without parentheses.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            let joins = |keyword: &&str| word.value.eq_ignore_ascii_case(keyword);
            ["AND", "OR", "XOR", "NOT", "IS", "IN", "LIKE", "BETWEEN", "UNION", "JOIN"]
                .iter()
                .any(joins)
        }
        Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) => false,
        Token::Comma | Token::LParen | Token::RParen | Token::SemiColon | Token::Placeholder(_) => {
            false
        }
        _ => true,
    }
}

fn placeholders(tokens: &[TokenWithSpan]) -> FxHashMap<Location, usize> {
    let marks = tokens
        .iter()
        .filter(|token| matches!(&token.token, Token::Placeholder(mark) if mark == "?"));
    marks.enumerate().map(|(at, token)| (token.span.start, at)).collect()
}

fn syntax_error(message: &str) -> SqlError {
    let message = message.trim_start_matches("sql parser error: ");
    SqlError::query(format!("Syntax error: {message}"))
}

fn result_schema(plan: &Plan) -> Result<TableSchema, SqlError> {
    let fields = plan.outputs.iter().map(|output| {
        output.data_type.to_field(&output.name).ok_or_else(|| {
            SqlError::query(format!("Cannot output a value of type {}", output.data_type))
        })
    });
    Ok(TableSchema::new(fields.collect::<Result<_, _>>()?))
}

/// Bytes of all columns the plan reads.
fn bytes_processed(plan: &Plan, batches: &[RecordBatch]) -> u64 {
    let mut used = std::collections::BTreeSet::new();
    let mut visit = |node: &Node| {
        node.visit_columns(&mut |column| {
            used.insert(column);
        })
    };
    plan.filter.iter().for_each(&mut visit);
    match &plan.groups {
        Some(groups) => {
            groups.keys.iter().for_each(&mut visit);
            groups
                .aggregates
                .iter()
                .filter_map(|aggregate| aggregate.argument.as_ref())
                .for_each(&mut visit);
        }
        None => {
            plan.outputs.iter().for_each(|output| visit(&output.node));
            plan.order.iter().for_each(|key| visit(&key.node));
        }
    }
    let bytes =
        |batch: &RecordBatch| used.iter().map(|column| column_bytes(batch, *column)).sum::<u64>();
    batches.iter().map(bytes).sum()
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
