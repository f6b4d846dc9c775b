//! Google's own Rust client: publishing, streaming pull, administration.

use std::collections::BTreeSet;

use millstream_local_gcp::LocalGcp;
use tokio::sync::mpsc;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_arrive_once_each() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    publish(&local, 0..10_000).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 10_000 {
        let (message, handler) = next(&mut stream).await;
        assert_eq!(message.attributes["parity"], (number(&message) % 2).to_string());
        assert!(seen.insert(number(&message)), "{} came twice", number(&message));
        handler.ack();
    }
    shut(stream).await;
    assert_eq!(local.pubsub().unacked(), 0);
    let statistics = local.pubsub().subscription_statistics()[SUBSCRIPTION];
    assert_eq!(statistics.counters.acknowledged, 10_000);
    assert_eq!(local.pubsub().topic_statistics()[TOPIC].published_messages, 10_000);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_comes_back() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    publish(&local, 0..1).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    for _ in 0..3 {
        next(&mut stream).await.1.nack();
    }
    next(&mut stream).await.1.ack();
    shut(stream).await;
    let counters = local.pubsub().subscription_statistics()[SUBSCRIPTION].counters;
    assert_eq!((counters.nacked, counters.redelivered, counters.acknowledged), (3, 3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subscribers_share_a_subscription_and_two_subscriptions_get_all() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    let other = "projects/p/subscriptions/second";
    local.pubsub().ensure_subscription(other, TOPIC).unwrap();
    let client = subscriber(&local).await;
    let (sender, mut numbers) = mpsc::channel(64);
    let mut readers = tokio::task::JoinSet::new();
    for subscription in [SUBSCRIPTION, SUBSCRIPTION, other] {
        let mut stream = client.subscribe(subscription).set_max_outstanding_messages(10).build();
        let sender = sender.clone();
        readers.spawn(async move {
            while let Some(Ok((message, handler))) = stream.next().await {
                handler.ack();
                sender.send((subscription, number(&message))).await.unwrap();
            }
        });
    }
    publish(&local, 0..500).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 1_000 {
        let received = tokio::time::timeout(PATIENCE, numbers.recv()).await.unwrap().unwrap();
        assert!(seen.insert(received), "{received:?} came twice");
    }
    readers.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_answers_as_googles_clients_expect() {
    let local = LocalGcp::start().await.unwrap();
    set_up(&local).await;
    let topics = topic_admin(&local).await;
    let subscriptions = subscription_admin(&local).await;
    let again = topics.create_topic().set_name(TOPIC).send().await.unwrap_err();
    assert_eq!(again.status().unwrap().code.name(), "ALREADY_EXISTS");
    let topic = topics.get_topic().set_topic(TOPIC).send().await.unwrap();
    assert_eq!(topic.name, TOPIC);
    let subscription =
        subscriptions.get_subscription().set_subscription(SUBSCRIPTION).send().await.unwrap();
    assert_eq!((subscription.topic.as_str(), subscription.ack_deadline_seconds), (TOPIC, 10));
    let listed = topics.list_topics().set_project("projects/p").send().await.unwrap();
    assert_eq!(listed.topics.len(), 1);
    let listed = subscriptions.list_subscriptions().set_project("projects/p").send().await.unwrap();
    assert_eq!(listed.subscriptions.len(), 1);
    topics.delete_topic().set_topic(TOPIC).send().await.unwrap();
    subscriptions.delete_subscription().set_subscription(SUBSCRIPTION).send().await.unwrap();
    let gone = subscriptions.get_subscription().set_subscription(SUBSCRIPTION).send().await;
    assert_eq!(gone.unwrap_err().status().unwrap().code.name(), "NOT_FOUND");
    let client = subscriber(&local).await;
    let error = client.subscribe(SUBSCRIPTION).build().next().await.unwrap().unwrap_err();
    assert_eq!(error.status().unwrap().code.name(), "NOT_FOUND");
}
