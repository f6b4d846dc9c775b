//! BigQuery: rows by `tabledata.insertAll` over HTTP, and by `AppendRows` to the default stream as protocol buffers.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use millstream_local_gcp::proto::bigquery_storage as proto;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use proto::append_rows_request::{ProtoData, Rows};
use proto::append_rows_response::Response;
use proto::big_query_write_client::BigQueryWriteClient;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Failure, Stopwatch};

/// Rows of a call: what Google recommends for `insertAll`.
/// Source: <https://cloud.google.com/bigquery/quotas#streaming_inserts>
const ROWS_AT_ONCE: usize = 500;
/// Requests of a stream that need not be answered before the next is sent.
const UNANSWERED: usize = 4;

/// A second, as text and as microseconds since the epoch.
const SECOND: &str = "2023-11-14T22:13:20";
const SECOND_MICROS: i64 = 1_700_000_000_000_000;

/// The load of one run.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) run: usize,
    pub(crate) rows: usize,
    pub(crate) patience: Duration,
}

/// A row of the tables.
#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(double, tag = "3")]
    volume: f64,
    /// Microseconds since the epoch; all within the second of [`SECOND`].
    #[prost(int64, tag = "4")]
    at: i64,
}

impl Row {
    fn numbered(number: usize) -> Self {
        let id = i64::try_from(number).unwrap_or(i64::MAX);
        let at = SECOND_MICROS + id % 1_000_000;
        Self { id, name: format!("row number {number} of a table"), volume: 0.5, at }
    }

    fn json(&self) -> Value {
        let at = format!("{SECOND}.{:06}Z", self.at % 1_000_000);
        json!({"json": {"id": self.id, "name": self.name, "volume": self.volume, "at": at}})
    }

    fn descriptor() -> DescriptorProto {
        let kinds = [
            ("id", Type::Int64),
            ("name", Type::String),
            ("volume", Type::Double),
            ("at", Type::Int64),
        ];
        let field = |(name, kind): (&str, Type), number| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(kind.into()),
            ..Default::default()
        };
        let field = kinds.into_iter().zip(1..).map(|(kind, number)| field(kind, number)).collect();
        DescriptorProto { name: Some("Row".to_owned()), field, ..Default::default() }
    }
}

impl Load {
    /// All workloads on the server at `place`, with rows a second.
    pub(crate) async fn measure(self, place: &str) -> Result<Vec<(String, f64)>, Failure> {
        let (rest, grpc) = place.split_once(',').ok_or("expected REST_URL,GRPC_URL")?;
        let mut http = Http::connect(rest).await?;
        let datasets = "/bigquery/v2/projects/demo/datasets";
        let dataset = format!("bench_{}", self.run);
        let body = json!({"datasetReference": {"projectId": "demo", "datasetId": dataset}});
        http.call(Method::POST, datasets, &body).await?;
        let tables = format!("{datasets}/{dataset}/tables");
        for table in ["inserted", "appended"] {
            http.call(Method::POST, &tables, &table_resource(&dataset, table)).await?;
        }
        let inserted = self.insert_all(&mut http, &format!("{tables}/inserted/insertAll")).await?;
        let table = format!("projects/demo/datasets/{dataset}/tables/appended");
        let appended = self.append(grpc, table).await?;
        Ok(vec![
            (format!("insertAll, {ROWS_AT_ONCE} rows a call"), inserted),
            (format!("AppendRows, default stream, {ROWS_AT_ONCE} rows a request"), appended),
        ])
    }

    async fn insert_all(self, http: &mut Http, path: &str) -> Result<f64, Failure> {
        let numbers: Vec<usize> = (0..self.rows).collect();
        let bodies: Vec<Value> = numbers
            .chunks(ROWS_AT_ONCE)
            .map(|part| {
                let rows: Vec<Value> = part.iter().map(|n| Row::numbered(*n).json()).collect();
                json!({ "rows": rows })
            })
            .collect();
        let watch = Stopwatch::start(self.patience);
        let mut done = 0;
        for body in &bodies {
            let answer = http.call(Method::POST, path, body).await?;
            if let Some(errors) = answer.get("insertErrors") {
                return Err(format!("rows were refused, the first: {}", errors[0]).into());
            }
            done += ROWS_AT_ONCE;
            if watch.is_over() {
                break;
            }
        }
        Ok(watch.rate(done))
    }

    async fn append(self, endpoint: &str, table: String) -> Result<f64, Failure> {
        let channel = tonic::transport::Endpoint::from_shared(endpoint.to_owned())?;
        let mut client = BigQueryWriteClient::new(channel.connect().await?);
        let numbers: Vec<usize> = (0..self.rows).collect();
        let requests: Vec<_> = numbers
            .chunks(ROWS_AT_ONCE)
            .enumerate()
            .map(|(index, part)| request(&table, part, index == 0))
            .collect();
        let expected = requests.len();
        let watch = Stopwatch::start(self.patience);
        let (send, receive) = mpsc::channel(UNANSWERED);
        let sending = tokio::spawn(async move {
            for request in requests {
                // Fails when nobody waits for more answers.
                if send.send(request).await.is_err() {
                    return;
                }
            }
        });
        let mut answers = client.append_rows(ReceiverStream::new(receive)).await?.into_inner();
        let mut answered = 0;
        while answered < expected && !watch.is_over() {
            let answer = answers.message().await?.ok_or("the stream ended")?;
            if !matches!(answer.response, Some(Response::AppendResult(_))) {
                return Err(format!("rows were refused: {answer:?}").into());
            }
            answered += 1;
        }
        let rate = watch.rate(answered * ROWS_AT_ONCE);
        drop(answers);
        sending.await?;
        Ok(rate)
    }
}

/// A request of the default stream; the first says what the rows are.
fn request(table: &str, numbers: &[usize], is_first: bool) -> proto::AppendRowsRequest {
    let serialized = numbers.iter().map(|n| Row::numbered(*n).encode_to_vec().into()).collect();
    let schema = proto::ProtoSchema { proto_descriptor: Some(Row::descriptor()) };
    proto::AppendRowsRequest {
        write_stream: format!("{table}/streams/_default"),
        rows: Some(Rows::ProtoRows(ProtoData {
            writer_schema: is_first.then_some(schema),
            rows: Some(proto::ProtoRows { serialized_rows: serialized }),
        })),
        ..Default::default()
    }
}

fn table_resource(dataset: &str, table: &str) -> Value {
    let columns = [("id", "INTEGER"), ("name", "STRING"), ("volume", "FLOAT"), ("at", "TIMESTAMP")];
    let fields: Vec<Value> =
        columns.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    json!({
        "tableReference": {"projectId": "demo", "datasetId": dataset, "tableId": table},
        "schema": {"fields": fields},
    })
}

/// One HTTP connection, kept open.
struct Http {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Http {
    async fn connect(url: &str) -> Result<Self, Failure> {
        let host = url.strip_prefix("http://").ok_or("expected a URL of http")?.to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host })
    }

    async fn call(&mut self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(serde_json::to_vec(body)?.into()))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
