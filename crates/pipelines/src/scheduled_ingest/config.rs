//! [`ScheduledIngestConfig`]: what the pipeline reads, what it makes of it, and where that goes; a plain value, written as JSON.
//!
//! Owns the words of the configuration and their defaults; whether they fit together is checked in `validate`.

use std::time::Duration;

use millstream_io_gcp::bigquery::{CreatePolicy, Delivery, Field, TableReference};
use millstream_io_gcp::connection::Connection;
use serde::{Deserialize, Serialize};

use super::read_api::ReadApiConfig;

/// Fixed windows of a minute, as the pipeline's description has them.
const WINDOW_SECONDS: u64 = 60;
/// An hour of stragglers costs little state where a window holds one accumulator per key.
const ALLOWED_LATENESS_SECONDS: u64 = 3_600;
/// How soon a person watching the aggregates sees a first figure.
const EARLY_FIRING_MILLIS: u64 = 1_000;
/// Publishers' clocks and retries disorder messages by about this much.
const OUT_OF_ORDER_SECONDS: u64 = 5;

/// Configuration of the pipeline `scheduled-ingest`.
///
/// ```
/// use millstream_pipelines::scheduled_ingest::ScheduledIngestConfig;
///
/// let config: ScheduledIngestConfig = serde_json::from_str(r#"{
///     "subscription": "projects/demo/subscriptions/readings",
///     "message": {
///         "fields": [
///             {"name": "source", "type": "STRING", "mode": "REQUIRED"},
///             {"name": "at", "type": "TIMESTAMP"},
///             {"name": "volume", "type": "FLOAT64"}
///         ],
///         "event_time": {"field": "at"},
///         "id": ["source", "at"]
///     },
///     "aggregates": {
///         "keys": ["source"],
///         "measures": [
///             {"name": "messages", "aggregate": "count"},
///             {"name": "volume", "aggregate": "sum", "field": "volume"}
///         ]
///     },
///     "tables": {"rows": "demo.ingest.readings", "aggregates": "demo.ingest.readings_per_minute"},
///     "dead_letters": {"table": "demo.ingest.dead_letters"}
/// }"#)?;
/// config.validate()?;
/// assert_eq!(config.windows.size_seconds, 60);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScheduledIngestConfig {
    /// Name of the job in metrics and messages.
    #[serde(default = "default_name")]
    pub name: String,
    /// The subscription to consume: `projects/P/subscriptions/S`.
    pub subscription: String,
    /// How long messages stay leased to a job that died, from 10 to 600: so long the watermark stands still after a crash.
    #[serde(default = "default_lease_seconds")]
    pub lease_seconds: u64,
    /// How many messages may be read and not yet be part of a checkpoint, which bounds memory and, with the checkpoints' interval,
    /// the rate; by default 50,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_outstanding_messages: Option<u64>,
    /// How many bytes of them; by default 256 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_outstanding_bytes: Option<u64>,
    /// How long, in running time, a message is remembered after its acknowledgement, so that it is dropped when it comes again; by
    /// default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication_horizon_seconds: Option<u64>,
    /// How Pub/Sub is reached.
    #[serde(default)]
    pub pubsub: Connection,
    /// How BigQuery is reached.
    #[serde(default)]
    pub bigquery: Connection,
    /// What a message holds.
    pub message: MessageConfig,
    /// What makes two messages the same one.
    #[serde(default)]
    pub deduplicate: Deduplicate,
    /// How event time is divided, and when results show.
    #[serde(default)]
    pub windows: WindowsConfig,
    /// What is aggregated per window.
    pub aggregates: AggregatesConfig,
    /// Where rows and aggregates go.
    pub tables: TablesConfig,
    /// Where messages go that cannot be used.
    pub dead_letters: DeadLetterConfig,
    /// How the read API asks BigQuery.
    #[serde(default)]
    pub read_api: ReadApiConfig,
}

/// What a message holds: one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MessageConfig {
    /// The fields, in the form of BigQuery's schema files; each becomes a column of the table of rows.
    pub fields: Vec<Field>,
    /// What happens to a field that is not listed.
    #[serde(default)]
    pub unknown_fields: UnknownFields,
    /// Where the event time comes from; without it, and for messages without a value, from the publish time.
    #[serde(default)]
    pub event_time: Option<EventTimeConfig>,
    /// The fields whose values make up the id of a row.
    pub id: Vec<String>,
}

/// What happens to a field that is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnknownFields {
    /// The message becomes a dead letter.
    #[default]
    DeadLetter,
    /// The field is left out.
    Drop,
    /// The field is kept in a column of type JSON with this name.
    Keep(String),
}

/// Where the event time comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EventTimeConfig {
    /// A field of type TIMESTAMP.
    pub field: String,
    /// A field of type INT64 whose minutes are added.
    #[serde(default)]
    pub plus_minutes: Option<String>,
}

impl EventTimeConfig {
    /// The time in `field`.
    pub fn new(field: impl Into<String>) -> Self {
        Self { field: field.into(), plus_minutes: None }
    }

    /// Adds the minutes in `field`.
    #[must_use]
    pub fn plus_minutes(mut self, field: impl Into<String>) -> Self {
        self.plus_minutes = Some(field.into());
        self
    }
}

/// What makes two messages the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deduplicate {
    /// Their message ids: what the service delivers again.
    #[default]
    MessageId,
    /// The value of this attribute: also what a publisher sends again.
    Attribute(String),
}

/// How event time is divided, and when results show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WindowsConfig {
    /// Size of the fixed windows.
    pub size_seconds: u64,
    /// How long behind the end of a window its late messages still count.
    pub allowed_lateness_seconds: u64,
    /// How long after a window's first new message an early result shows; 0 for no early results.
    pub early_firing_millis: u64,
    /// How far out of order, in event time, messages may come without being late.
    pub out_of_order_seconds: u64,
}

impl WindowsConfig {
    /// Size of the fixed windows.
    #[must_use]
    pub fn size(&self) -> Duration {
        Duration::from_secs(self.size_seconds)
    }

    /// How long behind the end of a window its late messages still count.
    #[must_use]
    pub fn allowed_lateness(&self) -> Duration {
        Duration::from_secs(self.allowed_lateness_seconds)
    }

    /// How long after a window's first new message an early result shows.
    #[must_use]
    pub fn early_firing(&self) -> Option<Duration> {
        (self.early_firing_millis > 0).then(|| Duration::from_millis(self.early_firing_millis))
    }

    /// How far out of order messages may come.
    #[must_use]
    pub fn out_of_order(&self) -> Duration {
        Duration::from_secs(self.out_of_order_seconds)
    }
}

impl Default for WindowsConfig {
    fn default() -> Self {
        Self {
            size_seconds: WINDOW_SECONDS,
            allowed_lateness_seconds: ALLOWED_LATENESS_SECONDS,
            early_firing_millis: EARLY_FIRING_MILLIS,
            out_of_order_seconds: OUT_OF_ORDER_SECONDS,
        }
    }
}

/// What is aggregated per window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AggregatesConfig {
    /// The fields whose values are grouped by.
    pub keys: Vec<String>,
    /// What is computed for each group and window, a column each.
    pub measures: Vec<Measure>,
}

/// One aggregate: a column of the table of aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Measure {
    /// Name of the column.
    pub name: String,
    /// What is computed.
    pub aggregate: Aggregate,
    /// Of which field; none for [`Aggregate::Count`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Measure {
    /// The number of messages.
    pub fn count(name: impl Into<String>) -> Self {
        Self { name: name.into(), aggregate: Aggregate::Count, field: None }
    }

    /// The aggregate of a field.
    pub fn of(name: impl Into<String>, aggregate: Aggregate, field: impl Into<String>) -> Self {
        Self { name: name.into(), aggregate, field: Some(field.into()) }
    }
}

/// What is computed of the messages of a group and window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aggregate {
    /// How many messages there are.
    Count,
    /// How many have a value in the field.
    CountKnown,
    /// How many have none.
    CountNull,
    /// The sum of the known values; NULL when there is none.
    Sum,
    /// The mean of the known values; NULL when there is none.
    Mean,
    /// The least known value; NULL when there is none.
    Min,
    /// The greatest known value; NULL when there is none.
    Max,
}

/// Where rows and aggregates go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TablesConfig {
    /// One row per message.
    pub rows: TableReference,
    /// One row per pane of a window and group.
    pub aggregates: TableReference,
    /// How often a row may be written.
    #[serde(default)]
    pub delivery: Delivery,
    /// Whether a table that is missing is created; by default it is, and its dataset too.
    #[serde(default = "with_dataset")]
    pub create: CreatePolicy,
}

impl TablesConfig {
    /// Two tables, created where they are missing and written exactly once.
    #[must_use]
    pub const fn new(rows: TableReference, aggregates: TableReference) -> Self {
        Self { rows, aggregates, delivery: Delivery::ExactlyOnce, create: with_dataset() }
    }
}

/// Where messages go that cannot be used, and rows that BigQuery refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadLetterConfig {
    /// A table of BigQuery.
    Table(TableReference),
    /// A topic of Pub/Sub, `projects/P/topics/T`: the original bytes, the reason in the attributes.
    Topic(String),
}

const fn with_dataset() -> CreatePolicy {
    CreatePolicy::WithDataset(None)
}

/// As Google's clients have it: longer than any pause of a job that lives.
pub(super) const fn default_lease_seconds() -> u64 {
    60
}

fn default_name() -> String {
    "scheduled-ingest".to_owned()
}
