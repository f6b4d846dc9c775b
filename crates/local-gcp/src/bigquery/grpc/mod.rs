//! The Storage Write and Read APIs over gRPC.

mod append;
mod convert;
mod read;
mod write;

pub use read::ReadService;
pub use write::WriteService;
