//! Topics and subscriptions: life cycle, limits, listings.

use super::{OTHER, SUBSCRIPTION, TOPIC, World, subscription, topic};
use crate::proto::pubsub as proto;
use crate::pubsub::message::NewMessage;
use crate::pubsub::{DELETED_TOPIC, Error};

#[test]
fn a_second_creation_and_unknown_names_are_refused_in_googles_words() {
    let mut world = World::new();
    let error = world.state.create_topic(topic(TOPIC)).unwrap_err();
    assert_eq!(error.to_string(), "Resource already exists in the project (resource=orders).");
    let error = world.state.create_subscription(subscription(SUBSCRIPTION)).unwrap_err();
    assert_eq!(error.to_string(), "Resource already exists in the project (resource=first).");
    let error = world.state.get_topic("projects/p/topics/none").unwrap_err();
    assert_eq!(error.to_string(), "Resource not found (resource=none).");
    let nowhere =
        proto::Subscription { topic: "projects/p/topics/none".into(), ..subscription(OTHER) };
    let error = world.state.create_subscription(nowhere).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(world.state.delete_subscription(OTHER).is_err());
    assert!(world.state.get_subscription("first").is_err());
}

#[test]
fn a_new_subscription_shows_its_defaults() {
    let world = World::new();
    let config = world.state.get_subscription(SUBSCRIPTION).unwrap();
    assert_eq!(config.ack_deadline_seconds, 10);
    assert_eq!(config.message_retention_duration.unwrap().seconds, 604_800);
    assert_eq!(config.expiration_policy.unwrap().ttl.unwrap().seconds, 2_678_400);
    assert_eq!(config.state(), proto::subscription::State::Active);
}

#[test]
fn out_of_range_settings_and_unserved_deliveries_are_refused() {
    let mut world = World::new();
    let push = proto::PushConfig { push_endpoint: "http://x".into(), ..Default::default() };
    let short = Some(prost_types::Duration { seconds: 599, nanos: 0 });
    for (wrong, text) in [
        (proto::Subscription { ack_deadline_seconds: 9, ..subscription(OTHER) }, "ack_deadline"),
        (proto::Subscription { ack_deadline_seconds: 601, ..subscription(OTHER) }, "ack_deadline"),
        (
            proto::Subscription { message_retention_duration: short, ..subscription(OTHER) },
            "retention",
        ),
        (proto::Subscription { push_config: Some(push), ..subscription(OTHER) }, "push"),
        (
            proto::Subscription {
                bigquery_config: Some(proto::BigQueryConfig::default()),
                ..subscription(OTHER)
            },
            "BigQuery",
        ),
    ] {
        let error = world.state.create_subscription(wrong).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn options_of_delivery_are_kept_and_returned() {
    let mut world = World::new();
    world.state.create_topic(super::topic("projects/p/topics/dead")).unwrap();
    let policy = proto::DeadLetterPolicy {
        dead_letter_topic: "projects/p/topics/dead".into(),
        max_delivery_attempts: 7,
    };
    let config = proto::Subscription {
        filter: "attributes.kind = \"a\"".into(),
        enable_message_ordering: true,
        enable_exactly_once_delivery: true,
        dead_letter_policy: Some(policy.clone()),
        ..subscription(OTHER)
    };
    world.state.create_subscription(config).unwrap();
    let config = world.state.get_subscription(OTHER).unwrap();
    assert_eq!(config.dead_letter_policy, Some(policy));
    assert_eq!(config.filter, "attributes.kind = \"a\"");
    assert!(config.enable_message_ordering && config.enable_exactly_once_delivery);
}

#[test]
fn updates_change_the_fields_of_their_mask_only() {
    let mut world = World::new();
    let update = proto::Subscription {
        ack_deadline_seconds: 30,
        retain_acked_messages: true,
        ..subscription(SUBSCRIPTION)
    };
    let mask = ["ack_deadline_seconds".to_owned()];
    let updated = world.state.update_subscription(update.clone(), &mask).unwrap();
    assert_eq!((updated.ack_deadline_seconds, updated.retain_acked_messages), (30, false));
    assert_eq!(world.state.get_subscription(SUBSCRIPTION).unwrap(), updated);
    world.publish(0..1);
    world.pull(SUBSCRIPTION, 1);
    world.pass(super::secs(29));
    assert_eq!(world.statistics(SUBSCRIPTION).outstanding, 1);
    for mask in [vec![], vec!["filter".to_owned()], vec!["nonsense".to_owned()]] {
        let error = world.state.update_subscription(update.clone(), &mask).unwrap_err();
        assert!(error.to_string().contains("update_mask"), "{error}");
    }
    let labels = [("team".to_owned(), "a".to_owned())].into();
    let update = proto::Topic { labels, ..topic(TOPIC) };
    let updated = world.state.update_topic(update, &["labels".to_owned()]).unwrap();
    assert_eq!(updated.labels["team"], "a");
}

#[test]
fn a_deleted_topic_leaves_its_subscriptions_with_their_backlog() {
    let mut world = World::new();
    world.publish(0..2);
    world.state.delete_topic(TOPIC).unwrap();
    assert_eq!(world.state.get_subscription(SUBSCRIPTION).unwrap().topic, DELETED_TOPIC);
    assert_eq!(world.pull(SUBSCRIPTION, 10).len(), 2);
    world.state.create_topic(topic(TOPIC)).unwrap();
    world.publish(2..3);
    assert_eq!(
        world.pull(SUBSCRIPTION, 10).len(),
        0,
        "a new topic of the old name is another topic"
    );
    world.state.delete_subscription(SUBSCRIPTION).unwrap();
}

#[test]
fn a_detached_subscription_loses_its_messages_and_refuses_pulls() {
    let mut world = World::new();
    world.publish(0..2);
    let held = world.pull(SUBSCRIPTION, 1);
    world.state.detach_subscription(SUBSCRIPTION).unwrap();
    world.publish(2..3);
    let error = world.state.pull(SUBSCRIPTION, 1, world.now).unwrap_err();
    assert!(matches!(error, Error::FailedPrecondition { .. }), "{error}");
    world.ack(SUBSCRIPTION, &held);
    assert_eq!(world.state.unacked(), 0);
    assert_eq!(world.state.unacked_bytes(), 0);
    assert!(world.state.get_subscription(SUBSCRIPTION).unwrap().detached);
    let attached = world.state.list_topic_subscriptions(TOPIC, 0, "").unwrap();
    assert!(attached.entries.is_empty());
}

#[test]
fn listings_come_in_pages_and_stay_within_their_project() {
    let mut world = World::new();
    for number in 0..5 {
        world.state.create_topic(topic(&format!("projects/q/topics/topic-{number}"))).unwrap();
        world.subscribe(&format!("projects/q/subscriptions/sub-{number}"));
    }
    let mut token = String::new();
    let mut seen = Vec::new();
    for expected in [2, 2, 1] {
        let page = world.state.list_topics("projects/q", 2, &token).unwrap();
        assert_eq!(page.entries.len(), expected);
        seen.extend(page.entries.into_iter().map(|topic| topic.name));
        token = page.next_page_token;
    }
    assert!(token.is_empty());
    assert!(seen.is_sorted() && seen.len() == 5, "{seen:?}");
    assert_eq!(world.state.list_subscriptions("projects/q", 0, "").unwrap().entries.len(), 5);
    let page = world.state.list_topic_subscriptions(TOPIC, 4, "").unwrap();
    assert_eq!(page.entries[0], SUBSCRIPTION);
    let page = world.state.list_topic_subscriptions(TOPIC, 4, &page.next_page_token).unwrap();
    assert_eq!((page.entries.len(), page.next_page_token.as_str()), (2, ""));
    assert!(world.state.list_topics("projects/q", -1, "").is_err());
    assert!(world.state.list_topics("projects/q", 1, "projects/other").is_err());
    assert!(world.state.list_topics("q", 1, "").is_err());
}

#[test]
fn published_messages_are_checked() {
    let mut world = World::new();
    let with = |key: &str, value: &str| NewMessage {
        attributes: [(key.to_owned(), value.to_owned())].into(),
        ..NewMessage::default()
    };
    let key = NewMessage { ordering_key: "k".repeat(1_025), ..NewMessage::new("x") };
    for (wrong, text) in [
        (vec![], "too small"),
        (vec![NewMessage::new("x"); 1_001], "too large"),
        (vec![NewMessage::new(vec![0; 5_000_001]); 2], "request_size"),
        (vec![NewMessage::default()], "empty"),
        (vec![with("", "v")], "attribute key"),
        (vec![with(&"k".repeat(257), "v")], "attribute key"),
        (vec![with("googclient", "v")], "attribute key"),
        (vec![with("k", &"v".repeat(1_025))], "attribute value"),
        (vec![key], "ordering key"),
    ] {
        let error = world.state.publish(TOPIC, wrong, world.now).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.code(), crate::status::Code::InvalidArgument);
    }
    world.state.publish(TOPIC, vec![with("k", "")], world.now).unwrap();
    assert_eq!(world.state.unacked(), 1);
}
