//! Dead letters: counted deliveries, forwarding, restarts.

use super::replay::{from_journal, from_snapshot, recorded};
use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, secs, subscription, topic};
use crate::proto::pubsub as proto;
use crate::pubsub::Error;

const GRAVE: &str = "projects/p/topics/grave";

fn policy(attempts: i32) -> Option<proto::DeadLetterPolicy> {
    let dead_letter_topic = GRAVE.to_owned();
    Some(proto::DeadLetterPolicy { dead_letter_topic, max_delivery_attempts: attempts })
}

impl World {
    /// With a dead letter topic that the second subscription reads.
    fn with_grave(mut self) -> Self {
        self.state.create_topic(topic(GRAVE)).unwrap();
        let mourner = proto::Subscription { topic: GRAVE.to_owned(), ..subscription(OTHER) };
        self.state.create_subscription(mourner).unwrap();
        self.resubscribe(|config| config.dead_letter_policy = policy(0));
        self
    }

    /// Pulls one message and refuses it; its attempt.
    fn refuse(&mut self) -> u32 {
        let held = self.pull(SUBSCRIPTION, 1);
        self.set_deadline(&held, 0);
        held[0].attempt
    }
}

#[test]
fn after_its_last_failure_a_message_goes_to_the_dead_letter_topic() {
    let mut world = World::new().with_grave();
    let published = world.now;
    let message = crate::pubsub::message::NewMessage {
        attributes: [("k".to_owned(), "v".to_owned())].into(),
        ordering_key: "key".to_owned(),
        ..crate::pubsub::message::NewMessage::new("7")
    };
    let id = world.state.publish(TOPIC, vec![message], world.now).unwrap();
    for attempt in 1..=4 {
        assert_eq!(world.refuse(), attempt);
    }
    assert!(world.pull(OTHER, 1).is_empty());
    assert_eq!(world.pull(SUBSCRIPTION, 1)[0].attempt, 5);
    world.pass(secs(10)); // an expired lease counts like a refusal
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 0);
    assert_eq!(world.statistics(SUBSCRIPTION).counters.dead_lettered, 1);
    let dead = world.pull(OTHER, 10);
    assert_eq!(payloads(&dead), [7]);
    let dead = &dead[0].message;
    assert!(dead.id > id);
    assert_eq!((dead.publish_time, dead.ordering_key.as_str()), (published + secs(10), "key"));
    let attributes: Vec<_> =
        dead.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        attributes,
        [
            ("CloudPubSubDeadLetterSourceDeliveryCount", "5"),
            ("CloudPubSubDeadLetterSourceSubscription", "first"),
            ("CloudPubSubDeadLetterSourceSubscriptionProject", "p"),
            ("CloudPubSubDeadLetterSourceTopicPublishTime", "1970-01-12T13:46:40.000+00:00"),
            ("k", "v"),
        ]
    );
}

#[test]
fn without_its_topic_a_message_is_delivered_on_and_on() {
    let mut world = World::new().with_grave();
    world.publish(0..1);
    world.state.delete_topic(GRAVE).unwrap();
    for attempt in 1..=7 {
        assert_eq!(world.refuse(), attempt);
    }
    world.state.create_topic(topic(GRAVE)).unwrap();
    assert_eq!(world.refuse(), 8);
    assert_eq!(world.state.unacked(), 0, "nobody is subscribed to the new topic");
}

#[test]
fn the_policy_is_checked_and_completed() {
    let mut world = World::new();
    let missing = proto::Subscription { dead_letter_policy: policy(5), ..subscription(OTHER) };
    let error = world.state.create_subscription(missing.clone()).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    world.state.create_topic(topic(GRAVE)).unwrap();
    for attempts in [-1, 4, 101] {
        let wrong = proto::Subscription { dead_letter_policy: policy(attempts), ..missing.clone() };
        world.state.create_subscription(wrong).unwrap_err();
    }
    let update =
        proto::Subscription { dead_letter_policy: policy(0), ..subscription(SUBSCRIPTION) };
    let mask = ["dead_letter_policy".to_owned()];
    let updated = world.state.update_subscription(update, &mask).unwrap();
    assert_eq!(updated.dead_letter_policy, policy(5));
    let removed = world.state.update_subscription(subscription(SUBSCRIPTION), &mask).unwrap();
    assert_eq!(removed.dead_letter_policy, None);
}

#[test]
fn a_dead_message_makes_way_for_the_next_of_its_key() {
    let mut world = World::new().with_grave();
    world.resubscribe(|config| {
        config.enable_message_ordering = true;
        config.dead_letter_policy = policy(5);
    });
    world.publish_keyed("a", 0..3);
    for _ in 0..4 {
        let held = world.pull(SUBSCRIPTION, 10);
        assert_eq!(payloads(&held), [0, 1, 2]);
        world.set_deadline(&held, 0);
    }
    let held = world.pull(SUBSCRIPTION, 1);
    assert_eq!((held[0].attempt, payloads(&held)), (5, vec![0]));
    world.set_deadline(&held, 0);
    let rest = world.pull(SUBSCRIPTION, 10);
    assert_eq!(payloads(&rest), [1, 2]);
    assert_eq!(rest[0].attempt, 1, "it never failed itself");
    assert_eq!(payloads(&world.pull(OTHER, 10)), [0]);
}

#[test]
fn counts_and_dead_letters_survive_a_restart() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded().with_grave();
        world.publish(0..1);
        for attempt in 1..=3 {
            assert_eq!(world.refuse(), attempt);
        }
        assert_eq!(world.pull(SUBSCRIPTION, 1)[0].attempt, 4);
        let mut after = restart(&mut world);
        assert_eq!(after.refuse(), 4, "the delivery that the restart cut short did not fail");
        assert_eq!(after.refuse(), 5);
        assert_eq!(after.statistics(SUBSCRIPTION).unacked, 0);
        assert_eq!(payloads(&after.pull(OTHER, 10)), [0]);
    }
}

#[test]
fn a_dead_letter_is_in_one_place_after_a_restart() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded().with_grave();
        world.publish(0..1);
        assert_eq!((0..5).map(|_| world.refuse()).max(), Some(5));
        let dead = world.pull(OTHER, 1)[0].message.id;
        let mut after = restart(&mut world);
        assert_eq!(after.statistics(SUBSCRIPTION).unacked, 0);
        assert_eq!(payloads(&after.pull(OTHER, 10)), [0]);
        let next = after.state.publish(TOPIC, vec![super::NewMessage::new("1")], after.now);
        assert!(next.unwrap() > dead, "ids of dead letters are not given out again");
    }
}
