//! The `millstream` program: local servers of Google Cloud's protocols, and the predefined pipelines by configuration file.

mod local;
mod scheduled_ingest;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millstream::BoxError;
use millstream::error::reason_chain;
use millstream_pipelines::logs::LogOptions;

/// Streaming pipelines, and local servers to run them against
#[derive(Parser)]
#[command(name = "millstream", version)]
struct Arguments {
    #[command(flatten)]
    logs: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve local Pub/Sub and BigQuery until SIGINT or SIGTERM
    Local(local::Local),
    /// Run the pipeline scheduled-ingest as a file configures it, until SIGINT or SIGTERM
    ScheduledIngest(scheduled_ingest::Run),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { logs, command } = Arguments::parse();
    logs.install();
    let done: Result<(), BoxError> = match command {
        Command::Local(local) => local.run().await,
        Command::ScheduledIngest(run) => run.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", reason_chain(error.as_ref()).join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}
