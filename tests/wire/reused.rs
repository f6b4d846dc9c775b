//! [`ReusedStream`]: a planted bug. A writer that starts again goes on in the stream of the life before, behind the rows of its
//! checkpoint, and takes what is there already for its own.
//!
//! It stands between a writer and its client and changes what they say to each other, so that the writer itself needs no bug.

use bytes::Bytes;
use millstream_io_gcp::bigquery::protocol::{Answer, FailureKind, Request};

/// Ends the name under which the writer knows the old stream as its new one.
const MARK: char = '#';

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Spoiled {
    Request(Request<Bytes>),
    /// It is not sent: this is the answer.
    Answer(Answer),
}

/// The stream of the life before, once its checkpoint has named it.
#[derive(Debug, Default)]
pub(crate) struct ReusedStream {
    /// Its name, and how many of its rows are in the checkpoint.
    old: Option<(String, u64)>,
}

/// The name by which BigQuery knows a stream.
pub(crate) fn real(stream: &str) -> &str {
    stream.trim_end_matches(MARK)
}

impl ReusedStream {
    fn base(&self) -> u64 {
        self.old.as_ref().map_or(0, |(_, rows)| *rows)
    }

    /// Changes a request of the writer; `is_first` before it has a connection.
    pub(crate) fn request(&mut self, request: Request<Bytes>, is_first: bool) -> Spoiled {
        let base = self.base();
        let request = match request {
            Request::Open { connection, kind } => match &self.old {
                Some((old, _)) => {
                    let result = Ok(format!("{old}{MARK}"));
                    return Spoiled::Answer(Answer::Opened { connection, result });
                }
                None => Request::Open { connection, kind },
            },
            Request::Finalize { stream } => {
                return Spoiled::Answer(Answer::Finalized { stream, result: Ok(()) });
            }
            Request::Append { connection, append, offset, body } => {
                let offset = offset.map(|offset| offset + base);
                Request::Append { connection, append, offset, body }
            }
            Request::Connect { connection, stream } => {
                Request::Connect { connection, stream: real(&stream).to_owned() }
            }
            Request::Flush { stream, rows } if stream.ends_with(MARK) => {
                Request::Flush { stream: real(&stream).to_owned(), rows: rows + base }
            }
            Request::Flush { stream, rows } => {
                if is_first && self.old.is_none() {
                    self.old = Some((stream.clone(), rows));
                }
                Request::Flush { stream, rows }
            }
            other => other,
        };
        Spoiled::Request(request)
    }

    /// Changes an answer to what the writer expects.
    pub(crate) fn answer(&self, answer: Answer) -> Answer {
        let Some((old, base)) = &self.old else { return answer };
        match answer {
            Answer::Appended { connection, append, result } => {
                let result = match result {
                    Err(failure) if failure.kind == FailureKind::AlreadyExists => Ok(None),
                    result => result.map(|offset| offset.map(|offset| offset - base)),
                };
                Answer::Appended { connection, append, result }
            }
            Answer::Flushed { stream, rows, result } if stream == *old && rows > *base => {
                Answer::Flushed { stream: format!("{stream}{MARK}"), rows: rows - base, result }
            }
            other => other,
        }
    }
}
