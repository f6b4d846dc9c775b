//! Load jobs: files that came with the request, read as rows and put into a table, all or none.
//!
//! [`LoadOptions`] is what the job's configuration says, [`load`] runs it. CSV and newline-delimited JSON are read, with
//! a schema given, the table's, or one detected from the data. Jobs do not read Cloud Storage.

mod csv;
mod csv_records;
mod detect;
mod dispositions;
mod json_lines;
mod options;
mod run;
mod target;

pub(crate) use dispositions::{may_create, write_disposition};
pub(crate) use options::LoadOptions;
pub(crate) use run::{FILE_BYTES_MAX, Loaded, load};

#[cfg(test)]
mod tests;
