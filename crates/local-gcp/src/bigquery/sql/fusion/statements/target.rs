//! The table a statement changes: its columns, and the values that may be assigned to them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use sqlparser::ast::{Expr, ObjectName, ObjectNamePart, Query};

use super::super::super::cast::cast;
use super::super::super::effect::Effect;
use super::super::super::error::{SqlError, name_place};
use super::super::super::expression::Row;
use super::super::super::plan::table_name;
use super::super::super::query::{
    Catalog, QueryOptions, QueryResult, TableSnapshot, constant, found,
};
use super::super::super::types::DataType;
use super::super::run::select;
use super::super::template::Registry;
use crate::bigquery::error::{ApiError, WriteError};
use crate::bigquery::names::TableName;
use crate::bigquery::schema::{Field, TableSchema};
use crate::bigquery::state::{CheckedRows, Removed, TableChange};
use crate::bigquery::value::Value;

pub(super) type Result<T> = std::result::Result<T, SqlError>;

impl From<ApiError> for SqlError {
    fn from(error: ApiError) -> Self {
        Self::of(error.reason, error.message)
    }
}

/// Tables as they were when first asked for, whatever others do meanwhile.
pub(super) struct Frozen<'a> {
    catalog: &'a (dyn Catalog + Sync),
    seen: Mutex<FxHashMap<TableName, TableSnapshot>>,
}

impl Catalog for Frozen<'_> {
    fn snapshot(&self, table: &TableName) -> Option<TableSnapshot> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get(table) {
            return Some(known.clone());
        }
        let snapshot = self.catalog.snapshot(table)?;
        seen.insert(table.clone(), snapshot.clone());
        Some(snapshot)
    }
}

/// The table a statement changes.
pub(super) struct Target<'a> {
    pub(super) name: TableName,
    pub(super) schema: TableSchema,
    epoch: u64,
    options: &'a QueryOptions,
    catalog: Frozen<'a>,
}

/// Rows that a statement takes out of a table and puts in.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Places of rows changed or taken out.
    pub(super) removed: Vec<u64>,
    pub(super) added: Vec<Vec<Value>>,
}

impl<'a> Target<'a> {
    pub(super) fn new(
        name: &ObjectName,
        options: &'a QueryOptions,
        catalog: &'a (dyn Catalog + Sync),
    ) -> Result<Self> {
        let name = resolve(name, options)?;
        let catalog = Frozen { catalog, seen: Mutex::default() };
        let TableSnapshot { schema, epoch, .. } = found(&name, &catalog)?;
        Ok(Self { name, schema, epoch, options, catalog })
    }

    /// Runs a query that may read the target with the places of its rows.
    pub(super) async fn read(&self, query: &Query) -> Result<QueryResult> {
        select(query, self.options, &self.catalog, Some(&self.name)).await
    }

    /// The column of a name.
    pub(super) fn column(&self, name: &ObjectName) -> Result<usize> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return Err(SqlError::unsupported(format!("An assignment to the field {name}")));
        };
        self.schema.index_of(&ident.value).ok_or_else(|| {
            let message = format!("Column {} is not present in table {}", ident.value, self.name);
            SqlError::at(message, ident.span)
        })
    }

    /// The columns of a list of names; all of them if it is empty.
    pub(super) fn columns(&self, names: &[ObjectName]) -> Result<Vec<usize>> {
        if names.is_empty() {
            return Ok((0..self.schema.fields.len()).collect());
        }
        let columns = names.iter().map(|name| self.column(name));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        match columns.iter().collect::<BTreeSet<_>>().len() == columns.len() {
            true => Ok(columns),
            false => Err(SqlError::query("A column is named twice in the list of columns")),
        }
    }

    /// What a column gets when a statement does not say.
    pub(super) fn default_of(&self, column: usize) -> Result<Value> {
        let field = &self.schema.fields[column];
        match &field.default_value_expression {
            Some(sql) => constant(sql, self.options.now, &DataType::of_field(field)),
            None => Ok(Value::Null),
        }
    }

    /// A whole row from the values of some columns.
    pub(super) fn row(
        &self,
        columns: &[usize],
        values: Vec<Value>,
        types: &[DataType],
    ) -> Result<Vec<Value>> {
        if values.len() != columns.len() {
            return Err(SqlError::query(format!(
                "Inserted row has wrong column count; Has {}, expected {}",
                values.len(),
                columns.len()
            )));
        }
        let mut row: Vec<Option<Value>> = vec![None; self.schema.fields.len()];
        for ((column, value), of) in columns.iter().zip(&values).zip(types) {
            row[*column] = Some(self.assigned(value, of, *column)?);
        }
        let cells = row.into_iter().enumerate();
        cells.map(|(at, cell)| cell.map_or_else(|| self.default_of(at), Ok)).collect()
    }

    /// A value as the column has it.
    pub(super) fn assigned(&self, value: &Value, of: &DataType, column: usize) -> Result<Value> {
        let field = &self.schema.fields[column];
        assign(value, of, &DataType::of_field(field), field)
    }

    /// The value of an expression without columns; `None` if only a query can tell.
    pub(super) fn constant(
        &self,
        registry: &Registry,
        expr: &Expr,
    ) -> Result<Option<(Value, DataType)>> {
        match registry.constant(expr) {
            Ok(bound) => Ok(Some((bound.node.eval(Row::EMPTY)?, bound.data_type))),
            Err(error) if error.unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the changes, unless the statement is only analysed.
    pub(super) fn write(&self, changes: Changes, effect: Effect) -> Result<QueryResult> {
        let Changes { mut removed, added } = changes;
        removed.sort_unstable();
        let moved = removed.len();
        removed.dedup();
        if removed.len() != moved {
            return Err(SqlError::query(
                "UPDATE/MERGE must match at most one source row for each target row",
            ));
        }
        let removed = match removed.is_empty() {
            true => Removed::Nothing,
            false => Removed::Places(removed),
        };
        self.change(removed, checked(&self.schema, &added)?)?;
        Ok(QueryResult { effect: Some(effect), ..QueryResult::default() })
    }

    /// Takes rows out and puts rows in, unless the statement is only analysed.
    pub(super) fn change(&self, removed: Removed, added: Option<CheckedRows>) -> Result<()> {
        let (table, epoch) = (self.name.clone(), self.epoch);
        match self.options.dry_run {
            true => Ok(()),
            false => {
                let change = TableChange::Rows { table, epoch, removed, added };
                Ok(self.catalog.catalog.apply(change)?)
            }
        }
    }
}

/// The table a name stands for.
pub(super) fn resolve(name: &ObjectName, options: &QueryOptions) -> Result<TableName> {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .flat_map(|ident| ident.value.split('.').map(str::to_owned))
        .collect();
    table_name(&parts, &options.project, options.default_dataset.as_ref())
        .map_err(|message| SqlError::at(message, name_place(name)))
}

/// Rows checked against a table's schema; `None` if there are none.
pub(super) fn checked(schema: &TableSchema, rows: &[Vec<Value>]) -> Result<Option<CheckedRows>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let described = |error: WriteError| {
        let first = error.row_errors.first().map(|row| row.message.clone());
        SqlError::query(first.unwrap_or(error.message))
    };
    CheckedRows::from_values(schema, rows).map(Some).map_err(described)
}

/// A value of one type as one of another, if such values may be assigned.
fn assign(value: &Value, from: &DataType, to: &DataType, field: &Field) -> Result<Value> {
    match (value, from, to) {
        (Value::Null, ..) => Ok(Value::Null),
        _ if from == to => Ok(value.clone()),
        (Value::Array(items), DataType::Array(from), DataType::Array(to)) => {
            let items = items.iter().map(|item| assign(item, from, to, field));
            Ok(Value::Array(items.collect::<Result<Arc<[_]>>>()?))
        }
        (Value::Struct(values), DataType::Struct(from), DataType::Struct(to))
            if from.len() == to.len() =>
        {
            let values = values.iter().zip(from.iter().zip(to.iter()));
            let values = values
                .map(|(value, (from, to))| assign(value, &from.data_type, &to.data_type, field));
            Ok(Value::Struct(values.collect::<Result<Arc<[_]>>>()?))
        }
        _ if from.literal_coerces_to(to) => cast(value, to),
        _ => Err(SqlError::query(format!(
            "Value of type {from} cannot be assigned to {}, which has type {to}",
            field.name
        ))),
    }
}
