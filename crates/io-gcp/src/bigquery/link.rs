//! [`WriterLink`]: the far side of a writer, for whoever carries its requests.
//!
//! In production that is the shell over Google's client; a simulation puts a network of its own there, and what stands above,
//! writer and protocol machine, does not know the difference.

use bytes::Bytes;
use millstream::io::Waker;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::error::Error;
use super::protocol::{Answer, Request};
use super::schema::TableSchema;
use super::setup::Table;

/// What a writer is told.
#[derive(Debug)]
pub(super) enum Reply {
    /// The table is there.
    Ready(Table),
    /// The table could not be looked up or created; it is tried again.
    Retrying,
    /// The table cannot be used.
    Failed(Error),
    /// A request was answered.
    Answer(Answer),
}

/// The far side of a writer: requests come out here, answers go in, and wake the worker.
///
/// Made by [`BigQuerySink::link`](super::BigQuerySink::link). The writer sends nothing before it knows its table.
#[derive(Debug)]
pub struct WriterLink {
    pub(super) requests: mpsc::Receiver<Request<Bytes>>,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) waker: Waker,
}

impl WriterLink {
    /// The table is there, with these columns; `is_new` when it was just created, so that parts of BigQuery may not know it yet.
    pub fn ready(&self, schema: TableSchema, is_new: bool) {
        // Nothing but the answer to a request comes after this, so the queue has room; or the writer is gone.
        let _ = self.replies.try_send(Reply::Ready(Table { schema, is_new }));
        self.waker.wake();
    }

    /// The next request, if there is one.
    #[must_use]
    pub fn next_request(&mut self) -> Option<Request<Bytes>> {
        self.requests.try_recv().ok()
    }

    /// Hands an answer in; gives it back when the writer has not taken those before, to be tried again.
    #[must_use]
    pub fn answer(&self, answer: Answer) -> Option<Answer> {
        let sent = self.replies.try_send(Reply::Answer(answer));
        self.waker.wake();
        match sent {
            Err(TrySendError::Full(Reply::Answer(answer))) => Some(answer),
            _ => None,
        }
    }

    /// Whether the writer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.replies.is_closed()
    }
}
