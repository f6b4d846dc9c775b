//! Schemas, times and errors as Google's messages.

use prost::Message as _;

use crate::bigquery::error::WriteError;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};
use crate::clock::Timestamp;
use crate::proto::bigquery_storage as proto;
use crate::proto::rpc;

/// How `StorageError` is named inside of a status.
const STORAGE_ERROR_URL: &str = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError";

/// A table's schema as message.
pub(super) fn table_schema(schema: &TableSchema) -> proto::TableSchema {
    proto::TableSchema { fields: schema.fields.iter().map(field_schema).collect() }
}

fn field_schema(field: &Field) -> proto::TableFieldSchema {
    use proto::table_field_schema::{Mode as ProtoMode, Type};
    let field_type = match field.field_type {
        FieldType::String => Type::String,
        FieldType::Bytes => Type::Bytes,
        FieldType::Int64 => Type::Int64,
        FieldType::Float64 => Type::Double,
        FieldType::Bool => Type::Bool,
        FieldType::Numeric => Type::Numeric,
        FieldType::BigNumeric => Type::Bignumeric,
        FieldType::Date => Type::Date,
        FieldType::Time => Type::Time,
        FieldType::DateTime => Type::Datetime,
        FieldType::Timestamp => Type::Timestamp,
        FieldType::Json => Type::Json,
        FieldType::Geography => Type::Geography,
        FieldType::Struct(_) => Type::Struct,
    };
    let mode = match field.mode {
        Mode::Nullable => ProtoMode::Nullable,
        Mode::Required => ProtoMode::Required,
        Mode::Repeated => ProtoMode::Repeated,
    };
    proto::TableFieldSchema {
        name: field.name.clone(),
        r#type: field_type.into(),
        mode: mode.into(),
        fields: field.fields().iter().map(field_schema).collect(),
        description: field.description.clone().unwrap_or_default(),
        max_length: field.max_length.unwrap_or(0),
        precision: field.precision.unwrap_or(0),
        scale: field.scale.unwrap_or(0),
        default_value_expression: field.default_value_expression.clone().unwrap_or_default(),
        ..proto::TableFieldSchema::default()
    }
}

/// An instant as message.
pub(super) fn timestamp(timestamp: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = timestamp.as_seconds_and_nanos();
    prost_types::Timestamp { seconds, nanos }
}

/// An error as `google.rpc.Status`, for answers that carry one.
pub(super) fn rpc_status(error: &WriteError) -> rpc::Status {
    let details = error.detail.iter().map(|(code, entity)| {
        let detail = proto::StorageError {
            code: code.number(),
            entity: entity.clone(),
            error_message: error.message.clone(),
        };
        prost_types::Any { type_url: STORAGE_ERROR_URL.to_owned(), value: detail.encode_to_vec() }
    });
    rpc::Status {
        code: error.code.grpc().into(),
        message: error.to_string(),
        details: details.collect(),
    }
}

/// An error that ends a call.
pub(super) fn call_status(error: &WriteError) -> tonic::Status {
    let details = rpc_status(error).encode_to_vec();
    tonic::Status::with_details(error.code.grpc(), error.to_string(), details.into())
}
