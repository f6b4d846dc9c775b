//! [`Storage`]: local BigQuery's state machine behind the simulated network; [`Client`]: what Google's client does for one writer.
//!
//! Requests of a connection arrive in order. A connection that breaks loses what is not answered: part of it arrives all the
//! same, much later perhaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use millstream::Timestamp;
use millstream_io_gcp::bigquery::protocol::{
    Answer, AppendId, ConnectionId, Failure, FailureKind, Request, RowFailure,
};
use millstream_io_gcp::bigquery::rows::{RowEncoder, SchemaPolicy};
use millstream_io_gcp::bigquery::{TableSchema, WriterLink};
use millstream_local_gcp::bigquery::{
    CheckedRows, Code, DatasetName, Record, Refusal, State, StreamName, StreamType, TableName,
    Value, WriteError,
};

use crate::job::Table;
use crate::network::Network;
use crate::reused::{self, ReusedStream, Spoiled};
use crate::scenario::{Bug, Scenario};
use crate::service::server_time;
use crate::world::{Address, Message};

/// The longest that anything between the job and BigQuery is under way while its connection lives.
const TRANSIT_MAX: Duration = Duration::from_millis(80);
/// How long a request of a broken connection may be under way.
const STRAY_MAX: Duration = Duration::from_secs(20);

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) table: Table,
    /// The stream of an append.
    pub(crate) stream: String,
    pub(crate) request: Request<Bytes>,
    /// Its connection is gone: nobody waits for an answer.
    pub(crate) is_stray: bool,
}

/// What a client hears.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// The table was looked up.
    Ready,
    Answer(Answer),
    Broken(ConnectionId),
}

fn unavailable() -> Failure {
    Failure::new(FailureKind::Unavailable, "simulated")
}

fn failure(error: &WriteError) -> Failure {
    if error.row_errors.is_empty() {
        return Failure::of_grpc(error.code.grpc() as i32, &error.to_string());
    }
    let row = |row: &millstream_local_gcp::bigquery::RowError| RowFailure {
        index: row.index as u64,
        reason: row.message.clone(),
    };
    Failure::new(FailureKind::Rows(error.row_errors.iter().map(row).collect()), &error.message)
}

/// BigQuery with the job's tables.
#[derive(Debug)]
pub(crate) struct Storage {
    state: State,
    schema_messages: BTreeMap<Table, Bytes>,
    scenario: Scenario,
}

impl Storage {
    pub(crate) fn new(scenario: &Scenario, now: Timestamp) -> Self {
        let mut state = State::new();
        let now = server_time(now);
        let properties = serde_json::Map::new;
        let dataset = DatasetName::new("simulated", "sales");
        state.create_dataset(now, dataset, "EU", properties()).expect("it is new");
        let mut schema_messages = BTreeMap::new();
        for table in Table::ALL {
            let created = state.create_table(now, name(table), table.server_schema(), properties());
            created.expect("it is new");
            let encoder = RowEncoder::new(&table.schema(), SchemaPolicy::Freeze);
            let message = encoder.and_then(|encoder| encoder.schema_message());
            schema_messages.insert(table, message.expect("the schema is right"));
        }
        Self { state, schema_messages, scenario: scenario.clone() }
    }

    /// The visible rows of whole numbers.
    pub(crate) fn rows(&self, table: Table) -> Vec<Vec<i64>> {
        let number = |value: &Value| value.as_i64().expect("all columns are numbers");
        let rows = self.state.rows(&name(table), 0, u64::MAX);
        rows.iter().map(|row| row.iter().map(number).collect()).collect()
    }

    pub(crate) fn row_count(&self, table: Table) -> u64 {
        self.state.row_count(&name(table))
    }

    pub(crate) fn calm(&mut self) {
        self.state.faults().clear();
    }

    /// A request arrives.
    pub(crate) fn on_request(&mut self, from: Address, sent: Sent, net: &mut Network<Message>) {
        let faults = self.scenario.faults;
        if let Request::Append { connection, append, offset, body } = sent.request {
            let offset = offset.map(|offset| i64::try_from(offset).expect("it is small"));
            let stream = StreamName::from_path(&sent.stream).expect("the server named it");
            let place = Place { table: sent.table, stream, offset };
            if sent.is_stray {
                net.note("a stray request arrives", from.client, append);
                let _ = self.append(&place, &body, net);
                return;
            }
            return self.on_append(from, (connection, append), &place, &body, net);
        }
        let is_lost = net.fault(faults.unavailable, "a request is lost");
        let result = if is_lost { Err(unavailable()) } else { Ok(()) };
        let is_unheard = net.fault(faults.lost_answers, "an answer is lost");
        let Some(answer) = self.control(sent, result, is_unheard, net) else { return };
        let delay = if is_lost || is_unheard { STRAY_MAX / 4 } else { TRANSIT_MAX };
        let delay = net.delay(delay);
        net.post(delay, Message::Heard(from, Heard::Answer(answer)));
    }

    /// Carries out anything but an append, unless it is lost already; an answer that is lost becomes a failure.
    fn control(
        &mut self,
        sent: Sent,
        arrived: Result<(), Failure>,
        is_unheard: bool,
        net: &mut Network<Message>,
    ) -> Option<Answer> {
        let now = server_time(net.now());
        let path = |text: &str| StreamName::from_path(text).expect("the server named it");
        let heard = |result| if is_unheard { Err(unavailable()) } else { result };
        let unit = |result: Result<(), WriteError>| result.map_err(|error| failure(&error));
        let answer = match sent.request {
            Request::Open { connection, .. } => {
                let opened = arrived.and_then(|()| {
                    let kind = StreamType::Buffered;
                    let made = self.state.create_write_stream(now, &name(sent.table), kind);
                    made.map(|stream| stream.name.path()).map_err(|error| failure(&error))
                });
                let result = if is_unheard { Err(unavailable()) } else { opened };
                Answer::Opened { connection, result }
            }
            Request::Connect { connection, stream } => {
                let found =
                    arrived.and_then(|()| unit(self.state.write_stream(&path(&stream)).map(drop)));
                Answer::Connected { connection, result: heard(found) }
            }
            Request::Flush { stream, rows } => {
                // The offset is that of the last row, not one behind it.
                let offset = i64::try_from(rows).expect("it is small") - 1;
                let flushed = arrived.and_then(|()| {
                    unit(self.state.flush_rows(now, &path(&stream), offset).map(drop))
                });
                let what = if flushed.is_ok() { "flushes" } else { "a flush is refused" };
                net.note(what, sent.table as usize, rows);
                Answer::Flushed { stream, rows, result: heard(flushed) }
            }
            Request::Finalize { stream } => {
                let ended = arrived.and_then(|()| {
                    unit(self.state.finalize_write_stream(now, &path(&stream)).map(drop))
                });
                net.note("finalises", usize::from(ended.is_ok()), 0);
                Answer::Finalized { stream, result: heard(ended) }
            }
            _ => return None,
        };
        Some(answer)
    }

    fn on_append(
        &mut self,
        from: Address,
        (connection, append): (ConnectionId, AppendId),
        place: &Place,
        body: &Bytes,
        net: &mut Network<Message>,
    ) {
        let faults = self.scenario.faults;
        let answer = |result| {
            Message::Heard(from, Heard::Answer(Answer::Appended { connection, append, result }))
        };
        let broken = Message::Heard(from, Heard::Broken(connection));
        let delay = net.delay(TRANSIT_MAX);
        if net.fault(faults.throttled, "throttled") {
            let throttled = Failure::of_grpc(8, "simulated");
            return net.post(delay, answer(Err(throttled)));
        }
        if net.fault(faults.unavailable, "unavailable") {
            return net.post(delay, answer(Err(unavailable())));
        }
        let result = self.append(place, body, net);
        if let Err(error) = &result {
            net.note(refused(&failure(error).kind), place.table as usize, 0);
        }
        if net.fault(faults.silence, "an append is never answered") {
            return;
        }
        if net.fault(faults.lost_answers, "the answer of an append is lost") {
            let lost = if net.rng.bool() { broken } else { answer(Err(unavailable())) };
            return net.post(delay, lost);
        }
        match result {
            Ok(offset) => net.post(delay, answer(Ok(offset))),
            Err(error) => {
                net.post(delay, answer(Err(failure(&error))));
                if error.ends_connection {
                    net.post(delay, broken);
                }
            }
        }
    }

    fn append(
        &mut self,
        place: &Place,
        body: &Bytes,
        net: &mut Network<Message>,
    ) -> Result<Option<u64>, WriteError> {
        let schema = place.table.server_schema();
        let writer_schema = &self.schema_messages[&place.table];
        let path = place.stream.path();
        let rows = CheckedRows::from_arrow(&schema, writer_schema, body, &path)?;
        let count = rows.len() as u64;
        let now = server_time(net.now());
        let appended = self.state.append_rows(now, &place.stream, place.offset, rows);
        if appended.is_ok() {
            net.note("appends", place.table as usize, count);
        }
        appended.map(|appended| appended.offset.and_then(|offset| u64::try_from(offset).ok()))
    }

    /// Something goes wrong by itself: throttling for a while, a stream ended by somebody else, one that has expired.
    pub(crate) fn trouble(&mut self, net: &mut Network<Message>) {
        let faults = self.scenario.faults;
        if net.fault(faults.throttled, "throttled for a while") {
            let until = net.now() + net.delay(Duration::from_secs(8));
            let until = Refusal::Until(server_time(until));
            self.state.faults().refuse_appends(Code::ResourceExhausted, until);
        }
        if net.fault(faults.unavailable / 3, "a stream is ended by somebody else") {
            self.hit(
                net,
                |state, stream, now| {
                    state.finalize_write_stream(now, &stream).expect("it is there");
                },
                |_| true,
            );
        }
        if net.fault(faults.unavailable, "a stream expires") {
            // All of it is in the table: a stream that expires with more takes rows with it, which nothing can repair.
            let is_flushed = |stream: &millstream_local_gcp::bigquery::WriteStream| {
                stream.appended == stream.visible
            };
            self.hit(
                net,
                |state, stream, _| {
                    state.replay(Record::StreamForgotten(stream)).expect("it is there");
                },
                is_flushed,
            );
        }
    }

    fn hit(
        &mut self,
        net: &mut Network<Message>,
        act: impl FnOnce(&mut State, StreamName, millstream_local_gcp::clock::Timestamp),
        fits: impl Fn(&millstream_local_gcp::bigquery::WriteStream) -> bool,
    ) {
        let open = self.state.write_streams().filter(|stream| !stream.finalized && fits(stream));
        let names: Vec<_> = open.map(|stream| stream.name.clone()).collect();
        if !names.is_empty() {
            let name = names[net.rng.usize(0..names.len())].clone();
            act(&mut self.state, name, server_time(net.now()));
        }
    }
}

/// Where rows go.
#[derive(Debug)]
struct Place {
    table: Table,
    stream: StreamName,
    offset: Option<i64>,
}

fn name(table: Table) -> TableName {
    DatasetName::new("simulated", "sales").table(table.name())
}

fn refused(kind: &FailureKind) -> &'static str {
    match kind {
        FailureKind::AlreadyExists => "ALREADY_EXISTS",
        FailureKind::OutOfRange => "OUT_OF_RANGE",
        FailureKind::Throttled => "RESOURCE_EXHAUSTED",
        FailureKind::NotFound => "appends to a stream that has expired",
        FailureKind::StreamFinalized => "appends to a stream that was ended",
        _ => "an append is refused",
    }
}

/// A connection as the client has it.
#[derive(Debug)]
struct Connection {
    stream: String,
    in_flight: BTreeSet<AppendId>,
    /// When the last request arrives.
    last: Timestamp,
}

/// The far side of one writer.
#[derive(Debug)]
pub(crate) struct Client {
    link: WriterLink,
    address: Address,
    table: Table,
    /// The bug, where it is planted.
    reused: Option<ReusedStream>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Connections being made.
    making: BTreeMap<ConnectionId, String>,
}

impl Client {
    pub(crate) fn start(
        (link, table): (WriterLink, Table),
        address: Address,
        bug: Option<Bug>,
        net: &mut Network<Message>,
    ) -> Self {
        let delay = net.delay(Duration::from_millis(300));
        net.post(delay, Message::Heard(address, Heard::Ready));
        let reused = (bug == Some(Bug::ReusedOffset)).then(ReusedStream::default);
        let (connections, making) = (BTreeMap::new(), BTreeMap::new());
        Self { link, address, table, reused, connections, making }
    }

    /// Carries the writer's requests.
    pub(crate) fn pump(&mut self, net: &mut Network<Message>) {
        while let Some(request) = self.link.next_request() {
            self.carry(request, net);
        }
    }

    fn carry(&mut self, request: Request<Bytes>, net: &mut Network<Message>) {
        let Some(request) = self.spoil(request, net) else { return };
        let delay = net.delay(TRANSIT_MAX);
        let mut stream = String::new();
        match &request {
            Request::Append { connection, append, .. } => {
                let (connection, append) = (*connection, *append);
                let Some(known) = self.connections.get_mut(&connection) else {
                    return self.lose(connection, append, net);
                };
                known.in_flight.insert(append);
                stream.clone_from(&known.stream);
                let sent = Sent { table: self.table, stream, request, is_stray: false };
                return net.post_behind(&mut known.last, delay, Message::Sent(self.address, sent));
            }
            Request::Close { connection } => {
                self.connections.remove(connection);
                return;
            }
            Request::Connect { connection, stream } => {
                self.making.insert(*connection, stream.clone());
            }
            _ => {}
        }
        let sent = Sent { table: self.table, stream, request, is_stray: false };
        net.post(delay, Message::Sent(self.address, sent));
    }

    fn spoil(
        &mut self,
        request: Request<Bytes>,
        net: &mut Network<Message>,
    ) -> Option<Request<Bytes>> {
        let Some(reused) = &mut self.reused else { return Some(request) };
        match reused.request(request, self.connections.is_empty()) {
            Spoiled::Request(request) => Some(request),
            Spoiled::Answer(answer) => {
                let delay = net.delay(TRANSIT_MAX);
                net.post(delay, Message::Heard(self.address, Heard::Answer(answer)));
                None
            }
        }
    }

    fn lose(&self, connection: ConnectionId, append: AppendId, net: &mut Network<Message>) {
        let result = Err(Failure::new(FailureKind::ConnectionLost, "simulated"));
        let answer = Heard::Answer(Answer::Appended { connection, append, result });
        let delay = net.delay(TRANSIT_MAX);
        net.post(delay, Message::Heard(self.address, answer));
    }

    /// Whether the connection of a request is gone by the time it arrives.
    pub(crate) fn has_lost(&self, request: &Request<Bytes>) -> bool {
        match request {
            Request::Append { connection, .. } => !self.connections.contains_key(connection),
            _ => false,
        }
    }

    /// Takes what the service says, or what happened to a connection.
    pub(crate) fn on_heard(&mut self, heard: Heard, net: &mut Network<Message>) {
        match heard {
            Heard::Ready => self.link.ready(self.table.schema(), false),
            Heard::Broken(connection) => {
                let Some(known) = self.connections.remove(&connection) else { return };
                net.note("a connection breaks", self.address.client, known.in_flight.len() as u64);
                known.in_flight.iter().for_each(|append| self.lose(connection, *append, net));
            }
            Heard::Answer(answer) => self.on_answer(answer, net),
        }
    }

    fn on_answer(&mut self, answer: Answer, net: &mut Network<Message>) {
        let answer = match &self.reused {
            Some(reused) => reused.answer(answer),
            None => answer,
        };
        match &answer {
            Answer::Opened { connection, result: Ok(stream) } => {
                self.connected(*connection, reused::real(stream).to_owned(), net);
            }
            Answer::Connected { connection, result } => {
                let stream = self.making.remove(connection);
                if let (Some(stream), Ok(())) = (stream, result) {
                    self.connected(*connection, stream, net);
                }
            }
            Answer::Appended { connection, append, .. } => {
                if let Some(known) = self.connections.get_mut(connection) {
                    known.in_flight.remove(append);
                }
            }
            _ => {}
        }
        if let Some(answer) = self.link.answer(answer) {
            let heard = Message::Heard(self.address, Heard::Answer(answer));
            net.post(Duration::from_millis(1), heard);
        }
    }

    fn connected(&mut self, connection: ConnectionId, stream: String, net: &Network<Message>) {
        let known = Connection { stream, in_flight: BTreeSet::new(), last: net.now() };
        self.connections.insert(connection, known);
    }
}

/// What becomes of a request whose connection is gone: `None` when it is lost, or how late it arrives.
pub(crate) fn stray(net: &mut Network<Message>) -> Option<Duration> {
    (!net.is_calm() && net.rng.u32(..3) > 0).then(|| net.delay(STRAY_MAX))
}

/// The columns of a table: required whole numbers.
pub(crate) fn numbers(columns: &[&str]) -> TableSchema {
    use millstream_io_gcp::bigquery::{Field, FieldType};
    let required = |name: &&str| Field::required(*name, FieldType::Int64);
    columns.iter().map(required).fold(TableSchema::new(), TableSchema::field)
}
