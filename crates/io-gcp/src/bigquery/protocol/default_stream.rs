//! [`DefaultProtocol`]: writes at least once, by way of the table's default stream, whose rows are visible at once.

use millstream::Timestamp;

use super::messages::{
    Answer, AppendId, Block, ConnectionId, Failure, FailureKind, ProtocolError, ProtocolOptions,
    Request, Split, StreamKind,
};
use super::slots::{Slots, State};
use super::trouble::{Trouble, earlier};

/// The connection to the default stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Closed,
    Opening(ConnectionId, Timestamp),
    Ready(ConnectionId),
}

/// Writes blocks of rows at least once.
#[derive(Debug)]
pub struct DefaultProtocol<B: Block> {
    options: ProtocolOptions,
    slots: Slots<B>,
    connection: Connection,
    trouble: Trouble,
    missing_since: Option<Timestamp>,
    closes: Vec<ConnectionId>,
    next_connection: ConnectionId,
    retries: u64,
}

impl<B: Block> DefaultProtocol<B> {
    /// A machine that has written nothing.
    #[must_use]
    pub fn new(options: ProtocolOptions) -> Self {
        Self {
            slots: Slots::new(),
            connection: Connection::Closed,
            trouble: Trouble::none(options.seed),
            missing_since: None,
            closes: Vec::new(),
            next_connection: 1,
            retries: 0,
            options,
        }
    }

    /// Whether a further block may be pushed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.slots.has_room(&self.options)
    }

    /// Takes a block to be written.
    pub fn push(&mut self, block: B) {
        self.slots.push(block);
    }

    /// Bytes that are not answered.
    #[must_use]
    pub const fn outstanding_bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// Requests that were sent again.
    #[must_use]
    pub const fn retries(&self) -> u64 {
        self.retries
    }

    /// Blocks to be taken apart and put back with [`DefaultProtocol::put_back`].
    pub fn take_splits(&mut self) -> Vec<Split<B>> {
        self.slots.take_splits()
    }

    /// Takes a block back without the refused rows; `None` when none is left.
    pub fn put_back(&mut self, append: AppendId, block: Option<B>) {
        self.slots.put_back(append, block);
    }

    /// Whether everything pushed so far is written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.slots.is_empty()
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// When writing cannot go on.
    pub fn poll(
        &mut self,
        now: Timestamp,
        out: &mut Vec<Request<B::Body>>,
    ) -> Result<(), ProtocolError> {
        self.expire(now)?;
        out.extend(self.closes.drain(..).map(|connection| Request::Close { connection }));
        let is_waiting = self.slots.iter().any(|slot| slot.state == State::Waiting);
        if !is_waiting || !self.trouble.may_try(now) {
            return Ok(());
        }
        self.trouble.started();
        match self.connection {
            Connection::Opening(..) => {}
            Connection::Closed => {
                let connection = self.next_connection;
                self.next_connection += 1;
                self.connection = Connection::Opening(connection, now);
                out.push(Request::Open { connection, kind: StreamKind::Default });
            }
            Connection::Ready(connection) => {
                for slot in self.slots.iter_mut() {
                    if let (State::Waiting, Some(block)) = (&slot.state, &slot.block) {
                        let body = block.body();
                        slot.state = State::InFlight(now);
                        out.push(Request::Append {
                            connection,
                            append: slot.id,
                            offset: None,
                            body,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// When to poll again without an answer.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        let append = self.slots.oldest().map(|sent| sent + self.options.append_timeout);
        let opening = match self.connection {
            Connection::Opening(_, since) => Some(since + self.options.control_timeout),
            Connection::Closed | Connection::Ready(_) => None,
        };
        earlier(append, earlier(opening, self.trouble.retry_at()))
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When writing cannot go on.
    pub fn on_answer(&mut self, answer: Answer, now: Timestamp) -> Result<(), ProtocolError> {
        match answer {
            Answer::Opened { connection, result } => self.opened(connection, result, now),
            Answer::Appended { connection, append, result }
                if self.connection == Connection::Ready(connection) =>
            {
                self.appended(append, result, now)
            }
            _ => Ok(()),
        }
    }

    fn opened(
        &mut self,
        connection: ConnectionId,
        result: Result<String, Failure>,
        now: Timestamp,
    ) -> Result<(), ProtocolError> {
        if !matches!(self.connection, Connection::Opening(id, _) if id == connection) {
            self.closes.push(connection);
            return Ok(());
        }
        match result {
            Ok(_) => {
                self.connection = Connection::Ready(connection);
                Ok(())
            }
            Err(failure) => {
                self.connection = Connection::Closed;
                self.retry_later(failure, now)
            }
        }
    }

    fn appended(
        &mut self,
        append: AppendId,
        result: Result<Option<u64>, Failure>,
        now: Timestamp,
    ) -> Result<(), ProtocolError> {
        let Some(slot) = self.slots.in_flight(append) else { return Ok(()) };
        match result {
            Ok(_) => {
                slot.state = State::Done;
                self.slots.remove_done();
                self.missing_since = None;
                self.trouble.succeeded();
                Ok(())
            }
            Err(Failure { kind: FailureKind::Rows(rows), .. }) => {
                let index = self.slots.iter().position(|slot| slot.id == append);
                self.retries += 1;
                index.map_or(Ok(()), |index| self.slots.split(index, rows))
            }
            Err(failure) => {
                slot.state = State::Waiting;
                self.retry_later(failure, now)
            }
        }
    }

    fn retry_later(&mut self, failure: Failure, now: Timestamp) -> Result<(), ProtocolError> {
        let what = "cannot append to the default stream";
        let may_retry = match &failure.kind {
            FailureKind::NotFound => {
                let since = *self.missing_since.get_or_insert(now);
                now.since(since) < self.options.table_grace
            }
            kind => kind.is_retryable(),
        };
        if !may_retry {
            return Err(ProtocolError::because(what, &failure));
        }
        self.retries += 1;
        // One pause for all blocks that fail while it lasts.
        if self.trouble.may_try(now) {
            self.trouble.failed(now, self.options.give_up_after, what, &failure)?;
        }
        Ok(())
    }

    /// Gives up what was not answered in time; it may be written twice then.
    fn expire(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        let failure = || Failure::new(FailureKind::ConnectionLost, "no answer in time");
        let id = match self.connection {
            Connection::Opening(id, since) if now.since(since) >= self.options.control_timeout => {
                id
            }
            Connection::Ready(id)
                if self
                    .slots
                    .oldest()
                    .is_some_and(|sent| now.since(sent) >= self.options.append_timeout) =>
            {
                id
            }
            _ => return Ok(()),
        };
        self.closes.push(id);
        self.connection = Connection::Closed;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_in_flight()) {
            slot.state = State::Waiting;
        }
        self.retry_later(failure(), now)
    }
}
