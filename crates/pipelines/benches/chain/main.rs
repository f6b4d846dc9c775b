//! Throughput and latency of the whole exact chain: local Pub/Sub, scheduled-ingest, local BigQuery; and where the time goes.
//!
//! `cargo bench -p millstream-pipelines --bench chain -- --messages 500000 --servers process`
//!
//! A backlog of departures is published first; then the pipeline reads it, writes a row for each and the aggregates, exactly
//! once, and drains. The clock runs from the start of the job until it has ended and everything is visible.
//!
//! With `--rate 10000` the messages are published at that rate while the pipeline runs, and what is told is how long each took from
//! its publishing until its row was visible.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod cpu;
mod load;
mod servers;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use millstream::BoxError;
use millstream::engine::{Engine, Report, StopMode};
use millstream::time::{Clock as _, SystemClock};
use millstream_io_gcp::connection::Connection;
use millstream_io_gcp::pubsub::{
    PubSubAdmin, PubSubMessage, PubSubPublisher, SubscriptionSettings,
};
use millstream_pipelines::scheduled_ingest::{
    Observations, ScheduledIngestConfig, build_observed, step,
};

use cpu::CpuTimes;
use servers::Servers;

/// Messages of one publish call.
const PUBLISH_AT_ONCE: usize = 5_000;
/// How often it is looked whether everything was read.
const LOOK: Duration = Duration::from_millis(20);
/// How often messages are published where they are at a rate.
const BEAT: Duration = Duration::from_millis(20);

const TOPIC: &str = "projects/bench/topics/flights";
const SUBSCRIPTION: &str = "projects/bench/subscriptions/flights";

/// Measures the chain from Pub/Sub to the tables.
#[derive(Parser)]
struct Arguments {
    /// Messages of the backlog
    #[arg(long, default_value_t = 500_000)]
    messages: usize,
    /// Messages a second, published while the pipeline runs; without it all are published before
    #[arg(long)]
    rate: Option<usize>,
    /// Where the servers run
    #[arg(long, value_enum, default_value_t = Where::InProcess)]
    servers: Where,
    /// Number of workers; by default one for each processor
    #[arg(long)]
    workers: Option<usize>,
    /// Milliseconds between checkpoints
    #[arg(long, default_value_t = 1_000)]
    checkpoint_every: u64,
    /// What `cargo bench` adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where the servers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Where {
    /// In the process of the pipeline.
    InProcess,
    /// In a process of their own.
    Process,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let servers = Servers::start(arguments.servers).await?;
    let messages = load::departures(arguments.messages)?;
    let count = messages.len();
    let bytes: usize = messages.iter().map(|message| message.data.len()).sum();
    println!("{count} messages of {} bytes, servers {:?}", bytes / count, arguments.servers);

    let connection = servers.connection();
    let publisher = publisher(connection).await?;
    let clock = SystemClock::new();
    let started = clock.now();
    let publishing = match arguments.rate {
        Some(rate) => Some(tokio::spawn(publish_at(rate, publisher, messages))),
        None => {
            publish(&publisher, messages).await?;
            let seconds = clock.now().since(started).as_secs_f64();
            println!("published  {:>9.0} messages/s", rate_of(count, seconds));
            None
        }
    };

    let before = CpuTimes::now(servers.process_id());
    let started = clock.now();
    let observations = Observations::default();
    let report = drain(&arguments, connection, count as u64, &observations).await?;
    let seconds = clock.now().since(started).as_secs_f64();
    let used = CpuTimes::now(servers.process_id()).since(&before);
    if let Some(publishing) = publishing {
        publishing.await??;
    }

    let written = report.step(step::WRITE_ROWS).map_or(0, |rows| rows.records_out);
    let duplicates = report.step(step::READ).map_or(0, |read| read.duplicates);
    println!(
        "processed  {:>9.0} messages/s, {:.1} MB/s: {written} rows in {seconds:.2} s, {duplicates} duplicates, {} checkpoints",
        rate_of(count, seconds),
        rate_of(bytes, seconds) / 1e6,
        report.status().checkpoint.completed,
    );
    if arguments.rate.is_some() {
        let latency = observations.visible_after();
        let milliseconds = |percent| latency.percentile(percent).map_or(0, |it| it.as_millis());
        println!(
            "visible    after {} ms (p50), {} ms (p99), with a checkpoint every {} ms",
            milliseconds(50.0),
            milliseconds(99.0),
            arguments.checkpoint_every,
        );
    }
    println!("CPU time by thread, in microseconds per message:");
    print!("{}", used.per(count));
    servers.stop().await
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn rate_of(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

async fn publisher(connection: &Connection) -> Result<PubSubPublisher, BoxError> {
    let admin = PubSubAdmin::connect(connection).await?;
    admin.ensure_topic(TOPIC).await?;
    admin.ensure_subscription(&SubscriptionSettings::new(SUBSCRIPTION, TOPIC)).await?;
    Ok(PubSubPublisher::connect(TOPIC, connection).await?)
}

async fn publish(
    publisher: &PubSubPublisher,
    mut messages: Vec<PubSubMessage>,
) -> Result<(), BoxError> {
    while !messages.is_empty() {
        let rest = messages.split_off(messages.len().min(PUBLISH_AT_ONCE));
        publisher.publish(std::mem::replace(&mut messages, rest)).await?;
    }
    Ok(())
}

/// Publishes so many messages a second, a part of them every few milliseconds.
async fn publish_at(
    rate: usize,
    publisher: PubSubPublisher,
    mut messages: Vec<PubSubMessage>,
) -> Result<(), BoxError> {
    let mut beats = tokio::time::interval(BEAT);
    let part = (rate as f64 * BEAT.as_secs_f64()).ceil() as usize;
    while !messages.is_empty() {
        beats.tick().await;
        let rest = messages.split_off(messages.len().min(part));
        publisher.publish(std::mem::replace(&mut messages, rest)).await?;
    }
    Ok(())
}

/// Runs the pipeline until it has read `count` messages, and drains it.
async fn drain(
    arguments: &Arguments,
    connection: &Connection,
    count: u64,
    observations: &Observations,
) -> Result<Report, BoxError> {
    let mut config = ScheduledIngestConfig::flights(
        SUBSCRIPTION,
        "bench.departures.flights".parse()?,
        "bench.departures.carrier_hours".parse()?,
        "bench.departures.dead_letters".parse()?,
    );
    config.pubsub = connection.clone();
    config.bigquery = connection.clone();
    let pipeline = build_observed(&config, observations)?;
    let checkpoints = tempfile::tempdir()?;
    let mut engine = Engine::builder()
        .io_runtime(tokio::runtime::Handle::current())
        .checkpoints_in(checkpoints.path())
        .checkpoint_every(Duration::from_millis(arguments.checkpoint_every))
        .report_every(LOOK);
    if let Some(workers) = arguments.workers {
        engine = engine.workers(workers);
    }
    let job = engine.start(&pipeline)?;
    let mut looks = tokio::time::interval(LOOK);
    while !job.is_finished() {
        looks.tick().await;
        if job.status().step(step::READ).is_some_and(|read| read.records_out >= count) {
            job.stop(StopMode::Drain);
            break;
        }
    }
    Ok(tokio::task::spawn_blocking(move || job.wait()).await??)
}
