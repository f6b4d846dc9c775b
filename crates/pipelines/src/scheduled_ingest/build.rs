//! [`build`]: the whole pipeline, from the subscription to the tables.

use std::time::Duration;

use millstream::prelude::*;
use millstream_io_gcp::bigquery::{
    BigQuery, BigQuerySink, SchemaPolicy, TableReference, TableSchema,
};
use millstream_io_gcp::pubsub::{PubSub, PubSubSource};

use super::aggregates::WINDOW_START;
use super::config::{DeadLetterConfig, Deduplicate, ScheduledIngestConfig};
use super::dead_letters::{DeadLetterRow, DescribeRefused};
use super::ingest::{Ingest, Ingested};
use super::message::{EVENT_TIME, ID};
use super::observe::Observations;
use super::validate::{ConfigError, Prepared};
use crate::visibility::Observed;

/// Names of the steps that a status or a dead letter is looked up by.
pub mod step {
    /// Reads the subscription.
    pub const READ: &str = "ReadMessages";
    /// Parses messages.
    pub const PARSE: &str = "Ingest/Parse";
    /// Writes a row per message.
    pub const WRITE_ROWS: &str = "WriteRows";
    /// Writes a row per pane.
    pub const WRITE_AGGREGATES: &str = "WriteAggregates";
    /// Writes the dead letters.
    pub const WRITE_DEAD_LETTERS: &str = "WriteDeadLetters";
}

/// Builds the pipeline.
///
/// ```
/// use millstream_io_gcp::connection::Connection;
/// use millstream_pipelines::scheduled_ingest::{ScheduledIngestConfig, build};
///
/// let mut config = ScheduledIngestConfig::flights(
///     "projects/demo/subscriptions/flights",
///     "demo.flights.departures".parse()?,
///     "demo.flights.departures_per_hour".parse()?,
///     "demo.flights.dead_letters".parse()?,
/// );
/// config.pubsub = Connection::local("127.0.0.1:8085");
/// config.bigquery = Connection::local("127.0.0.1:8085");
/// let pipeline = build(&config)?;
/// pipeline.validate()?; // and then: Engine::builder().run(&pipeline)
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ConfigError`] with everything that is wrong with the configuration.
pub fn build(config: &ScheduledIngestConfig) -> Result<Pipeline, ConfigError> {
    build_observed(config, &Observations::default())
}

/// Builds the pipeline, which reports what it sees to `observations`.
///
/// # Errors
/// Like [`build`].
pub fn build_observed(
    config: &ScheduledIngestConfig,
    observations: &Observations,
) -> Result<Pipeline, ConfigError> {
    let prepared = config.prepare()?;
    let pipeline = Pipeline::named(&config.name);
    let messages = pipeline.read(step::READ, source(config, &prepared));
    let ingest = Ingest::new(prepared.clone(), config.windows.clone());
    let Ingested { rows, aggregates, dead_letters } = messages.apply("Ingest", ingest);

    let rows_sink = sink(config, &config.tables.rows, prepared.message.table())
        .partition_by_day(EVENT_TIME)
        .cluster_by([ID]);
    let refused_rows = rows
        .write(step::WRITE_ROWS, Observed::new(rows_sink, observations.row_observer()))
        .refused()
        .par_do("DescribeRefusedRows", DescribeRefused::of(step::WRITE_ROWS));
    let aggregates_sink = sink(config, &config.tables.aggregates, prepared.aggregates.table())
        .partition_by_day(WINDOW_START);
    let refused_aggregates = aggregates
        .write(step::WRITE_AGGREGATES, Observed::new(aggregates_sink, observations.pane_observer()))
        .refused()
        .par_do("DescribeRefusedAggregates", DescribeRefused::of(step::WRITE_AGGREGATES))
        .window("Unwindowed", GlobalWindows);
    let letters = dead_letters.flatten_with("DeadLetters", [refused_rows, refused_aggregates]);
    write_dead_letters(config, &letters, observations);
    Ok(pipeline)
}

fn source(config: &ScheduledIngestConfig, prepared: &Prepared) -> PubSubSource {
    let mut source = PubSub::subscription(&config.subscription)
        .connection(config.pubsub.clone())
        .ack_deadline(Duration::from_secs(config.lease_seconds))
        .allowed_skew(config.windows.out_of_order());
    if let Some(messages) = config.max_outstanding_messages {
        source = source.max_outstanding_messages(messages);
    }
    if let Some(bytes) = config.max_outstanding_bytes {
        source = source.max_outstanding_bytes(bytes);
    }
    if let Some(seconds) = config.deduplication_horizon_seconds {
        source = source.deduplication_horizon(Duration::from_secs(seconds));
    }
    if let Deduplicate::Attribute(name) = &config.deduplicate {
        source = source.id_attribute(name);
    }
    if let Some(event_time) = prepared.event_time.clone() {
        source = source.timestamp_by(move |message| event_time.read(&message.data));
    }
    source
}

fn sink(
    config: &ScheduledIngestConfig,
    table: &TableReference,
    schema: &TableSchema,
) -> BigQuerySink {
    BigQuery::table(table.to_string())
        .connection(config.bigquery.clone())
        .schema(schema.clone())
        .schema_policy(SchemaPolicy::Freeze)
        .create(config.tables.create.clone())
        .delivery(config.tables.delivery)
}

fn write_dead_letters(
    config: &ScheduledIngestConfig,
    letters: &PCollection<DeadLetterRow>,
    observations: &Observations,
) {
    let observer = observations.letter_observer();
    match &config.dead_letters {
        DeadLetterConfig::Table(table) => {
            let sink = sink(config, table, &DeadLetterRow::table());
            letters.write(step::WRITE_DEAD_LETTERS, Observed::new(sink, observer)).ignore_refused(
                "a dead letter of a dead letter would go in circles; it is counted",
            );
        }
        DeadLetterConfig::Topic(topic) => {
            let sink = PubSub::topic(topic).connection(config.pubsub.clone());
            letters
                .map("IntoMessages", DeadLetterRow::into_message)
                .write(step::WRITE_DEAD_LETTERS, sink)
                .ignore_refused(
                    "a dead letter of a dead letter would go in circles; it is counted",
                );
        }
    }
}
