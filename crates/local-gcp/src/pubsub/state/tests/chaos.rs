//! Random steps against a naive model: nothing is lost, nothing acknowledged comes back, no message is
//! held twice, keys keep their order, dead letters leave at their limit, the books balance, and a restart at any
//! point changes none of it.

use std::time::Duration;

use super::chaos_model::{ATTEMPTS_MAX, Model, Options};
use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, subscription, topic};
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::message::{AckId, Delivery, NewMessage};
use crate::pubsub::state::{BatchLimit, Limits, SessionId, SessionOptions, State};
use crate::pubsub::{AckFailure, Error};

const STEPS: usize = 1_000;
const SEEDS: u64 = 32;
const GRAVE: &str = "projects/p/topics/grave";
/// Deliveries to draw from when acknowledging, old ones included.
const REMEMBERED: usize = 100;

struct Chaos {
    random: fastrand::Rng,
    world: World,
    options: Options,
    model: Model,
    sessions: Vec<(SessionId, Duration)>,
    deliveries: Vec<(u64, Delivery)>,
    records: Vec<super::super::Record>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // The first seeds are plain, the others draw.
        let mut draw = || seed >= 8 && random.bool();
        let options = Options {
            ordered: draw(),
            exactly_once: draw(),
            filtered: draw(),
            dead_letters: draw(),
            retaining: draw(),
            backing_off: draw(),
        };
        println!("seed {seed}: {options:?}");
        let mut state = State::new(Limits::default());
        state.start_recording();
        for name in [TOPIC, GRAVE] {
            state.create_topic(topic(name)).unwrap();
        }
        state.create_subscription(config(options)).unwrap();
        let mourner = proto::Subscription { topic: GRAVE.to_owned(), ..subscription(OTHER) };
        state.create_subscription(mourner).unwrap();
        Self {
            random,
            world: World { state, now: Timestamp::from_secs(1_000) },
            options,
            model: Model::new(options),
            sessions: Vec::new(),
            deliveries: Vec::new(),
            records: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.random.u32(0..1_000) {
            0..250 => self.publish(),
            250..550 => self.take(),
            550..700 => self.acknowledge(),
            700..800 => self.modify(),
            800..920 => self.pass(),
            920..955 => self.open(),
            955..985 => self.close(),
            985..988 => self.take_snapshot(),
            988..990 => self.seek_to_snapshot(),
            990..992 => self.seek_to_time(),
            _ => self.restart(),
        }
        self.records.append(&mut self.world.state.take_records());
        self.check();
    }

    fn publish(&mut self) {
        let first = self.model.published.len() as u64;
        let mut messages = Vec::new();
        for payload in first..first + self.random.u64(1..10) {
            let key = ["", "a", "b", "c"][self.random.usize(0..4)];
            let wanted = if payload.is_multiple_of(3) { "no" } else { "yes" };
            messages.push(NewMessage {
                attributes: [("wanted".to_owned(), wanted.to_owned())].into(),
                ordering_key: key.to_owned(),
                ..NewMessage::new(payload.to_string())
            });
            self.model.publish(payload, key, self.world.now);
        }
        self.world.state.publish(TOPIC, messages, self.world.now).unwrap();
    }

    fn open(&mut self) {
        let deadline = self.random.bool().then_some(Duration::from_secs(30));
        let options = SessionOptions {
            messages_outstanding_max: self.random.bool().then(|| self.random.u64(1..30)),
            bytes_outstanding_max: self.random.bool().then(|| self.random.u64(1..2_000)),
            ack_deadline: deadline,
        };
        let session = self.world.session(options);
        self.sessions.push((session, deadline.unwrap_or(Duration::from_secs(10))));
    }

    fn close(&mut self) {
        if !self.sessions.is_empty() {
            let (session, _) = self.sessions.swap_remove(self.random.usize(0..self.sessions.len()));
            self.world.state.close_session(session);
        }
    }

    fn take(&mut self) {
        let now = self.world.now;
        let (deliveries, deadline, session) =
            if self.sessions.is_empty() || self.random.u32(0..4) == 0 {
                let taken = self.world.pull(SUBSCRIPTION, self.random.i32(1..10));
                (taken, Duration::from_secs(10), None)
            } else {
                let (session, deadline) = self.sessions[self.random.usize(0..self.sessions.len())];
                let limit = BatchLimit { messages: self.random.usize(1..15), bytes: 1_000 };
                (self.world.state.take(session, limit, now).unwrap(), deadline, Some(session))
            };
        for delivery in deliveries {
            let payload = payloads(std::slice::from_ref(&delivery))[0];
            self.model.deliver(payload, &delivery, now + deadline, session);
            self.deliveries.push((payload, delivery));
        }
        let surplus = self.deliveries.len().saturating_sub(REMEMBERED);
        self.deliveries.drain(..surplus);
    }

    /// Some of the last deliveries, oldest message first, no message twice.
    fn some(&mut self) -> Vec<(u64, Delivery)> {
        let share = self.random.f64();
        let mut chosen = self.deliveries.clone();
        chosen.retain(|_| self.random.f64() < share);
        chosen.sort_by_key(|(payload, _)| *payload);
        chosen.dedup_by_key(|(payload, _)| *payload);
        chosen
    }

    fn acknowledge(&mut self) {
        let chosen = self.some();
        let ack_ids: Vec<_> = chosen.iter().map(|(_, delivery)| delivery.ack_id).collect();
        let answer = self.world.state.acknowledge(SUBSCRIPTION, &ack_ids);
        let mut expected = Vec::new();
        for (payload, delivery) in chosen {
            let failure = self.model.acknowledge(payload, &delivery);
            expected.extend(failure.map(|failure| (delivery.ack_id, failure)));
        }
        self.compare(answer, &expected);
    }

    fn compare(&self, answer: Result<(), Error>, expected: &[(AckId, AckFailure)]) {
        match answer {
            Ok(()) => assert!(!self.options.exactly_once || expected.is_empty()),
            Err(Error::AckIds { failures }) => {
                assert!(self.options.exactly_once);
                assert_eq!(failures, expected);
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn modify(&mut self) {
        let seconds = [0, 0, 15][self.random.usize(0..3)];
        let chosen = self.some();
        let changes: Vec<_> = chosen.iter().map(|(_, it)| (it.ack_id, seconds)).collect();
        let now = self.world.now;
        let answer = self.world.state.modify_ack_deadline(SUBSCRIPTION, &changes, now);
        let mut expected = Vec::new();
        for (payload, delivery) in chosen {
            if !self.model.is_held(payload, &delivery) {
                expected.push((delivery.ack_id, AckFailure::Invalid));
            } else if seconds == 0 {
                self.model.fail(payload);
            } else {
                self.model.extend(payload, now + Duration::from_secs(15));
            }
        }
        self.compare(answer, &expected);
    }

    fn pass(&mut self) {
        self.world.pass(Duration::from_millis(self.random.u64(1..8_000)));
        self.model.expire(self.world.now);
    }

    fn take_snapshot(&mut self) {
        let name = format!("projects/p/snapshots/snap{}", self.model.snapshots.len());
        let request = proto::CreateSnapshotRequest {
            name: name.clone(),
            subscription: SUBSCRIPTION.to_owned(),
            ..Default::default()
        };
        self.world.state.create_snapshot(request, self.world.now).unwrap();
        self.model.take_snapshot(name);
    }

    fn seek_to_snapshot(&mut self) {
        let names: Vec<String> = self.model.snapshots.keys().cloned().collect();
        if !names.is_empty() {
            let name = &names[self.random.usize(0..names.len())];
            self.world.state.seek_to_snapshot(SUBSCRIPTION, name, self.world.now).unwrap();
            self.model.seek_to_snapshot(name);
        }
    }

    fn seek_to_time(&mut self) {
        let at = self.world.now - Duration::from_millis(self.random.u64(0..60_000));
        self.world.state.seek_to_time(SUBSCRIPTION, at, self.world.now).unwrap();
        self.model.seek_to_time(at);
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
        self.model.restart();
    }

    fn check(&self) {
        let statistics = self.world.statistics(SUBSCRIPTION);
        assert_eq!(statistics.unacked, self.model.unacked() as u64);
        assert_eq!(statistics.outstanding, self.model.outstanding() as u64);
        assert_eq!(statistics.undelivered + statistics.outstanding, statistics.unacked);
        let dead = self.world.statistics(OTHER);
        assert_eq!(dead.unacked, self.model.dead.len() as u64);
        let bytes = statistics.unacked_bytes + dead.unacked_bytes;
        assert_eq!(self.world.state.unacked_bytes(), bytes);
        assert_eq!(statistics.unacked == 0, statistics.unacked_bytes == 0);
    }

    /// With nobody else pulling, everything left can be had and acknowledged.
    fn drain(&mut self) {
        for (session, _) in self.sessions.drain(..) {
            self.world.state.close_session(session);
        }
        while self.model.unacked() > 0 {
            self.world.pass(Duration::from_secs(600));
            self.model.expire(self.world.now);
            let deliveries = self.world.pull(SUBSCRIPTION, 1_000);
            let until = self.world.now + Duration::from_secs(10);
            assert!(!deliveries.is_empty() || self.model.unacked() == 0, "something is stuck");
            for delivery in &deliveries {
                let payload = payloads(std::slice::from_ref(delivery))[0];
                self.model.deliver(payload, delivery, until, None);
            }
            for delivery in &deliveries {
                let payload = payloads(std::slice::from_ref(delivery))[0];
                assert_eq!(self.model.acknowledge(payload, delivery), None);
            }
            self.world.ack(SUBSCRIPTION, &deliveries);
            self.check();
        }
        for payload in self.model.published.keys() {
            let is_due = self.model.is_wanted(*payload);
            assert_eq!(self.model.seen.contains(payload), is_due, "{payload}");
        }
        self.check_dead();
    }

    /// The dead letter topic got what the model says, each with its count.
    fn check_dead(&mut self) {
        let mut expected = self.model.dead.clone();
        expected.sort_unstable();
        let mut dead = Vec::new();
        while let batch = self.world.pull(OTHER, 1_000)
            && !batch.is_empty()
        {
            for delivery in &batch {
                let count =
                    &delivery.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"];
                assert_eq!(*count, ATTEMPTS_MAX.to_string());
            }
            dead.extend(payloads(&batch));
        }
        dead.sort_unstable();
        assert_eq!(dead, expected);
    }
}

fn config(options: Options) -> proto::Subscription {
    proto::Subscription {
        enable_message_ordering: options.ordered,
        enable_exactly_once_delivery: options.exactly_once,
        filter: if options.filtered { "attributes.wanted = \"yes\"".into() } else { String::new() },
        dead_letter_policy: options.dead_letters.then(|| proto::DeadLetterPolicy {
            dead_letter_topic: GRAVE.to_owned(),
            max_delivery_attempts: ATTEMPTS_MAX as i32,
        }),
        retain_acked_messages: options.retaining,
        retry_policy: options.backing_off.then_some(proto::RetryPolicy {
            minimum_backoff: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            maximum_backoff: Some(prost_types::Duration { seconds: 4, nanos: 0 }),
        }),
        ..subscription(SUBSCRIPTION)
    }
}

#[test]
fn random_steps_lose_nothing_and_double_nothing() {
    for seed in 0..SEEDS {
        let mut chaos = Chaos::new(seed);
        (0..STEPS).for_each(|_| chaos.step());
        chaos.drain();
    }
}
