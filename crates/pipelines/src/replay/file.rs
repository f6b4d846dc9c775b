//! [`ReplayFile`]: a CSV file, plain or gzipped, as JSON messages in the order of event time.
//!
//! `NA` and an empty value are null. A column that is configured as a number becomes one where it is written as one; whatever
//! does not fit is published as it stands, for the pipeline to find: the feeder drops nothing.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;
use millstream::Timestamp;
use millstream_io_gcp::bigquery::FieldType;
use rustc_hash::FxHashSet;

use super::error::ReplayError;
use crate::scheduled_ingest::{EventTimeReader, MessageConfig, Prepared};

/// First bytes of a gzip file. Source: RFC 1952.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What stands for a missing value.
const MISSING: [&str; 2] = ["NA", ""];

/// A message to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayMessage {
    /// Its event time; of a line without a usable one, that of the line before.
    pub at: Timestamp,
    /// The JSON object, or the line itself where it has another number of values than the file has columns.
    pub data: Bytes,
    /// Its stable id; nothing where the message will be a dead letter.
    pub id: Option<String>,
}

/// The messages of a file in the order of event time.
#[derive(Clone, Debug, Default)]
pub struct ReplayFile {
    messages: Vec<ReplayMessage>,
}

impl ReplayFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ReplayError`] when it cannot be read or is no CSV file.
    pub fn read(
        path: &Path,
        config: &MessageConfig,
        prepared: &Prepared,
    ) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Read { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let is_gzip = file.fill_buf().map_err(failed)?.starts_with(&GZIP_MAGIC);
        let input: Box<dyn Read> =
            if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Self::parse(input, config, prepared)
            .map_err(|source| ReplayError::Csv { path: path.to_owned(), source })
    }

    /// Reads the lines of `input`, of which the first names the columns.
    ///
    /// # Errors
    /// When the input cannot be read or is not UTF-8.
    pub fn parse(
        input: impl Read,
        config: &MessageConfig,
        prepared: &Prepared,
    ) -> Result<Self, csv::Error> {
        let mut lines = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let columns = Columns::new(lines.headers()?, config);
        let event_time = prepared.event_time.as_ref().map(EventTimeReader::unshared);
        let mut before = Timestamp::MIN;
        let mut messages = Vec::new();
        for line in lines.records() {
            let data = columns.message(&line?);
            let at = event_time.as_ref().and_then(|reader| reader.read(&data)).unwrap_or(before);
            before = at;
            messages.push(ReplayMessage { at, id: prepared.message.id(&data), data: data.into() });
        }
        messages.sort_by_key(|message| message.at);
        Ok(Self { messages })
    }

    /// The messages in the order of event time.
    #[must_use]
    pub fn messages(&self) -> &[ReplayMessage] {
        &self.messages
    }

    /// How many different messages there are: those with one id are the same.
    #[must_use]
    pub fn distinct(&self) -> usize {
        let ids: FxHashSet<_> =
            self.messages.iter().filter_map(|message| message.id.as_ref()).collect();
        ids.len() + self.messages.iter().filter(|message| message.id.is_none()).count()
    }

    /// Keeps only messages before `end`.
    #[must_use]
    pub fn until(mut self, end: Timestamp) -> Self {
        self.messages.retain(|message| message.at < end);
        self
    }

    pub(super) fn into_messages(self) -> Vec<ReplayMessage> {
        self.messages
    }
}

/// The columns of a file, ready to write messages with.
struct Columns(Vec<Column>);

struct Column {
    /// The name as a JSON string.
    name: String,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Int,
    Float,
    Bool,
}

impl Columns {
    fn new(names: &StringRecord, config: &MessageConfig) -> Self {
        let form = |name: &str| {
            let field = config.fields.iter().find(|field| field.name == name);
            match field.map(|field| &field.field_type) {
                Some(FieldType::Int64) => Form::Int,
                Some(FieldType::Float64) => Form::Float,
                Some(FieldType::Bool) => Form::Bool,
                _ => Form::Text,
            }
        };
        let column = |name| Column { name: json_text(name), form: form(name) };
        Self(names.iter().map(column).collect())
    }

    fn message(&self, line: &StringRecord) -> Vec<u8> {
        if line.len() != self.0.len() {
            return line.iter().collect::<Vec<_>>().join(",").into_bytes();
        }
        let mut text = String::with_capacity(32 * line.len());
        for (column, value) in self.0.iter().zip(line) {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&column.name);
            text.push(':');
            column.form.write(value, &mut text);
        }
        text.push('}');
        text.into_bytes()
    }
}

impl Form {
    fn write(self, value: &str, text: &mut String) {
        let as_it_is = match self {
            _ if MISSING.contains(&value) => return text.push_str("null"),
            Self::Text => false,
            Self::Int => value.parse::<i64>().is_ok(),
            Self::Float => value.parse::<f64>().is_ok_and(f64::is_finite),
            Self::Bool => matches!(value, "true" | "false"),
        };
        // Only what JSON itself takes for a number or a truth value: no leading zeros or plus signs.
        if as_it_is && serde_json::from_str::<serde_json::Value>(value).is_ok() {
            text.push_str(value);
        } else {
            text.push_str(&json_text(value));
        }
    }
}

fn json_text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::scheduled_ingest::ScheduledIngestConfig;

    const LINES: &str = "\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour
2013,1,1,533,529,4,850,830,20,UA,1714,N24211,LGA,IAH,227,1416,5,29,2013-01-01T10:00:00Z
2013,1,1,NA,515,NA,NA,819,NA,UA,1545,NA,EWR,IAH,NA,1400,5,15,2013-01-01T10:00:00Z
2013,1,1,x\"5,540,2
";

    fn config() -> ScheduledIngestConfig {
        let table = |name: &str| format!("p.d.{name}").parse().unwrap();
        ScheduledIngestConfig::flights(
            "projects/p/subscriptions/flights",
            table("rows"),
            table("aggregates"),
            table("dead"),
        )
    }

    /// A file with a message at each of these hours.
    pub(crate) fn flights_at(hours: &[u32]) -> ReplayFile {
        let message = |hour: &u32| ReplayMessage {
            at: Timestamp::from_secs(i64::from(*hour) * 3_600),
            data: Bytes::from_static(b"{}"),
            id: None,
        };
        ReplayFile { messages: hours.iter().map(message).collect() }
    }

    fn parse(text: &[u8]) -> Vec<ReplayMessage> {
        let config = config();
        let file = ReplayFile::parse(text, &config.message, &config.prepare().unwrap()).unwrap();
        assert_eq!(file.distinct(), file.messages().len());
        file.into_messages()
    }

    #[test]
    fn messages_come_in_the_order_of_event_time_with_nulls_and_numbers() {
        let messages = parse(LINES.as_bytes());
        let first: serde_json::Value = serde_json::from_slice(&messages[0].data).unwrap();
        assert_eq!(first["sched_dep_time"], 515);
        assert!(first["dep_time"].is_null() && first["tailnum"].is_null());
        assert_eq!(first["time_hour"], "2013-01-01T10:00:00Z");
        assert_eq!(messages[0].at, Timestamp::parse("2013-01-01T10:15:00Z").unwrap());
        // Of `2:UA,4:1545,3:EWR,20:2013-01-01T10:00:00Z,`.
        assert_eq!(messages[0].id.as_deref(), Some("c310b5c983f5fbec2b6b9f51b6083918"));
    }

    #[test]
    fn a_line_that_does_not_fit_is_published_as_it_is() {
        let messages = parse(LINES.as_bytes());
        assert_eq!(&*messages[2].data, b"2013,1,1,x\"5,540,2");
        assert_eq!((messages[2].at, &messages[2].id), (messages[1].at, &None));
        assert_eq!(messages.len(), 3);
    }

    #[test]
    fn a_value_that_is_no_number_stays_text() {
        let lines = LINES.replace(",1714,", ",17x4,").replace(",29,", ",+029,");
        let messages = parse(lines.as_bytes());
        let odd = messages.iter().find(|message| message.id.is_none()).unwrap();
        let odd: serde_json::Value = serde_json::from_slice(&odd.data).unwrap();
        assert_eq!((&odd["flight"], &odd["minute"]), (&"17x4".into(), &"+029".into()));
    }

    #[test]
    fn gzipped_and_plain_files_are_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let (plain, gzipped) = (directory.path().join("a.csv"), directory.path().join("a.csv.gz"));
        std::fs::write(&plain, LINES).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(LINES.as_bytes()).unwrap();
        std::fs::write(&gzipped, encoder.finish().unwrap()).unwrap();
        let config = config();
        let prepared = config.prepare().unwrap();
        let read = |path| ReplayFile::read(path, &config.message, &prepared).unwrap();
        assert_eq!(read(&plain).messages(), read(&gzipped).messages());
        let missing = ReplayFile::read(&directory.path().join("b"), &config.message, &prepared);
        assert!(missing.unwrap_err().to_string().contains("cannot read"));
    }
}
