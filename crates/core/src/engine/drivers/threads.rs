//! The production driver: one thread per worker, parked when idle, beside an asynchronous runtime for I/O.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crate::checkpoint::{Checkpoint, CheckpointStore};
use crate::engine::coordinator::{Coordinator, Order};
use crate::engine::job::{JobShared, StopMode};
use crate::engine::plan::Plan;
use crate::engine::wiring::{WorkerWaker, build_workers};
use crate::engine::worker::{Standing, Worker};
use crate::error::{Error, Result};
use crate::io::{Io, Waker};
use crate::metrics::{CheckpointStatus, StepMetrics};
use crate::sink::Epoch;
use crate::state::{RestoredState, SnapshotPart};
use crate::time::{Clock, Timestamp};

/// Elements a stage takes in one round: some tens of microseconds of work, so that nothing waits long for its turn.
const ROUND_BUDGET: usize = 4_096;

/// A parked worker looks up after this long even when nobody woke it: twice a second costs nothing measurable.
const PARK_MAX: Duration = Duration::from_millis(500);

/// How often a worker says what waits in front of its stages.
const WAITING_EVERY: Duration = Duration::from_millis(250);

/// What waits in front of a stage: path of its root, elements where known, and why its watermark stands.
pub type Waiting = (Arc<str>, Option<u64>, String);

#[derive(Default)]
struct Mailbox {
    orders: Mutex<Vec<WorkerOrder>>,
    has_orders: AtomicBool,
    thread: OnceLock<Thread>,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Clone, Copy, Debug)]
enum WorkerOrder {
    Checkpoint(Order),
    Stop {
        drain: bool,
    },
    /// End; `true`: everything is committed.
    End,
}

impl Mailbox {
    fn give(&self, order: WorkerOrder) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        self.has_orders.store(true, Ordering::Release);
        self.wake();
    }

    fn take(&self) -> Vec<WorkerOrder> {
        if !self.has_orders.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

enum Event {
    Passed {
        worker: usize,
        part: SnapshotPart,
    },
    Standing {
        worker: usize,
        standing: Standing,
    },
    Failed(Error),
    /// Something outside wants the coordinator to look.
    Look,
}

/// What one life of a job needs.
pub(crate) struct Life<'a> {
    pub(crate) job: &'a str,
    pub(crate) plan: &'a Plan,
    pub(crate) metrics: &'a [StepMetrics],
    pub(crate) store: &'a dyn CheckpointStore,
    pub(crate) interval: Option<Duration>,
    pub(crate) io: &'a Io,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: &'a Arc<JobShared>,
    pub(crate) report_every: Duration,
}

/// Runs one life of a job, from `checkpoint`, to its end. `report` is called at every report interval.
pub(crate) fn run_life(
    life: &Life<'_>,
    checkpoint: Option<Checkpoint>,
    report: &mut dyn FnMut(&CheckpointStatus, &[Waiting]),
) -> Result<()> {
    let (sender, events) = channel();
    let look = sender.clone();
    life.shared.set_coordinator(Waker::new(move || drop(look.send(Event::Look))));
    let crew = Crew::start(life, checkpoint.as_ref().map(|found| &found.state), &sender)?;
    let epoch = checkpoint.map_or(0, |found| found.manifest.epoch);
    let result = coordinate(life, &crew, &events, epoch, report);
    crew.end();
    result
}

/// The worker threads.
struct Crew {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    fn start(
        life: &Life<'_>,
        state: Option<&RestoredState>,
        events: &Sender<Event>,
    ) -> Result<Self> {
        let mailboxes: Vec<Arc<Mailbox>> = (0..life.plan.workers).map(|_| Arc::default()).collect();
        let waker = |mailbox: &Arc<Mailbox>| {
            let mailbox = Arc::clone(mailbox);
            WorkerWaker { woken: Arc::default(), waker: Waker::new(move || mailbox.wake()) }
        };
        let wakers: Vec<_> = mailboxes.iter().map(waker).collect();
        let workers = build_workers(life.plan, life.metrics, &wakers, life.io, state)?;
        let state = state.cloned().map(Arc::new);
        let paths: Arc<[Arc<str>]> =
            life.plan.graph.nodes().iter().map(|node| Arc::clone(&node.path)).collect();
        let mut crew = Self { mailboxes, threads: Vec::new() };
        for (index, worker) in workers.into_iter().enumerate() {
            let thread = WorkerThread {
                index,
                worker: worker.with_meter(Arc::clone(&life.clock)),
                mailbox: Arc::clone(&crew.mailboxes[index]),
                events: events.clone(),
                clock: Arc::clone(&life.clock),
                standing: None,
                waiting_at: Timestamp::MIN,
            };
            let (state, paths) = (state.clone(), Arc::clone(&paths));
            let spawned = std::thread::Builder::new()
                .name(format!("millstream-{index}"))
                .spawn(move || thread.run(state, &paths));
            match spawned {
                Ok(handle) => crew.threads.push(handle),
                Err(cause) => {
                    crew.end();
                    return Err(Error::invalid("a worker thread could not be started", cause));
                }
            }
        }
        Ok(crew)
    }

    fn give(&self, order: WorkerOrder) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.give(order));
    }

    fn waiting(&self) -> Vec<Waiting> {
        let lists = self.mailboxes.iter();
        lists
            .flat_map(|mailbox| {
                mailbox.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
            })
            .collect()
    }

    fn end(self) {
        self.give(WorkerOrder::End);
        for thread in self.threads {
            // A panic was reported as an event where it happened.
            drop(thread.join());
        }
    }
}

fn coordinate(
    life: &Life<'_>,
    crew: &Crew,
    events: &Receiver<Event>,
    epoch: Epoch,
    report: &mut dyn FnMut(&CheckpointStatus, &[Waiting]),
) -> Result<()> {
    let clock = &life.clock;
    let graph = life.plan.graph.clone();
    let mut coordinator =
        Coordinator::new(life.job, graph, life.plan.workers, life.interval, epoch, clock.now());
    // Which request to stop was noted, and until when the job has time.
    let mut stopping: Option<(u64, Timestamp)> = None;
    let mut report_at = clock.now() + life.report_every;
    loop {
        let now = clock.now();
        if coordinator.is_over() {
            report(coordinator.status(), &crew.waiting());
            return Ok(());
        }
        if let Some(order) = coordinator.tick(now) {
            crew.give(WorkerOrder::Checkpoint(order));
        }
        if let Some(request) = life.shared.stop_request()
            && stopping.is_none_or(|(number, _)| number < request.number)
        {
            if stopping.is_none() {
                crew.give(WorkerOrder::Stop { drain: request.mode == StopMode::Drain });
            }
            let deadline = request.within.map_or(Timestamp::MAX, |within| now + within);
            stopping = Some((request.number, deadline));
        }
        if now >= report_at {
            report(coordinator.status(), &crew.waiting());
            report_at = now + life.report_every;
        }
        let deadline = stopping.map_or(Timestamp::MAX, |(_, deadline)| deadline);
        if now >= deadline {
            return Err(Error::Stopped("the deadline for stopping passed".to_owned()));
        }
        let until = coordinator.next_at().min(report_at).min(deadline);
        let event = match events.recv_timeout(until.since(now).min(PARK_MAX)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Stopped("all workers are gone".to_owned()));
            }
        };
        match event {
            Event::Look => {}
            Event::Failed(error) => return Err(error),
            Event::Standing { worker, standing } => coordinator.on_standing(worker, standing),
            Event::Passed { worker, part } => {
                if let Some(order) = coordinator.on_passed(worker, part, life.store, clock.now())? {
                    crew.give(WorkerOrder::Checkpoint(order));
                }
            }
        }
    }
}

struct WorkerThread {
    index: usize,
    worker: Worker,
    mailbox: Arc<Mailbox>,
    events: Sender<Event>,
    clock: Arc<dyn Clock>,
    standing: Option<Standing>,
    waiting_at: Timestamp,
}

impl WorkerThread {
    fn run(mut self, state: Option<Arc<RestoredState>>, paths: &[Arc<str>]) {
        let _ = self.mailbox.thread.set(std::thread::current());
        let work = catch_unwind(AssertUnwindSafe(|| self.work(state)));
        let error = match work {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(self.blame(&*panic, paths)),
        };
        if let Some(error) = error {
            drop(self.events.send(Event::Failed(error)));
        }
        let torn_down = catch_unwind(AssertUnwindSafe(|| self.worker.teardown()));
        if torn_down.is_err() {
            tracing::warn!(worker = self.index, "a step panicked while it was taken down");
        }
    }

    fn blame(&self, panic: &(dyn Any + Send), paths: &[Arc<str>]) -> Error {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        let step = paths.get(self.worker.current_step());
        Error::Panic {
            step: step.map(ToString::to_string).unwrap_or_default(),
            message: message.unwrap_or_else(|| "(no message)".to_owned()),
        }
    }

    fn work(&mut self, state: Option<Arc<RestoredState>>) -> Result<()> {
        self.worker.start(state, self.clock.now())?;
        loop {
            for order in self.mailbox.take() {
                match order {
                    WorkerOrder::Checkpoint(Order::Cut(barrier)) => self.worker.cut(barrier),
                    WorkerOrder::Checkpoint(Order::Committed(epoch)) => {
                        self.worker.committed(epoch)?;
                        // The coordinator waits to hear of this epoch's commit, settled or not before.
                        self.standing = None;
                    }
                    WorkerOrder::Stop { drain } => self.worker.stop(drain),
                    WorkerOrder::End => return Ok(()),
                }
            }
            let now = self.clock.now();
            let report = self.worker.step(now, ROUND_BUDGET)?;
            self.tell(report.passed.map(|(_, part)| part));
            self.tell_waiting(now);
            if !report.progress {
                let until = report.wake_at.unwrap_or(Timestamp::MAX).since(self.clock.now());
                std::thread::park_timeout(until.min(PARK_MAX));
            }
        }
    }

    /// Tells the coordinator what it needs to know. That it is gone means that the end is near.
    fn tell(&mut self, passed: Option<SnapshotPart>) {
        let standing = self.worker.standing();
        if let Some(part) = passed {
            drop(self.events.send(Event::Passed { worker: self.index, part }));
        }
        if self.standing != Some(standing) {
            self.standing = Some(standing);
            drop(self.events.send(Event::Standing { worker: self.index, standing }));
        }
    }

    fn tell_waiting(&mut self, now: Timestamp) {
        if now < self.waiting_at {
            return;
        }
        self.waiting_at = now + WAITING_EVERY;
        let waiting = self.worker.waiting();
        let waiting =
            waiting.map(|(path, count, reason)| (Arc::clone(path), count, reason)).collect();
        *self.mailbox.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}
