//! Tests of the rules of write streams.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::bigquery::schema::{Field, FieldType, TableSchema};
use crate::bigquery::state::{Calls, Refusal};
use crate::bigquery::value::Value;

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn table() -> TableName {
    TableName::new("p", "d", "t")
}

fn schema() -> TableSchema {
    TableSchema::new(vec![Field::required("n", FieldType::Int64)])
}

fn state() -> State {
    let mut state = State::new();
    state.keep_changes();
    state.create_dataset(NOW, table().dataset, "US", Map::new()).unwrap();
    state.create_table(NOW, table(), schema(), Map::new()).unwrap();
    state
}

fn numbers(range: std::ops::Range<i64>) -> CheckedRows {
    let rows: Vec<_> = range.map(|n| vec![Value::Int64(n)]).collect();
    CheckedRows::from_values(&schema(), &rows).unwrap()
}

fn visible(state: &State) -> Vec<i64> {
    let rows = state.rows(&table(), 0, u64::MAX);
    rows.iter().filter_map(|row| row[0].as_i64()).collect()
}

fn create(state: &mut State, stream_type: StreamType) -> StreamName {
    state.create_write_stream(NOW, &table(), stream_type).unwrap().name
}

fn detail(error: &WriteError) -> Option<StorageErrorCode> {
    error.detail.as_ref().map(|(code, _)| *code)
}

#[test]
fn rows_of_the_default_stream_show_at_once_and_have_no_offset() {
    let mut state = state();
    let stream = StreamName::default_of(table());
    let appended = state.append_rows(NOW, &stream, None, numbers(0..3)).unwrap();
    assert_eq!(appended.offset, None);
    assert_eq!(visible(&state), vec![0, 1, 2]);
    let error = state.append_rows(NOW, &stream, Some(3), numbers(3..4)).unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument);
}

#[test]
fn committed_streams_check_every_offset() {
    let mut state = state();
    let stream = create(&mut state, StreamType::Committed);
    let mut append = |offset, range| state.append_rows(NOW, &stream, offset, numbers(range));
    assert_eq!(append(Some(0), 0..2).unwrap().offset, Some(0));
    assert_eq!(append(None, 2..3).unwrap().offset, Some(2));

    let again = append(Some(0), 0..2).unwrap_err();
    assert_eq!(
        (again.code, detail(&again)),
        (Code::AlreadyExists, Some(StorageErrorCode::OffsetAlreadyExists))
    );
    assert_eq!(again.message, "The offset is within stream, expected offset 3, received 0");
    let ahead = append(Some(4), 4..5).unwrap_err();
    assert_eq!(
        (ahead.code, detail(&ahead)),
        (Code::OutOfRange, Some(StorageErrorCode::OffsetOutOfRange))
    );
    assert_eq!(ahead.message, "The offset is beyond stream, expected offset 3, received 4");
    assert!(!again.ends_connection && !ahead.ends_connection);
    assert_eq!(visible(&state), vec![0, 1, 2]);
}

#[test]
fn buffered_rows_show_when_flushed_and_flushing_again_changes_nothing() {
    let mut state = state();
    let stream = create(&mut state, StreamType::Buffered);
    state.append_rows(NOW, &stream, Some(0), numbers(0..5)).unwrap();
    assert_eq!(visible(&state), Vec::<i64>::new());
    for (offset, expected) in [(2, 3), (2, 3), (0, 3), (4, 5), (1, 5)] {
        assert_eq!(state.flush_rows(NOW, &stream, offset).unwrap(), offset);
        assert_eq!(visible(&state).len(), expected, "after a flush to {offset}");
    }
    let error = state.flush_rows(NOW, &stream, 5).unwrap_err();
    assert_eq!(
        (error.code, detail(&error)),
        (Code::OutOfRange, Some(StorageErrorCode::OffsetOutOfRange))
    );
    assert_eq!(state.flush_rows(NOW, &stream, -1).unwrap_err().code, Code::InvalidArgument);

    let committed = create(&mut state, StreamType::Committed);
    let error = state.flush_rows(NOW, &committed, 0).unwrap_err();
    assert_eq!(detail(&error), Some(StorageErrorCode::InvalidStreamType));
}

#[test]
fn a_finalized_stream_takes_no_rows_but_can_be_flushed() {
    let mut state = state();
    let stream = create(&mut state, StreamType::Buffered);
    state.append_rows(NOW, &stream, None, numbers(0..4)).unwrap();
    assert_eq!(state.finalize_write_stream(NOW, &stream).unwrap(), 4);
    assert_eq!(state.finalize_write_stream(NOW, &stream).unwrap(), 4);
    let error = state.append_rows(NOW, &stream, Some(4), numbers(4..5)).unwrap_err();
    assert_eq!(detail(&error), Some(StorageErrorCode::StreamFinalized));
    state.flush_rows(NOW, &stream, 1).unwrap();
    assert_eq!(visible(&state), vec![0, 1]);
    let default = StreamName::default_of(table());
    assert!(state.finalize_write_stream(NOW, &default).is_err());
}

#[test]
fn pending_streams_commit_all_or_nothing_and_only_once() {
    let mut state = state();
    let first = create(&mut state, StreamType::Pending);
    let second = create(&mut state, StreamType::Pending);
    let buffered = create(&mut state, StreamType::Buffered);
    state.append_rows(NOW, &first, Some(0), numbers(0..2)).unwrap();
    state.append_rows(NOW, &second, Some(0), numbers(2..3)).unwrap();
    state.finalize_write_stream(NOW, &first).unwrap();

    let unknown = StreamName { table: table(), stream: "nope".to_owned() };
    let all = [first.clone(), second.clone(), buffered, unknown];
    let CommitOutcome::Refused(faults) =
        state.batch_commit_write_streams(NOW, &table(), &all).unwrap()
    else {
        panic!("committed streams that are not ready");
    };
    let codes: Vec<_> = faults.iter().map(|fault| fault.code).collect();
    assert!(codes.contains(&StorageErrorCode::InvalidStreamState), "{faults:?}");
    assert!(codes.contains(&StorageErrorCode::InvalidStreamType), "{faults:?}");
    assert!(codes.contains(&StorageErrorCode::StreamNotFound), "{faults:?}");
    assert_eq!(visible(&state), Vec::<i64>::new());

    state.finalize_write_stream(NOW, &second).unwrap();
    let both = [second, first];
    let outcome = state.batch_commit_write_streams(NOW, &table(), &both).unwrap();
    assert_eq!(outcome, CommitOutcome::Committed(NOW));
    assert_eq!(visible(&state), vec![2, 0, 1]);
    let CommitOutcome::Refused(faults) =
        state.batch_commit_write_streams(NOW, &table(), &both).unwrap()
    else {
        panic!("committed twice");
    };
    assert!(faults.iter().all(|fault| fault.code == StorageErrorCode::StreamAlreadyCommitted));
}

#[test]
fn streams_end_with_their_table_and_old_finished_ones_are_forgotten() {
    let mut state = state();
    let finished = create(&mut state, StreamType::Buffered);
    state.finalize_write_stream(NOW, &finished).unwrap();
    let open = create(&mut state, StreamType::Buffered);
    let later = NOW + FINISHED_KEPT + Duration::from_secs(1);
    let newest = state.create_write_stream(later, &table(), StreamType::Committed).unwrap().name;
    let error = state.write_stream(&finished).unwrap_err();
    assert_eq!(
        (error.code, detail(&error)),
        (Code::NotFound, Some(StorageErrorCode::StreamNotFound))
    );
    state.write_stream(&open).unwrap();
    assert!(newest != finished && newest != open);

    state.delete_table(&table()).unwrap();
    let error = state.append_rows(NOW, &open, None, numbers(0..1)).unwrap_err();
    assert_eq!(
        (error.code, detail(&error)),
        (Code::NotFound, Some(StorageErrorCode::TableNotFound))
    );
}

#[test]
fn held_and_visible_rows_follow_the_tables_schema() {
    let mut state = state();
    let stream = create(&mut state, StreamType::Buffered);
    state.append_rows(NOW, &stream, None, numbers(0..2)).unwrap();
    let old_rows = numbers(2..3);
    let mut wider = schema();
    wider.fields.insert(0, Field::nullable("text", FieldType::String));
    state.update_table(NOW, &table(), None, Some(wider), Map::new()).unwrap();
    // Rows checked against the old schema still fit.
    state.append_rows(NOW, &stream, Some(2), old_rows).unwrap();
    state.flush_rows(NOW, &stream, 2).unwrap();
    let expected: Vec<_> = (0..3).map(|n| vec![Value::Null, Value::Int64(n)]).collect();
    assert_eq!(state.rows(&table(), 0, u64::MAX), expected);
}

#[test]
fn faults_refuse_appends_or_lose_their_answers() {
    let mut state = state();
    let stream = create(&mut state, StreamType::Committed);
    let end = NOW + Duration::from_secs(5);
    state.faults().refuse_appends(Code::ResourceExhausted, Refusal::Until(end));
    let error = state.append_rows(NOW, &stream, Some(0), numbers(0..1)).unwrap_err();
    assert_eq!((error.code, error.ends_connection), (Code::ResourceExhausted, true));
    state.append_rows(end, &stream, Some(0), numbers(0..1)).unwrap();

    state.faults().refuse_appends(Code::Unavailable, Refusal::Requests(1));
    assert!(state.append_rows(NOW, &stream, Some(1), numbers(1..2)).is_err());
    state.faults().refuse(Calls::Writes, Code::Unavailable, Refusal::Requests(1));
    assert!(state.append_rows(NOW, &stream, Some(1), numbers(1..2)).is_err());
    assert_eq!(Calls::ALL.map(|calls| state.faults().refused(calls)), [2, 1, 0]);
    state.faults().lose_append_answers(1);
    assert!(state.append_rows(NOW, &stream, Some(1), numbers(1..2)).unwrap().answer_lost);
    let retried = state.append_rows(NOW, &stream, Some(1), numbers(1..2)).unwrap_err();
    assert_eq!(retried.code, Code::AlreadyExists);
    assert_eq!(visible(&state), vec![0, 1]);
}

/// What a client may do to the streams of a table.
#[derive(Clone, Debug)]
enum Step {
    Create(StreamType),
    Append { stream: usize, offset: Option<i64>, rows: i64 },
    Flush { stream: usize, offset: i64 },
    Finalize(usize),
    Commit(Vec<usize>),
    Widen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        Just(StreamType::Committed),
        Just(StreamType::Buffered),
        Just(StreamType::Pending)
    ];
    let step = prop_oneof![
        2 => kind.prop_map(Step::Create),
        6 => (0..6_usize, proptest::option::of(0..12_i64), 1..5_i64)
            .prop_map(|(stream, offset, rows)| Step::Append { stream, offset, rows }),
        3 => (0..6_usize, 0..12_i64).prop_map(|(stream, offset)| Step::Flush { stream, offset }),
        1 => (0..6_usize).prop_map(Step::Finalize),
        1 => proptest::collection::vec(0..6_usize, 1..3).prop_map(Step::Commit),
        1 => Just(Step::Widen),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Applies a step; refusals are part of the game.
fn take(state: &mut State, step: &Step, next: &mut i64) {
    let names: Vec<_> = state.write_streams().map(|stream| stream.name.clone()).collect();
    let name =
        |at: &usize| names.get(*at).cloned().unwrap_or_else(|| StreamName::default_of(table()));
    match step {
        Step::Create(kind) => drop(state.create_write_stream(NOW, &table(), *kind)),
        Step::Append { stream, offset, rows } => {
            let _ = state.append_rows(NOW, &name(stream), *offset, numbers(*next..*next + rows));
            *next += rows;
        }
        Step::Flush { stream, offset } => drop(state.flush_rows(NOW, &name(stream), *offset)),
        Step::Finalize(stream) => drop(state.finalize_write_stream(NOW, &name(stream))),
        Step::Commit(streams) => {
            let names: Vec<_> = streams.iter().map(name).collect();
            drop(state.batch_commit_write_streams(NOW, &table(), &names));
        }
        Step::Widen => {
            let mut schema = state.table(&table()).unwrap().schema.clone();
            schema
                .fields
                .push(Field::nullable(format!("c{}", schema.fields.len()), FieldType::String));
            state.update_table(NOW, &table(), None, Some(schema), Map::new()).unwrap();
        }
    }
}

/// Everything a client can see.
fn observe(state: &State) -> (Vec<Vec<Value>>, Vec<WriteStream>, Vec<u64>) {
    let held = state.streams.values().map(|entry| entry.held.len()).collect();
    (state.rows(&table(), 0, u64::MAX), state.write_streams().cloned().collect(), held)
}

/// Sends a record through the journal's encoding.
fn encoded(record: &Record) -> Record {
    rmp_serde::from_slice(&rmp_serde::to_vec(record).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replayed_records_and_snapshots_give_the_same_state(steps in steps()) {
        let mut state = state();
        let mut next = 0;
        steps.iter().for_each(|step| take(&mut state, step, &mut next));

        let mut replayed = State::new();
        for record in state.take_changes() {
            replayed.replay(encoded(&record)).unwrap();
        }
        prop_assert_eq!(observe(&replayed), observe(&state));
        let mut restored = State::new();
        for record in state.snapshot() {
            restored.replay(encoded(&record)).unwrap();
        }
        prop_assert_eq!(observe(&restored), observe(&state));
        prop_assert_eq!(restored.next_stream, state.next_stream);
    }

    #[test]
    fn rows_are_never_lost_doubled_or_shown_early(steps in steps()) {
        let mut state = state();
        let mut next = 0;
        steps.iter().for_each(|step| take(&mut state, step, &mut next));

        for entry in state.streams.values() {
            let stream = &entry.stream;
            prop_assert_eq!(stream.appended - stream.visible, entry.held.len());
            if stream.stream_type == StreamType::Pending && stream.committed.is_none() {
                prop_assert_eq!(stream.visible, 0);
            }
        }
        let rows = state.rows(&table(), 0, u64::MAX);
        let at = state.table(&table()).unwrap().schema.index_of("n").unwrap();
        let mut shown: Vec<_> = rows.iter().filter_map(|row| row[at].as_i64()).collect();
        shown.sort_unstable();
        shown.dedup();
        prop_assert_eq!(shown.len(), rows.len());
    }
}
