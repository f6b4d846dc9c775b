//! Steps that create, read, change, list and delete topics and subscriptions.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::machine::State;
use super::record::Record;
use super::subscription::Subscription;
use super::topic::Topic;
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;
use crate::pubsub::config;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::names::{self, DELETED_TOPIC};

/// Entries of a page when the request names no number, and at most.
const PAGE_ENTRIES_MAX: usize = 1_000;

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The entries, by name.
    pub entries: Vec<T>,
    /// Gives the next page; empty on the last.
    pub next_page_token: String,
}

/// What pulls must know of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traits {
    /// Acknowledgement ids are strict.
    pub exactly_once: bool,
    /// Messages of a key come in order.
    pub ordered: bool,
    /// Delivery attempts are told.
    pub counts_attempts: bool,
}

/// Topics.
impl State {
    /// Creates a topic and returns it with its defaults.
    ///
    /// # Errors
    /// When the name or a field is invalid, or the topic exists.
    pub fn create_topic(&mut self, mut topic: proto::Topic) -> Result<proto::Topic> {
        config::check_new_topic(&mut topic)?;
        if self.topics.contains_key(&topic.name) {
            return Err(Error::already_exists(&topic.name));
        }
        self.check_schema_settings(&topic)?;
        self.apply(Record::topic(&topic));
        Ok(topic)
    }

    /// The topic called `name`.
    ///
    /// # Errors
    /// When the name is invalid or there is no such topic.
    pub fn get_topic(&self, name: &str) -> Result<proto::Topic> {
        names::check_topic(name)?;
        Ok(self.topic(name)?.config.clone())
    }

    /// Changes the fields named in `mask`.
    ///
    /// # Errors
    /// When there is no such topic, the mask names a field that cannot change, or a value is invalid.
    pub fn update_topic(&mut self, update: proto::Topic, mask: &[String]) -> Result<proto::Topic> {
        names::check_topic(&update.name)?;
        let current = &self.topic(&update.name)?.config;
        let topic = config::update_topic(current, update, mask)?;
        self.check_schema_settings(&topic)?;
        self.apply(Record::topic(&topic));
        Ok(topic)
    }

    /// Topics of `projects/P`.
    ///
    /// # Errors
    /// When the project name, page size or token is invalid.
    pub fn list_topics(&self, project: &str, size: i32, token: &str) -> Result<Page<proto::Topic>> {
        names::check_project(project)?;
        page(&self.topics, &format!("{project}/topics/"), size, token, |_, topic| {
            topic.config.clone()
        })
    }

    /// Names of the subscriptions attached to a topic.
    ///
    /// # Errors
    /// When there is no such topic, or page size or token are invalid.
    pub fn list_topic_subscriptions(
        &self,
        name: &str,
        size: i32,
        token: &str,
    ) -> Result<Page<String>> {
        names::check_topic(name)?;
        let attached = &self.topic(name)?.subscriptions;
        let attached: BTreeMap<String, ()> = attached.iter().map(|it| (it.clone(), ())).collect();
        page(&attached, "projects/", size, token, |name, ()| name.to_owned())
    }

    /// Deletes a topic; its subscriptions keep their messages and get no more.
    ///
    /// # Errors
    /// When the name is invalid or there is no such topic.
    pub fn delete_topic(&mut self, name: &str) -> Result<()> {
        names::check_topic(name)?;
        self.topic(name)?;
        self.apply(Record::TopicDeleted { name: name.to_owned() });
        Ok(())
    }
}

/// Subscriptions.
impl State {
    /// Creates a subscription that gets what is published from now on, and returns it with its defaults.
    ///
    /// # Errors
    /// When a name or field is invalid, the topic does not exist, the subscription exists, or it asks for
    /// something this server does not do (such as push).
    pub fn create_subscription(
        &mut self,
        mut subscription: proto::Subscription,
    ) -> Result<proto::Subscription> {
        config::check_new_subscription(&mut subscription)?;
        let topic = self.topic(&subscription.topic)?;
        subscription.topic_message_retention_duration = topic.config.message_retention_duration;
        if self.subscriptions.contains_key(&subscription.name) {
            return Err(Error::already_exists(&subscription.name));
        }
        self.check_dead_letter_topic(&subscription)?;
        let number = self.next_subscription;
        self.apply(Record::subscription(number, &subscription));
        Ok(subscription)
    }

    /// The subscription called `name`.
    ///
    /// # Errors
    /// When the name is invalid or there is no such subscription.
    pub fn get_subscription(&self, name: &str) -> Result<proto::Subscription> {
        names::check_subscription(name)?;
        Ok(self.subscription(name)?.config.clone())
    }

    /// How the subscription called `name` delivers.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub fn traits(&self, name: &str) -> Result<Traits> {
        let config = &self.subscription(name)?.config;
        Ok(Traits {
            exactly_once: config.enable_exactly_once_delivery,
            ordered: config.enable_message_ordering,
            counts_attempts: config.dead_letter_policy.is_some(),
        })
    }

    /// Changes the fields named in `mask`.
    ///
    /// # Errors
    /// When there is no such subscription, the mask names a field that cannot change, or a value is invalid.
    pub fn update_subscription(
        &mut self,
        update: proto::Subscription,
        mask: &[String],
    ) -> Result<proto::Subscription> {
        names::check_subscription(&update.name)?;
        let current = self.subscription(&update.name)?;
        let number = current.number;
        let subscription = config::update_subscription(&current.config, update, mask)?;
        if subscription.dead_letter_policy != current.config.dead_letter_policy {
            self.check_dead_letter_topic(&subscription)?;
        }
        self.apply(Record::subscription(number, &subscription));
        Ok(subscription)
    }

    fn check_dead_letter_topic(&self, subscription: &proto::Subscription) -> Result<()> {
        let policy = subscription.dead_letter_policy.as_ref();
        policy.map_or(Ok(()), |policy| self.topic(&policy.dead_letter_topic).map(|_| ()))
    }

    /// Replaces the push configuration; only an empty one (pull) is possible here.
    ///
    /// # Errors
    /// When there is no such subscription, or the configuration asks for push.
    pub fn modify_push_config(
        &mut self,
        name: &str,
        push: Option<proto::PushConfig>,
    ) -> Result<()> {
        let update =
            proto::Subscription { name: name.to_owned(), push_config: push, ..Default::default() };
        self.update_subscription(update, &["push_config".to_owned()]).map(|_| ())
    }

    /// Subscriptions of `projects/P`.
    ///
    /// # Errors
    /// When the project name, page size or token is invalid.
    pub fn list_subscriptions(
        &self,
        project: &str,
        size: i32,
        token: &str,
    ) -> Result<Page<proto::Subscription>> {
        names::check_project(project)?;
        let prefix = format!("{project}/subscriptions/");
        page(&self.subscriptions, &prefix, size, token, |_, it| it.config.clone())
    }

    /// Deletes a subscription with its messages; its open sessions end.
    ///
    /// # Errors
    /// When the name is invalid or there is no such subscription.
    pub fn delete_subscription(&mut self, name: &str) -> Result<()> {
        names::check_subscription(name)?;
        self.subscription(name)?;
        self.apply(Record::SubscriptionDeleted { name: name.to_owned() });
        Ok(())
    }

    /// Cuts a subscription off its topic and drops its messages.
    ///
    /// # Errors
    /// When the name is invalid or there is no such subscription.
    pub fn detach_subscription(&mut self, name: &str) -> Result<()> {
        names::check_subscription(name)?;
        let current = self.subscription(name)?;
        let detached = proto::Subscription { detached: true, ..current.config.clone() };
        self.apply(Record::subscription(current.number, &detached));
        Ok(())
    }
}

/// Whether a record could be decoded.
type Applied = std::result::Result<(), prost::DecodeError>;

/// The changes behind these steps; the same at run time and in a replay.
impl State {
    pub(super) fn apply(&mut self, record: Record) {
        self.apply_admin(&record).expect("made from checked messages by this module");
        self.record(|_| record);
    }

    /// Applies a record about topics, subscriptions and snapshots; fails only when its bytes are damaged.
    pub(super) fn apply_admin(&mut self, record: &Record) -> Applied {
        use prost::Message as _;
        match record {
            Record::Topic { topic } => self.put_topic(proto::Topic::decode(topic.clone())?),
            Record::Subscription { number, subscription } => {
                let config = proto::Subscription::decode(subscription.clone())?;
                self.put_subscription(*number, config);
            }
            Record::Snapshot { snapshot } => {
                self.put_snapshot(proto::Snapshot::decode(snapshot.clone())?);
            }
            Record::SnapshotTaken { snapshot, subscription } => {
                self.take_snapshot(proto::Snapshot::decode(snapshot.clone())?, subscription);
            }
            Record::SnapshotDeleted { name } => self.remove_snapshot(name),
            Record::Schema { number, schema } => {
                self.put_schema(*number, proto::Schema::decode(schema.clone())?);
            }
            Record::SchemaRevisionDeleted { name, revision_id } => {
                self.remove_schema_revision(name, revision_id);
            }
            Record::SchemaDeleted { name } => self.remove_schema(name),
            Record::TopicDeleted { name } => self.remove_topic(name),
            Record::SubscriptionDeleted { name } => self.remove_subscription(name),
            _ => {}
        }
        Ok(())
    }

    fn put_topic(&mut self, config: proto::Topic) {
        let name = config.name.clone();
        match self.topics.get_mut(&name) {
            Some(topic) => {
                topic.config = config;
                self.spread_retention(&name);
            }
            None => {
                self.topics.insert(name, Topic::new(config));
            }
        }
    }

    fn remove_topic(&mut self, name: &str) {
        let Some(topic) = self.topics.remove(name) else { return };
        self.retained_bytes -= topic.retained_bytes();
        for snapshot in self.snapshots.values_mut().filter(|it| it.config.topic == name) {
            snapshot.config.topic = DELETED_TOPIC.to_owned();
        }
        for subscription in &topic.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(subscription) {
                subscription.config.topic = DELETED_TOPIC.to_owned();
                subscription.set_topic_retention(None);
            }
        }
    }

    fn put_subscription(&mut self, number: u64, config: proto::Subscription) {
        let name = config.name.clone();
        self.next_subscription = self.next_subscription.max(number + 1);
        if let Some(topic) = self.topics.get_mut(&config.topic) {
            if config.detached {
                topic.subscriptions.remove(&name);
            } else {
                topic.subscriptions.insert(name.clone());
            }
        }
        if !self.subscriptions.contains_key(&name) {
            let subscription = Subscription::new(config, number, self.first_delivery());
            self.subscriptions.insert(name, subscription);
            return;
        }
        let changed = self.change(&name, |subscription| {
            if config.detached {
                subscription.clear();
            }
            subscription.configure(config);
        });
        changed.expect("it was just found");
    }

    fn remove_subscription(&mut self, name: &str) {
        let Some(subscription) = self.subscriptions.remove(name) else { return };
        self.unacked_bytes -= subscription.unacked_bytes();
        self.retained_bytes -= subscription.retained_bytes();
        if let Some(topic) = self.topics.get_mut(&subscription.config.topic) {
            topic.subscriptions.remove(name);
        }
        for session in subscription.sessions.ids() {
            self.sessions.remove(&session);
            self.wake([session]);
        }
    }

    /// When the oldest unacknowledged message of any subscription was published.
    #[must_use]
    pub fn oldest_unacked(&self) -> Option<Timestamp> {
        self.subscription_statistics().filter_map(|(_, it)| it.oldest_unacked).min()
    }
}

/// Entries whose name starts with `prefix`, after the one that `token` names.
pub(super) fn page<V, T>(
    map: &BTreeMap<String, V>,
    prefix: &str,
    size: i32,
    token: &str,
    view: impl Fn(&str, &V) -> T,
) -> Result<Page<T>> {
    let size = match usize::try_from(size) {
        Ok(0) => PAGE_ENTRIES_MAX,
        Ok(size) => size.min(PAGE_ENTRIES_MAX),
        Err(_) => return Err(Error::invalid("Invalid page_size given: it must not be negative.")),
    };
    let from = match token {
        "" => Bound::Included(prefix),
        token if token.starts_with(prefix) => Bound::Excluded(token),
        _ => return Err(Error::invalid("Invalid page_token given.")),
    };
    let mut rest = map
        .range::<str, _>((from, Bound::Unbounded))
        .take_while(|(name, _)| name.starts_with(prefix));
    let mut entries = Vec::new();
    let mut last = "";
    for (name, value) in rest.by_ref().take(size) {
        entries.push(view(name, value));
        last = name;
    }
    let next_page_token = if rest.next().is_some() { last.to_owned() } else { String::new() };
    Ok(Page { entries, next_page_token })
}
