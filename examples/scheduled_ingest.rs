//! Departures of January 2013 through Pub/Sub and a streaming pipeline into BigQuery, in one process and without credentials.
//!
//! A schedule ticks, a feeder publishes the file's next slice, the pipeline writes a row for each flight and aggregates per carrier
//! and hour; live throughput goes to standard error. `--help` shows how to follow it, to serve the rows over HTTP, to replay another
//! file, to write a report, and to point it at Google Cloud.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use millstream::engine::display::Display;
use millstream_pipelines::logs::LogOptions;
use millstream_pipelines::run::{RunOptions, run};

/// Replays departures through Pub/Sub and a streaming pipeline into BigQuery.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: RunOptions,
    #[command(flatten)]
    logs: LogOptions,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { options, logs } = Arguments::parse();
    logs.install();
    let january = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013-01.csv.gz");
    let input = options.input.clone().unwrap_or_else(|| PathBuf::from(january));
    match run(&options, &input, Display::Auto, &mut io::stdout()).await {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain().join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}
