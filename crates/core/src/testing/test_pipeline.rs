//! [`TestPipeline`]: a pipeline that a test runs on one thread with a virtual clock, and that insists on its assertions.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::checkpoint::MemoryStore;
use crate::engine::drivers::single::{SingleDriver, SingleOptions};
use crate::error::{Error, Result};
use crate::metrics::Status;
use crate::pipeline::Pipeline;
use crate::pipeline_graph::PipelineGraph;
use crate::time::{ManualClock, Timestamp};

/// Checks what a step collected; the text says what is wrong.
pub(crate) type Check = Box<dyn Fn() -> std::result::Result<(), String> + Send>;

/// One `PAssert` with all it was asked to check.
pub(crate) struct Assertion {
    pub(crate) step: String,
    pub(crate) location: &'static Location<'static>,
    pub(crate) checks: Vec<Check>,
    /// Forgets what was collected, before the pipeline runs again.
    pub(crate) clear: Box<dyn Fn() + Send>,
}

/// The assertions on one pipeline.
#[derive(Default)]
pub(crate) struct Assertions {
    list: Mutex<Vec<Assertion>>,
}

impl Assertions {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Assertion>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pipelines under test, where a `PAssert` finds those of its collection.
static OPEN: Mutex<Vec<(Pipeline, Weak<Assertions>)>> = Mutex::new(Vec::new());

fn open() -> MutexGuard<'static, Vec<(Pipeline, Weak<Assertions>)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The assertions on a pipeline, if that is under test.
pub(crate) fn assertions_of(pipeline: &Pipeline) -> Option<Arc<Assertions>> {
    let open = open();
    let found = open.iter().find(|(known, _)| known.is_same(pipeline));
    found.and_then(|(_, assertions)| assertions.upgrade())
}

/// A pipeline under test. It is built like any other, and run with [`TestPipeline::run`], which also checks every
/// [`PAssert`](crate::testing::PAssert) on it. One that has assertions and is dropped without having been run fails the test.
///
/// ```
/// use millstream::testing::{PAssert, TestPipeline};
///
/// let pipeline = TestPipeline::new();
/// let doubled = pipeline.create("Numbers", [1, 2]).map("Double", |number: i32| number * 2);
/// PAssert::that(&doubled).contains_in_any_order([4, 2]);
/// pipeline.run();
/// ```
pub struct TestPipeline {
    pipeline: Pipeline,
    assertions: Arc<Assertions>,
    options: SingleOptions,
    starts_at: Timestamp,
    runs: u64,
    was_run: std::cell::Cell<bool>,
}

impl TestPipeline {
    /// An empty pipeline, to be run once with one worker, from processing time 0 on.
    #[must_use]
    pub fn new() -> Self {
        let pipeline = Pipeline::named("test");
        let assertions = Arc::<Assertions>::default();
        open().push((pipeline.clone(), Arc::downgrade(&assertions)));
        Self {
            pipeline,
            assertions,
            options: SingleOptions::default(),
            starts_at: Timestamp::EPOCH,
            runs: 1,
            was_run: std::cell::Cell::new(false),
        }
    }

    /// Runs with this many workers.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers;
        self
    }

    /// Seeds the order in which workers step.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Takes checkpoints, this much virtual time apart.
    #[must_use]
    pub fn checkpoint_every(mut self, interval: Duration) -> Self {
        self.options.checkpoint_interval = Some(interval);
        self
    }

    /// Begins at this processing time.
    #[must_use]
    pub fn starting_at(mut self, now: Timestamp) -> Self {
        self.starts_at = now;
        self
    }

    /// Runs `runs` times, each with another seed and from the second on with 2, 3, 4, then 1 worker and so on. The assertions
    /// have to hold each time.
    #[must_use]
    pub fn runs(mut self, runs: u64) -> Self {
        self.runs = runs;
        self
    }

    /// Runs the pipeline to its end and checks all assertions; gives the status of the last run.
    ///
    /// # Panics
    /// When the pipeline fails or an assertion does not hold.
    #[track_caller]
    pub fn run(&self) -> Status {
        match self.try_run() {
            Ok(status) => status,
            Err(error) => panic!("{}", error.chain().join(": ")),
        }
    }

    /// Like [`TestPipeline::run`], for pipelines and assertions that are expected to fail.
    ///
    /// # Errors
    /// What the pipeline failed with; [`Error::Invalid`] with all assertions that do not hold.
    pub fn try_run(&self) -> Result<Status> {
        self.was_run.set(true);
        let mut last = None;
        for run in 0..self.runs.max(1) {
            last = Some(self.run_once(run)?);
        }
        last.ok_or_else(|| Error::invalid_value("the pipeline was not run"))
    }

    fn run_once(&self, run: u64) -> Result<Status> {
        let mut options = self.options.clone();
        if run > 0 {
            options.seed = options.seed.wrapping_add(run);
            options.workers = usize::try_from(run % 4).unwrap_or(0) + 1;
        }
        self.assertions.lock().iter().for_each(|assertion| (assertion.clear)());
        let store = MemoryStore::new();
        let clock = ManualClock::at(self.starts_at);
        let graph = self.pipeline.checked_graph()?;
        let status = SingleDriver::start(graph, &options, &store, clock)?.run(&store)?;
        self.check(&options)?;
        Ok(status)
    }

    fn check(&self, options: &SingleOptions) -> Result<()> {
        let mut failures = Vec::new();
        for assertion in self.assertions.lock().iter() {
            let Assertion { step, location, checks, .. } = assertion;
            let mut fail = |what: &str| failures.push(format!("{step} at {location}: {what}"));
            if checks.is_empty() {
                fail("it asserts nothing");
            }
            checks.iter().filter_map(|check| check().err()).for_each(|what| fail(&what));
        }
        if failures.is_empty() {
            return Ok(());
        }
        let SingleOptions { workers, seed, .. } = options;
        let failures = failures.join("\n");
        Err(Error::invalid_value(format!("with {workers} workers and seed {seed}:\n{failures}")))
    }
}

impl Default for TestPipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestPipeline {
    type Target = Pipeline;

    fn deref(&self) -> &Pipeline {
        &self.pipeline
    }
}

impl Drop for TestPipeline {
    fn drop(&mut self) {
        open().retain(|(known, _)| !known.is_same(&self.pipeline));
        let count = self.assertions.lock().len();
        if count > 0 && !self.was_run.get() && !std::thread::panicking() {
            panic!("a TestPipeline with {count} assertions was dropped without having been run");
        }
    }
}

impl fmt::Debug for TestPipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestPipeline")
            .field("pipeline", &self.pipeline)
            .field("assertions", &self.assertions.lock().len())
            .finish_non_exhaustive()
    }
}
