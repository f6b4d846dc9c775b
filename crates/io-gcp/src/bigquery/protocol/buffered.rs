//! [`BufferedProtocol`]: writes exactly once, by way of buffered streams. The rules are in the module's own page.

use millstream::Timestamp;

use super::commits::Commits;
use super::messages::{
    Answer, AppendId, Block, Committable, ConnectionId, Failure, FailureKind, ProtocolError,
    ProtocolOptions, Request, Split, StreamCommit, StreamKind,
};
use super::slots::{Slots, State};
use super::trouble::{Trouble, earlier};

/// The connection to the stream that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// The stream is being created.
    Opening(ConnectionId, Timestamp),
    /// The stream exists and is being connected to again.
    Connecting(ConnectionId, Timestamp),
    /// Requests can be sent.
    Ready(ConnectionId),
    /// It is gone, and has to be made again.
    Broken,
}

/// The stream that is written.
#[derive(Debug)]
struct Current {
    /// Empty until it is open.
    name: String,
    connection: Connection,
    /// Rows at its front that were answered.
    confirmed: u64,
    /// Rows at its front that are visible.
    flushed: u64,
    /// The greatest offset of a request that was given up: it may still be carried out.
    abandoned: Option<u64>,
    used_at: Timestamp,
}

/// A stream that is no longer written, and whose confirmed rows wait for their commit.
#[derive(Debug)]
struct Retired {
    name: String,
    confirmed: u64,
    flushed: u64,
}

/// Writes blocks of rows exactly once.
#[derive(Debug)]
pub struct BufferedProtocol<B: Block> {
    options: ProtocolOptions,
    pub(super) slots: Slots<B>,
    current: Option<Current>,
    retired: Vec<Retired>,
    commits: Commits,
    /// Streams of an earlier life, to be finalised with the first commit of this one.
    inherited: Vec<StreamCommit>,
    trouble: Trouble,
    /// Since when the table is not found, where it is not.
    missing_since: Option<Timestamp>,
    /// Whether blocks are to go to a new stream once those being taken apart are back.
    must_rotate: bool,
    closes: Vec<ConnectionId>,
    next_connection: ConnectionId,
    retries: u64,
}

impl<B: Block> BufferedProtocol<B> {
    /// A machine that has written nothing.
    #[must_use]
    pub fn new(options: ProtocolOptions) -> Self {
        Self {
            slots: Slots::new(),
            current: None,
            retired: Vec::new(),
            commits: Commits::new(options.clone()),
            inherited: Vec::new(),
            trouble: Trouble::none(options.seed),
            missing_since: None,
            must_rotate: false,
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
        self.retries + self.commits.retries()
    }

    /// Blocks to be taken apart and put back with [`BufferedProtocol::put_back`].
    pub fn take_splits(&mut self) -> Vec<Split<B>> {
        self.slots.take_splits()
    }

    /// Takes a block back without the refused rows; `None` when none is left.
    pub fn put_back(&mut self, append: AppendId, block: Option<B>) {
        self.slots.put_back(append, block);
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
        self.settle(now)?;
        out.extend(self.closes.drain(..).map(|connection| Request::Close { connection }));
        self.send(now, out);
        self.commits.poll(now, out)
    }

    /// When to poll again without an answer.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        let append = self.slots.oldest().map(|sent| sent + self.options.append_timeout);
        let connection = self.current.as_ref().and_then(|current| match current.connection {
            Connection::Opening(_, since) | Connection::Connecting(_, since) => {
                Some(since + self.options.control_timeout)
            }
            Connection::Ready(_) | Connection::Broken => None,
        });
        let others = earlier(self.trouble.retry_at(), self.commits.wake_at());
        earlier(earlier(append, connection), others)
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When writing cannot go on.
    pub fn on_answer(&mut self, answer: Answer, now: Timestamp) -> Result<(), ProtocolError> {
        match answer {
            Answer::Opened { connection, result } => self.opened(connection, result, now),
            Answer::Connected { connection, result } => self.connected(connection, result, now),
            Answer::Appended { connection, append, result } => {
                self.appended(connection, append, result, now)
            }
            Answer::Flushed { stream, rows, result } => {
                if let Some(visible) = self.commits.flushed(&stream, rows, result, now)? {
                    self.note_flushed(&stream, visible);
                }
                Ok(())
            }
            Answer::Finalized { stream, result } => {
                if self.commits.finalized(&stream, result, now)? {
                    self.retired.retain(|retired| retired.name != stream);
                }
                Ok(())
            }
        }
    }

    /// What a commit needs to know about everything pushed so far; `None` until all of it is answered, and while a restored
    /// checkpoint is not committed: the next one no longer names its streams.
    pub fn prepare(&mut self, now: Timestamp) -> Option<Committable> {
        if !self.slots.is_empty() || self.commits.is_restoring() {
            return None;
        }
        self.retire_if_idle(now);
        let retired = self
            .retired
            .iter()
            .map(|stream| StreamCommit::new(&stream.name, stream.confirmed, stream.flushed));
        let current =
            self.current.iter().filter(|current| !current.name.is_empty()).map(|current| {
                StreamCommit::new(&current.name, current.confirmed, current.flushed)
            });
        Some(Committable { streams: retired.chain(current).collect() })
    }

    /// The checkpoint with `committable` is durable; with `restored` it is one of an earlier life.
    pub fn commit(&mut self, committable: &Committable, restored: bool) {
        if restored {
            for commit in &committable.streams {
                self.commits.start(commit, false, true);
            }
            self.inherited.extend_from_slice(&committable.streams);
            return;
        }
        // Whoever wrote this checkpoint has flushed what it inherited.
        for commit in std::mem::take(&mut self.inherited) {
            let flushed = StreamCommit { flushed: commit.rows, ..commit };
            self.commits.start(&flushed, true, true);
        }
        for commit in &committable.streams {
            let retired = self.retired.iter().find(|retired| retired.name == commit.stream);
            let current = self.current.as_ref().filter(|current| current.name == commit.stream);
            // A stream that is neither was flushed and finalised by an earlier commit.
            let (confirmed, flushed) = match (retired, current) {
                (Some(retired), _) => (Some(retired.confirmed), retired.flushed),
                (None, Some(current)) => (None, current.flushed),
                (None, None) => continue,
            };
            let known = StreamCommit { flushed: commit.flushed.max(flushed), ..commit.clone() };
            self.commits.start(&known, confirmed == Some(commit.rows), false);
        }
    }

    /// Whether every commit that was started is done.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.commits.is_done()
    }

    fn opened(
        &mut self,
        connection: ConnectionId,
        result: Result<String, Failure>,
        now: Timestamp,
    ) -> Result<(), ProtocolError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if !matches!(current.connection, Connection::Opening(id, _) if id == connection) {
            self.closes.push(connection);
            return Ok(());
        }
        match result {
            Ok(name) => {
                current.name = name;
                current.connection = Connection::Ready(connection);
                self.missing_since = None;
                self.trouble.succeeded();
                Ok(())
            }
            Err(failure) => {
                self.current = None;
                self.open_failed(failure, now)
            }
        }
    }

    fn open_failed(&mut self, failure: Failure, now: Timestamp) -> Result<(), ProtocolError> {
        let what = "cannot open a stream";
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
        self.trouble.failed(now, self.options.give_up_after, what, &failure)
    }

    fn connected(
        &mut self,
        connection: ConnectionId,
        result: Result<(), Failure>,
        now: Timestamp,
    ) -> Result<(), ProtocolError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if !matches!(current.connection, Connection::Connecting(id, _) if id == connection) {
            self.closes.push(connection);
            return Ok(());
        }
        let Err(failure) = result else {
            current.connection = Connection::Ready(connection);
            return Ok(());
        };
        current.connection = Connection::Broken;
        match &failure.kind {
            FailureKind::NotFound => self.stream_is_gone(&failure),
            kind if kind.is_retryable() => {
                self.retries += 1;
                let patience = self.options.give_up_after;
                self.trouble.failed(now, patience, "cannot reach the stream", &failure)
            }
            _ => Err(ProtocolError::because("cannot reach the stream", &failure)),
        }
    }

    fn appended(
        &mut self,
        connection: ConnectionId,
        append: AppendId,
        result: Result<Option<u64>, Failure>,
        now: Timestamp,
    ) -> Result<(), ProtocolError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.connection != Connection::Ready(connection) {
            return Ok(());
        }
        let Some(slot) = self.slots.in_flight(append) else { return Ok(()) };
        current.used_at = now;
        let failure = match result {
            Ok(answered) => {
                if answered.is_some_and(|offset| offset != slot.offset) {
                    return Err(ProtocolError::new(format!(
                        "rows were sent to row {} of {} and went to row {}",
                        slot.offset,
                        current.name,
                        answered.unwrap_or_default()
                    )));
                }
                slot.state = State::Done;
                current.confirmed += self.slots.pop_done();
                self.trouble.succeeded();
                return Ok(());
            }
            Err(failure) => failure,
        };
        match &failure.kind {
            FailureKind::AlreadyExists if slot.may_be_written => {
                slot.state = State::Done;
                current.confirmed += self.slots.pop_done();
                self.trouble.succeeded();
                return Ok(());
            }
            FailureKind::AlreadyExists => {
                let what = format!("somebody else writes to {}", current.name);
                return Err(ProtocolError::because(&what, &failure));
            }
            FailureKind::StreamFinalized => {
                let name = &current.name;
                let what =
                    format!("{name} was ended by somebody else, as a newer run of this job does");
                return Err(ProtocolError::because(&what, &failure));
            }
            FailureKind::Rows(_) | FailureKind::OutOfRange | FailureKind::NotFound => {}
            kind if kind.is_retryable() => {
                slot.may_be_written = true;
                current.abandoned = current.abandoned.max(Some(slot.offset));
            }
            _ => {
                let what = format!("{} refused a request", current.name);
                return Err(ProtocolError::because(&what, &failure));
            }
        }
        slot.state = State::Failed(failure);
        Ok(())
    }

    /// Gives up what was not answered in time.
    fn expire(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let failure = || Failure::new(FailureKind::ConnectionLost, "no answer in time");
        match current.connection {
            Connection::Opening(id, since) if now.since(since) >= self.options.control_timeout => {
                self.closes.push(id);
                self.current = None;
                self.open_failed(failure(), now)
            }
            Connection::Connecting(id, since)
                if now.since(since) >= self.options.control_timeout =>
            {
                self.closes.push(id);
                current.connection = Connection::Broken;
                self.retries += 1;
                let patience = self.options.give_up_after;
                self.trouble.failed(now, patience, "cannot reach the stream", &failure())
            }
            Connection::Ready(id) => {
                let Some(oldest) = self.slots.oldest() else { return Ok(()) };
                if now.since(oldest) < self.options.append_timeout {
                    return Ok(());
                }
                self.closes.push(id);
                current.connection = Connection::Broken;
                for slot in self.slots.iter_mut().filter(|slot| slot.is_in_flight()) {
                    slot.may_be_written = true;
                    slot.state = State::Failed(failure());
                    current.abandoned = current.abandoned.max(Some(slot.offset));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Once nothing is in flight, decides how to go on after failures.
    fn settle(&mut self, now: Timestamp) -> Result<(), ProtocolError> {
        let is_open = |state: &State| matches!(state, State::InFlight(_) | State::Splitting);
        if self.slots.iter().any(|slot| is_open(&slot.state)) {
            return Ok(());
        }
        if std::mem::take(&mut self.must_rotate) {
            self.rotate();
        }
        let Some(state) = self.slots.front().map(|slot| slot.state.clone()) else { return Ok(()) };
        self.hand_out_refused_rows()?;
        let mut worst = None;
        for slot in self.slots.iter_mut() {
            if let State::Failed(failure) = &slot.state {
                if failure.kind == FailureKind::NotFound || worst.is_none() {
                    worst = Some(failure.clone());
                }
                slot.state = State::Waiting;
                self.retries += 1;
            }
        }
        let Some(worst) = worst else { return Ok(()) };
        if worst.kind == FailureKind::NotFound {
            return self.stream_is_gone(&worst);
        }
        if let State::Failed(failure) = state {
            return self.retry_later(&failure, now);
        }
        Ok(())
    }

    /// The block at the front failed with `failure`.
    fn retry_later(&mut self, failure: &Failure, now: Timestamp) -> Result<(), ProtocolError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        match failure.kind {
            FailureKind::OutOfRange => {
                let what =
                    format!("{} lost rows: {} were confirmed", current.name, current.confirmed);
                return Err(ProtocolError::because(&what, failure));
            }
            // What refuses a request with a status ends its connection; there is no telling whether this one did.
            FailureKind::Throttled | FailureKind::Unavailable | FailureKind::ConnectionLost => {
                if let Connection::Ready(id) = current.connection {
                    self.closes.push(id);
                }
                current.connection = Connection::Broken;
            }
            _ => {}
        }
        if failure.kind.is_retryable() {
            let patience = self.options.give_up_after;
            return self.trouble.failed(now, patience, "cannot append", failure);
        }
        Ok(())
    }

    /// Hands blocks with refused rows out.
    fn hand_out_refused_rows(&mut self) -> Result<(), ProtocolError> {
        let mut found = Vec::new();
        let mut is_hazardous = false;
        let abandoned = self.current.as_ref().and_then(|current| current.abandoned);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let State::Failed(Failure { kind: FailureKind::Rows(rows), .. }) = &mut slot.state {
                found.push((index, std::mem::take(rows)));
                is_hazardous |= abandoned.is_some_and(|offset| offset >= slot.offset);
            } else if !found.is_empty() {
                // What stands behind moves forward: it was never sent to where it goes now.
                is_hazardous |= slot.state == State::Done;
                slot.may_be_written = false;
            }
        }
        self.must_rotate |= is_hazardous;
        found.into_iter().try_for_each(|(index, rows)| self.slots.split(index, rows))
    }

    /// The stream no longer exists: no harm if nothing of it was still to become visible.
    fn stream_is_gone(&mut self, failure: &Failure) -> Result<(), ProtocolError> {
        let Some(current) = &self.current else { return Ok(()) };
        if current.confirmed > current.flushed {
            let lost = current.confirmed - current.flushed;
            let what = format!("{} is gone with {lost} rows not yet visible", current.name);
            return Err(ProtocolError::because(&what, failure));
        }
        self.rotate();
        Ok(())
    }

    /// Goes on with a new stream for everything that is not confirmed.
    fn rotate(&mut self) {
        for slot in self.slots.iter_mut() {
            slot.state = State::Waiting;
            slot.may_be_written = false;
        }
        self.retire();
    }

    fn retire(&mut self) {
        let Some(current) = self.current.take() else { return };
        if let Connection::Ready(id) | Connection::Connecting(id, _) = current.connection {
            self.closes.push(id);
        }
        let Current { name, confirmed, flushed, .. } = current;
        self.retired.push(Retired { name, confirmed, flushed });
    }

    /// An idle stream is ended, so that it does not expire while it is named in a checkpoint.
    fn retire_if_idle(&mut self, now: Timestamp) {
        let is_idle = self.current.as_ref().is_some_and(|current| {
            !current.name.is_empty()
                && current.flushed == current.confirmed
                && now.since(current.used_at) >= self.options.idle_after
        });
        if is_idle {
            self.retire();
        }
    }

    fn note_flushed(&mut self, stream: &str, visible: u64) {
        if let Some(current) = self.current.as_mut().filter(|current| current.name == stream) {
            current.flushed = current.flushed.max(visible);
        }
        for retired in self.retired.iter_mut().filter(|retired| retired.name == stream) {
            retired.flushed = retired.flushed.max(visible);
        }
    }

    fn send(&mut self, now: Timestamp, out: &mut Vec<Request<B::Body>>) {
        let must_settle = |state: &State| matches!(state, State::Failed(_) | State::Splitting);
        if self.slots.is_empty()
            || self.must_rotate
            || !self.trouble.may_try(now)
            || self.slots.iter().any(|slot| must_settle(&slot.state))
        {
            return;
        }
        self.trouble.started();
        let Some(current) = &mut self.current else {
            self.open(now, out);
            return;
        };
        match current.connection {
            Connection::Opening(..) | Connection::Connecting(..) => {}
            Connection::Broken => {
                let connection = self.next_connection;
                self.next_connection += 1;
                current.connection = Connection::Connecting(connection, now);
                out.push(Request::Connect { connection, stream: current.name.clone() });
            }
            Connection::Ready(connection) => {
                let mut offset = current.confirmed;
                for slot in self.slots.iter_mut() {
                    if let (State::Waiting, Some(block)) = (&slot.state, &slot.block) {
                        let body = block.body();
                        slot.offset = offset;
                        slot.state = State::InFlight(now);
                        current.used_at = now;
                        let offset = Some(offset);
                        out.push(Request::Append { connection, append: slot.id, offset, body });
                    }
                    offset += slot.rows;
                }
            }
        }
    }

    fn open(&mut self, now: Timestamp, out: &mut Vec<Request<B::Body>>) {
        let connection = self.next_connection;
        self.next_connection += 1;
        self.current = Some(Current {
            name: String::new(),
            connection: Connection::Opening(connection, now),
            confirmed: 0,
            flushed: 0,
            abandoned: None,
            used_at: now,
        });
        out.push(Request::Open { connection, kind: StreamKind::Buffered });
    }
}
