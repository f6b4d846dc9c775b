//! [`Ledger`]: the groups of one reader from their checkpoint to their oblivion, and the running time that ages them.
//!
//! A group is sealed with its checkpoint, acknowledged once that is durable, and remembered for a horizon behind the
//! confirmation. Until it is confirmed it stands in every checkpoint. Without exactly-once delivery Pub/Sub confirms nothing: an
//! acknowledgement then counts as confirmed when the lease has run out and the message has not come back.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use millstream::Timestamp;

use super::ids::{IdSet, MessageKey};
use super::machine::{AckOutcome, Lease, Request};
use super::registry::{GroupId, GroupStatus, LifeId, Registry};

/// The most that one round may add to the running time: a clock that jumps must not age anything.
const ROUND_MAX: Duration = Duration::from_secs(10);

/// Time as far as the job has run, from the clock readings of its rounds.
#[derive(Debug, Default)]
pub(super) struct RunningTime {
    last: Option<Timestamp>,
    elapsed: Duration,
}

impl RunningTime {
    /// It is `now`.
    pub(super) fn advance(&mut self, now: Timestamp) {
        if let Some(last) = self.last {
            self.elapsed += now.since(last).min(ROUND_MAX);
        }
        self.last = Some(now);
    }
}

/// How long groups stay in which state.
#[derive(Clone, Copy, Debug)]
pub(super) struct LedgerSettings {
    /// How long after an unconfirmed acknowledgement the message may come back.
    pub(super) settle: Duration,
    /// How long a confirmed message is remembered.
    pub(super) horizon: Duration,
    /// How many confirmed messages are remembered at most; beyond, the oldest are forgotten before the horizon.
    pub(super) remembered_max: u64,
}

/// A group as it is sealed.
#[derive(Debug)]
pub(super) struct Sealed<H> {
    /// The group.
    pub(super) group: GroupId,
    /// The messages handed out with it, and duplicates of them.
    pub(super) leases: Vec<Lease<H>>,
    /// Duplicates of what another reader has in flight, each with the group it waits for.
    pub(super) waiting: Vec<(GroupId, Lease<H>)>,
    /// Bytes of them all.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Entry<H> {
    seq: u64,
    group: GroupId,
    ids: IdSet,
    messages: u64,
    bytes: u64,
    stage: Stage<H>,
}

#[derive(Debug)]
enum Stage<H> {
    Sealed { leases: Vec<Lease<H>>, waiting: Vec<(GroupId, Lease<H>)> },
    Acknowledging,
    Settling { until: Duration },
    Remembered { until: Duration },
}

impl<H> Stage<H> {
    fn due(&self) -> Option<Duration> {
        match self {
            Self::Settling { until } | Self::Remembered { until } => Some(*until),
            _ => None,
        }
    }
}

/// The groups of one reader behind their checkpoints.
#[derive(Debug)]
pub(super) struct Ledger<H> {
    settings: LedgerSettings,
    registry: Registry,
    entries: VecDeque<Entry<H>>,
    next_seq: u64,
    running: RunningTime,
    next_due: Option<Duration>,
    /// Messages of groups done with that still may come back: their acknowledgement failed, or they came back to a group
    /// whose checkpoint is not durable. They stay until a group that is durable holds them.
    doubtful: BTreeSet<MessageKey>,
    doubtful_group: GroupId,
    messages: u64,
    bytes: u64,
    remembered: u64,
}

impl<H> Ledger<H> {
    /// An empty ledger of `life`.
    pub(super) fn new(settings: LedgerSettings, registry: Registry, life: LifeId) -> Self {
        let doubtful_group = {
            let mut state = registry.lock();
            let group = state.open_group(life);
            state.finish_group(group);
            group
        };
        Self {
            settings,
            registry,
            entries: VecDeque::new(),
            next_seq: 1,
            running: RunningTime::default(),
            next_due: None,
            doubtful: BTreeSet::new(),
            doubtful_group,
            messages: 0,
            bytes: 0,
            remembered: 0,
        }
    }

    /// Takes the messages an earlier reader acknowledged without confirmation; they may come back for `horizon`.
    ///
    /// # Errors
    /// What is wrong with the sets.
    pub(super) fn restore(
        &mut self,
        life: LifeId,
        sets: Vec<IdSet>,
        horizon: Duration,
    ) -> Result<(), &'static str> {
        for ids in sets {
            let mut state = self.registry.lock();
            let group = state.open_group(life);
            state.finish_group(group);
            ids.for_each(|key| state.assign(key, group))?;
            drop(state);
            let stage = Stage::Settling { until: self.running.elapsed + horizon };
            self.push(Entry { seq: 0, group, ids, messages: 0, bytes: 0, stage });
        }
        Ok(())
    }

    fn push(&mut self, entry: Entry<H>) {
        self.note_due(entry.stage.due());
        self.entries.push_back(entry);
    }

    fn note_due(&mut self, due: Option<Duration>) {
        self.next_due = [self.next_due, due].into_iter().flatten().min();
    }

    /// Seals a group with a checkpoint. Groups without messages leave no trace.
    pub(super) fn seal(&mut self, sealed: Sealed<H>) {
        let Sealed { group, leases, waiting, bytes } = sealed;
        let ids = IdSet::new(leases.iter().map(|lease| &lease.key));
        let messages = (leases.len() + waiting.len()) as u64;
        self.messages += messages;
        self.bytes += bytes;
        let stage = Stage::Sealed { leases, waiting };
        self.push(Entry { seq: self.next_seq, group, ids, messages, bytes, stage });
        self.next_seq += 1;
    }

    /// The number of the group sealed last; 0 before the first.
    pub(super) fn sealed(&self) -> u64 {
        self.next_seq - 1
    }

    /// The checkpoints up to that of group `seq` are durable: returns what to acknowledge and to release; what waits for another
    /// reader's checkpoint still goes to `waiting`.
    pub(super) fn finish(
        &mut self,
        seq: u64,
        waiting: &mut Vec<(GroupId, Lease<H>)>,
    ) -> Vec<Request<H>> {
        let mut requests = Vec::new();
        let mut released = Vec::new();
        let mut state = self.registry.lock();
        for entry in self.entries.iter_mut().filter(|entry| entry.seq <= seq) {
            if !matches!(entry.stage, Stage::Sealed { .. }) {
                continue;
            }
            let Stage::Sealed { mut leases, waiting: held } =
                std::mem::replace(&mut entry.stage, Stage::Acknowledging)
            else {
                continue;
            };
            state.finish_group(entry.group);
            for (original, lease) in held {
                match state.status(original) {
                    GroupStatus::Final => leases.push(lease),
                    GroupStatus::InFlight => waiting.push((original, lease)),
                    // The effects went with the other reader: the message must come again.
                    GroupStatus::Gone => released.push(lease),
                }
            }
            requests.push(Request::Acknowledge { seq: entry.seq, leases });
        }
        if !released.is_empty() {
            requests.push(Request::Release(released));
        }
        requests
    }

    /// The acknowledgements of group `seq` were sent or answered.
    pub(super) fn answered(&mut self, seq: u64, outcome: AckOutcome) {
        let now = self.running.elapsed;
        let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.seq == seq && matches!(entry.stage, Stage::Acknowledging))
        else {
            return;
        };
        self.messages -= std::mem::take(&mut entry.messages);
        self.bytes -= std::mem::take(&mut entry.bytes);
        let mut state = self.registry.lock();
        match outcome {
            AckOutcome::Sent => {
                entry.stage = Stage::Settling { until: now + self.settings.settle };
            }
            AckOutcome::Confirmed { failed } => {
                entry.stage = Stage::Remembered { until: now + self.settings.horizon };
                self.remembered += entry.ids.len();
                for key in failed {
                    if state.group_of(&key) == Some(entry.group) {
                        state.assign(key.clone(), self.doubtful_group);
                    }
                    self.doubtful.insert(key);
                }
            }
        }
        drop(state);
        let due = entry.stage.due();
        self.note_due(due);
    }

    /// Ages the groups: it is `now`.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.running.advance(now);
        let elapsed = self.running.elapsed;
        let is_due = self.next_due.is_some_and(|due| due <= elapsed);
        if !is_due && self.remembered <= self.settings.remembered_max {
            return;
        }
        self.confirm_settled(elapsed);
        self.forget(elapsed);
        self.next_due = self.entries.iter().filter_map(|entry| entry.stage.due()).min();
    }

    /// What has not come back for long enough counts as confirmed.
    fn confirm_settled(&mut self, elapsed: Duration) {
        let state = self.registry.lock();
        for entry in &mut self.entries {
            if !matches!(entry.stage, Stage::Settling { until } if until <= elapsed) {
                continue;
            }
            // What came back to another reader must not leave this one's checkpoints before it is in the other's.
            let has_come_back = |key: &MessageKey| {
                let holder = state.group_of(key).filter(|holder| *holder != entry.group);
                holder.is_some_and(|holder| state.status(holder) == GroupStatus::InFlight)
            };
            // The keys of a set made here or checked when restored: nothing in it can be damaged.
            let _ = entry.ids.for_each(|key| {
                if has_come_back(&key) {
                    self.doubtful.insert(key);
                }
            });
            entry.stage = Stage::Remembered { until: elapsed + self.settings.horizon };
            self.remembered += entry.ids.len();
        }
    }

    fn forget(&mut self, elapsed: Duration) {
        let mut state = self.registry.lock();
        let (remembered, max) = (&mut self.remembered, self.settings.remembered_max);
        self.entries.retain(|entry| {
            let Stage::Remembered { until } = entry.stage else { return true };
            let keep = until > elapsed && *remembered <= max;
            if !keep {
                state.forget_group(entry.group, &entry.ids);
                *remembered -= entry.ids.len();
            }
            keep
        });
    }

    /// The messages that may come back, for a checkpoint.
    pub(super) fn unconfirmed(&mut self) -> Vec<IdSet> {
        let is_open = |entry: &&Entry<H>| {
            !matches!(entry.stage, Stage::Remembered { .. }) && !entry.ids.is_empty()
        };
        let mut sets: Vec<_> =
            self.entries.iter().filter(is_open).map(|entry| entry.ids.clone()).collect();
        let state = self.registry.lock();
        self.doubtful.retain(|key| {
            let holder = state.group_of(key);
            holder == Some(self.doubtful_group)
                || holder.is_some_and(|holder| state.status(holder) == GroupStatus::InFlight)
        });
        if !self.doubtful.is_empty() {
            sets.push(IdSet::new(self.doubtful.iter()));
        }
        sets
    }

    /// Messages sealed and not yet acknowledged.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of the messages sealed and not yet acknowledged.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets all groups; the messages that were sealed and not acknowledged go back to the service.
    pub(super) fn close(&mut self) {
        self.entries.clear();
        self.doubtful.clear();
        (self.messages, self.bytes, self.remembered, self.next_due) = (0, 0, 0, None);
    }
}
