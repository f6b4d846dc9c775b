//! Messages that a topic retains for the seeks of its subscriptions.

use super::replay::{from_journal, from_snapshot, recorded};
use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, secs, topic};
use crate::proto::pubsub as proto;

const HOUR: u64 = 3_600;

impl World {
    fn retain_in_topic(&mut self, seconds: Option<i64>) {
        let retention = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let update = proto::Topic { message_retention_duration: retention, ..topic(TOPIC) };
        let mask = ["message_retention_duration".to_owned()];
        self.state.update_topic(update, &mask).unwrap();
    }

    fn drink(&mut self, name: &str) -> Vec<u64> {
        let deliveries = self.pull(name, 1_000);
        self.ack(name, &deliveries);
        payloads(&deliveries)
    }
}

#[test]
fn a_seek_reaches_what_the_topic_retains_also_from_before_the_subscription() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded();
        world.state.delete_subscription(SUBSCRIPTION).unwrap();
        world.retain_in_topic(Some(HOUR as i64));
        let start = world.now;
        world.publish(0..3);
        world.pass(secs(10));
        let middle = world.now;
        world.publish(3..5);
        let mut world = restart(&mut world);
        world.subscribe(OTHER);
        let told = world.state.get_subscription(OTHER).unwrap().topic_message_retention_duration;
        assert_eq!(told.unwrap().seconds, HOUR as i64);
        assert!(world.drink(OTHER).is_empty());
        for (from, expected) in [(start, vec![0, 1, 2, 3, 4]), (middle, vec![3, 4])] {
            world.state.seek_to_time(OTHER, from, world.now).unwrap();
            assert_eq!(world.drink(OTHER), expected);
        }
    }
}

#[test]
fn a_topic_forgets_in_time_and_when_told_to() {
    let mut world = World::new();
    world.retain_in_topic(Some(HOUR as i64));
    let start = world.now;
    world.publish(0..2);
    assert_eq!(world.drink(SUBSCRIPTION), [0, 1]);
    world.pass(secs(HOUR - 1));
    world.publish(2..3);
    assert!(world.state.retained_bytes() > 0);
    world.pass(secs(1));
    world.state.seek_to_time(SUBSCRIPTION, start, world.now).unwrap();
    assert_eq!(world.drink(SUBSCRIPTION), [2]);
    world.retain_in_topic(None);
    world.pass(secs(0));
    assert_eq!((world.state.retained_bytes(), world.state.unacked_bytes()), (0, 0));
    world.retain_in_topic(Some(HOUR as i64));
    world.publish(3..4);
    world.state.delete_topic(TOPIC).unwrap();
    world.drink(SUBSCRIPTION);
    assert_eq!((world.state.retained_bytes(), world.state.unacked_bytes()), (0, 0));
}
