//! [`Places`]: what a job of these tests needs around it: local servers, a topic with its subscription, tables that can be read.

use std::sync::Arc;
use std::time::Duration;

use millstream::engine::{Engine, JobHandle, Report};
use millstream_io_gcp::bigquery::{QueryClient, TableReference};
use millstream_io_gcp::connection::Connection;
use millstream_io_gcp::pubsub::{PubSubMessage, PubSubPublisher};
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::{ManualClock, Timestamp};
use millstream_local_gcp::pubsub::SubscriptionStatistics;
use millstream_pipelines::scheduled_ingest::{ID_ATTRIBUTE, ScheduledIngestConfig, build};
use serde_json::Value;

use super::flights::{Flights, TextRow};

pub(super) const TOPIC: &str = "projects/demo/topics/flights";
pub(super) const SUBSCRIPTION: &str = "projects/demo/subscriptions/flights";
/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Often, so that every test sees many checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);

/// How long the source leases messages, if it does not say otherwise.
const LEASE: Duration = Duration::from_secs(60);
/// The servers' time at the beginning, in May 2024; it stands still until a test lets it pass.
const STARTED_SECONDS: i64 = 1_714_521_600;

/// Local servers and the configuration of a job on them.
pub(super) struct Places {
    pub(super) local: LocalGcp,
    pub(super) config: ScheduledIngestConfig,
    publisher: PubSubPublisher,
    pub(super) clock: ManualClock,
}

impl Places {
    /// Starts servers with a topic and its subscription.
    pub(super) async fn start() -> Self {
        let clock = ManualClock::new(Timestamp::from_secs(STARTED_SECONDS));
        let local = LocalGcp::builder().clock(Arc::new(clock.clone())).start().await.unwrap();
        local.pubsub().ensure_topic(TOPIC).unwrap();
        local.pubsub().ensure_subscription(SUBSCRIPTION, TOPIC).unwrap();
        let table = |name: &str| format!("demo.departures.{name}").parse().unwrap();
        let (rows, aggregates, letters) =
            (table("flights"), table("carrier_hours"), table("dead_letters"));
        let mut config = ScheduledIngestConfig::flights(SUBSCRIPTION, rows, aggregates, letters);
        config.pubsub = Connection::local(local.endpoint());
        config.bigquery = Connection::local(local.endpoint());
        let publisher = PubSubPublisher::connect(TOPIC, &config.pubsub).await.unwrap();
        Self { local, config, publisher, clock }
    }

    /// Publishes messages as they are.
    pub(super) async fn publish(&self, messages: impl IntoIterator<Item = PubSubMessage>) {
        self.publisher.publish(messages).await.unwrap();
    }

    /// Publishes a message for each flight.
    pub(super) async fn publish_flights(&self, flights: &Flights) {
        let messages = flights.messages().map(|(id, json)| message(&id, &json.to_string()));
        self.publish(messages.collect::<Vec<_>>()).await;
    }

    /// Waits until no reader is there, and lets so much time pass for the servers that the leases of those that were run out.
    pub(super) async fn outlast_leases(&self) {
        until("the end of all streams", || self.subscription().sessions == 0).await;
        self.clock.advance(2 * LEASE);
    }

    /// Starts the job.
    pub(super) fn start_job(&self, engine: &Engine) -> JobHandle {
        engine.start(&build(&self.config).unwrap()).unwrap()
    }

    /// Waits until all messages are acknowledged: then they are part of a durable checkpoint.
    pub(super) async fn all_acknowledged(&self, job: &JobHandle) {
        let holds = || {
            assert!(!job.is_finished(), "the job is over: {:?}", job.status().failure);
            self.unacknowledged() == 0
        };
        until("every acknowledgement", holds).await;
    }

    /// How many messages wait or are under way.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.subscription().unacked
    }

    fn subscription(&self) -> SubscriptionStatistics {
        self.local.pubsub().subscription_statistics()[SUBSCRIPTION]
    }

    /// The rows of the table of flights.
    pub(super) async fn rows(&self) -> Vec<TextRow> {
        self.read(&self.config.tables.rows).await
    }

    /// The rows of the table of aggregates.
    pub(super) async fn panes(&self) -> Vec<TextRow> {
        self.read(&self.config.tables.aggregates).await
    }

    /// All rows of a table.
    pub(super) async fn read(&self, table: &TableReference) -> Vec<TextRow> {
        let client = QueryClient::connect(&self.config.bigquery, table.project()).await.unwrap();
        let rows = client.query(format!("SELECT * FROM {}", table.sql())).rows().await.unwrap();
        let texts = |row: millstream_io_gcp::bigquery::query::Row| {
            row.into_iter().map(|(column, value)| (column, text(value))).collect()
        };
        rows.into_iter().map(texts).collect()
    }
}

/// An engine with two workers that shows what it does at once.
pub(super) fn engine() -> Engine {
    Engine::builder().workers(2).checkpoint_every(CHECKPOINT_INTERVAL).report_every(LOOK)
}

/// The message of a flight.
pub(super) fn message(id: &str, payload: &str) -> PubSubMessage {
    PubSubMessage::new(payload.to_owned()).with_attribute(ID_ATTRIBUTE, id)
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Waits until a condition holds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(LOOK);
    let wait = async {
        while !holds() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

/// Waits for the end of a job.
pub(super) async fn end(job: JobHandle) -> millstream::Result<Report> {
    tokio::task::spawn_blocking(move || job.wait()).await.unwrap()
}
