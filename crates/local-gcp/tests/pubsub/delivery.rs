//! Ordered, filtered and exactly-once subscriptions and dead letters, by Google's own Rust client.

use google_cloud_pubsub::model::{DeadLetterPolicy, Message, Subscription};
use google_cloud_pubsub::subscriber::MessageStream;
use google_cloud_pubsub::subscriber::handler::Handler;
use millstream_local_gcp::LocalGcp;

use crate::support::*;

const GRAVE: &str = "projects/p/topics/grave";
const MOURNER: &str = "projects/p/subscriptions/mourner";

/// The topic, and a subscription as asked for.
async fn set_up_as(local: &LocalGcp, change: impl FnOnce(Subscription) -> Subscription) {
    local.pubsub().ensure_topic(TOPIC).unwrap();
    let config = change(Subscription::new().set_topic(TOPIC));
    let admin = subscription_admin(local).await;
    let request = admin.create_subscription().set_name(SUBSCRIPTION).set_topic(TOPIC);
    let request = request
        .set_enable_message_ordering(config.enable_message_ordering)
        .set_enable_exactly_once_delivery(config.enable_exactly_once_delivery)
        .set_filter(config.filter)
        .set_or_clear_dead_letter_policy(config.dead_letter_policy);
    request.send().await.unwrap();
}

async fn publish_keyed(local: &LocalGcp, numbers: std::ops::Range<u32>, keys: u32) {
    let publisher = publisher(local).await;
    let sent: Vec<_> = numbers
        .map(|number| {
            let message = Message::new().set_data(number.to_string());
            publisher.publish(message.set_ordering_key(format!("key {}", number % keys)))
        })
        .collect();
    for sent in sent {
        sent.await.unwrap();
    }
}

async fn next_exactly_once(
    stream: &mut MessageStream,
) -> (Message, google_cloud_pubsub::subscriber::handler::ExactlyOnce) {
    match next(stream).await {
        (message, Handler::ExactlyOnce(handler)) => (message, handler),
        other => panic!("not exactly once: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_key_come_in_order_and_again_from_a_refused_one_on() {
    let local = LocalGcp::start().await.unwrap();
    set_up_as(&local, |it| it.set_enable_message_ordering(true)).await;
    publish_keyed(&local, 0..300, 3).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    let mut expected = [0_u32, 1, 2];
    let mut refused = false;
    while expected.iter().any(|it| *it < 300) {
        let (message, handler) = next(&mut stream).await;
        let number = number(&message);
        let next = &mut expected[number as usize % 3];
        // What was on its way when 150 was refused comes again.
        if number > *next {
            assert!(refused && number.is_multiple_of(3), "{number} before {next}");
            handler.nack();
        } else if number == 150 && !refused {
            refused = true;
            handler.nack();
        } else {
            *next = (*next).max(number + 3);
            handler.ack();
        }
    }
    shut(stream).await;
    assert!(refused);
    assert_eq!(local.pubsub().unacked(), 0);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledgement_is_confirmed_and_old_ones_are_refused() {
    let local = LocalGcp::start().await.unwrap();
    set_up_as(&local, |it| it.set_enable_exactly_once_delivery(true)).await;
    publish(&local, 0..200).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    let (_, lost) = next_exactly_once(&mut stream).await;
    for _ in 1..200 {
        next_exactly_once(&mut stream).await.1.confirmed_ack().await.unwrap();
    }
    // A seek takes the message away from its holder.
    let seek = local.pubsub().change(|state, now| {
        state.seek_to_time(SUBSCRIPTION, now + std::time::Duration::from_secs(60), now)
    });
    seek.unwrap();
    assert_eq!(local.pubsub().unacked(), 0);
    let error = lost.confirmed_ack().await.unwrap_err();
    assert!(format!("{error:?}").contains("PERMANENT_FAILURE_INVALID_ACK_ID"), "{error:?}");
    shut(stream).await;
    assert_eq!(local.pubsub().subscription_statistics()[SUBSCRIPTION].counters.redelivered, 0);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_refused_five_times_goes_to_the_dead_letter_topic() {
    let local = LocalGcp::start().await.unwrap();
    local.pubsub().ensure_topic(GRAVE).unwrap();
    local.pubsub().ensure_subscription(MOURNER, GRAVE).unwrap();
    let policy = DeadLetterPolicy::new().set_dead_letter_topic(GRAVE).set_max_delivery_attempts(5);
    set_up_as(&local, |it| it.set_dead_letter_policy(policy)).await;
    publish(&local, 0..1).await;
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    for attempt in 1..=5 {
        let (_, handler) = next(&mut stream).await;
        assert_eq!(handler.delivery_attempt(), Some(attempt));
        handler.nack();
    }
    let mut mourner = subscriber.subscribe(MOURNER).build();
    let (dead, handler) = next(&mut mourner).await;
    assert_eq!(handler.delivery_attempt(), None);
    handler.ack();
    assert_eq!(dead.attributes["CloudPubSubDeadLetterSourceDeliveryCount"], "5");
    assert_eq!(dead.attributes["CloudPubSubDeadLetterSourceSubscription"], "first");
    assert_eq!(dead.attributes["parity"], "0");
    shut(stream).await;
    shut(mourner).await;
    assert_eq!(local.pubsub().unacked(), 0);
    local.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_selects_by_attributes() {
    let local = LocalGcp::start().await.unwrap();
    set_up_as(&local, |it| it.set_filter("attributes.parity = \"1\"")).await;
    publish(&local, 0..10).await;
    assert_eq!(local.pubsub().unacked(), 5);
    let subscriber = subscriber(&local).await;
    let mut stream = subscriber.subscribe(SUBSCRIPTION).build();
    for expected in [1, 3, 5, 7, 9] {
        let (message, handler) = next(&mut stream).await;
        assert_eq!(number(&message), expected);
        handler.ack();
    }
    shut(stream).await;
    local.shutdown().await.unwrap();
}
