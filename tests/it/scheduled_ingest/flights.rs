//! [`Flights`]: a file of departures, and what the tables must hold for it, computed directly over its lines.
//!
//! It must not know the pipeline: what is expected is made here of a CSV reader and the standard library alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// A row of a table as text, by column; what has no value is empty.
pub(super) type TextRow = BTreeMap<String, String>;

/// The columns that hold text; all others hold whole numbers.
const TEXT: [&str; 5] = ["carrier", "tailnum", "origin", "dest", "time_hour"];
/// What stands for a missing value.
const MISSING: &str = "NA";

/// A file of departures.
#[derive(Clone)]
pub(super) struct Flights {
    columns: Vec<String>,
    lines: Vec<Vec<String>>,
}

/// What is known of a carrier's flights of one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Hour {
    pub(super) departures: u64,
    pub(super) cancellations: u64,
    pub(super) mean_delay: Option<f64>,
}

/// Hours by their start and carrier.
pub(super) type Hours = BTreeMap<(String, String), Hour>;

impl Flights {
    /// The file of the examples.
    pub(super) fn january_file() -> PathBuf {
        let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let file = |folder: &Path| folder.join("examples/data/flights-2013-01.csv.gz");
        above.find_map(|folder| Some(file(folder)).filter(|path| path.exists())).unwrap()
    }

    /// What is in the file of the examples, in the order of event time.
    pub(super) fn january() -> &'static Self {
        /// Read once: without optimisation that takes longer than some of the tests.
        static JANUARY: LazyLock<Flights> = LazyLock::new(|| {
            let file = File::open(Flights::january_file()).unwrap();
            let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
            let texts = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
            let columns = texts(reader.headers().unwrap());
            let lines = reader.records().map(|line| texts(&line.unwrap())).collect();
            let mut flights = Flights { columns, lines };
            let mut lines = std::mem::take(&mut flights.lines);
            lines.sort_by_cached_key(|line| flights.event_time(line));
            Flights { lines, ..flights }
        });
        &JANUARY
    }

    /// Its first lines.
    pub(super) fn first(&self, count: usize) -> Self {
        self.part(0..count)
    }

    /// The flights of some days of January, moved to the February of a leap year.
    pub(super) fn moved_to_february(&self, days: std::ops::RangeInclusive<u32>) -> Self {
        let [year, month, day, time_hour] =
            ["year", "month", "day", "time_hour"].map(|name| self.column(name));
        let is_wanted = |line: &&Vec<String>| days.contains(&line[day].parse().unwrap());
        let moved = |mut line: Vec<String>| {
            line[year] = "2024".to_owned();
            line[month] = "2".to_owned();
            line[time_hour] = line[time_hour].replace("2013-01-", "2024-02-");
            line
        };
        let lines = self.lines.iter().filter(is_wanted).cloned().map(moved).collect();
        Self { columns: self.columns.clone(), lines }
    }

    /// The same flights in another order.
    pub(super) fn shuffled(mut self, seed: u64) -> Self {
        fastrand::Rng::with_seed(seed).shuffle(&mut self.lines);
        self
    }

    /// The same flights in the order of their hours, but in any order within an hour.
    pub(super) fn shuffled_within_hours(self, seed: u64) -> Self {
        let mut shuffled = self.shuffled(seed);
        let time_hour = shuffled.column("time_hour");
        shuffled.lines.sort_by(|one, other| one[time_hour].cmp(&other[time_hour]));
        shuffled
    }

    /// Those scheduled before an hour.
    pub(super) fn before(&self, time_hour: &str) -> Self {
        let is_before = |line: &&Vec<String>| self.value(line, "time_hour") < time_hour;
        let lines = self.lines.iter().filter(is_before).cloned().collect();
        Self { columns: self.columns.clone(), lines }
    }

    /// Sets a column of every line.
    #[allow(dead_code, reason = "the tests of processes use it")]
    pub(super) fn put(&mut self, column: &str, text: &str) {
        let column = self.column(column);
        self.lines.iter_mut().for_each(|line| text.clone_into(&mut line[column]));
    }

    /// The lines from `start` on that are before `end`.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Self {
        Self { columns: self.columns.clone(), lines: self.lines[range].to_vec() }
    }

    /// These lines, then those of `other`.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.lines.extend(other.lines);
        self
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Writes the lines to a file, gzipped if that is how it ends, and `more` lines of any kind behind them.
    pub(super) fn write(&self, path: &Path, more: &[&str]) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns).unwrap();
        self.lines.iter().for_each(|line| writer.write_record(line).unwrap());
        let mut bytes = writer.into_inner().unwrap();
        more.iter().for_each(|line| bytes.extend(format!("{line}\n").bytes()));
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&bytes).unwrap();
            bytes = gzip.finish().unwrap();
        }
        std::fs::write(path, bytes).unwrap();
    }

    /// A JSON object for each line, with the id of its flight.
    pub(super) fn messages(&self) -> impl Iterator<Item = (String, serde_json::Value)> {
        self.lines.iter().map(|line| {
            let fields = self.columns.iter().zip(line).map(|(column, text)| {
                let value = match text.as_str() {
                    MISSING => serde_json::Value::Null,
                    text if TEXT.contains(&column.as_str()) => text.into(),
                    number => number.parse::<i64>().unwrap().into(),
                };
                (column.clone(), value)
            });
            (self.id(line), fields.collect::<serde_json::Map<_, _>>().into())
        })
    }

    /// The rows that the table must hold, one for each flight: id, event time and all values of its line.
    pub(super) fn rows(&self) -> Vec<TextRow> {
        let row = |line: &Vec<String>| {
            let values = line.iter().map(|text| if text == MISSING { "" } else { text });
            let mut row: TextRow =
                self.columns.iter().cloned().zip(values.map(str::to_owned)).collect();
            row.insert("event_time".to_owned(), self.event_time(line));
            row.insert("id".to_owned(), self.id(line));
            row
        };
        self.lines.iter().map(row).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What the table of aggregates must come to: each flight counts once.
    pub(super) fn hours(&self) -> Hours {
        let mut hours: BTreeMap<_, (Hour, Vec<i64>)> = BTreeMap::new();
        for row in self.rows() {
            let start = format!("{}:00:00Z", &row["event_time"][..13]);
            let (hour, delays) = hours.entry((start, row["carrier"].clone())).or_default();
            match row["dep_time"].as_str() {
                "" => hour.cancellations += 1,
                _ => hour.departures += 1,
            }
            delays.extend(row["dep_delay"].parse::<i64>());
        }
        let mean = |delays: &[i64]| delays.iter().sum::<i64>() as f64 / delays.len() as f64;
        let with_mean = |(key, (hour, delays)): (_, (Hour, Vec<i64>))| {
            (key, Hour { mean_delay: (!delays.is_empty()).then(|| mean(&delays)), ..hour })
        };
        hours.into_iter().map(with_mean).collect()
    }

    fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column == name).unwrap()
    }

    fn value<'a>(&self, line: &'a [String], name: &str) -> &'a str {
        &line[self.column(name)]
    }

    /// Full hour and minute of the scheduled departure.
    fn event_time(&self, line: &[String]) -> String {
        let minute: u32 = self.value(line, "minute").parse().unwrap();
        let hour = self.value(line, "time_hour").strip_suffix(":00:00Z").unwrap();
        assert!(minute < 60, "{line:?}");
        format!("{hour}:{minute:02}:00Z")
    }

    /// FNV-1a of 128 bits over carrier, number, origin and hour as netstrings.
    fn id(&self, line: &[String]) -> String {
        let values = ["carrier", "flight", "origin", "time_hour"];
        let netstring = |name| {
            let value = self.value(line, name);
            format!("{}:{value},", value.len())
        };
        let hash = values
            .map(netstring)
            .concat()
            .bytes()
            .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
                (hash ^ u128::from(byte)).wrapping_mul((1 << 88) + 0x13b)
            });
        format!("{hash:032x}")
    }
}

/// Checks that a table of rows holds every flight once, with all its values, and nothing else.
#[track_caller]
pub(super) fn assert_rows(table: impl IntoIterator<Item = TextRow>, flights: &Flights) {
    let mut rows: Vec<TextRow> = table.into_iter().collect();
    for row in &mut rows {
        let published = row.remove("publish_time").unwrap();
        assert!(seconds(&published) > seconds("2020-01-01T00:00:00Z"), "{published}");
    }
    rows.sort();
    let expected = flights.rows();
    // The first difference says more than thousands of rows.
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}

/// Checks that the last pane of each window equals the direct computation, and that no pane is there twice; says how many
/// windows there are.
#[track_caller]
pub(super) fn assert_panes(table: impl IntoIterator<Item = TextRow>, flights: &Flights) -> usize {
    let mut windows: BTreeMap<_, BTreeMap<u64, TextRow>> = BTreeMap::new();
    for row in table {
        let length = seconds(&row["window_end"]) - seconds(&row["window_start"]);
        assert_eq!(length, 3_600, "{row:?}");
        let key = (row["window_start"].clone(), row["carrier"].clone());
        let before = windows.entry(key).or_default().insert(row["pane"].parse().unwrap(), row);
        assert!(before.is_none(), "{before:?} is there twice");
    }
    let mut last = Hours::new();
    for (window, panes) in windows {
        let marked = panes.values().filter(|pane| pane["is_last"] == "true").count();
        let (_, pane) = panes.last_key_value().unwrap();
        assert!(marked == 1 && pane["is_last"] == "true", "{panes:?}");
        last.insert(window, hour(pane));
    }
    let expected = flights.hours();
    for (hour, expected) in last.iter().zip(&expected) {
        assert_eq!(hour, expected);
    }
    assert_eq!(last.len(), expected.len());
    last.len()
}

fn hour(pane: &TextRow) -> Hour {
    let mean = pane["mean_delay"].as_str();
    Hour {
        departures: pane["departures"].parse().unwrap(),
        cancellations: pane["cancellations"].parse().unwrap(),
        mean_delay: (!mean.is_empty()).then(|| mean.parse().unwrap()),
    }
}

/// Seconds since the epoch of a time such as `2013-01-01T10:15:00Z`, fractions left out.
fn seconds(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    assert!(text.len() >= 20 && text.ends_with('Z'), "{text}");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days of the proleptic Gregorian calendar, in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    (days - 719_469) * 86_400 + number(11..13) * 3_600 + number(14..16) * 60 + number(17..19)
}

#[test]
fn the_calendar_of_these_tests_is_right() {
    assert_eq!(seconds("1970-01-01T00:00:00Z"), 0);
    assert_eq!(seconds("2000-02-29T23:59:59Z"), 951_868_799);
    assert_eq!(seconds("2024-03-01T00:00:00.5Z"), 1_709_251_200);
}
