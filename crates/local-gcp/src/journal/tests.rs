//! Journals on real files: replay, torn tails, damage, rewriting, failure.

use std::fs;
use std::path::Path;

use super::{DataDirectory, Error, Journal};

type Record = (u64, String);

fn open(path: &Path) -> (Journal, Vec<Record>) {
    let mut records = Vec::new();
    let journal = Journal::open(path, |record: Record| {
        records.push(record);
        Ok(())
    })
    .unwrap();
    (journal, records)
}

fn write(journal: &Journal, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let position = journal.append(&(number, format!("record {number}"))).unwrap();
        journal.commit(position).unwrap();
    }
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.0).collect()
}

#[test]
fn committed_records_come_back_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    write(&open(&path).0, 0..3);
    let (journal, records) = open(&path);
    assert_eq!(numbers(&records), [0, 1, 2]);
    write(&journal, 3..5);
    assert_eq!(numbers(&open(&path).1), [0, 1, 2, 3, 4]);
}

#[test]
fn a_commit_writes_everything_appended_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    let (journal, _) = open(&path);
    let first = journal.append(&(1_u64, "first")).unwrap();
    let second = journal.append(&(2_u64, "second")).unwrap();
    journal.commit(first).unwrap();
    let size = journal.file_bytes();
    journal.commit(second).unwrap();
    assert_eq!(journal.file_bytes(), size, "one write for both");
    assert_eq!(numbers(&open(&path).1), [1, 2]);
}

#[test]
fn a_file_cut_at_any_byte_yields_its_whole_records_and_takes_new_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    write(&open(&path).0, 0..3);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (journal, records) = open(&path);
        assert!(records.len() < 3, "cut at {length}");
        assert_eq!(numbers(&records), (0..records.len() as u64).collect::<Vec<_>>());
        write(&journal, 9..10);
        let mut expected = numbers(&records);
        expected.push(9);
        assert_eq!(numbers(&open(&path).1), expected, "cut at {length}");
    }
}

#[test]
fn a_damaged_last_record_or_a_tail_of_zeros_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    write(&open(&path).0, 0..3);
    let whole = fs::read(&path).unwrap();

    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert_eq!(numbers(&open(&path).1), [0, 1]);

    let mut zeros = whole;
    zeros.resize(zeros.len() + 10_000, 0);
    fs::write(&path, &zeros).unwrap();
    assert_eq!(numbers(&open(&path).1), [0, 1, 2]);
}

#[test]
fn damage_before_sound_records_refuses_to_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    write(&open(&path).0, 0..3);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() / 2 {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        match Journal::open(&path, |_: Record| Ok(())) {
            Err(Error::Corrupt { .. }) => refused += 1,
            // A flipped bit in a length can only make the record seem to run past the end.
            Ok(_) => {}
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > whole.len() / 3, "only {refused} of {} refused", whole.len() / 2);
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    fs::write(&path, "something else entirely").unwrap();
    let error = Journal::open(&path, |_: Record| Ok(())).unwrap_err();
    assert!(error.to_string().contains("not a journal"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else entirely");
}

#[test]
fn a_record_that_does_not_apply_stops_the_opening_with_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    write(&open(&path).0, 0..1);
    let error = Journal::open(&path, |_: Record| Err("no such topic".into())).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "no such topic");
}

#[test]
fn rewriting_replaces_the_content_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.journal");
    let (journal, _) = open(&path);
    write(&journal, 0..100);
    let before = journal.file_bytes();
    // Appended but not committed: the rewritten records stand for it.
    let position = journal.append(&(100_u64, "covered")).unwrap();
    journal.rewrite([(99_u64, "kept"), (100, "covered")]).unwrap();
    journal.commit(position).unwrap();
    assert!(journal.file_bytes() < before);
    write(&journal, 101..102);
    journal.sync().unwrap();
    assert_eq!(numbers(&open(&path).1), [99, 100, 101]);
    assert_eq!(fs::metadata(&path).unwrap().len(), journal.file_bytes());
}

#[test]
fn one_directory_serves_one_server_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = DataDirectory::open(directory.path().join("data")).unwrap();
    let error = DataDirectory::open(first.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    let journal = first.journal("pubsub", |_: Record| Ok(())).unwrap();
    write(&journal, 0..1);
    first.sync().unwrap();
    let path = first.path().to_owned();
    drop((journal, first));
    let second = DataDirectory::open(path).unwrap();
    let mut seen = 0;
    let counted = second.journal("pubsub", |_: Record| {
        seen += 1;
        Ok(())
    });
    counted.unwrap();
    assert_eq!(seen, 1);
}
