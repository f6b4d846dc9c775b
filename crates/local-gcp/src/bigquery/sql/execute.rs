//! Runs a plan over a table's batches.

use arrow_array::RecordBatch;
use rustc_hash::{FxHashMap, FxHashSet};

use super::aggregate::Accumulator;
use super::error::SqlError;
use super::expression::{Node, Row};
use super::filter::Filter;
use super::plan::{Groups, Plan, SortKey};
use crate::bigquery::rows::Column;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::value::{GroupKey, Value};

type Result<T> = std::result::Result<T, SqlError>;
type ResultRow = Vec<Value>;

/// Runs the plan. Without a table, `batches` is `None` and there is one row of no columns.
pub(super) fn execute(
    plan: &Plan,
    schema: &TableSchema,
    batches: Option<&[RecordBatch]>,
) -> Result<Vec<ResultRow>> {
    let scan = Scan::new(plan.filter.as_ref(), schema, batches);
    match &plan.groups {
        Some(groups) => {
            let groups = group(groups, &scan)?;
            let rows: Vec<_> = groups.iter().map(|group| Row::Values(group)).collect();
            finish(plan, rows.into_iter().map(Ok))
        }
        None => finish(plan, scan.rows()),
    }
}

/// The rows that pass the filter.
struct Scan<'a> {
    filter: Filter,
    /// Columns and row counts of the batches; `None` stands for one row of no columns.
    batches: Option<Vec<(Vec<Column<'a>>, usize)>>,
}

impl<'a> Scan<'a> {
    fn new(
        condition: Option<&Node>,
        schema: &TableSchema,
        batches: Option<&'a [RecordBatch]>,
    ) -> Self {
        let columns = |batch: &'a RecordBatch| (Column::all(schema, batch), batch.num_rows());
        Self {
            filter: Filter::new(condition),
            batches: batches.map(|batches| batches.iter().map(columns).collect()),
        }
    }

    /// Rows one by one; a batch is filtered when its first row is asked for.
    fn rows(&self) -> Box<dyn Iterator<Item = Result<Row<'_>>> + '_> {
        let Some(batches) = &self.batches else {
            let selected = self.filter.select(&[], 1);
            return match selected {
                Ok(selected) => Box::new(selected.into_iter().map(|_| Ok(Row::EMPTY))),
                Err(error) => Box::new(std::iter::once(Err(error))),
            };
        };
        Box::new(batches.iter().flat_map(|(columns, rows)| {
            let (selected, error) = match self.filter.select(columns, *rows) {
                Ok(selected) => (selected, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            selected.into_iter().map(move |row| Ok(Row::Batch(columns, row))).chain(error)
        }))
    }
}

/// Rows of groups: keys, then aggregates.
fn group(groups: &Groups, scan: &Scan<'_>) -> Result<Vec<ResultRow>> {
    let start = || groups.aggregates.iter().map(|aggregate| aggregate.start()).collect();
    let mut index: FxHashMap<GroupKey, usize> = FxHashMap::default();
    let mut found: Vec<(ResultRow, Vec<Accumulator>)> = Vec::new();
    if groups.keys.is_empty() {
        // Without keys there is one group even of no rows.
        found.push((Vec::new(), start()));
    }
    for row in scan.rows() {
        let row = row?;
        let at = if groups.keys.is_empty() {
            0
        } else {
            let key = evaluate(&groups.keys, row)?;
            *index.entry(GroupKey(Value::Array(key.clone().into()))).or_insert_with(|| {
                found.push((key, start()));
                found.len() - 1
            })
        };
        for (aggregate, accumulator) in groups.aggregates.iter().zip(&mut found[at].1) {
            aggregate.update(accumulator, row)?;
        }
    }
    let mut rows = Vec::with_capacity(found.len());
    for (mut row, accumulators) in found {
        for accumulator in accumulators {
            row.push(accumulator.finish()?);
        }
        let kept = match &groups.having {
            Some(having) => having.holds(Row::Values(&row))?,
            None => true,
        };
        if kept {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Outputs, DISTINCT, ORDER BY, OFFSET and LIMIT.
fn finish<'a>(plan: &Plan, rows: impl Iterator<Item = Result<Row<'a>>>) -> Result<Vec<ResultRow>> {
    let outputs: Vec<_> = plan.outputs.iter().map(|output| output.node.clone()).collect();
    let limit = plan.limit.unwrap_or(usize::MAX);
    if plan.distinct {
        return distinct(plan, &outputs, rows);
    }
    if plan.order.is_empty() {
        let window = rows.skip(plan.offset).take(limit);
        return window.map(|row| evaluate(&outputs, row?)).collect();
    }
    let keys: Vec<_> = plan.order.iter().map(|key| key.node.clone()).collect();
    let mut sorted = rows
        .map(|row| row.and_then(|row| Ok((evaluate(&keys, row)?, row))))
        .collect::<Result<Vec<_>>>()?;
    sorted.sort_by(|(left, _), (right, _)| compare(&plan.order, left, right));
    // Outputs are computed only for the rows that are left.
    let window = sorted.into_iter().skip(plan.offset).take(limit);
    window.map(|(_, row)| evaluate(&outputs, row)).collect()
}

fn distinct<'a>(
    plan: &Plan,
    outputs: &[Node],
    rows: impl Iterator<Item = Result<Row<'a>>>,
) -> Result<Vec<ResultRow>> {
    let mut seen = FxHashSet::default();
    let mut kept = Vec::new();
    for row in rows {
        let row = evaluate(outputs, row?)?;
        if seen.insert(GroupKey(Value::Array(row.clone().into()))) {
            kept.push(row);
        }
    }
    let key = |row: &ResultRow| -> ResultRow {
        let outputs = plan.order.iter().filter_map(|key| key.output);
        outputs.map(|at| row[at].clone()).collect()
    };
    kept.sort_by(|left, right| compare(&plan.order, &key(left), &key(right)));
    let limit = plan.limit.unwrap_or(usize::MAX);
    Ok(kept.into_iter().skip(plan.offset).take(limit).collect())
}

fn evaluate(nodes: &[Node], row: Row<'_>) -> Result<ResultRow> {
    nodes.iter().map(|node| node.eval(row)).collect()
}

fn compare(order: &[SortKey], left: &[Value], right: &[Value]) -> std::cmp::Ordering {
    let sides = order.iter().zip(left.iter().zip(right));
    sides
        .map(|(key, (left, right))| match (left.is_null(), right.is_null()) {
            (true, true) => std::cmp::Ordering::Equal,
            (false, false) if key.descending => right.total_compare(left),
            (false, false) => left.total_compare(right),
            (left_null, _) if left_null == key.nulls_first => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        })
        .find(|order| order.is_ne())
        .unwrap_or(std::cmp::Ordering::Equal)
}
