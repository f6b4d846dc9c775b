//! Where a query job writes its result, and on what conditions.

use serde_json::Value as Json;

use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::BigQuery;
use crate::bigquery::load::{may_create, write_disposition};
use crate::bigquery::names::TableName;
use crate::bigquery::schema::{Mode, TableSchema};
use crate::bigquery::sql::QueryResult;
use crate::bigquery::state::{CheckedRows, Load, WriteDisposition};
use crate::bigquery::value::Value;

/// The destination of a query's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    table: TableName,
    write: WriteDisposition,
    /// Whether the table may be created.
    creates: bool,
}

impl Destination {
    /// Reads the destination of a `JobConfigurationQuery`, if it has one.
    ///
    /// # Errors
    /// When the table's name or a disposition is wrong.
    pub(crate) fn read(project: &str, given: &Json) -> Result<Option<Self>, ApiError> {
        let table = &given["destinationTable"];
        if table.is_null() {
            return Ok(None);
        }
        let (Some(dataset), Some(id)) = (table["datasetId"].as_str(), table["tableId"].as_str())
        else {
            return Err(ApiError::invalid("A destination table needs datasetId and tableId"));
        };
        let project = table["projectId"].as_str().unwrap_or(project);
        let write = write_disposition(given, WriteDisposition::Empty)?;
        let creates = may_create(given)?;
        Ok(Some(Self { table: TableName::new(project, dataset, id), write, creates }))
    }

    /// Writes a result to the destination.
    ///
    /// # Errors
    /// When the dispositions forbid it, or the rows do not fit the table.
    pub(crate) fn store(&self, bigquery: &BigQuery, result: &QueryResult) -> Result<(), ApiError> {
        if result.effect.is_some() {
            let message = "Cannot set destination table in jobs with DML or DDL statements";
            return Err(ApiError::new(Reason::InvalidQuery, message));
        }
        let present = bigquery.read(|state| {
            let table = state.table(&self.table)?;
            Some((table.schema.clone(), state.row_count(&self.table)))
        });
        // Only rows that join a table must fit it. What the table is by the time they are written decides whether they may.
        let joins = |rows: u64| match self.write {
            WriteDisposition::Append => true,
            WriteDisposition::Empty => rows == 0,
            WriteDisposition::Truncate => false,
        };
        let (schema, rows) = match present.filter(|(_, rows)| joins(*rows)) {
            Some((schema, _)) => {
                let rows = fitted(&schema, result, &self.table)?;
                let rows = checked(&schema, &rows)?;
                (schema, rows)
            }
            None => (result.schema.clone(), checked(&result.schema, &result.rows)?),
        };
        let load = Load {
            create: self.creates,
            write: self.write,
            ..Load::new(self.table.clone(), schema, rows.into_iter().collect())
        };
        bigquery.change(|state, now| state.load(now, load)).map(drop)
    }
}

/// The rows of a result in the order of a table's columns.
fn fitted(
    schema: &TableSchema,
    result: &QueryResult,
    table: &TableName,
) -> Result<Vec<Vec<Value>>, ApiError> {
    let mismatch = |reason: String| {
        ApiError::invalid(format!("Provided Schema does not match Table {table}. {reason}"))
    };
    for field in &result.schema.fields {
        let column = schema.index_of(&field.name).map(|at| &schema.fields[at]);
        let column =
            column.ok_or_else(|| mismatch(format!("Cannot add fields (field: {})", field.name)))?;
        let repeats = |mode| mode == Mode::Repeated;
        if column.field_type != field.field_type || repeats(column.mode) != repeats(field.mode) {
            return Err(mismatch(format!("Field {} has another type", field.name)));
        }
    }
    let places: Vec<_> =
        schema.fields.iter().map(|column| result.schema.index_of(&column.name)).collect();
    let row = |row: &Vec<Value>| {
        places.iter().map(|place| place.map_or(Value::Null, |at| row[at].clone())).collect()
    };
    Ok(result.rows.iter().map(row).collect())
}

fn checked(schema: &TableSchema, rows: &[Vec<Value>]) -> Result<Option<CheckedRows>, ApiError> {
    if rows.is_empty() {
        return Ok(None);
    }
    CheckedRows::from_values(schema, rows).map(Some).map_err(|error| {
        let first = error.row_errors.first().map(|row| row.message.clone());
        ApiError::invalid(first.unwrap_or(error.message))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::bigquery::schema::{Field, FieldType};
    use crate::clock::{ManualClock, Timestamp};

    fn result(numbers: &[i64]) -> QueryResult {
        QueryResult {
            schema: TableSchema::new(vec![Field::nullable("n", FieldType::Int64)]),
            rows: numbers.iter().map(|n| vec![Value::Int64(*n)]).collect(),
            ..QueryResult::default()
        }
    }

    fn to(write: &str, create: &str) -> Destination {
        let given = json!({
            "destinationTable": {"datasetId": "d", "tableId": "t"},
            "writeDisposition": write,
            "createDisposition": create,
        });
        Destination::read("p", &given).unwrap().unwrap()
    }

    #[test]
    fn dispositions_decide_over_old_rows_and_missing_tables() {
        let bigquery = BigQuery::in_memory(Arc::new(ManualClock::new(Timestamp::from_secs(1_000))));
        let table = TableName::new("p", "d", "t");
        bigquery.ensure_dataset(&table.dataset).unwrap();
        let store = |destination: Destination, numbers: &[i64]| {
            destination.store(&bigquery, &result(numbers)).map_err(|error| error.reason)
        };
        assert_eq!(store(to("WRITE_EMPTY", "CREATE_NEVER"), &[1]), Err(Reason::NotFound));
        store(to("WRITE_EMPTY", "CREATE_IF_NEEDED"), &[1]).unwrap();
        assert_eq!(store(to("", ""), &[2]), Err(Reason::Duplicate));
        store(to("WRITE_APPEND", ""), &[2]).unwrap();
        assert_eq!(bigquery.row_count(&table), 2);
        store(to("WRITE_TRUNCATE", "CREATE_NEVER"), &[3]).unwrap();
        assert_eq!(bigquery.rows(&table), [[Value::Int64(3)]]);

        let mut other = result(&[4]);
        other.schema = TableSchema::new(vec![Field::nullable("m", FieldType::Int64)]);
        let refused = to("WRITE_EMPTY", "").store(&bigquery, &other).unwrap_err();
        assert_eq!(refused.reason, Reason::Duplicate);
        let error = to("WRITE_APPEND", "").store(&bigquery, &other).unwrap_err();
        assert!(error.message.contains("Cannot add fields (field: m)"), "{error}");
    }

    #[test]
    fn wrong_destinations_are_refused() {
        let given = json!({"destinationTable": {"datasetId": "d"}});
        assert!(Destination::read("p", &given).is_err());
        let given = json!({
            "destinationTable": {"datasetId": "d", "tableId": "t"}, "writeDisposition": "WRITE_SOME",
        });
        let error = Destination::read("p", &given).unwrap_err();
        assert_eq!(error.message, "Invalid value for writeDisposition: WRITE_SOME");
        assert_eq!(Destination::read("p", &json!({})).unwrap(), None);
    }
}
