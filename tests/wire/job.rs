//! The job: rows as they come and sums by window, read and written by the connectors themselves, whose far sides are handed to
//! the simulated network through [`Sockets`]; and the planted bugs of a reader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream::batch::Batch;
use millstream::coder::Data;
use millstream::combine::Sum;
use millstream::io::IoContext;
use millstream::pane::Timing;
use millstream::sink::Sink;
use millstream::source::{Backlog, Boundedness, ReadStatus, Reader, Residual, Source};
use millstream::windowing::FixedWindows;
use millstream::{BoxError, Pipeline, Timestamp};
use millstream_io_gcp::bigquery::{BigQuery, BigQueryWriter, TableSchema, WriterLink};
use millstream_io_gcp::pubsub::{
    PubSub, PubSubLink, PubSubMessage, PubSubReader, PubSubRestriction, PubSubSource,
};
use millstream_local_gcp::bigquery as server;
use serde::{Deserialize, Serialize};

use crate::scenario::{Bug, Scenario};
use crate::service::SUBSCRIPTION;
use crate::storage::numbers;
use crate::subscriber::{ACK_DEADLINE, Lease};

/// How far out of order messages come when none is late.
const SKEW: Duration = Duration::from_secs(4);
/// Length of the windows.
const WINDOW: Duration = Duration::from_secs(5);
/// Longer than any message can be late.
const LATENESS: Duration = Duration::from_secs(600);
/// How long an append may stay without an answer.
const APPEND_TIMEOUT: Duration = Duration::from_secs(8);
/// Rows of a request: few, so that several requests are under way.
const REQUEST_BYTES: usize = 150;

/// A table of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Raw,
    Sums,
}

impl Table {
    pub(crate) const ALL: [Self; 2] = [Self::Raw, Self::Sums];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Sums => "sums",
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Raw => &["id"],
            Self::Sums => &["window", "key", "sum", "pane", "timing"],
        }
    }

    pub(crate) fn schema(self) -> TableSchema {
        numbers(self.columns())
    }

    pub(crate) fn server_schema(self) -> server::TableSchema {
        let field = |name: &&str| server::Field::required(*name, server::FieldType::Int64);
        server::TableSchema::new(self.columns().iter().map(field).collect())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RawRow {
    id: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SumRow {
    window: i64,
    key: i64,
    sum: i64,
    pane: i64,
    timing: i64,
}

/// What a message carries.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) key: i64,
    pub(crate) amount: i64,
}

impl Order {
    pub(crate) fn text(self) -> String {
        format!("{} {} {}", self.id, self.key, self.amount)
    }

    fn parse(message: &PubSubMessage) -> Self {
        let text = std::str::from_utf8(&message.data).expect("it was text");
        let mut numbers = text.split(' ').map(|part| part.parse().expect("it was a number"));
        let mut next = || numbers.next().expect("there were three numbers");
        Self { id: next(), key: next(), amount: next() }
    }
}

/// The start of the window in which `at` is, in microseconds.
pub(crate) fn window_of(at: Timestamp) -> i64 {
    FixedWindows::of(WINDOW).window_of(at).start.as_micros()
}

/// Which number stands for the one pane of a window that is on time.
pub(crate) const ON_TIME: i64 = 1;

fn timing_number(timing: Timing) -> i64 {
    match timing {
        Timing::Early => 0,
        Timing::OnTime => ON_TIME,
        _ => 2,
    }
}

/// Where a life of the job leaves the far sides of its connectors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    ends: Arc<Mutex<Ends>>,
}

#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) readers: Vec<PubSubLink<Lease>>,
    pub(crate) writers: Vec<(WriterLink, Table)>,
    /// The greatest event time received.
    pub(crate) greatest: Option<Timestamp>,
}

impl Sockets {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source of one process.
pub(crate) fn source(scenario: &Scenario) -> PubSubSource {
    let mut source = PubSub::subscription(SUBSCRIPTION)
        .ack_deadline(ACK_DEADLINE)
        .allowed_skew(SKEW)
        .max_outstanding_messages(scenario.outstanding * scenario.workers as u64);
    if !scenario.follows_clock {
        source = source.timestamp_attribute("at");
    }
    if scenario.bug == Some(Bug::IdForgottenEarly) {
        source = source.deduplication_horizon(Duration::ZERO);
    }
    source
}

/// One life's pipeline.
pub(crate) fn pipeline(scenario: &Scenario, source: &PubSubSource, sockets: &Sockets) -> Pipeline {
    let pipeline = Pipeline::named("simulated");
    let source = WireSource { source: source.clone(), sockets: sockets.clone(), bug: scenario.bug };
    let sink = |table| WireSink { table, sockets: sockets.clone() };
    let orders = pipeline.read("Read", source).map("Parse", |message| Order::parse(&message));
    orders.map("Id", |order| RawRow { id: order.id }).write("WriteRaw", sink(Table::Raw));
    let windows = FixedWindows::of(WINDOW);
    let windowed = match scenario.is_late {
        true => orders.window("Windows", windows.allowed_lateness(LATENESS).accumulating()),
        false => orders.window("Windows", windows),
    };
    windowed
        .map("KeyAmount", |order| (order.key, order.amount))
        .combine_per_key("Sum", Sum)
        .reify("Panes")
        .map("Row", |sum| SumRow {
            window: sum.window.start.as_micros(),
            key: sum.value.0,
            sum: sum.value.1,
            pane: i64::try_from(sum.pane.index).unwrap_or(i64::MAX),
            timing: timing_number(sum.pane.timing),
        })
        .write("WriteSums", sink(Table::Sums));
    pipeline
}

/// The Pub/Sub source without Google's client.
#[derive(Clone, Debug)]
struct WireSource {
    source: PubSubSource,
    sockets: Sockets,
    bug: Option<Bug>,
}

impl Source for WireSource {
    type Item = PubSubMessage;
    type Restriction = PubSubRestriction;
    type Reader = WireReader;

    fn boundedness(&self) -> Boundedness {
        self.source.boundedness()
    }

    fn split(&self, desired: usize) -> Result<Vec<PubSubRestriction>, BoxError> {
        self.source.split(desired)
    }

    fn reader(
        &self,
        restriction: PubSubRestriction,
        ctx: &IoContext,
    ) -> Result<WireReader, BoxError> {
        let (reader, link) = self.source.link(restriction, ctx)?;
        self.sockets.lock().readers.push(link);
        let handed_out = Timestamp::MIN;
        Ok(WireReader { reader, sockets: self.sockets.clone(), bug: self.bug, handed_out })
    }
}

/// The Pub/Sub reader, and where a bug is planted what is wrong with it.
#[derive(Debug)]
struct WireReader {
    reader: PubSubReader<Lease>,
    sockets: Sockets,
    bug: Option<Bug>,
    handed_out: Timestamp,
}

impl WireReader {
    fn spoiled_watermark(&self) -> Timestamp {
        match self.bug {
            Some(Bug::DroppedHold) if self.handed_out > Timestamp::MIN => self.handed_out - SKEW,
            Some(Bug::WatermarkPastUnacked) if !self.is_held() => {
                let greatest = self.sockets.lock().greatest;
                greatest.map_or(Timestamp::MIN, |greatest| greatest - SKEW)
            }
            _ => Timestamp::MIN,
        }
    }

    /// Whether the watermark waits for messages leased to the life before: to break that is another bug.
    fn is_held(&self) -> bool {
        let reason = self.reader.watermark_reason();
        reason.contains("restored") || reason.contains("readers of all")
    }

    fn spoiled_restriction(&self, restriction: PubSubRestriction) -> PubSubRestriction {
        if self.bug != Some(Bug::UnconfirmedNotStored) {
            return restriction;
        }
        let mut value = serde_json::to_value(restriction).expect("it is plain data");
        value["unconfirmed"] = serde_json::Value::Array(Vec::new());
        serde_json::from_value(value).expect("it is a restriction without unconfirmed messages")
    }
}

impl Reader for WireReader {
    type Item = PubSubMessage;
    type Restriction = PubSubRestriction;

    fn poll_read(
        &mut self,
        out: &mut Batch<PubSubMessage>,
        now: Timestamp,
    ) -> Result<ReadStatus, BoxError> {
        let status = self.reader.poll_read(out, now);
        let latest = out.timestamps().iter().copied().max();
        self.handed_out = latest.map_or(self.handed_out, |latest| latest.max(self.handed_out));
        status
    }

    fn watermark(&self) -> Timestamp {
        self.reader.watermark().max(self.spoiled_watermark())
    }

    fn checkpoint(&mut self) -> Residual<PubSubRestriction> {
        let mut residual = self.reader.checkpoint();
        let restriction = residual.restriction.take();
        residual.restriction = restriction.map(|restriction| self.spoiled_restriction(restriction));
        if self.bug == Some(Bug::AckBeforeCheckpoint)
            && let Some(finalizer) = residual.finalizer.take()
        {
            finalizer.call();
        }
        residual
    }

    fn backlog(&self) -> Backlog {
        self.reader.backlog()
    }

    fn wants_checkpoint(&self) -> bool {
        self.reader.wants_checkpoint()
    }

    fn watermark_reason(&self) -> String {
        self.reader.watermark_reason()
    }
}

/// The BigQuery sink without Google's client.
#[derive(Clone, Debug)]
struct WireSink {
    table: Table,
    sockets: Sockets,
}

impl<T: Data> Sink<T> for WireSink {
    type Writer = BigQueryWriter<T>;

    fn writer(&self, ctx: &IoContext) -> Result<BigQueryWriter<T>, BoxError> {
        let sink = BigQuery::table(format!("simulated.sales.{}", self.table.name()))
            .schema(self.table.schema())
            .request_bytes(REQUEST_BYTES)
            .append_timeout(APPEND_TIMEOUT)
            .skip_missing_streams();
        let (writer, link) = sink.link(ctx)?;
        self.sockets.lock().writers.push((link, self.table));
        Ok(writer)
    }
}
