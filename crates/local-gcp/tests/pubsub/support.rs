//! Clients and messages that the tests share.

use std::collections::BTreeSet;
use std::time::Duration;

use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_pubsub::client::{Publisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::MessageStream;
use google_cloud_pubsub::subscriber::handler::Handler;
use millstream_local_gcp::LocalGcp;

pub(crate) const TOPIC: &str = "projects/p/topics/orders";
pub(crate) const SUBSCRIPTION: &str = "projects/p/subscriptions/first";
/// Nothing here takes long; a hang must not take a build machine with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn nobody() -> Credentials {
    anonymous::Builder::new().build()
}

pub(crate) async fn topic_admin(local: &LocalGcp) -> TopicAdmin {
    let builder = TopicAdmin::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

pub(crate) async fn subscription_admin(local: &LocalGcp) -> SubscriptionAdmin {
    let builder = SubscriptionAdmin::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

pub(crate) async fn publisher(local: &LocalGcp) -> Publisher {
    let builder = Publisher::builder(TOPIC).with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

pub(crate) async fn subscriber(local: &LocalGcp) -> Subscriber {
    let builder = Subscriber::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

pub(crate) async fn set_up(local: &LocalGcp) {
    topic_admin(local).await.create_topic().set_name(TOPIC).send().await.unwrap();
    let admin = subscription_admin(local).await;
    admin.create_subscription().set_name(SUBSCRIPTION).set_topic(TOPIC).send().await.unwrap();
}

/// Publishes the numbers and waits until the server has them all.
pub(crate) async fn publish(local: &LocalGcp, numbers: std::ops::Range<u32>) {
    let publisher = publisher(local).await;
    let sent: Vec<_> = numbers
        .map(|number| {
            let message = Message::new().set_data(number.to_string());
            publisher.publish(message.set_attributes([("parity", (number % 2).to_string())]))
        })
        .collect();
    let mut ids = BTreeSet::new();
    for sent in sent {
        assert!(ids.insert(sent.await.unwrap()), "an id occurs twice");
    }
}

pub(crate) fn number(message: &Message) -> u32 {
    std::str::from_utf8(&message.data).unwrap().parse().unwrap()
}

pub(crate) async fn next(stream: &mut MessageStream) -> (Message, Handler) {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("a message").unwrap().unwrap()
}

pub(crate) async fn shut(stream: MessageStream) {
    let token = stream.shutdown_token();
    drop(stream);
    token.shutdown().await;
}
