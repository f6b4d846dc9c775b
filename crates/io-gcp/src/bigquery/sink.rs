//! [`BigQuery`] and [`BigQuerySink`]: a table as the output of a pipeline.

use std::hash::Hasher as _;
use std::time::Duration;

use millstream::BoxError;
use millstream::coder::Data;
use millstream::io::IoContext;
use millstream::sink::Sink;
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::clients::{Clients, Pace};
use super::error::Result;
use super::link::WriterLink;
use super::protocol::ProtocolOptions;
use super::rows::{RowEncoder, SchemaPolicy};
use super::schema::TableSchema;
use super::setup::{CreatePolicy, Setup};
use super::shell::{self, ShellSetup};
use super::table::TableReference;
use super::tables::TableLayout;
use super::writer::{BigQueryWriter, WriterSetup};
use crate::connection::Connection;

/// Bytes of rows after which a request is sent: large enough to make the cost of a request small.
const REQUEST_BYTES: usize = 1 << 20;
/// How long rows wait for a request to fill.
const LINGER: Duration = Duration::from_millis(50);
/// Entries of the queues between a writer and its shell, beyond the requests in flight.
const QUEUE_SLACK: usize = 16;

/// Where BigQuery's connectors start.
#[derive(Clone, Copy, Debug)]
pub struct BigQuery;

impl BigQuery {
    /// A sink that writes to `table`: `project.dataset.table` or `project:dataset.table`.
    ///
    /// ```
    /// use millstream_io_gcp::bigquery::{BigQuery, Field, FieldType, TableSchema};
    ///
    /// let orders = BigQuery::table("demo.sales.orders")
    ///     .schema(TableSchema::new().field(Field::required("id", FieldType::String)))
    ///     .create_if_needed();
    /// # let _ = orders;
    /// ```
    pub fn table(table: impl Into<String>) -> BigQuerySink {
        BigQuerySink {
            table: table.into(),
            connection: Connection::new(),
            schema: None,
            delivery: Delivery::default(),
            schema_policy: SchemaPolicy::default(),
            create: CreatePolicy::default(),
            layout: TableLayout::default(),
            request_bytes: REQUEST_BYTES,
            linger: LINGER,
            protocol: ProtocolOptions::default(),
        }
    }
}

/// What a crash does to the rows in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// Every row is in the table once; rows show with their checkpoint.
    #[default]
    ExactlyOnce,
    /// Rows show at once; those since the last checkpoint may be in the table twice.
    AtLeastOnce,
}

/// Writes rows, which are structs or maps, to a table.
///
/// A row that does not fit the table, or that BigQuery refuses, leaves through the sink's output with its reason and
/// as JSON; all others are written. Without a schema the table's own columns are used.
#[derive(Clone, Debug)]
pub struct BigQuerySink {
    table: String,
    connection: Connection,
    schema: Option<TableSchema>,
    delivery: Delivery,
    schema_policy: SchemaPolicy,
    create: CreatePolicy,
    layout: TableLayout,
    request_bytes: usize,
    linger: Duration,
    protocol: ProtocolOptions,
}

impl BigQuerySink {
    /// The columns of the rows; they must be there in the table, which may have others that are not required.
    #[must_use]
    pub fn schema(mut self, schema: TableSchema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Where and as whom BigQuery is called; by default the cloud, or the server that `BIGQUERY_EMULATOR_HOST` names.
    #[must_use]
    pub fn connection(mut self, connection: Connection) -> Self {
        self.connection = connection;
        self
    }

    /// Every row is in the table once, and shows with its checkpoint. The default.
    ///
    /// Tests: `crates/io-gcp/tests/bigquery.rs` and the simulation of the protocol.
    #[must_use]
    pub const fn exactly_once(self) -> Self {
        self.delivery(Delivery::ExactlyOnce)
    }

    /// Rows show at once; after a crash those since the last checkpoint may be in the table twice.
    #[must_use]
    pub const fn at_least_once(self) -> Self {
        self.delivery(Delivery::AtLeastOnce)
    }

    /// What a crash does to the rows in the table.
    #[must_use]
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// What happens to fields that the table has no column for.
    #[must_use]
    pub const fn schema_policy(mut self, policy: SchemaPolicy) -> Self {
        self.schema_policy = policy;
        self
    }

    /// A missing table is created with the given schema.
    #[must_use]
    pub fn create_if_needed(self) -> Self {
        self.create(CreatePolicy::IfNeeded)
    }

    /// A missing table is created, and its dataset too, in `location`, such as `EU`; where it is empty BigQuery chooses.
    #[must_use]
    pub fn create_with_dataset(self, location: &str) -> Self {
        let location = (!location.is_empty()).then(|| location.to_owned());
        self.create(CreatePolicy::WithDataset(location))
    }

    /// A missing table is an error. The default.
    #[must_use]
    pub fn create_never(self) -> Self {
        self.create(CreatePolicy::Never)
    }

    /// Whether a missing table is created.
    #[must_use]
    pub fn create(mut self, policy: CreatePolicy) -> Self {
        self.create = policy;
        self
    }

    /// A table that is created is partitioned by the day in `column`.
    #[must_use]
    pub fn partition_by_day(mut self, column: impl Into<String>) -> Self {
        self.layout.partition_by_day = Some(column.into());
        self
    }

    /// A table that is created keeps rows together by `columns`.
    #[must_use]
    pub fn cluster_by<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.layout.cluster_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Bytes of rows after which a request is sent; at most 2 MiB, 1 MiB by default.
    #[must_use]
    pub const fn request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    /// How long rows wait for a request to fill; 50 ms by default. A checkpoint sends them at once.
    #[must_use]
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Most requests and bytes that are not answered, for each worker; 24 and 24 MiB by default. Beyond them the pipeline waits.
    #[must_use]
    pub const fn max_outstanding(mut self, requests: usize, bytes: usize) -> Self {
        self.protocol.blocks_max = if requests == 0 { 1 } else { requests };
        self.protocol.bytes_max = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// How long an append may stay without an answer before its connection is made anew; 60 s by default.
    #[must_use]
    pub const fn append_timeout(mut self, timeout: Duration) -> Self {
        self.protocol.append_timeout = timeout;
        self
    }

    /// How long to go on trying without a success before the job fails and restarts; without end by default, for an outage is
    /// nothing that a restart mends.
    #[must_use]
    pub const fn give_up_after(mut self, patience: Duration) -> Self {
        self.protocol.give_up_after = patience;
        self
    }

    /// Goes on when a stream named by a restored checkpoint no longer exists, as after days without the job, although some of its
    /// last rows may then be missing in the table. By default that is an error.
    #[must_use]
    pub const fn skip_missing_streams(mut self) -> Self {
        self.protocol.skip_missing_streams = true;
        self
    }

    /// A writer whose requests the caller carries, through the link beside it: for simulations and for other transports. The sink
    /// itself puts Google's client there.
    ///
    /// # Errors
    /// [`Error::TableReference`](super::Error::TableReference) or [`Error::Schema`](super::Error::Schema) when the sink is set up wrongly.
    pub fn link<T: Data>(&self, ctx: &IoContext) -> Result<(BigQueryWriter<T>, WriterLink)> {
        let table: TableReference = self.table.parse()?;
        if let Some(schema) = &self.schema {
            RowEncoder::new(schema, self.schema_policy)?;
        }
        let protocol = ProtocolOptions { seed: self.seed(ctx), ..self.protocol.clone() };
        let queue = protocol.blocks_max + QUEUE_SLACK;
        let (requests, request_queue) = mpsc::channel(queue);
        let (reply_queue, replies) = mpsc::channel(queue);
        let writer = BigQueryWriter::new(WriterSetup {
            table: table.to_string(),
            delivery: self.delivery,
            schema_policy: self.schema_policy,
            request_bytes: self.request_bytes,
            linger: self.linger,
            protocol,
            requests,
            replies,
        });
        let waker = ctx.waker.clone();
        Ok((writer, WriterLink { requests: request_queue, replies: reply_queue, waker }))
    }

    /// The same for another table.
    pub(super) fn to(&self, table: String) -> Self {
        Self { table, ..self.clone() }
    }

    /// Clients for writers to at most `tables_max` tables.
    pub(super) fn clients(&self, tables_max: usize, pace: Pace) -> Clients {
        Clients::new(self.connection.clone(), tables_max, pace)
    }

    /// Most bytes that are not answered.
    pub(super) const fn bytes_max(&self) -> usize {
        self.protocol.bytes_max
    }

    /// A writer that calls BigQuery through `clients`.
    pub(super) fn writer_with<T: Data>(
        &self,
        ctx: &IoContext,
        clients: Clients,
    ) -> Result<BigQueryWriter<T>> {
        let (writer, link) = self.link(ctx)?;
        ctx.io.spawn(shell::run(ShellSetup {
            clients,
            setup: Setup {
                table: self.table.parse()?,
                schema: self.schema.clone(),
                create: self.create.clone(),
                layout: self.layout.clone(),
            },
            append_timeout: self.protocol.append_timeout,
            control_timeout: self.protocol.control_timeout,
            link,
        }));
        Ok(writer)
    }

    /// Seed of the pauses between tries: different for each table, step and worker, the same in each run.
    fn seed(&self, ctx: &IoContext) -> u64 {
        let mut hasher = FxHasher::default();
        hasher.write(self.table.as_bytes());
        hasher.write(ctx.step.as_bytes());
        hasher.write_usize(ctx.worker);
        hasher.finish()
    }
}

impl<T: Data> Sink<T> for BigQuerySink {
    type Writer = BigQueryWriter<T>;

    fn writer(&self, ctx: &IoContext) -> std::result::Result<BigQueryWriter<T>, BoxError> {
        Ok(self.writer_with(ctx, self.clients(1, Pace::default()))?)
    }

    fn may_refuse(&self) -> bool {
        true
    }
}
