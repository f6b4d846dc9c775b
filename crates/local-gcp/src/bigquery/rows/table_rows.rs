//! The rows of one table or stream: a list of batches, merged as they come so that their number stays small.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType as ArrowType};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;

use super::conform::conform;
use crate::bigquery::schema::TableSchema;

/// Batches of at least this many rows are left alone: scanning them costs no more per row.
const MERGED_ROWS_MAX: usize = 65_536;

/// Neither are batches beyond this many bytes: a batch is one journal record in a snapshot, and those are limited.
const MERGED_BYTES_MAX: u64 = 64 << 20;

/// Rows in arrival order.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableRows {
    batches: Vec<Piece>,
    rows: u64,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Piece {
    batch: RecordBatch,
    bytes: u64,
}

impl TableRows {
    /// Number of rows.
    pub(crate) fn len(&self) -> u64 {
        self.rows
    }

    /// Size as BigQuery counts it, in bytes.
    pub(crate) fn logical_bytes(&self) -> u64 {
        self.bytes
    }

    /// The batches, in order; cloning one is cheap.
    pub(crate) fn batches(&self) -> impl ExactSizeIterator<Item = &RecordBatch> {
        self.batches.iter().map(|piece| &piece.batch)
    }

    /// Adds a batch at the end. All batches must have one Arrow schema.
    pub(crate) fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        let bytes = logical_bytes(&batch);
        self.rows += batch.num_rows() as u64;
        self.bytes += bytes;
        self.batches.push(Piece { batch, bytes });
        self.merge();
    }

    /// Merges the last two batches while the last is at least as large: each row moves O(log n) times.
    fn merge(&mut self) {
        while let [.., before, last] = self.batches.as_slice() {
            let rows = before.batch.num_rows() + last.batch.num_rows();
            let bytes = before.bytes + last.bytes;
            let uneven = before.batch.num_rows() > last.batch.num_rows();
            if uneven || rows > MERGED_ROWS_MAX || bytes > MERGED_BYTES_MAX {
                return;
            }
            let schema = before.batch.schema();
            let Ok(batch) = concat_batches(&schema, [&before.batch, &last.batch]) else {
                // Merging only saves time; batches that cannot be merged stay apart.
                return;
            };
            self.batches.truncate(self.batches.len() - 2);
            self.batches.push(Piece { batch, bytes });
        }
    }

    /// The rows from `offset` on, at most `limit`, as slices that share the rows' memory.
    pub(crate) fn range(&self, offset: u64, limit: u64) -> Vec<RecordBatch> {
        let mut found = Vec::new();
        let (mut skip, mut left) = (offset, limit);
        for batch in self.batches() {
            let rows = batch.num_rows() as u64;
            if skip >= rows {
                skip -= rows;
                continue;
            }
            if left == 0 {
                break;
            }
            let length = (rows - skip).min(left);
            found.push(batch.slice(skip as usize, length as usize));
            left -= length;
            skip = 0;
        }
        found
    }

    /// Takes the first `count` rows out.
    pub(crate) fn take_front(&mut self, count: u64) -> Vec<RecordBatch> {
        let front = self.range(0, count);
        let rest = self.range(count, u64::MAX);
        *self = Self::default();
        rest.into_iter().for_each(|batch| self.push(batch));
        front
    }

    /// Takes rows out: ranges of places in order, each from its first to behind its last row.
    ///
    /// # Errors
    /// When a batch cannot be filtered, which means it is broken; the rows are then unchanged.
    pub(crate) fn remove(&mut self, ranges: &[(u64, u64)]) -> Result<(), ArrowError> {
        let mut kept = Self::default();
        let mut start = 0;
        for batch in self.batches() {
            let end = start + batch.num_rows() as u64;
            let first = ranges.partition_point(|(_, behind)| *behind <= start);
            let touched = ranges[first..].iter().take_while(|(from, _)| *from < end);
            let mut keep = vec![true; batch.num_rows()];
            for (from, behind) in touched {
                let range = (*from).max(start) - start..(*behind).min(end) - start;
                keep[range.start as usize..range.end as usize].fill(false);
            }
            kept.push(filter_record_batch(batch, &BooleanArray::from(keep))?);
            start = end;
        }
        *self = kept;
        Ok(())
    }

    /// Takes all rows out.
    pub(crate) fn take(&mut self) -> Vec<RecordBatch> {
        let rows = std::mem::take(self);
        rows.batches.into_iter().map(|piece| piece.batch).collect()
    }

    /// Brings all rows to a changed schema.
    ///
    /// # Errors
    /// Those of [`conform`]; the rows are then unchanged.
    pub(crate) fn conform(&mut self, schema: &TableSchema) -> Result<(), ArrowError> {
        let changed =
            self.batches().map(|batch| conform(batch, schema)).collect::<Result<Vec<_>, _>>()?;
        for (piece, batch) in self.batches.iter_mut().zip(changed) {
            piece.batch = batch;
        }
        Ok(())
    }
}

/// Size of a batch as BigQuery counts it, in bytes.
fn logical_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|array| array_bytes(array.as_ref())).sum()
}

/// Size of one column of a batch as BigQuery counts it, in bytes; 0 if there is no such column.
pub(crate) fn column_bytes(batch: &RecordBatch, column: usize) -> u64 {
    batch.columns().get(column).map_or(0, |array| array_bytes(array.as_ref()))
}

fn array_bytes(array: &dyn Array) -> u64 {
    let present = (array.len() - array.null_count()) as u64;
    match array.data_type() {
        ArrowType::Boolean => present,
        ArrowType::Decimal128(..) => 16 * present,
        ArrowType::Decimal256(..) => 32 * present,
        ArrowType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            2 * present + span(offsets)
        }
        ArrowType::Binary => {
            let offsets = array.as_binary::<i32>().value_offsets();
            2 * present + span(offsets)
        }
        ArrowType::Struct(_) => {
            array.as_struct().columns().iter().map(|array| array_bytes(array.as_ref())).sum()
        }
        ArrowType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let start = offsets.first().copied().unwrap_or(0) as usize;
            array_bytes(list.values().slice(start, span(offsets) as usize).as_ref())
        }
        _ => 8 * present,
    }
}

/// Elements between the first and last offset.
fn span(offsets: &[i32]) -> u64 {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => u64::try_from(last - first).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::rows::{Column, build_batch};
    use crate::bigquery::schema::{Field, FieldType};
    use crate::bigquery::value::Value;

    fn schema() -> TableSchema {
        TableSchema::new(vec![
            Field::required("n", FieldType::Int64),
            Field::nullable("text", FieldType::String),
        ])
    }

    fn batch(numbers: std::ops::Range<i64>) -> RecordBatch {
        let rows: Vec<_> =
            numbers.map(|n| vec![Value::Int64(n), Value::string(n.to_string())]).collect();
        build_batch(&schema(), &rows).unwrap()
    }

    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        let schema = schema();
        batches
            .iter()
            .flat_map(|batch| {
                let columns = Column::all(&schema, batch);
                (0..batch.num_rows())
                    .filter_map(|row| columns[0].value(row).as_i64())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_thousand_small_batches_stay_few_and_in_order() {
        let mut rows = TableRows::default();
        for n in 0..1_000 {
            rows.push(batch(n..n + 1));
        }
        assert_eq!(rows.len(), 1_000);
        assert!(rows.batches().len() <= 10, "{} batches", rows.batches().len());
        assert_eq!(numbers(&rows.range(0, u64::MAX)), (0..1_000).collect::<Vec<_>>());
        assert_eq!(numbers(&rows.range(498, 5)), vec![498, 499, 500, 501, 502]);
        assert_eq!(numbers(&rows.range(1_000, 5)), Vec::<i64>::new());
    }

    #[test]
    fn taking_from_the_front_leaves_the_rest() {
        let mut rows = TableRows::default();
        rows.push(batch(0..10));
        rows.push(batch(10..13));
        assert_eq!(numbers(&rows.take_front(11)), (0..11).collect::<Vec<_>>());
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.logical_bytes(), 2 * (8 + 4));
        assert_eq!(numbers(&rows.take()), vec![11, 12]);
        assert_eq!(rows.len(), 0);
    }

    #[test]
    fn ranges_of_rows_are_taken_out() {
        let mut rows = TableRows::default();
        rows.push(batch(0..10));
        rows.push(batch(10..13));
        rows.remove(&[(0, 2), (5, 6), (9, 11), (12, 20)]).unwrap();
        assert_eq!(numbers(&rows.range(0, u64::MAX)), vec![2, 3, 4, 6, 7, 8, 11]);
        rows.remove(&[]).unwrap();
        assert_eq!(rows.len(), 7);
    }
}
