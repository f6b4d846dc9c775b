//! The read API: `GET /api/v1/{id}` answers with the ingested row of this id, as JSON of a fixed schema.
//!
//! A request goes through `router` (which path), `controller` (what to do), `model` (ids, and rows from BigQuery) and
//! `serializer` (the answer's JSON). Whatever is not a row is an RFC 9457 problem; `/openapi.json` describes all of it.
//!
//! | path | what it answers |
//! |---|---|
//! | `/api/v1/{id}` | the row; 404 without one, 422 for what is no id, 503 when BigQuery cannot answer now, 502 when it never will |
//! | `/` | a page to try it |
//! | `/openapi.json` | its description |
//! | `/healthz`, `/readyz` | whether it runs; whether BigQuery answers it |
//! | `/metrics`, `/slo` | what it counts, in Prometheus' text format; its service levels, as JSON |

mod config;
mod controller;
mod document;
mod failure;
mod model;
mod observed;
mod page;
mod router;
mod serializer;
mod server;
mod service_level;

pub use config::ReadApiConfig;
pub use model::{InvalidId, RowId};
pub use server::{ReadApi, ReadApiError};
pub use service_level::{AVAILABILITY, PROCESSING, ServiceLevel};
