//! The configuration for departures: one message per scheduled flight, with the columns of the nycflights13 data.
//!
//! Event time is the scheduled departure, `time_hour` and `minute`. A flight without `dep_time` was cancelled; `dep_delay` is in
//! minutes, negative for an early departure.

use millstream_io_gcp::bigquery::{Field, FieldType, TableReference};

use super::config::{
    Aggregate, AggregatesConfig, DeadLetterConfig, Deduplicate, EventTimeConfig, Measure,
    MessageConfig, ScheduledIngestConfig, TablesConfig, UnknownFields, WindowsConfig,
    default_lease_seconds,
};

/// The attribute that carries the id of a flight.
pub const ID_ATTRIBUTE: &str = "id";

const HOUR_SECONDS: u64 = 3_600;

impl ScheduledIngestConfig {
    /// The configuration for flights, which reads `subscription` and writes the rows and the hourly aggregates per carrier
    /// to two tables, the dead letters to a third.
    #[must_use]
    pub fn flights(
        subscription: impl Into<String>,
        rows: TableReference,
        aggregates: TableReference,
        dead_letters: TableReference,
    ) -> Self {
        Self {
            name: "flights".to_owned(),
            subscription: subscription.into(),
            lease_seconds: default_lease_seconds(),
            max_outstanding_messages: None,
            max_outstanding_bytes: None,
            deduplication_horizon_seconds: None,
            pubsub: Default::default(),
            bigquery: Default::default(),
            message: MessageConfig {
                fields: flight_fields(),
                unknown_fields: UnknownFields::DeadLetter,
                event_time: Some(EventTimeConfig::new("time_hour").plus_minutes("minute")),
                id: ["carrier", "flight", "origin", "time_hour"].map(str::to_owned).to_vec(),
            },
            deduplicate: Deduplicate::Attribute(ID_ATTRIBUTE.to_owned()),
            windows: WindowsConfig {
                size_seconds: HOUR_SECONDS,
                // A replay at many hours a second puts a delivery that comes a second late days back in event time.
                allowed_lateness_seconds: 7 * 24 * HOUR_SECONDS,
                early_firing_millis: 500,
                out_of_order_seconds: HOUR_SECONDS,
            },
            aggregates: AggregatesConfig {
                keys: vec!["carrier".to_owned()],
                measures: vec![
                    Measure::of("departures", Aggregate::CountKnown, "dep_time"),
                    Measure::of("cancellations", Aggregate::CountNull, "dep_time"),
                    Measure::of("mean_delay", Aggregate::Mean, "dep_delay"),
                ],
            },
            tables: TablesConfig::new(rows, aggregates),
            dead_letters: DeadLetterConfig::Table(dead_letters),
            read_api: Default::default(),
        }
    }
}

fn flight_fields() -> Vec<Field> {
    let int = FieldType::Int64;
    let text = FieldType::String;
    vec![
        Field::required("year", int.clone()),
        Field::required("month", int.clone()),
        Field::required("day", int.clone()),
        Field::nullable("dep_time", int.clone()).description("local, hhmm; NULL: cancelled"),
        Field::required("sched_dep_time", int.clone()).description("local, hhmm"),
        Field::nullable("dep_delay", int.clone()).description("minutes"),
        Field::nullable("arr_time", int.clone()).description("local, hhmm"),
        Field::nullable("sched_arr_time", int.clone()).description("local, hhmm"),
        Field::nullable("arr_delay", int.clone()).description("minutes"),
        Field::required("carrier", text.clone()),
        Field::required("flight", int.clone()),
        Field::nullable("tailnum", text.clone()),
        Field::required("origin", text.clone()),
        Field::required("dest", text),
        Field::nullable("air_time", int.clone()).description("minutes"),
        Field::nullable("distance", int.clone()).description("miles"),
        Field::required("hour", int.clone()),
        Field::required("minute", int),
        Field::required("time_hour", FieldType::Timestamp)
            .description("scheduled departure, hour, UTC"),
    ]
}
