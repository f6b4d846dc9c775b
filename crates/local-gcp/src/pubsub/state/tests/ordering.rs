//! Ordering keys: order, holders, redelivery of all that follows.

use super::replay::{from_journal, from_snapshot, recorded};
use super::{SUBSCRIPTION, TOPIC, World, payloads, secs, subscription};
use crate::proto::pubsub as proto;
use crate::pubsub::message::NewMessage;
use crate::pubsub::state::{BatchLimit, SessionOptions};

impl World {
    /// Subscribed with ordering, and what else `change` asks for.
    pub(super) fn resubscribe(&mut self, change: impl FnOnce(&mut proto::Subscription)) {
        self.state.delete_subscription(SUBSCRIPTION).unwrap();
        let mut config = subscription(SUBSCRIPTION);
        change(&mut config);
        self.state.create_subscription(config).unwrap();
    }

    pub(super) fn publish_keyed(&mut self, key: &str, payloads: impl IntoIterator<Item = u64>) {
        let message =
            |n: u64| NewMessage { ordering_key: key.to_owned(), ..NewMessage::new(n.to_string()) };
        let messages = payloads.into_iter().map(message).collect();
        self.state.publish(TOPIC, messages, self.now).unwrap();
    }
}

fn in_order(config: &mut proto::Subscription) {
    config.enable_message_ordering = true;
}

fn ordered() -> World {
    let mut world = World::new();
    world.resubscribe(in_order);
    world
}

#[test]
fn a_key_that_is_out_waits_for_its_acknowledgements_while_others_go_on() {
    let mut world = ordered();
    world.publish_keyed("a", 0..3);
    world.publish_keyed("b", 10..12);
    world.publish(20..21);
    let first = world.pull(SUBSCRIPTION, 2);
    assert_eq!(payloads(&first), [0, 10], "keys take turns");
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [20], "both keys are out");
    world.ack(SUBSCRIPTION, &first[..1]);
    let second = world.pull(SUBSCRIPTION, 10);
    assert_eq!(payloads(&second), [1, 2]);
    world.ack(SUBSCRIPTION, &second[..1]);
    assert!(world.pull(SUBSCRIPTION, 10).is_empty(), "2 is out");
    world.publish_keyed("a", 3..4);
    assert!(world.pull(SUBSCRIPTION, 10).is_empty(), "2 is out");
    world.ack(SUBSCRIPTION, &second[1..]);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [3]);
}

#[test]
fn the_session_that_holds_a_key_goes_on_with_it_and_no_other_does() {
    let mut world = ordered();
    let (one, two) =
        (world.session(SessionOptions::default()), world.session(SessionOptions::default()));
    world.publish_keyed("a", 0..2);
    let limit = BatchLimit { messages: 1, ..BatchLimit::default() };
    let first = world.state.take(one, limit, world.now).unwrap();
    assert_eq!(payloads(&first), [0]);
    assert!(world.take(two).is_empty());
    assert_eq!(payloads(&world.take(one)), [1]);
    assert!(world.take(one).is_empty());
    world.state.take_woken();
    world.publish_keyed("a", 2..3);
    assert_eq!(world.state.take_woken(), [one], "the other could take nothing");
    let rest = world.take(one);
    assert_eq!(payloads(&rest), [2]);
    world.state.close_session(one);
    world.publish_keyed("a", 3..4);
    assert!(world.take(two).is_empty(), "what the closed session holds is still leased");
    world.pass(secs(10));
    assert_eq!(world.state.take_woken(), [two]);
    assert_eq!(payloads(&world.take(two)), [0, 1, 2, 3]);
}

#[test]
fn a_refused_message_brings_back_all_later_ones_of_its_key_also_acknowledged_ones() {
    let mut world = ordered();
    world.publish_keyed("a", 0..4);
    world.publish_keyed("b", 10..12);
    let held = world.pull(SUBSCRIPTION, 10);
    let of_a: Vec<_> = held.iter().filter(|it| it.message.ordering_key == "a").cloned().collect();
    assert_eq!(payloads(&of_a), [0, 1, 2, 3]);
    world.ack(SUBSCRIPTION, &of_a[..1]);
    world.ack(SUBSCRIPTION, &of_a[2..3]);
    let unacked = world.statistics(SUBSCRIPTION).unacked;
    assert_eq!(unacked, 5, "the acknowledgement of 2 is not final before that of 1");
    world.set_deadline(&of_a[1..2], 0);
    let again = world.pull(SUBSCRIPTION, 10);
    assert_eq!(payloads(&again), [1, 2, 3]);
    let attempts: Vec<u32> = again.iter().map(|it| it.attempt).collect();
    assert_eq!(attempts, [2, 1, 1], "only the one that was refused failed");
    world.ack(SUBSCRIPTION, &again);
    world.ack(SUBSCRIPTION, &held);
    assert_eq!((world.state.unacked(), world.state.unacked_bytes()), (0, 0));
}

#[test]
fn acknowledgements_out_of_order_are_final_once_the_gap_is_closed() {
    let mut world = ordered();
    world.publish_keyed("a", 0..3);
    let held = world.pull(SUBSCRIPTION, 10);
    world.ack(SUBSCRIPTION, &held[1..]);
    assert_eq!(world.statistics(SUBSCRIPTION).counters.acknowledged, 0);
    world.ack(SUBSCRIPTION, &held[..1]);
    let statistics = world.statistics(SUBSCRIPTION);
    assert_eq!((statistics.counters.acknowledged, statistics.unacked), (3, 0));
}

#[test]
fn an_expired_lease_or_a_backoff_keeps_the_order() {
    let mut world = World::new();
    world.resubscribe(|config| {
        in_order(config);
        config.retry_policy = Some(proto::RetryPolicy::default());
    });
    world.publish_keyed("a", 0..3);
    assert_eq!(world.pull(SUBSCRIPTION, 2).len(), 2);
    world.pass(secs(10));
    world.publish_keyed("b", 10..11);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [10], "a backs off for 10 s");
    world.pass(secs(9));
    assert!(world.pull(SUBSCRIPTION, 10).is_empty());
    world.pass(secs(1));
    let again = world.pull(SUBSCRIPTION, 10);
    assert!(payloads(&again).starts_with(&[0]));
    let of_a = again.iter().filter(|it| it.message.ordering_key == "a").cloned();
    assert_eq!(payloads(&of_a.collect::<Vec<_>>()), [0, 1, 2]);
}

#[test]
fn without_ordering_keys_mean_nothing() {
    let mut world = World::new();
    world.publish_keyed("a", 0..3);
    let held = world.pull(SUBSCRIPTION, 1);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [1, 2]);
    world.set_deadline(&held, 0);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [0]);
}

#[test]
fn a_seek_back_ends_deliveries_of_the_keys_it_brings_back() {
    let mut world = World::new();
    world.resubscribe(|config| {
        in_order(config);
        config.retain_acked_messages = true;
    });
    let start = world.now;
    world.publish_keyed("a", 0..4);
    let held = world.pull(SUBSCRIPTION, 3);
    world.ack(SUBSCRIPTION, &held[..1]);
    world.state.seek_to_time(SUBSCRIPTION, start, world.now).unwrap();
    assert_eq!(world.statistics(SUBSCRIPTION).outstanding, 0);
    let again = world.pull(SUBSCRIPTION, 10);
    assert_eq!(payloads(&again), [0, 1, 2, 3]);
    world.pass(secs(1));
    world.publish_keyed("a", 4..5);
    world.state.seek_to_time(SUBSCRIPTION, world.now, world.now).unwrap();
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [4], "nothing before it is out any more");
}

#[test]
fn old_messages_of_a_key_are_given_up_in_time() {
    let mut world = ordered();
    world.publish_keyed("a", 0..2);
    world.pass(secs(1));
    world.publish_keyed("a", 2..3);
    world.pass(secs(604_799));
    assert_eq!(world.statistics(SUBSCRIPTION).counters.dropped, 2);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [2]);
    world.pass(secs(604_800));
    assert_eq!((world.state.unacked(), world.state.unacked_bytes()), (0, 0));
}

#[test]
fn order_survives_a_restart_and_late_acknowledgements_count() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded();
        world.resubscribe(in_order);
        world.publish_keyed("a", 0..5);
        world.publish_keyed("b", 10..12);
        let held = world.pull(SUBSCRIPTION, 100);
        let of_a: Vec<_> = held.into_iter().filter(|it| it.message.ordering_key == "a").collect();
        world.ack(SUBSCRIPTION, &of_a[..1]);
        world.ack(SUBSCRIPTION, &of_a[2..3]);
        let mut after = restart(&mut world);
        after.ack(SUBSCRIPTION, &of_a[1..2]);
        let again = after.pull(SUBSCRIPTION, 100);
        let of_key = |key: &str| -> Vec<u64> {
            let of_key = again.iter().filter(|it| it.message.ordering_key == key).cloned();
            payloads(&of_key.collect::<Vec<_>>())
        };
        assert_eq!((of_key("a"), of_key("b")), (vec![2, 3, 4], vec![10, 11]));
    }
}
