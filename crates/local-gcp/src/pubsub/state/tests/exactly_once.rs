//! Exactly-once delivery and filters.

use super::replay::{from_journal, recorded};
use super::{OTHER, SUBSCRIPTION, TOPIC, World, payloads, secs, subscription};
use crate::proto::pubsub as proto;
use crate::pubsub::message::{AckId, Delivery, NewMessage};
use crate::pubsub::{AckFailure, Error};

impl World {
    fn exactly_once() -> Self {
        let mut world = Self::new();
        world.resubscribe(|config| config.enable_exactly_once_delivery = true);
        world
    }

    /// Acknowledges; what failed.
    fn try_ack(&mut self, deliveries: &[Delivery]) -> Vec<(AckId, AckFailure)> {
        let ack_ids: Vec<_> = deliveries.iter().map(|delivery| delivery.ack_id).collect();
        failures(self.state.acknowledge(SUBSCRIPTION, &ack_ids))
    }

    fn try_extend(&mut self, delivery: &Delivery) -> Vec<(AckId, AckFailure)> {
        failures(self.state.modify_ack_deadline(SUBSCRIPTION, &[(delivery.ack_id, 20)], self.now))
    }
}

fn failures(answer: Result<(), Error>) -> Vec<(AckId, AckFailure)> {
    match answer {
        Ok(()) => Vec::new(),
        Err(Error::AckIds { failures }) => failures,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_the_newest_delivery_counts_and_only_while_it_is_leased() {
    let mut world = World::exactly_once();
    world.publish(0..3);
    let first = world.pull(SUBSCRIPTION, 3);
    assert_eq!(world.try_extend(&first[0]), []);
    world.pass(secs(10));
    let invalid = |it: &Delivery| (it.ack_id, AckFailure::Invalid);
    assert_eq!(world.try_ack(&first), [invalid(&first[1]), invalid(&first[2])], "0 is held on");
    assert_eq!(world.try_extend(&first[1]), [invalid(&first[1])]);
    let second = world.pull(SUBSCRIPTION, 3);
    assert_eq!(payloads(&second), [1, 2]);
    assert_eq!(world.try_ack(&first[1..2]), [invalid(&first[1])], "delivered again meanwhile");
    assert_eq!(world.try_ack(&second), []);
    assert_eq!(world.try_ack(&second[..1]), [invalid(&second[0])]);
    assert_eq!(world.state.unacked(), 0);
}

#[test]
fn without_exactly_once_nothing_fails() {
    let mut world = World::new();
    world.publish(0..1);
    let first = world.pull(SUBSCRIPTION, 1);
    world.pass(secs(10));
    assert_eq!(world.try_extend(&first[0]), []);
    assert_eq!(world.try_ack(&first), []);
    assert_eq!(world.try_ack(&first), []);
}

#[test]
fn with_order_acknowledgements_count_in_order_only() {
    let mut world = World::new();
    world.resubscribe(|config| {
        config.enable_exactly_once_delivery = true;
        config.enable_message_ordering = true;
    });
    world.publish_keyed("a", 0..3);
    let held = world.pull(SUBSCRIPTION, 3);
    assert_eq!(world.try_ack(&held[1..2]), [(held[1].ack_id, AckFailure::Unordered)]);
    let reversed: Vec<_> = held[..2].iter().rev().cloned().collect();
    assert_eq!(world.try_ack(&reversed), [], "one request counts as a whole");
    world.set_deadline(&held[2..], 0);
    assert_eq!(world.try_ack(&held[2..]), [(held[2].ack_id, AckFailure::Invalid)]);
}

#[test]
fn deliveries_end_with_the_life_of_the_server() {
    let mut world = recorded();
    world.resubscribe(|config| config.enable_exactly_once_delivery = true);
    world.publish(0..1);
    let before = world.pull(SUBSCRIPTION, 1);
    let mut after = from_journal(&mut world);
    assert_eq!(after.try_ack(&before), [(before[0].ack_id, AckFailure::Invalid)]);
    let again = after.pull(SUBSCRIPTION, 1);
    assert_eq!(after.try_ack(&again), []);
}

#[test]
fn the_refusal_names_each_id_for_client_libraries() {
    use prost::Message as _;
    let mut world = World::exactly_once();
    world.publish(0..1);
    let held = world.pull(SUBSCRIPTION, 1);
    world.pass(secs(10));
    let ack_id = held[0].ack_id;
    let error = world.state.acknowledge(SUBSCRIPTION, &[ack_id]).unwrap_err();
    let status = tonic::Status::from(error);
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let details = crate::proto::rpc::Status::decode(status.details()).unwrap();
    assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    let info = crate::proto::rpc::ErrorInfo::decode(details.details[0].value.as_slice()).unwrap();
    let reason = info.metadata.get(&ack_id.to_string()).map(String::as_str);
    assert_eq!(reason, Some("PERMANENT_FAILURE_INVALID_ACK_ID"));
}

#[test]
fn filtered_messages_are_never_seen_also_after_seeks_and_restarts() {
    let mut world = recorded();
    let filtered = |config: &mut proto::Subscription| {
        config.filter = "attributes.parity = \"0\"".to_owned();
        config.retain_acked_messages = true;
    };
    world.resubscribe(filtered);
    world.subscribe(OTHER);
    let start = world.now;
    let message = |n: u64| NewMessage {
        attributes: [("parity".to_owned(), (n % 2).to_string())].into(),
        ..NewMessage::new(n.to_string())
    };
    let snapshot = proto::CreateSnapshotRequest {
        name: "projects/p/snapshots/noon".to_owned(),
        subscription: OTHER.to_owned(),
        ..Default::default()
    };
    world.state.create_snapshot(snapshot, world.now).unwrap();
    world.state.publish(TOPIC, (0..6).map(message).collect(), world.now).unwrap();
    assert_eq!(world.statistics(SUBSCRIPTION).unacked, 3);
    let mut world = from_journal(&mut world);
    for _ in 0..2 {
        let held = world.pull(SUBSCRIPTION, 10);
        assert_eq!(payloads(&held), [0, 2, 4]);
        world.ack(SUBSCRIPTION, &held);
        world.state.seek_to_time(SUBSCRIPTION, start, world.now).unwrap();
    }
    world.state.seek_to_snapshot(SUBSCRIPTION, "projects/p/snapshots/noon", world.now).unwrap();
    assert_eq!(payloads(&world.pull(SUBSCRIPTION, 10)), [0, 2, 4]);
    assert_eq!(payloads(&world.pull(OTHER, 10)), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn filters_are_checked_at_creation_and_cannot_change() {
    let mut world = World::new();
    let wrong = proto::Subscription { filter: "attributes".to_owned(), ..subscription(OTHER) };
    let error = world.state.create_subscription(wrong).unwrap_err();
    assert!(error.to_string().contains("at position 10"), "{error}");
    let update =
        proto::Subscription { filter: "attributes:k".into(), ..subscription(SUBSCRIPTION) };
    for field in ["filter", "enable_message_ordering"] {
        world.state.update_subscription(update.clone(), &[field.to_owned()]).unwrap_err();
    }
}
