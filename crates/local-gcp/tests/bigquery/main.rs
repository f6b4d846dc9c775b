//! BigQuery over the wire, by Google's own Rust clients and by a bare gRPC one.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic, are not tests to the lint"
)]

mod read;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_ipc::writer::StreamWriter;
use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_bigquery::client::{BigQuery, Write};
use google_cloud_bigquery::error::{AppendError, CommitError};
use google_cloud_bigquery::model::storage_error::StorageErrorCode;
use google_cloud_bigquery::model::{ArrowRecordBatch, ArrowSchema};
use google_cloud_bigquery::write::stream_type::{BufferedStream, CommittedStream, PendingStream};
use google_cloud_bigquery_v2::client::{DatasetService, JobService, TableService};
use google_cloud_bigquery_v2::{Error as AdminError, model};
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::bigquery::{
    Code, Field, FieldType, Refusal, StreamName, TableName, TableSchema, Value,
};
use millstream_local_gcp::journal;
use millstream_local_gcp::proto::bigquery_storage as proto;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use proto::append_rows_request::{ProtoData, Rows};
use proto::append_rows_response::Response as Outcome;
use proto::big_query_write_client::BigQueryWriteClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("nothing here takes long")
}

fn nobody() -> Credentials {
    anonymous::Builder::new().build()
}

fn table() -> TableName {
    TableName::new("p", "d", "orders")
}

fn schema() -> TableSchema {
    TableSchema::new(vec![
        Field::required("id", FieldType::Int64),
        Field::nullable("sku", FieldType::String),
        Field::nullable("at", FieldType::Timestamp),
    ])
}

/// A server with the table `p.d.orders`.
async fn server() -> LocalGcp {
    let local = LocalGcp::start().await.unwrap();
    local.bigquery().ensure_table(&table(), &schema()).unwrap();
    local
}

async fn write_client(local: &LocalGcp) -> Write {
    let builder = Write::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

async fn query_client(local: &LocalGcp) -> BigQuery {
    let builder = BigQuery::builder().with_endpoint(local.endpoint()).with_project_id("p");
    builder.with_credentials(nobody()).build().await.unwrap()
}

async fn table_admin(local: &LocalGcp) -> TableService {
    let builder = TableService::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

fn batch(ids: &[Option<i64>]) -> RecordBatch {
    let skus = ids.iter().map(|id| id.map(|id| format!("sku{id}")));
    let times = ids.iter().map(|id| id.map(|id| id * 1_000_000));
    let times: TimestampMicrosecondArray = times.collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(ids.iter().copied().collect::<Int64Array>()), true),
        ("sku", Arc::new(skus.collect::<StringArray>()), true),
        ("at", Arc::new(times.with_timezone("UTC")), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Schema message and batch message of some orders.
fn messages(ids: &[Option<i64>]) -> (Vec<u8>, Vec<u8>) {
    let batch = batch(ids);
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    let schema = writer.get_ref().clone();
    writer.write(&batch).unwrap();
    let rows = writer.get_ref()[schema.len()..].to_vec();
    (schema, rows)
}

fn arrow_schema() -> ArrowSchema {
    ArrowSchema::new().set_serialized_schema(messages(&[]).0)
}

fn orders(ids: std::ops::Range<i64>) -> ArrowRecordBatch {
    let ids: Vec<_> = ids.map(Some).collect();
    ArrowRecordBatch::new().set_serialized_record_batch(messages(&ids).1)
}

/// The ids in the table, in order of arrival.
fn ids(local: &LocalGcp) -> Vec<i64> {
    let rows = local.bigquery().rows(&table());
    rows.iter().filter_map(|row| row[0].as_i64()).collect()
}

/// The status code of a failed append.
fn code(error: &AppendError) -> String {
    match error {
        AppendError::Rpc { source, .. } => {
            source.status().map(|status| status.code.name().to_owned()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn admin_code(error: &AdminError) -> &'static str {
    error.status().map(|status| status.code.name()).unwrap()
}

#[tokio::test]
async fn datasets_and_tables_live_their_life_by_the_official_client() {
    let local = LocalGcp::start().await.unwrap();
    let builder = DatasetService::builder().with_endpoint(local.endpoint());
    let datasets = builder.with_credentials(nobody()).build().await.unwrap();
    let dataset = || {
        let reference = model::DatasetReference::new().set_project_id("p").set_dataset_id("d");
        model::Dataset::new().set_dataset_reference(reference).set_location("EU")
    };
    let insert = || datasets.insert_dataset().set_project_id("p").set_dataset(dataset());
    let created = insert().send().await.unwrap();
    assert_eq!((created.id.as_str(), created.location.as_str()), ("p:d", "EU"));
    assert_eq!(admin_code(&insert().send().await.unwrap_err()), "ALREADY_EXISTS");

    let tables = table_admin(&local).await;
    let field = |name: &str, kind: &str| {
        model::TableFieldSchema::new().set_name(name).set_type(kind).set_mode("NULLABLE")
    };
    let with_fields = |fields: Vec<model::TableFieldSchema>| {
        let reference =
            model::TableReference::new().set_project_id("p").set_dataset_id("d").set_table_id("t");
        let schema = model::TableSchema::new().set_fields(fields);
        model::Table::new().set_table_reference(reference).set_schema(schema)
    };
    let narrow = vec![field("a", "INTEGER")];
    let wide = vec![field("a", "INTEGER"), field("b", "STRING")];
    let inserted = tables
        .insert_table()
        .set_project_id("p")
        .set_dataset_id("d")
        .set_table(with_fields(narrow.clone()).set_labels([("team", "tea")]))
        .send()
        .await
        .unwrap();
    assert_eq!(inserted.num_rows, Some(0));

    let patch = |fields| {
        let patch = tables.patch_table().set_project_id("p").set_dataset_id("d").set_table_id("t");
        patch.set_table(with_fields(fields)).send()
    };
    let patched = patch(wide).await.unwrap();
    assert_eq!(patched.schema.unwrap().fields.len(), 2);
    assert_eq!(patched.labels.get("team").map(String::as_str), Some("tea"));
    assert_eq!(admin_code(&patch(narrow).await.unwrap_err()), "INVALID_ARGUMENT");

    let list = tables.list_tables().set_project_id("p").set_dataset_id("d").send().await.unwrap();
    assert_eq!(list.tables.len(), 1);
    let delete = |contents| {
        let delete = datasets.delete_dataset().set_project_id("p").set_dataset_id("d");
        delete.set_delete_contents(contents).send()
    };
    assert!(delete(false).await.is_err());
    delete(true).await.unwrap();
    let get = tables.get_table().set_project_id("p").set_dataset_id("d").set_table_id("t");
    assert_eq!(admin_code(&get.send().await.unwrap_err()), "NOT_FOUND");
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn rows_of_the_default_stream_are_found_by_query() {
    let local = server().await;
    let client = write_client(&local).await;
    let writer =
        client.open_default_stream(table().path()).build_arrow(arrow_schema()).await.unwrap();
    let (first, second) = (writer.append(orders(0..3)).send(), writer.append(orders(3..5)).send());
    assert_eq!(soon(first).await.unwrap().offset, None);
    soon(second).await.unwrap();

    let queries = query_client(&local).await;
    let parameter = model::QueryParameter::new()
        .set_name("sku")
        .set_parameter_type(model::QueryParameterType::new().set_type("STRING"))
        .set_parameter_value(model::QueryParameterValue::new().set_value("sku3"));
    let found = queries
        .query("SELECT id, at, COUNT(*) AS n FROM d.orders WHERE sku = @sku GROUP BY id, at")
        .set_query_parameters([parameter])
        .set_parameter_mode("NAMED")
        .until_done();
    let mut rows = soon(found).await.unwrap().read();
    let row = soon(rows.next()).await.unwrap().unwrap();
    assert_eq!((row.get::<i64>("id").unwrap(), row.get::<i64>("n").unwrap()), (3, 1));
    assert_eq!(row.get::<i64>("at").unwrap(), 3_000_000);
    assert!(soon(rows.next()).await.is_none());

    let wrong = soon(queries.query("SELECT nope FROM d.orders").until_done()).await.unwrap_err();
    assert!(format!("{wrong:?}").contains("Unrecognized name: nope at [1:8]"), "{wrong:?}");
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_long_result_comes_in_pages() {
    let local = server().await;
    let client = write_client(&local).await;
    let writer =
        client.open_default_stream(table().path()).build_arrow(arrow_schema()).await.unwrap();
    soon(writer.append(orders(0..2_500)).send()).await.unwrap();
    let queries = query_client(&local).await;
    let query =
        queries.query("SELECT id FROM `p.d.orders` ORDER BY id DESC").set_page_size(1_000_u32);
    let mut rows = soon(query.until_done()).await.unwrap().read();
    let mut found = Vec::new();
    while let Some(row) = soon(rows.next()).await {
        found.push(row.unwrap().get::<i64>("id").unwrap());
    }
    assert_eq!(found, (0..2_500).rev().collect::<Vec<_>>());

    // The same by a job of its own, as `jobs.insert` makes it.
    let builder = JobService::builder().with_endpoint(local.endpoint());
    let jobs = builder.with_credentials(nobody()).build().await.unwrap();
    let query = model::JobConfigurationQuery::new().set_query("SELECT COUNT(*) FROM d.orders");
    let configuration = model::JobConfiguration::new().set_query(query.set_use_legacy_sql(false));
    let reference = model::JobReference::new().set_project_id("p").set_job_id("mine");
    let job = model::Job::new().set_configuration(configuration).set_job_reference(reference);
    let insert = || jobs.insert_job().set_project_id("p").set_job(job.clone());
    let done = soon(insert().send()).await.unwrap();
    assert_eq!(done.status.unwrap().state, "DONE");
    assert_eq!(admin_code(&soon(insert().send()).await.unwrap_err()), "ALREADY_EXISTS");
    let results = jobs.get_query_results().set_project_id("p").set_job_id("mine").send();
    let results = soon(results).await.unwrap();
    assert_eq!(results.total_rows, Some(1));
    assert_eq!(results.rows[0]["f"][0]["v"], "2500");
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn committed_streams_refuse_offsets_that_are_not_their_end() {
    let local = server().await;
    let client = write_client(&local).await;
    let stream = client.create_stream::<CommittedStream>(table().path());
    let writer = stream.build_arrow(arrow_schema()).await.unwrap();
    let append = |offset, range| soon(writer.append(orders(range)).set_offset(offset).send());
    assert_eq!(append(0, 0..3).await.unwrap().offset, Some(0));
    assert_eq!(code(&append(0, 0..3).await.unwrap_err()), "ALREADY_EXISTS");
    assert_eq!(code(&append(4, 4..5).await.unwrap_err()), "OUT_OF_RANGE");
    // The connection has survived both.
    assert_eq!(append(3, 3..5).await.unwrap().offset, Some(3));
    assert_eq!(ids(&local), [0, 1, 2, 3, 4]);
    assert_eq!(soon(writer.finalize()).await.unwrap().row_count, 5);
    assert_eq!(code(&append(5, 5..6).await.unwrap_err()), "INVALID_ARGUMENT");
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn buffered_rows_show_up_to_the_flushed_offset() {
    let local = server().await;
    let client = write_client(&local).await;
    let stream = client.create_stream::<BufferedStream>(table().path());
    let writer = stream.build_arrow(arrow_schema()).await.unwrap();
    soon(writer.append(orders(0..5)).set_offset(0).send()).await.unwrap();
    assert!(ids(&local).is_empty());
    let waiting = tokio::spawn({
        let bigquery = local.bigquery().clone();
        async move { bigquery.wait_for_rows(&table(), 3).await }
    });
    assert_eq!(soon(writer.flush(2)).await.unwrap().offset, 2);
    assert_eq!(soon(waiting).await.unwrap(), 3);
    soon(writer.flush(1)).await.unwrap();
    assert_eq!(ids(&local), [0, 1, 2]);
    soon(writer.flush(5)).await.unwrap_err();

    // Another client takes over where this one was.
    let name = writer.write_stream().to_owned();
    drop(writer);
    let client = write_client(&local).await;
    let attached = client.attach_to_stream::<BufferedStream>(name).build_arrow(arrow_schema());
    let attached = attached.await.unwrap();
    assert_eq!(
        soon(attached.append(orders(5..6)).set_offset(5).send()).await.unwrap().offset,
        Some(5)
    );
    soon(attached.flush(5)).await.unwrap();
    assert_eq!(ids(&local), [0, 1, 2, 3, 4, 5]);
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn pending_rows_show_when_their_finalized_stream_is_committed() {
    let local = server().await;
    let client = write_client(&local).await;
    let stream = client.create_stream::<PendingStream>(table().path());
    let writer = stream.build_arrow(arrow_schema()).await.unwrap();
    soon(writer.append(orders(0..2)).set_offset(0).send()).await.unwrap();
    let early = soon(writer.commit()).await.unwrap_err();
    let CommitError::FailedTransaction { stream_errors, .. } = early else { panic!("{early:?}") };
    assert_eq!(stream_errors[0].code, StorageErrorCode::InvalidStreamState);
    assert!(ids(&local).is_empty());
    soon(writer.finalize()).await.unwrap();
    soon(writer.commit()).await.unwrap();
    assert_eq!(ids(&local), [0, 1]);
    assert!(soon(writer.commit()).await.is_err());
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn bad_rows_are_told_by_index_and_none_is_written() {
    let local = server().await;
    let client = write_client(&local).await;
    let writer =
        client.open_default_stream(table().path()).build_arrow(arrow_schema()).await.unwrap();
    let mixed = messages(&[Some(1), None, Some(2), None]).1;
    let mixed = ArrowRecordBatch::new().set_serialized_record_batch(mixed);
    let error = soon(writer.append(mixed).send()).await.unwrap_err();
    let AppendError::RowErrors { row_errors, .. } = error else { panic!("{error:?}") };
    assert_eq!(row_errors.iter().map(|error| error.index).collect::<Vec<_>>(), [1, 3]);
    assert!(row_errors[0].message.contains("id"), "{row_errors:?}");
    soon(writer.append(orders(7..8)).send()).await.unwrap();
    assert_eq!(ids(&local), [7]);
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn writers_share_a_connection_and_hear_of_new_columns() {
    let local = server().await;
    let other = TableName::new("p", "d", "others");
    local.bigquery().ensure_table(&other, &schema()).unwrap();
    let client = write_client(&local).await;
    let open = |table: TableName| {
        let builder = client.open_default_stream(table.path()).with_multiplexing(true);
        builder.build_arrow(arrow_schema())
    };
    let first = open(table()).await.unwrap();
    let second = open(other.clone()).await.unwrap();
    for n in 0..3 {
        soon(first.append(orders(n..n + 1)).send()).await.unwrap();
        soon(second.append(orders(n + 10..n + 11)).send()).await.unwrap();
    }
    assert_eq!(ids(&local), [0, 1, 2]);
    assert_eq!(local.bigquery().row_count(&other), 3);

    let mut wider = schema();
    wider.fields.push(Field::nullable("note", FieldType::String));
    let widen = local.bigquery().change(|state, now| {
        state.update_table(now, &table(), None, Some(wider), serde_json::Map::new())
    });
    widen.unwrap();
    let told = soon(first.append(orders(3..4)).send()).await.unwrap();
    assert_eq!(told.updated_schema.unwrap().fields.len(), 4);
    let told = soon(first.append(orders(4..5)).send()).await.unwrap();
    assert_eq!(told.updated_schema, None);
    local.shutdown().await.unwrap();
}

/// Copies what a killed process leaves behind: the files as they are, nothing closed or synced.
fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn answered_rows_and_streams_survive_the_death_of_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    local.bigquery().ensure_table(&table(), &schema()).unwrap();
    let client = write_client(&local).await;
    let writer =
        client.open_default_stream(table().path()).build_arrow(arrow_schema()).await.unwrap();
    soon(writer.append(orders(0..2)).send()).await.unwrap();
    let stream = client.create_stream::<BufferedStream>(table().path());
    let buffered = stream.build_arrow(arrow_schema()).await.unwrap();
    soon(buffered.append(orders(2..6)).set_offset(0).send()).await.unwrap();
    soon(buffered.flush(1)).await.unwrap();
    let name = buffered.write_stream().to_owned();

    let left = copy_of(directory.path());
    let revived = LocalGcp::builder().data_dir(left.path()).start().await.unwrap();
    assert_eq!(ids(&revived), [0, 1, 2, 3]);
    let client = write_client(&revived).await;
    let builder = client.attach_to_stream::<BufferedStream>(name);
    let attached = builder.build_arrow(arrow_schema()).await.unwrap();
    let again = soon(attached.append(orders(2..6)).set_offset(0).send()).await.unwrap_err();
    assert_eq!(code(&again), "ALREADY_EXISTS");
    soon(attached.flush(3)).await.unwrap();
    assert_eq!(ids(&revived), [0, 1, 2, 3, 4, 5]);
    revived.shutdown().await.unwrap();
    local.shutdown().await.unwrap();
}

/// A connection that sends requests as they are.
struct Bare {
    requests: mpsc::Sender<proto::AppendRowsRequest>,
    answers: Streaming<proto::AppendRowsResponse>,
}

impl Bare {
    async fn open(local: &LocalGcp, first: proto::AppendRowsRequest) -> Self {
        let channel = Channel::from_shared(local.endpoint()).unwrap().connect().await.unwrap();
        let (requests, receiver) = mpsc::channel(16);
        requests.send(first).await.unwrap();
        let call =
            BigQueryWriteClient::new(channel).append_rows(ReceiverStream::new(receiver)).await;
        Self { requests, answers: call.unwrap().into_inner() }
    }

    async fn answer(&mut self) -> Result<proto::AppendRowsResponse, tonic::Status> {
        soon(self.answers.message()).await.map(|answer| answer.expect("one answer per request"))
    }

    async fn send(
        &mut self,
        request: proto::AppendRowsRequest,
    ) -> Result<proto::AppendRowsResponse, tonic::Status> {
        self.requests.send(request).await.unwrap();
        self.answer().await
    }
}

/// An order as protocol buffer.
#[derive(Clone, PartialEq, prost::Message)]
struct Order {
    #[prost(int64, optional, tag = "1")]
    id: Option<i64>,
    #[prost(string, optional, tag = "2")]
    sku: Option<String>,
}

fn descriptor() -> DescriptorProto {
    let field = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    };
    DescriptorProto {
        name: Some("Order".to_owned()),
        field: vec![field("id", 1, Type::Int64), field("sku", 2, Type::String)],
        ..DescriptorProto::default()
    }
}

fn proto_request(stream: &str, with_schema: bool, ids: &[Option<i64>]) -> proto::AppendRowsRequest {
    let rows = ids.iter().map(|id| {
        let sku = id.map(|id| format!("sku{id}"));
        Order { id: *id, sku }.encode_to_vec().into()
    });
    let schema = proto::ProtoSchema { proto_descriptor: Some(descriptor()) };
    let data = ProtoData {
        writer_schema: with_schema.then_some(schema),
        rows: Some(proto::ProtoRows { serialized_rows: rows.collect() }),
    };
    proto::AppendRowsRequest {
        write_stream: stream.to_owned(),
        rows: Some(Rows::ProtoRows(data)),
        ..proto::AppendRowsRequest::default()
    }
}

#[tokio::test]
async fn a_connection_remembers_stream_and_schema_of_protocol_buffer_rows() {
    let local = server().await;
    let stream = StreamName::default_of(table()).path();
    let mut bare = Bare::open(&local, proto_request(&stream, true, &[Some(1), Some(2)])).await;
    let answer = bare.answer().await.unwrap();
    assert_eq!(answer.write_stream, stream);
    assert!(matches!(answer.response, Some(Outcome::AppendResult(_))));
    bare.send(proto_request("", false, &[Some(3)])).await.unwrap();

    let refused = bare.send(proto_request("", false, &[Some(4), None])).await.unwrap();
    assert_eq!(refused.row_errors.len(), 1);
    assert_eq!((refused.row_errors[0].index, refused.row_errors[0].code), (1, 1));
    assert!(matches!(refused.response, Some(Outcome::Error(status)) if status.code == 3));

    bare.send(proto_request("", false, &[Some(5)])).await.unwrap();
    assert_eq!(ids(&local), [1, 2, 3, 5]);
    let row = local.bigquery().rows(&table()).remove(3);
    assert_eq!(row, [Value::Int64(5), Value::string("sku5"), Value::Null]);

    let short = "projects/p/datasets/d/tables/orders/_default";
    let mut bare = Bare::open(&local, proto_request(short, true, &[Some(6)])).await;
    bare.answer().await.unwrap();
    assert_eq!(ids(&local).last(), Some(&6));
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn requests_a_connection_cannot_place_end_it() {
    let local = server().await;
    let default = StreamName::default_of(table()).path();
    let nameless = Bare::open(&local, proto_request("", true, &[Some(1)])).await.answer().await;
    assert_eq!(nameless.unwrap_err().code(), tonic::Code::InvalidArgument);
    let unknown = "projects/p/datasets/d/tables/nope/streams/_default";
    let unknown = Bare::open(&local, proto_request(unknown, true, &[Some(1)])).await.answer().await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);

    // Without a schema the request fails, but the connection can still be put right.
    let mut bare = Bare::open(&local, proto_request(&default, false, &[Some(1)])).await;
    let refused = bare.answer().await.unwrap();
    assert!(matches!(refused.response, Some(Outcome::Error(status)) if status.code == 3));
    bare.send(proto_request(&default, true, &[Some(1)])).await.unwrap();

    let created = local.bigquery().change(|state, now| {
        state.create_write_stream(
            now,
            &table(),
            millstream_local_gcp::bigquery::StreamType::Committed,
        )
    });
    let path = created.unwrap().name.path();
    let mixed = bare.send(proto_request(&path, true, &[Some(2)])).await;
    assert_eq!(mixed.unwrap_err().code(), tonic::Code::InvalidArgument);
    assert_eq!(ids(&local), [1]);
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn faults_are_seen_by_clients_and_lost_answers_were_applied() {
    let local = server().await;
    let created = local.bigquery().change(|state, now| {
        state.faults().refuse_appends(Code::ResourceExhausted, Refusal::Requests(1));
        state.create_write_stream(
            now,
            &table(),
            millstream_local_gcp::bigquery::StreamType::Committed,
        )
    });
    let stream = created.unwrap().name.path();
    let request = || {
        let request = proto_request(&stream, true, &[Some(1)]);
        proto::AppendRowsRequest { offset: Some(0), ..request }
    };
    let refused = Bare::open(&local, request()).await.answer().await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(ids(&local).is_empty());

    let lose = local.bigquery().change(|state, _| -> Result<(), journal::Error> {
        state.faults().lose_append_answers(1);
        Ok(())
    });
    lose.unwrap();
    let lost = Bare::open(&local, request()).await.answer().await.unwrap_err();
    assert_eq!(lost.code(), tonic::Code::Unavailable);
    assert_eq!(ids(&local), [1]);
    let again = Bare::open(&local, request()).await.answer().await.unwrap();
    assert!(matches!(again.response, Some(Outcome::Error(status)) if status.code == 6));
    assert_eq!(ids(&local), [1]);
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_ends_open_connections() {
    let local = server().await;
    let stream = StreamName::default_of(table()).path();
    let mut bare = Bare::open(&local, proto_request(&stream, true, &[Some(1)])).await;
    bare.answer().await.unwrap();
    let (stopped, end) = tokio::join!(soon(local.shutdown()), soon(bare.answers.message()));
    stopped.unwrap();
    assert_eq!(end.unwrap_err().code(), tonic::Code::Unavailable);
}
