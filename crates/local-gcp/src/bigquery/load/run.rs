//! Runs a load job.

use super::detect::detect;
use super::options::{Format, LoadOptions};
use super::target::Target;
use super::{csv, json_lines};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::handle::BigQuery;
use crate::bigquery::ingest::{JsonRows, missing_values};
use crate::bigquery::schema::TableSchema;
use crate::bigquery::state::{CheckedRows, Load, WriteDisposition};
use crate::bigquery::value::Value;

/// The longest file. Google takes 5 TB; here a load is one change in memory and in the journal.
pub(crate) const FILE_BYTES_MAX: usize = 128 << 20;

/// Rows checked and kept together.
const BATCH_ROWS: usize = 65_536;

/// Faults told; Google's list is cut too.
const FAULTS_TOLD: usize = 100;

/// What is wrong with a row of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) message: String,
}

/// The rows of a file with their lines, and those that are none.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) rows: Vec<(u64, Vec<Value>)>,
    pub(super) faults: Vec<Fault>,
}

/// What a load job did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) file_bytes: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) bad_rows: u64,
    /// Rows that were left out, and why.
    pub(crate) errors: Vec<ApiError>,
    /// Why nothing was loaded.
    pub(crate) failure: Option<ApiError>,
}

/// Loads a file into a table. Blocks for as long as the rows take.
pub(crate) fn load(bigquery: &BigQuery, options: LoadOptions, file: &[u8]) -> Loaded {
    let mut loaded = Loaded { file_bytes: file.len() as u64, ..Loaded::default() };
    if let Err(failure) = try_load(bigquery, options, file, &mut loaded) {
        loaded.failure = Some(failure);
    }
    loaded
}

fn try_load(
    bigquery: &BigQuery,
    mut options: LoadOptions,
    file: &[u8],
    loaded: &mut Loaded,
) -> Result<(), ApiError> {
    let table = bigquery.read(|state| state.table(&options.table).map(|it| it.schema.clone()));
    if table.is_none() && !options.create {
        return Err(ApiError::table_not_found(&options.table));
    }
    let table = table.filter(|schema| !schema.fields.is_empty());
    let target = target(&mut options, table.as_ref(), file)?;
    let missing = missing_values(&target.read, bigquery.now())?;
    let mut read = read(&options, &target.read, &missing, file);
    let batches = check(&target, &mut read)?;
    loaded.rows = batches.iter().map(|rows| rows.len() as u64).sum();
    tell(loaded, read.faults, options.bad_rows_max)?;
    let empties = batches.is_empty() && options.write == WriteDisposition::Truncate;
    if batches.is_empty() && !empties && table.as_ref() == Some(&target.table) {
        return Ok(());
    }
    let load = Load {
        create: options.create,
        write: options.write,
        properties: options.properties,
        ..Load::new(options.table, target.table, batches)
    };
    loaded.bytes = bigquery.change(|state, now| state.load(now, load))?;
    Ok(())
}

/// Settles the schemas. A header found while detecting one is skipped from then on.
fn target(
    options: &mut LoadOptions,
    table: Option<&TableSchema>,
    file: &[u8],
) -> Result<Target, ApiError> {
    let mut given = options.schema.take();
    let replaces = options.write == WriteDisposition::Truncate;
    let wanted =
        table.is_none() || replaces || options.adds_fields || options.format == Format::Csv;
    if given.is_none() && options.autodetect && wanted {
        let detected = detect(options, file);
        options.csv.skip_rows += detected.as_ref().map_or(0, |it| it.header_rows);
        let keeps_table = table.is_some() && !replaces && !options.adds_fields;
        given = detected.map(|it| it.schema).filter(|_| !keeps_table);
    }
    Target::new(options, table, given)
}

fn read(options: &LoadOptions, schema: &TableSchema, missing: &[Value], file: &[u8]) -> Read {
    let ignore_unknown = options.ignore_unknown;
    match options.format {
        Format::Csv => csv::read(file, &options.csv, schema, missing, ignore_unknown),
        Format::JsonLines => {
            let missing = missing.to_vec();
            let reader = JsonRows { schema, missing, ignore_unknown, any_json: true };
            json_lines::read(file, &reader)
        }
    }
}

/// Checks the rows in batches; those that do not fit become faults.
fn check(target: &Target, read: &mut Read) -> Result<Vec<CheckedRows>, ApiError> {
    let mut batches = Vec::new();
    let mut rows = std::mem::take(&mut read.rows).into_iter();
    loop {
        let mut batch: Vec<_> = rows.by_ref().take(BATCH_ROWS).collect();
        if batch.is_empty() {
            return Ok(batches);
        }
        batch.iter_mut().for_each(|(_, row)| target.arrange(row));
        let faults = &mut read.faults;
        let checked = CheckedRows::sift(&target.table, &mut batch, |line, message| {
            faults.push(Fault { line, message });
        })?;
        batches.extend(checked);
    }
}

/// Tells of bad rows; an error if they are more than allowed.
fn tell(loaded: &mut Loaded, mut faults: Vec<Fault>, max: u64) -> Result<(), ApiError> {
    faults.sort_by_key(|fault| fault.line);
    loaded.bad_rows = faults.len() as u64;
    let told = faults.into_iter().take(FAULTS_TOLD).map(|Fault { line, message }| {
        let message = format!("Error while reading data, error message: {message}; line {line}");
        ApiError::new(Reason::Invalid, message)
    });
    loaded.errors = told.collect();
    if loaded.bad_rows <= max {
        return Ok(());
    }
    let (rows, bad) = (loaded.rows + loaded.bad_rows, loaded.bad_rows);
    loaded.rows = 0;
    Err(ApiError::invalid(format!(
        "Error while reading data, error message: too many errors, giving up. Rows: {rows}; errors: {bad}; maxBadRecords: {max}. Please look into the errors[] collection for more details."
    )))
}

#[cfg(test)]
pub(super) fn options_of(configuration: serde_json::Value) -> LoadOptions {
    let mut configuration = configuration;
    let table = serde_json::json!({"projectId": "p", "datasetId": "d", "tableId": "t"});
    configuration["destinationTable"] = table;
    LoadOptions::read(&configuration).unwrap()
}
