//! Row restrictions: a WHERE clause by itself, over the rows of one table.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

use super::bind::Scope;
use super::error::SqlError;
use super::filter::Filter;
use super::parameters::Parameters;
use super::plan::{self, Context};
use super::query::parse;
use super::types::DataType;
use crate::bigquery::rows::Column;
use crate::bigquery::schema::TableSchema;

/// Which rows of a table are wanted.
#[derive(Debug)]
pub(crate) struct Restriction {
    filter: Filter,
}

impl Restriction {
    /// Reads a condition; an empty text wants all rows. `now` is what CURRENT_TIMESTAMP is, in microseconds.
    ///
    /// # Errors
    /// When the text is no condition on rows of this schema.
    pub(crate) fn new(text: &str, schema: &TableSchema, now: i64) -> Result<Self, SqlError> {
        if text.trim().is_empty() {
            return Ok(Self { filter: Filter::new(None) });
        }
        // The line break ends a comment; a parenthesis too many is a syntax error.
        let (query, placeholders) = parse(&format!("SELECT 1 FROM t WHERE ({text}\n)"))?;
        let select = plan::single_select(&query)?;
        let columns = schema.fields.iter();
        let columns = columns.map(|field| (field.name.clone(), DataType::of_field(field)));
        let scope = Scope { columns: columns.collect(), qualifier: None, visible: None };
        let parameters = &Parameters::default();
        let context = Context { scope: &scope, parameters, placeholders: &placeholders, now };
        let plan = plan::bind(&query, select, context)?;
        let is_plain = plan.groups.is_none() && plan.order.is_empty() && plan.limit.is_none();
        if !is_plain || plan.filter.is_none() {
            return Err(SqlError::query("A row restriction must be a condition and nothing else"));
        }
        Ok(Self { filter: Filter::new(plan.filter.as_ref()) })
    }

    /// The wanted rows of a batch.
    ///
    /// # Errors
    /// When the condition fails on a row, as by an overflow.
    pub(crate) fn apply(
        &self,
        schema: &TableSchema,
        batch: &RecordBatch,
    ) -> Result<RecordBatch, SqlError> {
        let selected = self.filter.select(&Column::all(schema, batch), batch.num_rows())?;
        if selected.len() == batch.num_rows() {
            return Ok(batch.clone());
        }
        let mut wanted = vec![false; batch.num_rows()];
        selected.into_iter().for_each(|row| wanted[row] = true);
        filter_record_batch(batch, &BooleanArray::from(wanted))
            .map_err(|error| SqlError::query(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::rows::build_batch;
    use crate::bigquery::schema::{Field, FieldType};
    use crate::bigquery::value::Value;

    fn count(text: &str) -> Result<usize, SqlError> {
        let schema = TableSchema::new(vec![
            Field::nullable("n", FieldType::Int64),
            Field::nullable("text", FieldType::String),
        ]);
        let rows: Vec<_> =
            (0..10).map(|n| vec![Value::Int64(n), Value::string(format!("t{n}"))]).collect();
        let batch = build_batch(&schema, &rows).unwrap();
        Ok(Restriction::new(text, &schema, 0)?.apply(&schema, &batch)?.num_rows())
    }

    #[test]
    fn conditions_pick_rows() {
        for (text, rows) in [
            ("", 10),
            ("n >= 7", 3),
            ("n = 1 OR text = 't2'", 2),
            ("n > 2 AND MOD(n, 2) = 0 -- even", 3),
            ("text IS NULL", 0),
        ] {
            assert_eq!(count(text).unwrap(), rows, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "m = 1",
            "n",
            "n = 1) GROUP BY (1",
            "TRUE) ORDER BY (n",
            "TRUE) UNION ALL SELECT (1",
            "1 / 0 = 1",
            "COUNT(*) = 1",
            "n =",
        ] {
            assert!(count(text).is_err(), "{text}");
        }
    }
}
