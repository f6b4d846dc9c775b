//! The Storage Read API by Google's own Rust client.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_ipc::reader::StreamReader;
use google_cloud_bigquery::client::Read;
use google_cloud_bigquery::model::read_session::TableReadOptions;
use google_cloud_bigquery::model::{DataFormat, ReadSession};
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::bigquery::{CheckedRows, StreamName, Value};

use super::{nobody, schema, server, soon, table};

const ROWS: i64 = 1_000;

async fn client(local: &LocalGcp) -> Read {
    let builder = Read::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

fn fill(local: &LocalGcp) {
    let row = |n| vec![Value::Int64(n), Value::string(format!("sku{n}")), Value::Null];
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    let rows = CheckedRows::from_values(&schema(), &rows).unwrap();
    let stream = StreamName::default_of(table());
    local.bigquery().change(|state, now| state.append_rows(now, &stream, None, rows)).unwrap();
}

/// Reads IPC messages: that of a schema, and that of a batch.
fn batch(schema: &[u8], rows: &[u8]) -> RecordBatch {
    let bytes = [schema, rows].concat();
    StreamReader::try_new(bytes.as_slice(), None).unwrap().next().unwrap().unwrap()
}

#[tokio::test]
async fn rows_are_read_by_session_and_stream() {
    let local = server().await;
    fill(&local);
    let client = client(&local).await;
    let options = TableReadOptions::new()
        .set_selected_fields(["id"])
        .set_row_restriction("id >= 10 AND sku <> 'sku11'");
    let wanted = ReadSession::new()
        .set_table(table().path())
        .set_data_format(DataFormat::Arrow)
        .set_read_options(options);
    let create = client.create_read_session().set_parent("projects/p").set_read_session(wanted);
    let session = soon(create.set_max_stream_count(2).send()).await.unwrap();
    assert_eq!((session.streams.len(), session.estimated_row_count), (2, ROWS - 11));
    let schema = session.arrow_schema().unwrap().serialized_schema.clone();
    let mut ids = Vec::new();
    for stream in &session.streams {
        let mut rows = client.read_rows().set_read_stream(&stream.name).into_reader();
        while let Some(answer) = soon(rows.next()).await {
            let answer = answer.unwrap();
            let bytes = &answer.arrow_record_batch().unwrap().serialized_record_batch;
            let batch = batch(&schema, bytes);
            assert_eq!(batch.num_rows() as i64, answer.row_count);
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
    }
    let expected: Vec<i64> = (10..ROWS).filter(|id| *id != 11).collect();
    assert_eq!(ids, expected);
    local.shutdown().await.unwrap();
}
