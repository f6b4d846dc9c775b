//! The two faces of a BigQuery, ready to be merged into a server.

use axum::Router;
use tonic::codec::CompressionEncoding;

use super::grpc::{ReadService, WriteService};
use super::handle::BigQuery;
use super::rest;
use crate::proto::bigquery_read::BigQueryReadServer;
use crate::proto::bigquery_write::BigQueryWriteServer;

/// Longest append request in bytes: Google's limit of 20 MB, and a little for what frames the rows.
pub const APPEND_BYTES_MAX: usize = 21 << 20;

/// The REST routes (below `/bigquery/v2`, and where files are uploaded) and the gRPC services of a BigQuery.
pub fn service(
    bigquery: &BigQuery,
) -> (Router, BigQueryWriteServer<WriteService>, BigQueryReadServer<ReadService>) {
    let write = BigQueryWriteServer::new(WriteService::new(bigquery.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(APPEND_BYTES_MAX);
    let read = BigQueryReadServer::new(ReadService::new(bigquery.clone()));
    (rest::router(bigquery.clone()), write, read)
}
