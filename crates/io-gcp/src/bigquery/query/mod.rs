//! [`QueryClient`]: parameterised queries over Google's own client, rows as JSON or as types of the caller.
//!
//! Values reach a query as [`Parameter`]s only, never as text. A TIMESTAMP arrives as RFC 3339 text, JSON as what it holds, NUMERIC,
//! BYTES (base64), DATE, TIME and DATETIME as text, everything else as the JSON type of the same name.
//!
//! ```no_run
//! # async fn sample() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use millstream_io_gcp::bigquery::QueryClient;
//! use millstream_io_gcp::connection::Connection;
//!
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     id: String,
//!     cents: Option<i64>,
//! }
//!
//! let client = QueryClient::connect(&Connection::new(), "demo").await?.timeout(Duration::from_secs(5));
//! let order: Option<Order> = client
//!     .query("SELECT id, cents FROM `demo.sales.orders` WHERE id = @id LIMIT 1")
//!     .named("id", "a-17")
//!     .first()
//!     .await?;
//! # let _ = order;
//! # Ok(())
//! # }
//! ```

mod answer;
mod client;
mod parameter;

pub use client::{Query, QueryClient, Row};
pub use parameter::Parameter;
