//! [`Scene`]: local servers in a process or two, flights to publish, and the tables that a pipeline's processes leave there.

use std::path::PathBuf;
use std::time::Duration;

use millstream_io_gcp::bigquery::query::Row;
use millstream_io_gcp::bigquery::{QueryClient, TableReference};
use millstream_io_gcp::connection::Connection;
use millstream_io_gcp::pubsub::{
    PubSubAdmin, PubSubMessage, PubSubPublisher, SubscriptionSettings,
};
use millstream_pipelines::scheduled_ingest::{ID_ATTRIBUTE, ScheduledIngestConfig};
use serde_json::Value;
use tempfile::TempDir;

use super::flights::{Flights, TextRow};
use super::program::{Program, get, request, until};
use super::server::Server;

const TOPIC: &str = "projects/demo/topics/flights";
pub(super) const SUBSCRIPTION: &str = "projects/demo/subscriptions/flights";
/// The least there is: so long a message is with a process that was killed.
const LEASE_SECONDS: u64 = 10;

/// Local servers, and flights on their way through them.
pub(super) struct Scene {
    /// Pub/Sub, and BigQuery unless that stands apart.
    pub(super) local: Server,
    apart: Option<Server>,
    pub(super) directory: TempDir,
    pub(super) flights: Flights,
    pub(super) config: ScheduledIngestConfig,
    /// What the pipelines' processes are told besides where the servers are.
    pub(super) variables: Vec<(String, String)>,
    publisher: PubSubPublisher,
    published: usize,
    started: usize,
}

/// A process with the pipeline.
pub(super) struct Pipeline {
    pub(super) program: Program,
    /// Where it tells how it is, once it has.
    status: Option<String>,
}

impl Scene {
    /// Starts the servers and makes a topic with its subscription.
    pub(super) async fn open(flights: Flights) -> Self {
        Self::open_with(flights, config()).await
    }

    /// The same, for pipelines that are configured so.
    pub(super) async fn open_with(flights: Flights, config: ScheduledIngestConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let local = Server::start(directory.path(), "servers");
        let connection = Connection::local(&local.endpoint);
        let admin = PubSubAdmin::connect(&connection).await.unwrap();
        admin.ensure_topic(TOPIC).await.unwrap();
        let settings = SubscriptionSettings::new(SUBSCRIPTION, TOPIC);
        admin.ensure_subscription(&settings).await.unwrap();
        let publisher = PubSubPublisher::connect(TOPIC, &connection).await.unwrap();
        let text = serde_json::to_string(&config).unwrap();
        std::fs::write(directory.path().join("config.json"), text).unwrap();
        Self {
            local,
            apart: None,
            directory,
            flights,
            config,
            variables: Vec::new(),
            publisher,
            published: 0,
            started: 0,
        }
    }

    /// The same, with BigQuery in a process of its own.
    pub(super) async fn open_apart(flights: Flights, config: ScheduledIngestConfig) -> Self {
        let mut scene = Self::open_with(flights, config).await;
        scene.apart = Some(Server::start(scene.directory.path(), "bigquery"));
        scene
    }

    /// The server that BigQuery is in.
    pub(super) fn bigquery(&self) -> &Server {
        self.apart.as_ref().unwrap_or(&self.local)
    }

    /// The server that BigQuery is in, to be killed and started again.
    pub(super) fn bigquery_mut(&mut self) -> &mut Server {
        self.apart.as_mut().unwrap_or(&mut self.local)
    }

    /// Starts a process with the pipeline.
    pub(super) fn start(&mut self, more: &[&str]) -> Pipeline {
        self.started += 1;
        let config = self.path("config.json");
        let errors = self.path(&format!("pipeline-{}.txt", self.started));
        let config = config.to_str().unwrap();
        let arguments = ["scheduled-ingest", "--config", config, "--status-port", "0"];
        let arguments = [&arguments[..], &["--workers", "2"], more].concat();
        let servers = [
            ("BIGQUERY_EMULATOR_HOST".to_owned(), self.bigquery().endpoint.clone()),
            ("PUBSUB_EMULATOR_HOST".to_owned(), self.local.pubsub.clone()),
        ];
        let variables = [&servers[..], &self.variables].concat();
        let program = Program::start(&arguments, &variables, &errors);
        Pipeline { program, status: None }
    }

    /// A file or folder of this scene.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Publishes the next flights, as many as there are.
    pub(super) async fn publish(&mut self, count: usize) {
        let end = (self.published + count).min(self.flights.len());
        let part = self.flights.part(self.published..end);
        let message = |(id, flight): (String, Value)| {
            PubSubMessage::new(flight.to_string()).with_attribute(ID_ATTRIBUTE, id)
        };
        self.publisher.publish(part.messages().map(message).collect::<Vec<_>>()).await.unwrap();
        self.published = end;
    }

    /// What is not published yet never was.
    pub(super) fn publish_no_more(&mut self) {
        self.flights = self.flights.first(self.published);
    }

    /// Publishes anything.
    pub(super) async fn publish_messages(&self, messages: Vec<PubSubMessage>) {
        self.publisher.publish(messages).await.unwrap();
    }

    /// A figure of the subscription, as the servers have it.
    pub(super) fn subscription(&self, figure: &str) -> u64 {
        status(&self.local)["pubsub"]["subscriptions"][SUBSCRIPTION][figure].as_u64().unwrap()
    }

    /// The write streams: their paths, and what is known of them.
    pub(super) fn streams(&self) -> serde_json::Map<String, Value> {
        status(self.bigquery())["bigquery"]["streams"].as_object().unwrap().clone()
    }

    /// Rows that were appended to streams, visible or not.
    pub(super) fn appended(&self) -> u64 {
        self.streams().values().map(|stream| stream["appended"].as_u64().unwrap()).sum()
    }

    /// Rows of a table that can be seen.
    pub(super) fn visible(&self, table: &TableReference) -> u64 {
        let name = format!("{}:{}.{}", table.project(), table.dataset(), table.table());
        status(self.bigquery())["bigquery"]["tables"][name]["rows"].as_u64().unwrap_or(0)
    }

    /// Asks BigQuery for faults, or with GET how they are.
    pub(super) fn faults(&self, method: &str, faults: &Value) -> Value {
        let url = format!("{}/faults", self.bigquery().endpoint);
        let body = if method == "GET" { String::new() } else { faults.to_string() };
        request(method, &url, &body).unwrap()["bigquery"].take()
    }

    /// Waits until every message is acknowledged, and so part of a durable checkpoint.
    pub(super) async fn all_acknowledged(&self, pipeline: &mut Pipeline) {
        until("every acknowledgement", || {
            assert!(!pipeline.program.has_ended(), "it is over: {}", pipeline.program.errors());
            self.subscription("unacked") == 0
        })
        .await;
    }

    pub(super) async fn rows(&self) -> Vec<TextRow> {
        self.read(&self.config.tables.rows).await
    }

    pub(super) async fn panes(&self) -> Vec<TextRow> {
        self.read(&self.config.tables.aggregates).await
    }

    pub(super) async fn dead_letters(&self) -> Vec<TextRow> {
        self.read(&dead_letters()).await
    }

    async fn read(&self, table: &TableReference) -> Vec<TextRow> {
        self.query(&format!("SELECT * FROM {}", table.sql())).await
    }

    /// The answer to a query.
    pub(super) async fn query(&self, sql: &str) -> Vec<TextRow> {
        let connection = Connection::local(&self.bigquery().endpoint);
        let project = self.config.tables.rows.project();
        let client = QueryClient::connect(&connection, project).await.unwrap();
        let rows = match client.query(sql).rows().await {
            // A table is made with its first row.
            Err(error) if error.is_not_found() => Vec::new(),
            answered => answered.unwrap(),
        };
        let texts = |row: Row| row.into_iter().map(|(name, value)| (name, text(value))).collect();
        rows.into_iter().map(texts).collect()
    }
}

fn status(server: &Server) -> Value {
    get(&format!("{}/status", server.endpoint)).unwrap()
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("everything is kept in {}", self.directory.path().display());
        }
    }
}

pub(super) fn dead_letters() -> TableReference {
    "demo.departures.dead_letters".parse().unwrap()
}

/// What comes later than it may does not count: a message that is late by the fault of a crash shows in the tables.
pub(super) fn config() -> ScheduledIngestConfig {
    let table = |name: &str| format!("demo.departures.{name}").parse().unwrap();
    let mut config = ScheduledIngestConfig::flights(
        SUBSCRIPTION,
        table("flights"),
        table("carrier_hours"),
        table("dead_letters"),
    );
    config.windows.allowed_lateness_seconds = 0;
    config.windows.early_firing_millis = 200;
    config.lease_seconds = LEASE_SECONDS;
    config
}

impl Pipeline {
    /// Whether it has said where its status is.
    pub(super) fn has_begun(&mut self) -> bool {
        while self.status.is_none()
            && let Some(line) = self.program.next_line()
        {
            let address = line.strip_prefix("status at ").and_then(|rest| rest.split(',').next());
            self.status = address.map(str::to_owned);
        }
        self.status.is_some()
    }

    /// The job's status, once there is one.
    pub(super) fn status(&mut self) -> Option<Value> {
        if !self.has_begun() {
            return None;
        }
        get(self.status.as_deref()?).ok()
    }

    /// Whether the watermark of what it reads has a value that is no longer held where a restart put it.
    pub(super) fn is_past_restored_watermark(&mut self) -> bool {
        let Some(status) = self.status() else {
            return false;
        };
        let steps = status["steps"].as_array().unwrap();
        steps.iter().find(|step| step["path"] == "ReadMessages").is_some_and(|reader| {
            let reason = reader["watermark_reason"].as_str().unwrap();
            reader["watermark_micros"].is_i64()
                && !reason.is_empty()
                && !reason.contains("restored")
        })
    }

    /// Elements that were dropped as late.
    pub(super) fn late(&mut self) -> u64 {
        self.sum("late")
    }

    /// A figure of all steps together.
    pub(super) fn sum(&mut self, figure: &str) -> u64 {
        let status = self.status().unwrap();
        let steps = status["steps"].as_array().unwrap().iter();
        steps.map(|step| step[figure].as_u64().unwrap()).sum()
    }

    /// Stops it gently, which must work.
    pub(super) async fn stop(mut self, signal: &str, within: Duration) {
        until("the beginning", || self.has_begun()).await;
        self.program.signal(signal);
        let status = self.program.ended(within).await;
        assert_eq!(status.code(), Some(0), "{status}: {}", self.program.errors());
    }
}
