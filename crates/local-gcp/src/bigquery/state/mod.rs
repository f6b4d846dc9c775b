//! The BigQuery state machine: catalogue, rows and write streams.
//!
//! Pure: no clock (`now` is an argument), no randomness (ids count up), no I/O. Every operation first checks, then makes a
//! [`Record`] of the change and applies it; a journal of the records, applied in order to an empty state,
//! gives the same state again.

mod catalog;
mod changes;
mod faults;
mod inserts;
mod load;
mod machine;
mod record;
mod resources;
mod rows_in;
#[cfg(feature = "sql")]
mod statements;
mod streams;

pub use faults::{Calls, Faults, Refusal};
pub use load::{Load, WriteDisposition};
pub use machine::State;
pub use record::{Record, StoredRows};
pub use resources::{Dataset, StreamType, Table, WriteStream};
pub use rows_in::CheckedRows;
#[cfg(feature = "sql")]
pub(crate) use statements::{Removed, TableChange};
pub use streams::{Appended, CommitFault, CommitOutcome};
