//! JSON forms of topics, subscriptions and messages, to and from Google's messages.
//!
//! Unknown fields are refused, as Google does. Fields of things that this server does not do are read as
//! "given", so that the state machine refuses them with its own words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::values::{Base64, Enumeration, Span};
use crate::proto::pubsub as proto;
use crate::pubsub::message::NewMessage;

type Map = BTreeMap<String, String>;

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i32) -> bool {
    *value == 0
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Topic {
    name: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    labels: Map,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_storage_policy: Option<StoragePolicy>,
    #[serde(skip_serializing_if = "String::is_empty")]
    kms_key_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_settings: Option<SchemaSettings>,
    #[serde(rename = "satisfiesPzs", skip_serializing_if = "is_false")]
    satisfies_pzs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_retention_duration: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Enumeration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingestion_data_source_settings: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    message_transforms: Vec<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tags: Map,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct StoragePolicy {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_persistence_regions: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    enforce_in_transit: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct SchemaSettings {
    schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<Enumeration>,
    #[serde(skip_serializing_if = "String::is_empty")]
    first_revision_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_revision_id: String,
}

impl Topic {
    pub(super) fn into_proto(self) -> proto::Topic {
        let transform = |_| proto::MessageTransform::default();
        proto::Topic {
            name: self.name,
            labels: self.labels,
            message_storage_policy: self.message_storage_policy.map(|it| {
                proto::MessageStoragePolicy {
                    allowed_persistence_regions: it.allowed_persistence_regions,
                    enforce_in_transit: it.enforce_in_transit,
                }
            }),
            kms_key_name: self.kms_key_name,
            schema_settings: self.schema_settings.map(|it| proto::SchemaSettings {
                schema: it.schema,
                encoding: it.encoding.map_or(0, |it| {
                    it.number(|name| proto::Encoding::from_str_name(name).map(|it| it as i32))
                }),
                first_revision_id: it.first_revision_id,
                last_revision_id: it.last_revision_id,
            }),
            message_retention_duration: self.message_retention_duration.map(|it| it.0),
            ingestion_data_source_settings: self
                .ingestion_data_source_settings
                .map(|_| proto::IngestionDataSourceSettings::default()),
            message_transforms: self.message_transforms.into_iter().map(transform).collect(),
            tags: self.tags,
            // Set by the server only.
            satisfies_pzs: false,
            state: 0,
        }
    }

    pub(super) fn from_proto(topic: proto::Topic, enums_as_numbers: bool) -> Self {
        let state = topic.state();
        Self {
            name: topic.name,
            labels: topic.labels,
            message_storage_policy: topic.message_storage_policy.map(|it| StoragePolicy {
                allowed_persistence_regions: it.allowed_persistence_regions,
                enforce_in_transit: it.enforce_in_transit,
            }),
            kms_key_name: topic.kms_key_name,
            schema_settings: topic.schema_settings.map(|it| SchemaSettings {
                encoding: Some(Enumeration::new(
                    it.encoding,
                    it.encoding().as_str_name(),
                    enums_as_numbers,
                )),
                schema: it.schema,
                first_revision_id: it.first_revision_id,
                last_revision_id: it.last_revision_id,
            }),
            satisfies_pzs: topic.satisfies_pzs,
            message_retention_duration: topic.message_retention_duration.map(Span),
            state: Some(Enumeration::new(state as i32, state.as_str_name(), enums_as_numbers)),
            ingestion_data_source_settings: None,
            message_transforms: Vec::new(),
            tags: topic.tags,
        }
    }

    pub(super) fn with_name(mut self, name: String) -> Self {
        self.name = name;
        self
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Subscription {
    name: String,
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_config: Option<PushConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bigquery_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_storage_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bigtable_config: Option<Value>,
    #[serde(skip_serializing_if = "is_zero")]
    ack_deadline_seconds: i32,
    #[serde(skip_serializing_if = "is_false")]
    retain_acked_messages: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_retention_duration: Option<Span>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    labels: Map,
    #[serde(skip_serializing_if = "is_false")]
    enable_message_ordering: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_policy: Option<ExpirationPolicy>,
    #[serde(skip_serializing_if = "String::is_empty")]
    filter: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_policy: Option<DeadLetterPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_policy: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "is_false")]
    detached: bool,
    #[serde(skip_serializing_if = "is_false")]
    enable_exactly_once_delivery: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic_message_retention_duration: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Enumeration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    message_transforms: Vec<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tags: Map,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PushConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    push_endpoint: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map,
}

impl PushConfig {
    pub(super) fn into_proto(self) -> proto::PushConfig {
        let Self { push_endpoint, attributes } = self;
        proto::PushConfig { push_endpoint, attributes, ..Default::default() }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ExpirationPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Span>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct DeadLetterPolicy {
    dead_letter_topic: String,
    #[serde(skip_serializing_if = "is_zero")]
    max_delivery_attempts: i32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RetryPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_backoff: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_backoff: Option<Span>,
}

impl Subscription {
    pub(super) fn into_proto(self) -> proto::Subscription {
        let transform = |_| proto::MessageTransform::default();
        proto::Subscription {
            name: self.name,
            topic: self.topic,
            push_config: self.push_config.map(PushConfig::into_proto),
            bigquery_config: self.bigquery_config.map(|_| proto::BigQueryConfig::default()),
            cloud_storage_config: self
                .cloud_storage_config
                .map(|_| proto::CloudStorageConfig::default()),
            bigtable_config: self.bigtable_config.map(|_| proto::BigtableConfig::default()),
            ack_deadline_seconds: self.ack_deadline_seconds,
            retain_acked_messages: self.retain_acked_messages,
            message_retention_duration: self.message_retention_duration.map(|it| it.0),
            labels: self.labels,
            enable_message_ordering: self.enable_message_ordering,
            expiration_policy: self
                .expiration_policy
                .map(|it| proto::ExpirationPolicy { ttl: it.ttl.map(|ttl| ttl.0) }),
            filter: self.filter,
            dead_letter_policy: self.dead_letter_policy.map(|it| proto::DeadLetterPolicy {
                dead_letter_topic: it.dead_letter_topic,
                max_delivery_attempts: it.max_delivery_attempts,
            }),
            retry_policy: self.retry_policy.map(|it| proto::RetryPolicy {
                minimum_backoff: it.minimum_backoff.map(|span| span.0),
                maximum_backoff: it.maximum_backoff.map(|span| span.0),
            }),
            enable_exactly_once_delivery: self.enable_exactly_once_delivery,
            message_transforms: self.message_transforms.into_iter().map(transform).collect(),
            tags: self.tags,
            // Set by the server only.
            ..Default::default()
        }
    }

    pub(super) fn from_proto(it: proto::Subscription, enums_as_numbers: bool) -> Self {
        let state = it.state();
        Self {
            name: it.name,
            topic: it.topic,
            push_config: it.push_config.map(|it| PushConfig {
                push_endpoint: it.push_endpoint,
                attributes: it.attributes,
            }),
            ack_deadline_seconds: it.ack_deadline_seconds,
            retain_acked_messages: it.retain_acked_messages,
            message_retention_duration: it.message_retention_duration.map(Span),
            labels: it.labels,
            enable_message_ordering: it.enable_message_ordering,
            expiration_policy: it
                .expiration_policy
                .map(|it| ExpirationPolicy { ttl: it.ttl.map(Span) }),
            filter: it.filter,
            dead_letter_policy: it.dead_letter_policy.map(|it| DeadLetterPolicy {
                dead_letter_topic: it.dead_letter_topic,
                max_delivery_attempts: it.max_delivery_attempts,
            }),
            retry_policy: it.retry_policy.map(|it| RetryPolicy {
                minimum_backoff: it.minimum_backoff.map(Span),
                maximum_backoff: it.maximum_backoff.map(Span),
            }),
            detached: it.detached,
            enable_exactly_once_delivery: it.enable_exactly_once_delivery,
            topic_message_retention_duration: it.topic_message_retention_duration.map(Span),
            state: Some(Enumeration::new(state as i32, state.as_str_name(), enums_as_numbers)),
            tags: it.tags,
            ..Self::default()
        }
    }

    pub(super) fn with_name(mut self, name: String) -> Self {
        self.name = name;
        self
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Message {
    #[serde(skip_serializing_if = "is_empty")]
    data: Base64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map,
    #[serde(skip_serializing_if = "String::is_empty")]
    message_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    publish_time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ordering_key: String,
}

fn is_empty(bytes: &Base64) -> bool {
    bytes.0.is_empty()
}

impl Message {
    pub(super) fn into_new(self) -> NewMessage {
        let Self { data, attributes, ordering_key, .. } = self;
        NewMessage { data: data.0, attributes, ordering_key }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceivedMessage {
    ack_id: String,
    message: Message,
    #[serde(skip_serializing_if = "is_zero")]
    delivery_attempt: i32,
}

impl From<proto::ReceivedMessage> for ReceivedMessage {
    fn from(received: proto::ReceivedMessage) -> Self {
        let message = received.message.unwrap_or_default();
        let message = Message {
            data: Base64(message.data),
            attributes: message.attributes,
            message_id: message.message_id,
            publish_time: message.publish_time.map(|time| time.to_string()).unwrap_or_default(),
            ordering_key: message.ordering_key,
        };
        Self { ack_id: received.ack_id, message, delivery_attempt: received.delivery_attempt }
    }
}
