//! [`Places`]: where the services of a run are; starts local servers for those that are nowhere else.

use std::path::Path;
use std::sync::Arc;

use millstream_io_gcp::connection::{Connection, Service};
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::SystemClock;
use millstream_local_gcp::scheduler::LocalScheduler;

use super::error::RunError;
use super::options::RunOptions;

/// Where the services of a run are.
#[derive(Debug)]
pub struct Places {
    /// How Pub/Sub is reached.
    pub pubsub: Connection,
    /// How BigQuery is reached.
    pub bigquery: Connection,
    /// What runs the feeder's schedule.
    pub scheduler: LocalScheduler,
    pubsub_is_local: bool,
    local: Option<LocalGcp>,
}

impl Places {
    /// Starts what is not given by the options; local servers keep what they hold in `data_dir`, where there is one.
    ///
    /// # Errors
    /// When the local servers do not start.
    pub async fn open(options: &RunOptions, data_dir: Option<&Path>) -> Result<Self, RunError> {
        let pubsub_is_local = options.is_local(Service::PubSub.emulator_variable());
        let bigquery_is_local = options.is_local(Service::BigQuery.emulator_variable());
        let local = if pubsub_is_local || bigquery_is_local {
            let builder = LocalGcp::builder();
            let builder =
                data_dir.into_iter().fold(builder, |builder, path| builder.data_dir(path));
            Some(builder.start().await?)
        } else {
            None
        };
        let connection = |is_local: bool| match &local {
            Some(local) if is_local => Connection::local(local.endpoint()),
            _ => options.remote(),
        };
        let scheduler = match &local {
            Some(local) => local.scheduler().clone(),
            None => LocalScheduler::new(Arc::new(SystemClock)),
        };
        let (pubsub, bigquery) = (connection(pubsub_is_local), connection(bigquery_is_local));
        Ok(Self { pubsub, bigquery, scheduler, pubsub_is_local, local })
    }

    /// The local servers, if there are any.
    #[must_use]
    pub const fn local(&self) -> Option<&LocalGcp> {
        self.local.as_ref()
    }

    /// How many messages of a subscription are not acknowledged; nothing where the service does not tell.
    #[must_use]
    pub fn unacknowledged(&self, subscription: &str) -> Option<u64> {
        let local = self.local.as_ref().filter(|_| self.pubsub_is_local)?;
        let statistics = local.pubsub().subscription_statistics();
        statistics.get(subscription).map(|subscription| subscription.unacked)
    }

    /// Stops the schedule and the local servers.
    ///
    /// # Errors
    /// When what the servers hold cannot be put on file.
    pub async fn close(self) -> Result<(), RunError> {
        self.scheduler.shutdown().await;
        match self.local {
            Some(local) => Ok(local.shutdown().await?),
            None => Ok(()),
        }
    }
}
