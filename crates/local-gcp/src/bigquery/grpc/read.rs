//! The service of the Storage Read API: sessions, and streams of rows.

use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tonic::{Request, Response, Status};

use super::convert::{call_status, timestamp};
use crate::bigquery::error::WriteError;
use crate::bigquery::handle::BigQuery;
use crate::bigquery::names::TableName;
use crate::bigquery::read::{Projection, ReadSession, StreamRows, encode_rows, schema_text};
use crate::bigquery::rows::build_batch;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::sql::Restriction;
use crate::proto::bigquery_read::BigQueryRead;
use crate::proto::bigquery_storage as proto;
use crate::status::Code;

/// Size of the rows of one answer, about: well below what clients receive at most.
const ANSWER_BYTES: usize = 1 << 20;
/// Where sessions are.
const LOCATION: &str = "us";

/// `google.cloud.bigquery.storage.v1.BigQueryRead` on a [`BigQuery`].
#[derive(Clone, Debug)]
pub struct ReadService {
    bigquery: BigQuery,
}

impl ReadService {
    pub(crate) fn new(bigquery: BigQuery) -> Self {
        Self { bigquery }
    }

    fn create(
        &self,
        request: proto::CreateReadSessionRequest,
    ) -> Result<proto::ReadSession, WriteError> {
        let wanted = request.read_session.unwrap_or_default();
        let project = project_of(&request.parent)?;
        let table = TableName::from_path(&wanted.table).ok_or_else(|| {
            WriteError::invalid(format!("Invalid table name: {:?}", wanted.table))
        })?;
        let is_avro = match wanted.data_format() {
            proto::DataFormat::Avro => true,
            proto::DataFormat::Arrow => false,
            proto::DataFormat::Unspecified => {
                return Err(WriteError::invalid("The data format of the session must be set"));
            }
        };
        check_options(&wanted)?;
        let options = wanted.read_options.clone().unwrap_or_default();
        let (schema, batches) = self.rows_of(&table)?;
        let projection = Projection::new(&schema, &options.selected_fields)?;
        let now = self.bigquery.now();
        let restriction = Restriction::new(&options.row_restriction, &schema, now.as_micros());
        let restriction = restriction.map_err(|error| bad_restriction(&error.message))?;
        let mut kept = Vec::with_capacity(batches.len());
        for batch in &batches {
            let rows = restriction.apply(&schema, batch);
            let rows = rows.map_err(|error| bad_restriction(&error.message))?;
            if rows.num_rows() > 0 {
                kept.push(projection.apply(&rows).map_err(|error| internal(&error))?);
            }
        }
        let session = ReadSession { projection, batches: kept, is_avro };
        let message = session_message(wanted, &session);
        let count = |count: i32| usize::try_from(count).unwrap_or(0);
        let (preferred, max) =
            (count(request.preferred_min_stream_count), count(request.max_stream_count));
        // Clients of before there was a preference ask for as many streams as they name.
        let wanted = if preferred == 0 { max } else { preferred };
        let started = self.bigquery.reads().start(now, session, wanted, max);
        let name = format!("projects/{project}/locations/{LOCATION}/sessions/{}", started.id);
        let streams = (0..started.streams).map(|number| stream_message(&name, number));
        Ok(proto::ReadSession {
            streams: streams.collect(),
            expire_time: Some(timestamp(started.expires)),
            name,
            ..message
        })
    }

    /// The schema and the rows of a table or of a query's result.
    fn rows_of(&self, table: &TableName) -> Result<(TableSchema, Vec<RecordBatch>), WriteError> {
        if let Some((_, result)) = self.bigquery.jobs().result_table(table) {
            let batch = build_batch(&result.schema, &result.rows).map_err(|it| internal(&it))?;
            return Ok((result.schema.clone(), vec![batch]));
        }
        let found = self.bigquery.read(|state| {
            let schema = state.table(table)?.schema.clone();
            Some((schema, state.batches(table, 0, u64::MAX)))
        });
        found.ok_or_else(|| WriteError::new(Code::NotFound, format!("Not found: Table {table}")))
    }

    fn stream(&self, name: &str) -> Result<StreamRows, WriteError> {
        let now = self.bigquery.now();
        parse_stream(name)
            .and_then(|(_, id, number)| self.bigquery.reads().stream(now, id, number))
            .ok_or_else(|| not_found(name))
    }

    fn split(
        &self,
        request: &proto::SplitReadStreamRequest,
    ) -> Result<proto::SplitReadStreamResponse, WriteError> {
        let (session, id, number) =
            parse_stream(&request.name).ok_or_else(|| not_found(&request.name))?;
        if !(0.0..=1.0).contains(&request.fraction) {
            return Err(WriteError::invalid("The fraction must be between 0 and 1"));
        }
        // Unset, a fraction is in the middle.
        let fraction = if request.fraction == 0.0 { 0.5 } else { request.fraction };
        self.stream(&request.name)?;
        let halves = self.bigquery.reads().split(id, number, fraction);
        Ok(match halves {
            Some((first, second)) => proto::SplitReadStreamResponse {
                primary_stream: Some(stream_message(session, first)),
                remainder_stream: Some(stream_message(session, second)),
            },
            // The stream cannot be split there; the client goes on with it.
            None => proto::SplitReadStreamResponse::default(),
        })
    }
}

#[tonic::async_trait]
impl BigQueryRead for ReadService {
    type ReadRowsStream = BoxStream<'static, Result<proto::ReadRowsResponse, Status>>;

    async fn create_read_session(
        &self,
        request: Request<proto::CreateReadSessionRequest>,
    ) -> Result<Response<proto::ReadSession>, Status> {
        let service = self.clone();
        // A restriction looks at every row.
        let created = tokio::task::spawn_blocking(move || service.create(request.into_inner()));
        let created = created.await.map_err(|error| Status::internal(error.to_string()))?;
        created.map(Response::new).map_err(|error| call_status(&error))
    }

    async fn read_rows(
        &self,
        request: Request<proto::ReadRowsRequest>,
    ) -> Result<Response<Self::ReadRowsStream>, Status> {
        let request = request.into_inner();
        let rows = self.stream(&request.read_stream).map_err(|error| call_status(&error))?;
        let length = rows.rows.end - rows.rows.start;
        let offset = u64::try_from(request.offset).ok().filter(|offset| *offset <= length);
        let offset = offset.ok_or_else(|| {
            let message = format!("Offset {} is outside of the stream", request.offset);
            Status::out_of_range(message)
        })?;
        let reading = Reading { at: rows.rows.start + offset, is_first: true, rows };
        let answers = stream::unfold(reading, |mut reading| async move {
            let answer = reading.next()?;
            Some((answer.map_err(|error| call_status(&internal(&error))), reading))
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn split_read_stream(
        &self,
        request: Request<proto::SplitReadStreamRequest>,
    ) -> Result<Response<proto::SplitReadStreamResponse>, Status> {
        let halves = self.split(request.get_ref());
        halves.map(Response::new).map_err(|error| call_status(&error))
    }
}

/// A stream on its way to a client.
struct Reading {
    rows: StreamRows,
    at: u64,
    is_first: bool,
}

impl Reading {
    fn next(&mut self) -> Option<Result<proto::ReadRowsResponse, ArrowError>> {
        let left = self.rows.rows.end.saturating_sub(self.at);
        let batch = self.rows.session.piece(self.at, left).filter(|_| left > 0)?;
        let batch = batch.slice(0, rows_of_answer(&batch));
        let start = self.at;
        self.at += batch.num_rows() as u64;
        Some(self.answer(&batch, start))
    }

    fn answer(
        &mut self,
        batch: &RecordBatch,
        start: u64,
    ) -> Result<proto::ReadRowsResponse, ArrowError> {
        let session = &self.rows.session;
        let row_count = batch.num_rows() as i64;
        let rows = if session.is_avro {
            let serialized_binary_rows = encode_rows(session.projection.schema(), batch);
            proto::read_rows_response::Rows::AvroRows(proto::AvroRows {
                serialized_binary_rows,
                ..proto::AvroRows::default()
            })
        } else {
            proto::read_rows_response::Rows::ArrowRecordBatch(proto::ArrowRecordBatch {
                serialized_record_batch: batch_bytes(batch)?,
                ..proto::ArrowRecordBatch::default()
            })
        };
        let schema =
            std::mem::take(&mut self.is_first).then(|| stream_schema(session)).transpose()?;
        let rows_of_stream = &self.rows.rows;
        let share = |at: u64| {
            (at - rows_of_stream.start) as f64 / (rows_of_stream.end - rows_of_stream.start) as f64
        };
        let progress = proto::stream_stats::Progress {
            at_response_start: share(start),
            at_response_end: share(self.at),
        };
        Ok(proto::ReadRowsResponse {
            row_count,
            stats: Some(proto::StreamStats { progress: Some(progress) }),
            throttle_state: Some(proto::ThrottleState { throttle_percent: 0 }),
            uncompressed_byte_size: None,
            rows: Some(rows),
            schema,
        })
    }
}

/// How many rows of a batch make one answer.
fn rows_of_answer(batch: &RecordBatch) -> usize {
    // A slice counts the memory of all that it is a slice of, so this is at least what its rows take.
    let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
    (ANSWER_BYTES / row_bytes.max(1)).clamp(1, batch.num_rows())
}

fn stream_schema(session: &ReadSession) -> Result<proto::read_rows_response::Schema, ArrowError> {
    Ok(if session.is_avro {
        let schema = schema_text(session.projection.schema());
        proto::read_rows_response::Schema::AvroSchema(proto::AvroSchema { schema })
    } else {
        let serialized_schema = schema_bytes(session.projection.arrow())?;
        proto::read_rows_response::Schema::ArrowSchema(proto::ArrowSchema { serialized_schema })
    })
}

/// A schema as an IPC message.
fn schema_bytes(schema: &Schema) -> Result<Bytes, ArrowError> {
    Ok(StreamWriter::try_new(Vec::new(), schema)?.get_ref().clone().into())
}

/// A batch as an IPC message without its schema.
fn batch_bytes(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    let before = writer.get_ref().len();
    writer.write(batch)?;
    let mut bytes = std::mem::take(writer.get_mut());
    bytes.drain(..before);
    Ok(bytes.into())
}

/// Refuses what would change the rows read and is not done here.
fn check_options(wanted: &proto::ReadSession) -> Result<(), WriteError> {
    let not_done = |what: &str| {
        let message = format!("{what} is not supported by this local BigQuery");
        Err(WriteError::new(Code::Unimplemented, message))
    };
    let modifiers = wanted.table_modifiers.as_ref();
    if modifiers.is_some_and(|it| it.snapshot_time.is_some()) {
        return not_done("Reading a table as of another time (snapshot_time)");
    }
    let options = wanted.read_options.as_ref();
    if options.and_then(|it| it.sample_percentage).is_some_and(|it| it < 100.0) {
        return not_done("Reading a sample (sample_percentage)");
    }
    Ok(())
}

fn session_message(wanted: proto::ReadSession, session: &ReadSession) -> proto::ReadSession {
    let rows = session.rows();
    let bytes: usize = session.batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let schema = stream_schema(session).ok().map(|schema| match schema {
        proto::read_rows_response::Schema::AvroSchema(it) => {
            proto::read_session::Schema::AvroSchema(it)
        }
        proto::read_rows_response::Schema::ArrowSchema(it) => {
            proto::read_session::Schema::ArrowSchema(it)
        }
    });
    proto::ReadSession {
        estimated_row_count: i64::try_from(rows).unwrap_or(i64::MAX),
        estimated_total_bytes_scanned: i64::try_from(bytes).unwrap_or(i64::MAX),
        schema,
        ..wanted
    }
}

fn stream_message(session: &str, number: usize) -> proto::ReadStream {
    proto::ReadStream { name: format!("{session}/streams/{number}") }
}

fn project_of(parent: &str) -> Result<&str, WriteError> {
    let project = parent.strip_prefix("projects/").filter(|it| !it.is_empty() && !it.contains('/'));
    project.ok_or_else(|| WriteError::invalid(format!("Invalid parent: {parent:?}")))
}

/// Session, its id, and the number of a stream.
fn parse_stream(name: &str) -> Option<(&str, &str, usize)> {
    let (session, number) = name.split_once("/streams/")?;
    let (_, id) = session.split_once("/sessions/")?;
    Some((session, id, number.parse().ok()?))
}

fn not_found(name: &str) -> WriteError {
    WriteError::new(
        Code::NotFound,
        format!("Not found: read stream {name}; its session may be over"),
    )
}

fn bad_restriction(message: &str) -> WriteError {
    WriteError::invalid(format!("Row restriction: {message}"))
}

fn internal(error: &ArrowError) -> WriteError {
    WriteError::new(Code::Internal, error.to_string())
}
