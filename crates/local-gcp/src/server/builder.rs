//! Options of a server, and its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use super::connections::serve;
use super::error::{Error, Result};
use super::faults;
use super::local::{LocalGcp, Parts};
use super::mux::{self, Mux};
use super::overview;
use crate::bigquery::{self, BigQuery};
use crate::clock::{Clock, SystemClock};
use crate::journal::DataDirectory;
use crate::proto::cloud_scheduler::CloudSchedulerServer;
use crate::proto::publisher::PublisherServer;
use crate::proto::schema_service::SchemaServiceServer;
use crate::proto::subscriber::SubscriberServer;
use crate::pubsub::{self, PubSub, PublisherService, SchemasService, SubscriberService};
use crate::scheduler::{self, CloudScheduler, LocalScheduler};

/// Google's limit for HTTP requests, after decompression.
const HTTP_BODY_BYTES_MAX: usize = 10 << 20;
/// Google's limit of 10 MB for a publish request, and room for what frames the messages.
const GRPC_MESSAGE_BYTES_MAX: usize = 12 << 20;
/// How often what is in the files is forced to the disk, and files full of garbage are looked for.
const MAINTENANCE: Duration = Duration::from_secs(1);

/// Options of a [`LocalGcp`].
#[derive(Clone, Debug)]
#[must_use = "a server runs only after start()"]
pub struct Builder {
    data_dir: Option<PathBuf>,
    port: u16,
    grpc_port: Option<u16>,
    clock: Arc<dyn Clock>,
    pubsub_limits: pubsub::Limits,
    http_body_bytes_max: usize,
    grpc_message_bytes_max: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            data_dir: None,
            port: 0,
            grpc_port: None,
            clock: Arc::new(SystemClock),
            pubsub_limits: pubsub::Limits::default(),
            http_body_bytes_max: HTTP_BODY_BYTES_MAX,
            grpc_message_bytes_max: GRPC_MESSAGE_BYTES_MAX,
        }
    }
}

impl Builder {
    /// Keeps everything in this directory, so that it survives a restart and `kill -9`; without, everything
    /// is in memory and ends with the server.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Listens on this port of 127.0.0.1; 0, the default, takes any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Serves gRPC on a port of its own (0 for any free one), and REST alone on [`port`](Self::port).
    pub fn grpc_port(mut self, port: u16) -> Self {
        self.grpc_port = Some(port);
        self
    }

    /// Takes the time of messages, leases and tables from this clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What Pub/Sub may hold.
    pub fn pubsub_limits(mut self, limits: pubsub::Limits) -> Self {
        self.pubsub_limits = limits;
        self
    }

    /// Longest REST request body in bytes, after decompression (default 10 MiB).
    pub fn http_body_bytes_max(mut self, bytes: usize) -> Self {
        self.http_body_bytes_max = bytes;
        self
    }

    /// Longest gRPC request message to Pub/Sub in bytes, after decompression (default 12 MiB).
    pub fn grpc_message_bytes_max(mut self, bytes: usize) -> Self {
        self.grpc_message_bytes_max = bytes;
        self
    }

    /// Restores the data directory, opens the ports and serves on the current tokio runtime.
    ///
    /// # Errors
    /// When the data directory is in use, unreadable or damaged, or a port cannot be opened.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(self) -> Result<LocalGcp> {
        let directory = match &self.data_dir {
            Some(path) => Some(Arc::new(DataDirectory::open(path)?)),
            None => None,
        };
        let pubsub = self.pubsub(directory.as_deref())?;
        let bigquery = self.bigquery(directory.as_deref())?;
        let scheduler = self.scheduler(directory.as_deref(), &pubsub)?;
        let (rest, grpc) = self.routes(&pubsub, &bigquery, &scheduler);
        let shutdown = CancellationToken::new();
        let (address, grpc_address, mut tasks) = self.listen(rest, grpc, &shutdown).await?;
        tasks.push(tokio::spawn(pubsub.clone().run_timers()));
        if let Some(directory) = &directory {
            let services = (pubsub.clone(), bigquery.clone(), scheduler.clone());
            tasks.push(tokio::spawn(maintain(Arc::clone(directory), services, shutdown.clone())));
        }
        Ok(LocalGcp::new(Parts {
            address,
            grpc_address,
            pubsub,
            bigquery,
            scheduler,
            directory,
            shutdown,
            tasks,
        }))
    }

    fn pubsub(&self, directory: Option<&DataDirectory>) -> Result<PubSub> {
        let clock = Arc::clone(&self.clock);
        Ok(match directory {
            Some(directory) => PubSub::open(directory, self.pubsub_limits, clock)?,
            None => PubSub::in_memory(self.pubsub_limits, clock),
        })
    }

    fn bigquery(&self, directory: Option<&DataDirectory>) -> Result<BigQuery> {
        let clock = Arc::clone(&self.clock);
        Ok(match directory {
            Some(directory) => BigQuery::open(directory, clock)?,
            None => BigQuery::in_memory(clock),
        })
    }

    fn scheduler(
        &self,
        directory: Option<&DataDirectory>,
        pubsub: &PubSub,
    ) -> Result<LocalScheduler> {
        let clock = Arc::clone(&self.clock);
        Ok(match directory {
            Some(directory) => LocalScheduler::open(directory, pubsub, clock)?,
            None => LocalScheduler::new(clock),
        })
    }

    /// The REST and the gRPC routes of all services.
    fn routes(
        &self,
        pubsub: &PubSub,
        bigquery: &BigQuery,
        scheduler: &LocalScheduler,
    ) -> (Router, Router) {
        let publisher = PublisherServer::new(PublisherService::new(pubsub.clone()))
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(self.grpc_message_bytes_max);
        let subscriber = SubscriberServer::new(SubscriberService::new(pubsub.clone()))
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(self.grpc_message_bytes_max);
        let schemas = SchemaServiceServer::new(SchemasService::new(pubsub.clone()))
            .accept_compressed(CompressionEncoding::Gzip);
        let (bigquery_rest, bigquery_write, bigquery_read) = bigquery::service(bigquery);
        let cloud_scheduler = CloudScheduler::new(scheduler.clone(), pubsub.clone());
        let grpc = Routes::new(publisher)
            .add_service(subscriber)
            .add_service(schemas)
            .add_service(bigquery_write)
            .add_service(bigquery_read)
            .add_service(
                CloudSchedulerServer::new(cloud_scheduler.clone())
                    .accept_compressed(CompressionEncoding::Gzip),
            );
        let rest = pubsub::rest::router(pubsub.clone())
            .merge(bigquery_rest)
            .merge(scheduler::rest::router(cloud_scheduler))
            .merge(overview::router(pubsub.clone(), bigquery.clone(), scheduler.clone()))
            .merge(faults::router(bigquery.clone()));
        (mux::rest(rest, self.http_body_bytes_max), grpc.into_axum_router())
    }

    async fn listen(
        &self,
        rest: Router,
        grpc: Router,
        shutdown: &CancellationToken,
    ) -> Result<(SocketAddr, SocketAddr, Vec<JoinHandle<()>>)> {
        let (listener, address) = bind(self.port).await?;
        let Some(grpc_port) = self.grpc_port else {
            let serving = serve(listener, Mux::Both { rest, grpc }, shutdown.clone());
            return Ok((address, address, vec![tokio::spawn(serving)]));
        };
        let (grpc_listener, grpc_address) = bind(grpc_port).await?;
        let tasks = vec![
            tokio::spawn(serve(listener, Mux::Rest(rest), shutdown.clone())),
            tokio::spawn(serve(grpc_listener, Mux::Grpc(grpc), shutdown.clone())),
        ];
        Ok((address, grpc_address, tasks))
    }
}

async fn bind(port: u16) -> Result<(TcpListener, SocketAddr)> {
    // Only the loopback interface: there is no authentication.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Syncs and compacts the files until shutdown.
async fn maintain(
    directory: Arc<DataDirectory>,
    services: (PubSub, BigQuery, LocalScheduler),
    shutdown: CancellationToken,
) {
    while shutdown.run_until_cancelled(tokio::time::sleep(MAINTENANCE)).await.is_some() {
        let directory = Arc::clone(&directory);
        let (pubsub, bigquery, scheduler) = services.clone();
        let done = tokio::task::spawn_blocking(move || {
            directory.sync()?;
            pubsub.compact()?;
            bigquery.compact()?;
            scheduler.compact()
        });
        if let Ok(Err(error)) = done.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot maintain the data directory"
            );
        }
    }
}
