//! [`PubSubAdmin`]: makes and removes topics and subscriptions, for programs that set themselves up and for tests.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error as GoogleError;
use google_cloud_pubsub::client::{SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::Subscription;

use super::error::PubSubError;
use super::names::{check_subscription, check_topic};
use crate::connection::{Connection, Service};

/// A subscription to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSettings {
    name: String,
    topic: String,
    ack_deadline: Duration,
    is_exactly_once: bool,
    is_ordered: bool,
    filter: String,
}

impl SubscriptionSettings {
    /// A subscription `projects/PROJECT/subscriptions/SUBSCRIPTION` of topic `projects/PROJECT/topics/TOPIC`.
    #[must_use]
    pub fn new(name: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topic: topic.into(),
            ack_deadline: Duration::from_secs(10),
            is_exactly_once: false,
            is_ordered: false,
            filter: String::new(),
        }
    }

    /// How long a message may stay without acknowledgement where a reader does not say. Default 10 s.
    #[must_use]
    pub fn ack_deadline(mut self, deadline: Duration) -> Self {
        self.ack_deadline = deadline;
        self
    }

    /// Acknowledged messages are not delivered again, and acknowledgements are confirmed.
    #[must_use]
    pub fn exactly_once(mut self) -> Self {
        self.is_exactly_once = true;
        self
    }

    /// Messages of one ordering key are delivered in order.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// Only messages whose attributes match `filter`, in Pub/Sub's filter syntax.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }
}

/// Makes and removes topics and subscriptions; cheap to clone.
#[derive(Clone, Debug)]
pub struct PubSubAdmin {
    topics: TopicAdmin,
    subscriptions: SubscriptionAdmin,
}

impl PubSubAdmin {
    /// An admin over `connection`.
    ///
    /// # Errors
    /// When no client can be made from the connection.
    pub async fn connect(connection: &Connection) -> Result<Self, PubSubError> {
        let failed = |error| PubSubError::connection("the administration of Pub/Sub", error);
        let resolved = connection.resolve(Service::PubSub).map_err(failed)?;
        let mut topics = TopicAdmin::builder().with_credentials(resolved.credentials());
        let mut subscriptions =
            SubscriptionAdmin::builder().with_credentials(resolved.credentials());
        if let Some(endpoint) = resolved.endpoint() {
            topics = topics.with_endpoint(endpoint);
            subscriptions = subscriptions.with_endpoint(endpoint);
        }
        let client_error = |cause| failed(resolved.client_error(cause));
        Ok(Self {
            topics: topics.build().await.map_err(client_error)?,
            subscriptions: subscriptions.build().await.map_err(client_error)?,
        })
    }

    /// Makes a topic unless it exists.
    ///
    /// # Errors
    /// When the name is none or the service does not make it.
    pub async fn ensure_topic(&self, name: &str) -> Result<(), PubSubError> {
        check_topic(name)?;
        match self.topics.create_topic().set_name(name).send().await {
            Err(error) if !exists_already(&error) => Err(call_error("create", name, error)),
            _ => Ok(()),
        }
    }

    /// Makes a subscription unless it exists.
    ///
    /// # Errors
    /// When a name is none, the topic does not exist, the service does not make it, or the subscription exists but reads another
    /// topic. Other settings of an existing subscription are left as they are.
    pub async fn ensure_subscription(
        &self,
        settings: &SubscriptionSettings,
    ) -> Result<(), PubSubError> {
        let SubscriptionSettings { name, topic, .. } = settings;
        check_subscription(name)?;
        check_topic(topic)?;
        let request = google_subscription(settings);
        match self.subscriptions.create_subscription().with_request(request).send().await {
            Ok(_) => Ok(()),
            Err(error) if exists_already(&error) => self.check_topic_of(name, topic).await,
            Err(error) if is_not_found(&error) => Err(call_error("subscribe to", topic, error)),
            Err(error) => Err(call_error("create", name, error)),
        }
    }

    async fn check_topic_of(&self, subscription: &str, wanted: &str) -> Result<(), PubSubError> {
        let call = self.subscriptions.get_subscription().set_subscription(subscription);
        let actual = call.send().await.map_err(|e| call_error("look at", subscription, e))?.topic;
        if actual == wanted {
            return Ok(());
        }
        let (subscription, wanted) = (subscription.to_owned(), wanted.to_owned());
        Err(PubSubError::OtherTopic { subscription, actual, wanted })
    }

    /// Removes a topic; one that does not exist is removed already.
    ///
    /// # Errors
    /// When the service does not remove it.
    pub async fn delete_topic(&self, name: &str) -> Result<(), PubSubError> {
        match self.topics.delete_topic().set_topic(name).send().await {
            Err(error) if !is_not_found(&error) => Err(call_error("delete", name, error)),
            _ => Ok(()),
        }
    }

    /// Removes a subscription; one that does not exist is removed already.
    ///
    /// # Errors
    /// When the service does not remove it.
    pub async fn delete_subscription(&self, name: &str) -> Result<(), PubSubError> {
        match self.subscriptions.delete_subscription().set_subscription(name).send().await {
            Err(error) if !is_not_found(&error) => Err(call_error("delete", name, error)),
            _ => Ok(()),
        }
    }
}

fn google_subscription(settings: &SubscriptionSettings) -> Subscription {
    let seconds = i32::try_from(settings.ack_deadline.as_secs()).unwrap_or(i32::MAX);
    Subscription::new()
        .set_name(&settings.name)
        .set_topic(&settings.topic)
        .set_ack_deadline_seconds(seconds)
        .set_enable_exactly_once_delivery(settings.is_exactly_once)
        .set_enable_message_ordering(settings.is_ordered)
        .set_filter(&settings.filter)
}

fn call_error(action: &'static str, resource: &str, error: GoogleError) -> PubSubError {
    PubSubError::call(action, resource, Arc::new(error))
}

fn exists_already(error: &GoogleError) -> bool {
    error.status().is_some_and(|status| status.code == Code::AlreadyExists)
}

fn is_not_found(error: &GoogleError) -> bool {
    error.status().is_some_and(|status| status.code == Code::NotFound)
}
