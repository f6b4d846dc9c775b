//! The service: unary calls here, connections that append rows in `append`.

use futures::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::append::append_rows;
use super::convert::{call_status, table_schema, timestamp};
use crate::bigquery::error::{StorageErrorCode, WriteError};
use crate::bigquery::handle::{BigQuery, LOCATION};
use crate::bigquery::names::{StreamName, TableName};
use crate::bigquery::state::{CommitOutcome, State, StreamType, WriteStream};
use crate::proto::bigquery_storage as proto;
use crate::proto::bigquery_write::BigQueryWrite;

/// `google.cloud.bigquery.storage.v1.BigQueryWrite` on a [`BigQuery`].
#[derive(Clone, Debug)]
pub struct WriteService {
    bigquery: BigQuery,
}

impl WriteService {
    pub(crate) fn new(bigquery: BigQuery) -> Self {
        Self { bigquery }
    }

    /// Refuses a call if one is due to be refused.
    fn check(&self) -> Result<(), WriteError> {
        self.bigquery.change(|state, now| state.faults().check_write(now))
    }
}

#[tonic::async_trait]
impl BigQueryWrite for WriteService {
    type AppendRowsStream = BoxStream<'static, Result<proto::AppendRowsResponse, Status>>;

    async fn create_write_stream(
        &self,
        request: Request<proto::CreateWriteStreamRequest>,
    ) -> Result<Response<proto::WriteStream>, Status> {
        let request = request.into_inner();
        let create = || {
            self.check()?;
            let table = parse_table(&request.parent)?;
            let wanted = request.write_stream.as_ref().map(|stream| stream.r#type());
            let stream_type = match wanted {
                Some(proto::write_stream::Type::Committed) => StreamType::Committed,
                Some(proto::write_stream::Type::Buffered) => StreamType::Buffered,
                Some(proto::write_stream::Type::Pending) => StreamType::Pending,
                _ => return Err(WriteError::invalid("The type of the write stream must be set")),
            };
            self.bigquery.change(|state, now| {
                let stream = state.create_write_stream(now, &table, stream_type)?;
                Ok(stream_message(state, &stream, true))
            })
        };
        answer(create())
    }

    async fn append_rows(
        &self,
        request: Request<Streaming<proto::AppendRowsRequest>>,
    ) -> Result<Response<Self::AppendRowsStream>, Status> {
        Ok(Response::new(append_rows(self.bigquery.clone(), request.into_inner())))
    }

    async fn get_write_stream(
        &self,
        request: Request<proto::GetWriteStreamRequest>,
    ) -> Result<Response<proto::WriteStream>, Status> {
        let request = request.into_inner();
        let full = request.view() == proto::WriteStreamView::Full;
        let name = self.check().and_then(|()| parse_stream(&request.name));
        let found = name.and_then(|name| {
            self.bigquery.read(|state| {
                let stream = state.write_stream(&name)?;
                Ok(stream_message(state, &stream, full))
            })
        });
        answer(found)
    }

    async fn finalize_write_stream(
        &self,
        request: Request<proto::FinalizeWriteStreamRequest>,
    ) -> Result<Response<proto::FinalizeWriteStreamResponse>, Status> {
        let name = self.check().and_then(|()| parse_stream(&request.into_inner().name));
        let finalized = name.and_then(|name| {
            self.bigquery.change(|state, now| state.finalize_write_stream(now, &name))
        });
        answer(finalized.map(|rows| proto::FinalizeWriteStreamResponse { row_count: signed(rows) }))
    }

    async fn batch_commit_write_streams(
        &self,
        request: Request<proto::BatchCommitWriteStreamsRequest>,
    ) -> Result<Response<proto::BatchCommitWriteStreamsResponse>, Status> {
        let request = request.into_inner();
        let commit = || {
            self.check()?;
            let table = parse_table(&request.parent)?;
            let streams = request.write_streams.iter().map(|name| parse_stream(name));
            let streams = streams.collect::<Result<Vec<_>, _>>()?;
            self.bigquery
                .change(|state, now| state.batch_commit_write_streams(now, &table, &streams))
        };
        answer(commit().map(commit_message))
    }

    async fn flush_rows(
        &self,
        request: Request<proto::FlushRowsRequest>,
    ) -> Result<Response<proto::FlushRowsResponse>, Status> {
        let request = request.into_inner();
        let flush = || {
            self.check()?;
            let stream = parse_stream(&request.write_stream)?;
            let offset = request.offset;
            let offset =
                offset.ok_or_else(|| WriteError::invalid("The offset to flush to must be set"))?;
            self.bigquery.change(|state, now| state.flush_rows(now, &stream, offset))
        };
        answer(flush().map(|offset| proto::FlushRowsResponse { offset }))
    }
}

fn answer<T>(result: Result<T, WriteError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| call_status(&error))
}

fn parse_table(path: &str) -> Result<TableName, WriteError> {
    TableName::from_path(path)
        .ok_or_else(|| WriteError::invalid(format!("Invalid table name: {path}")))
}

/// Reads a stream's name.
pub(super) fn parse_stream(path: &str) -> Result<StreamName, WriteError> {
    StreamName::from_path(path).ok_or_else(|| {
        WriteError::invalid("Invalid stream name.")
            .with_detail(StorageErrorCode::StreamNotFound, path)
            .ending_connection()
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn stream_message(state: &State, stream: &WriteStream, full: bool) -> proto::WriteStream {
    let table = &stream.name.table;
    let stream_type = match stream.stream_type {
        StreamType::Committed => proto::write_stream::Type::Committed,
        StreamType::Buffered => proto::write_stream::Type::Buffered,
        StreamType::Pending => proto::write_stream::Type::Pending,
    };
    let committed = match stream.stream_type {
        StreamType::Committed => Some(stream.created),
        StreamType::Buffered | StreamType::Pending => stream.committed,
    };
    let schema = state.table(table).filter(|_| full);
    let dataset = state.dataset(&table.dataset);
    proto::WriteStream {
        name: stream.name.path(),
        r#type: stream_type.into(),
        create_time: Some(timestamp(stream.created)),
        commit_time: committed.map(timestamp),
        table_schema: schema.map(|table| table_schema(&table.schema)),
        write_mode: proto::write_stream::WriteMode::Insert.into(),
        location: dataset.map_or(LOCATION, |dataset| &dataset.location).to_lowercase(),
    }
}

fn commit_message(outcome: CommitOutcome) -> proto::BatchCommitWriteStreamsResponse {
    match outcome {
        CommitOutcome::Committed(at) => proto::BatchCommitWriteStreamsResponse {
            commit_time: Some(timestamp(at)),
            stream_errors: Vec::new(),
        },
        CommitOutcome::Refused(faults) => proto::BatchCommitWriteStreamsResponse {
            commit_time: None,
            stream_errors: faults
                .into_iter()
                .map(|fault| proto::StorageError {
                    code: fault.code.number(),
                    entity: fault.stream,
                    error_message: fault.message,
                })
                .collect(),
        },
    }
}
