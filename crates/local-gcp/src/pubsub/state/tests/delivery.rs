//! Leases, redelivery, flow control, sharing.

use std::time::Duration;

use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, secs, subscription};
use crate::proto::pubsub as proto;
use crate::pubsub::Error;
use crate::pubsub::message::NewMessage;
use crate::pubsub::state::{BatchLimit, Limits, SessionOptions, State};

fn limits(messages: u64, bytes: u64) -> SessionOptions {
    SessionOptions {
        messages_outstanding_max: (messages > 0).then_some(messages),
        bytes_outstanding_max: (bytes > 0).then_some(bytes),
        ack_deadline: None,
    }
}

#[test]
fn every_subscription_gets_every_message_once_while_leased() {
    let mut world = World::new();
    world.subscribe(OTHER);
    world.publish(0..3);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [0, 1, 2]);
    assert!(world.pull(SUBSCRIPTION, 10).is_empty(), "leased");
    assert_eq!(payloads(&world.pull(OTHER, 10)), [0, 1, 2]);
    world.subscribe("projects/p/subscriptions/late");
    assert!(world.pull("projects/p/subscriptions/late", 10).is_empty(), "created after publishing");
}

#[test]
fn message_ids_are_unique_and_carry_the_time_of_publication() {
    let mut world = World::new();
    world.publish(0..2);
    world.pass(secs(1));
    world.publish(2..4);
    let deliveries = world.pull(SUBSCRIPTION, 10);
    let ids: Vec<u64> = deliveries.iter().map(|it| it.message.id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    assert_eq!(deliveries[3].message.publish_time, world.now);
    assert_eq!(deliveries[0].message.publish_time, world.now - secs(1));
}

#[test]
fn an_expired_lease_brings_the_message_back_exactly_at_the_deadline() {
    let mut world = World::new();
    world.publish(0..1);
    let first = world.pull(SUBSCRIPTION, 1);
    world.pass(Duration::from_micros(9_999_999));
    assert!(world.pull(SUBSCRIPTION, 1).is_empty());
    world.pass(Duration::from_micros(1));
    let second = world.pull(SUBSCRIPTION, 1);
    assert_eq!(payloads(&second), [0]);
    assert_eq!((first[0].attempt, second[0].attempt), (1, 2));
    assert_ne!(first[0].ack_id, second[0].ack_id);
    assert_eq!(first[0].message.id, second[0].message.id);
    assert_eq!(world.statistics(SUBSCRIPTION).counters.expired, 1);
}

#[test]
fn an_extended_lease_lasts_until_its_new_deadline() {
    let mut world = World::new();
    world.publish(0..1);
    let held = world.pull(SUBSCRIPTION, 1);
    for _ in 0..5 {
        world.pass(secs(9));
        world.set_deadline(&held, 10);
    }
    world.pass(secs(9));
    assert!(world.pull(SUBSCRIPTION, 1).is_empty());
    world.pass(secs(1));
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 1)), [0]);
}

#[test]
fn a_shortened_lease_ends_at_its_new_deadline() {
    let mut world = World::new();
    world.publish(0..1);
    let held = world.pull(SUBSCRIPTION, 1);
    world.set_deadline(&held, 600);
    world.set_deadline(&held, 3);
    world.pass(secs(2));
    assert!(world.pull(SUBSCRIPTION, 1).is_empty());
    world.pass(secs(1));
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 1)), [0]);
}

#[test]
fn a_deadline_of_zero_redelivers_at_once_before_fresh_messages() {
    let mut world = World::new();
    world.publish(0..3);
    let held = world.pull(SUBSCRIPTION, 2);
    world.set_deadline(&held[1..], 0);
    let again = world.pull(SUBSCRIPTION, 10);
    assert_eq!(payloads(&again), [1, 2]);
    assert_eq!([again[0].attempt, again[1].attempt], [2, 1]);
    // The old id names no current lease: it cannot take the message from its new holder.
    world.set_deadline(&held[1..], 0);
    assert!(world.pull(SUBSCRIPTION, 10).is_empty());
}

#[test]
fn an_acknowledged_message_never_comes_back_also_by_an_old_id() {
    let mut world = World::new();
    world.publish(0..3);
    let first = world.pull(SUBSCRIPTION, 3);
    world.ack(SUBSCRIPTION, &first[..1]);
    world.pass(secs(10));
    world.ack(SUBSCRIPTION, &first[1..2]); // expired and waiting for redelivery
    let second = world.pull(SUBSCRIPTION, 3);
    assert_eq!(payloads(&second), [2]);
    world.ack(SUBSCRIPTION, &first[2..]); // delivered again meanwhile
    world.ack(SUBSCRIPTION, &second); // acknowledging twice is harmless
    world.pass(secs(1_000));
    assert!(world.pull(SUBSCRIPTION, 3).is_empty());
    assert_eq!(world.state.unacked(), 0);
    assert_eq!(world.state.unacked_bytes(), 0);
    assert_eq!(world.statistics(SUBSCRIPTION).counters.acknowledged, 3);
}

#[test]
fn acknowledgements_on_another_subscription_have_no_effect() {
    let mut world = World::new();
    world.subscribe(OTHER);
    world.publish(0..1);
    let held = world.pull(SUBSCRIPTION, 1);
    world.pull(OTHER, 1);
    world.ack(OTHER, &held);
    assert_eq!(world.statistics(OTHER).unacked, 1);
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 1);
}

#[test]
fn ids_of_a_deleted_subscription_do_not_reach_its_successor() {
    let mut world = World::new();
    world.publish(0..1);
    let old = world.pull(SUBSCRIPTION, 1);
    world.state.delete_subscription(SUBSCRIPTION).unwrap();
    assert_eq!(world.state.unacked_bytes(), 0);
    world.subscribe(SUBSCRIPTION);
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 0);
    world.publish(1..2);
    world.pull(SUBSCRIPTION, 1);
    world.ack(SUBSCRIPTION, &old);
    assert_eq!(world.statistics(SUBSCRIPTION).outstanding, 1);
}

#[test]
fn flow_control_holds_messages_back_until_some_are_acknowledged() {
    let mut world = World::new();
    let session = world.session(limits(3, 0));
    world.publish(0..10);
    let first = world.take(session);
    assert_eq!(payloads(&first), [0, 1, 2]);
    assert!(world.take(session).is_empty());
    world.state.take_woken();
    world.ack(SUBSCRIPTION, &first[..2]);
    assert_eq!(world.state.take_woken(), [session]);
    assert_eq!(payloads(&world.take(session)), [3, 4]);
    assert!(world.take(session).is_empty());
    // A refused or expired delivery makes room too.
    world.set_deadline(&first[2..], 0);
    assert_eq!(world.state.take_woken(), [session]);
    assert_eq!(payloads(&world.take(session)), [2]);
    assert!(world.take(session).is_empty());
    world.pass(secs(10));
    assert_eq!(world.take(session).len(), 3);
}

#[test]
fn flow_control_in_bytes_lets_the_last_message_exceed() {
    let mut world = World::new();
    let session = world.session(limits(0, 1_000));
    let large = NewMessage::new(vec![b'x'; 600]);
    world.state.publish(TOPIC, vec![large.clone(), large.clone(), large], world.now).unwrap();
    let held = world.take(session);
    assert_eq!(held.len(), 2);
    assert!(world.take(session).is_empty());
    world.ack(SUBSCRIPTION, &held[..1]);
    assert_eq!(world.take(session).len(), 1);
}

#[test]
fn a_message_larger_than_every_limit_is_still_delivered() {
    let mut world = World::new();
    let session = world.session(limits(0, 10));
    world.state.publish(TOPIC, vec![NewMessage::new(vec![0; 9_000_000])], world.now).unwrap();
    assert_eq!(world.take(session).len(), 1);
}

#[test]
fn a_batch_ends_at_its_limits() {
    let mut world = World::new();
    world.publish(0..1_000);
    let session = world.session(SessionOptions::default());
    let limit = BatchLimit { messages: 400, bytes: u64::MAX };
    assert_eq!(world.state.take(session, limit, world.now).unwrap().len(), 400);
    let limit = BatchLimit { messages: 400, bytes: 100 };
    let taken = world.state.take(session, limit, world.now).unwrap();
    let size = taken[0].message.size();
    assert_eq!(taken.len() as u64, 100_u64.div_ceil(size));
}

#[test]
fn two_sessions_share_the_messages() {
    let mut world = World::new();
    let (one, two) = (world.session(limits(0, 0)), world.session(limits(0, 0)));
    assert!(world.take(one).is_empty());
    assert!(world.take(two).is_empty());
    world.publish(0..100);
    assert_eq!(world.state.take_woken(), [one], "one can hold all");
    let first = world.take(one);
    assert_eq!(first.len(), 50);
    let second = world.take(two);
    let mut all = [payloads(&first), payloads(&second), payloads(&world.take(one))].concat();
    while let rest = [payloads(&world.take(one)), payloads(&world.take(two))].concat()
        && !rest.is_empty()
    {
        all.extend(rest);
    }
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert!(second.len() >= 25, "{}", second.len());
}

#[test]
fn as_many_sessions_wake_as_the_messages_need() {
    let mut world = World::new();
    let sessions: Vec<_> = (0..3).map(|_| world.session(limits(5, 0))).collect();
    for &session in &sessions {
        assert!(world.take(session).is_empty());
    }
    world.publish(0..7);
    assert_eq!(world.state.take_woken(), sessions[..2]);
    world.publish(7..8);
    assert_eq!(world.state.take_woken(), sessions[2..]);
    world.publish(8..9);
    assert!(world.state.take_woken().is_empty(), "nobody waits");
}

#[test]
fn a_woken_session_that_closes_passes_the_wake_on() {
    let mut world = World::new();
    let (one, two) = (world.session(limits(0, 0)), world.session(limits(0, 0)));
    assert!(world.take(one).is_empty());
    assert!(world.take(two).is_empty());
    world.publish(0..1);
    assert_eq!(world.state.take_woken(), [one]);
    world.state.close_session(one);
    assert_eq!(world.state.take_woken(), [two]);
    assert_eq!(payloads(&world.take(two)), [0]);
}

#[test]
fn messages_of_a_closed_session_stay_leased_and_can_be_acknowledged() {
    let mut world = World::new();
    let session = world.session(limits(1, 0));
    world.publish(0..2);
    let held = world.take(session);
    world.state.close_session(session);
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [1]);
    world.ack(SUBSCRIPTION, &held);
    world.pass(secs(10));
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [1]);
}

#[test]
fn the_deadline_of_a_session_rules_its_deliveries() {
    let mut world = World::new();
    let options = SessionOptions { ack_deadline: Some(secs(60)), ..Default::default() };
    let session = world.session(options);
    world.publish(0..1);
    world.take(session);
    world.pass(secs(59));
    assert_eq!(world.statistics(SUBSCRIPTION).outstanding, 1);
    world.state.set_session_deadline(session, secs(20)).unwrap();
    world.pass(secs(1));
    assert_eq!(world.take(session).len(), 1);
    world.pass(secs(20));
    assert_eq!(world.take(session).len(), 1);
    for wrong in [9, 601] {
        let error = world.state.set_session_deadline(session, secs(wrong)).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    }
}

#[test]
fn sessions_end_with_their_subscription() {
    let mut world = World::new();
    let session = world.session(limits(0, 0));
    assert!(world.take(session).is_empty());
    world.state.delete_subscription(SUBSCRIPTION).unwrap();
    assert_eq!(world.state.take_woken(), [session]);
    let error = world.state.take(session, BatchLimit::default(), world.now).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    world.state.close_session(session);
}

#[test]
fn a_retry_policy_delays_redelivery_with_doubling_waits() {
    let mut world = World::new();
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let policy = proto::RetryPolicy { minimum_backoff: span(2), maximum_backoff: span(5) };
    let config = proto::Subscription { retry_policy: Some(policy), ..subscription(OTHER) };
    world.state.delete_subscription(SUBSCRIPTION).unwrap();
    world
        .state
        .create_subscription(proto::Subscription { name: SUBSCRIPTION.into(), ..config })
        .unwrap();
    world.publish(0..1);
    for wait in [2, 4, 5, 5] {
        let held = world.pull(SUBSCRIPTION, 1);
        world.set_deadline(&held, 0);
        world.pass(secs(wait - 1));
        assert!(world.pull(SUBSCRIPTION, 1).is_empty(), "wait of {wait}");
        assert_eq!(world.statistics(SUBSCRIPTION).undelivered, 1);
        world.pass(secs(1));
    }
    let held = world.pull(SUBSCRIPTION, 1);
    assert_eq!(held[0].attempt, 5);
    world.set_deadline(&held, 0);
    world.ack(SUBSCRIPTION, &held); // acknowledged while backing off
    world.pass(secs(100));
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 0);
}

#[test]
fn messages_older_than_the_retention_are_given_up() {
    let mut world = World::new();
    world.publish(0..3);
    let held = world.pull(SUBSCRIPTION, 1);
    world.set_deadline(&held, 600);
    world.pass(secs(604_799));
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 3);
    world.publish(3..4);
    world.pass(secs(1));
    // The ready one is given up when its turn comes, the fresh ones at once.
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [3]);
    let statistics = world.statistics(SUBSCRIPTION);
    assert_eq!((statistics.unacked, statistics.counters.dropped), (1, 3));
}

#[test]
fn statistics_tell_the_backlog() {
    let mut world = World::new();
    let start = world.now;
    world.publish(0..2);
    world.pass(secs(5));
    world.publish(2..5);
    let statistics = world.statistics(SUBSCRIPTION);
    assert_eq!((statistics.undelivered, statistics.outstanding, statistics.unacked), (5, 0, 5));
    assert_eq!(statistics.oldest_unacked, Some(start));
    let held = world.pull(SUBSCRIPTION, 3);
    let statistics = world.statistics(SUBSCRIPTION);
    assert_eq!((statistics.undelivered, statistics.outstanding, statistics.unacked), (2, 3, 5));
    world.ack(SUBSCRIPTION, &held[..2]);
    assert_eq!(world.statistics(SUBSCRIPTION).oldest_unacked, Some(start + secs(5)));
    assert_eq!(world.state.unacked(), 3);
    let bytes: u64 = 3 * held[0].message.size();
    assert_eq!(world.state.unacked_bytes(), bytes);
}

#[test]
fn a_full_server_refuses_until_messages_are_acknowledged() {
    let limits = Limits::default().unacked_bytes_max(1_000);
    let mut world = World { state: State::new(limits), ..World::new() };
    world.state.create_topic(super::topic(TOPIC)).unwrap();
    world.subscribe(SUBSCRIPTION);
    let message = NewMessage::new(vec![0; 600]);
    world.state.publish(TOPIC, vec![message.clone()], world.now).unwrap();
    let error = world.state.publish(TOPIC, vec![message.clone()], world.now).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    let held = world.pull(SUBSCRIPTION, 1);
    world.ack(SUBSCRIPTION, &held);
    world.state.publish(TOPIC, vec![message], world.now).unwrap();
}

#[test]
fn long_deadlines_cost_no_memory_per_acknowledged_message() {
    let mut world = World::new();
    let options = SessionOptions { ack_deadline: Some(secs(600)), ..Default::default() };
    let session = world.session(options);
    for round in 0..200 {
        world.publish(round * 100..(round + 1) * 100);
        let held = world.take(session);
        world.ack(SUBSCRIPTION, &held);
    }
    let debug = format!("{:?}", world.state.subscriptions[SUBSCRIPTION]);
    assert!(debug.len() < 200_000, "{} bytes of text for an empty subscription", debug.len());
}
