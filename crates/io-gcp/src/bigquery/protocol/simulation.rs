//! The exactly-once machine against a model of the server, with everything going wrong, in virtual time and from a seed.
//!
//! Faults: answers lost, requests lost, connections cut with requests still on their way (which arrive much later), throttling, requests
//! refused before and after they took effect, single rows refused (some of them only at first), crashes of the writer at any
//! point with a restart from the last checkpoint. Checked: every row is visible exactly once or refused exactly once, and after
//! the last fault everything comes to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use millstream::Timestamp;

use super::slots::State;
use super::{
    Answer, AppendId, Block, BufferedProtocol, Committable, ConnectionId, Failure, FailureKind,
    ProtocolOptions, Request, RowFailure,
};

/// Rows that are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows(pub(super) Vec<u32>);

impl Block for Rows {
    type Body = Vec<u32>;

    fn rows(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self) -> usize {
        self.0.len() * 4
    }

    fn body(&self) -> Vec<u32> {
        self.0.clone()
    }
}

#[derive(Debug, Default)]
struct Stream {
    rows: Vec<u32>,
    visible: usize,
    is_final: bool,
}

/// What BigQuery does, as far as it concerns the machine.
#[derive(Debug, Default)]
struct Server {
    streams: BTreeMap<String, Stream>,
}

fn failed<T>(kind: FailureKind) -> Result<T, Failure> {
    Err(Failure::new(kind, "model"))
}

impl Server {
    fn open(&mut self) -> String {
        let name = format!("stream-{}", self.streams.len());
        self.streams.insert(name.clone(), Stream::default());
        name
    }

    /// Rows divisible by 7 are refused; those divisible by 21 only in the first two minutes.
    fn append(
        &mut self,
        stream: &str,
        offset: u64,
        rows: &[u32],
        now: Timestamp,
    ) -> Result<Option<u64>, Failure> {
        let is_early = now < Timestamp::from_secs(120);
        let is_bad = |row: &u32| row.is_multiple_of(7) && (is_early || !row.is_multiple_of(21));
        let stream = self.streams.get_mut(stream).expect("streams are opened before");
        let end = stream.rows.len() as u64;
        if stream.is_final {
            return failed(FailureKind::StreamFinalized);
        }
        if offset != end {
            let kind =
                if offset < end { FailureKind::AlreadyExists } else { FailureKind::OutOfRange };
            return failed(kind);
        }
        let bad: Vec<_> = (0_u64..)
            .zip(rows)
            .filter(|(_, row)| is_bad(row))
            .map(|(index, _)| RowFailure { index, reason: "bad".into() })
            .collect();
        if !bad.is_empty() {
            return failed(FailureKind::Rows(bad));
        }
        stream.rows.extend(rows);
        Ok(Some(offset))
    }

    fn flush(&mut self, stream: &str, rows: u64) -> Result<(), Failure> {
        let stream = self.streams.get_mut(stream).expect("streams are opened before");
        let rows = usize::try_from(rows).expect("small");
        if rows > stream.rows.len() {
            return failed(FailureKind::OutOfRange);
        }
        if rows <= stream.visible {
            return failed(FailureKind::AlreadyExists);
        }
        if stream.is_final {
            return failed(FailureKind::StreamFinalized);
        }
        stream.visible = rows;
        Ok(())
    }

    fn visible(&self) -> Vec<u32> {
        self.streams.values().flat_map(|stream| stream.rows[..stream.visible].to_vec()).collect()
    }
}

/// What is on its way.
#[derive(Debug)]
enum Message {
    Request(u32, Request<Vec<u32>>),
    Answer(u32, Answer),
}

/// What survives a crash.
#[derive(Clone, Debug, Default)]
struct Checkpoint {
    position: u32,
    committable: Committable,
    refused: Vec<u32>,
}

struct World {
    rng: Rng,
    now: Timestamp,
    server: Server,
    /// Messages by arrival; those of one connection keep their order.
    network: BTreeMap<(Timestamp, u64), Message>,
    sent: u64,
    /// Arrival of the last message of each connection and direction.
    last: BTreeMap<(u32, ConnectionId, bool), Timestamp>,
    /// Streams by connection, and whether the connection still answers.
    connections: BTreeMap<(u32, ConnectionId), (String, bool)>,
    faults: bool,
    /// Number of the writer's life.
    life: u32,
    machine: BufferedProtocol<Rows>,
    position: u32,
    refused: Vec<u32>,
    checkpoint: Checkpoint,
    /// When the next epoch ends; `None` while a barrier waits.
    barrier_at: Option<Timestamp>,
    rows: u32,
}

const EPOCH: Duration = Duration::from_secs(1);

impl World {
    fn new(seed: u64, rows: u32) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            now: Timestamp::EPOCH,
            server: Server::default(),
            network: BTreeMap::new(),
            sent: 0,
            last: BTreeMap::new(),
            connections: BTreeMap::new(),
            faults: true,
            life: 0,
            machine: machine(seed),
            position: 0,
            refused: Vec::new(),
            checkpoint: Checkpoint::default(),
            barrier_at: Some(Timestamp::EPOCH + EPOCH),
            rows,
        }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.faults && self.rng.u32(..1_000) < percent * 10
    }

    fn post(&mut self, life: u32, connection: ConnectionId, message: Message, delay_max: u64) {
        let is_answer = matches!(message, Message::Answer(..));
        let mut at = self.now + Duration::from_millis(1 + self.rng.u64(..=delay_max));
        if connection != 0 {
            let last = self.last.entry((life, connection, is_answer)).or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.sent += 1;
        self.network.insert((at, self.sent), message);
    }

    fn crash(&mut self) {
        self.life += 1;
        self.machine = machine(self.rng.u64(..));
        self.machine.commit(&self.checkpoint.committable, true);
        self.position = self.checkpoint.position;
        self.refused.clone_from(&self.checkpoint.refused);
        self.barrier_at = Some(self.now + EPOCH);
    }

    /// Cuts a connection: what is on its way to the server may arrive, even much later; nothing comes back but the news,
    /// and that only if the writer `hears` of it.
    fn cut(&mut self, life: u32, connection: ConnectionId, hears: bool) {
        if let Some((_, is_alive)) = self.connections.get_mut(&(life, connection)) {
            *is_alive = false;
        }
        let of_it = |message: &Message| match message {
            Message::Request(of, Request::Append { connection: id, append, .. }) => {
                (*of == life && *id == connection).then_some(*append)
            }
            Message::Answer(of, Answer::Appended { connection: id, append, .. }) => {
                (*of == life && *id == connection).then_some(*append)
            }
            _ => None,
        };
        let hit: Vec<_> = self
            .network
            .iter()
            .filter_map(|(key, message)| of_it(message).map(|append| (*key, append)))
            .collect();
        let mut lost = Vec::new();
        for (key, append) in hit {
            lost.push(append);
            let message = self.network.remove(&key).expect("just seen");
            if matches!(message, Message::Request(..)) && self.rng.u32(..4) > 0 {
                let delay_max = if self.rng.bool() { 3_000 } else { 40_000 };
                self.post(life, 0, message, delay_max);
            }
        }
        for append in lost.into_iter().filter(|_| hears) {
            self.lose(life, connection, append);
        }
    }

    fn lose(&mut self, life: u32, connection: ConnectionId, append: AppendId) {
        let result = failed(FailureKind::ConnectionLost);
        let answer = Answer::Appended { connection, append, result };
        self.post(life, connection, Message::Answer(life, answer), 20);
    }

    fn serve(&mut self, life: u32, request: Request<Vec<u32>>) {
        match request {
            Request::Open { connection, .. } => {
                let name = self.server.open();
                self.connections.insert((life, connection), (name.clone(), true));
                self.answer(life, 0, |result| match result {
                    Ok(()) => Answer::Opened { connection, result: Ok(name) },
                    Err(failure) => Answer::Opened { connection, result: Err(failure) },
                });
            }
            Request::Connect { connection, stream } => {
                self.connections.insert((life, connection), (stream, true));
                self.answer(life, 0, |result| Answer::Connected { connection, result });
            }
            Request::Close { .. } => {}
            Request::Append { connection, append, offset, body } => {
                self.serve_append(life, connection, append, offset.expect("buffered"), &body);
            }
            Request::Flush { stream, rows } => {
                let served = self.server.flush(&stream, rows);
                self.answer(life, 0, |result| Answer::Flushed {
                    stream,
                    rows,
                    result: result.and(served),
                });
            }
            Request::Finalize { stream } => {
                self.server.streams.get_mut(&stream).expect("opened before").is_final = true;
                self.answer(life, 0, |result| Answer::Finalized { stream, result });
            }
        }
    }

    /// Answers something that took effect, or claims that it did not, or stays silent.
    fn answer(
        &mut self,
        life: u32,
        connection: ConnectionId,
        answer: impl FnOnce(Result<(), Failure>) -> Answer,
    ) {
        if self.happens(2) {
            return;
        }
        let result = if self.happens(5) { failed(FailureKind::Unavailable) } else { Ok(()) };
        self.post(life, connection, Message::Answer(life, answer(result)), 20);
    }

    fn serve_append(
        &mut self,
        life: u32,
        connection: ConnectionId,
        append: AppendId,
        offset: u64,
        rows: &[u32],
    ) {
        let (stream, is_alive) = self.connections[&(life, connection)].clone();
        let reply = |world: &mut Self, result| {
            let answer = Answer::Appended { connection, append, result };
            world.post(life, connection, Message::Answer(life, answer), 20);
        };
        if is_alive && self.happens(3) {
            return reply(self, failed(FailureKind::Throttled));
        }
        if is_alive && self.happens(2) {
            return reply(self, failed(FailureKind::Unavailable));
        }
        let result = self.server.append(&stream, offset, rows, self.now);
        if !is_alive {
            return;
        }
        if self.happens(2) {
            return reply(self, failed(FailureKind::Unavailable));
        }
        if self.happens(1) {
            return self.cut(life, connection, false);
        }
        if self.happens(6) {
            self.lose(life, connection, append);
            return self.cut(life, connection, true);
        }
        reply(self, result);
    }

    /// One look of the worker at its writer.
    fn work(&mut self) {
        let mut requests = Vec::new();
        self.machine.poll(self.now, &mut requests).expect("nothing of this is fatal");
        for split in self.machine.take_splits() {
            let bad: BTreeSet<_> = split.failures.iter().map(|failure| failure.index).collect();
            let mut kept = Vec::new();
            for (index, row) in (0_u64..).zip(split.block.0) {
                if bad.contains(&index) { &mut self.refused } else { &mut kept }.push(row);
            }
            self.machine.put_back(split.append, (!kept.is_empty()).then_some(Rows(kept)));
        }
        self.machine.poll(self.now, &mut requests).expect("nothing of this is fatal");
        for request in requests {
            let connection = match &request {
                Request::Open { connection, .. }
                | Request::Connect { connection, .. }
                | Request::Append { connection, .. }
                | Request::Close { connection } => *connection,
                _ => 0,
            };
            self.post(self.life, connection, Message::Request(self.life, request), 20);
        }
        if self.barrier_at.is_some_and(|at| at <= self.now) {
            self.barrier_at = None;
        }
        if self.barrier_at.is_none() {
            self.prepare();
        } else if self.rng.u32(..300) == 0 {
            self.push_burst();
        }
    }

    fn push_burst(&mut self) {
        for _ in 0..self.rng.u32(1..=6) {
            let count = self.rng.u32(1..=6).min(self.rows - self.position);
            if count > 0 && self.machine.has_room() {
                self.machine.push(Rows((self.position..self.position + count).collect()));
                self.position += count;
            }
        }
    }

    fn prepare(&mut self) {
        let Some(committable) = self.machine.prepare(self.now) else { return };
        if self.happens(10) {
            return self.crash();
        }
        let refused = self.refused.clone();
        self.checkpoint = Checkpoint { position: self.position, committable, refused };
        self.barrier_at = Some(self.now + EPOCH);
        if self.happens(10) {
            return self.crash();
        }
        self.machine.commit(&self.checkpoint.committable, false);
    }

    fn step(&mut self) {
        let arrival = self.network.keys().next().map(|(at, _)| *at);
        let tick = self.now + Duration::from_millis(5);
        self.now = arrival.map_or(tick, |at| at.min(tick)).max(self.now);
        while let Some(entry) = self.network.first_entry().filter(|entry| entry.key().0 <= self.now)
        {
            match entry.remove() {
                Message::Request(life, request) => self.serve(life, request),
                Message::Answer(life, answer) if life == self.life => {
                    self.machine.on_answer(answer, self.now).expect("nothing of this is fatal");
                }
                Message::Answer(..) => {}
            }
        }
        if self.rng.u32(..20_000) == 0 && self.faults {
            self.crash();
        }
        self.work();
    }

    fn is_at_rest(&self) -> bool {
        self.position == self.rows
            && self.checkpoint.position == self.rows
            && self.machine.is_committed()
    }

    fn check(&self) {
        let mut seen = self.server.visible();
        seen.extend(&self.checkpoint.refused);
        seen.sort_unstable();
        let expected: Vec<_> = (0..self.rows).collect();
        assert_eq!(seen, expected, "every row is visible or refused, once");
        assert!(self.checkpoint.refused.iter().all(|row| row.is_multiple_of(7)));
    }
}

fn machine(seed: u64) -> BufferedProtocol<Rows> {
    let options = ProtocolOptions {
        seed,
        blocks_max: 6,
        append_timeout: Duration::from_secs(20),
        control_timeout: Duration::from_secs(20),
        idle_after: Duration::from_secs(30),
        ..ProtocolOptions::default()
    };
    BufferedProtocol::new(options)
}

fn run(seed: u64) {
    let mut world = World::new(seed, 1_000);
    let mut steps = 0_u32;
    while !world.is_at_rest() && world.now < Timestamp::from_secs(900) {
        world.step();
        steps += 1;
        assert!(steps < 5_000_000, "the simulation does not get on");
    }
    world.faults = false;
    let deadline = world.now + Duration::from_secs(120);
    while !world.is_at_rest() || world.machine.slots_are_waiting() {
        world.step();
        assert!(world.now < deadline, "not at rest two minutes after the last fault");
    }
    world.check();
}

impl<B: Block> BufferedProtocol<B> {
    fn slots_are_waiting(&self) -> bool {
        self.slots.iter().any(|slot| slot.state != State::Done)
    }
}

#[test]
fn whatever_goes_wrong_every_row_is_visible_once_or_refused_once() {
    let first: u64 =
        std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count: u64 =
        std::env::var("MILLSTREAM_SEEDS").ok().and_then(|seed| seed.parse().ok()).unwrap_or(25);
    for seed in first..first + count {
        if let Err(cause) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("failed with MILLSTREAM_SEED={seed} MILLSTREAM_SEEDS=1");
            std::panic::resume_unwind(cause);
        }
    }
}
