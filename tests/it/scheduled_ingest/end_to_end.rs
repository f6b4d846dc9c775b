//! Files replayed through Pub/Sub and the pipeline into BigQuery by `run`, and the files that it leaves.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser;
use millstream::engine::display::Display;
use millstream_pipelines::run::{Outcome, RunOptions, Summary, run};
use tempfile::TempDir;

use super::flights::{Flights, TextRow, assert_panes, assert_rows};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: RunOptions,
}

/// A run, and the folder with the files it leaves.
struct Replayed {
    outcome: Outcome,
    directory: TempDir,
}

/// Replays `input` as fast as it goes.
async fn replay(input: &Path) -> Replayed {
    replay_with(input, &[]).await
}

/// Replays `input` with `more` options.
async fn replay_with(input: &Path, more: &[&str]) -> Replayed {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).into_os_string().into_string().unwrap();
    let input = input.to_str().unwrap();
    let (report, export) = (path("report.json"), path("tables"));
    let arguments =
        ["run", "--input", input, "--rate", "0", "--report", &report, "--export", &export];
    let options = Cli::try_parse_from(arguments.iter().chain(more)).unwrap().options;
    let input = options.input.clone().unwrap();
    let mut told = Vec::new();
    let outcome = run(&options, &input, Display::Off, &mut told).await.unwrap();
    Replayed { outcome, directory }
}

/// Replays lines, and `more` of any kind behind them.
async fn replay_lines(flights: &Flights, more: &[&str]) -> Replayed {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("flights.csv");
    flights.write(&input, more);
    replay(&input).await
}

impl Replayed {
    /// The rows of an exported table.
    fn table(&self, name: &str) -> Vec<TextRow> {
        let path = self.directory.path().join("tables").join(format!("{name}.csv"));
        let mut reader = csv::Reader::from_path(path).unwrap();
        reader.deserialize().map(|row| row.unwrap()).collect()
    }

    /// Checks tables and figures against `flights`, each of which is there once.
    #[track_caller]
    fn assert_holds(&self, flights: &Flights) {
        let rows = self.table("flights");
        let times: Vec<_> = rows.iter().map(|row| &row["event_time"]).collect();
        assert!(times.is_sorted(), "the exported rows are in the order of event time");
        assert_rows(rows, flights);
        let windows = assert_panes(self.table("carrier_hours"), flights);

        let summary = &self.outcome.summary;
        assert_eq!(summary.rows_written, flights.len() as u64, "{summary}");
        assert_eq!(summary.windows_written, windows as u64, "{summary}");
        assert!(summary.panes_written.values().sum::<u64>() >= summary.windows_written);
        let used = summary.received - summary.duplicates_removed;
        assert_eq!(used, summary.rows_written + summary.dead_letter_count(), "{summary}");
        let latency = summary.publish_to_visible_ms.unwrap();
        assert!(0.0 < latency.p50 && latency.p50 <= latency.max, "{latency:?}");
        assert_eq!(summary.restarts, 0);
    }

    /// The summary as it was written to the report.
    fn report(&self) -> Summary {
        let text = std::fs::read_to_string(self.directory.path().join("report.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_equal_a_direct_computation_over_the_first_days_of_the_file() {
    let january = Flights::january().first(6_000);
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("flights.csv.gz");
    january.write(&input, &[]);
    let replayed = replay(&input).await;
    assert_nothing_is_left_out(&replayed, &january);
}

#[cfg_attr(debug_assertions, ignore = "takes 20 s without optimisation")]
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_equal_a_direct_computation_over_the_whole_file() {
    let january = Flights::january();
    assert_eq!(january.len(), 27_004);
    let replayed = replay(&Flights::january_file()).await;
    assert_nothing_is_left_out(&replayed, january);
}

#[track_caller]
fn assert_nothing_is_left_out(replayed: &Replayed, flights: &Flights) {
    replayed.assert_holds(flights);
    let summary = &replayed.outcome.summary;
    assert_eq!(summary.published, flights.len() as u64, "{summary}");
    assert!(summary.dead_letters.is_empty(), "{summary}");
    assert_eq!(replayed.table("dead_letters"), []);
    assert_eq!(replayed.report(), *summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_month_in_any_order_has_tables_of_its_own() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let february = Flights::january().moved_to_february(26..=28).shuffled(seed);
    let replayed = replay_lines(&february, &[]).await;
    assert_nothing_is_left_out(&replayed, &february);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flight_that_is_there_twice_is_one_row_and_counts_once() {
    let once = Flights::january().first(1_200);
    let twice = once.clone().and(once.part(100..400));
    let replayed = replay_lines(&twice, &[]).await;
    replayed.assert_holds(&once);
    let summary = &replayed.outcome.summary;
    assert_eq!(summary.published, 1_500);
    // Beyond those in the file, only what the service delivered again can be a duplicate.
    assert!(summary.received >= 1_500, "{summary}");
    assert_eq!(summary.received - summary.duplicates_removed, 1_200, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_fit_nothing_are_dead_letters_and_the_others_arrive() {
    let flights = Flights::january().first(800);
    let short = "2013,1,1,517,515";
    let odd =
        "2013,1,1,517,515,2,830,819,11,UA,one,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z";
    let no_carrier =
        "2013,1,1,517,515,2,830,819,11,NA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z";
    let replayed = replay_lines(&flights, &[short, odd, no_carrier]).await;
    replayed.assert_holds(&flights);
    let expected = ["bad_json", "missing_field", "wrong_type"].map(|reason| (reason.to_owned(), 1));
    let summary = &replayed.outcome.summary;
    assert_eq!(summary.dead_letters, BTreeMap::from(expected), "{summary}");
    assert_eq!(summary.published, 803);

    let letters = replayed.table("dead_letters");
    assert_eq!(letters.len(), 3);
    let bad = letters.iter().find(|letter| letter["reason"] == "bad_json").unwrap();
    // The bytes of `2013,1,1,517,515`.
    assert_eq!(bad["bytes"], "MjAxMywxLDEsNTE3LDUxNQ==");
    assert_eq!(bad["step"], "Ingest/Parse");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_through_changes_nothing_when_it_is_started_again() {
    let flights = Flights::january().first(1_000);
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("flights.csv");
    flights.write(&input, &[]);
    let checkpoints = directory.path().join("checkpoints").into_os_string().into_string().unwrap();
    let first = replay_with(&input, &["--checkpoints", &checkpoints]).await;
    first.assert_holds(&flights);
    let second = replay_with(&input, &["--checkpoints", &checkpoints]).await;
    assert_eq!(second.outcome.summary.published, 0);
    assert_eq!(second.outcome.summary.rows_written, 0);
    for table in ["flights", "carrier_hours", "dead_letters"] {
        assert_eq!(second.table(table), first.table(table), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_through_goes_on_with_a_longer_file() {
    let flights = Flights::january().first(2_000);
    // The end of a run closes all windows, so that only whole hours can be gone on from.
    let earlier = flights.before("2013-01-02T13:00:00Z");
    assert!((800..1_200).contains(&earlier.len()), "{}", earlier.len());
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("flights.csv");
    earlier.write(&input, &[]);
    let checkpoints = directory.path().join("checkpoints").into_os_string().into_string().unwrap();
    replay_with(&input, &["--checkpoints", &checkpoints]).await.assert_holds(&earlier);
    flights.write(&input, &[]);
    let second = replay_with(&input, &["--checkpoints", &checkpoints]).await;
    assert_rows(second.table("flights"), &flights);
    assert_panes(second.table("carrier_hours"), &flights);
}
