//! The state machine in virtual time.

mod admin;
mod chaos;
mod chaos_model;
mod dead_letters;
mod delivery;
mod exactly_once;
mod ordering;
mod replay;
mod schemas;
mod seek;
mod topic;

use std::time::Duration;

use super::{BatchLimit, Limits, SessionId, SessionOptions, State, SubscriptionStatistics};
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::message::{Delivery, NewMessage};

pub(super) const TOPIC: &str = "projects/p/topics/orders";
pub(super) const SUBSCRIPTION: &str = "projects/p/subscriptions/first";
pub(super) const OTHER: &str = "projects/p/subscriptions/second";

/// A state with a clock beside it.
pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Timestamp,
}

impl World {
    /// One topic with one subscription (deadline 10 s).
    pub(super) fn new() -> Self {
        let mut world =
            Self { state: State::new(Limits::default()), now: Timestamp::from_secs(1_000_000) };
        world.state.create_topic(topic(TOPIC)).unwrap();
        world.subscribe(SUBSCRIPTION);
        world
    }

    pub(super) fn subscribe(&mut self, name: &str) {
        self.state.create_subscription(subscription(name)).unwrap();
    }

    pub(super) fn publish(&mut self, payloads: impl IntoIterator<Item = u64>) {
        let messages = payloads.into_iter().map(|n| NewMessage::new(n.to_string())).collect();
        self.state.publish(TOPIC, messages, self.now).unwrap();
    }

    pub(super) fn pull(&mut self, name: &str, count: i32) -> Vec<Delivery> {
        self.state.pull(name, count, self.now).unwrap()
    }

    pub(super) fn session(&mut self, options: SessionOptions) -> SessionId {
        self.state.open_session(SUBSCRIPTION, options).unwrap()
    }

    pub(super) fn take(&mut self, session: SessionId) -> Vec<Delivery> {
        self.state.take(session, BatchLimit::default(), self.now).unwrap()
    }

    pub(super) fn ack(&mut self, name: &str, deliveries: &[Delivery]) {
        let ack_ids: Vec<_> = deliveries.iter().map(|delivery| delivery.ack_id).collect();
        self.state.acknowledge(name, &ack_ids).unwrap();
    }

    pub(super) fn set_deadline(&mut self, deliveries: &[Delivery], seconds: i32) {
        let changes: Vec<_> = deliveries.iter().map(|it| (it.ack_id, seconds)).collect();
        self.state.modify_ack_deadline(SUBSCRIPTION, &changes, self.now).unwrap();
    }

    /// Moves the clock, waking the state at every deadline on the way, as the shell does.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.state.next_deadline() <= end {
            self.now = self.now.max(self.state.next_deadline());
            self.state.advance(self.now);
        }
        self.now = end;
    }

    pub(super) fn statistics(&self, name: &str) -> SubscriptionStatistics {
        self.state.subscription_statistics().find(|(it, _)| *it == name).unwrap().1
    }
}

pub(super) fn topic(name: &str) -> proto::Topic {
    proto::Topic { name: name.to_owned(), ..Default::default() }
}

pub(super) fn subscription(name: &str) -> proto::Subscription {
    proto::Subscription { name: name.to_owned(), topic: TOPIC.to_owned(), ..Default::default() }
}

/// The numbers that were published, in the order of delivery.
pub(super) fn payloads(deliveries: &[Delivery]) -> Vec<u64> {
    let number = |it: &Delivery| std::str::from_utf8(&it.message.data).unwrap().parse().unwrap();
    deliveries.iter().map(number).collect()
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
