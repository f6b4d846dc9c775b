//! The same load on several servers in turn, to compare their own speed; `scripts/compare-servers` starts them and runs it.
//!
//! `cargo bench --workspace --bench servers -- --pubsub NAME=HOST:PORT --bigquery NAME=REST_URL,GRPC_URL`
//!
//! The client is bare: gRPC stubs and one HTTP connection, the same for every server. Each measurement has a topic, subscription
//! or table of its own. In every run each server is measured, one after the other, and who begins changes from run to run.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod bigquery;
mod pubsub;
mod report;

use std::time::Duration;

use clap::Parser;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::clock::{Clock as _, SystemClock, Timestamp};

use report::Report;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares the speed of servers.
#[derive(Parser)]
struct Arguments {
    /// A Pub/Sub server: NAME=HOST:PORT
    #[arg(long, value_name = "SERVER", value_parser = named)]
    pubsub: Vec<(String, String)>,
    /// A BigQuery server: NAME=REST_URL,GRPC_URL
    #[arg(long, value_name = "SERVER", value_parser = named)]
    bigquery: Vec<(String, String)>,
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Messages of a measurement
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Rows of a measurement
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// Seconds after which a measurement ends with what came through by then
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Only serve, as one of the servers under comparison, until standard input ends
    #[arg(long)]
    serve: bool,
    /// What `cargo bench` adds by itself
    #[arg(long, hide = true)]
    bench: bool,
}

fn named(text: &str) -> Result<(String, String), String> {
    let (name, place) = text.split_once('=').ok_or("expected NAME=PLACE")?;
    Ok((name.to_owned(), place.to_owned()))
}

/// Time since a moment, and whether it is used up.
#[derive(Clone, Copy)]
struct Stopwatch {
    since: Timestamp,
    patience: Duration,
}

impl Stopwatch {
    fn start(patience: Duration) -> Self {
        Self { since: SystemClock.now(), patience }
    }

    fn elapsed(self) -> Duration {
        SystemClock.now().since(self.since)
    }

    fn is_over(self) -> bool {
        self.elapsed() >= self.patience
    }

    fn left(self) -> Duration {
        self.patience.saturating_sub(self.elapsed())
    }

    /// So many a second.
    fn rate(self, done: usize) -> f64 {
        done as f64 / self.elapsed().as_secs_f64()
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if arguments.serve {
        return serve().await;
    }
    let patience = Duration::from_secs(arguments.patience);
    let (mut queues, mut tables) = (Report::default(), Report::default());
    for run in 0..arguments.runs {
        for (name, place) in in_turn(&arguments.pubsub, run) {
            let load = pubsub::Load { run, messages: arguments.messages, patience };
            for (workload, rate) in load.measure(place).await.map_err(|e| failed(name, e))? {
                queues.add(&workload, name, rate);
            }
        }
        for (name, place) in in_turn(&arguments.bigquery, run) {
            let load = bigquery::Load { run, rows: arguments.rows, patience };
            for (workload, rate) in load.measure(place).await.map_err(|e| failed(name, e))? {
                tables.add(&workload, name, rate);
            }
        }
        eprintln!("run {} of {} is done", run + 1, arguments.runs);
    }
    println!(
        "messages a second: median (least to greatest), × how many times as fast the first server is\n\n{queues}"
    );
    println!("rows a second\n\n{tables}");
    Ok(())
}

/// The local servers in a process of their own.
async fn serve() -> Result<(), Failure> {
    let local = LocalGcp::start().await?;
    for (name, value) in local.emulator_variables() {
        println!("export {name}={value}");
    }
    // Whoever started this holds the other end; when they are gone, so is the reason to serve.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await??;
    Ok(local.shutdown().await?)
}

/// All servers, beginning with another one in every run.
fn in_turn(servers: &[(String, String)], run: usize) -> impl Iterator<Item = (&str, &str)> {
    let all = servers.iter().cycle().skip(run % servers.len().max(1)).take(servers.len());
    all.map(|(name, place)| (name.as_str(), place.as_str()))
}

fn failed(name: &str, cause: Failure) -> Failure {
    format!("{name}: {cause}").into()
}
