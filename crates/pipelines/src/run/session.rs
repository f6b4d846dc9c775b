//! [`run`]: from the first server to the last line printed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream::engine::display::Display;
use millstream::engine::{JobHandle, Report, StopMode};
use millstream::time::{Clock as _, SystemClock};
use millstream_io_gcp::bigquery::query::Row;
use millstream_io_gcp::pubsub::{PubSubAdmin, PubSubPublisher, SubscriptionSettings};

use super::error::RunError;
use super::export;
use super::job::wait;
use super::options::RunOptions;
use super::places::Places;
use super::summary::{Fed, Summary};
use super::tables::{Preview, TableReader};
use crate::replay::{Feeder, PositionFile, Replay, ReplayFile};
use crate::scheduled_ingest::{
    ID_ATTRIBUTE, Observations, ScheduledIngestConfig, build_observed, step,
};

/// How often it is looked whether everything is through.
const LOOK: Duration = Duration::from_millis(50);
/// A service that does not tell its backlog counts as read when nothing came for so long.
const SILENCE: Duration = Duration::from_secs(3);

/// What a run leaves.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The run in figures.
    pub summary: Summary,
    /// The final status of the job.
    pub report: Report,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Replays a file through Pub/Sub and the pipeline into BigQuery, tells about it in `out`, and ends when all is through.
///
/// Progress goes to standard error as `display` says. Needs a tokio runtime with several threads.
///
/// # Errors
/// What keeps the run from being set up, what the job failed with, or a file that cannot be written.
pub async fn run(
    options: &RunOptions,
    input: &Path,
    display: Display,
    out: &mut dyn Write,
) -> Result<Outcome, RunError> {
    let (pace, schedule) = (options.pace()?, options.schedule()?);
    let directory = options.job.checkpoints.as_deref();
    let places =
        Places::open(options, directory.map(|path| path.join("servers")).as_deref()).await?;
    let config = options.config(places.pubsub.clone(), places.bigquery.clone())?;
    let prepared = config.prepare()?;
    let file = ReplayFile::read(input, &config.message, &prepared)?;
    let position = directory.map(|path| PositionFile::new(path.join("feeder")));
    let done_before = position.as_ref().map_or(Ok(0), PositionFile::read)?;
    let replay = Replay::new(file, pace, done_before);
    introduce(options, input, &places, &config, &replay, out)?;

    let topic = options.topic_name();
    let admin = PubSubAdmin::connect(&places.pubsub).await?;
    admin.ensure_topic(&topic).await?;
    admin.ensure_subscription(&SubscriptionSettings::new(&config.subscription, &topic)).await?;
    let publisher = PubSubPublisher::connect(&topic, &places.pubsub).await?;
    let feeder = Feeder::new(publisher, replay, ID_ATTRIBUTE);
    let feeder = position.into_iter().fold(feeder, Feeder::remember_in);

    let observations = Observations::default();
    let started = SystemClock::new().now();
    let job = options.job.engine(display).start(&build_observed(&config, &observations)?)?;
    let pages = options.job.serve_status(job.control(), out).await?;
    let api = options.api.serve(&config, job.control(), out).await?;
    let target = feeder.target().shown_as_topic(&topic);
    places.scheduler.add(&options.job_name(), schedule, target)?;
    if !options.follow {
        all_through(&feeder, &places, &config, &job).await;
        job.stop(StopMode::Drain);
    }
    let report = wait(job).await?;
    places.scheduler.shutdown().await;

    let fed = Fed { published: feeder.status().published, bytes: feeder.bytes() };
    let summary = Summary::new(fed, report.status(), &observations, started);
    writeln!(out, "\n{summary}")?;
    let files = leave(options, &config, &summary, out).await?;
    pages.into_iter().chain(api).for_each(|served| served.abort());
    places.close().await?;
    Ok(Outcome { summary, report, files })
}

fn introduce(
    options: &RunOptions,
    input: &Path,
    places: &Places,
    config: &ScheduledIngestConfig,
    replay: &Replay,
    out: &mut dyn Write,
) -> Result<(), RunError> {
    let file = input.file_name().unwrap_or(input.as_os_str()).display();
    let left = replay.len() - replay.position();
    writeln!(out, "{left} messages of {file}, the next slice {}", options.schedule_text())?;
    writeln!(out, "  -> topic        {}", options.topic_name())?;
    writeln!(out, "  -> subscription {}", config.subscription)?;
    writeln!(out, "  -> pipeline     parse, validate, aggregate per carrier and hour")?;
    writeln!(out, "  -> tables       {}", config.tables.rows)?;
    writeln!(out, "                  {}", config.tables.aggregates)?;
    match places.local() {
        Some(local) => writeln!(out, "local servers at {}", local.endpoint())?,
        None => writeln!(out, "services of project {}", options.project())?,
    }
    Ok(out.flush()?)
}

/// Completes when everything that was published is durable in the tables, or the job is over.
async fn all_through(
    feeder: &Feeder,
    places: &Places,
    config: &ScheduledIngestConfig,
    job: &JobHandle,
) {
    let mut looks = tokio::time::interval(LOOK);
    let mut seen = 0;
    let mut quiet = Duration::ZERO;
    while !job.is_finished() {
        looks.tick().await;
        if !feeder.status().is_done() {
            continue;
        }
        // Acknowledged means part of a durable checkpoint.
        if let Some(unacknowledged) = places.unacknowledged(&config.subscription) {
            if unacknowledged == 0 {
                return;
            }
            continue;
        }
        let status = job.status();
        let received = status.step(step::READ).map_or(0, |read| read.records_out + read.duplicates);
        quiet = if received == seen { quiet + LOOK } else { Duration::ZERO };
        seen = received;
        if received >= feeder.status().published && quiet >= SILENCE {
            return;
        }
    }
}

/// Writes the files asked for and shows a part of each table.
async fn leave(
    options: &RunOptions,
    config: &ScheduledIngestConfig,
    summary: &Summary,
    out: &mut dyn Write,
) -> Result<Vec<PathBuf>, RunError> {
    let mut files = Vec::new();
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(summary).map_err(std::io::Error::from)?;
        std::fs::write(path, text + "\n").map_err(|error| RunError::write(path, error))?;
        files.push(path.clone());
    }
    let reader = TableReader::connect(config).await?;
    if let Some(directory) = &options.export {
        let mut tables = vec![reader.rows().await?, reader.aggregates().await?];
        tables.extend(reader.dead_letters().await?);
        for table in &tables {
            files.push(export::write(table, directory)?);
        }
    }
    let columns = ["event_time", "carrier", "flight", "origin", "dest", "dep_delay"];
    show(&reader.first_rows(&columns, SHOWN_ROWS).await?, out)?;
    let measures = config.aggregates.measures.iter().map(|measure| measure.name.as_str());
    let columns: Vec<&str> = ["window_start", "carrier"].into_iter().chain(measures).collect();
    show(&reader.first_aggregates(&columns, SHOWN_ROWS).await?, out)?;
    for file in &files {
        writeln!(out, "wrote {}", file.display())?;
    }
    Ok(files)
}

/// Rows of a table that are shown.
const SHOWN_ROWS: usize = 5;

fn show(table: &Preview, out: &mut dyn Write) -> Result<(), RunError> {
    writeln!(out, "{}: {} rows, the first of them", table.name, table.count)?;
    let text = |row: &Row, column: &String| {
        let value = row.get(column).map_or_else(String::new, export::text);
        if value.is_empty() { "-".to_owned() } else { value }
    };
    let cells = |row| table.columns.iter().map(|column| text(row, column)).collect();
    let mut lines: Vec<Vec<String>> = vec![table.columns.clone()];
    lines.extend(table.rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> =
        (0..table.columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        writeln!(out, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(writeln!(out)?)
}
