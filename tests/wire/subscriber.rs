//! [`Subscriber`]: what Google's client does for one reader, without sockets: keeps a stream open, extends leases, sends
//! acknowledgements; and [`Lease`], the handle that acknowledges when used and gives back when dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_io_gcp::pubsub::source::ids::MessageKey;
use millstream_io_gcp::pubsub::source::machine::{AckOutcome, Lease as MachineLease, Request};
use millstream_io_gcp::pubsub::{PubSubLink, PubSubMessage};
use millstream_local_gcp::pubsub::AckId;

use crate::network::Network;
use crate::scenario::Faults;
use crate::world::{Address, Message};

/// How long a lease lasts that is not extended: the shortest that Pub/Sub knows.
pub(crate) const ACK_DEADLINE: Duration = Duration::from_secs(10);
/// How often leases are extended: one extension that gets lost lets the lease run out.
const EXTEND_EVERY: Duration = Duration::from_secs(6);
/// The longest that anything between the job and Pub/Sub is under way.
pub(crate) const TRANSIT_MAX: Duration = Duration::from_millis(900);
/// How long an acknowledgement may stay without confirmation.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after a message its duplicate may come.
const DUPLICATE_MAX: Duration = Duration::from_secs(20);

/// What a subscriber asks of the service.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Open { stream: u64 },
    Acknowledge { seq: u64, ids: Vec<AckId> },
    Extend(Vec<AckId>),
    Release(Vec<AckId>),
    Probe,
}

/// What a subscriber hears, from the service or from its own clock.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Delivered { stream: u64, message: PubSubMessage, id: AckId },
    Confirmed { seq: u64, is_sure: bool },
    Probed(Result<(), String>),
    Broken { stream: u64 },
    Reopen,
    ExtendNow,
}

/// Acknowledges a delivery when used and gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    id: AckId,
    returned: Option<Returned>,
}

type Returned = Arc<Mutex<Vec<AckId>>>;

fn lock(returned: &Returned) -> MutexGuard<'_, Vec<AckId>> {
    returned.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lease {
    fn use_up(mut self) -> AckId {
        self.returned = None;
        self.id
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(returned) = self.returned.take() {
            lock(&returned).push(self.id);
        }
    }
}

/// The far side of one reader.
#[derive(Debug)]
pub(crate) struct Subscriber {
    link: PubSubLink<Lease>,
    address: Address,
    faults: Faults,
    confirms: bool,
    /// Whether what is under way when a stream breaks gets lost.
    loses_deliveries: bool,
    stream: u64,
    /// Number of the latest message received.
    greatest: u64,
    held: BTreeSet<AckId>,
    returned: Returned,
    waiting: VecDeque<(PubSubMessage, Lease)>,
    unconfirmed: BTreeMap<u64, Vec<MessageKey>>,
}

impl Subscriber {
    pub(crate) fn start(
        link: PubSubLink<Lease>,
        address: Address,
        (faults, confirms, loses_deliveries): (Faults, bool, bool),
        net: &mut Network<Message>,
    ) -> Self {
        let mut subscriber = Self {
            link,
            address,
            faults,
            confirms,
            loses_deliveries,
            stream: 0,
            greatest: 0,
            held: BTreeSet::new(),
            returned: Returned::default(),
            waiting: VecDeque::new(),
            unconfirmed: BTreeMap::new(),
        };
        subscriber.open(net);
        net.post(EXTEND_EVERY, Message::Reply(address, Reply::ExtendNow));
        subscriber
    }

    fn open(&mut self, net: &mut Network<Message>) {
        self.stream += 1;
        self.call(net, Call::Open { stream: self.stream });
    }

    fn call(&self, net: &mut Network<Message>, call: Call) {
        let delay = net.delay(TRANSIT_MAX / 3);
        net.post(delay, Message::Call(self.address, call));
    }

    /// Carries what the reader wants done, and hands it what waits.
    pub(crate) fn pump(&mut self, net: &mut Network<Message>) {
        for request in self.link.requests() {
            match request {
                Request::Acknowledge { seq, leases } => self.acknowledge(seq, leases, net),
                Request::Release(leases) => drop(leases),
                Request::Probe => self.call(net, Call::Probe),
                Request::Reopen => self.open(net),
            }
        }
        let mut batch = Vec::new();
        while self.link.has_room() && batch.len() < 64 {
            let Some(message) = self.waiting.pop_front() else { break };
            batch.push(message);
        }
        if !batch.is_empty() {
            drop(self.link.deliver(batch));
        }
        let returned = std::mem::take(&mut *lock(&self.returned));
        if !returned.is_empty() {
            self.held.retain(|id| !returned.contains(id));
            self.call(net, Call::Release(returned));
        }
    }

    fn acknowledge(
        &mut self,
        seq: u64,
        leases: Vec<MachineLease<Lease>>,
        net: &mut Network<Message>,
    ) {
        let mut ids = Vec::new();
        let mut keys = Vec::new();
        for MachineLease { key, handle } in leases {
            let id = handle.use_up();
            self.held.remove(&id);
            ids.push(id);
            keys.push(key);
        }
        net.note("acknowledges", self.address.client, ids.len() as u64);
        if self.confirms {
            self.unconfirmed.insert(seq, keys);
            let late = Reply::Confirmed { seq, is_sure: false };
            net.post(CONFIRM_TIMEOUT, Message::Reply(self.address, late));
        } else {
            self.link.acknowledged(seq, AckOutcome::Sent);
        }
        if !net.fault(self.faults.lost_acks, "an acknowledgement is lost") {
            self.call(net, Call::Acknowledge { seq, ids });
        }
    }

    /// Takes what the service says.
    pub(crate) fn on_reply(&mut self, reply: Reply, net: &mut Network<Message>) {
        match reply {
            Reply::Delivered { stream, message, id } => {
                if stream == self.stream || !self.loses_deliveries {
                    self.delivered(stream, message, id, net);
                }
            }
            Reply::Confirmed { seq, is_sure } => {
                if let Some(keys) = self.unconfirmed.remove(&seq) {
                    let failed = if is_sure { Vec::new() } else { keys };
                    self.link.acknowledged(seq, AckOutcome::Confirmed { failed });
                }
            }
            Reply::Probed(result) => self.link.probed(result),
            Reply::Broken { stream } if stream == self.stream => {
                let pause = net.delay(Duration::from_secs(1));
                net.post(pause, Message::Reply(self.address, Reply::Reopen));
            }
            Reply::Broken { .. } => {}
            Reply::Reopen => self.open(net),
            Reply::ExtendNow => {
                let held: Vec<AckId> = self.held.iter().copied().collect();
                if !held.is_empty() && !net.fault(self.faults.lost_extensions, "leases run out") {
                    self.call(net, Call::Extend(held));
                }
                net.post(EXTEND_EVERY, Message::Reply(self.address, Reply::ExtendNow));
            }
        }
    }

    fn delivered(
        &mut self,
        stream: u64,
        message: PubSubMessage,
        id: AckId,
        net: &mut Network<Message>,
    ) {
        let number = message.message_id.parse().unwrap_or(0) % 1_000_000;
        net.note("receives", self.address.client, number);
        if number < self.greatest {
            net.note("comes out of order", self.address.client, number);
        }
        self.greatest = self.greatest.max(number);
        if net.fault(self.faults.duplicates, "a delivery is doubled") {
            let again = Reply::Delivered { stream, message: message.clone(), id };
            let delay = net.delay(DUPLICATE_MAX);
            net.post(delay, Message::Reply(self.address, again));
        }
        self.held.insert(id);
        let returned = Some(Arc::clone(&self.returned));
        self.waiting.push_back((message, Lease { id, returned }));
    }
}
