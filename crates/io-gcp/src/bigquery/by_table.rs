//! [`BigQueryTables`]: many tables as the output of a pipeline, chosen by each row.
//!
//! A writer holds one [`BigQueryWriter`] for each table that its rows name. They share Google's clients, one bound for what is
//! not answered, and the checkpoints; what makes each exact is what makes a single one exact.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::task::Poll;

use millstream::BoxError;
use millstream::batch::Batch;
use millstream::coder::Data;
use millstream::io::IoContext;
use millstream::sink::{Epoch, ShardBy, Sink, SinkWriter, WriteContext};
use rustc_hash::{FxHashMap, FxHasher};

use super::clients::{Clients, Pace};
use super::error::{Error, Result};
use super::protocol::Committable;
use super::sink::{BigQuery, BigQuerySink};
use super::table::TableReference;
use super::writer::{BigQueryWriter, refuse};

/// Tables that a worker writes to at a time, if nothing else is said.
const TABLES_MAX: usize = 100;
/// Checkpoints without a row after which a table is let go when room is wanted for another.
const IDLE_CHECKPOINTS: u32 = 2;

type TableOf<T> = Arc<dyn Fn(&T) -> String + Send + Sync>;

impl BigQuery {
    /// A sink that writes each row to the table that `table` names for it: `project.dataset.table` or `project:dataset.table`.
    ///
    /// Beam calls this dynamic destinations. A row whose table has no possible name is refused, as one that does not fit.
    ///
    /// ```
    /// use millstream_io_gcp::bigquery::{BigQuery, Field, FieldType, TableSchema};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Serialize, Deserialize)]
    /// struct Order {
    ///     id: String,
    ///     country: String,
    /// }
    ///
    /// let schema = TableSchema::new()
    ///     .field(Field::required("id", FieldType::String))
    ///     .field(Field::required("country", FieldType::String));
    /// let orders = BigQuery::table_by(|order: &Order| format!("demo.sales.orders_{}", order.country))
    ///     .each(|table| table.schema(schema.clone()).create_if_needed())
    ///     .max_tables(250);
    /// # let _ = orders;
    /// ```
    pub fn table_by<T, S: Into<String>>(
        table: impl Fn(&T) -> S + Send + Sync + 'static,
    ) -> BigQueryTables<T> {
        BigQueryTables {
            each: Self::table(String::new()),
            table: Arc::new(move |row| table(row).into()),
            tables_max: TABLES_MAX,
            pace: Pace::default(),
        }
    }
}

/// Writes rows, which are structs or maps, each to the table that is named for it. Made by [`BigQuery::table_by`].
///
/// All tables are written to in the same way, which is that of [`BigQuerySink`]; exactly once by default. The checkpoints of all of them
/// are one, but their rows do not become visible in the same instant.
pub struct BigQueryTables<T> {
    each: BigQuerySink,
    table: TableOf<T>,
    tables_max: usize,
    pace: Pace,
}

impl<T> BigQueryTables<T> {
    /// How each table is written to: its schema, whether it is created, the delivery, and all else that a sink to one table can
    /// be told. [`BigQuerySink::max_outstanding`] bounds the bytes of all tables together.
    #[must_use]
    pub fn each(mut self, each: impl FnOnce(BigQuerySink) -> BigQuerySink) -> Self {
        self.each = each(self.each);
        self
    }

    /// How many tables a worker writes to at a time; default 100.
    ///
    /// Each costs a stream and some memory. One that gets no rows any more makes room for another; rows for more tables than this at
    /// the same time are an error, since writing to them in turns would open streams faster than BigQuery allows.
    #[must_use]
    pub const fn max_tables(mut self, tables: usize) -> Self {
        self.tables_max = if tables == 0 { 1 } else { tables };
        self
    }
}

impl<T> Clone for BigQueryTables<T> {
    fn clone(&self) -> Self {
        Self {
            each: self.each.clone(),
            table: Arc::clone(&self.table),
            tables_max: self.tables_max,
            pace: self.pace.clone(),
        }
    }
}

impl<T> fmt::Debug for BigQueryTables<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BigQueryTables")
            .field("each", &self.each)
            .field("tables_max", &self.tables_max)
            .finish_non_exhaustive()
    }
}

impl<T: Data> Sink<T> for BigQueryTables<T> {
    type Writer = BigQueryTablesWriter<T>;

    fn writer(&self, ctx: &IoContext) -> Result<BigQueryTablesWriter<T>, BoxError> {
        Ok(BigQueryTablesWriter {
            clients: self.each.clients(self.tables_max, self.pace.clone()),
            sink: self.clone(),
            ctx: ctx.clone(),
            tables: FxHashMap::default(),
            bytes_written: 0,
            retries: 0,
        })
    }

    /// One worker writes to a table, so that it has one stream.
    fn shard_by(&self) -> Option<ShardBy<T>> {
        let table = Arc::clone(&self.table);
        Some(Arc::new(move |row| {
            let mut hasher = FxHasher::default();
            hasher.write(table(row).as_bytes());
            hasher.finish()
        }))
    }

    fn may_refuse(&self) -> bool {
        true
    }
}

/// One table of a writer.
#[derive(Debug)]
struct Destination<T> {
    writer: BigQueryWriter<T>,
    /// Rows that its writer had no room for.
    rest: Batch<T>,
    /// What the epoch under way leads to, once that is known.
    prepared: Option<Committable>,
    /// Checkpoints since the last row.
    idle: u32,
}

/// Writes one worker's rows to their tables.
#[derive(Debug)]
pub struct BigQueryTablesWriter<T> {
    sink: BigQueryTables<T>,
    ctx: IoContext,
    clients: Clients,
    tables: FxHashMap<TableReference, Destination<T>>,
    /// Of tables that were let go.
    bytes_written: u64,
    retries: u64,
}

impl<T: Data> BigQueryTablesWriter<T> {
    /// Gives each row to its table.
    fn spread(&mut self, rows: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<()> {
        for (timestamp, _, row) in rows.drain() {
            let name = (self.sink.table)(&row);
            match name.parse::<TableReference>() {
                Err(cause) => refuse(&name, timestamp, &row, &cause.to_string(), ctx),
                Ok(table) => {
                    let destination = self.destination(table)?;
                    destination.idle = 0;
                    destination.rest.push(timestamp, row);
                }
            }
        }
        Ok(())
    }

    fn destination(&mut self, table: TableReference) -> Result<&mut Destination<T>> {
        if !self.tables.contains_key(&table) {
            if self.tables.len() >= self.sink.tables_max {
                self.make_room(&table)?;
            }
            return self.open(table);
        }
        Ok(self.tables.get_mut(&table).expect("it was just found"))
    }

    /// Starts to write to a table.
    fn open(&mut self, table: TableReference) -> Result<&mut Destination<T>> {
        let sink = self.sink.each.to(table.to_string());
        let writer = sink.writer_with(&self.ctx, self.clients.clone())?;
        let new = Destination { writer, rest: Batch::new(), prepared: None, idle: 0 };
        Ok(self.tables.entry(table).or_insert(new))
    }

    /// Lets tables go that get no rows any more.
    fn make_room(&mut self, wanted: &TableReference) -> Result<()> {
        let (tables_max, ctx) = (self.sink.tables_max, &self.ctx);
        let (bytes, retries) = (&mut self.bytes_written, &mut self.retries);
        self.tables.retain(|_, destination| {
            let goes = destination.idle > IDLE_CHECKPOINTS && destination.writer.is_at_rest();
            if goes {
                *bytes += SinkWriter::<T>::bytes_written(&destination.writer);
                *retries += SinkWriter::<T>::retries(&destination.writer);
            }
            !goes
        });
        if self.tables.len() < tables_max {
            return Ok(());
        }
        let what = format!(
            "worker {} of {} writes to {tables_max} tables already; `max_tables` allows more",
            ctx.worker, ctx.step
        );
        Err(Error::Write { table: wanted.to_string(), what })
    }

    /// Hands on what waits; true when nothing waits any more.
    fn write_rest(&mut self, ctx: &mut WriteContext<'_>) -> Result<bool, BoxError> {
        let mut is_written = true;
        for destination in self.tables.values_mut() {
            if destination.rest.is_empty() {
                continue;
            }
            destination.writer.write(&mut destination.rest, ctx)?;
            is_written &= destination.rest.is_empty();
        }
        Ok(is_written)
    }

    fn is_full(&self) -> bool {
        let held: usize = self.tables.values().map(|it| it.writer.held_bytes()).sum();
        held >= self.sink.each.bytes_max()
    }
}

impl<T: Data> SinkWriter<T> for BigQueryTablesWriter<T> {
    type Committable = BTreeMap<String, Committable>;

    fn write(&mut self, batch: &mut Batch<T>, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        while self.write_rest(ctx)? && !batch.is_empty() && !self.is_full() {
            let mut rows = batch.split_front(batch.len().min(Batch::<T>::stage_len()));
            self.spread(&mut rows, ctx)?;
        }
        Ok(())
    }

    fn poll(&mut self, ctx: &mut WriteContext<'_>) -> Result<(), BoxError> {
        self.tables.values_mut().try_for_each(|destination| {
            if destination.rest.is_empty() {
                destination.writer.poll(ctx)
            } else {
                destination.writer.write(&mut destination.rest, ctx)
            }
        })
    }

    fn poll_prepare(
        &mut self,
        epoch: Epoch,
        ctx: &mut WriteContext<'_>,
    ) -> Poll<Result<Self::Committable, BoxError>> {
        if !self.write_rest(ctx)? {
            return Poll::Pending;
        }
        let mut is_ready = true;
        for destination in self.tables.values_mut() {
            if destination.prepared.is_some() {
                continue;
            }
            match destination.writer.poll_prepare(epoch, ctx)? {
                Poll::Ready(committable) => destination.prepared = Some(committable),
                Poll::Pending => is_ready = false,
            }
        }
        if !is_ready {
            return Poll::Pending;
        }
        let prepared = self.tables.iter_mut().filter_map(|(table, destination)| {
            destination.idle = destination.idle.saturating_add(1);
            let committable = destination.prepared.take()?;
            (!committable.streams.is_empty()).then(|| (table.to_string(), committable))
        });
        Poll::Ready(Ok(prepared.collect()))
    }

    fn commit(
        &mut self,
        epoch: Epoch,
        committable: Self::Committable,
        restored: bool,
    ) -> Result<(), BoxError> {
        for (table, committable) in committable {
            let table: TableReference = table.parse()?;
            // What an earlier life wrote counts against no limit.
            let destination = match self.tables.contains_key(&table) {
                true => self.destination(table)?,
                false => self.open(table)?,
            };
            destination.writer.commit(epoch, committable, restored)?;
        }
        Ok(())
    }

    fn poll_committed(&mut self, ctx: &mut WriteContext<'_>) -> Poll<Result<(), BoxError>> {
        let mut is_done = true;
        for destination in self.tables.values_mut() {
            is_done &= destination.writer.poll_committed(ctx)?.is_ready();
        }
        if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn bytes_written(&self) -> u64 {
        let written = |it: &Destination<T>| SinkWriter::<T>::bytes_written(&it.writer);
        self.bytes_written + self.tables.values().map(written).sum::<u64>()
    }

    fn retries(&self) -> u64 {
        let retries = |it: &Destination<T>| SinkWriter::<T>::retries(&it.writer);
        self.retries + self.tables.values().map(retries).sum::<u64>()
    }
}
