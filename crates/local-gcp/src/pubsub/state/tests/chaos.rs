//! Random steps against a naive model: nothing is lost, nothing acknowledged comes back, no message is
//! held twice, the books balance, and a restart at any point changes none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{SUBSCRIPTION, TOPIC, World, payloads, subscription, topic};
use crate::clock::Timestamp;
use crate::pubsub::message::Delivery;
use crate::pubsub::state::{BatchLimit, Limits, SessionId, SessionOptions, State};

const STEPS: usize = 2_000;

/// What must be true, in the simplest form.
#[derive(Default)]
struct Model {
    published: u64,
    acknowledged: BTreeSet<u64>,
    /// Deliveries whose deadline has not passed, by message.
    held: BTreeMap<u64, (Delivery, Timestamp)>,
}

struct Chaos {
    random: fastrand::Rng,
    world: World,
    model: Model,
    sessions: Vec<SessionId>,
    records: Vec<super::super::Record>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut state = State::new(Limits::default());
        state.start_recording();
        state.create_topic(topic(TOPIC)).unwrap();
        state.create_subscription(subscription(SUBSCRIPTION)).unwrap();
        let world = World { state, now: Timestamp::from_secs(1_000) };
        Self {
            random: fastrand::Rng::with_seed(seed),
            world,
            model: Model::default(),
            sessions: Vec::new(),
            records: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.random.u32(0..100) {
            0..25 => self.publish(),
            25..55 => self.take(),
            55..70 => self.acknowledge(),
            70..80 => self.modify(),
            80..92 => self.pass(),
            92..96 => self.open(),
            96..99 => self.close(),
            _ => self.restart(),
        }
        self.records.append(&mut self.world.state.take_records());
        self.check();
    }

    fn publish(&mut self) {
        let count = self.random.u64(1..20);
        self.world.publish(self.model.published..self.model.published + count);
        self.model.published += count;
    }

    fn open(&mut self) {
        let options = SessionOptions {
            messages_outstanding_max: self.random.bool().then(|| self.random.u64(1..30)),
            bytes_outstanding_max: self.random.bool().then(|| self.random.u64(1..2_000)),
            ack_deadline: self.random.bool().then_some(Duration::from_secs(30)),
        };
        self.sessions.push(self.world.session(options));
    }

    fn close(&mut self) {
        if !self.sessions.is_empty() {
            let session = self.sessions.swap_remove(self.random.usize(0..self.sessions.len()));
            self.world.state.close_session(session);
        }
    }

    fn take(&mut self) {
        let now = self.world.now;
        let deliveries = if self.sessions.is_empty() || self.random.u32(0..4) == 0 {
            self.world.pull(SUBSCRIPTION, self.random.i32(1..10))
        } else {
            let session = self.sessions[self.random.usize(0..self.sessions.len())];
            let limit = BatchLimit { messages: self.random.usize(1..15), bytes: 1_000 };
            self.world.state.take(session, limit, now).unwrap()
        };
        for delivery in deliveries {
            let payload = payloads(std::slice::from_ref(&delivery))[0];
            assert!(!self.model.acknowledged.contains(&payload), "{payload} came back");
            // 10 s is the shortest deadline given, so holding it is certain that long.
            let previous =
                self.model.held.insert(payload, (delivery, now + Duration::from_secs(10)));
            assert!(previous.is_none_or(|(_, until)| until <= now), "{payload} held twice");
        }
    }

    fn some_held(&mut self) -> Vec<(u64, Delivery)> {
        let share = self.random.f64();
        let held = std::mem::take(&mut self.model.held);
        let (chosen, rest) = held.into_iter().partition(|_| self.random.f64() < share);
        self.model.held = rest;
        let chosen: BTreeMap<_, _> = chosen;
        chosen.into_iter().map(|(payload, (delivery, _))| (payload, delivery)).collect()
    }

    fn acknowledge(&mut self) {
        let chosen = self.some_held();
        let deliveries: Vec<_> = chosen.iter().map(|(_, delivery)| delivery.clone()).collect();
        self.world.ack(SUBSCRIPTION, &deliveries);
        self.model.acknowledged.extend(chosen.into_iter().map(|(payload, _)| payload));
    }

    fn modify(&mut self) {
        let seconds = [0, 0, 15][self.random.usize(0..3)];
        let chosen = self.some_held();
        let deliveries: Vec<_> = chosen.iter().map(|(_, delivery)| delivery.clone()).collect();
        self.world.set_deadline(&deliveries, seconds);
    }

    fn pass(&mut self) {
        self.world.pass(Duration::from_millis(self.random.u64(1..8_000)));
    }

    fn restart(&mut self) {
        let mut state = State::new(Limits::default());
        if self.random.bool() {
            self.records = self.world.state.snapshot().collect();
        }
        for record in &self.records {
            state.replay(record.clone()).unwrap();
        }
        state.start_recording();
        self.world.state = state;
        self.sessions.clear();
        self.model.held.values_mut().for_each(|(_, until)| *until = Timestamp::EPOCH);
    }

    fn check(&self) {
        let statistics = self.world.statistics(SUBSCRIPTION);
        let expected = self.model.published - self.model.acknowledged.len() as u64;
        assert_eq!(statistics.unacked, expected);
        assert_eq!(statistics.undelivered + statistics.outstanding, expected);
        assert_eq!(self.world.state.unacked(), expected);
        assert_eq!(self.world.state.unacked_bytes(), statistics.unacked_bytes);
        assert_eq!(expected == 0, statistics.unacked_bytes == 0);
    }

    /// With nobody else pulling, everything left can be had and acknowledged.
    fn drain(&mut self) {
        self.world.pass(Duration::from_secs(600));
        loop {
            let deliveries = self.world.pull(SUBSCRIPTION, 1_000);
            if deliveries.is_empty() {
                break;
            }
            for payload in payloads(&deliveries) {
                assert!(self.model.acknowledged.insert(payload), "{payload} came back");
            }
            self.world.ack(SUBSCRIPTION, &deliveries);
        }
        self.check();
        let all: BTreeSet<u64> = (0..self.model.published).collect();
        assert_eq!(self.model.acknowledged, all);
    }
}

#[test]
fn random_steps_lose_nothing_and_double_nothing() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut chaos = Chaos::new(seed);
        (0..STEPS).for_each(|_| chaos.step());
        chaos.drain();
    }
}
