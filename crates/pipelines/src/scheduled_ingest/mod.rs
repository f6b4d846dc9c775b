//! P1 `scheduled-ingest`: messages that a schedule publishes, from Pub/Sub through validation and windows into BigQuery.
//!
//! Each message is one JSON object of a configured form. It becomes a row of one table; the rows are counted and measured per
//! group and fixed window of event time, and every pane of a window is a row of a second table: early ones while the window is open,
//! one when it closes, late ones for stragglers, the last one marked. What cannot be used goes, with the reason and its original
//! bytes, to the dead letters, and the job goes on.
//!
//! [`ScheduledIngestConfig`] describes all of it, [`build`] makes the pipeline, [`Ingest`] is the part between source and sinks,
//! [`ReadApi`] serves the rows over HTTP.

mod aggregates;
mod build;
mod config;
mod dead_letters;
mod event_time;
mod fields;
mod flights;
mod identity;
mod ingest;
mod measures;
mod message;
mod observe;
mod problem;
mod read_api;
mod row;
#[cfg(test)]
mod tests;
mod validate;

pub use aggregates::{AggregateSchema, IS_LAST, PANE, TIMING, WINDOW_END, WINDOW_START};
pub use build::{build, build_observed, step};
pub use config::{
    Aggregate, AggregatesConfig, DeadLetterConfig, Deduplicate, EventTimeConfig, Measure,
    MessageConfig, ScheduledIngestConfig, TablesConfig, UnknownFields, WindowsConfig,
};
pub use dead_letters::{DeadLetterRow, REFUSED};
pub use event_time::EventTimeReader;
pub use flights::ID_ATTRIBUTE;
pub use identity::{ID_DIGITS, stable_id};
pub use ingest::{Ingest, Ingested};
pub use measures::{GroupKey, KeyCell, MeasureFn, Partial};
pub use message::{EVENT_TIME, ID, MessageSchema, PUBLISH_TIME};
pub use observe::Observations;
pub use problem::{Problem, Reason};
pub use read_api::{
    AVAILABILITY, InvalidId, PROCESSING, ReadApi, ReadApiConfig, ReadApiError, RowId, ServiceLevel,
};
pub use row::{Cell, Columns, Row};
pub use validate::{ConfigError, Prepared};
