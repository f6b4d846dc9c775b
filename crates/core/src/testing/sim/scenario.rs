//! A whole life story of a job from one seed: [`Scenario`], [`run`], and what may go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::checkpoint::DirectoryStore;
use crate::combine::Sum;
use crate::engine::drivers::single::{Outcome as Step, SingleDriver, SingleOptions};
use crate::error::Error;
use crate::pipeline::Pipeline;
use crate::pipeline_graph::PipelineGraph as _;
use crate::testing::sim::disk::{DiskFaults, SimDisk};
use crate::testing::sim::queue::{QueueFaults, SimMessage, SimQueue, SimQueueSource};
use crate::testing::sim::table::{SimTable, SimTableSink};
use crate::time::{Clock as _, ManualClock, Timestamp};
use crate::windowing::FixedWindows;

/// Length of the windows.
const WINDOW: Duration = Duration::from_secs(60);

/// Virtual time within which a job must come to rest once nothing fails any more.
const REST_WITHIN: Duration = Duration::from_secs(60);

/// Steps without an end that count as one that will never come.
const STEPS_MAX: usize = 100_000;

/// A bug planted to see whether the simulator finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Messages are acknowledged before the checkpoint with their effects is durable.
    AckBeforeCheckpoint,
    /// Files are not synced before a checkpoint counts as durable.
    SkippedSync,
}

/// What is run: everything follows from the seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// Number of messages.
    pub messages: u64,
    /// Number of workers.
    pub workers: usize,
    /// Crashes, before everything goes well.
    pub crashes: usize,
    /// Steps before each crash, at most.
    pub steps_between_crashes: usize,
    /// Virtual time between checkpoints.
    pub checkpoint_interval: Duration,
    /// A planted bug.
    pub bug: Option<Bug>,
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5EED);
        Self {
            seed,
            messages: rng.u64(50..300),
            workers: rng.usize(1..=3),
            crashes: rng.usize(1..=5),
            steps_between_crashes: rng.usize(5..400),
            checkpoint_interval: Duration::from_millis(rng.u64(50..2_000)),
            bug: None,
        }
    }

    /// The same with a planted bug.
    #[must_use]
    pub fn with_bug(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }
}

/// What a run without violations did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Lives of the job, one more than crashes and failures.
    pub lives: usize,
    /// The latest checkpoint.
    pub epochs: u64,
    /// Messages delivered, those delivered again included.
    pub deliveries: u64,
    /// A hash of everything that happened.
    pub trace: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Rows that should be there are not.
    Lost(Vec<String>),
    /// Rows are there more often than they should be.
    Doubled(Vec<String>),
    /// The job did not come to rest.
    Stuck(String),
    /// The latest checkpoint went back from the first number to the second.
    EpochWentBack(u64, u64),
    /// A restart failed although nothing was wrong any more.
    CannotRestart(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(rows) => {
                write!(formatter, "{} rows are lost, such as {:?}", rows.len(), rows.first())
            }
            Self::Doubled(rows) => {
                write!(formatter, "{} rows are doubled, such as {:?}", rows.len(), rows.first())
            }
            Self::Stuck(why) => write!(formatter, "the job did not come to rest: {why}"),
            Self::EpochWentBack(from, to) => {
                write!(formatter, "the epoch went from {from} back to {to}")
            }
            Self::CannotRestart(why) => write!(formatter, "the job cannot restart: {why}"),
        }
    }
}

impl std::error::Error for Violation {}

/// The world outside the job, which outlives its crashes.
struct World {
    rng: Rng,
    queue: SimQueue,
    disk: SimDisk,
    raw: SimTable<u64>,
    sums: SimTable<(Timestamp, u32, u64)>,
    clock: ManualClock,
    scenario: Scenario,
    lives: usize,
    epoch: u64,
    trace: u64,
}

/// How a life ended.
enum End {
    Finished,
    Crashed,
    Failed(Error),
}

/// Runs a scenario to its end.
///
/// # Errors
/// The first promise that was broken.
pub fn run(scenario: &Scenario) -> Result<Outcome, Violation> {
    let messages = messages(scenario);
    let mut world = World::new(scenario, messages.clone());
    for _ in 0..scenario.crashes {
        let steps = world.rng.usize(1..=scenario.steps_between_crashes);
        if let End::Finished = world.live(Some(steps))? {
            break;
        }
        world.crash();
    }
    world.calm();
    let calm_since = world.clock.now();
    match world.live(None)? {
        End::Finished => {}
        End::Crashed => unreachable!("a life without a limit of steps does not crash"),
        End::Failed(error) => return Err(Violation::CannotRestart(error.chain().join(": "))),
    }
    world.check(&messages)?;
    let rest = world.clock.now().since(calm_since);
    if rest > REST_WITHIN {
        return Err(Violation::Stuck(format!("it took {rest:?} of virtual time")));
    }
    Ok(Outcome {
        lives: world.lives,
        epochs: world.epoch,
        deliveries: world.queue.deliveries(),
        trace: world.trace,
    })
}

fn messages(scenario: &Scenario) -> Vec<SimMessage> {
    let mut rng = Rng::with_seed(scenario.seed ^ 0xDA7A);
    let message = |id| SimMessage {
        id,
        key: rng.u32(0..7),
        event_time: Timestamp::from_millis(rng.i64(0..600_000)),
        amount: rng.u64(1..100),
    };
    (0..scenario.messages).map(message).collect()
}

impl World {
    fn new(scenario: &Scenario, messages: Vec<SimMessage>) -> Self {
        let mut rng = Rng::with_seed(scenario.seed);
        let disk_faults = DiskFaults {
            write_percent: rng.u8(0..4),
            sync_percent: rng.u8(0..4),
            rename_percent: rng.u8(0..3),
            skips_sync: scenario.bug == Some(Bug::SkippedSync),
        };
        let queue_faults = QueueFaults {
            duplicate_percent: rng.u8(0..50),
            lost_ack_percent: rng.u8(0..30),
            acks_before_checkpoint: scenario.bug == Some(Bug::AckBeforeCheckpoint),
        };
        let stalls = rng.u8(0..40);
        Self {
            queue: SimQueue::new(messages, rng.u64(..), queue_faults),
            disk: SimDisk::new(rng.u64(..), disk_faults),
            raw: SimTable::new(rng.u64(..), stalls),
            sums: SimTable::new(rng.u64(..), stalls),
            clock: ManualClock::at(Timestamp::from_secs(1_000_000)),
            scenario: scenario.clone(),
            lives: 0,
            epoch: 0,
            trace: 0,
            rng,
        }
    }

    /// The job: rows as they come, and sums per key and window.
    fn pipeline(&self) -> Pipeline {
        let pipeline = Pipeline::named("simulated");
        let messages = pipeline.read("Read", SimQueueSource::new(&self.queue));
        messages.map("Id", |message| message.id).write("WriteRaw", SimTableSink::new(&self.raw));
        messages
            .window("ByMinute", FixedWindows::of(WINDOW))
            .map("KeyAmount", |message| (message.key, message.amount))
            .combine_per_key("Sum", Sum)
            .reify("Windows")
            .map("Row", |sum| (sum.window.start, sum.value.0, sum.value.1))
            .write("WriteSums", SimTableSink::new(&self.sums));
        pipeline
    }

    /// One life, until it ends by itself or after `steps`.
    fn live(&mut self, steps: Option<usize>) -> Result<End, Violation> {
        self.lives += 1;
        let pipeline = self.pipeline();
        let graph = pipeline
            .checked_graph()
            .map_err(|error| Violation::CannotRestart(error.to_string()))?;
        let store = match DirectoryStore::on(self.disk.clone(), "simulated disk") {
            Ok(store) => Arc::new(store),
            Err(error) => return Ok(End::Failed(error)),
        };
        let options = SingleOptions {
            workers: self.scenario.workers,
            seed: self.rng.u64(..),
            checkpoint_interval: Some(self.scenario.checkpoint_interval),
            job: "simulated".to_owned(),
        };
        let mut driver = match SingleDriver::start(graph, &options, &*store, self.clock.clone()) {
            Ok(driver) => driver,
            Err(error) => return Ok(End::Failed(error)),
        };
        if driver.epoch() < self.epoch && self.scenario.bug.is_none() {
            return Err(Violation::EpochWentBack(self.epoch, driver.epoch()));
        }
        let mut end = Ok(End::Crashed);
        for _ in 0..steps.unwrap_or(STEPS_MAX) {
            match driver.step(&*store) {
                Ok(Step::Running) => {}
                Ok(Step::Finished) => {
                    end = Ok(End::Finished);
                    break;
                }
                Ok(Step::Stuck) => {
                    end = Err(Violation::Stuck("nothing moves and no timer is set".to_owned()));
                    break;
                }
                Err(error) => {
                    end = Ok(End::Failed(error));
                    break;
                }
            }
            self.epoch = self.epoch.max(driver.epoch());
        }
        self.trace = crate::state::key_hash(&(self.trace, driver.trace()));
        if steps.is_none() && matches!(end, Ok(End::Crashed)) {
            return Err(Violation::Stuck(format!(
                "{STEPS_MAX} steps were not enough; {}",
                driver.describe()
            )));
        }
        end
    }

    fn crash(&mut self) {
        self.disk.crash();
        // Somebody has to notice and restart.
        self.clock.advance(Duration::from_millis(self.rng.u64(0..5_000)));
    }

    /// From now on nothing fails any more.
    fn calm(&mut self) {
        self.disk.set_faults(DiskFaults::default());
        self.queue.set_faults(QueueFaults::default());
        self.raw.set_stalls(0);
        self.sums.set_stalls(0);
    }

    fn check(&self, messages: &[SimMessage]) -> Result<(), Violation> {
        let ids = messages.iter().map(|message| message.id.to_string());
        compare(ids, self.raw.rows().into_iter().map(|id| id.to_string()))?;
        let mut sums: BTreeMap<(Timestamp, u32), u64> = BTreeMap::new();
        for message in messages {
            let window = FixedWindows::of(WINDOW).window_of(message.event_time);
            *sums.entry((window.start, message.key)).or_default() += message.amount;
        }
        let expected = sums.into_iter().map(|((start, key), sum)| format!("{start} {key} {sum}"));
        let found = self.sums.rows().into_iter();
        compare(expected, found.map(|(start, key, sum)| format!("{start} {key} {sum}")))?;
        match self.queue.unacked() {
            0 => Ok(()),
            count => Err(Violation::Stuck(format!("{count} messages are not acknowledged"))),
        }
    }
}

/// Compares as multisets.
fn compare(
    expected: impl Iterator<Item = String>,
    found: impl Iterator<Item = String>,
) -> Result<(), Violation> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    expected.for_each(|row| *counts.entry(row).or_default() += 1);
    found.for_each(|row| *counts.entry(row).or_default() -= 1);
    let of = |wanted: fn(i64) -> bool| {
        let rows = counts.iter().filter(|(_, count)| wanted(**count));
        rows.map(|(row, _)| row.clone()).collect::<Vec<_>>()
    };
    let (lost, doubled) = (of(|count| count > 0), of(|count| count < 0));
    if !lost.is_empty() {
        return Err(Violation::Lost(lost));
    }
    if !doubled.is_empty() {
        return Err(Violation::Doubled(doubled));
    }
    Ok(())
}
