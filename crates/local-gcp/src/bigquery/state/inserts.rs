//! Rows inserted one by one, as `tabledata.insertAll` does, and the ids by which repeated ones are known.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::machine::State;
use super::record::{Record, StoredRows};
use super::rows_in::CheckedRows;
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::names::TableName;
use crate::bigquery::rows::conform;
use crate::clock::Timestamp;

/// A row whose id was seen so recently is taken for a repetition: "at least one minute", Google says.
const IDS_KEPT: Duration = Duration::from_secs(60);

/// Ids remembered for one table; the oldest go first, which best effort allows.
const IDS_MAX: usize = 1_000_000;

/// The ids of the rows inserted into a table of late.
#[derive(Clone, Debug, Default)]
pub(crate) struct InsertIds {
    seen: FxHashMap<String, Timestamp>,
    /// The same by request, oldest first.
    requests: VecDeque<(Timestamp, Vec<String>)>,
}

impl InsertIds {
    fn knows(&self, id: &str, now: Timestamp) -> bool {
        self.seen.get(id).is_some_and(|at| now.since(*at) < IDS_KEPT)
    }

    /// Remembers the ids of one request, and forgets what is too old.
    pub(super) fn remember(&mut self, at: Timestamp, ids: Vec<String>) {
        if !ids.is_empty() {
            self.seen.extend(ids.iter().map(|id| (id.clone(), at)));
            self.requests.push_back((at, ids));
        }
        while let Some((oldest, ids)) = self.pop_oldest(at) {
            for id in ids {
                // Unless it came again since.
                if self.seen.get(&id) == Some(&oldest) {
                    self.seen.remove(&id);
                }
            }
        }
    }

    /// The oldest request, if its time is over or there are too many ids.
    fn pop_oldest(&mut self, now: Timestamp) -> Option<(Timestamp, Vec<String>)> {
        let full = self.seen.len() > IDS_MAX;
        self.requests.pop_front_if(|(at, _)| full || now.since(*at) >= IDS_KEPT)
    }

    /// What is remembered, by request, oldest first.
    pub(super) fn requests(&self) -> impl Iterator<Item = &(Timestamp, Vec<String>)> {
        self.requests.iter()
    }
}

impl State {
    /// Inserts rows, at once visible. A row whose id (one per row, if it has one) came within the last minute is left out
    /// as a repetition. Answers how many rows are new.
    ///
    /// # Errors
    /// When there is no such table, or it is no longer one that the rows fit.
    pub fn insert_rows(
        &mut self,
        now: Timestamp,
        name: &TableName,
        rows: CheckedRows,
        ids: &[Option<String>],
    ) -> Result<u64, ApiError> {
        let entry = self.tables.get(name).ok_or_else(|| ApiError::table_not_found(name))?;
        let mut own = FxHashSet::default();
        let is_new = |id: &Option<String>| {
            let id = id.as_deref().filter(|id| !id.is_empty());
            id.is_none_or(|id| !entry.inserted.knows(id, now) && own.insert(id.to_owned()))
        };
        let new: Vec<bool> = ids.iter().map(is_new).collect();
        let does_not_fit = |error| ApiError::invalid(format!("Rows do not fit the table: {error}"));
        let rows = rows.kept(&new).map_err(does_not_fit)?;
        let count = rows.num_rows() as u64;
        if count == 0 {
            return Ok(0);
        }
        let rows = conform(&rows, &entry.table.schema).map_err(does_not_fit)?;
        let ids = own.into_iter().collect();
        let record =
            Record::Inserted { table: name.clone(), at: now, rows: StoredRows::new(rows), ids };
        self.commit(record)
            .map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::bigquery::schema::{Field, FieldType, TableSchema};
    use crate::bigquery::value::Value;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn table() -> TableName {
        TableName::new("p", "d", "t")
    }

    fn state() -> State {
        let mut state = State::new();
        state.keep_changes();
        let schema = TableSchema::new(vec![Field::required("n", FieldType::Int64)]);
        state.create_dataset(NOW, table().dataset, "US", Map::new()).unwrap();
        state.create_table(NOW, table(), schema, Map::new()).unwrap();
        state
    }

    /// Inserts rows numbered by their position; an empty id is none.
    fn insert(state: &mut State, now: Timestamp, ids: &[&str]) -> u64 {
        let rows: Vec<_> = (0..ids.len()).map(|n| vec![Value::Int64(n as i64)]).collect();
        let ids: Vec<_> = ids.iter().map(|id| (!id.is_empty()).then(|| (*id).to_owned())).collect();
        let schema = state.table(&table()).unwrap().schema.clone();
        let rows = CheckedRows::from_values(&schema, &rows).unwrap();
        state.insert_rows(now, &table(), rows, &ids).unwrap()
    }

    fn numbers(state: &State) -> Vec<i64> {
        let rows = state.rows(&table(), 0, u64::MAX);
        rows.iter().filter_map(|row| row[0].as_i64()).collect()
    }

    #[test]
    fn a_row_whose_id_came_within_a_minute_is_left_out() {
        let mut state = state();
        assert_eq!(insert(&mut state, NOW, &["a", "b", "a", "", ""]), 4);
        assert_eq!(numbers(&state), [0, 1, 3, 4]);
        assert_eq!(insert(&mut state, NOW + Duration::from_secs(59), &["a", "c", ""]), 2);
        assert_eq!(insert(&mut state, NOW + Duration::from_secs(60), &["a", "c"]), 1);
        assert_eq!(numbers(&state), [0, 1, 3, 4, 1, 2, 0]);
    }

    #[test]
    fn ids_and_rows_survive_journal_and_snapshot() {
        let mut state = state();
        insert(&mut state, NOW, &["a", "b"]);
        insert(&mut state, NOW + Duration::from_secs(30), &["c"]);
        let journal = state.take_changes();
        let snapshot = state.snapshot().collect();
        for records in [journal, snapshot] {
            let mut after = State::new();
            for record in records {
                let bytes = rmp_serde::to_vec(&record).unwrap();
                after.replay(rmp_serde::from_slice(&bytes).unwrap()).unwrap();
            }
            assert_eq!(numbers(&after), [0, 1, 0]);
            assert_eq!(insert(&mut after, NOW + Duration::from_secs(70), &["a", "c"]), 1);
        }
    }

    #[test]
    fn ids_are_forgotten_in_time_and_beyond_their_number() {
        let mut ids = InsertIds::default();
        ids.remember(NOW, vec!["a".to_owned()]);
        ids.remember(NOW + IDS_KEPT, vec!["b".to_owned()]);
        assert_eq!((ids.seen.len(), ids.requests.len()), (1, 1));
        let many = (0..IDS_MAX).map(|n| n.to_string()).collect();
        ids.remember(NOW + IDS_KEPT, many);
        assert!(!ids.knows("b", NOW + IDS_KEPT) && ids.knows("7", NOW + IDS_KEPT));
    }
}
