//! Latency of the read API at a fixed rate: local servers, API and the clients that ask it, all in this process.
//!
//! `cargo bench -p millstream-pipelines --bench read_api -- --rate 1000 --seconds 10 --rows 27004`
//!
//! Requests are due at fixed times, whether or not those before are answered, and their time runs from when they were due.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[path = "../chain/load.rs"]
mod load;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use millstream::BoxError;
use millstream::engine::{Engine, StopMode};
use millstream::time::{Clock as _, SystemClock};
use millstream_io_gcp::connection::Connection;
use millstream_io_gcp::pubsub::PubSubPublisher;
use millstream_local_gcp::LocalGcp;
use millstream_pipelines::Histogram;
use millstream_pipelines::scheduled_ingest::{ReadApi, ScheduledIngestConfig, build, step};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const TOPIC: &str = "projects/bench/topics/flights";
const SUBSCRIPTION: &str = "projects/bench/subscriptions/flights";
/// Messages of one publish call.
const PUBLISH_AT_ONCE: usize = 5_000;
/// How often it is looked whether everything was read.
const LOOK: Duration = Duration::from_millis(20);

/// Measures the read API.
#[derive(Parser)]
struct Arguments {
    /// Requests a second
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Rows of the table
    #[arg(long, default_value_t = 27_004)]
    rows: usize,
    /// Connections that the requests take turns on
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// What `cargo bench` adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let local = LocalGcp::start().await?;
    let config = config(&local)?;
    let ids = Arc::new(fill(&local, &config, arguments.rows).await?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let api = ReadApi::connect(&config).await?;
    let serving = tokio::spawn(api.serve(listener, std::future::pending()));

    let per_connection = (arguments.rate * arguments.seconds).div_ceil(arguments.connections);
    let period = Duration::from_secs(1) * arguments.connections / arguments.rate;
    let clock = SystemClock::new();
    let began = clock.now();
    let clients: Vec<_> = (0..arguments.connections)
        .map(|number| {
            let delay = period * number / arguments.connections;
            let client = ask(address.clone(), Arc::clone(&ids), delay, period, per_connection);
            tokio::spawn(client)
        })
        .collect();
    let (mut latencies, mut failed) = (Histogram::default(), 0);
    for client in clients {
        let (of_client, failed_of_client) = client.await??;
        latencies.merge(&of_client);
        failed += failed_of_client;
    }
    let seconds = clock.now().since(began).as_secs_f64();
    tell(&latencies, failed, seconds, ids.len());
    serving.abort();
    Ok(local.shutdown().await?)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn tell(latencies: &Histogram, failed: u64, seconds: f64, rows: usize) {
    let rate = latencies.count() as f64 / seconds;
    println!(
        "{rate:.0} requests/s for {seconds:.1} s, table of {rows} rows, {failed} not answered with 200"
    );
    let milliseconds =
        |percent| latencies.percentile(percent).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    println!(
        "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        milliseconds(50.0),
        milliseconds(90.0),
        milliseconds(99.0),
        latencies.max().as_secs_f64() * 1e3,
    );
}

fn config(local: &LocalGcp) -> Result<ScheduledIngestConfig, BoxError> {
    let mut config = ScheduledIngestConfig::flights(
        SUBSCRIPTION,
        "bench.departures.flights".parse()?,
        "bench.departures.carrier_hours".parse()?,
        "bench.departures.dead_letters".parse()?,
    );
    config.pubsub = Connection::local(local.endpoint());
    config.bigquery = Connection::local(local.endpoint());
    Ok(config)
}

/// Puts rows into the table through the pipeline; their ids.
async fn fill(
    local: &LocalGcp,
    config: &ScheduledIngestConfig,
    rows: usize,
) -> Result<Vec<String>, BoxError> {
    local.pubsub().ensure_topic(TOPIC)?;
    local.pubsub().ensure_subscription(SUBSCRIPTION, TOPIC)?;
    let publisher = PubSubPublisher::connect(TOPIC, &config.pubsub).await?;
    let schema = config.prepare()?.message;
    let mut messages = load::departures(rows)?;
    let ids: Vec<String> = messages.iter().filter_map(|message| schema.id(&message.data)).collect();
    while !messages.is_empty() {
        let rest = messages.split_off(messages.len().min(PUBLISH_AT_ONCE));
        publisher.publish(std::mem::replace(&mut messages, rest)).await?;
    }
    let checkpoints = tempfile::tempdir()?;
    let engine = Engine::builder()
        .io_runtime(tokio::runtime::Handle::current())
        .checkpoints_in(checkpoints.path())
        .report_every(LOOK);
    let job = engine.start(&build(config)?)?;
    let mut looks = tokio::time::interval(LOOK);
    let has_read = |read: u64| read >= rows as u64;
    while !job.status().step(step::READ).is_some_and(|read| has_read(read.records_out)) {
        looks.tick().await;
    }
    job.stop(StopMode::Drain);
    tokio::task::spawn_blocking(move || job.wait()).await??;
    Ok(ids)
}

/// Asks for one row after the other on one connection; how long it took, and how many answers were none.
async fn ask(
    address: String,
    ids: Arc<Vec<String>>,
    delay: Duration,
    period: Duration,
    requests: u32,
) -> Result<(Histogram, u64), BoxError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let (mut latencies, mut failed) = (Histogram::default(), 0);
    tokio::time::sleep(delay).await;
    // Ticks that were missed come at once, each with the time it was due.
    let mut due = tokio::time::interval(period);
    for _ in 0..requests {
        let due = due.tick().await;
        let id = &ids[fastrand::usize(..ids.len())];
        let request = format!("GET /api/v1/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        failed += u64::from(!is_found(&mut stream).await?);
        latencies.record(due.elapsed(), 1);
    }
    Ok((latencies, failed))
}

/// Reads an answer; whether it is a row.
async fn is_found(stream: &mut BufReader<TcpStream>) -> Result<bool, BoxError> {
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).await?;
    let is_found = line.starts_with("HTTP/1.1 200");
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).await?;
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(is_found)
}
