//! What the untyped engine needs to know of a typed step: factories that the typed builder leaves in the graph.
//!
//! The builder knows all types, the engine none. [`Linked`] carries the head of a tree of steps through the engine without its type;
//! each factory knows the one type it has to open it with.

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::batch::Batch;
use crate::coder::{Data, Key, Kv};
use crate::error::Result;
use crate::io::IoContext;
use crate::operator::exchange::{ByKey, ByShard, ExchangeOut, Forward, MessageSender, RoundRobin};
use crate::operator::link::{Discard, Push, Step, StepIdentity, Tee};
use crate::operator::output::{Port, SidePort};
use crate::operator::seam::{Operator, Progress, Signal, StageContext};
use crate::sink::{Epoch, ShardBy};
use crate::source::{Backlog, Finalizer};
use crate::time::Timestamp;

/// The head of a tree of steps, its element type forgotten.
pub struct Linked(Box<dyn Any + Send>);

impl Linked {
    /// Forgets the type of `head`.
    #[must_use]
    pub fn new<T: 'static>(head: Box<dyn Push<T>>) -> Self {
        Self(Box::new(head))
    }

    /// The head again.
    ///
    /// # Panics
    /// When it takes other elements than `T`: the typed builder makes that impossible.
    #[must_use]
    pub fn open<T: 'static>(self) -> Box<dyn Push<T>> {
        match self.0.downcast::<Box<dyn Push<T>>>() {
            Ok(head) => *head,
            Err(_) => panic!("an edge of the graph changed its type to {}", type_name::<T>()),
        }
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Linked")
    }
}

/// What the engine does with collections of one element type.
pub trait CollectionOps: Send + Sync {
    /// Name of the element type.
    fn type_name(&self) -> &'static str;

    /// One head that gives everything to each of `heads`; one that drops everything when there is none.
    fn tee(&self, heads: Vec<Linked>) -> Linked;

    /// A port that carries these elements without routing them.
    fn forward_port(&self) -> Arc<dyn PortFactory>;

    /// A further output of an operator that feeds `head`.
    fn side_port(&self, head: Linked, is_read: bool) -> Box<dyn SidePort>;
}

/// The operations for elements of type `T`.
pub struct Elements<T>(PhantomData<fn(T)>);

impl<T: Data> Elements<T> {
    /// The operations, ready to be stored in the graph.
    #[must_use]
    pub fn ops() -> Arc<dyn CollectionOps> {
        Arc::new(Self(PhantomData))
    }
}

impl<T> fmt::Debug for Elements<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Elements<{}>", type_name::<T>())
    }
}

impl<T: Data> CollectionOps for Elements<T> {
    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }

    fn tee(&self, mut heads: Vec<Linked>) -> Linked {
        match heads.len() {
            0 => Linked::new::<T>(Box::new(Discard)),
            1 => heads.remove(0),
            _ => Linked::new::<T>(Box::new(Tee::new(
                heads.into_iter().map(Linked::open::<T>).collect(),
            ))),
        }
    }

    fn forward_port(&self) -> Arc<dyn PortFactory> {
        Arc::new(ForwardPort::<T>(PhantomData))
    }

    fn side_port(&self, head: Linked, is_read: bool) -> Box<dyn SidePort> {
        Box::new(Port::<T>::new(head.open(), is_read))
    }
}

/// How the elements of an edge find their worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// They stay on theirs.
    Forward,
    /// By their key: equal keys meet on one worker.
    ByKey,
    /// In turn, to spread the load.
    RoundRobin,
}

/// Both ends of an edge between stages.
pub trait PortFactory: Send + Sync {
    /// How elements find their worker.
    fn partitioning(&self) -> Partitioning;

    /// The sending end.
    fn writer(&self, senders: Vec<Box<dyn MessageSender>>) -> Linked;

    /// The receiving end: the root of a stage that feeds `head`.
    fn root(&self, head: Linked) -> Box<dyn StageRoot>;
}

struct ForwardPort<T>(PhantomData<fn(T)>);

impl<T: Data> PortFactory for ForwardPort<T> {
    fn partitioning(&self) -> Partitioning {
        Partitioning::Forward
    }

    fn writer(&self, senders: Vec<Box<dyn MessageSender>>) -> Linked {
        Linked::new::<T>(Box::new(ExchangeOut::new(Forward, senders)))
    }

    fn root(&self, head: Linked) -> Box<dyn StageRoot> {
        Box::new(InputRoot::<T>::new(head.open()))
    }
}

/// Elements `Kv<K, V>` by their key.
#[derive(Debug)]
pub struct KeyedPort<K, V>(PhantomData<fn(K, V)>);

impl<K, V> Default for KeyedPort<K, V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<K: Key, V: Send + 'static> PortFactory for KeyedPort<K, V> {
    fn partitioning(&self) -> Partitioning {
        Partitioning::ByKey
    }

    fn writer(&self, senders: Vec<Box<dyn MessageSender>>) -> Linked {
        Linked::new::<Kv<K, V>>(Box::new(ExchangeOut::new(ByKey, senders)))
    }

    fn root(&self, head: Linked) -> Box<dyn StageRoot> {
        Box::new(InputRoot::<Kv<K, V>>::new(head.open()))
    }
}

/// Elements by what their sink shards by.
pub struct ShardPort<T>(pub ShardBy<T>);

impl<T> fmt::Debug for ShardPort<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ShardPort")
    }
}

impl<T: Data> PortFactory for ShardPort<T> {
    fn partitioning(&self) -> Partitioning {
        Partitioning::ByKey
    }

    fn writer(&self, senders: Vec<Box<dyn MessageSender>>) -> Linked {
        Linked::new::<T>(Box::new(ExchangeOut::new(ByShard(Arc::clone(&self.0)), senders)))
    }

    fn root(&self, head: Linked) -> Box<dyn StageRoot> {
        Box::new(InputRoot::<T>::new(head.open()))
    }
}

/// Elements in turn to all workers.
#[derive(Debug)]
pub struct RoundRobinPort<T>(PhantomData<fn(T)>);

impl<T> Default for RoundRobinPort<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Data> PortFactory for RoundRobinPort<T> {
    fn partitioning(&self) -> Partitioning {
        Partitioning::RoundRobin
    }

    fn writer(&self, senders: Vec<Box<dyn MessageSender>>) -> Linked {
        Linked::new::<T>(Box::new(ExchangeOut::new(RoundRobin::default(), senders)))
    }

    fn root(&self, head: Linked) -> Box<dyn StageRoot> {
        Box::new(InputRoot::<T>::new(head.open()))
    }
}

/// The root of a stage, fed by its worker.
pub trait StageRoot: Send {
    /// Takes a batch that came through an edge of this stage.
    ///
    /// # Errors
    /// What a step failed with.
    fn feed(&mut self, batch: Box<dyn Any + Send>, ctx: &mut StageContext) -> Result<()>;

    /// Takes a signal; to be repeated before anything else while it is pending.
    ///
    /// # Errors
    /// What a step failed with.
    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress>;

    /// Takes completions of asynchronous work; true when there were any.
    ///
    /// # Errors
    /// What a step failed with.
    fn poll(&mut self, ctx: &mut StageContext) -> Result<bool> {
        let _ = ctx;
        Ok(false)
    }

    /// Whether it takes no input now.
    fn is_blocked(&self) -> bool {
        false
    }

    /// The checkpoint of `epoch` is durable.
    ///
    /// # Errors
    /// What a step failed with.
    fn committed(&mut self, epoch: Epoch, ctx: &mut StageContext) -> Result<()> {
        let _ = (epoch, ctx);
        Ok(())
    }

    /// Whether everything that was committed is done.
    fn is_settled(&self) -> bool {
        true
    }
}

/// A stage fed by edges.
struct InputRoot<T> {
    head: Box<dyn Push<T>>,
    chunk: Batch<T>,
}

impl<T: Send + 'static> InputRoot<T> {
    fn new(head: Box<dyn Push<T>>) -> Self {
        Self { head, chunk: Batch::new() }
    }
}

impl<T: Send + 'static> StageRoot for InputRoot<T> {
    fn feed(&mut self, batch: Box<dyn Any + Send>, ctx: &mut StageContext) -> Result<()> {
        let mut batch = downcast_batch::<T>(batch);
        let len = Batch::<T>::stage_len();
        if batch.len() <= len {
            return self.head.push(&mut batch, ctx);
        }
        // Batches of an exchange are larger than the cache wants them inside a stage.
        for (timestamp, at, value) in batch.drain() {
            match at {
                Some(at) => self.chunk.push_windowed(timestamp, at, value),
                None => self.chunk.push(timestamp, value),
            }
            if self.chunk.len() >= len {
                self.head.push(&mut self.chunk, ctx)?;
                self.chunk.clear();
            }
        }
        if !self.chunk.is_empty() {
            self.head.push(&mut self.chunk, ctx)?;
            self.chunk.clear();
        }
        Ok(())
    }

    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress> {
        self.head.signal(signal, ctx)
    }
}

/// The batch that travelled as `Any`.
///
/// # Panics
/// When it has another element type: the typed builder makes that impossible.
pub(crate) fn downcast_batch<T: 'static>(batch: Box<dyn Any + Send>) -> Box<Batch<T>> {
    match batch.downcast::<Batch<T>>() {
        Ok(batch) => batch,
        Err(_) => panic!("an edge of the graph changed its type to {}", type_name::<T>()),
    }
}

/// Makes the operator of a step, once per worker.
pub trait OperatorFactory: Send + Sync {
    /// How elements must be partitioned in front of the step, and the edge that does so.
    /// `lifted` is the edge behind [`OperatorFactory::lift`].
    fn port(&self, lifted: bool) -> Arc<dyn PortFactory>;

    /// The step in front of its outputs.
    fn build(&self, lifted: bool, step: StepIdentity, outputs: Outputs) -> Linked;

    /// What may run in front of the exchange to make it smaller, feeding `head`, where there is such a thing.
    fn lift(&self, step: StepIdentity, head: Linked) -> Option<Linked> {
        let _ = (step, head);
        None
    }

    /// Whether [`OperatorFactory::lift`] gives anything.
    fn can_lift(&self) -> bool {
        false
    }
}

/// The outputs of a step: the main one, then the further ones.
#[derive(Debug)]
pub struct Outputs {
    /// Head of what reads the main output.
    pub main: Linked,
    /// The further outputs in their order.
    pub sides: Vec<OutputPort>,
    /// Whether anything downstream looks at panes.
    pub panes_observed: bool,
}

/// A further output, made.
pub struct OutputPort(pub Box<dyn SidePort>);

impl fmt::Debug for OutputPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OutputPort")
    }
}

/// Puts an operator in front of its outputs.
pub fn link_step<T, O>(step: StepIdentity, operator: O, outputs: Outputs) -> Linked
where
    T: Send + 'static,
    O: Operator<T> + 'static,
{
    let sides = outputs.sides.into_iter().map(|port| port.0).collect();
    Linked::new::<T>(Box::new(Step::new(step, operator, outputs.main.open(), sides)))
}

/// A source on one worker: the root of a stage that feeds itself.
pub trait SourceTask: Send {
    /// Reads and pushes up to about `budget` elements.
    ///
    /// # Errors
    /// What the source or a step failed with.
    fn poll(&mut self, budget: usize, ctx: &mut StageContext) -> Result<SourcePoll>;

    /// Cuts: residuals go into the snapshot, the barrier down the stage; gives the finalizers.
    ///
    /// # Errors
    /// What the source or a step failed with.
    fn barrier(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Vec<Finalizer>>;

    /// Passes a signal down the stage.
    ///
    /// # Errors
    /// What a step failed with.
    fn signal(&mut self, signal: &Signal, ctx: &mut StageContext) -> Result<Progress>;

    /// Whether a barrier may be put in now: no signal is pending further down.
    fn is_cuttable(&self) -> bool;

    /// Looks at everything again: the worker was woken.
    fn wake(&mut self);

    /// Reads no more; `drain`: as if the input had ended.
    fn stop(&mut self, drain: bool);

    /// Whether everything was read, or reading was stopped.
    fn is_done(&self) -> bool;

    /// Whether a checkpoint is wanted before the next is due.
    fn wants_checkpoint(&self) -> bool;

    /// What waits to be read.
    fn backlog(&self) -> Backlog;

    /// Why the watermark stands where it does.
    fn watermark_reason(&self) -> String;
}

/// What a round of reading found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePoll {
    /// Something was read or went on.
    pub progress: bool,
    /// More may be at hand at once.
    pub more: bool,
    /// When to look again without being woken.
    pub wake_at: Option<Timestamp>,
}

/// Makes the readers of a source.
pub trait SourceFactory: Send + Sync {
    /// Encoded restrictions that together are the whole input.
    ///
    /// # Errors
    /// What the source failed with.
    fn split(&self, desired: usize) -> Result<Vec<Vec<u8>>>;

    /// The task that reads `restrictions` on one worker and feeds `head`.
    ///
    /// # Errors
    /// What the source failed with.
    fn task(
        &self,
        step: StepIdentity,
        io: IoContext,
        restrictions: Vec<Vec<u8>>,
        head: Linked,
    ) -> Result<Box<dyn SourceTask>>;

    /// Whether the source ends by itself.
    fn is_bounded(&self) -> bool;
}

/// Makes the writers of a sink.
pub trait SinkFactory: Send + Sync {
    /// The edge in front of the sink.
    fn port(&self) -> Arc<dyn PortFactory>;

    /// The root of the stage that writes, feeding `refused` with what the destination refuses.
    ///
    /// # Errors
    /// What the sink failed with.
    fn root(
        &self,
        step: StepIdentity,
        io: IoContext,
        refused: Linked,
    ) -> Result<Box<dyn StageRoot>>;
}
