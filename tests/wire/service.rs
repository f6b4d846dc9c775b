//! [`Service`]: local Pub/Sub's state machine behind the simulated network. It outlives the job's crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::Timestamp;
use millstream_io_gcp::pubsub::PubSubMessage;
use millstream_local_gcp::clock::Timestamp as ServerTime;
use millstream_local_gcp::proto::pubsub as proto;
use millstream_local_gcp::pubsub::{
    AckId, BatchLimit, Delivery, Limits, NewMessage, SessionId, SessionOptions, State,
};

use crate::network::Network;
use crate::scenario::Scenario;
use crate::subscriber::{ACK_DEADLINE, Call, Reply, TRANSIT_MAX};
use crate::world::{Address, Message};

const TOPIC: &str = "projects/simulated/topics/orders";
pub(crate) const SUBSCRIPTION: &str = "projects/simulated/subscriptions/orders";

/// The server's time for the engine's.
pub(crate) fn server_time(now: Timestamp) -> ServerTime {
    ServerTime::from_micros(now.as_micros())
}

#[derive(Debug)]
struct Session {
    address: Address,
    stream: u64,
    /// What is delivered through one stream keeps its order, unless the scenario is one of late messages.
    last: Timestamp,
}

/// Pub/Sub with one subscription.
#[derive(Debug)]
pub(crate) struct Service {
    state: State,
    sessions: BTreeMap<SessionId, Session>,
    scenario: Scenario,
    /// Deliveries, those of the same message included; the latest are the likeliest to be under way.
    delivered: Vec<AckId>,
    /// Nothing is answered before.
    down_until: Timestamp,
    /// Processes up to this life are gone, and the server knows.
    gone: u32,
}

impl Service {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut state = State::new(Limits::default());
        let topic = proto::Topic { name: TOPIC.to_owned(), ..proto::Topic::default() };
        state.create_topic(topic).expect("the name is right");
        let subscription = proto::Subscription {
            name: SUBSCRIPTION.to_owned(),
            topic: TOPIC.to_owned(),
            ack_deadline_seconds: 10,
            ..proto::Subscription::default()
        };
        state.create_subscription(subscription).expect("the topic is there");
        Self {
            state,
            sessions: BTreeMap::new(),
            scenario: scenario.clone(),
            delivered: Vec::new(),
            down_until: Timestamp::MIN,
            gone: 0,
        }
    }

    pub(crate) fn publish(&mut self, message: NewMessage, net: &mut Network<Message>) {
        let now = server_time(net.now());
        let id = self.state.publish(TOPIC, vec![message], now).expect("the message is small");
        net.note("publishes", 0, id % 1_000_000);
        self.serve_woken(net);
    }

    /// Messages that nobody has acknowledged.
    pub(crate) fn unacked(&self) -> u64 {
        self.state.unacked()
    }

    /// When something happens here without a call.
    pub(crate) fn next_at(&self) -> Timestamp {
        let at = self.state.next_deadline();
        if at == ServerTime::MAX { Timestamp::MAX } else { Timestamp::from_micros(at.as_micros()) }
    }

    /// Lets leases run out whose time has come.
    pub(crate) fn advance(&mut self, net: &mut Network<Message>) {
        let expired = self.expired();
        self.state.advance(server_time(net.now()));
        let expired = self.expired() - expired;
        if expired > 0 {
            net.note("a lease runs out", 0, expired);
        }
        self.serve_woken(net);
    }

    fn expired(&self) -> u64 {
        self.state.subscription_statistics().map(|(_, it)| it.counters.expired).sum()
    }

    pub(crate) fn on_call(&mut self, from: Address, call: Call, net: &mut Network<Message>) {
        let is_down = !net.is_calm() && net.now() < self.down_until;
        let now = server_time(net.now());
        match call {
            Call::Open { stream } if is_down => {
                self.reply(from, Reply::Broken { stream }, net);
            }
            // A stream that was asked for and whose client is gone is not opened.
            Call::Open { .. } if from.life <= self.gone => {}
            Call::Open { stream } => self.open(from, stream, net),
            Call::Probe => {
                let is_away = is_down || net.fault(self.scenario.faults.unavailable, "no probe");
                let result = if is_away { Err("unavailable".to_owned()) } else { Ok(()) };
                self.reply(from, Reply::Probed(result), net);
            }
            _ if is_down => {}
            Call::Acknowledge { seq, ids } => {
                net.note("acknowledged", from.client, ids.len() as u64);
                self.state.acknowledge(SUBSCRIPTION, &ids).expect("it is there");
                if !net.fault(self.scenario.faults.lost_answers, "a confirmation is lost") {
                    self.reply(from, Reply::Confirmed { seq, is_sure: true }, net);
                }
            }
            Call::Extend(ids) => self.modify(&ids, 10, now),
            Call::Release(ids) => self.modify(&ids, 0, now),
        }
        self.serve_woken(net);
    }

    fn modify(&mut self, ids: &[AckId], seconds: i32, now: ServerTime) {
        let changes: Vec<_> = ids.iter().map(|id| (*id, seconds)).collect();
        self.state.modify_ack_deadline(SUBSCRIPTION, &changes, now).expect("it is there");
    }

    fn reply(&mut self, to: Address, reply: Reply, net: &mut Network<Message>) {
        let delay = net.delay(TRANSIT_MAX / 3);
        net.post(delay, Message::Reply(to, reply));
    }

    fn open(&mut self, address: Address, stream: u64, net: &mut Network<Message>) {
        // A client that opens a stream anew has closed the one before.
        self.close(|session| session.address == address);
        let mut options = SessionOptions::default();
        options.messages_outstanding_max = Some(self.scenario.outstanding);
        options.ack_deadline = Some(ACK_DEADLINE);
        let id = self.state.open_session(SUBSCRIPTION, options).expect("it is there");
        self.sessions.insert(id, Session { address, stream, last: net.now() });
        self.serve(id, net);
    }

    fn close(&mut self, is_meant: impl Fn(&Session) -> bool) {
        let found: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, session)| is_meant(session))
            .map(|(id, _)| *id)
            .collect();
        for id in found {
            self.sessions.remove(&id);
            self.state.close_session(id);
        }
    }

    /// The server notices that the process of `life` is gone.
    pub(crate) fn forget(&mut self, life: u32, net: &mut Network<Message>) {
        self.gone = self.gone.max(life);
        self.close(|session| session.address.life <= life);
        self.serve_woken(net);
    }

    fn serve_woken(&mut self, net: &mut Network<Message>) {
        for id in self.state.take_woken() {
            self.serve(id, net);
        }
    }

    /// Sends a session what it may have.
    fn serve(&mut self, id: SessionId, net: &mut Network<Message>) {
        while self.sessions.contains_key(&id) {
            let limit = BatchLimit { messages: net.rng.usize(1..40), ..BatchLimit::default() };
            let taken = self.state.take(id, limit, server_time(net.now()));
            let taken = taken.expect("the subscription is there");
            if taken.is_empty() {
                return;
            }
            taken.into_iter().for_each(|delivery| self.send(id, &delivery, net));
        }
    }

    fn send(&mut self, id: SessionId, delivery: &Delivery, net: &mut Network<Message>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let mut message = PubSubMessage::new(delivery.message.data.clone());
        message.message_id = delivery.message.id.to_string();
        message.attributes = delivery.message.attributes.clone();
        message.publish_time = Timestamp::from_micros(delivery.message.publish_time.as_micros());
        if delivery.attempt > 1 {
            net.note("delivered again", session.address.client, delivery.message.id % 1_000_000);
        }
        self.delivered.push(delivery.ack_id);
        let reply = Reply::Delivered { stream: session.stream, message, id: delivery.ack_id };
        let reply = Message::Reply(session.address, reply);
        if self.scenario.is_late {
            let delay = net.delay(TRANSIT_MAX);
            net.post(delay, reply);
        } else {
            let delay = net.delay(TRANSIT_MAX / 8);
            net.post_behind(&mut session.last, delay, reply);
        }
    }

    /// Something goes wrong by itself: a message comes again although it is leased, a stream breaks, the service is away.
    pub(crate) fn trouble(&mut self, net: &mut Network<Message>) {
        let faults = self.scenario.faults;
        if faults.duplicates > 0 && !self.delivered.is_empty() {
            let recent = self.delivered.len().min(20);
            let index = self.delivered.len() - 1 - net.rng.usize(0..recent);
            net.note("comes again before its lease is over", 0, 0);
            self.modify(&[self.delivered[index]], 0, server_time(net.now()));
        }
        if net.fault(faults.broken_streams * 5, "a stream breaks")
            && let Some(index) =
                (!self.sessions.is_empty()).then(|| net.rng.usize(0..self.sessions.len()))
            && let Some(id) = self.sessions.keys().nth(index).copied()
            && let Some(Session { address, stream, .. }) = self.sessions.remove(&id)
        {
            self.state.close_session(id);
            self.reply(address, Reply::Broken { stream }, net);
        }
        if net.fault(faults.broken_streams, "the service is away") {
            self.down_until = net.now() + net.delay(Duration::from_secs(15));
            let away: Vec<_> = std::mem::take(&mut self.sessions).into_iter().collect();
            for (id, Session { address, stream, .. }) in away {
                self.state.close_session(id);
                self.reply(address, Reply::Broken { stream }, net);
            }
        }
        self.serve_woken(net);
    }
}
