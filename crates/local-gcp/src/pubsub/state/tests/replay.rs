//! A state restored from its records.

use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, secs};
use crate::pubsub::state::{Limits, Record, State};

/// A world whose changes are recorded from the first.
pub(super) fn recorded() -> World {
    let mut world = World { state: State::new(Limits::default()), ..World::new() };
    world.state.start_recording();
    world.state.create_topic(super::topic(TOPIC)).unwrap();
    world.subscribe(SUBSCRIPTION);
    world
}

/// Another life on the same records, through the journal's encoding.
fn restarted(world: &World, records: impl IntoIterator<Item = Record>) -> World {
    let mut state = State::new(Limits::default());
    for record in records {
        let bytes = rmp_serde::to_vec(&record).unwrap();
        state.replay(rmp_serde::from_slice(&bytes).unwrap()).unwrap();
    }
    state.start_recording();
    World { state, now: world.now }
}

pub(super) fn from_journal(world: &mut World) -> World {
    let records = world.state.take_records();
    restarted(world, records)
}

pub(super) fn from_snapshot(world: &World) -> World {
    restarted(world, world.state.snapshot())
}

#[test]
fn unacknowledged_messages_survive_and_are_deliverable_at_once() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded();
        world.subscribe(OTHER);
        world.publish(0..5);
        let held = world.pull(SUBSCRIPTION, 3);
        world.ack(SUBSCRIPTION, &held[1..2]);
        let mut after = restart(&mut world);
        assert_eq!(payloads(&after.pull(SUBSCRIPTION, 10)), [0, 2, 3, 4]);
        assert_eq!(payloads(&after.pull(OTHER, 10)), [0, 1, 2, 3, 4]);
        assert_eq!(after.state.unacked_bytes(), world.state.unacked_bytes());
        assert_eq!(
            after.state.get_subscription(OTHER).unwrap(),
            world.state.get_subscription(OTHER).unwrap()
        );
    }
}

#[test]
fn acknowledgements_of_deliveries_before_the_restart_count_after_it() {
    let mut world = recorded();
    world.publish(0..3);
    let before = world.pull(SUBSCRIPTION, 3);
    let mut after = from_journal(&mut world);
    after.ack(SUBSCRIPTION, &before[..1]);
    let again = after.pull(SUBSCRIPTION, 10);
    assert_eq!(payloads(&again), [1, 2]);
    after.ack(SUBSCRIPTION, &before[1..]);
    assert_eq!(after.state.unacked(), 0);
    assert!(again.iter().all(|it| before.iter().all(|old| old.ack_id != it.ack_id)));
}

#[test]
fn no_id_is_given_out_twice_over_restarts() {
    let mut world = recorded();
    world.state.delete_subscription(SUBSCRIPTION).unwrap();
    world.publish(0..10); // nobody subscribed: not recorded
    let last = world.state.publish(TOPIC, vec![super::NewMessage::new("x")], world.now).unwrap();
    let mut after = from_journal(&mut world);
    let next = after.state.publish(TOPIC, vec![super::NewMessage::new("x")], after.now).unwrap();
    assert!(next > last, "{next} > {last}");
    let mut third = from_snapshot(&after);
    let more = third.state.publish(TOPIC, vec![super::NewMessage::new("x")], third.now).unwrap();
    assert!(more > next);
}

#[test]
fn numbers_of_deleted_subscriptions_are_not_reused_after_a_snapshot() {
    let mut world = recorded();
    world.publish(0..1);
    let old = world.pull(SUBSCRIPTION, 1);
    world.state.delete_subscription(SUBSCRIPTION).unwrap();
    let mut after = from_snapshot(&world);
    after.subscribe(SUBSCRIPTION);
    after.publish(1..2);
    assert_ne!(after.pull(SUBSCRIPTION, 1)[0].ack_id.subscription, old[0].ack_id.subscription);
}

#[test]
fn deletions_detachments_and_expired_messages_stay_gone() {
    let mut world = recorded();
    world.subscribe(OTHER);
    world.subscribe("projects/p/subscriptions/third");
    world.publish(0..2);
    world.pass(secs(604_800));
    world.publish(2..4);
    world.state.detach_subscription(OTHER).unwrap();
    world.state.delete_subscription("projects/p/subscriptions/third").unwrap();
    world.state.delete_topic(TOPIC).unwrap();
    let mut after = from_journal(&mut world);
    assert_eq!(payloads(&after.pull(SUBSCRIPTION, 10)), [2, 3]);
    assert!(after.state.get_subscription(OTHER).unwrap().detached);
    assert_eq!(after.statistics(OTHER).unacked, 0);
    assert!(after.state.get_topic(TOPIC).is_err());
    assert_eq!(after.state.list_subscriptions("projects/p", 0, "").unwrap().entries.len(), 2);
}

#[test]
fn a_state_that_does_not_record_keeps_no_records() {
    let mut world = World::new();
    world.publish(0..100);
    assert!(world.state.take_records().is_empty());
}

#[test]
fn damaged_records_are_errors_not_panics() {
    let mut state = State::new(Limits::default());
    let record = Record::Topic { topic: b"\xff\xff\xff".as_slice().into() };
    assert!(state.replay(record).is_err());
    let record = Record::Acknowledged { subscription: "nobody".into(), messages: vec![1] };
    state.replay(record).unwrap();
}
