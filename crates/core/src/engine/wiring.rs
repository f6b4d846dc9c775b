//! From a plan to workers: opens sources and sinks, links the steps, joins the stages with queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::mailbox::{Receiver, Sender, mailbox};
use crate::engine::plan::{EdgeId, Plan, Reader};
use crate::engine::stage::{InputStage, SourceStage, Stage};
use crate::engine::worker::Worker;
use crate::error::Result;
use crate::graph::{Body, Node, NodeId, OutputRef};
use crate::io::{Io, IoContext, Waker};
use crate::metrics::StepMetrics;
use crate::operator::erased::{Linked, OutputPort, Outputs, Partitioning};
use crate::operator::exchange::MessageSender;
use crate::operator::link::StepIdentity;
use crate::operator::seam::Share;
use crate::operator::source_task::RESTRICTIONS;
use crate::state::RestoredState;

/// Wakes a worker: sets its flag, then calls the driver's waker.
#[derive(Clone, Debug)]
pub struct WorkerWaker {
    /// Set to make the worker look at its sources again.
    pub woken: Arc<AtomicBool>,
    /// Makes the driver step the worker.
    pub waker: Waker,
}

impl WorkerWaker {
    /// For drivers without threads: sets `flag` when the worker is to be stepped.
    #[must_use]
    pub fn flag(flag: Arc<AtomicBool>) -> Self {
        Self {
            woken: Arc::default(),
            waker: Waker::new(move || flag.store(true, Ordering::Release)),
        }
    }

    fn io_waker(&self) -> Waker {
        let Self { woken, waker } = self.clone();
        Waker::new(move || {
            woken.store(true, Ordering::Release);
            waker.wake();
        })
    }
}

/// Counters for every step of a plan, in the order of its graph, then one invisible set for what the planner adds.
#[must_use]
pub fn metrics(plan: &Plan) -> Vec<StepMetrics> {
    let nodes = plan.graph.nodes().iter();
    // A flatten and a window are no work of their own.
    let visible = |node: &Node| !matches!(node.body, Body::Flatten) && node.kind != "Window";
    nodes
        .map(|node| StepMetrics::new(Arc::clone(&node.path), plan.workers, visible(node)))
        .collect()
}

type Queues<Q> = Vec<Vec<Vec<Q>>>;

struct Wiring<'a> {
    plan: &'a Plan,
    metrics: &'a [StepMetrics],
    wakers: &'a [WorkerWaker],
    io: &'a Io,
    is_restored: bool,
    /// By edge, then producing worker: the consumers' queues.
    senders: Queues<Sender>,
    /// By edge, then consuming worker: the producers' queues.
    receivers: Queues<Receiver>,
}

/// Makes the workers of a plan; `state` is that of the checkpoint they start from.
///
/// # Errors
/// What a source or sink failed with.
pub fn build_workers(
    plan: &Plan,
    metrics: &[StepMetrics],
    wakers: &[WorkerWaker],
    io: &Io,
    state: Option<&RestoredState>,
) -> Result<Vec<Worker>> {
    let restrictions = split_sources(plan, state)?;
    let (senders, receivers) = queues(plan, wakers);
    let is_restored = state.is_some();
    let mut wiring = Wiring { plan, metrics, wakers, io, is_restored, senders, receivers };
    let mut workers = Vec::new();
    for (index, waker) in wakers.iter().enumerate() {
        let mut stages = Vec::new();
        for stage in 0..plan.stages.len() {
            stages.push(wiring.build_stage(stage, index, &restrictions)?);
        }
        let share = Share { worker: index, workers: plan.workers };
        workers.push(Worker::new(share, stages, Arc::clone(&waker.woken)));
    }
    Ok(workers)
}

/// What each source reads: the residuals of the checkpoint, or its split where the checkpoint does not know it.
fn split_sources(plan: &Plan, state: Option<&RestoredState>) -> Result<Vec<Vec<Vec<u8>>>> {
    let mut all = Vec::new();
    for node in plan.graph.nodes() {
        let Body::Source(factory) = &node.body else {
            all.push(Vec::new());
            continue;
        };
        let step = state.map(|state| state.step(&node.path)).filter(|step| !step.is_empty());
        all.push(match step {
            Some(step) => step.values::<Vec<u8>>(RESTRICTIONS)?,
            None => factory.split(plan.workers)?,
        });
    }
    Ok(all)
}

fn queues(plan: &Plan, wakers: &[WorkerWaker]) -> (Queues<Sender>, Queues<Receiver>) {
    let workers = plan.workers;
    let mut senders: Queues<Sender> = Vec::new();
    let mut receivers: Queues<Receiver> = Vec::new();
    for edge in &plan.edges {
        let mut sending: Vec<Vec<Sender>> = (0..workers).map(|_| Vec::new()).collect();
        let mut receiving: Vec<Vec<Receiver>> = (0..workers).map(|_| Vec::new()).collect();
        let stays = edge.port.partitioning() == Partitioning::Forward;
        for (producer, senders) in sending.iter_mut().enumerate() {
            for (consumer, receivers) in receiving.iter_mut().enumerate() {
                if stays && producer != consumer {
                    continue;
                }
                let wake = |other: usize| {
                    if producer == consumer { Waker::none() } else { wakers[other].waker.clone() }
                };
                let (sender, receiver) = mailbox(wake(producer), wake(consumer));
                senders.push(sender);
                receivers.push(receiver);
            }
        }
        senders.push(sending);
        receivers.push(receiving);
    }
    (senders, receivers)
}

impl Wiring<'_> {
    fn build_stage(
        &mut self,
        stage: usize,
        worker: usize,
        restrictions: &[Vec<Vec<u8>>],
    ) -> Result<Stage> {
        let root = self.plan.stages[stage].root;
        let step = self.identity(root, worker);
        let node = self.plan.graph.node(root);
        let stage_root = match &node.body {
            Body::Source(factory) => {
                let head = self.build_output(OutputRef { node: root, output: 0 }, worker);
                let share = Share { worker, workers: self.plan.workers };
                let mine = restrictions[root].iter().enumerate();
                let mine =
                    mine.filter(|(index, _)| share.takes(*index)).map(|(_, one)| one.clone());
                let task = factory.task(
                    step.clone(),
                    self.io_context(root, worker),
                    mine.collect(),
                    head,
                )?;
                return Ok(Stage::Source(SourceStage::new(step, task)));
            }
            Body::Sink(factory) => {
                let refused = self.build_output(OutputRef { node: root, output: 0 }, worker);
                factory.root(step.clone(), self.io_context(root, worker), refused)?
            }
            Body::Flatten => {
                let head = self.build_output(OutputRef { node: root, output: 0 }, worker);
                node.outputs[0].ops.forward_port().root(head)
            }
            Body::Operator(factory) => {
                let is_lifted = factory.can_lift();
                let head = self.build_step(root, is_lifted, worker);
                factory.port(is_lifted).root(head)
            }
        };
        let inputs = &self.plan.stages[stage].inputs;
        let take = |edge: &EdgeId| std::mem::take(&mut self.receivers[*edge][worker]);
        let receivers = inputs.iter().flat_map(take).collect();
        Ok(Stage::Input(InputStage::new(step, stage_root, receivers)))
    }

    /// The head of everything that reads `output`.
    fn build_output(&mut self, output: OutputRef, worker: usize) -> Linked {
        let readers = self.plan.readers(output).to_vec();
        let heads = readers.into_iter().map(|reader| match reader {
            Reader::Fused(node) => self.build_step(node, false, worker),
            Reader::Edge(edge) => self.build_edge(edge, worker),
        });
        let heads = heads.collect();
        self.plan.graph.node(output.node).outputs[output.output].ops.tee(heads)
    }

    fn build_step(&mut self, node: NodeId, is_lifted: bool, worker: usize) -> Linked {
        let outputs = self.plan.graph.node(node).outputs.len();
        let main = OutputRef { node, output: 0 };
        let panes_observed = self.plan.graph.panes_observed(main);
        let main = self.build_output(main, worker);
        let mut sides = Vec::new();
        for output in 1..outputs {
            let side = OutputRef { node, output };
            let is_read = !self.plan.readers(side).is_empty();
            let head = self.build_output(side, worker);
            let ops = &self.plan.graph.node(node).outputs[output].ops;
            sides.push(OutputPort(ops.side_port(head, is_read)));
        }
        let step = self.identity(node, worker);
        let Body::Operator(factory) = &self.plan.graph.node(node).body else {
            unreachable!("only operators are fused");
        };
        factory.build(is_lifted, step, Outputs { main, sides, panes_observed })
    }

    fn build_edge(&mut self, edge: EdgeId, worker: usize) -> Linked {
        let senders = std::mem::take(&mut self.senders[edge][worker]);
        let senders = senders.into_iter().map(|sender| Box::new(sender) as Box<dyn MessageSender>);
        let plan = &self.plan.edges[edge];
        let writer = plan.port.writer(senders.collect());
        let root = self.plan.stages[plan.to].root;
        let Body::Operator(factory) = &self.plan.graph.node(root).body else { return writer };
        if !plan.is_lifted {
            return writer;
        }
        // Its counts are not the combine's: elements that came in, not accumulators.
        let path = format!("{}/PreCombine{edge}", self.plan.graph.node(root).path);
        let step = StepIdentity {
            path: path.into(),
            counters: Arc::default(),
            ..self.identity(root, worker)
        };
        factory.lift(step, writer).expect("a factory that can lift does")
    }

    fn identity(&self, node: NodeId, worker: usize) -> StepIdentity {
        let step = self.plan.graph.node(node);
        StepIdentity {
            path: Arc::clone(&step.path),
            location: Arc::clone(&step.location),
            counters: Arc::clone(&self.metrics[node].workers[worker]),
            index: node,
        }
    }

    fn io_context(&self, node: NodeId, worker: usize) -> IoContext {
        IoContext {
            step: self.plan.graph.node(node).path.to_string(),
            worker,
            workers: self.plan.workers,
            is_restored: self.is_restored,
            io: self.io.clone(),
            waker: self.wakers[worker].io_waker(),
        }
    }
}
