//! Connections that append rows: what a connection remembers, and one answer per request, in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use prost_types::DescriptorProto;
use tonic::{Status, Streaming};

use super::convert::{call_status, rpc_status, table_schema};
use super::write::parse_stream;
use crate::bigquery::error::WriteError;
use crate::bigquery::handle::BigQuery;
use crate::bigquery::ingest::{MessagePlan, decode_rows};
use crate::bigquery::names::StreamName;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::sql::{self, DataType};
use crate::bigquery::state::{Appended, CheckedRows};
use crate::bigquery::value::Value;
use crate::proto::bigquery_storage as proto;
use crate::proto::bigquery_storage::append_rows_request::{MissingValueInterpretation, Rows};
use crate::proto::bigquery_storage::append_rows_response::{AppendResult, Response as Outcome};

type Response = Result<proto::AppendRowsResponse, Status>;

/// Answers a connection's requests one by one until either side ends it.
pub(super) fn append_rows(
    bigquery: BigQuery,
    requests: Streaming<proto::AppendRowsRequest>,
) -> BoxStream<'static, Response> {
    let shutdown = bigquery.shutdown_token().clone();
    let connection =
        Connection { bigquery, current: None, multiplexed: false, writers: BTreeMap::new() };
    stream::unfold(Some((connection, requests)), move |open| {
        let shutdown = shutdown.clone();
        async move {
            let (mut connection, mut requests) = open?;
            let request = tokio::select! {
                biased;
                request = requests.next() => request?,
                // Tells a client that is still connected to come back later.
                () = shutdown.cancelled() => Err(Status::unavailable("the server is shutting down")),
            };
            match request.and_then(|request| connection.handle(request)) {
                Ok(response) => Some((Ok(response), Some((connection, requests)))),
                Err(status) => Some((Err(status), None)),
            }
        }
    })
    .boxed()
}

/// What one connection remembers between requests.
struct Connection {
    bigquery: BigQuery,
    /// The stream of requests that name none.
    current: Option<StreamName>,
    /// Whether requests have named several streams; from then on, all must name theirs.
    multiplexed: bool,
    writers: BTreeMap<StreamName, Writer>,
}

/// How the client writes to one stream.
struct Writer {
    format: Format,
    /// The table's schema the client knows of.
    known: TableSchema,
    /// The plan for messages, made for a schema of the table.
    plan: Option<(TableSchema, MessagePlan)>,
}

enum Format {
    Proto(Box<DescriptorProto>),
    /// The schema message.
    Arrow(Bytes),
}

impl Connection {
    /// Answers one request; an error ends the connection.
    fn handle(&mut self, request: proto::AppendRowsRequest) -> Response {
        let name = self.target(&request.write_stream).map_err(|error| call_status(&error))?;
        let result = self.append(&name, request);
        let updated_schema = self.news(&name).map(|schema| table_schema(&schema));
        let response = |outcome, row_errors| proto::AppendRowsResponse {
            updated_schema,
            row_errors,
            write_stream: name.path(),
            response: Some(outcome),
        };
        match result {
            Ok(Appended { answer_lost: true, .. }) => {
                Err(Status::unavailable("Connection lost on request of a test"))
            }
            Ok(Appended { offset, .. }) => {
                Ok(response(Outcome::AppendResult(AppendResult { offset }), Vec::new()))
            }
            Err(error) if error.ends_connection => Err(call_status(&error)),
            Err(error) => {
                let rows = error.row_errors.iter().map(|row| proto::RowError {
                    index: i64::try_from(row.index).unwrap_or(i64::MAX),
                    code: proto::row_error::RowErrorCode::FieldsError.into(),
                    message: row.message.clone(),
                });
                Ok(response(Outcome::Error(rpc_status(&error)), rows.collect()))
            }
        }
    }

    /// The stream a request is for.
    fn target(&mut self, path: &str) -> Result<StreamName, WriteError> {
        let refused = |message: &str| Err(WriteError::invalid(message).ending_connection());
        if path.is_empty() {
            return match &self.current {
                None => refused("write_stream must be set in the first request of a connection"),
                Some(_) if self.multiplexed => refused(
                    "write_stream must be set in every request once a connection is multiplexed",
                ),
                Some(current) => Ok(current.clone()),
            };
        }
        let name = parse_stream(path)?;
        match &self.current {
            Some(current) if *current != name => {
                if !(current.is_default() && name.is_default()) {
                    return refused("A connection can change between default streams only");
                }
                self.multiplexed = true;
            }
            _ => {}
        }
        self.current = Some(name.clone());
        Ok(name)
    }

    fn append(
        &mut self,
        name: &StreamName,
        request: proto::AppendRowsRequest,
    ) -> Result<Appended, WriteError> {
        let schema = self.bigquery.read(|state| {
            state.write_stream(name)?;
            let table = state.table(&name.table);
            table
                .map(|table| table.schema.clone())
                .ok_or_else(|| WriteError::table_not_found(&name.table))
        })?;
        let rows = self.decode(name, &schema, &request)?;
        self.bigquery.change(|state, now| state.append_rows(now, name, request.offset, rows))
    }

    fn decode(
        &mut self,
        name: &StreamName,
        schema: &TableSchema,
        request: &proto::AppendRowsRequest,
    ) -> Result<CheckedRows, WriteError> {
        let given = match &request.rows {
            Some(Rows::ProtoRows(data)) => {
                let writer = data.writer_schema.as_ref();
                writer
                    .and_then(|writer| writer.proto_descriptor.clone())
                    .map(|descriptor| Format::Proto(Box::new(descriptor)))
            }
            Some(Rows::ArrowRows(data)) => data
                .writer_schema
                .as_ref()
                .map(|writer| Format::Arrow(writer.serialized_schema.clone())),
            None => return Err(WriteError::invalid("The request holds no rows")),
        };
        if let Some(format) = given {
            let known =
                self.writers.remove(name).map_or_else(|| schema.clone(), |writer| writer.known);
            self.writers.insert(name.clone(), Writer { format, known, plan: None });
        }
        let Some(writer) = self.writers.get_mut(name) else {
            return Err(WriteError::invalid(
                "writer_schema must be set in the first request to a stream",
            ));
        };
        match (&request.rows, &writer.format) {
            (Some(Rows::ProtoRows(data)), Format::Proto(_)) => {
                let now = self.bigquery.now().as_micros();
                let rows = data.rows.as_ref().map_or(&[][..], |rows| &rows.serialized_rows);
                let plan = writer.plan(schema, name)?;
                let missing = missing_values(plan, schema, request, now)?;
                let rows = decode_rows(plan, rows, &missing).map_err(WriteError::rows)?;
                CheckedRows::from_values(schema, &rows)
            }
            (Some(Rows::ArrowRows(data)), Format::Arrow(writer_schema)) => {
                let batch = data.rows.as_ref().map(|rows| &rows.serialized_record_batch);
                let batch =
                    batch.ok_or_else(|| WriteError::invalid("The request holds no rows"))?;
                CheckedRows::from_arrow(schema, writer_schema, batch, &name.path())
            }
            _ => Err(WriteError::invalid("The rows are of another format than the writer_schema")),
        }
    }

    /// The table's schema, if it changed since the client last heard of it.
    fn news(&mut self, name: &StreamName) -> Option<TableSchema> {
        let writer = self.writers.get_mut(name)?;
        let known = &writer.known;
        let changed = self.bigquery.read(|state| {
            let table = state.table(&name.table)?;
            (table.schema != *known).then(|| table.schema.clone())
        })?;
        writer.known = changed.clone();
        Some(changed)
    }
}

impl Writer {
    /// The plan of this writer's messages for the table's present schema.
    fn plan(
        &mut self,
        schema: &TableSchema,
        name: &StreamName,
    ) -> Result<&MessagePlan, WriteError> {
        let Format::Proto(descriptor) = &self.format else {
            return Err(WriteError::invalid("The writer's rows are no protocol buffers"));
        };
        let plan = match self.plan.take() {
            Some((made_for, plan)) if made_for == *schema => (made_for, plan),
            _ => (schema.clone(), MessagePlan::new(descriptor, schema, &name.path())?),
        };
        Ok(&self.plan.insert(plan).1)
    }
}

/// What fields that a row lacks get, by the request's interpretations: NULL or the column's default.
fn missing_values(
    plan: &MessagePlan,
    schema: &TableSchema,
    request: &proto::AppendRowsRequest,
    now: i64,
) -> Result<Vec<Value>, WriteError> {
    let mut missing = plan.missing_values();
    let overall = request.default_missing_value_interpretation;
    for (field, value) in schema.fields.iter().zip(&mut missing) {
        let own = request
            .missing_value_interpretations
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&field.name))
            .map(|(_, interpretation)| *interpretation);
        let interpretation = own.unwrap_or(overall);
        let wants_default = interpretation == i32::from(MissingValueInterpretation::DefaultValue);
        if let (true, Some(sql)) = (wants_default, &field.default_value_expression) {
            let default = sql::constant(sql, now, &DataType::of_field(field));
            *value = default.map_err(|error| {
                WriteError::invalid(format!("Default value of field {}: {error}", field.name))
            })?;
        }
    }
    Ok(missing)
}
