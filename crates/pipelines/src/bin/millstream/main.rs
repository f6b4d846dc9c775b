//! The `millstream` program: local servers of Google Cloud's protocols, and the predefined pipelines by configuration file.

mod config_file;
mod local;
mod read_api;
mod scheduled_ingest;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millstream::BoxError;
use millstream::error::reason_chain;
use millstream_pipelines::logs::LogOptions;

/// Streaming pipelines, and local servers to run them against
const EXIT_STATUS: &str = "\
Exit status:
    0  the work is done, or was stopped by SIGINT or SIGTERM: everything is committed
    1  it failed, or did not stop in time: standard error says why
    2  the command line is wrong
  130  a second SIGINT ended it at once
  143  a second SIGTERM ended it at once
After 1, 130 and 143 a job with --checkpoints goes on from its last checkpoint when it is started again; nothing is lost or doubled.";

#[derive(Parser)]
#[command(name = "millstream", version, after_help = EXIT_STATUS)]
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
    #[command(after_help = EXIT_STATUS)]
    ScheduledIngest(scheduled_ingest::Run),
    /// Serve the rows that scheduled-ingest wrote, over HTTP, until SIGINT or SIGTERM
    ReadApi(read_api::Serve),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { logs, command } = Arguments::parse();
    logs.install();
    let done: Result<(), BoxError> = match command {
        Command::Local(local) => local.run().await,
        Command::ScheduledIngest(run) => run.run().await,
        Command::ReadApi(serve) => serve.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", reason_chain(error.as_ref()).join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}
