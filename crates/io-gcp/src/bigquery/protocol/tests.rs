//! The machines step by step: each test plays the server by hand.

use std::time::Duration;

use millstream::Timestamp;

use super::simulation::Rows;
use super::{
    Answer, AppendId, Committable, Failure, FailureKind, ProtocolError, ProtocolOptions, Request,
    RowFailure, StreamCommit, StreamKind, WriteProtocol,
};

/// A machine and the time it believes in.
struct Play {
    machine: WriteProtocol<Rows>,
    now: Timestamp,
}

type Sent = Request<Vec<u32>>;

fn failure<T>(kind: FailureKind) -> Result<T, Failure> {
    Err(Failure::new(kind, "says the server"))
}

fn append(connection: u64, append: AppendId, offset: u64, rows: &[u32]) -> Sent {
    Request::Append { connection, append, offset: Some(offset), body: rows.to_vec() }
}

fn open(connection: u64) -> Sent {
    Request::Open { connection, kind: StreamKind::Buffered }
}

fn connect(connection: u64, stream: &str) -> Sent {
    Request::Connect { connection, stream: stream.into() }
}

fn flush(stream: &str, rows: u64) -> Sent {
    Request::Flush { stream: stream.into(), rows }
}

fn finalize(stream: &str) -> Sent {
    Request::Finalize { stream: stream.into() }
}

fn committable(streams: &[(&str, u64, u64)]) -> Committable {
    let commit =
        |&(stream, rows, flushed): &(&str, u64, u64)| StreamCommit::new(stream, rows, flushed);
    Committable { streams: streams.iter().map(commit).collect() }
}

impl Play {
    fn exactly_once() -> Self {
        Self::exactly_once_with(ProtocolOptions::default())
    }

    fn exactly_once_with(options: ProtocolOptions) -> Self {
        let machine = WriteProtocol::exactly_once(options);
        Self { machine, now: Timestamp::from_secs(1_000) }
    }

    fn at_least_once() -> Self {
        let machine = WriteProtocol::at_least_once(ProtocolOptions::default());
        Self { machine, now: Timestamp::from_secs(1_000) }
    }

    /// A machine whose stream `s` is open on connection 1, and which has sent these blocks.
    fn with_blocks(blocks: &[&[u32]]) -> Self {
        Self::exactly_once().and_blocks(blocks)
    }

    fn and_blocks(mut self, blocks: &[&[u32]]) -> Self {
        for rows in blocks {
            self.machine.push(Rows(rows.to_vec()));
        }
        assert_eq!(self.requests(), [open(1)]);
        self.opened(1, "s");
        assert_eq!(self.requests().len(), blocks.len());
        self
    }

    /// Goes over to the next connection to `s` after a failure, and there sends what failed.
    fn reconnects(&mut self, connection: u64) -> Vec<Sent> {
        self.wait();
        assert_eq!(self.requests(), [connect(connection, "s")]);
        self.connected(connection);
        self.requests()
    }

    fn requests(&mut self) -> Vec<Sent> {
        self.try_requests().unwrap()
    }

    fn try_requests(&mut self) -> Result<Vec<Sent>, ProtocolError> {
        let mut requests = Vec::new();
        self.machine.poll(self.now, &mut requests)?;
        Ok(requests)
    }

    /// Lets the time pass until the machine wants to be polled.
    fn wait(&mut self) {
        let at = self.machine.wake_at().expect("something is to be waited for");
        assert!(at > self.now, "a wake in the past would keep the worker busy");
        self.now = at;
    }

    fn answer(&mut self, answer: Answer) {
        self.try_answer(answer).unwrap();
    }

    fn try_answer(&mut self, answer: Answer) -> Result<(), ProtocolError> {
        self.machine.on_answer(answer, self.now)
    }

    fn opened(&mut self, connection: u64, stream: &str) {
        self.answer(Answer::Opened { connection, result: Ok(stream.into()) });
    }

    fn connected(&mut self, connection: u64) {
        self.answer(Answer::Connected { connection, result: Ok(()) });
    }

    fn appended(&mut self, connection: u64, append: AppendId, offset: u64) {
        self.answer(Answer::Appended { connection, append, result: Ok(Some(offset)) });
    }

    fn append_fails(
        &mut self,
        connection: u64,
        append: AppendId,
        kind: FailureKind,
    ) -> Result<(), ProtocolError> {
        self.try_answer(Answer::Appended { connection, append, result: failure(kind) })
    }

    fn flushed(&mut self, stream: &str, rows: u64) {
        self.answer(Answer::Flushed { stream: stream.into(), rows, result: Ok(()) });
    }

    fn finalized(&mut self, stream: &str) {
        self.answer(Answer::Finalized { stream: stream.into(), result: Ok(()) });
    }

    /// Takes refused rows out, the way a writer does; which they were.
    fn split(&mut self) -> Vec<u32> {
        let mut refused = Vec::new();
        for split in self.machine.take_splits() {
            let mut rows = split.block.0;
            for failure in split.failures.iter().rev() {
                refused.push(rows.remove(usize::try_from(failure.index).unwrap()));
            }
            let rest = (!rows.is_empty()).then_some(Rows(rows));
            self.machine.put_back(split.append, rest);
        }
        refused
    }

    fn prepared(&mut self) -> Option<Committable> {
        self.machine.prepare(self.now)
    }
}

fn rows_refused(indexes: &[u64]) -> FailureKind {
    let row = |&index: &u64| RowFailure { index, reason: "no".into() };
    FailureKind::Rows(indexes.iter().map(row).collect())
}

#[test]
fn an_epoch_is_appended_prepared_and_flushed_to_its_last_row() {
    let mut play = Play::exactly_once();
    assert_eq!(play.requests(), []);
    assert_eq!(play.prepared(), Some(committable(&[])));
    play.machine.push(Rows(vec![1, 2]));
    play.machine.push(Rows(vec![3]));
    assert_eq!(play.requests(), [open(1)]);
    assert_eq!(play.requests(), []);
    play.opened(1, "s");
    assert_eq!(play.requests(), [append(1, 0, 0, &[1, 2]), append(1, 1, 2, &[3])]);
    play.appended(1, 0, 0);
    assert_eq!(play.prepared(), None);
    play.appended(1, 1, 2);
    let first = play.prepared().unwrap();
    assert_eq!(first, committable(&[("s", 3, 0)]));

    play.machine.push(Rows(vec![4]));
    play.machine.commit(&first, false).unwrap();
    assert_eq!(play.requests(), [append(1, 2, 3, &[4]), flush("s", 3)]);
    play.appended(1, 2, 3);
    assert!(!play.machine.is_committed());
    play.flushed("s", 3);
    assert_eq!(play.requests(), []);
    assert!(play.machine.is_committed());
    assert_eq!(play.prepared(), Some(committable(&[("s", 4, 3)])));
}

#[test]
fn already_exists_is_success_for_the_same_rows_sent_again_and_an_error_for_new_ones() {
    let mut play = Play::with_blocks(&[&[1, 2], &[3]]);
    for id in 0..2 {
        play.append_fails(1, id, FailureKind::ConnectionLost).unwrap();
    }
    assert_eq!(play.requests(), [Request::Close { connection: 1 }]);
    play.wait();
    assert_eq!(play.requests(), [connect(2, "s")]);
    play.connected(2);
    assert_eq!(play.requests(), [append(2, 0, 0, &[1, 2]), append(2, 1, 2, &[3])]);
    play.append_fails(2, 0, FailureKind::AlreadyExists).unwrap();
    play.appended(2, 1, 2);
    assert_eq!(play.prepared(), Some(committable(&[("s", 3, 0)])));
    assert_eq!(play.machine.retries(), 2);

    play.machine.push(Rows(vec![4]));
    assert_eq!(play.requests(), [append(2, 2, 3, &[4])]);
    let error = play.append_fails(2, 2, FailureKind::AlreadyExists).unwrap_err();
    assert_eq!(error.to_string(), "somebody else writes to s: says the server (already exists)");
}

#[test]
fn out_of_range_behind_a_failed_block_is_repaired_and_at_the_confirmed_end_it_is_an_error() {
    let mut play = Play::with_blocks(&[&[1, 2], &[3]]);
    play.append_fails(1, 0, FailureKind::Throttled).unwrap();
    assert_eq!(play.requests(), []);
    play.append_fails(1, 1, FailureKind::OutOfRange).unwrap();
    assert_eq!(play.requests(), [Request::Close { connection: 1 }]);
    assert_eq!(play.reconnects(2), [append(2, 0, 0, &[1, 2]), append(2, 1, 2, &[3])]);
    play.appended(2, 0, 0);
    play.append_fails(2, 1, FailureKind::OutOfRange).unwrap();
    let error = play.try_requests().unwrap_err();
    assert_eq!(error.to_string(), "s lost rows: 2 were confirmed: says the server (out of range)");
}

#[test]
fn rows_taken_somewhere_else_than_they_were_sent_are_an_error() {
    let mut play = Play::with_blocks(&[&[1]]);
    let answer = Answer::Appended { connection: 1, append: 0, result: Ok(Some(7)) };
    let error = play.try_answer(answer).unwrap_err();
    assert_eq!(error.to_string(), "rows were sent to row 0 of s and went to row 7");
}

#[test]
fn refused_rows_are_taken_out_and_what_stands_behind_moves_forward() {
    let mut play = Play::with_blocks(&[&[1], &[2, 3, 4], &[5], &[6]]);
    play.appended(1, 0, 0);
    play.append_fails(1, 1, rows_refused(&[0, 2])).unwrap();
    play.append_fails(1, 2, FailureKind::OutOfRange).unwrap();
    assert_eq!(play.requests(), []);
    assert!(play.split().is_empty(), "nothing is taken apart while a block behind is in flight");
    play.append_fails(1, 3, rows_refused(&[0])).unwrap();
    assert_eq!(play.requests(), []);
    assert_eq!(play.split(), [4, 2, 6]);
    assert_eq!(play.requests(), [append(1, 1, 1, &[3]), append(1, 2, 2, &[5])]);
    play.appended(1, 1, 1);
    play.appended(1, 2, 2);
    assert_eq!(play.prepared(), Some(committable(&[("s", 3, 0)])));
}

#[test]
fn rows_go_to_a_new_stream_where_an_abandoned_request_could_still_land() {
    let mut play = Play::with_blocks(&[&[1], &[2, 3], &[4]]);
    play.appended(1, 0, 0);
    play.append_fails(1, 1, FailureKind::ConnectionLost).unwrap();
    play.append_fails(1, 2, FailureKind::ConnectionLost).unwrap();
    play.requests();
    play.wait();
    play.requests();
    play.connected(2);
    assert_eq!(play.requests().len(), 2);
    // The abandoned block [4] at row 3 would be taken once [2] and a further row are written.
    play.append_fails(2, 1, rows_refused(&[1])).unwrap();
    play.append_fails(2, 2, FailureKind::OutOfRange).unwrap();
    assert_eq!(play.requests(), []);
    assert_eq!(play.split(), [3]);
    assert_eq!(play.requests(), [Request::Close { connection: 2 }, open(3)]);
    play.opened(3, "t");
    assert_eq!(play.requests(), [append(3, 1, 0, &[2]), append(3, 2, 1, &[4])]);
    play.appended(3, 1, 0);
    play.appended(3, 2, 1);
    let both = play.prepared().unwrap();
    assert_eq!(both, committable(&[("s", 1, 0), ("t", 2, 0)]));

    play.machine.commit(&both, false).unwrap();
    assert_eq!(play.requests(), [flush("s", 1), flush("t", 2)]);
    play.flushed("s", 1);
    play.flushed("t", 2);
    assert_eq!(play.requests(), [finalize("s")]);
    assert!(!play.machine.is_committed());
    play.finalized("s");
    assert!(play.machine.is_committed());
    assert_eq!(play.prepared(), Some(committable(&[("t", 2, 2)])));
}

#[test]
fn throttling_pauses_longer_each_time_and_a_success_ends_it() {
    let mut play = Play::with_blocks(&[&[1]]);
    let mut last = Duration::ZERO;
    for connection in 1..6 {
        play.append_fails(connection, 0, FailureKind::Throttled).unwrap();
        let before = play.now;
        assert_eq!(play.requests(), [Request::Close { connection }]);
        assert_eq!(play.reconnects(connection + 1), [append(connection + 1, 0, 0, &[1])]);
        let pause = play.now.since(before);
        assert!(pause > last / 2, "{pause:?} after {last:?}");
        last = pause;
    }
    assert!(last >= Duration::from_millis(1_600), "{last:?}");
    play.appended(6, 0, 0);
    assert_eq!(play.machine.wake_at(), None);
    assert_eq!(play.machine.retries(), 5);
}

/// Throttles for so long, or until the machine gives up.
fn throttled(options: ProtocolOptions, lasting: Duration) -> Result<(), (Duration, ProtocolError)> {
    let mut play = Play::exactly_once_with(options).and_blocks(&[&[1]]);
    let started = play.now;
    for connection in 1.. {
        play.append_fails(connection, 0, FailureKind::Throttled).unwrap();
        let lasted = play.now.since(started);
        match play.try_requests() {
            Ok(requests) => assert_eq!(requests, [Request::Close { connection }]),
            Err(error) => return Err((lasted, error)),
        }
        play.reconnects(connection + 1);
        if lasted >= lasting {
            break;
        }
    }
    Ok(())
}

#[test]
fn the_job_fails_when_nothing_succeeds_for_too_long_only_where_that_is_asked_for() {
    let day = Duration::from_secs(86_400);
    throttled(ProtocolOptions::default(), day).unwrap();
    let patience = Duration::from_secs(600);
    let patient = ProtocolOptions { give_up_after: patience, ..ProtocolOptions::default() };
    let (lasted, error) = throttled(patient, day).unwrap_err();
    assert!(lasted >= patience && lasted < patience * 2, "{lasted:?}");
    assert!(error.to_string().starts_with("gave up after 600 s: cannot append"), "{error}");
}

#[test]
fn a_silent_connection_is_given_up_and_its_late_answers_are_not_heard() {
    let mut play = Play::with_blocks(&[&[1], &[2]]);
    play.appended(1, 0, 0);
    play.wait();
    assert_eq!(play.now, Timestamp::from_secs(1_060));
    assert_eq!(play.requests(), [Request::Close { connection: 1 }]);
    play.appended(1, 1, 1);
    assert_eq!(play.prepared(), None);
    play.wait();
    assert_eq!(play.requests(), [connect(2, "s")]);
    play.wait();
    assert_eq!(play.requests(), [Request::Close { connection: 2 }]);
    play.wait();
    assert_eq!(play.requests(), [connect(3, "s")]);
    play.connected(2);
    assert_eq!(play.requests(), [Request::Close { connection: 2 }]);
    play.connected(3);
    assert_eq!(play.requests(), [append(3, 1, 1, &[2])]);
    play.append_fails(3, 1, FailureKind::AlreadyExists).unwrap();
    assert_eq!(play.prepared(), Some(committable(&[("s", 2, 0)])));
}

#[test]
fn a_restart_flushes_the_streams_of_the_checkpoint_and_ends_them_with_the_next() {
    let mut play = Play::exactly_once();
    play.machine.commit(&committable(&[("old", 4, 3), ("older", 2, 2)]), true).unwrap();
    play.machine.commit(&committable(&[("old", 5, 3)]), true).unwrap();
    play.machine.push(Rows(vec![6]));
    assert_eq!(play.requests(), [open(1), flush("old", 5)]);
    play.opened(1, "new");
    assert_eq!(play.requests(), [append(1, 0, 0, &[6])], "old streams are not appended to");
    play.appended(1, 0, 0);
    assert!(!play.machine.is_committed());
    assert_eq!(play.prepared(), None, "the next checkpoint would not name the old stream");
    play.flushed("old", 5);
    assert_eq!(play.requests(), []);
    assert!(play.machine.is_committed());
    let next = play.prepared().unwrap();
    assert_eq!(next, committable(&[("new", 1, 0)]));

    play.machine.commit(&next, false).unwrap();
    assert_eq!(play.requests(), [flush("new", 1), finalize("old"), finalize("older")]);
    play.flushed("new", 1);
    play.finalized("old");
    assert!(!play.machine.is_committed());
    let result = failure(FailureKind::NotFound);
    play.answer(Answer::Finalized { stream: "older".into(), result });
    play.requests();
    assert!(play.machine.is_committed());
}

#[test]
fn a_second_restart_finds_the_streams_flushed_or_ended_and_that_is_fine() {
    for kind in [FailureKind::AlreadyExists, FailureKind::StreamFinalized] {
        let mut play = Play::exactly_once();
        play.machine.commit(&committable(&[("old", 5, 3)]), true).unwrap();
        assert_eq!(play.requests(), [flush("old", 5)]);
        let result = failure(kind.clone());
        play.answer(Answer::Flushed { stream: "old".into(), rows: 5, result });
        assert_eq!(play.requests(), []);
        assert!(play.machine.is_committed(), "{kind:?}");
        let next = play.prepared().unwrap();
        play.machine.commit(&next, false).unwrap();
        assert_eq!(play.requests(), [finalize("old")]);
        let result = failure(FailureKind::StreamFinalized);
        play.answer(Answer::Finalized { stream: "old".into(), result });
        assert!(play.machine.is_committed(), "{kind:?}");
    }
}

#[test]
fn a_missing_stream_of_a_checkpoint_is_an_error_unless_all_its_rows_were_visible() {
    let missing = |play: &mut Play| {
        let result = failure(FailureKind::NotFound);
        play.try_answer(Answer::Flushed { stream: "old".into(), rows: 5, result })
    };
    let mut play = Play::exactly_once();
    play.machine.commit(&committable(&[("old", 5, 3)]), true).unwrap();
    play.requests();
    assert_eq!(
        missing(&mut play).unwrap_err().to_string(),
        "cannot flush old to row 5 (3 rows are known to be visible): says the server (not found)"
    );

    let options = ProtocolOptions { skip_missing_streams: true, ..ProtocolOptions::default() };
    let mut play = Play { machine: WriteProtocol::exactly_once(options), ..Play::exactly_once() };
    play.machine.commit(&committable(&[("old", 5, 3)]), true).unwrap();
    play.requests();
    missing(&mut play).unwrap();
    play.requests();
    assert!(play.machine.is_committed());

    let mut play = Play::exactly_once();
    play.machine.commit(&committable(&[("old", 5, 5)]), true).unwrap();
    assert_eq!(play.requests(), []);
    assert!(play.machine.is_committed());
}

#[test]
fn a_writer_whose_stream_a_newer_run_has_ended_stops() {
    let mut play = Play::with_blocks(&[&[1]]);
    let error = play.append_fails(1, 0, FailureKind::StreamFinalized).unwrap_err();
    assert!(error.to_string().contains("as a newer run of this job does"), "{error}");
}

#[test]
fn a_vanished_stream_is_replaced_only_when_none_of_its_rows_is_missed() {
    let mut play = Play::with_blocks(&[&[1]]);
    play.append_fails(1, 0, FailureKind::NotFound).unwrap();
    assert_eq!(play.requests(), [Request::Close { connection: 1 }, open(2)]);
    play.opened(2, "t");
    play.requests();
    play.appended(2, 0, 0);
    play.machine.push(Rows(vec![2]));
    play.requests();
    play.append_fails(2, 1, FailureKind::NotFound).unwrap();
    let error = play.try_requests().unwrap_err();
    assert_eq!(
        error.to_string(),
        "t is gone with 1 rows not yet visible: says the server (not found)"
    );
}

#[test]
fn lost_and_failed_commits_are_tried_again() {
    let mut play = Play::with_blocks(&[&[1]]);
    play.appended(1, 0, 0);
    let prepared = play.prepared().unwrap();
    play.machine.commit(&prepared, false).unwrap();
    assert_eq!(play.requests(), [flush("s", 1)]);
    play.wait();
    assert_eq!(play.requests(), [], "a pause follows the missing answer");
    play.wait();
    assert_eq!(play.requests(), [flush("s", 1)]);
    let result = failure(FailureKind::Unavailable);
    play.answer(Answer::Flushed { stream: "s".into(), rows: 1, result });
    play.wait();
    assert_eq!(play.requests(), [flush("s", 1)]);
    play.flushed("s", 1);
    play.requests();
    assert!(play.machine.is_committed());
    assert_eq!(play.machine.retries(), 2);
    play.machine.commit(&prepared, false).unwrap();
    assert_eq!(play.requests(), [], "a commit is idempotent");
    assert!(play.machine.is_committed());
}

#[test]
fn an_idle_stream_is_ended_with_a_checkpoint_and_no_longer_named_in_the_next() {
    let mut play = Play::with_blocks(&[&[1]]);
    play.appended(1, 0, 0);
    let first = play.prepared().unwrap();
    play.machine.commit(&first, false).unwrap();
    play.requests();
    play.flushed("s", 1);
    play.now = play.now + Duration::from_secs(600);
    let idle = play.prepared().unwrap();
    assert_eq!(idle, committable(&[("s", 1, 1)]));
    play.machine.commit(&idle, false).unwrap();
    assert_eq!(play.requests(), [Request::Close { connection: 1 }, finalize("s")]);
    play.finalized("s");
    assert_eq!(play.prepared(), Some(committable(&[])));
    play.machine.push(Rows(vec![2]));
    assert_eq!(play.requests(), [open(2)]);
}

#[test]
fn a_table_may_stay_unknown_for_a_while_after_it_was_created() {
    let mut play = Play::exactly_once();
    play.machine.push(Rows(vec![1]));
    let started = play.now;
    let mut connection = 1;
    let error = loop {
        assert_eq!(play.requests(), [open(connection)]);
        let result = failure(FailureKind::NotFound);
        if let Err(error) = play.try_answer(Answer::Opened { connection, result }) {
            break error;
        }
        play.wait();
        connection += 1;
    };
    assert!(play.now.since(started) >= Duration::from_secs(60));
    assert_eq!(error.to_string(), "cannot open a stream: says the server (not found)");
}

#[test]
fn room_is_bounded_by_blocks_and_by_bytes() {
    let options = ProtocolOptions { blocks_max: 2, bytes_max: 100, ..ProtocolOptions::default() };
    let mut machine = WriteProtocol::exactly_once(options);
    machine.push(Rows(vec![0; 10]));
    assert!(machine.has_room());
    machine.push(Rows(vec![0]));
    assert!(!machine.has_room());
    assert_eq!(machine.outstanding_bytes(), 44);
    let options = ProtocolOptions { blocks_max: 9, bytes_max: 100, ..ProtocolOptions::default() };
    let mut machine = WriteProtocol::at_least_once(options);
    machine.push(Rows(vec![0; 25]));
    assert!(!machine.has_room());
}

#[test]
fn blocks_on_the_default_stream_fail_and_return_independently() {
    let mut play = Play::at_least_once();
    for row in 0..4 {
        play.machine.push(Rows(vec![row, row + 10]));
    }
    assert_eq!(play.requests(), [Request::Open { connection: 1, kind: StreamKind::Default }]);
    play.opened(1, "default");
    assert_eq!(play.requests().len(), 4);
    play.append_fails(1, 0, FailureKind::Unavailable).unwrap();
    play.append_fails(1, 1, FailureKind::Throttled).unwrap();
    play.append_fails(1, 2, rows_refused(&[0])).unwrap();
    play.answer(Answer::Appended { connection: 1, append: 3, result: Ok(None) });
    assert_eq!(play.prepared(), None);
    assert_eq!(play.split(), [2]);
    let requests = play.requests();
    assert_eq!(requests.len(), 3, "the success ended the pause: {requests:?}");
    for append in 0..3 {
        play.answer(Answer::Appended { connection: 1, append, result: Ok(None) });
    }
    assert_eq!(play.prepared(), Some(committable(&[])));
    play.machine.commit(&committable(&[]), true).unwrap();
    assert!(play.machine.is_committed());
    assert!(play.machine.commit(&committable(&[("s", 1, 0)]), true).is_err());
}

#[test]
fn a_silent_default_stream_is_opened_again_and_wrong_requests_fail_the_job() {
    let mut play = Play::at_least_once();
    play.machine.push(Rows(vec![1]));
    play.requests();
    play.wait();
    assert_eq!(play.requests(), [Request::Close { connection: 1 }]);
    play.wait();
    assert_eq!(play.requests(), [Request::Open { connection: 2, kind: StreamKind::Default }]);
    play.opened(2, "default");
    play.requests();
    play.wait();
    assert_eq!(play.requests(), [Request::Close { connection: 2 }]);
    play.wait();
    play.requests();
    play.opened(3, "default");
    assert_eq!(play.requests().len(), 1);
    let error = play.append_fails(3, 0, FailureKind::Invalid).unwrap_err();
    assert_eq!(error.to_string(), "cannot append to the default stream: says the server (invalid)");
}
