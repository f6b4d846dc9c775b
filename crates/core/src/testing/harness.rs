//! [`OperatorHarness`]: one script run in every way an engine may run it, with the same result each time.
//!
//! One record a batch and all in one batch; without checkpoints, with a snapshot after every step, and with a restart from it into
//! fresh instances, on a changing number of workers where elements are routed; into a roomy outbox and into one of a
//! single slot. The idea is Hazelcast Jet's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::WindowedPane;
use crate::coder::{Key, Kv};
use crate::error::Result;
use crate::metrics::Counter;
use crate::operator::seam::Operator;
use crate::state::key_hash;
use crate::testing::driver::{Emitted, OperatorDriver, Outbox};
use crate::time::Timestamp;

/// Numbers of workers that restarts go through.
const WORKERS: [usize; 4] = [3, 1, 2, 5];

/// The counters that have to be equal however the script is run.
const COUNTERS: [Counter; 4] =
    [Counter::RecordsIn, Counter::Errors, Counter::Late, Counter::Duplicates];

enum Event<T> {
    Element(Timestamp, Option<WindowedPane>, T),
    EndOfBatch,
    Watermark(Timestamp),
    Advance(Duration),
}

/// How many elements a batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    AllInOne,
    OneByOne,
}

/// What happens after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    Snapshot,
    Restart,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    split: Split,
    cut: Cut,
    outbox: Outbox,
}

impl Way {
    fn all() -> impl Iterator<Item = Self> {
        let cuts = [Cut::Never, Cut::Snapshot, Cut::Restart];
        let outboxes = [Outbox::Roomy, Outbox::OneSlot];
        [Split::AllInOne, Split::OneByOne].into_iter().flat_map(move |split| {
            cuts.into_iter().flat_map(move |cut| {
                outboxes.into_iter().map(move |outbox| Self { split, cut, outbox })
            })
        })
    }
}

type Compare<O> = Box<dyn Fn(&[Emitted<O>]) -> String>;
type HashOf<T> = Arc<dyn Fn(&T) -> u64 + Send + Sync>;
type Prepare<T, O> = Box<dyn Fn(OperatorDriver<T, O>) -> OperatorDriver<T, O>>;

/// Runs an operator through a script in every way, and checks that the way makes no difference.
///
/// ```
/// use millstream::operator::map::Filter;
/// use millstream::testing::OperatorHarness;
/// use millstream::Timestamp;
///
/// let run = OperatorHarness::new(|| Filter(|number: &u64| number % 2 == 0))
///     .elements([(Timestamp::EPOCH, 1), (Timestamp::EPOCH, 2)])
///     .watermark(Timestamp::MAX)
///     .run();
/// assert_eq!(run.values(), [2]);
/// ```
pub struct OperatorHarness<T, O: Operator<T>> {
    make: Arc<dyn Fn() -> O + Send + Sync>,
    events: Vec<Event<T>>,
    hash: Option<HashOf<T>>,
    prepare: Vec<Prepare<T, O>>,
    compare: Compare<O::Out>,
}

impl<T, O> OperatorHarness<T, O>
where
    T: Clone + Send + 'static,
    O: Operator<T> + 'static,
    O::Out: Clone + fmt::Debug,
{
    /// An empty script for what `make` makes.
    pub fn new(make: impl Fn() -> O + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            events: Vec::new(),
            hash: None,
            prepare: Vec::new(),
            compare: Box::new(|emitted| sorted(emitted.iter().map(|one| format!("{one:?}")))),
        }
    }

    /// Adds a further output of elements `U`, in the order the operator numbers them.
    #[must_use]
    pub fn with_side<U: Clone + fmt::Debug + Send + 'static>(mut self) -> Self {
        self.prepare.push(Box::new(OperatorDriver::with_side::<U>));
        self
    }

    /// Compares runs by `compare` instead of by all that was emitted, in any order: for operators whose output may depend on
    /// how elements come in batches.
    #[must_use]
    pub fn compare_by(mut self, compare: impl Fn(&[Emitted<O::Out>]) -> String + 'static) -> Self {
        self.compare = Box::new(compare);
        self
    }

    /// Adds an element.
    #[must_use]
    pub fn element(mut self, timestamp: Timestamp, value: T) -> Self {
        self.events.push(Event::Element(timestamp, None, value));
        self
    }

    /// Adds elements.
    #[must_use]
    pub fn elements(mut self, elements: impl IntoIterator<Item = (Timestamp, T)>) -> Self {
        let elements = elements.into_iter();
        self.events
            .extend(elements.map(|(timestamp, value)| Event::Element(timestamp, None, value)));
        self
    }

    /// Adds an element that has a window.
    #[must_use]
    pub fn windowed(mut self, timestamp: Timestamp, at: WindowedPane, value: T) -> Self {
        self.events.push(Event::Element(timestamp, Some(at), value));
        self
    }

    /// Ends a batch here, however elements are put together otherwise.
    #[must_use]
    pub fn end_of_batch(mut self) -> Self {
        self.events.push(Event::EndOfBatch);
        self
    }

    /// Tells that no element before `watermark` will come.
    #[must_use]
    pub fn watermark(mut self, watermark: Timestamp) -> Self {
        self.events.push(Event::Watermark(watermark));
        self
    }

    /// Moves processing time on.
    #[must_use]
    pub fn advance(mut self, duration: Duration) -> Self {
        self.events.push(Event::Advance(duration));
        self
    }

    /// Runs the script in every way; gives the run of whole batches without checkpoints.
    ///
    /// # Panics
    /// When the operator fails or runs differ.
    #[must_use]
    pub fn run(&self) -> HarnessRun<T, O> {
        let mut first: Option<(HarnessRun<T, O>, String)> = None;
        for way in Way::all() {
            let run = match self.run_one(way) {
                Ok(run) => run,
                Err(error) => panic!("{way:?}: {}", error.chain().join(": ")),
            };
            let summary = self.summary(&run);
            match &first {
                None => first = Some((run, summary)),
                Some((_, expected)) => assert_eq!(
                    *expected, summary,
                    "the run {way:?} (right) differs from the plain one (left)"
                ),
            }
        }
        first.expect("there are several ways").0
    }

    /// Runs the script once, in whole batches without checkpoints.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn try_run(&self) -> Result<HarnessRun<T, O>> {
        self.run_one(Way { split: Split::AllInOne, cut: Cut::Never, outbox: Outbox::Roomy })
    }

    fn summary(&self, run: &HarnessRun<T, O>) -> String {
        let counters: Vec<_> = COUNTERS
            .iter()
            .map(|counter| format!("{counter:?}={}", run.driver.count(*counter)))
            .collect();
        let sides: Vec<_> = run.driver.describe_sides().into_iter().map(sorted).collect();
        format!(
            "{}\n{}\nwatermark {}\n{}",
            (self.compare)(&run.emitted),
            sides.join("\n"),
            run.driver.output_watermark(),
            counters.join(" "),
        )
    }

    fn run_one(&self, way: Way) -> Result<HarnessRun<T, O>> {
        let make = Arc::clone(&self.make);
        let mut driver = OperatorDriver::new(move || make()).outbox(way.outbox);
        for prepare in &self.prepare {
            driver = prepare(driver);
        }
        if let Some(hash) = self.hash.clone() {
            driver = driver.routed_by(move |element| hash(element));
        }
        let mut player = Player { way, driver, batch: Vec::new(), restarts: 0 };
        for event in &self.events {
            player.play(event, self.hash.is_some())?;
        }
        player.flush(self.hash.is_some())?;
        let mut driver = player.driver;
        driver.teardown()?;
        Ok(HarnessRun { emitted: driver.take(), driver })
    }
}

impl<K: Key + Sync, V, O> OperatorHarness<Kv<K, V>, O>
where
    V: Clone + Send + 'static,
    O: Operator<Kv<K, V>> + 'static,
{
    /// Routes elements by their key: restarts then change the number of workers.
    #[must_use]
    pub fn by_key(mut self) -> Self {
        self.hash = Some(Arc::new(|element| key_hash(&element.0)));
        self
    }
}

fn sorted(lines: impl IntoIterator<Item = String>) -> String {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Plays a script in one way.
struct Player<T, O: Operator<T>> {
    way: Way,
    driver: OperatorDriver<T, O>,
    batch: Vec<(Timestamp, Option<WindowedPane>, T)>,
    restarts: usize,
}

impl<T, O> Player<T, O>
where
    T: Clone + Send + 'static,
    O: Operator<T> + 'static,
{
    fn play(&mut self, event: &Event<T>, is_routed: bool) -> Result<()> {
        match event {
            Event::Element(timestamp, at, value) => {
                self.batch.push((*timestamp, *at, value.clone()));
                if self.way.split == Split::OneByOne { self.flush(is_routed) } else { Ok(()) }
            }
            Event::EndOfBatch => self.flush(is_routed),
            Event::Watermark(watermark) => {
                self.flush(is_routed)?;
                self.driver.watermark(*watermark)?;
                self.cut(is_routed)
            }
            Event::Advance(duration) => {
                self.flush(is_routed)?;
                self.driver.advance_to(self.driver.now() + *duration)?;
                self.cut(is_routed)
            }
        }
    }

    fn flush(&mut self, is_routed: bool) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.driver.push_at(std::mem::take(&mut self.batch))?;
        self.cut(is_routed)
    }

    fn cut(&mut self, is_routed: bool) -> Result<()> {
        match self.way.cut {
            Cut::Never => Ok(()),
            Cut::Snapshot => self.driver.snapshot().map(drop),
            Cut::Restart => {
                let workers = if is_routed { WORKERS[self.restarts % WORKERS.len()] } else { 1 };
                self.restarts += 1;
                self.driver.restart(workers)
            }
        }
    }
}

/// What a script led to.
pub struct HarnessRun<T, O: Operator<T>> {
    driver: OperatorDriver<T, O>,
    emitted: Vec<Emitted<O::Out>>,
}

impl<T, O> HarnessRun<T, O>
where
    T: Send + 'static,
    O: Operator<T> + 'static,
    O::Out: Clone,
{
    /// What went to the main output, in order.
    #[must_use]
    pub fn emitted(&self) -> &[Emitted<O::Out>] {
        &self.emitted
    }

    /// The values that went to the main output, in order.
    #[must_use]
    pub fn values(&self) -> Vec<O::Out> {
        self.emitted.iter().map(|emitted| emitted.value.clone()).collect()
    }

    /// Takes what went to further output `index`.
    ///
    /// # Panics
    /// When the output does not exist or carries other elements.
    pub fn take_side<U: 'static>(&mut self, index: usize) -> Vec<Emitted<U>> {
        self.driver.take_side(index)
    }

    /// One of the operator's counters.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        self.driver.count(counter)
    }

    /// The greatest watermark that went out.
    #[must_use]
    pub fn output_watermark(&self) -> Timestamp {
        self.driver.output_watermark()
    }
}

impl<T, O: Operator<T>> fmt::Debug for OperatorHarness<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OperatorHarness").field("events", &self.events.len()).finish()
    }
}

impl<T, O: Operator<T>> fmt::Debug for HarnessRun<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HarnessRun").field("emitted", &self.emitted.len()).finish()
    }
}
