//! [`BigQueryWriter`]: the worker's half of a sink. Encodes rows, drives the protocol machine, reports refused rows.

use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use millstream::batch::Batch;
use millstream::coder::Data;
use millstream::sink::{Epoch, Refused, SinkWriter, WriteContext};
use millstream::{BoxError, Timestamp};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use super::error::{Error, Result};
use super::link::Reply;
use super::protocol::{
    Block, Committable, ProtocolError, ProtocolOptions, Request, RowFailure, Split, WriteProtocol,
};
use super::rows::{RowEncoder, SchemaPolicy};
use super::schema::TableSchema;
use super::setup::Table;
use super::sink::Delivery;

/// Bytes of rows in a request: BigQuery takes 10 MB, the rest is for padding and names.
const REQUEST_BYTES_MAX: usize = 9_500_000;
/// The largest request that is filled on purpose.
const REQUEST_BYTES_FILL_MAX: usize = 2 << 20;
/// Most rows in a request, so that taking one with refused rows apart stays cheap.
const REQUEST_ROWS_MAX: usize = 50_000;
/// How long a table that nobody just created may be unknown.
const KNOWN_TABLE_GRACE: Duration = Duration::from_secs(5);

/// What a writer needs to start.
#[derive(Debug)]
pub(super) struct WriterSetup {
    pub(super) table: String,
    pub(super) delivery: Delivery,
    pub(super) schema_policy: SchemaPolicy,
    pub(super) request_bytes: usize,
    pub(super) linger: Duration,
    pub(super) protocol: ProtocolOptions,
    pub(super) requests: mpsc::Sender<Request<Bytes>>,
    pub(super) replies: mpsc::Receiver<Reply>,
}

/// Rows and what they are on the wire.
#[derive(Debug)]
struct RowBlock<T> {
    rows: Vec<(Timestamp, T)>,
    body: Bytes,
}

impl<T> Block for RowBlock<T> {
    type Body = Bytes;

    fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    fn bytes(&self) -> usize {
        self.body.len()
    }

    fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// What exists once the table is known.
#[derive(Debug)]
struct Open<T> {
    schema: TableSchema,
    encoder: RowEncoder,
    protocol: WriteProtocol<RowBlock<T>>,
    /// The rows that the encoder holds, and since when.
    rows: Vec<(Timestamp, T)>,
    since: Timestamp,
}

/// Writes one worker's rows to a table.
#[derive(Debug)]
pub struct BigQueryWriter<T> {
    setup: WriterSetup,
    open: Option<Open<T>>,
    /// Commits that came before the table was known.
    early: Vec<(Committable, bool)>,
    /// Requests that the queue had no room for.
    unsent: VecDeque<Request<Bytes>>,
    bytes_written: u64,
    /// How often the table was looked for again.
    setup_retries: u64,
}

impl<T: Data> BigQueryWriter<T> {
    pub(super) const fn new(setup: WriterSetup) -> Self {
        Self {
            setup,
            open: None,
            early: Vec::new(),
            unsent: VecDeque::new(),
            bytes_written: 0,
            setup_retries: 0,
        }
    }

    /// Takes answers, sends what is due.
    fn pump(&mut self, ctx: &mut WriteContext<'_>) -> Result<()> {
        loop {
            match self.setup.replies.try_recv() {
                Ok(Reply::Ready(table)) => self.begin(table)?,
                Ok(Reply::Retrying) => self.setup_retries += 1,
                Ok(Reply::Failed(cause)) => return Err(cause),
                Ok(Reply::Answer(answer)) => {
                    if let Some(open) = &mut self.open {
                        let taken = open.protocol.on_answer(answer, ctx.now());
                        taken.map_err(|cause| write_error(&self.setup.table, &cause))?;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(self.ended()),
            }
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.is_due(ctx.now(), self.setup.linger) {
            open.cut()?;
        }
        let mut requests = Vec::new();
        open.poll(&self.setup, ctx, &mut requests)?;
        if let Some(at) = open.wake_at(self.setup.linger) {
            ctx.wake_at(at);
        }
        self.send(requests)
    }

    fn begin(&mut self, table: Table) -> Result<()> {
        let mut options = self.setup.protocol.clone();
        if !table.is_new {
            options.table_grace = KNOWN_TABLE_GRACE;
        }
        let mut protocol = match self.setup.delivery {
            Delivery::ExactlyOnce => WriteProtocol::exactly_once(options),
            Delivery::AtLeastOnce => WriteProtocol::at_least_once(options),
        };
        for (committable, restored) in self.early.drain(..) {
            let started = protocol.commit(&committable, restored);
            started.map_err(|cause| write_error(&self.setup.table, &cause))?;
        }
        self.open = Some(Open {
            encoder: RowEncoder::new(&table.schema, self.setup.schema_policy)?,
            schema: table.schema,
            protocol,
            rows: Vec::new(),
            since: Timestamp::MIN,
        });
        Ok(())
    }

    /// Hands requests to the shell as far as its queue has room.
    fn send(&mut self, requests: Vec<Request<Bytes>>) -> Result<()> {
        for request in &requests {
            if let Request::Append { body, .. } = request {
                self.bytes_written += body.len() as u64;
            }
        }
        self.unsent.extend(requests);
        while let Some(request) = self.unsent.pop_front() {
            match self.setup.requests.try_send(request) {
                Ok(()) => {}
                // Room comes with an answer, and an answer wakes the worker.
                Err(TrySendError::Full(request)) => {
                    self.unsent.push_front(request);
                    break;
                }
                Err(TrySendError::Closed(_)) => return Err(self.ended()),
            }
        }
        Ok(())
    }

    /// Bytes of rows that it holds or that are not answered.
    pub(super) fn held_bytes(&self) -> usize {
        let held = |open: &Open<T>| open.encoder.bytes() + open.protocol.outstanding_bytes();
        self.open.as_ref().map_or(0, held)
    }

    /// Whether it holds nothing that is not written, and every commit is done.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_at_rest = |open: &Open<T>| open.rows.is_empty() && open.protocol.is_committed();
        self.held_bytes() == 0 && self.early.is_empty() && self.open.as_ref().is_none_or(is_at_rest)
    }

    fn ended(&self) -> Error {
        let what = "the asynchronous runtime stopped".to_owned();
        Error::Write { table: self.setup.table.clone(), what }
    }
}

impl<T: Data> Open<T> {
    /// Encodes from the front of `batch` until a request is full; false when nothing more can be taken now.
    fn take(
        &mut self,
        batch: &mut Batch<T>,
        setup: &WriterSetup,
        ctx: &mut WriteContext<'_>,
    ) -> Result<bool> {
        if self.is_full(setup) {
            if !self.protocol.has_room() {
                return Ok(false);
            }
            self.cut()?;
        }
        let mut refusals = VecDeque::new();
        let mut taken = 0;
        let mut is_full = false;
        for value in batch.values() {
            let room = REQUEST_BYTES_MAX.saturating_sub(self.encoder.bytes());
            match self.encoder.push_within(value, room) {
                Ok(()) => {}
                Err(refusal) if refusal.is_too_large() && self.encoder.rows() > 0 => {
                    is_full = true;
                    break;
                }
                Err(refusal) => refusals.push_back((taken, refusal)),
            }
            taken += 1;
            if self.is_full(setup) {
                break;
            }
        }
        if self.rows.is_empty() {
            self.since = ctx.now();
        }
        for (index, (timestamp, _, value)) in batch.split_front(taken).drain().enumerate() {
            match refusals.pop_front_if(|(refused, _)| *refused == index) {
                Some((_, reason)) => {
                    refuse(&setup.table, timestamp, &value, &reason.to_string(), ctx)
                }
                None => self.rows.push((timestamp, value)),
            }
        }
        if is_full {
            if !self.protocol.has_room() {
                return Ok(false);
            }
            self.cut()?;
        }
        Ok(true)
    }

    fn is_full(&self, setup: &WriterSetup) -> bool {
        let fill = setup.request_bytes.clamp(1, REQUEST_BYTES_FILL_MAX);
        self.encoder.bytes() >= fill || self.encoder.rows() >= REQUEST_ROWS_MAX
    }

    fn is_due(&self, now: Timestamp, linger: Duration) -> bool {
        !self.rows.is_empty() && self.protocol.has_room() && now.since(self.since) >= linger
    }

    /// Makes a block of the rows collected.
    fn cut(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        debug_assert_eq!(self.rows.len(), self.encoder.rows(), "every row kept is encoded");
        let rows = std::mem::take(&mut self.rows);
        let body = self.encoder.finish_message()?;
        self.protocol.push(RowBlock { rows, body });
        Ok(())
    }

    /// Lets the machine work until it has nothing more to do.
    fn poll(
        &mut self,
        setup: &WriterSetup,
        ctx: &mut WriteContext<'_>,
        requests: &mut Vec<Request<Bytes>>,
    ) -> Result<()> {
        loop {
            let polled = self.protocol.poll(ctx.now(), requests);
            polled.map_err(|cause| write_error(&setup.table, &cause))?;
            let splits = self.protocol.take_splits();
            if splits.is_empty() {
                return Ok(());
            }
            for split in splits {
                self.take_apart(split, setup, ctx)?;
            }
        }
    }

    /// Reports the rows that BigQuery refused and puts the others back.
    fn take_apart(
        &mut self,
        split: Split<RowBlock<T>>,
        setup: &WriterSetup,
        ctx: &mut WriteContext<'_>,
    ) -> Result<()> {
        let Split { append, block, mut failures } = split;
        failures.sort_by_key(|failure| failure.index);
        failures.dedup_by_key(|failure| failure.index);
        let mut failures = VecDeque::from(failures);
        let mut encoder = RowEncoder::new(&self.schema, setup.schema_policy)?;
        let mut rows = Vec::with_capacity(block.rows.len());
        for (index, (timestamp, value)) in (0_u64..).zip(block.rows) {
            let failure = failures.pop_front_if(|failure: &mut RowFailure| failure.index == index);
            let reason = match failure {
                Some(failure) => Some(failure.reason),
                None => encoder.push(&value).err().map(|refusal| refusal.to_string()),
            };
            match reason {
                Some(reason) => refuse(&setup.table, timestamp, &value, &reason, ctx),
                None => rows.push((timestamp, value)),
            }
        }
        let rest = if rows.is_empty() {
            None
        } else {
            Some(RowBlock { rows, body: encoder.finish_message()? })
        };
        self.protocol.put_back(append, rest);
        Ok(())
    }

    fn wake_at(&self, linger: Duration) -> Option<Timestamp> {
        let linger =
            (!self.rows.is_empty() && self.protocol.has_room()).then(|| self.since + linger);
        [self.protocol.wake_at(), linger].into_iter().flatten().min()
    }
}

/// Hands a row out as refused.
pub(super) fn refuse<T: Data>(
    table: &str,
    timestamp: Timestamp,
    value: &T,
    reason: &str,
    ctx: &mut WriteContext<'_>,
) {
    let element = serde_json::to_vec(value)
        .unwrap_or_else(|cause| format!("\"the row cannot be shown: {cause}\"").into_bytes());
    ctx.refuse(timestamp, Refused::new(table, reason, element));
}

fn write_error(table: &str, cause: &ProtocolError) -> Error {
    Error::Write { table: table.to_owned(), what: cause.to_string() }
}

impl<T: Data> SinkWriter<T> for BigQueryWriter<T> {
    type Committable = Committable;

    fn write(&mut self, batch: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        if self.open.is_none() {
            self.pump(ctx)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        while !batch.is_empty() && open.take(batch, &self.setup, ctx)? {}
        Ok(self.pump(ctx)?)
    }

    fn poll(&mut self, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        Ok(self.pump(ctx)?)
    }

    fn poll_prepare(
        &mut self,
        _: Epoch,
        ctx: &mut WriteContext<'_>,
    ) -> Poll<Result<Committable, BoxError>> {
        if let Some(open) = &mut self.open
            && open.protocol.has_room()
        {
            open.cut()?;
        }
        self.pump(ctx)?;
        match &mut self.open {
            Some(open) if !open.rows.is_empty() => Poll::Pending,
            Some(open) => open
                .protocol
                .prepare(ctx.now())
                .map_or(Poll::Pending, |ready| Poll::Ready(Ok(ready))),
            // Nothing can have been written yet.
            None if self.early.is_empty() => Poll::Ready(Ok(Committable::default())),
            None => Poll::Pending,
        }
    }

    fn commit(
        &mut self,
        _: Epoch,
        committable: Committable,
        restored: bool,
    ) -> Result<(), BoxError> {
        match &mut self.open {
            Some(open) => {
                let started = open.protocol.commit(&committable, restored);
                Ok(started.map_err(|cause| write_error(&self.setup.table, &cause))?)
            }
            None => {
                if !committable.streams.is_empty() {
                    self.early.push((committable, restored));
                }
                Ok(())
            }
        }
    }

    fn poll_committed(&mut self, ctx: &mut WriteContext<'_>) -> Poll<Result<(), BoxError>> {
        self.pump(ctx)?;
        let is_done = match &self.open {
            Some(open) => open.protocol.is_committed(),
            None => self.early.is_empty(),
        };
        if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    fn retries(&self) -> u64 {
        self.setup_retries + self.open.as_ref().map_or(0, |open| open.protocol.retries())
    }
}
