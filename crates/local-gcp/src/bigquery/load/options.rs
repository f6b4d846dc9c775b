//! What the configuration of a load job says.

use serde_json::{Map, Value as Json};

use super::dispositions::{may_create, write_disposition};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::names::TableName;
use crate::bigquery::rest::schema;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::state::WriteDisposition;

/// Form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    JsonLines,
}

/// How CSV is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CsvOptions {
    pub(crate) delimiter: u8,
    /// `None` if no character quotes.
    pub(crate) quote: Option<u8>,
    pub(crate) skip_rows: u64,
    pub(crate) quoted_newlines: bool,
    pub(crate) jagged_rows: bool,
    /// Fields that are nothing.
    pub(crate) null_markers: Vec<String>,
    pub(crate) latin1: bool,
}

/// A load job.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    pub(crate) table: TableName,
    pub(crate) format: Format,
    pub(crate) csv: CsvOptions,
    pub(crate) schema: Option<TableSchema>,
    pub(crate) autodetect: bool,
    pub(crate) create: bool,
    pub(crate) write: WriteDisposition,
    pub(crate) ignore_unknown: bool,
    pub(crate) bad_rows_max: u64,
    /// Whether columns may be added to the table.
    pub(crate) adds_fields: bool,
    /// Whether REQUIRED columns of the table may become NULLABLE.
    pub(crate) relaxes_fields: bool,
    /// Properties of a table that is created.
    pub(crate) properties: Map<String, Json>,
}

impl LoadOptions {
    /// Reads a `JobConfigurationLoad`.
    ///
    /// # Errors
    /// When a field is malformed, or asks for something this server does not do.
    pub(crate) fn read(given: &Json) -> Result<Self, ApiError> {
        let uris = given["sourceUris"].as_array().map_or(0, Vec::len);
        if uris > 0 {
            return Err(not_supported("Loading from Cloud Storage (sourceUris)"));
        }
        let table = table_of(&given["destinationTable"])?;
        let updates = updates(&given["schemaUpdateOptions"])?;
        Ok(Self {
            table,
            format: format(&given["sourceFormat"])?,
            csv: CsvOptions::read(given)?,
            schema: schema::from_json(&given["schema"])?.filter(|it| !it.fields.is_empty()),
            autodetect: flag(given, "autodetect"),
            create: may_create(given)?,
            write: write_disposition(given, WriteDisposition::Append)?,
            ignore_unknown: flag(given, "ignoreUnknownValues"),
            bad_rows_max: count(given, "maxBadRecords")?,
            adds_fields: updates.contains(&"ALLOW_FIELD_ADDITION"),
            relaxes_fields: updates.contains(&"ALLOW_FIELD_RELAXATION"),
            properties: properties(given),
        })
    }
}

impl CsvOptions {
    fn read(given: &Json) -> Result<Self, ApiError> {
        let latin1 = match given["encoding"].as_str().unwrap_or("UTF-8") {
            "UTF-8" => false,
            "ISO-8859-1" => true,
            other => return Err(not_supported(&format!("Encoding {other}"))),
        };
        let quote = match given["quote"].as_str() {
            None => Some(b'"'),
            Some("") => None,
            Some(text) => Some(one_byte("quote", text)?),
        };
        let delimiter = match given["fieldDelimiter"].as_str() {
            None | Some("") => b',',
            Some("\\t" | "tab") => b'\t',
            Some(text) => one_byte("fieldDelimiter", text)?,
        };
        let markers = given["nullMarkers"].as_array().map_or(&[][..], Vec::as_slice);
        let mut null_markers: Vec<_> =
            markers.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        if null_markers.is_empty() {
            null_markers.push(given["nullMarker"].as_str().unwrap_or_default().to_owned());
        }
        Ok(Self {
            delimiter,
            quote,
            skip_rows: count(given, "skipLeadingRows")?,
            quoted_newlines: flag(given, "allowQuotedNewlines"),
            jagged_rows: flag(given, "allowJaggedRows"),
            null_markers,
            latin1,
        })
    }
}

fn not_supported(what: &str) -> ApiError {
    let message = format!("{what} is not supported by this local BigQuery");
    ApiError::new(Reason::NotImplemented, message)
}

fn invalid(field: &str, value: &Json) -> ApiError {
    ApiError::invalid(format!("Invalid value for {field}: {value}"))
}

fn table_of(given: &Json) -> Result<TableName, ApiError> {
    let part = |name: &str| given[name].as_str().filter(|part| !part.is_empty());
    match (part("projectId"), part("datasetId"), part("tableId")) {
        (Some(project), Some(dataset), Some(table)) => Ok(TableName::new(project, dataset, table)),
        _ => Err(ApiError::invalid("Required parameter is missing: destinationTable")),
    }
}

fn format(given: &Json) -> Result<Format, ApiError> {
    match given.as_str().unwrap_or("CSV") {
        "CSV" => Ok(Format::Csv),
        "NEWLINE_DELIMITED_JSON" => Ok(Format::JsonLines),
        other => Err(not_supported(&format!("Source format {other}"))),
    }
}

fn updates(given: &Json) -> Result<Vec<&str>, ApiError> {
    let options = given.as_array().map_or(&[][..], Vec::as_slice).iter();
    options
        .map(|option| match option.as_str() {
            Some(known @ ("ALLOW_FIELD_ADDITION" | "ALLOW_FIELD_RELAXATION")) => Ok(known),
            _ => Err(invalid("schemaUpdateOptions", option)),
        })
        .collect()
}

/// A switch; clients send booleans or texts.
fn flag(given: &Json, name: &str) -> bool {
    given[name] == true || given[name].as_str().is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

/// A count; clients send numbers or texts.
fn count(given: &Json, name: &str) -> Result<u64, ApiError> {
    match &given[name] {
        Json::Null => Ok(0),
        value => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .ok_or_else(|| invalid(name, value)),
    }
}

fn one_byte(field: &str, text: &str) -> Result<u8, ApiError> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => {
            let message = format!("{field} must be one single-byte character, not {text:?}");
            Err(ApiError::invalid(message))
        }
    }
}

fn properties(given: &Json) -> Map<String, Json> {
    const OF_JOB: [&str; 3] = ["timePartitioning", "rangePartitioning", "clustering"];
    let mut properties = match &given["destinationTableProperties"] {
        Json::Object(properties) => properties.clone(),
        _ => Map::new(),
    };
    let own = OF_JOB.iter().filter(|name| !given[**name].is_null());
    properties.extend(own.map(|name| ((*name).to_owned(), given[*name].clone())));
    properties.retain(|_, value| !value.is_null());
    properties
}
