//! Stories of the publishing machine: bounds, barriers, refusals found one by one, ordering keys in trouble.

use std::collections::BTreeMap;

use millstream::Timestamp;
use proptest::prelude::*;

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::machine::{PublishMachine, PublishOutcome, PublishRequest};

const TOPIC: &str = "projects/p/topics/orders";

fn machine() -> PublishMachine {
    PublishMachine::new(TOPIC.to_owned(), 3, 100)
}

fn stage(machine: &mut PublishMachine, texts: &[&str]) {
    for text in texts {
        machine.stage(Timestamp::from_secs(7), PubSubMessage::new(text.to_string()));
    }
    machine.fill();
}

fn refused() -> PublishOutcome {
    PublishOutcome::Refused(String::from("no"))
}

/// The messages asked to be published, as text, with their numbers and whether alone.
fn published(machine: &mut PublishMachine) -> Vec<(u64, String, bool)> {
    let publish = |request| match request {
        PublishRequest::Publish { id, message, alone } => {
            Some((id, String::from_utf8(message.data.to_vec()).unwrap(), alone))
        }
        _ => None,
    };
    machine.requests().into_iter().filter_map(publish).collect()
}

#[test]
fn the_barrier_waits_for_every_answer_and_flushes_once() {
    let mut machine = machine();
    stage(&mut machine, &["a", "b"]);
    let sent = published(&mut machine);
    assert_eq!(sent.len(), 2);
    assert!(!machine.settle().unwrap());
    assert!(!machine.settle().unwrap());
    assert_eq!(machine.requests(), [PublishRequest::Flush]);
    machine.answered(sent[1].0, PublishOutcome::Published);
    assert!(!machine.settle().unwrap());
    machine.answered(sent[0].0, PublishOutcome::Published);
    assert!(machine.settle().unwrap());
    assert_eq!(machine.bytes_written(), 2);
}

#[test]
fn messages_and_bytes_in_flight_are_bounded() {
    let mut machine = machine();
    assert_eq!(machine.room(), 3);
    stage(&mut machine, &["a", "b", "c", "d"]);
    let sent = published(&mut machine);
    assert_eq!(sent.len(), 3);
    assert_eq!(machine.room(), 0);
    machine.answered(sent[0].0, PublishOutcome::Published);
    machine.fill();
    assert_eq!(published(&mut machine)[0].1, "d");
    let mut machine = self::machine();
    stage(&mut machine, &[&"x".repeat(100), "y"]);
    assert_eq!(published(&mut machine).len(), 1, "100 bytes are in flight");
    assert_eq!(machine.room(), 0);
}

#[test]
fn only_the_message_refused_alone_is_refused() {
    let mut machine = machine();
    stage(&mut machine, &["good", "bad"]);
    for (id, _, alone) in published(&mut machine) {
        assert!(!alone);
        machine.answered(id, refused());
    }
    assert!(machine.refused().is_empty());
    for (id, text, alone) in published(&mut machine) {
        assert!(alone);
        machine.answered(id, if text == "bad" { refused() } else { PublishOutcome::Published });
    }
    let refused = machine.refused();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, Timestamp::from_secs(7));
    assert_eq!(refused[0].1.element, b"bad");
    assert_eq!(refused[0].1.destination, TOPIC);
    assert!(machine.settle().unwrap());
}

#[test]
fn what_pubsub_never_takes_is_refused_without_asking() {
    let mut machine = machine();
    machine.stage(Timestamp::EPOCH, PubSubMessage::default());
    machine.stage(Timestamp::EPOCH, PubSubMessage::new(vec![0; 10_000_001]));
    assert_eq!(machine.refused().len(), 2);
    assert!(machine.settle().unwrap());
}

#[test]
fn a_topic_that_cannot_be_published_to_fails_the_writer() {
    let mut machine = machine();
    stage(&mut machine, &["a"]);
    let (id, ..) = published(&mut machine)[0];
    let (resource, what) = (TOPIC.to_owned(), String::from("gone"));
    machine.answered(id, PublishOutcome::Failed(PubSubError::Stopped { resource, what }));
    assert!(machine.settle().is_err());
    assert!(machine.check().is_err());
}

/// A service with ordering keys, as Google's client presents it: behind a failure a key is paused until it is resumed.
#[derive(Default)]
struct Service {
    taken: BTreeMap<String, Vec<u32>>,
    paused: BTreeMap<String, bool>,
}

impl Service {
    fn publish(&mut self, message: &PubSubMessage, is_bad: bool) -> PublishOutcome {
        let key = message.ordering_key.clone();
        if self.paused.get(&key) == Some(&true) {
            return PublishOutcome::Paused;
        }
        if is_bad {
            self.paused.insert(key.clone(), !key.is_empty());
            return refused();
        }
        let number = std::str::from_utf8(&message.data).unwrap().parse().unwrap();
        self.taken.entry(key).or_default().push(number);
        PublishOutcome::Published
    }
}

proptest! {
    #[test]
    fn keyed_messages_stay_in_order_around_refusals(
        bad in proptest::collection::btree_set(0..60_u32, 0..12),
        in_flight in 1..20_u64,
        keys in 1..4_u32,
    ) {
        let mut machine = PublishMachine::new(TOPIC.to_owned(), in_flight, 1_000_000);
        let mut service = Service::default();
        for number in 0..60 {
            let message = PubSubMessage::new(number.to_string())
                .with_ordering_key(format!("key {}", number % keys));
            machine.stage(Timestamp::EPOCH, message);
        }
        while !machine.settle().unwrap() {
            let requests = machine.requests();
            prop_assert!(!requests.is_empty(), "publishing stands still");
            for request in requests {
                match request {
                    PublishRequest::Publish { id, message, .. } => {
                        let number: u32 = std::str::from_utf8(&message.data).unwrap().parse().unwrap();
                        let outcome = service.publish(&message, bad.contains(&number));
                        machine.answered(id, outcome);
                    }
                    PublishRequest::Resume(key) => {
                        service.paused.insert(key, false);
                    }
                    PublishRequest::Flush => {}
                }
            }
        }
        prop_assert_eq!(machine.refused().len(), bad.len());
        for (key, taken) in &service.taken {
            let rest: u32 = key.strip_prefix("key ").unwrap().parse().unwrap();
            let expected: Vec<u32> =
                (0..60).filter(|n| n % keys == rest && !bad.contains(n)).collect();
            prop_assert_eq!(taken, &expected);
        }
    }
}
