//! BigQuery over the wire: the writer driven by hand, through Google's client, against the local server.
#![cfg(feature = "bigquery")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use google_cloud_bigquery_v2::client::TableService;
use google_cloud_bigquery_v2::model;
use millstream::batch::Batch;
use millstream::io::{Io, IoContext, Waker};
use millstream::sink::{Refused, Sink, SinkWriter, WriteContext};
use millstream::time::{Clock as _, ManualClock};
use millstream::{BoxError, Timestamp};
use millstream_io_gcp::bigquery::protocol::Committable;
use millstream_io_gcp::bigquery::{
    BigQuery, BigQuerySink, BigQueryWriter, Field, FieldType, Parameter, QueryClient, SchemaPolicy,
    TableAdmin, TableReference, TableSchema,
};
use millstream_io_gcp::connection::Connection;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::bigquery::{Code, Refusal, TableName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pauses between tries are shorter, timeouts longer than this: a pause is over at once here, a timeout never comes.
const PAUSE_MAX: Duration = Duration::from_secs(40);
const TABLE: &str = "demo.sales.orders";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    at: Timestamp,
    note: Option<String>,
}

fn order(id: u64) -> Order {
    Order { id, at: Timestamp::from_secs(1_700_000_000), note: None }
}

fn schema() -> TableSchema {
    TableSchema::new()
        .field(Field::required("id", FieldType::Int64))
        .field(Field::required("at", FieldType::Timestamp))
        .field(Field::nullable("note", FieldType::String))
}

fn sink(server: &LocalGcp) -> BigQuerySink {
    BigQuery::table(TABLE)
        .connection(Connection::local(server.endpoint()))
        .schema(schema())
        .create_with_dataset("")
        .request_bytes(4_096)
}

fn table() -> TableName {
    let reference: TableReference = TABLE.parse().unwrap();
    TableName::new(reference.project(), reference.dataset(), reference.table())
}

/// What stands where the engine would: a writer, a waker, a runtime, a clock.
struct Job {
    woken: Arc<Notify>,
    clock: ManualClock,
    writer: BigQueryWriter<Order>,
    refused: Batch<Refused>,
    epoch: u64,
}

impl Job {
    fn start(sink: &BigQuerySink) -> Self {
        let woken = Arc::new(Notify::new());
        let runtime = tokio::runtime::Handle::current();
        let waker = Arc::clone(&woken);
        let mut ctx = IoContext::detached("Test");
        ctx.io = Io::new(move |task| drop(runtime.spawn(task)));
        ctx.waker = Waker::new(move || waker.notify_one());
        let writer = Sink::<Order>::writer(sink, &ctx).unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(2_000_000_000));
        Self { woken, clock, writer, refused: Batch::new(), epoch: 0 }
    }

    /// Starts after a crash, from the checkpoint with `committable`.
    async fn restart(sink: &BigQuerySink, committable: Committable) -> Result<Self, BoxError> {
        let mut job = Self::start(sink);
        job.writer.commit(0, committable, true)?;
        job.committed().await?;
        Ok(job)
    }

    /// Calls the writer until it is ready, waiting for its waker, or for a pause it asks for.
    async fn until<R>(
        &mut self,
        mut call: impl FnMut(
            &mut BigQueryWriter<Order>,
            &mut WriteContext<'_>,
        ) -> Poll<Result<R, BoxError>>,
    ) -> Result<R, BoxError> {
        loop {
            let mut ctx = WriteContext::new(self.clock.now(), &mut self.refused);
            if let Poll::Ready(ready) = call(&mut self.writer, &mut ctx) {
                return ready;
            }
            let pause = ctx.requested_wake().filter(|at| at.since(self.clock.now()) < PAUSE_MAX);
            match pause {
                Some(at) => self.clock.advance_to(at),
                None => tokio::time::timeout(PATIENCE, self.woken.notified())
                    .await
                    .expect("nothing wakes the worker"),
            }
        }
    }

    async fn write(&mut self, orders: impl IntoIterator<Item = Order>) -> Result<(), BoxError> {
        let mut batch = Batch::new();
        orders.into_iter().for_each(|order| batch.push(order.at, order));
        self.until(|writer, ctx| match writer.write(&mut batch, ctx) {
            Ok(()) if batch.is_empty() => Poll::Ready(Ok(())),
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }

    async fn prepare(&mut self) -> Result<Committable, BoxError> {
        self.epoch += 1;
        let epoch = self.epoch;
        self.until(|writer, ctx| writer.poll_prepare(epoch, ctx)).await
    }

    async fn commit(&mut self, committable: &Committable) -> Result<(), BoxError> {
        self.writer.commit(self.epoch, committable.clone(), false)?;
        self.committed().await
    }

    async fn committed(&mut self) -> Result<(), BoxError> {
        self.until(|writer, ctx| writer.poll_committed(ctx)).await
    }

    async fn run_epoch(&mut self, orders: impl IntoIterator<Item = Order>) -> Committable {
        self.write(orders).await.unwrap();
        let committable = self.prepare().await.unwrap();
        self.commit(&committable).await.unwrap();
        committable
    }
}

async fn queries(server: &LocalGcp) -> QueryClient {
    QueryClient::connect(&Connection::local(server.endpoint()), "demo").await.unwrap()
}

/// Visible rows, and how many ids they have.
async fn counts(server: &LocalGcp) -> (i64, i64) {
    let sql = format!("SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM `{TABLE}`");
    #[derive(Deserialize)]
    struct Counts {
        n: i64,
        ids: i64,
    }
    let counts: Counts = queries(server).await.query(sql).first().await.unwrap().unwrap();
    (counts.n, counts.ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_there_exactly_once_across_epochs_and_crashes() {
    let server = LocalGcp::start().await.unwrap();
    let sink = sink(&server);
    let mut job = Job::start(&sink);
    job.run_epoch((0..2_000).map(order)).await;
    assert_eq!(counts(&server).await, (2_000, 2_000));
    let second = job.run_epoch((2_000..4_000).map(order)).await;

    // A crash in the middle of the third epoch: what was sent never shows.
    job.write((4_000..5_500).map(order)).await.unwrap();
    drop(job);
    let mut job = Job::restart(&sink, second).await.unwrap();
    assert_eq!(counts(&server).await, (4_000, 4_000));

    // A crash after the checkpoint of the third epoch is durable and before its commit.
    job.write((4_000..6_000).map(order)).await.unwrap();
    let third = job.prepare().await.unwrap();
    assert_eq!(counts(&server).await, (4_000, 4_000));
    drop(job);
    let job = Job::restart(&sink, third.clone()).await.unwrap();
    assert_eq!(counts(&server).await, (6_000, 6_000));

    // A crash right after the restart: the same commit a second time.
    drop(job);
    let mut job = Job::restart(&sink, third).await.unwrap();
    job.run_epoch((6_000..8_000).map(order)).await;
    job.run_epoch((8_000..10_000).map(order)).await;
    assert_eq!(counts(&server).await, (10_000, 10_000));
    assert!(job.refused.is_empty());
    assert!(job.writer.bytes_written() > 4_000 * 16);
    assert_eq!(job.writer.retries(), 0);
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_replaced_cannot_go_on() {
    let server = LocalGcp::start().await.unwrap();
    let sink = sink(&server);
    let mut old = Job::start(&sink);
    let checkpoint = old.run_epoch((0..10).map(order)).await;
    let mut new = Job::restart(&sink, checkpoint).await.unwrap();
    new.run_epoch((10..20).map(order)).await;
    old.write((10..20).map(order)).await.unwrap();
    let error = old.prepare().await.unwrap_err().to_string();
    assert!(error.contains(TABLE) && error.contains("a newer run of this job"), "{error}");
    assert_eq!(counts(&server).await, (20, 20));
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_throttling_neither_lose_nor_double_rows() {
    let server = LocalGcp::start().await.unwrap();
    let mut job = Job::start(&sink(&server));
    job.run_epoch((0..500).map(order)).await;
    for (round, fault) in (1_u64..).zip(["lost", "throttled", "unavailable", "lost"]) {
        let hurt = |state: &mut millstream_local_gcp::bigquery::State| match fault {
            "lost" => state.faults().lose_append_answers(2),
            "throttled" => {
                state.faults().refuse_appends(Code::ResourceExhausted, Refusal::Requests(3))
            }
            _ => state.faults().refuse_appends(Code::Unavailable, Refusal::Requests(2)),
        };
        server
            .bigquery()
            .change(|state, _| -> Result<(), millstream_local_gcp::journal::Error> {
                hurt(state);
                Ok(())
            })
            .unwrap();
        let retries = job.writer.retries();
        job.run_epoch((500 * round..500 * (round + 1)).map(order)).await;
        assert!(job.writer.retries() > retries, "{fault}");
        let expected = i64::try_from(500 * (round + 1)).unwrap();
        assert_eq!(counts(&server).await, (expected, expected), "{fault}");
    }
    server.shutdown().await.unwrap();
}

/// Creates the table by hand, with a note of at most three characters.
async fn create_with_short_notes(server: &LocalGcp) {
    let connection = Connection::local(server.endpoint());
    let admin = TableAdmin::connect(&connection).await.unwrap();
    assert!(admin.create_dataset("demo", "sales", None).await.unwrap());
    let column = |name: &str, kind: &str, mode: &str| {
        model::TableFieldSchema::new().set_name(name).set_type(kind).set_mode(mode)
    };
    let columns = [
        column("id", "INTEGER", "REQUIRED"),
        column("at", "TIMESTAMP", "REQUIRED"),
        column("note", "STRING", "NULLABLE").set_max_length(3_i64),
    ];
    let reference = model::TableReference::new()
        .set_project_id("demo")
        .set_dataset_id("sales")
        .set_table_id("orders");
    TableService::builder()
        .with_endpoint(server.endpoint())
        .with_credentials(google_cloud_auth::credentials::anonymous::Builder::new().build())
        .build()
        .await
        .unwrap()
        .insert_table()
        .set_project_id("demo")
        .set_dataset_id("sales")
        .set_table(
            model::Table::new()
                .set_table_reference(reference)
                .set_schema(model::TableSchema::new().set_fields(columns)),
        )
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_rows_come_back_one_by_one_and_all_others_are_written() {
    for is_exact in [true, false] {
        let server = LocalGcp::start().await.unwrap();
        create_with_short_notes(&server).await;
        let mut sink = sink(&server).create_never();
        if !is_exact {
            sink = sink.at_least_once();
        }
        let mut job = Job::start(&sink);
        let noted = |id: u64| {
            let note = if id.is_multiple_of(100) { "too long" } else { "ok" };
            Order { note: Some(note.to_owned()), ..order(id) }
        };
        let outside = Order { at: Timestamp::MAX, ..order(5_000) };
        job.run_epoch((1..=1_000).map(noted).chain([outside.clone()])).await;
        assert_eq!(counts(&server).await, (990, 990));

        let refused: Vec<_> =
            job.refused.iter().map(|(at, refused)| (at, refused.clone())).collect();
        let orders: BTreeSet<u64> = refused
            .iter()
            .map(|(_, refused)| serde_json::from_slice::<Order>(&refused.element).unwrap().id)
            .collect();
        assert_eq!(orders, (1..=10).map(|n| n * 100).chain([5_000]).collect());
        assert_eq!(refused.len(), 11);
        let of = |id: u64| {
            let is_it = |refused: &Refused| {
                serde_json::from_slice::<Order>(&refused.element).unwrap().id == id
            };
            refused.iter().find(|(_, refused)| is_it(refused)).unwrap()
        };
        let (at, by_server) = of(100);
        assert_eq!(*at, order(100).at);
        assert_eq!(by_server.destination, TABLE);
        assert!(by_server.reason.contains("note"), "{}", by_server.reason);
        let (_, by_us) = of(5_000);
        assert!(by_us.reason.starts_with("column \"at\": expected TIMESTAMP"), "{}", by_us.reason);
        server.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_shows_rows_before_their_checkpoint() {
    let server = LocalGcp::start().await.unwrap();
    let mut job = Job::start(&sink(&server).at_least_once());
    job.write((0..1_000).map(order)).await.unwrap();
    let committable = job.prepare().await.unwrap();
    assert_eq!(committable, Committable::default());
    assert_eq!(counts(&server).await, (1_000, 1_000));
    job.commit(&committable).await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_table_stops_the_intake() {
    let server = LocalGcp::start().await.unwrap();
    let mut job = Job::start(&sink(&server).max_outstanding(2, 1 << 20));
    job.run_epoch([order(0)]).await;
    let mut batch = Batch::new();
    (1..=2_000).map(order).for_each(|order| batch.push(order.at, order));
    let mut ctx = WriteContext::new(job.clock.now(), &mut job.refused);
    job.writer.write(&mut batch, &mut ctx).unwrap();
    assert!(batch.len() > 1_000, "two requests of 4 KiB and one being filled: {}", batch.len());
    job.until(|writer, ctx| match writer.write(&mut batch, ctx) {
        Ok(()) if batch.is_empty() => Poll::Ready(Ok(())),
        Ok(()) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
    .unwrap();
    job.run_epoch([]).await;
    assert_eq!(counts(&server).await, (2_001, 2_001));
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_different_table_is_a_clear_error() {
    let server = LocalGcp::start().await.unwrap();
    let fails = async |sink: BigQuerySink| {
        let mut job = Job::start(&sink);
        job.write([order(1)]).await.unwrap_err().to_string()
    };
    let never = fails(sink(&server).create_never()).await;
    assert_eq!(
        never,
        format!("cannot write to {TABLE}: the table does not exist and is not to be created")
    );
    let no_dataset = fails(sink(&server).create_if_needed()).await;
    assert_eq!(no_dataset, format!("cannot create {TABLE}"));

    Job::start(&sink(&server)).run_epoch([order(1)]).await;
    let narrower = TableSchema::new()
        .field(Field::required("id", FieldType::String))
        .field(Field::required("at", FieldType::Timestamp));
    let different = fails(sink(&server).schema(narrower)).await;
    assert_eq!(
        different,
        format!(
            "table {TABLE} does not match the schema: column \"id\" is INT64 in the table, not STRING"
        )
    );
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_schema_the_columns_of_the_table_are_used() {
    let server = LocalGcp::start().await.unwrap();
    let connection = Connection::local(server.endpoint());
    let admin = TableAdmin::connect(&connection).await.unwrap();
    admin.create_dataset("demo", "sales", None).await.unwrap();
    let narrow = TableSchema::new().field(Field::required("id", FieldType::Int64));
    let reference: TableReference = TABLE.parse().unwrap();
    assert_eq!(admin.schema(&reference).await.unwrap(), None);
    assert!(admin.create_table(&reference, &narrow, &Default::default()).await.unwrap());
    assert!(!admin.create_table(&reference, &narrow, &Default::default()).await.unwrap());
    assert_eq!(admin.schema(&reference).await.unwrap(), Some(narrow));

    let bare = BigQuery::table(TABLE).connection(connection);
    let mut strict = Job::start(&bare);
    strict.run_epoch([order(1)]).await;
    assert_eq!(strict.refused.len(), 1);
    let mut lenient = Job::start(&bare.schema_policy(SchemaPolicy::DropUnknown));
    lenient.run_epoch([order(1), order(2)]).await;
    assert_eq!(counts(&server).await, (2, 2));
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_without_rows_needs_no_table_at_all() {
    let server = LocalGcp::start().await.unwrap();
    let mut job = Job::start(&sink(&server).create_never());
    let mut refused = Batch::new();
    let mut ctx = WriteContext::new(job.clock.now(), &mut refused);
    let prepared = job.writer.poll_prepare(1, &mut ctx);
    assert!(
        matches!(prepared, Poll::Ready(Ok(committable)) if committable == Committable::default())
    );
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_create_one_table_and_write_side_by_side() {
    let server = LocalGcp::start().await.unwrap();
    let sink = sink(&server);
    let (mut one, mut two) = (Job::start(&sink), Job::start(&sink));
    let even = (0..1_000).map(|n| order(2 * n));
    let odd = (0..1_000).map(|n| order(2 * n + 1));
    let (first, second) = tokio::join!(one.run_epoch(even), two.run_epoch(odd));
    assert_eq!((first.streams.len(), second.streams.len()), (1, 1));
    assert_eq!(server.bigquery().row_count(&table()), 2_000);
    assert_eq!(counts(&server).await, (2_000, 2_000));
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_take_parameters_and_give_typed_rows() {
    let server = LocalGcp::start().await.unwrap();
    let mut job = Job::start(&sink(&server));
    let noted = Order { note: Some("it's".to_owned()), ..order(7) };
    job.run_epoch([order(6), noted.clone()]).await;
    let client = queries(&server).await;
    let sql = format!("SELECT * FROM `{TABLE}` WHERE id = @id");

    #[derive(Debug, PartialEq, Deserialize)]
    struct Found {
        id: i64,
        at: String,
        note: Option<String>,
    }
    let at = order(7).at.to_string();
    let found: Option<Found> = client.query(&sql).named("id", 7).first().await.unwrap();
    assert_eq!(found, Some(Found { id: 7, at: at.clone(), note: noted.note.clone() }));
    let none: Option<Found> = client.query(&sql).named("id", 8).first().await.unwrap();
    assert_eq!(none, None);

    let by_note = format!("SELECT id, at FROM `{TABLE}` WHERE note = ? OR id < ? ORDER BY id");
    let rows = client.query(&by_note).positional("it's").positional(7).rows().await.unwrap();
    let rows: Vec<_> = rows.into_iter().map(serde_json::Value::Object).collect();
    assert_eq!(rows, [json!({"id": 6, "at": at}), json!({"id": 7, "at": at})]);
    let empty = client.query(&by_note).positional("").positional(Parameter::null(FieldType::Int64));
    assert_eq!(empty.rows().await.unwrap(), []);
    let error = client.query(&sql).named("id", 7).fetch::<(i64, i64)>().await.unwrap_err();
    assert_eq!(error.to_string(), "row 0 of the answer does not have the expected form");
    server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_queries_say_which_way_they_failed() {
    let server = LocalGcp::start().await.unwrap();
    let client = queries(&server).await;
    let missing = client.query("SELECT 1 FROM `demo.sales.nothing`").rows().await.unwrap_err();
    assert!(missing.is_not_found() && !missing.is_invalid(), "{missing}");
    let wrong = client.query("SELEKT 1").rows().await.unwrap_err();
    assert!(wrong.is_invalid() && !wrong.is_not_found(), "{wrong}");
    let both = client.query("SELECT @a, ?").named("a", 1).positional(2).rows().await.unwrap_err();
    assert!(both.is_invalid(), "{both}");
    let endpoint = server.endpoint();
    server.shutdown().await.unwrap();
    let nobody = QueryClient::connect(&Connection::local(endpoint), "demo").await.unwrap();
    let gone =
        nobody.timeout(Duration::from_millis(200)).query("SELECT 1").rows().await.unwrap_err();
    assert!(gone.is_timeout() || gone.is_unavailable(), "{gone}");

    // Whoever listens without ever answering.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = Connection::local(silent.local_addr().unwrap().to_string());
    let waiting = QueryClient::connect(&connection, "demo").await.unwrap();
    let query = waiting.query("SELECT 1").timeout(Duration::from_millis(50));
    let late = query.rows().await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
}
