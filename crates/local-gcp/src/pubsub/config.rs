//! The configuration of topics and subscriptions: defaults, limits, updates by field mask.
//!
//! Configurations are kept in Google's own messages, so that every field is returned as given, also
//! those whose effect this server does not have.

use std::time::Duration;

use super::error::{Error, Result};
use super::filter::Filter;
use super::names;
use crate::clock::Timestamp;
use crate::proto::pubsub as proto;

/// Acknowledgement deadlines in seconds.
const ACK_DEADLINE_SECONDS: std::ops::RangeInclusive<i32> = 10..=600;
/// Used when a subscription is created without a deadline.
const ACK_DEADLINE_SECONDS_DEFAULT: i32 = 10;
/// How long messages may be kept: 10 minutes to 31 days.
const RETENTION_SECONDS: std::ops::RangeInclusive<i64> = 600..=2_678_400;
/// Seven days.
const RETENTION_SECONDS_DEFAULT: i64 = 604_800;
/// A subscription expires after 31 days without use unless told otherwise (returned, not acted upon).
const EXPIRATION_SECONDS_DEFAULT: i64 = 2_678_400;
/// Longest backoff of a retry policy.
const BACKOFF_SECONDS_MAX: i64 = 600;
const BACKOFF_MINIMUM_DEFAULT: Duration = Duration::from_secs(10);
const BACKOFF_MAXIMUM_DEFAULT: Duration = Duration::from_secs(600);
/// Deliveries before a message goes to the dead letter topic.
const DELIVERY_ATTEMPTS: std::ops::RangeInclusive<i32> = 5..=100;
const DELIVERY_ATTEMPTS_DEFAULT: i32 = 5;
const LABELS_MAX: usize = 64;

/// Completes and checks a topic about to be created.
pub(super) fn check_new_topic(topic: &mut proto::Topic) -> Result<()> {
    names::check_topic(&topic.name)?;
    check_topic(topic)?;
    topic.state = proto::topic::State::Active as i32;
    topic.satisfies_pzs = false;
    Ok(())
}

fn check_topic(topic: &proto::Topic) -> Result<()> {
    check_labels(topic.labels.len())?;
    if topic.ingestion_data_source_settings.is_some() {
        return Err(Error::Unimplemented { what: "ingestion from other systems" });
    }
    if !topic.message_transforms.is_empty() {
        return Err(Error::Unimplemented { what: "a message transform" });
    }
    topic.message_retention_duration.as_ref().map_or(Ok(()), check_retention)
}

/// Completes and checks a subscription about to be created.
pub(super) fn check_new_subscription(subscription: &mut proto::Subscription) -> Result<()> {
    names::check_subscription(&subscription.name)?;
    names::check_topic(&subscription.topic)?;
    if subscription.ack_deadline_seconds == 0 {
        subscription.ack_deadline_seconds = ACK_DEADLINE_SECONDS_DEFAULT;
    }
    subscription.message_retention_duration.get_or_insert(seconds(RETENTION_SECONDS_DEFAULT));
    subscription
        .expiration_policy
        .get_or_insert(proto::ExpirationPolicy { ttl: Some(seconds(EXPIRATION_SECONDS_DEFAULT)) });
    subscription.state = proto::subscription::State::Active as i32;
    subscription.detached = false;
    complete_dead_letter_policy(subscription);
    if !subscription.filter.is_empty() {
        Filter::parse(&subscription.filter)?;
    }
    check_subscription(subscription)
}

/// Zero attempts stand for the default.
fn complete_dead_letter_policy(subscription: &mut proto::Subscription) {
    if let Some(policy) = &mut subscription.dead_letter_policy
        && policy.max_delivery_attempts == 0
    {
        policy.max_delivery_attempts = DELIVERY_ATTEMPTS_DEFAULT;
    }
}

fn check_subscription(subscription: &proto::Subscription) -> Result<()> {
    check_labels(subscription.labels.len())?;
    if let Some(what) = export_target(subscription) {
        return Err(Error::Unimplemented { what });
    }
    if !ACK_DEADLINE_SECONDS.contains(&subscription.ack_deadline_seconds) {
        return Err(out_of_range(
            "ack_deadline_seconds",
            subscription.ack_deadline_seconds.into(),
            10,
            600,
        ));
    }
    if let Some(retention) = &subscription.message_retention_duration {
        check_retention(retention)?;
    }
    if let Some(policy) = &subscription.retry_policy {
        check_retry_policy(policy)?;
    }
    if let Some(policy) = &subscription.dead_letter_policy {
        names::check_topic(&policy.dead_letter_topic)?;
        if !DELIVERY_ATTEMPTS.contains(&policy.max_delivery_attempts) {
            let attempts = policy.max_delivery_attempts.into();
            return Err(out_of_range("max_delivery_attempts", attempts, 5, 100));
        }
    }
    Ok(())
}

/// Deliveries other than pull: refused rather than accepted without effect.
fn export_target(subscription: &proto::Subscription) -> Option<&'static str> {
    if subscription.push_config.as_ref().is_some_and(is_push) {
        Some("push delivery")
    } else if subscription.bigquery_config.is_some() {
        Some("a BigQuery subscription")
    } else if subscription.cloud_storage_config.is_some() {
        Some("a Cloud Storage subscription")
    } else if subscription.bigtable_config.is_some() {
        Some("a Bigtable subscription")
    } else if !subscription.message_transforms.is_empty() {
        Some("a message transform")
    } else {
        None
    }
}

/// Whether a push configuration asks for pushing; an empty one means pull.
pub(super) fn is_push(config: &proto::PushConfig) -> bool {
    !config.push_endpoint.is_empty()
}

pub(super) fn check_labels(count: usize) -> Result<()> {
    if count > LABELS_MAX {
        return Err(Error::invalid(format!("{count} labels given, the maximum is {LABELS_MAX}.")));
    }
    Ok(())
}

fn check_retention(retention: &prost_types::Duration) -> Result<()> {
    if !RETENTION_SECONDS.contains(&retention.seconds) {
        return Err(out_of_range("message_retention_duration", retention.seconds, 600, 2_678_400));
    }
    Ok(())
}

fn check_retry_policy(policy: &proto::RetryPolicy) -> Result<()> {
    for backoff in [&policy.minimum_backoff, &policy.maximum_backoff].into_iter().flatten() {
        if !(0..=BACKOFF_SECONDS_MAX).contains(&backoff.seconds) || backoff.nanos < 0 {
            return Err(out_of_range("backoff", backoff.seconds, 0, BACKOFF_SECONDS_MAX));
        }
    }
    let backoff = Backoff::of(policy);
    if backoff.minimum > backoff.maximum {
        return Err(Error::invalid("minimum_backoff must not exceed maximum_backoff."));
    }
    Ok(())
}

fn out_of_range(field: &str, value: i64, low: i64, high: i64) -> Error {
    Error::invalid(format!(
        "Invalid {field} given: value {value} is out of bounds; it must be between {low} and {high}."
    ))
}

/// How long a message waits between a failed delivery and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    minimum: Duration,
    maximum: Duration,
}

impl Backoff {
    pub(super) fn of(policy: &proto::RetryPolicy) -> Self {
        let or = |given: Option<prost_types::Duration>, default| given.map_or(default, to_std);
        Self {
            minimum: or(policy.minimum_backoff, BACKOFF_MINIMUM_DEFAULT),
            maximum: or(policy.maximum_backoff, BACKOFF_MAXIMUM_DEFAULT),
        }
    }

    /// The wait after failed delivery number `attempt` (from 1): doubles from the minimum to the maximum.
    pub(super) fn after(self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.minimum.saturating_mul(1 << doublings).min(self.maximum)
    }
}

/// A protocol duration; negative ones count as zero.
pub(super) fn to_std(duration: prost_types::Duration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::ZERO)
}

const fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

/// The topic `current` with the fields named in `mask` taken from `update`.
pub(super) fn update_topic(
    current: &proto::Topic,
    update: proto::Topic,
    mask: &[String],
) -> Result<proto::Topic> {
    let mut topic = current.clone();
    for path in require(mask)? {
        match path.as_str() {
            "labels" => topic.labels.clone_from(&update.labels),
            "message_storage_policy" => {
                topic.message_storage_policy.clone_from(&update.message_storage_policy);
            }
            "kms_key_name" => topic.kms_key_name.clone_from(&update.kms_key_name),
            "schema_settings" => topic.schema_settings.clone_from(&update.schema_settings),
            "message_retention_duration" => {
                topic.message_retention_duration = update.message_retention_duration;
            }
            "ingestion_data_source_settings" => topic
                .ingestion_data_source_settings
                .clone_from(&update.ingestion_data_source_settings),
            "message_transforms" => topic.message_transforms.clone_from(&update.message_transforms),
            path => return Err(not_updatable(path)),
        }
    }
    check_topic(&topic)?;
    Ok(topic)
}

/// The subscription `current` with the fields named in `mask` taken from `update`.
pub(super) fn update_subscription(
    current: &proto::Subscription,
    update: proto::Subscription,
    mask: &[String],
) -> Result<proto::Subscription> {
    let mut subscription = current.clone();
    for path in require(mask)? {
        update_subscription_field(&mut subscription, &update, path)?;
    }
    complete_dead_letter_policy(&mut subscription);
    check_subscription(&subscription)?;
    Ok(subscription)
}

fn update_subscription_field(
    subscription: &mut proto::Subscription,
    update: &proto::Subscription,
    path: &str,
) -> Result<()> {
    match path {
        "labels" => subscription.labels.clone_from(&update.labels),
        "ack_deadline_seconds" => subscription.ack_deadline_seconds = update.ack_deadline_seconds,
        "push_config" => subscription.push_config.clone_from(&update.push_config),
        "retain_acked_messages" => {
            subscription.retain_acked_messages = update.retain_acked_messages
        }
        "message_retention_duration" => {
            let retention = update.message_retention_duration;
            subscription.message_retention_duration =
                retention.or(Some(seconds(RETENTION_SECONDS_DEFAULT)));
        }
        "expiration_policy" => subscription.expiration_policy = update.expiration_policy,
        "dead_letter_policy" => {
            subscription.dead_letter_policy.clone_from(&update.dead_letter_policy);
        }
        "retry_policy" => subscription.retry_policy = update.retry_policy,
        "enable_exactly_once_delivery" => {
            subscription.enable_exactly_once_delivery = update.enable_exactly_once_delivery;
        }
        "bigquery_config" => subscription.bigquery_config.clone_from(&update.bigquery_config),
        "cloud_storage_config" => {
            subscription.cloud_storage_config.clone_from(&update.cloud_storage_config);
        }
        "bigtable_config" => subscription.bigtable_config.clone_from(&update.bigtable_config),
        "message_transforms" => {
            subscription.message_transforms.clone_from(&update.message_transforms);
        }
        path => return Err(not_updatable(path)),
    }
    Ok(())
}

/// The snapshot `current` with the fields named in `mask` taken from `update`.
pub(super) fn update_snapshot(
    current: &proto::Snapshot,
    update: proto::Snapshot,
    mask: &[String],
) -> Result<proto::Snapshot> {
    let mut snapshot = current.clone();
    for path in require(mask)? {
        match path.as_str() {
            "labels" => snapshot.labels.clone_from(&update.labels),
            "expire_time" => snapshot.expire_time = update.expire_time,
            path => return Err(not_updatable(path)),
        }
    }
    check_labels(snapshot.labels.len())?;
    Ok(snapshot)
}

/// The instant of a protocol timestamp; far ones saturate.
pub(super) fn to_instant(time: &prost_types::Timestamp) -> Timestamp {
    let micros =
        time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1_000);
    Timestamp::from_micros(micros)
}

/// An instant as the protocol spells it.
pub(super) fn from_instant(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.as_seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }
}

fn require(mask: &[String]) -> Result<&[String]> {
    if mask.is_empty() {
        return Err(Error::invalid("The update_mask in the request must be set and non-empty."));
    }
    Ok(mask)
}

fn not_updatable(path: &str) -> Error {
    Error::invalid(format!(
        "Invalid update_mask provided in the request: '{path}' is not a known updatable field."
    ))
}
