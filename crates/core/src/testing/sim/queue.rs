//! An unreliable message queue in memory, in the manner of Pub/Sub: [`SimQueue`], and the source that reads it.
//!
//! Messages are leased, come back when the lease runs out or the reader dies, come twice, and in any order; acknowledgements get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::source::{Boundedness, ReadStatus, Reader, Residual, Source};
use crate::time::Timestamp;

/// How long a message is leased.
const LEASE: Duration = Duration::from_secs(10);

/// What happens to messages, each in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueFaults {
    /// A pull delivers some message although it may be leased.
    pub duplicate_percent: u8,
    /// An acknowledgement is lost.
    pub lost_ack_percent: u8,
    /// Bug to plant: messages are acknowledged when the barrier passes instead of when the checkpoint is durable.
    pub acks_before_checkpoint: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimMessage {
    /// Its unique number.
    pub id: u64,
    /// Its key.
    pub key: u32,
    /// Its event time.
    pub event_time: Timestamp,
    /// What it carries.
    pub amount: u64,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    faults: QueueFaults,
    /// Not acknowledged, by id, with the time from which it may be delivered.
    pending: BTreeMap<u64, (SimMessage, Timestamp)>,
    acked: BTreeSet<u64>,
    deliveries: u64,
}

/// A queue in memory; clones are the same queue. It outlives the jobs that read it.
#[derive(Clone, Debug)]
pub struct SimQueue {
    state: Arc<Mutex<State>>,
}

impl SimQueue {
    /// A queue of `messages`, whose faults come from `seed`.
    #[must_use]
    pub fn new(messages: Vec<SimMessage>, seed: u64, faults: QueueFaults) -> Self {
        let pending = messages.into_iter().map(|message| (message.id, (message, Timestamp::MIN)));
        let state = State {
            rng: Rng::with_seed(seed),
            faults,
            pending: pending.collect(),
            acked: BTreeSet::new(),
            deliveries: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `faults` apply.
    pub fn set_faults(&self, faults: QueueFaults) {
        self.lock().faults = faults;
    }

    /// Messages that are not acknowledged.
    #[must_use]
    pub fn unacked(&self) -> usize {
        self.lock().pending.len()
    }

    /// Messages delivered, those delivered again included.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.lock().deliveries
    }

    /// Leases up to `count` messages in random order.
    fn pull(&self, count: usize, now: Timestamp) -> Vec<SimMessage> {
        let state = &mut *self.lock();
        let is_ready =
            |(id, (_, from)): (&u64, &(SimMessage, Timestamp))| (*from <= now).then_some(*id);
        let mut ready: Vec<u64> = state.pending.iter().filter_map(is_ready).collect();
        let percent = state.faults.duplicate_percent;
        if percent > 0 && !state.pending.is_empty() && state.rng.u8(0..100) < percent {
            let index = state.rng.usize(0..state.pending.len());
            ready.extend(state.pending.keys().nth(index));
        }
        state.rng.shuffle(&mut ready);
        ready.truncate(count);
        state.deliveries += ready.len() as u64;
        let mut messages = Vec::new();
        for id in ready {
            if let Some((message, from)) = state.pending.get_mut(&id) {
                *from = now + LEASE;
                messages.push(message.clone());
            }
        }
        messages
    }

    /// Acknowledges; gives those whose acknowledgement arrived.
    fn ack(&self, ids: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let state = &mut *self.lock();
        let lost_percent = state.faults.lost_ack_percent;
        let mut arrived = Vec::new();
        for id in ids {
            let lost = lost_percent > 0 && state.rng.u8(0..100) < lost_percent;
            if !lost {
                state.pending.remove(&id);
                state.acked.insert(id);
                arrived.push(id);
            }
        }
        arrived
    }

    /// When the next lease runs out.
    fn next_delivery(&self) -> Option<Timestamp> {
        self.lock().pending.values().map(|(_, from)| *from).min()
    }
}

/// What all readers of one life know together.
#[derive(Debug, Default)]
struct Known {
    /// Messages handed out whose acknowledgement is not confirmed, and in front of which cut of their reader they were.
    handed_out: BTreeMap<u64, (Timestamp, u64)>,
    /// Readers opened in this life.
    readers: usize,
}

/// Reads a [`SimQueue`] exactly once.
#[derive(Clone, Debug)]
pub struct SimQueueSource {
    queue: SimQueue,
    known: Arc<Mutex<Known>>,
    releases: bool,
}

impl SimQueueSource {
    /// A source for one life of a job: make a new one, and a new pipeline with it, for each.
    #[must_use]
    pub fn new(queue: &SimQueue) -> Self {
        Self { queue: queue.clone(), known: Arc::default(), releases: false }
    }

    /// Ends all leases, and forgets what was handed out, when a new life of the job opens the source.
    #[must_use]
    pub fn releasing_on_open(mut self) -> Self {
        self.releases = true;
        self
    }
}

/// What a reader's checkpoint holds: messages whose effects are in it and whose acknowledgement is not confirmed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct QueueResidual {
    unconfirmed: Vec<(u64, Timestamp)>,
}

impl Source for SimQueueSource {
    type Item = SimMessage;
    type Restriction = QueueResidual;
    type Reader = SimQueueReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn split(&self, desired: usize) -> Result<Vec<QueueResidual>, BoxError> {
        Ok(vec![QueueResidual::default(); desired])
    }

    fn reader(&self, residual: QueueResidual, ctx: &IoContext) -> Result<SimQueueReader, BoxError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.releases {
            // Readers of the life before are gone: what they handed out and did not checkpoint is new again.
            self.queue.lock().pending.values_mut().for_each(|(_, from)| *from = Timestamp::MIN);
            known.readers += 1;
            if known.readers > ctx.workers {
                known.readers = 1;
                known.handed_out.clear();
            }
        }
        let mine: BTreeSet<u64> = residual.unconfirmed.iter().map(|(id, _)| *id).collect();
        known.handed_out.extend(residual.unconfirmed.into_iter().map(|(id, at)| (id, (at, 0))));
        Ok(SimQueueReader {
            queue: self.queue.clone(),
            known: Arc::clone(&self.known),
            cuts: 0,
            to_ack: BTreeMap::new(),
            unconfirmed: mine,
            watermark: Timestamp::MIN,
        })
    }
}

/// Reads a share of a [`SimQueue`].
#[derive(Debug)]
pub struct SimQueueReader {
    queue: SimQueue,
    known: Arc<Mutex<Known>>,
    /// Cuts so far. All readers of a job are cut as often, so the numbers can be compared between them.
    cuts: u64,
    /// By the cut behind which they may be acknowledged.
    to_ack: BTreeMap<u64, Vec<u64>>,
    /// Messages whose effects are this reader's and whose acknowledgement is not confirmed.
    unconfirmed: BTreeSet<u64>,
    watermark: Timestamp,
}

impl Reader for SimQueueReader {
    type Item = SimMessage;
    type Restriction = QueueResidual;

    fn poll_read(
        &mut self,
        out: &mut Batch<SimMessage>,
        now: Timestamp,
    ) -> Result<ReadStatus, BoxError> {
        let messages = self.queue.pull(16, now);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_empty = messages.is_empty();
        for message in messages {
            let cut = match known.handed_out.get(&message.id) {
                // A duplicate is acknowledged with the original, which another reader may have handed out behind a later cut.
                Some((_, cut)) => self.cuts.max(*cut),
                None => {
                    known.handed_out.insert(message.id, (message.event_time, self.cuts));
                    self.unconfirmed.insert(message.id);
                    out.push(message.event_time, message.clone());
                    self.cuts
                }
            };
            self.to_ack.entry(cut).or_default().push(message.id);
        }
        drop(known);
        self.advance_watermark();
        if !is_empty {
            return Ok(ReadStatus::More);
        }
        if self.queue.unacked() == 0 {
            return Ok(ReadStatus::Done);
        }
        let wake_at = self.queue.next_delivery().map(|at| at.max(now + Duration::from_millis(50)));
        Ok(ReadStatus::Pending { wake_at })
    }

    fn watermark(&self) -> Timestamp {
        self.watermark
    }

    fn checkpoint(&mut self) -> Residual<QueueResidual> {
        let cut = self.cuts;
        self.cuts += 1;
        let later = self.to_ack.split_off(&(cut + 1));
        let due: Vec<u64> =
            std::mem::replace(&mut self.to_ack, later).into_values().flatten().collect();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let handed_out = |id: &u64| known.handed_out.get(id).map(|(at, _)| (*id, *at));
        let unconfirmed = self.unconfirmed.iter().filter_map(handed_out).collect();
        // What is not known any more was confirmed since.
        self.unconfirmed.retain(|id| known.handed_out.contains_key(id));
        drop(known);
        let (queue, known) = (self.queue.clone(), Arc::clone(&self.known));
        let acknowledge = move || {
            let arrived = queue.ack(due);
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.handed_out.retain(|id, _| !arrived.contains(id));
        };
        let residual = Residual::new(Some(QueueResidual { unconfirmed }));
        if self.queue.lock().faults.acks_before_checkpoint {
            acknowledge();
            return residual;
        }
        residual.with_finalizer(acknowledge)
    }

    fn watermark_reason(&self) -> String {
        format!("{} messages are not acknowledged", self.queue.unacked())
    }
}

impl SimQueueReader {
    /// The watermark stands at the earliest message that is not acknowledged: after a crash it may come again.
    fn advance_watermark(&mut self) {
        let state = self.queue.lock();
        let earliest = state.pending.values().map(|(message, _)| message.event_time).min();
        self.watermark = self.watermark.max(earliest.unwrap_or(Timestamp::MAX));
    }
}
