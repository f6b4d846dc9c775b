//! [`OperatorDriver`]: one operator driven by hand, step by step, with everything it emits at hand.
//!
//! It stands where the engine stands: it feeds batches and signals, takes snapshots, and starts fresh instances from them, on any
//! number of workers.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::{Batch, WindowedPane};
use crate::error::Result;
use crate::metrics::{Counter, StepCounters};
use crate::operator::link::{Push, Step, StepIdentity};
use crate::operator::output::{Port, SidePort};
use crate::operator::seam::{Barrier, Operator, Progress, Share, Signal, StageContext};
use crate::state::{RestoredState, SnapshotPart, key_group, owner};
use crate::time::Timestamp;

/// Path of the operator in messages.
const PATH: &str = "Operator";

/// Calls after which a signal that is still pending is taken to be stuck.
const CALLS_MAX: usize = 1_000_000;

/// An element that an operator emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted<T> {
    /// Its event time.
    pub timestamp: Timestamp,
    /// Its window and pane, where assigned.
    pub at: Option<WindowedPane>,
    /// The element.
    pub value: T,
}

/// What an outbox does with what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbox {
    /// It is never full.
    Roomy,
    /// It has one slot: it is full after each batch, and before every second call.
    OneSlot,
}

struct Log<T> {
    emitted: Vec<Emitted<T>>,
    count: usize,
}

/// Takes what a step sends and keeps it.
struct Collector<T> {
    log: Arc<Mutex<Log<T>>>,
    fills: bool,
    sent: Arc<Mutex<Timestamp>>,
}

fn lock<T>(log: &Mutex<T>) -> MutexGuard<'_, T> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_sent() -> Arc<Mutex<Timestamp>> {
    Arc::new(Mutex::new(Timestamp::MIN))
}

fn new_log<T>() -> Arc<Mutex<Log<T>>> {
    Arc::new(Mutex::new(Log { emitted: Vec::new(), count: 0 }))
}

impl<T: Send> Push<T> for Collector<T> {
    fn push(&mut self, batch: &mut Batch<T>, ctx: &mut StageContext) -> Result<()> {
        let mut log = lock(&self.log);
        log.count += batch.len();
        let emitted = batch.drain().map(|(timestamp, at, value)| Emitted { timestamp, at, value });
        log.emitted.extend(emitted);
        ctx.full |= self.fills;
        Ok(())
    }

    fn signal(&mut self, signal: &Signal, _ctx: &mut StageContext) -> Result<Progress> {
        if let Signal::Watermark(watermark) = signal {
            let mut sent = lock(&self.sent);
            assert!(*watermark >= *sent, "the output watermark went back to {watermark}");
            *sent = *watermark;
        }
        Ok(Progress::Done)
    }
}

/// A further output of the operator, its type forgotten.
trait SideLog {
    fn port(&self) -> Box<dyn SidePort>;
    fn take(&self) -> Box<dyn Any>;
    fn describe(&self) -> Vec<String>;
}

impl<U: Clone + fmt::Debug + Send + 'static> SideLog for Arc<Mutex<Log<U>>> {
    fn port(&self) -> Box<dyn SidePort> {
        let next = Collector { log: Self::clone(self), fills: false, sent: new_sent() };
        Box::new(Port::new(Box::new(next), true))
    }

    fn take(&self) -> Box<dyn Any> {
        Box::new(std::mem::take(&mut lock(self).emitted))
    }

    fn describe(&self) -> Vec<String> {
        lock(self).emitted.iter().map(|emitted| format!("{emitted:?}")).collect()
    }
}

type Make<O> = Arc<dyn Fn() -> O + Send + Sync>;
type HashOf<T> = Arc<dyn Fn(&T) -> u64 + Send + Sync>;

/// Drives an operator by hand.
///
/// ```
/// use millstream::operator::map::Map;
/// use millstream::testing::OperatorDriver;
/// use millstream::Timestamp;
///
/// let mut driver = OperatorDriver::new(|| Map(|number: u64| number * 2));
/// driver.push([(Timestamp::EPOCH, 21)])?;
/// driver.watermark(Timestamp::from_secs(5))?;
/// assert_eq!(driver.take()[0].value, 42);
/// assert_eq!(driver.output_watermark(), Timestamp::from_secs(5));
/// # Ok::<(), millstream::Error>(())
/// ```
pub struct OperatorDriver<T, O: Operator<T>> {
    make: Make<O>,
    hash: Option<HashOf<T>>,
    outbox: Outbox,
    instances: Vec<Box<dyn Push<T>>>,
    sides: Vec<Box<dyn SideLog>>,
    log: Arc<Mutex<Log<O::Out>>>,
    counters: Arc<StepCounters>,
    ctx: StageContext,
    watermark: Timestamp,
    /// The watermark that each instance has sent.
    sent: Vec<Arc<Mutex<Timestamp>>>,
    output_watermark: Timestamp,
    calls: usize,
    epoch: u64,
    is_started: bool,
}

impl<T, O> OperatorDriver<T, O>
where
    T: Send + 'static,
    O: Operator<T> + 'static,
{
    /// Drives one instance of what `make` makes.
    pub fn new(make: impl Fn() -> O + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            hash: None,
            outbox: Outbox::Roomy,
            instances: Vec::new(),
            sides: Vec::new(),
            log: new_log(),
            counters: Arc::default(),
            ctx: StageContext::new(Timestamp::EPOCH),
            watermark: Timestamp::MIN,
            sent: Vec::new(),
            output_watermark: Timestamp::MIN,
            calls: 0,
            epoch: 0,
            is_started: false,
        }
    }

    /// Chooses what the outbox does; before the first element.
    #[must_use]
    pub fn outbox(mut self, outbox: Outbox) -> Self {
        self.outbox = outbox;
        self
    }

    /// Routes elements by `hash`, so that the operator can be restarted on several workers.
    #[must_use]
    pub fn routed_by(mut self, hash: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        self.hash = Some(Arc::new(hash));
        self
    }

    /// Adds a further output of elements `U`, in the order the operator numbers them.
    #[must_use]
    pub fn with_side<U: Clone + fmt::Debug + Send + 'static>(mut self) -> Self {
        self.sides.push(Box::new(new_log::<U>()));
        self
    }

    fn start(&mut self, state: Option<Arc<RestoredState>>, workers: usize) -> Result<()> {
        self.is_started = true;
        self.instances.clear();
        self.sent.clear();
        for worker in 0..workers {
            let identity = StepIdentity {
                counters: Arc::clone(&self.counters),
                ..StepIdentity::detached(PATH)
            };
            let fills = self.outbox == Outbox::OneSlot;
            let log = Arc::clone(&self.log);
            let sent = new_sent();
            self.sent.push(Arc::clone(&sent));
            let next = Collector { log, fills, sent };
            let sides = self.sides.iter().map(|side| side.port()).collect();
            let mut step = Step::new(identity, (self.make)(), Box::new(next), sides);
            let share = Share { worker, workers };
            let started = step.signal(&Signal::Start(state.clone(), share), &mut self.ctx)?;
            assert_eq!(started, Progress::Done, "a start cannot be pending");
            self.instances.push(Box::new(step));
        }
        Ok(())
    }

    fn ensure_started(&mut self) -> Result<()> {
        if self.is_started { Ok(()) } else { self.start(None, 1) }
    }

    /// Feeds one batch of elements without windows, then ends the bundle.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn push(&mut self, elements: impl IntoIterator<Item = (Timestamp, T)>) -> Result<()> {
        self.push_at(elements.into_iter().map(|(timestamp, value)| (timestamp, None, value)))
    }

    /// Feeds one batch of elements, each with its window if it has one, then ends the bundle.
    ///
    /// # Errors
    /// What the operator failed with.
    ///
    /// # Panics
    /// When the operator leaves elements in its input.
    pub fn push_at(
        &mut self,
        elements: impl IntoIterator<Item = (Timestamp, Option<WindowedPane>, T)>,
    ) -> Result<()> {
        self.ensure_started()?;
        let workers = self.instances.len();
        let mut batches: Vec<Batch<T>> = (0..workers).map(|_| Batch::new()).collect();
        for (timestamp, at, value) in elements {
            let target =
                self.hash.as_ref().map_or(0, |hash| owner(key_group(hash(&value)), workers));
            match at {
                Some(at) => batches[target].push_windowed(timestamp, at, value),
                None => batches[target].push(timestamp, value),
            }
        }
        for (step, batch) in self.instances.iter_mut().zip(&mut batches) {
            if !batch.is_empty() {
                self.ctx.full = false;
                step.push(batch, &mut self.ctx)?;
                assert!(batch.is_empty(), "the operator left elements in its input");
            }
        }
        self.signal(&Signal::FinishBundle)
    }

    /// Tells that no element before `watermark` will come.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.signal(&Signal::Watermark(self.watermark))
    }

    /// Moves processing time to `now`, or leaves it where it is if that is later.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn advance_to(&mut self, now: Timestamp) -> Result<()> {
        self.ctx.now = self.ctx.now.max(now);
        self.signal(&Signal::Time)
    }

    /// Sends a signal as often as it is pending; each call that is has to have emitted something.
    fn signal(&mut self, signal: &Signal) -> Result<()> {
        self.ensure_started()?;
        for step in &mut self.instances {
            for call in 0.. {
                self.calls += 1;
                self.ctx.full = self.outbox == Outbox::OneSlot && self.calls.is_multiple_of(2);
                let before = lock(&self.log).count;
                if step.signal(signal, &mut self.ctx)? == Progress::Done {
                    break;
                }
                let emitted = lock(&self.log).count - before;
                assert!(emitted > 0, "pending without progress on {signal:?}");
                assert!(call < CALLS_MAX, "pending for ever on {signal:?}");
            }
        }
        let sent = self.sent.iter().map(|sent| *lock(sent)).min();
        self.output_watermark = self.output_watermark.max(sent.unwrap_or(Timestamp::MIN));
        Ok(())
    }

    /// Takes a snapshot, as a barrier does.
    ///
    /// # Errors
    /// When state cannot be encoded.
    pub fn snapshot(&mut self) -> Result<SnapshotPart> {
        self.epoch += 1;
        let barrier = Barrier { epoch: self.epoch, last: false };
        self.signal(&Signal::Barrier(barrier))?;
        Ok(std::mem::take(&mut self.ctx.snapshot))
    }

    /// Takes a snapshot and goes on with `workers` fresh instances restored from it.
    ///
    /// # Errors
    /// When state cannot be encoded or decoded.
    ///
    /// # Panics
    /// With more than one worker, when nothing was said about routing.
    pub fn restart(&mut self, workers: usize) -> Result<()> {
        assert!(workers == 1 || self.hash.is_some(), "several workers need `routed_by`");
        let part = self.snapshot()?;
        // Through bytes, as a checkpoint goes.
        let part: SnapshotPart = crate::coder::decode(&crate::coder::encode(&part)?)?;
        self.teardown()?;
        self.start(Some(Arc::new(RestoredState::new(vec![part]))), workers)?;
        // Sources say again where they stand.
        let has_watermark = self.watermark > Timestamp::MIN;
        if has_watermark { self.signal(&Signal::Watermark(self.watermark)) } else { Ok(()) }
    }

    /// Tears the instances down.
    ///
    /// # Errors
    /// What the operator failed with.
    pub fn teardown(&mut self) -> Result<()> {
        self.signal(&Signal::Teardown)
    }

    /// Takes what was emitted to the main output since the last call.
    pub fn take(&mut self) -> Vec<Emitted<O::Out>> {
        std::mem::take(&mut lock(&self.log).emitted)
    }

    /// Takes what was emitted to further output `index` since the last call.
    ///
    /// # Panics
    /// When the output does not exist or carries other elements.
    pub fn take_side<U: 'static>(&mut self, index: usize) -> Vec<Emitted<U>> {
        let taken = self.sides[index].take().downcast::<Vec<Emitted<U>>>();
        *taken.expect("the output was declared with this type")
    }

    /// What was emitted to the further outputs, as text.
    pub(crate) fn describe_sides(&self) -> Vec<Vec<String>> {
        self.sides.iter().map(|side| side.describe()).collect()
    }

    /// The watermark that went out: the least of all instances, as whoever reads them sees it.
    #[must_use]
    pub fn output_watermark(&self) -> Timestamp {
        self.output_watermark
    }

    /// One of the operator's counters, over all its instances and lives.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.count(counter)
    }

    /// The processing time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.ctx.now
    }
}

impl<T, O: Operator<T>> fmt::Debug for OperatorDriver<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OperatorDriver")
            .field("instances", &self.instances.len())
            .field("watermark", &self.watermark)
            .finish_non_exhaustive()
    }
}
