//! The messages: departures of January 2013, repeated month after month so that each is a flight of its own.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use millstream::BoxError;
use millstream_io_gcp::pubsub::PubSubMessage;
use millstream_pipelines::replay::ReplayFile;
use millstream_pipelines::scheduled_ingest::{ID_ATTRIBUTE, ScheduledIngestConfig};
use serde_json::Value;

/// Days from one repetition to the next.
const DAYS: i64 = 31;

/// The first `count` messages, in the order of their event times.
pub(crate) fn departures(count: usize) -> Result<Vec<PubSubMessage>, BoxError> {
    let config = ScheduledIngestConfig::flights(
        "projects/bench/subscriptions/flights",
        "bench.departures.flights".parse()?,
        "bench.departures.carrier_hours".parse()?,
        "bench.departures.dead_letters".parse()?,
    );
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/flights-2013-01.csv.gz");
    let file = ReplayFile::read(&path, &config.message, &config.prepare()?)?;
    let flights: Vec<Value> = file
        .messages()
        .iter()
        .map(|message| serde_json::from_slice(&message.data))
        .collect::<Result<_, _>>()?;
    let mut messages = Vec::with_capacity(count);
    for month in 0.. {
        for (flight, message) in flights.iter().zip(file.messages()) {
            if messages.len() == count {
                return Ok(messages);
            }
            let id = message.id.as_deref().unwrap_or_default();
            let data = shifted(flight, month)?;
            messages.push(
                PubSubMessage::new(data).with_attribute(ID_ATTRIBUTE, format!("{id}-{month}")),
            );
        }
    }
    Ok(messages)
}

/// The flight, so many months later.
fn shifted(flight: &Value, months: i64) -> Result<Vec<u8>, BoxError> {
    let mut flight = flight.clone();
    let hour = flight["time_hour"].as_str().ok_or("a flight without its hour")?;
    let later = hour.parse::<Timestamp>()? + SignedDuration::from_hours(months * DAYS * 24);
    flight["time_hour"] = Value::String(later.to_string());
    Ok(serde_json::to_vec(&flight)?)
}
