//! [`Machine`]: the protocol of reading a subscription, without sockets, clocks or a runtime.
//!
//! Deliveries go in ([`Machine::deliver`]), messages come out ([`Machine::read`]) in batches, requests to the service come
//! out ([`Machine::requests`]) and their answers go in. The time is handed in with each round. `H` is what acknowledges a
//! delivery when used and gives it back when dropped: a handler of Google's client, or an ack id in a simulation.
//!
//! What it guarantees: a message is acknowledged only after the checkpoint that contains its effects is durable; a message
//! that was handed out is not handed out again within the horizon; the watermark never passes a message received and
//! not yet in a checkpoint, and never goes back.

use std::time::Duration;

use millstream::Timestamp;
use millstream::batch::Batch;
use millstream::source::{Backlog, ReadStatus};

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::ids::MessageKey;
use super::inbox::Inbox;
use super::ledger::{Ledger, LedgerSettings, Sealed};
use super::registry::{Claim, GroupId, GroupStatus, LifeId, Registry, SPREAD, State};
use super::restriction::PubSubRestriction;
use super::watermark::{Known, QuietAnswer, QuietWatch, WatermarkEstimator};

/// How long after the end of a lease a message may take to come back.
const REDELIVERY_MARGIN: Duration = Duration::from_secs(5);

/// How often a machine wants to be looked at, so that its running time counts.
/// With other readers it is [`SPREAD`]: nobody says when they have received something.
const ROUND: Duration = Duration::from_secs(5);

/// How long a restored reader waits for the readers of the other splits, whose restored messages it must know.
const OTHERS_WAIT: Duration = Duration::from_secs(10);

/// A message as it was delivered.
#[derive(Clone, Debug)]
pub struct Delivery<H> {
    /// What makes it the same message.
    pub key: MessageKey,
    /// Its event time.
    pub event_time: Timestamp,
    /// Its size as it came.
    pub bytes: u64,
    /// The message.
    pub message: PubSubMessage,
    /// What acknowledges this delivery of it.
    pub handle: H,
}

/// The right to acknowledge one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease<H> {
    /// What makes the message the same message.
    pub key: MessageKey,
    /// What acknowledges this delivery of it.
    pub handle: H,
}

/// What the machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<H> {
    /// Acknowledge these, and report with [`Machine::acknowledged`].
    Acknowledge {
        /// The group, for the report.
        seq: u64,
        /// What to acknowledge.
        leases: Vec<Lease<H>>,
    },
    /// Give these back to the service, to be delivered again.
    Release(Vec<Lease<H>>),
    /// Find out whether the service answers for the subscription, and report with [`Machine::probed`].
    Probe,
    /// Close the stream and open it anew; leases stay.
    Reopen,
}

/// How an acknowledgement went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AckOutcome {
    /// It was sent; the service confirms nothing.
    Sent,
    /// The service confirmed all but these.
    Confirmed {
        /// Messages whose acknowledgement failed or is uncertain.
        failed: Vec<MessageKey>,
    },
}

/// What a machine is set to.
#[derive(Clone, Copy, Debug)]
pub struct MachineSettings {
    /// How many messages may be received and not yet acknowledged.
    pub messages_max: u64,
    /// How many bytes of them.
    pub bytes_max: u64,
    /// How long a lease lasts that is not extended.
    pub ack_deadline: Duration,
    /// How long after a reader's end its messages may come back; derived from the ack deadline where `None`.
    pub lease_horizon: Option<Duration>,
    /// How long a confirmed message is remembered, in running time.
    pub deduplication_horizon: Duration,
    /// How many confirmed messages are remembered at most.
    pub remembered_max: u64,
    /// How far out of order event times come.
    pub allowed_skew: Duration,
    /// Whether event time is publish time, so that in silence the clock carries the watermark on.
    pub follows_clock: bool,
}

impl MachineSettings {
    pub(super) fn lease_horizon(&self) -> Duration {
        self.lease_horizon.unwrap_or(self.ack_deadline + REDELIVERY_MARGIN)
    }
}

/// What was handed out since the last checkpoint.
#[derive(Debug)]
struct Open<H> {
    group: GroupId,
    leases: Vec<Lease<H>>,
    waiting: Vec<(GroupId, Lease<H>)>,
    bytes: u64,
    earliest: Option<Timestamp>,
}

impl<H> Open<H> {
    fn new(group: GroupId) -> Self {
        Self { group, leases: Vec::new(), waiting: Vec::new(), bytes: 0, earliest: None }
    }

    fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.waiting.is_empty()
    }

    fn messages(&self) -> u64 {
        (self.leases.len() + self.waiting.len()) as u64
    }
}

/// The protocol of reading one split of a subscription.
#[derive(Debug)]
pub struct Machine<H> {
    settings: MachineSettings,
    registry: Registry,
    life: LifeId,
    split: u32,
    splits: u32,
    inbox: Inbox<H>,
    open: Open<H>,
    ledger: Ledger<H>,
    watermark: WatermarkEstimator,
    quiet: QuietWatch,
    /// The greatest event time that this reader received.
    greatest: Option<Timestamp>,
    requests: Vec<Request<H>>,
    failure: Option<PubSubError>,
    is_retired: bool,
    is_closed: bool,
    /// What waits for other readers when the life has ended.
    parting: Vec<(GroupId, Lease<H>)>,
    /// Until when to wait for the readers of other splits: `Some(None)` before the first round.
    others_until: Option<Option<Timestamp>>,
    bytes_read: u64,
    duplicates: u64,
}

impl<H> Machine<H> {
    /// A machine that reads `restriction`, and shares what it takes through `registry`.
    ///
    /// # Errors
    /// What is wrong with the restriction.
    pub fn new(
        restriction: PubSubRestriction,
        settings: MachineSettings,
        registry: Registry,
    ) -> Result<Self, &'static str> {
        let life = registry.lock().start_life(restriction.split);
        let inherited = restriction.lease_horizon;
        let ledger_settings = LedgerSettings {
            settle: settings.lease_horizon(),
            horizon: settings.deduplication_horizon,
            remembered_max: settings.remembered_max,
        };
        let mut ledger = Ledger::new(ledger_settings, registry.clone(), life);
        let must_wait = restriction.was_read() && restriction.splits > 1;
        if let Err(what) = ledger.restore(life, restriction.unconfirmed, inherited) {
            registry.lock().end_life(life);
            return Err(what);
        }
        let group = registry.lock().open_group(life);
        let skew = settings.allowed_skew;
        Ok(Self {
            settings,
            registry,
            life,
            split: restriction.split,
            splits: restriction.splits,
            inbox: Inbox::default(),
            open: Open::new(group),
            ledger,
            watermark: WatermarkEstimator::new(restriction.watermark, inherited, skew),
            quiet: QuietWatch::new(skew),
            greatest: None,
            requests: Vec::new(),
            failure: None,
            is_retired: false,
            is_closed: false,
            parting: Vec::new(),
            others_until: must_wait.then_some(None),
            bytes_read: 0,
            duplicates: 0,
        })
    }

    /// Whether more deliveries may be taken from the service.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let messages = self.inbox.len() + self.open.messages() + self.ledger.messages();
        let bytes = self.inbox.bytes() + self.open.bytes + self.ledger.bytes();
        !self.is_retired && messages < self.settings.messages_max && bytes < self.settings.bytes_max
    }

    /// Messages were received. A machine that reads no more gives them back, to be released.
    pub fn deliver(&mut self, batch: Vec<Delivery<H>>) -> Vec<Delivery<H>> {
        if self.is_retired {
            return batch;
        }
        let latest = batch.iter().map(|delivery| delivery.event_time).max();
        self.greatest = self.greatest.max(latest);
        self.inbox.push(batch);
        Vec::new()
    }

    /// Hands out messages: the next round of the worker, at `now`.
    ///
    /// # Errors
    /// What was reported with [`Machine::fail`].
    pub fn read(
        &mut self,
        out: &mut Batch<PubSubMessage>,
        now: Timestamp,
    ) -> Result<ReadStatus, PubSubError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.ledger.tick(now);
        if self.must_wait_for_others(now) {
            return Ok(ReadStatus::Pending { wake_at: Some(now + Duration::from_millis(100)) });
        }
        let greatest = self.hand_out(out, now);
        self.watch_silence(now);
        let unchecked = [self.inbox.earliest(), self.open.earliest].into_iter().flatten().min();
        let quiet = self.quiet.proven();
        self.watermark.update(now, Known { greatest, unchecked, quiet });
        if self.inbox.is_empty() {
            return Ok(ReadStatus::Pending { wake_at: Some(self.wake_at(now)) });
        }
        Ok(ReadStatus::More)
    }

    fn must_wait_for_others(&mut self, now: Timestamp) -> bool {
        let Some(until) = &mut self.others_until else { return false };
        let until = *until.get_or_insert(now + OTHERS_WAIT);
        if now < until && self.registry.lock().readers() < self.splits as usize {
            return true;
        }
        self.others_until = None;
        false
    }

    /// Hands out a batch, and returns the greatest event time that can be counted on.
    fn hand_out(&mut self, out: &mut Batch<PubSubMessage>, now: Timestamp) -> Option<Timestamp> {
        let registry = self.registry.clone();
        let mut state = registry.lock();
        for _ in 0..Batch::<PubSubMessage>::stage_len() {
            let Some(delivery) = self.inbox.pop() else { break };
            self.take(delivery, &mut state, out);
        }
        if let Some(greatest) = self.greatest {
            state.observe(greatest, now);
        }
        self.greatest.max(state.greatest(now))
    }

    fn take(&mut self, delivery: Delivery<H>, state: &mut State, out: &mut Batch<PubSubMessage>) {
        let Delivery { key, event_time, bytes, message, handle } = delivery;
        self.bytes_read += bytes;
        self.open.bytes += bytes;
        let claim = state.claim(&key, self.open.group);
        let lease = Lease { key, handle };
        match claim {
            Claim::New => {
                let earliest = self.open.earliest.unwrap_or(event_time);
                self.open.earliest = Some(earliest.min(event_time));
                self.open.leases.push(lease);
                out.push(event_time, message);
            }
            Claim::Duplicate => {
                self.duplicates += 1;
                self.open.leases.push(lease);
            }
            Claim::DuplicateOf(original) => {
                self.duplicates += 1;
                self.open.waiting.push((original, lease));
            }
        }
    }

    fn watch_silence(&mut self, now: Timestamp) {
        let is_quiet = self.inbox.is_empty() && self.open.is_empty();
        if self.settings.follows_clock && self.quiet.look(now, is_quiet) {
            self.requests.push(Request::Probe);
        }
    }

    fn wake_at(&self, now: Timestamp) -> Timestamp {
        let settles_at = self.registry.lock().settles_at(now);
        [self.quiet.look_at(), self.watermark.held_until(), settles_at]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .fold(now + if self.splits > 1 { SPREAD } else { ROUND }, Timestamp::min)
    }

    /// Divides what was handed out from what is left. The number returned is for [`Machine::finish`].
    pub fn checkpoint(&mut self) -> (PubSubRestriction, u64) {
        if !self.open.is_empty() {
            let group = self.registry.lock().open_group(self.life);
            let Open { group, leases, waiting, bytes, .. } =
                std::mem::replace(&mut self.open, Open::new(group));
            self.ledger.seal(Sealed { group, leases, waiting, bytes });
        }
        let inherited = self.watermark.inherited_horizon();
        let restriction = PubSubRestriction {
            split: self.split,
            splits: self.splits,
            watermark: self.watermark.value(),
            lease_horizon: self.settings.lease_horizon().max(inherited),
            unconfirmed: self.ledger.unconfirmed(),
        };
        (restriction, self.ledger.sealed())
    }

    /// The checkpoint that returned `seq` is durable, and with it all before.
    pub fn finish(&mut self, seq: u64) {
        let requests = self.ledger.finish(seq, &mut self.open.waiting);
        self.requests.extend(requests);
    }

    /// The acknowledgements of group `seq` were sent or answered.
    pub fn acknowledged(&mut self, seq: u64, outcome: AckOutcome) {
        self.ledger.answered(seq, outcome);
    }

    /// The service answered for the subscription, or why it did not.
    pub fn probed(&mut self, result: Result<(), String>) {
        if self.quiet.answered(result) == QuietAnswer::Reopen {
            self.requests.push(Request::Reopen);
        }
    }

    /// Reading on is impossible.
    pub fn fail(&mut self, error: PubSubError) {
        self.failure.get_or_insert(error);
    }

    /// Takes what is to be done.
    pub fn requests(&mut self) -> Vec<Request<H>> {
        std::mem::take(&mut self.requests)
    }

    /// Whether something is to be done.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Reads no more: what was received and not handed out goes back to the service. Checkpoints taken before may still
    /// become durable.
    pub fn retire(&mut self) {
        self.is_retired = true;
        self.inbox = Inbox::default();
    }

    /// Ends the reader's life: acknowledgements already asked for still go out, everything else goes back to the
    /// service, and other readers may take it.
    pub fn close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.retire();
        let open = Open::new(self.open.group);
        self.parting = std::mem::replace(&mut self.open, open).waiting;
        self.ledger.close();
        self.registry.lock().end_life(self.life);
    }

    /// After the end of the reader's life: duplicates whose originals are durable by now, to be acknowledged. Those whose original
    /// must come again go back to the service.
    ///
    /// The readers of a job end with the same checkpoint, one a little before the other.
    pub fn part(&mut self) -> Vec<Lease<H>> {
        let state = self.registry.lock();
        let mut durable = Vec::new();
        for (original, lease) in std::mem::take(&mut self.parting) {
            match state.last_status(original) {
                GroupStatus::Final => durable.push(lease),
                GroupStatus::InFlight => self.parting.push((original, lease)),
                GroupStatus::Gone => {}
            }
        }
        durable
    }

    /// Whether duplicates still wait for the last checkpoint of another reader.
    #[must_use]
    pub fn is_parting(&self) -> bool {
        !self.parting.is_empty()
    }

    /// Whether the reader's life has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The watermark as of the last round.
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.watermark.value()
    }

    /// Why the watermark stands where it does.
    #[must_use]
    pub fn watermark_reason(&self) -> String {
        if self.others_until.is_some() {
            return format!("waiting for the readers of all {} splits", self.splits);
        }
        let mut reason = self.watermark.reason();
        self.quiet.explain(&mut reason);
        reason
    }

    /// Whether half of what may be outstanding was handed out since the last checkpoint.
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        self.open.messages() * 2 >= self.settings.messages_max
            || self.open.bytes * 2 >= self.settings.bytes_max
    }

    /// What was received and waits to be handed out.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        Backlog { records: Some(self.inbox.len()), bytes: Some(self.inbox.bytes()) }
    }

    /// Bytes of messages taken from the inbox, duplicates included.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Deliveries dropped as duplicates.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }
}
