//! Read sessions of the Storage Read API: a table's rows as they are when the session starts, projected, restricted, and
//! dealt out to streams.
//!
//! Pure: the gRPC service stands beside that of the Storage Write API.

mod avro;
mod avro_schema;
mod projection;
mod sessions;

pub(crate) use avro::encode_rows;
pub(crate) use avro_schema::schema_text;
pub(crate) use projection::Projection;
pub(crate) use sessions::{ReadSession, Sessions, StreamRows};
