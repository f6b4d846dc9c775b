//! [`Engine`]: the embedded engine's settings, and the life of a job through its restarts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};

use crate::checkpoint::{CheckpointStore, DirectoryStore, MemoryStore};
use crate::engine::coordinator::Coordinator;
use crate::engine::display::Display;
use crate::engine::drivers::signals::Signals;
use crate::engine::drivers::tasks::IoTasks;
use crate::engine::drivers::threads::{Life, Waiting, run_life};
use crate::engine::job::{JobControl, JobHandle, JobShared, StopMode};
use crate::engine::plan::Plan;
use crate::engine::report::Report;
use crate::engine::restarts::Restarts;
use crate::engine::wiring::metrics;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::metrics::{CheckpointStatus, JobState, Status, StatusTracker, StepMetrics, facade};
use crate::pipeline_graph::PipelineGraph;
use crate::time::{Clock, SystemClock};

/// Default time between checkpoints. Source: the freshness people expect of streaming tables.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

/// Default time between reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// Default number of restarts after failures, where checkpoints make a restart possible.
const RESTARTS: u64 = 3;

/// Threads for asynchronous I/O beside the workers.
const IO_THREADS: usize = 2;

/// How long the end of a job waits for its connectors' last requests. They give up by themselves before.
const LAST_REQUESTS: Duration = Duration::from_secs(15);

type Listener = Arc<dyn Fn(&Status) + Send + Sync>;

/// Where checkpoints go.
#[derive(Clone, Debug)]
enum Store {
    Memory,
    Directory(PathBuf),
    Given(Arc<dyn CheckpointStore>),
}

/// The embedded engine: runs pipelines on threads of this process.
///
/// ```
/// use millstream::prelude::*;
///
/// let pipeline = Pipeline::new();
/// pipeline.create("Numbers", [1_u64, 2, 3]).combine_globally("Sum", Sum).for_each("Check", |sum| assert_eq!(sum, 6));
/// let report = Engine::builder().workers(2).run(&pipeline)?;
/// assert_eq!(report.step("Numbers").map(|step| step.records_out), Some(3));
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    workers: Option<usize>,
    store: Store,
    interval: Option<Duration>,
    report_every: Duration,
    restarts: u64,
    signals: Option<Duration>,
    drain_on_signals: bool,
    display: Display,
    io: Option<Handle>,
    listeners: Vec<Listener>,
}

impl Engine {
    /// An engine with one worker per processor, checkpoints in memory, and no display.
    #[must_use]
    pub fn builder() -> Self {
        Self {
            workers: None,
            store: Store::Memory,
            interval: Some(CHECKPOINT_INTERVAL),
            report_every: REPORT_INTERVAL,
            restarts: RESTARTS,
            signals: None,
            drain_on_signals: false,
            display: Display::Off,
            io: None,
            listeners: Vec::new(),
        }
    }

    /// Number of workers, at least 1 and at most 128, the number of key groups.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Keeps checkpoints as files in `directory`: a restart of the process goes on from the latest one.
    #[must_use]
    pub fn checkpoints_in(mut self, directory: impl Into<PathBuf>) -> Self {
        self.store = Store::Directory(directory.into());
        self
    }

    /// Keeps checkpoints in `store`.
    #[must_use]
    pub fn checkpoint_store(mut self, store: Arc<dyn CheckpointStore>) -> Self {
        self.store = Store::Given(store);
        self
    }

    /// Time between checkpoints, and so how soon an exactly-once sink shows its rows; default 1 s.
    #[must_use]
    pub fn checkpoint_every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Takes a checkpoint only at the end, for bounded work that is simply run again after a failure.
    #[must_use]
    pub fn checkpoint_at_end_only(mut self) -> Self {
        self.interval = None;
        self
    }

    /// Time between two statuses, and so between two reports; default 500 ms.
    #[must_use]
    pub fn report_every(mut self, interval: Duration) -> Self {
        self.report_every = interval;
        self
    }

    /// How often in a row a failed job is restarted from its latest checkpoint; default 3. Where it ran for ten minutes in between, a
    /// new row begins. Errors that would come again, such as a graph that cannot run, are never retried.
    #[must_use]
    pub fn restarts(mut self, restarts: u64) -> Self {
        self.restarts = restarts;
        self
    }

    /// Stops on SIGTERM and SIGINT: with durable checkpoints by a last one, otherwise by draining. The job gives up when that takes longer than
    /// `within`, or at a second signal. From the return of [`start`](Self::start) on, no signal is missed.
    #[must_use]
    pub fn stop_on_signals(mut self, within: Duration) -> Self {
        self.signals = Some(within);
        self
    }

    /// Drains on a signal even with durable checkpoints: the job ends for good, and all windows fire.
    #[must_use]
    pub fn drain_on_signals(mut self) -> Self {
        self.drain_on_signals = true;
        self
    }

    /// Shows progress: a live table on a terminal, a line per report elsewhere.
    #[must_use]
    pub fn display(mut self, display: Display) -> Self {
        self.display = display;
        self
    }

    /// Runs asynchronous I/O on this runtime instead of one of the job's own.
    #[must_use]
    pub fn io_runtime(mut self, runtime: Handle) -> Self {
        self.io = Some(runtime);
        self
    }

    /// Calls `listener` with every status.
    #[must_use]
    pub fn on_status(mut self, listener: impl Fn(&Status) + Send + Sync + 'static) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }

    /// Runs `pipeline` to its end.
    ///
    /// # Errors
    /// [`Error::Graph`] with all problems when it cannot run as built; otherwise what it failed with.
    pub fn run(&self, pipeline: &impl PipelineGraph) -> Result<Report> {
        self.start(pipeline)?.wait()
    }

    /// Starts `pipeline` and returns at once.
    ///
    /// # Errors
    /// [`Error::Graph`] with all problems when it cannot run as built; what keeps the job from being set up.
    pub fn start(&self, pipeline: &impl PipelineGraph) -> Result<JobHandle> {
        let graph = pipeline.checked_graph()?;
        let workers = self.worker_count()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let plan = Plan::new(graph, workers);
        let mut tracker = StatusTracker::new(pipeline.job_name(), workers, clock.now());
        let status = tracker.status(clock.now(), JobState::Starting, &[]);
        let shared = Arc::new(JobShared::new(status));
        let store: Arc<dyn CheckpointStore> = match &self.store {
            Store::Memory => Arc::new(MemoryStore::new()),
            Store::Directory(directory) => Arc::new(DirectoryStore::open(directory)?),
            Store::Given(store) => Arc::clone(store),
        };
        let job = Job {
            engine: self.clone(),
            name: pipeline.job_name().to_owned(),
            metrics: metrics(&plan),
            plan,
            store,
            clock,
            shared: Arc::clone(&shared),
            tracker,
            restarts: Restarts::new(self.restarts),
        };
        let control = JobControl::new(shared);
        let (handle, runtime) = job.io()?;
        if let Some(within) = self.signals {
            stop_on_signals(&handle, control.clone(), job.stop_mode(), within);
        }
        let thread = std::thread::Builder::new()
            .name("millstream-job".to_owned())
            .spawn(move || job.run(handle, runtime))
            .map_err(|cause| Error::invalid("the job's thread could not be started", cause))?;
        Ok(JobHandle::new(control, thread))
    }

    fn worker_count(&self) -> Result<usize> {
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or_else(available);
        let most = usize::from(crate::state::KEY_GROUPS);
        if workers == 0 || (self.workers.is_some() && workers > most) {
            let what = format!("{workers} workers: there must be at least 1 and at most {most}");
            return Err(Error::invalid_value(what));
        }
        Ok(workers.min(most))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("workers", &self.workers)
            .field("store", &self.store)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// A job through all its lives.
struct Job {
    engine: Engine,
    name: String,
    plan: Plan,
    metrics: Vec<StepMetrics>,
    store: Arc<dyn CheckpointStore>,
    clock: Arc<dyn Clock>,
    shared: Arc<JobShared>,
    tracker: StatusTracker,
    restarts: Restarts,
}

impl Job {
    fn run(mut self, handle: Handle, runtime: Option<Runtime>) -> Result<Report> {
        let tasks = IoTasks::default();
        let counted = tasks.clone();
        let io = Io::new(move |task| drop(handle.spawn(counted.count(task))));
        let mut screen = self.engine.display.open();
        let result = self.lives(&io, &mut |status| screen.show(status));
        // What the last checkpoint holds is acknowledged only then: without, it would come again.
        if result.is_ok() && !tasks.wait(LAST_REQUESTS) {
            tracing::warn!("the connectors' last requests were not answered in time");
        }
        let state = if result.is_ok() { JobState::Finished } else { JobState::Failed };
        let mut status = self.status(state, &self.shared.status().checkpoint, &[]);
        if let Err(error) = &result {
            status.failure = error.chain();
        }
        self.publish(&status, &mut |status| screen.show(status));
        screen.close(&status);
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
        result.map(|()| Report::new(status))
    }

    /// How a signal stops the job.
    fn stop_mode(&self) -> StopMode {
        let goes_on = self.store.is_durable() && !self.engine.drain_on_signals;
        if goes_on { StopMode::Suspend } else { StopMode::Drain }
    }

    /// The runtime for I/O; one of the job's own is returned too, to be shut down.
    fn io(&self) -> Result<(Handle, Option<Runtime>)> {
        if let Some(handle) = &self.engine.io {
            return Ok((handle.clone(), None));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("millstream-io")
            .enable_all()
            .build()
            .map_err(|cause| Error::invalid("the I/O runtime could not be started", cause))?;
        Ok((runtime.handle().clone(), Some(runtime)))
    }

    /// Runs life after life until the job ends, or fails once too often.
    fn lives(&mut self, io: &Io, show: &mut dyn FnMut(&Status)) -> Result<()> {
        loop {
            let began = self.clock.now();
            let error = match self.life(io, show) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let stopping = self.shared.stop_request().is_some();
            if !error.is_retryable() || stopping {
                return Err(error);
            }
            let Some(wait) = self.restarts.next(self.clock.now().since(began)) else {
                return Err(error);
            };
            let error_chain = error.chain().join(": ");
            tracing::warn!(
                error = error_chain,
                attempt = self.restarts.all(),
                "restarting from the latest checkpoint"
            );
            std::thread::park_timeout(wait);
        }
    }

    fn life(&mut self, io: &Io, show: &mut dyn FnMut(&Status)) -> Result<()> {
        let now = self.clock.now();
        let checkpoint =
            Coordinator::load_or_begin(&self.name, &self.plan.graph, &*self.store, now)?;
        let (store, shared, clock) =
            (Arc::clone(&self.store), Arc::clone(&self.shared), Arc::clone(&self.clock));
        let (plan, metrics, name) = (self.plan.clone(), self.metrics.clone(), self.name.clone());
        let life = Life {
            job: &name,
            plan: &plan,
            metrics: &metrics,
            store: &*store,
            interval: self.engine.interval,
            io,
            clock,
            shared: &shared,
            report_every: self.engine.report_every,
        };
        run_life(&life, checkpoint, &mut |checkpoint, waiting| {
            let stopping = self.shared.stop_request().is_some();
            let state = if stopping { JobState::Stopping } else { JobState::Running };
            let status = self.status(state, checkpoint, waiting);
            self.publish(&status, show);
        })
    }

    fn status(
        &mut self,
        state: JobState,
        checkpoint: &CheckpointStatus,
        waiting: &[Waiting],
    ) -> Status {
        let mut status = self.tracker.status(self.clock.now(), state, &self.metrics);
        status.restarts = self.restarts.all();
        status.checkpoint = checkpoint.clone();
        for (path, backlog, reason) in waiting {
            if let Some(step) = status.steps.iter_mut().find(|step| *step.path == **path) {
                step.backlog =
                    backlog.map(|count| count + step.backlog.unwrap_or(0)).or(step.backlog);
                step.watermark_reason.clone_from(reason);
            }
        }
        status
    }

    fn publish(&self, status: &Status, show: &mut dyn FnMut(&Status)) {
        self.shared.set_status(status.clone());
        facade::publish(status);
        self.engine.listeners.iter().for_each(|listener| listener(status));
        show(status);
    }
}

/// Stops the job at the first signal from now on; gives it up at the second.
fn stop_on_signals(runtime: &Handle, control: JobControl, mode: StopMode, within: Duration) {
    let _entered = runtime.enter();
    let Ok(mut signals) = Signals::listen() else {
        tracing::warn!("signals cannot be listened to: the job will not stop gracefully");
        return;
    };
    runtime.spawn(async move {
        signals.next().await;
        tracing::info!(?mode, "stopping on a signal");
        control.stop(mode, Some(within));
        signals.next().await;
        tracing::warn!("giving up on a second signal");
        control.stop(mode, Some(Duration::ZERO));
    });
}
