//! Persistence: append-only files of checksummed records, replayed at start.
//!
//! What is promised: a request answered after [`Journal::commit`] survives the death of the process
//! (`kill -9`), because its record was handed to the operating system. It survives the death of the
//! *machine* only once [`Journal::sync`] has run, which the server does about once a second and at
//! shutdown; a development server does not pay an fsync per request.

mod directory;
mod error;
mod file;
mod frame;
#[cfg(test)]
mod tests;

pub use directory::DataDirectory;
pub use error::{BoxError, Error, Result};
pub use file::{Journal, Position};
