//! The read sessions of a server's life, and the rows of their streams.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;

use super::projection::Projection;
use crate::clock::Timestamp;

/// How long a session can be read; Google's own limit.
const SESSION_KEPT: Duration = Duration::from_secs(6 * 3_600);
/// Sessions kept; the oldest go first. Each holds on to the rows its table had.
const SESSIONS_MAX: usize = 256;
/// Streams of a session: Google's limit for those a client may ask for.
const STREAMS_MAX: usize = 1_000;
/// Rows that are worth a stream of their own.
const STREAM_ROWS_MIN: u64 = 10_000;
/// Streams made when the client leaves it to the server.
const STREAMS_DEFAULT: usize = 4;

/// A table's rows, as they were when the session started.
#[derive(Clone, Debug)]
pub(crate) struct ReadSession {
    pub(crate) projection: Projection,
    pub(crate) batches: Vec<RecordBatch>,
    /// Whether rows go out as Avro rather than Arrow.
    pub(crate) is_avro: bool,
}

/// The rows of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamRows {
    pub(crate) session: Arc<ReadSession>,
    /// Which of the session's rows.
    pub(crate) rows: Range<u64>,
}

#[derive(Debug)]
struct Kept {
    id: String,
    expires: Timestamp,
    session: Arc<ReadSession>,
    streams: Vec<Range<u64>>,
}

/// The sessions, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: VecDeque<Kept>,
    next: u64,
}

/// What a new session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) expires: Timestamp,
    /// The streams are numbered from 0.
    pub(crate) streams: usize,
}

impl ReadSession {
    /// Number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// Rows from one place on, at most so many, and no more than one batch holds; they share the session's memory.
    pub(crate) fn piece(&self, start: u64, rows_max: u64) -> Option<RecordBatch> {
        let mut skip = start;
        for batch in &self.batches {
            let rows = batch.num_rows() as u64;
            if skip < rows {
                let length = (rows - skip).min(rows_max);
                return Some(batch.slice(skip as usize, length as usize));
            }
            skip -= rows;
        }
        None
    }
}

impl Sessions {
    /// Starts a session with at most so many streams; 0 leaves it to the server. A session without rows has no streams.
    pub(crate) fn start(
        &mut self,
        now: Timestamp,
        session: ReadSession,
        streams_wanted: usize,
        streams_max: usize,
    ) -> Started {
        self.sessions.retain(|it| it.expires > now);
        if self.sessions.len() >= SESSIONS_MAX {
            self.sessions.pop_front();
        }
        self.next += 1;
        // The time tells sessions of this life from those of earlier ones.
        let id = format!("{:x}-{}", now.as_micros(), self.next);
        let rows = session.rows();
        let streams = deal(rows, stream_count(rows, streams_wanted, streams_max));
        let started =
            Started { id: id.clone(), expires: now + SESSION_KEPT, streams: streams.len() };
        let session = Arc::new(session);
        self.sessions.push_back(Kept { id, expires: started.expires, session, streams });
        started
    }

    /// The rows of a stream, unless there is none of this name (any more).
    pub(crate) fn stream(&self, now: Timestamp, id: &str, stream: usize) -> Option<StreamRows> {
        let kept = self.sessions.iter().find(|it| it.id == id && it.expires > now)?;
        let rows = kept.streams.get(stream)?.clone();
        Some(StreamRows { session: Arc::clone(&kept.session), rows })
    }

    /// Splits a stream in two at a fraction of its rows; their numbers, unless one of them would be empty.
    pub(crate) fn split(
        &mut self,
        id: &str,
        stream: usize,
        fraction: f64,
    ) -> Option<(usize, usize)> {
        let kept = self.sessions.iter_mut().find(|it| it.id == id)?;
        let rows = kept.streams.get(stream)?.clone();
        let cut = rows.start + ((rows.end - rows.start) as f64 * fraction) as u64;
        if cut <= rows.start || cut >= rows.end {
            return None;
        }
        let first = kept.streams.len();
        kept.streams.push(rows.start..cut);
        kept.streams.push(cut..rows.end);
        Some((first, first + 1))
    }
}

fn stream_count(rows: u64, wanted: usize, max: usize) -> usize {
    let max = if max == 0 { STREAMS_MAX } else { max.min(STREAMS_MAX) };
    let worth = usize::try_from(rows.div_ceil(STREAM_ROWS_MIN)).unwrap_or(STREAMS_MAX);
    let count = if wanted == 0 { worth.min(STREAMS_DEFAULT) } else { wanted };
    // More streams than rows would leave some of them empty.
    count.min(max).min(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// Deals rows out evenly.
fn deal(rows: u64, streams: usize) -> Vec<Range<u64>> {
    let count = streams as u64;
    (0..count).map(|at| rows * at / count..rows * (at + 1) / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::rows::build_batch;
    use crate::bigquery::schema::{Field, FieldType, TableSchema};
    use crate::bigquery::value::Value;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn session(rows: i64) -> ReadSession {
        let schema = TableSchema::new(vec![Field::required("n", FieldType::Int64)]);
        let projection = Projection::new(&schema, &[]).unwrap();
        let batch = |range: Range<i64>| {
            let rows: Vec<_> = range.map(|n| vec![Value::Int64(n)]).collect();
            projection.apply(&build_batch(&schema, &rows).unwrap()).unwrap()
        };
        let batches = vec![batch(0..rows / 3), batch(rows / 3..rows)];
        ReadSession { projection: projection.clone(), batches, is_avro: false }
    }

    #[test]
    fn streams_share_the_rows_out_and_split() {
        let mut sessions = Sessions::default();
        let started = sessions.start(NOW, session(100), 3, 0);
        assert_eq!(started.streams, 3);
        let rows = |sessions: &Sessions, at| sessions.stream(NOW, &started.id, at).unwrap().rows;
        assert_eq!([0, 1, 2].map(|at| rows(&sessions, at)), [0..33, 33..66, 66..100]);
        let (first, second) = sessions.split(&started.id, 1, 0.5).unwrap();
        assert_eq!((rows(&sessions, first), rows(&sessions, second)), (33..49, 49..66));
        assert_eq!(rows(&sessions, 1), 33..66);
        assert_eq!(sessions.split(&started.id, 1, 0.001), None);
        assert_eq!(sessions.split(&started.id, 9, 0.5), None);
    }

    #[test]
    fn pieces_cross_no_batch() {
        let session = session(9);
        let piece = |start, max| session.piece(start, max).map(|it| it.num_rows());
        assert_eq!((piece(0, 100), piece(1, 100), piece(3, 100)), (Some(3), Some(2), Some(6)));
        assert_eq!((piece(3, 2), piece(9, 1)), (Some(2), None));
    }

    #[test]
    fn the_number_of_streams_follows_rows_and_wishes() {
        for (rows, wanted, max, expected) in [
            (0, 0, 0, 0),
            (5, 0, 0, 1),
            (5, 10, 0, 5),
            (25_000, 0, 0, 3),
            (1_000_000, 0, 0, 4),
            (1_000_000, 0, 2, 2),
            (1_000_000, 5_000, 0, 1_000),
        ] {
            assert_eq!(stream_count(rows, wanted, max), expected, "{rows} {wanted} {max}");
        }
    }

    #[test]
    fn sessions_end_in_time_and_beyond_their_number() {
        let mut sessions = Sessions::default();
        let first = sessions.start(NOW, session(10), 0, 0);
        assert!(sessions.stream(NOW + SESSION_KEPT, &first.id, 0).is_none());
        assert!(sessions.stream(NOW, &first.id, 0).is_some());
        (0..SESSIONS_MAX).for_each(|_| drop(sessions.start(NOW, session(10), 0, 0)));
        assert!(sessions.stream(NOW, &first.id, 0).is_none());
    }
}
