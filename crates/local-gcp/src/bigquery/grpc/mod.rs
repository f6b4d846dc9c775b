//! The Storage Write API over gRPC.

mod append;
mod convert;
mod write;

pub use write::WriteService;
