//! The names of topics and subscriptions, and [`PubSub`], where a pipeline starts to use them.

use super::error::PubSubError;
use super::sink::PubSubSink;
use super::source::PubSubSource;

/// Makes sources and sinks of Pub/Sub.
///
/// ```
/// use millstream_io_gcp::pubsub::PubSub;
/// use std::time::Duration;
///
/// let orders = PubSub::subscription("projects/demo/subscriptions/orders")
///     .id_attribute("order_id")
///     .timestamp_attribute("ordered_at")
///     .allowed_skew(Duration::from_secs(30));
/// let alerts = PubSub::topic("projects/demo/topics/alerts");
/// # let _ = (orders, alerts);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PubSub;

impl PubSub {
    /// Reads a subscription, named `projects/PROJECT/subscriptions/SUBSCRIPTION`.
    #[must_use]
    pub fn subscription(name: impl Into<String>) -> PubSubSource {
        PubSubSource::new(name.into())
    }

    /// Publishes to a topic, named `projects/PROJECT/topics/TOPIC`.
    #[must_use]
    pub fn topic(name: impl Into<String>) -> PubSubSink {
        PubSubSink::new(name.into())
    }
}

/// Checks the name of a subscription.
pub(crate) fn check_subscription(name: &str) -> Result<(), PubSubError> {
    check(name, "subscription", "SUBSCRIPTION")
}

/// Checks the name of a topic.
pub(crate) fn check_topic(name: &str) -> Result<(), PubSubError> {
    check(name, "topic", "TOPIC")
}

fn check(name: &str, kind: &'static str, example: &'static str) -> Result<(), PubSubError> {
    let mut parts = name.split('/');
    let good = parts.next() == Some("projects")
        && parts.next().is_some_and(|project| !project.is_empty())
        && parts.next().and_then(|part| part.strip_suffix('s')) == Some(kind)
        && parts.next().is_some_and(is_resource_id)
        && parts.next().is_none();
    if good { Ok(()) } else { Err(PubSubError::Name { kind, name: name.to_owned(), example }) }
}

/// Source: "Guidelines to name a topic, subscription, schema, or snapshot" of the Pub/Sub documentation.
fn is_resource_id(id: &str) -> bool {
    (3..=255).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphabetic())
        && !id.starts_with("goog")
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~+%".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_pubsub() {
        assert!(check_topic("projects/demo/topics/orders-1").is_ok());
        assert!(check_subscription("projects/demo/subscriptions/orders.eu").is_ok());
        for name in [
            "orders",
            "projects/demo/topics/",
            "projects//topics/orders",
            "projects/demo/subscriptions/orders",
            "projects/demo/topics/googlers",
            "projects/demo/topics/1st",
            "projects/demo/topics/a b c",
            "projects/demo/topics/orders/more",
        ] {
            let error = check_topic(name).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("projects/PROJECT/topics/TOPIC"));
        }
    }
}
