//! [`Clients`]: Google's clients for the tables of one writer, made once and shared, and [`Pace`], at which streams are created.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_bigquery::client::Write;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Interval, MissedTickBehavior};

use super::error::Result;
use super::tables::{TableAdmin, connect_error};
use crate::connection::{Connection, Service};

/// Streams that share an HTTP/2 connection: Google allows 100 at a time on each, and calls need some as well.
const STREAMS_PER_CONNECTION: usize = 50;
/// Time between two streams that are created: BigQuery slows down above 40 a second.
/// Source: <https://cloud.google.com/bigquery/docs/write-api-best-practices>
const OPENING_INTERVAL: Duration = Duration::from_millis(25);

/// Makes the clients when they are first asked for; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    connection: Connection,
    tables_max: usize,
    connected: Arc<OnceCell<Connected>>,
    pub(super) pace: Pace,
}

/// How fast streams may be created; clones go by the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    interval: Arc<Mutex<Option<Interval>>>,
}

/// Clients that are connected.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    pub(super) write: Arc<Write>,
    pub(super) admin: TableAdmin,
}

impl Clients {
    /// Clients for at most `tables_max` tables.
    pub(super) fn new(connection: Connection, tables_max: usize, pace: Pace) -> Self {
        Self { connection, tables_max, connected: Arc::default(), pace }
    }

    /// The clients; each caller after a failure tries anew.
    pub(super) async fn get(&self) -> Result<&Connected> {
        self.connected.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connected> {
        let resolved = self.connection.resolve(Service::BigQuery).map_err(connect_error)?;
        let mut write = Write::builder()
            .with_credentials(resolved.credentials())
            .with_grpc_subchannel_count(self.tables_max.div_ceil(STREAMS_PER_CONNECTION));
        if let Some(endpoint) = resolved.storage_endpoint() {
            write = write.with_endpoint(endpoint);
        }
        let write = write.build().await;
        let write = write.map_err(|cause| connect_error(resolved.client_error(cause)))?;
        let admin = TableAdmin::connect_without_retries(&resolved).await?;
        Ok(Connected { write: Arc::new(write), admin })
    }
}

impl Pace {
    /// Waits until a stream may be created; the first to ask is the first to go.
    pub(super) async fn turn(&self) {
        let mut interval = self.interval.lock().await;
        let interval = interval.get_or_insert_with(|| {
            let mut interval = tokio::time::interval(OPENING_INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        interval.tick().await;
    }
}
