//! Subqueries over the elements of an array: `ARRAY(SELECT ... FROM UNNEST(x))`, `(SELECT ...)` and `EXISTS(SELECT ...)`.
//!
//! The elements are a table of their own for each outer row; outer columns are columns of it that repeat.

use std::sync::Arc;

use sqlparser::ast::{Expr, Query, Select, SetExpr, TableAlias, TableFactor, ValueTableMode};

use super::bind::{Binder, Result, Scope};
use super::error::SqlError;
use super::execute::execute;
use super::expression::{Bound, Function, Node};
use super::operators::call_with_nulls;
use super::plan::{Context, Plan, bind, single_select};
use super::types::{DataType, StructField};
use crate::bigquery::rows::build_batch;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::value::Value;

/// What becomes of the rows of a subquery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The one value of the one row, NULL if there is none.
    Scalar,
    /// An array of the values.
    Array,
    /// Whether there are any.
    Exists,
}

/// The array of a query over nothing but its elements, and what the query calls them and their places.
pub(super) struct Elements<'a> {
    array: &'a Expr,
    alias: Option<&'a TableAlias>,
    offset: Option<String>,
}

impl<'a> Elements<'a> {
    /// The elements a query ranges over, if those are all.
    pub(super) fn of(query: &'a Query) -> Option<Self> {
        let (SetExpr::Select(select), None) = (query.body.as_ref(), &query.with) else {
            return None;
        };
        let [from] = select.from.as_slice() else { return None };
        let TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, .. } =
            &from.relation
        else {
            return None;
        };
        let ([array], true) = (array_exprs.as_slice(), from.joins.is_empty()) else { return None };
        let offset = with_offset_alias.as_ref().map(|name| name.value.clone());
        let offset = offset.or_else(|| with_offset.then(|| "offset".to_owned()));
        Some(Self { array, alias: alias.as_ref(), offset })
    }

    /// The columns of the elements: those of `*` first, and how many these are.
    fn columns(&self, item: &DataType) -> (Vec<(String, DataType)>, usize) {
        let alias = self.alias.map(|alias| alias.name.value.clone());
        let mut columns = match item {
            DataType::Struct(fields) => {
                let column = |field: &StructField| (field.name.clone(), field.data_type.clone());
                fields.iter().map(column).collect()
            }
            scalar => vec![(alias.clone().unwrap_or_else(|| "f0_".to_owned()), scalar.clone())],
        };
        columns.extend(self.offset.clone().map(|name| (name, DataType::Int64)));
        let visible = columns.len();
        columns.push((alias.unwrap_or_default(), item.clone()));
        (columns, visible)
    }
}

impl Binder<'_> {
    /// Binds a subquery over the elements of an array.
    pub(super) fn bind_subquery(&mut self, query: &Query, form: Form) -> Result<Bound> {
        let Some(elements) = Elements::of(query) else {
            return Err(SqlError::unsupported("A subquery"));
        };
        // Names of an outer table would need more than one qualifier, groups an outer row that is one.
        if self.scope.qualifier.is_some() || self.grouping.is_some() {
            return Err(SqlError::unsupported("A subquery over an array of a column"));
        }
        let array = self.bind(elements.array)?;
        let DataType::Array(item) = &array.data_type else {
            return Err(SqlError::query("Values referenced in UNNEST must be arrays"));
        };
        let (mut columns, visible) = elements.columns(item);
        columns.extend(self.scope.columns.iter().cloned());
        let schema = inner_schema(&columns)?;
        let qualifier = elements.alias.map(|alias| alias.name.value.clone());
        let scope = Scope { columns, qualifier, visible: Some(visible) };
        let (query, as_record) = without_mode(query);
        let plan = self.inner_plan(&query, &scope)?;
        let result = result_type(&plan, form, as_record)?;
        let has_offset = elements.offset.is_some();
        let run: Function = Arc::new(move |arguments| {
            let rows = rows(&arguments[0], &arguments[1..], has_offset);
            let batch = build_batch(&schema, &rows)
                .map_err(|error| SqlError::query(format!("The array has no rows: {error}")))?;
            value_of(form, as_record, execute(&plan, &schema, Some(&[batch]))?)
        });
        let outer = (0..self.scope.columns.len()).map(Node::Column);
        let arguments = std::iter::once(array.node).chain(outer).collect();
        Ok(Bound::new(call_with_nulls(run, arguments), result))
    }

    fn inner_plan(&self, query: &Query, scope: &Scope) -> Result<Plan> {
        let context = Context {
            scope,
            parameters: self.parameters,
            placeholders: self.placeholders,
            now: self.now,
        };
        bind(query, single_select(query)?, context)
    }
}

/// A query without SELECT AS STRUCT, and whether it had that.
fn without_mode(query: &Query) -> (Query, bool) {
    let mut query = query.clone();
    let mode = match query.body.as_mut() {
        SetExpr::Select(select) => mode_of(select),
        _ => None,
    };
    (query, mode == Some(ValueTableMode::AsStruct))
}

fn mode_of(select: &mut Select) -> Option<ValueTableMode> {
    match select.value_table_mode {
        Some(ValueTableMode::AsStruct) => select.value_table_mode.take(),
        _ => None,
    }
}

/// The schema of the table of elements; its columns are found by place.
fn inner_schema(columns: &[(String, DataType)]) -> Result<TableSchema> {
    let fields = columns.iter().map(|(name, of)| {
        of.to_field(name).ok_or_else(|| SqlError::query(format!("UNNEST cannot yield {of}")))
    });
    Ok(TableSchema::new(fields.collect::<Result<_>>()?))
}

/// The type of what a subquery yields.
fn result_type(plan: &Plan, form: Form, as_record: bool) -> Result<DataType> {
    let value = match plan.outputs.as_slice() {
        _ if form == Form::Exists => return Ok(DataType::Bool),
        outputs if as_record => DataType::Struct(
            outputs
                .iter()
                .map(|output| StructField {
                    name: output.name.clone(),
                    data_type: output.data_type.clone(),
                })
                .collect(),
        ),
        [output] => output.data_type.clone(),
        _ => {
            return Err(SqlError::query(
                "A subquery in an expression cannot have more than one column unless using SELECT AS STRUCT",
            ));
        }
    };
    Ok(match form {
        Form::Array if matches!(value, DataType::Array(_)) => {
            return Err(SqlError::query("Cannot use array subquery with column of type ARRAY"));
        }
        Form::Array => DataType::Array(Arc::new(value)),
        _ => value,
    })
}

/// The table of elements of one outer row.
fn rows(array: &Value, outer: &[Value], has_offset: bool) -> Vec<Vec<Value>> {
    let Value::Array(elements) = array else { return Vec::new() };
    let row = |(element, at): (&Value, i64)| {
        let mut row = match element {
            Value::Struct(fields) => fields.to_vec(),
            other => vec![other.clone()],
        };
        row.extend(has_offset.then_some(Value::Int64(at)));
        row.push(element.clone());
        row.extend_from_slice(outer);
        row
    };
    elements.iter().zip(0..).map(row).collect()
}

fn value_of(form: Form, as_record: bool, rows: Vec<Vec<Value>>) -> Result<Value> {
    if form == Form::Exists {
        return Ok(Value::Bool(!rows.is_empty()));
    }
    let values = rows.into_iter().map(|mut row| match as_record {
        true => Value::Struct(row.into()),
        false => row.pop().unwrap_or(Value::Null),
    });
    let mut values: Vec<_> = values.collect();
    match form {
        Form::Array => Ok(Value::Array(values.into())),
        _ if values.len() > 1 => {
            Err(SqlError::query("Scalar subquery produced more than one element"))
        }
        _ => Ok(values.pop().unwrap_or(Value::Null)),
    }
}
