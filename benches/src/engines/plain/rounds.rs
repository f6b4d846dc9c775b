//! How the loops run: one thread straight through, or several in lockstep.
//!
//! With several threads a run is a sequence of rounds: each thread routes one piece of the input into a buffer per
//! destination, all wait for each other once, then each drains what came for it. That is deterministic, and the
//! watermark is the end of the round.

use std::hint;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use crate::nexmark::Event;
use crate::outcome::{Outcome, spread};

/// Events between two watermarks with one thread.
const PIECE: usize = 8_192;
/// Events that one thread routes in a round.
const ROUND: usize = 16_384;
/// How often a waiting thread looks before it gives its core away.
const SPINS: usize = 2_000;

/// A query as a loop body.
pub(super) trait Query: Default + Send {
    /// An element of the input.
    type Input: Timed + Sync;
    /// What is handed from the thread that reads an input to the one that holds the state of its key.
    type Message: Send;
    /// Whether equal keys must meet in one thread.
    const IS_KEYED: bool;

    /// Turns an input into messages with their keys.
    fn route(input: &Self::Input, send: &mut impl FnMut(u64, Self::Message));
    /// Takes in one message.
    fn process(&mut self, message: Self::Message);
    /// No input before `watermark` will follow.
    fn advance(&mut self, _watermark: u64) {}
    /// Takes in what another thread found.
    fn merge(&mut self, other: Self);
    /// The outputs.
    fn finish(self) -> Outcome;
}

/// An input with an event time in milliseconds.
pub(super) trait Timed {
    fn time(&self) -> u64;
}

impl Timed for Event {
    #[inline]
    fn time(&self) -> u64 {
        Event::time(self)
    }
}

impl Timed for (u64, u64) {
    #[inline]
    fn time(&self) -> u64 {
        0
    }
}

/// Runs a query with `workers` threads.
pub(super) fn run<Q: Query>(inputs: &[Q::Input], workers: usize) -> Outcome {
    if workers == 1 { run_straight::<Q>(inputs) } else { run_in_rounds::<Q>(inputs, workers) }
}

fn run_straight<Q: Query>(inputs: &[Q::Input]) -> Outcome {
    let mut query = Q::default();
    for piece in inputs.chunks(PIECE) {
        for input in piece {
            Q::route(input, &mut |_, message| query.process(message));
        }
        query.advance(piece.last().map_or(0, Timed::time));
    }
    query.advance(u64::MAX);
    query.finish()
}

fn run_in_rounds<Q: Query>(inputs: &[Q::Input], workers: usize) -> Outcome {
    let exchange = Exchange::new(workers);
    let queries = thread::scope(|scope| {
        let exchange = &exchange;
        let start = |worker| scope.spawn(move || run_worker::<Q>(inputs, worker, exchange));
        let threads: Vec<_> = (0..workers).map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Q>| thread.join().expect("a loop ends");
        threads.into_iter().map(join).collect::<Vec<Q>>()
    });
    let merged = queries.into_iter().reduce(|mut merged, query| {
        merged.merge(query);
        merged
    });
    merged.map_or(Outcome::default(), Q::finish)
}

fn run_worker<Q: Query>(inputs: &[Q::Input], worker: usize, exchange: &Exchange<Q::Message>) -> Q {
    let mut query = Q::default();
    let in_a_round = ROUND * exchange.workers;
    for (round, inputs) in inputs.chunks(in_a_round).enumerate() {
        let first = (worker * ROUND).min(inputs.len());
        let piece = &inputs[first..(first + ROUND).min(inputs.len())];
        if Q::IS_KEYED {
            exchange.route::<Q>(round, worker, piece);
            exchange.wait_for_all(round);
            exchange.drain(round, worker, |message| query.process(message));
            query.advance(inputs.last().map_or(0, Timed::time));
        } else {
            for input in piece {
                Q::route(input, &mut |_, message| query.process(message));
            }
        }
    }
    query.advance(u64::MAX);
    query
}

/// The buffers between all pairs of workers, twice: one set is drained while the other is filled.
///
/// A lock is taken once a round and never contended, because only one worker at a time has business with a buffer.
struct Exchange<M> {
    workers: usize,
    buffers: Vec<Mutex<Vec<M>>>,
    arrived: AtomicUsize,
}

impl<M> Exchange<M> {
    fn new(workers: usize) -> Self {
        let buffer = || Mutex::new(Vec::with_capacity(ROUND));
        let buffers = (0..2 * workers * workers).map(|_| buffer()).collect();
        Self { workers, buffers, arrived: AtomicUsize::new(0) }
    }

    fn buffer(&self, round: usize, from: usize, to: usize) -> MutexGuard<'_, Vec<M>> {
        let index = ((round % 2) * self.workers + from) * self.workers + to;
        self.buffers[index].lock().expect("no worker panics with a buffer")
    }

    fn route<Q: Query<Message = M>>(&self, round: usize, worker: usize, inputs: &[Q::Input]) {
        let mut guards: Vec<_> =
            (0..self.workers).map(|to| self.buffer(round, worker, to)).collect();
        let mut buffers: Vec<&mut Vec<M>> = guards.iter_mut().map(|guard| &mut **guard).collect();
        let workers = self.workers as u64;
        for input in inputs {
            Q::route(input, &mut |key, message| {
                let to = (u64::from(spread(key) as u32) * workers) >> 32;
                buffers[to as usize].push(message);
            });
        }
    }

    fn wait_for_all(&self, round: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0;
        while self.arrived.load(Ordering::Acquire) < (round + 1) * self.workers {
            spins += 1;
            if spins > SPINS { thread::yield_now() } else { hint::spin_loop() }
        }
    }

    fn drain(&self, round: usize, worker: usize, mut process: impl FnMut(M)) {
        for from in 0..self.workers {
            self.buffer(round, from, worker).drain(..).for_each(&mut process);
        }
    }
}
