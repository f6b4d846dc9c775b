//! Seeks to a time and to a snapshot, retained messages, and the life of snapshots.

use super::replay::{from_journal, from_snapshot, recorded};
use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, secs, subscription, topic};
use crate::proto::pubsub as proto;
use crate::pubsub::{DELETED_TOPIC, Error};

const SNAPSHOT: &str = "projects/p/snapshots/noon";
const DAY: u64 = 24 * 3_600;

impl World {
    fn retain(&mut self, name: &str) {
        let update = proto::Subscription { retain_acked_messages: true, ..subscription(name) };
        let mask = ["retain_acked_messages".to_owned()];
        self.state.update_subscription(update, &mask).unwrap();
    }

    fn snapshot(&mut self, name: &str) -> Result<proto::Snapshot, Error> {
        let request = proto::CreateSnapshotRequest {
            name: SNAPSHOT.to_owned(),
            subscription: name.to_owned(),
            ..Default::default()
        };
        self.state.create_snapshot(request, self.now)
    }

    fn seek_to_snapshot(&mut self, name: &str) {
        self.state.seek_to_snapshot(name, SNAPSHOT, self.now).unwrap();
    }

    /// Takes and acknowledges everything there is.
    fn consume(&mut self, name: &str) -> Vec<u64> {
        let deliveries = self.pull(name, 1_000);
        self.ack(name, &deliveries);
        payloads(&deliveries)
    }

    fn retained_bytes(&self) -> u64 {
        self.state.retained_bytes()
    }
}

#[test]
fn a_seek_back_delivers_retained_messages_again_in_order() {
    let mut world = World::new();
    world.retain(SUBSCRIPTION);
    world.publish(0..3);
    world.pass(secs(10));
    let time = world.now;
    world.publish(3..6);
    assert_eq!(world.consume(SUBSCRIPTION), [0, 1, 2, 3, 4, 5]);
    world.publish(6..8);
    assert!(world.retained_bytes() > 0);
    world.state.seek_to_time(SUBSCRIPTION, time, world.now).unwrap();
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 5);
    assert_eq!(world.consume(SUBSCRIPTION), [3, 4, 5, 6, 7]);
}

#[test]
fn a_seek_forward_acknowledges_also_what_is_out() {
    let mut world = World::new();
    world.publish(0..4);
    let held = world.pull(SUBSCRIPTION, 2);
    world.pass(secs(1));
    world.publish(4..5);
    world.state.seek_to_time(SUBSCRIPTION, world.now, world.now).unwrap();
    let statistics = world.statistics(SUBSCRIPTION);
    assert_eq!((statistics.unacked, statistics.outstanding), (1, 0));
    world.set_deadline(&held, 0);
    assert_eq!(world.consume(SUBSCRIPTION), [4]);
    assert_eq!((world.state.unacked_bytes(), world.retained_bytes()), (0, 0));
}

#[test]
fn without_retention_nothing_comes_back() {
    let mut world = World::new();
    world.publish(0..3);
    let start = world.now;
    world.consume(SUBSCRIPTION);
    world.state.seek_to_time(SUBSCRIPTION, start, world.now).unwrap();
    assert_eq!(world.state.unacked(), 0);
}

#[test]
fn an_acknowledgement_from_before_a_seek_does_not_count_after_it() {
    let mut world = World::new();
    world.retain(SUBSCRIPTION);
    world.publish(0..1);
    let held = world.pull(SUBSCRIPTION, 1);
    world.ack(SUBSCRIPTION, &held);
    world.state.seek_to_time(SUBSCRIPTION, world.now, world.now).unwrap();
    world.ack(SUBSCRIPTION, &held);
    assert_eq!(world.consume(SUBSCRIPTION), [0]);
}

#[test]
fn retained_messages_go_when_their_time_is_over_or_nobody_wants_them() {
    let mut world = World::new();
    world.retain(SUBSCRIPTION);
    let start = world.now;
    world.publish(0..3);
    world.consume(SUBSCRIPTION);
    world.pass(secs(7 * DAY - 1));
    assert!(world.retained_bytes() > 0);
    world.pass(secs(1));
    assert_eq!(world.retained_bytes(), 0);
    world.state.seek_to_time(SUBSCRIPTION, start, world.now).unwrap();
    assert_eq!(world.state.unacked(), 0);

    world.publish(3..4);
    world.consume(SUBSCRIPTION);
    let mask = ["retain_acked_messages".to_owned()];
    world.state.update_subscription(subscription(SUBSCRIPTION), &mask).unwrap();
    assert_eq!(world.retained_bytes(), 0);
}

#[test]
fn a_seek_to_a_snapshot_restores_its_backlog_and_all_that_came_since() {
    let mut world = World::new();
    world.subscribe(OTHER);
    world.publish(0..4);
    let first = world.pull(SUBSCRIPTION, 2);
    world.ack(SUBSCRIPTION, &first);
    let snapshot = world.snapshot(SUBSCRIPTION).unwrap();
    assert_eq!(snapshot.topic, TOPIC);
    world.publish(4..6);
    assert_eq!(world.consume(SUBSCRIPTION), [2, 3, 4, 5]);
    world.seek_to_snapshot(SUBSCRIPTION);
    assert_eq!(world.consume(SUBSCRIPTION), [2, 3, 4, 5]);
    // Another subscription of the topic forgets what the snapshot's had acknowledged.
    world.seek_to_snapshot(OTHER);
    assert_eq!(world.consume(OTHER), [2, 3, 4, 5]);
    world.state.delete_snapshot(SNAPSHOT).unwrap();
    assert_eq!((world.state.unacked_bytes(), world.retained_bytes()), (0, 0));
}

#[test]
fn a_snapshot_lives_seven_days_less_the_age_of_its_oldest_message() {
    let mut world = World::new();
    world.publish(0..1);
    world.pass(secs(7 * DAY - 3_600));
    let expires = world.snapshot(SUBSCRIPTION).unwrap().expire_time.unwrap();
    assert_eq!(expires.seconds, world.now.as_seconds_and_nanos().0 + 3_600);
    world.pass(secs(3_599));
    world.state.get_snapshot(SNAPSHOT).unwrap();
    world.pass(secs(1));
    assert!(matches!(world.state.get_snapshot(SNAPSHOT), Err(Error::NotFound { .. })));

    world.publish(1..2);
    world.pass(secs(7 * DAY - 3_599));
    let error = world.snapshot(SUBSCRIPTION).unwrap_err();
    assert!(matches!(error, Error::FailedPrecondition { .. }), "{error}");
}

#[test]
fn snapshots_are_administered() {
    let mut world = World::new();
    let made = world.snapshot(SUBSCRIPTION).unwrap();
    assert!(matches!(world.snapshot(SUBSCRIPTION), Err(Error::AlreadyExists { .. })));
    assert_eq!(world.state.get_snapshot(SNAPSHOT).unwrap(), made);
    let mut update = made;
    update.labels.insert("a".to_owned(), "b".to_owned());
    let mask = ["labels".to_owned()];
    let updated = world.state.update_snapshot(update.clone(), &mask, world.now).unwrap();
    assert_eq!(updated, update);
    update.expire_time.as_mut().unwrap().seconds -= 7 * DAY as i64;
    for mask in [&[][..], &["topic".to_owned()], &["expire_time".to_owned()]] {
        world.state.update_snapshot(update.clone(), mask, world.now).unwrap_err();
    }
    assert_eq!(world.state.list_snapshots("projects/p", 0, "").unwrap().entries, [updated]);
    let listed = world.state.list_topic_snapshots(TOPIC, 0, "").unwrap();
    assert_eq!(listed.entries, [SNAPSHOT]);

    world.state.create_topic(topic("projects/p/topics/else")).unwrap();
    let elsewhere =
        proto::Subscription { topic: "projects/p/topics/else".into(), ..subscription(OTHER) };
    world.state.create_subscription(elsewhere).unwrap();
    let error = world.state.seek_to_snapshot(OTHER, SNAPSHOT, world.now).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    world.state.delete_topic(TOPIC).unwrap();
    assert_eq!(world.state.get_snapshot(SNAPSHOT).unwrap().topic, DELETED_TOPIC);
    world.state.delete_snapshot(SNAPSHOT).unwrap();
    assert!(world.state.delete_snapshot(SNAPSHOT).is_err());
    assert!(world.state.get_snapshot("noon").is_err());
}

#[test]
fn snapshots_seeks_and_retained_messages_survive_a_restart() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded();
        world.retain(SUBSCRIPTION);
        let start = world.now;
        world.publish(0..2);
        world.consume(SUBSCRIPTION);
        world.snapshot(SUBSCRIPTION).unwrap();
        world.pass(secs(1));
        let middle = world.now;
        world.publish(2..5);
        world.consume(SUBSCRIPTION);
        world.state.seek_to_time(SUBSCRIPTION, middle, world.now).unwrap();
        let held = world.pull(SUBSCRIPTION, 1);
        world.ack(SUBSCRIPTION, &held);

        let mut after = restart(&mut world);
        assert_eq!(after.state.unacked_bytes(), world.state.unacked_bytes());
        assert_eq!(after.retained_bytes(), world.retained_bytes());
        let snapshot = after.state.get_snapshot(SNAPSHOT).unwrap();
        assert_eq!(snapshot, world.state.get_snapshot(SNAPSHOT).unwrap());
        assert_eq!(after.consume(SUBSCRIPTION), [3, 4]);
        after.seek_to_snapshot(SUBSCRIPTION);
        assert_eq!(after.consume(SUBSCRIPTION), [2, 3, 4]);
        after.state.seek_to_time(SUBSCRIPTION, start, after.now).unwrap();
        assert_eq!(after.consume(SUBSCRIPTION), [0, 1, 2, 3, 4]);
    }
}
