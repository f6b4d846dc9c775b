//! [`Prepared`]: a configuration that was found to fit together, ready to build a pipeline from; and [`ConfigError`].

use std::ops::RangeInclusive;

use millstream_io_gcp::bigquery::Mode;

use super::aggregates::AggregateSchema;
use super::config::{DeadLetterConfig, ScheduledIngestConfig};
use super::event_time::EventTimeReader;
use super::message::MessageSchema;

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration of {name:?} cannot be used: {}", .problems.join("; "))]
pub struct ConfigError {
    name: String,
    problems: Vec<String>,
}

impl ConfigError {
    /// Every problem, a sentence each.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// A configuration that fits together.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// How messages are parsed, and the table of rows.
    pub message: MessageSchema,
    /// How rows are grouped, and the table of aggregates.
    pub aggregates: AggregateSchema,
    /// Where the event time comes from, unless from the publish time.
    pub event_time: Option<EventTimeReader>,
}

/// What Pub/Sub takes as ack deadline. Source: "ackDeadlineSeconds" of its reference.
const LEASE_SECONDS: RangeInclusive<u64> = 10..=600;

impl ScheduledIngestConfig {
    /// Checks everything that can be checked without asking a service.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.prepare().map(|_| ())
    }

    /// Checks the configuration and prepares what the pipeline is built from.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found.
    pub fn prepare(&self) -> Result<Prepared, ConfigError> {
        let mut problems = Vec::new();
        check_names(self, &mut problems);
        let message = MessageSchema::new(&self.message, &mut problems);
        let aggregates = AggregateSchema::new(&self.aggregates, &message, &mut problems);
        if !LEASE_SECONDS.contains(&self.lease_seconds) {
            problems.push(format!("lease_seconds is {}, not 10 to 600", self.lease_seconds));
        }
        let limits = [
            ("max_outstanding_messages", self.max_outstanding_messages),
            ("max_outstanding_bytes", self.max_outstanding_bytes),
        ];
        for (name, _) in limits.into_iter().filter(|(_, limit)| *limit == Some(0)) {
            problems.push(format!("{name} is 0: nothing could be read"));
        }
        if self.windows.size_seconds == 0 {
            problems.push("windows: size_seconds must be at least 1".to_owned());
        }
        self.read_api.check(&mut problems);
        let event_time = self.message.event_time.as_ref().map(|config| {
            let is_required = message
                .column(&config.field)
                .is_some_and(|(_, field)| field.mode == Mode::Required);
            EventTimeReader::new(config, is_required)
        });
        if problems.is_empty() {
            Ok(Prepared { message, aggregates, event_time })
        } else {
            Err(ConfigError { name: self.name.clone(), problems })
        }
    }
}

fn check_names(config: &ScheduledIngestConfig, problems: &mut Vec<String>) {
    if !is_resource(&config.subscription, "subscriptions") {
        let name = &config.subscription;
        problems
            .push(format!("subscription {name:?} is not of the form projects/P/subscriptions/S"));
    }
    let mut tables = vec![&config.tables.rows, &config.tables.aggregates];
    match &config.dead_letters {
        DeadLetterConfig::Table(table) => tables.push(table),
        DeadLetterConfig::Topic(topic) if is_resource(topic, "topics") => {}
        DeadLetterConfig::Topic(topic) => {
            problems.push(format!(
                "dead letter topic {topic:?} is not of the form projects/P/topics/T"
            ));
        }
    }
    for (index, table) in tables.iter().enumerate() {
        if tables[..index].contains(table) {
            problems.push(format!("table {table} is used twice"));
        }
    }
}

fn is_resource(name: &str, collection: &str) -> bool {
    let mut parts = name.split('/');
    parts.next() == Some("projects")
        && parts.next().is_some_and(|project| !project.is_empty())
        && parts.next() == Some(collection)
        && parts.next().is_some_and(|own| !own.is_empty())
        && parts.next().is_none()
}
