//! `millstream scheduled-ingest`: the pipeline as a file configures it.

use std::path::PathBuf;

use clap::Args;
use millstream::BoxError;
use millstream::engine::display::Display;
use millstream_pipelines::run::{JobOptions, RunError, wait};
use millstream_pipelines::scheduled_ingest::{ScheduledIngestConfig, build, step};

use crate::signals::Signals;

/// Options of the job.
#[derive(Args)]
pub(crate) struct Run {
    /// The configuration, as JSON
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only check the configuration, without asking any service
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    job: JobOptions,
}

impl Run {
    /// Runs the job to its end, or that of everybody's patience, and prints how it went.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let config = self.config()?;
        let pipeline = build(&config)?;
        let mut out = std::io::stdout();
        if self.check {
            pipeline.validate()?;
            say(&mut out, &format!("the configuration of {:?} is sound", config.name))?;
            return Ok(());
        }
        let job = self.job.engine(Display::Auto).start(&pipeline)?;
        // The job stops by itself at the first signal, and gives up at the second: if it can.
        let mut signals = Signals::listen()?;
        let pages = self.job.serve_status(job.control(), &mut out).await?;
        // Progress and the final table are on standard error already.
        let report = signals.bear(2, wait(job)).await?;
        pages.inspect(|pages| pages.abort());
        let status = report.status();
        let read = status.step(step::READ).map_or(0, |read| read.records_out);
        say(&mut out, &format!("{} messages read in {:.1} s", read, status.seconds))?;
        Ok(())
    }

    fn config(&self) -> Result<ScheduledIngestConfig, BoxError> {
        let path = &self.config;
        let failed = |source| RunError::File { action: "read", path: path.clone(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        // What the parser says names the field, the line and the column.
        Ok(serde_json::from_str(&text).map_err(|error| failed(error.into()))?)
    }
}

fn say(out: &mut impl std::io::Write, line: &str) -> std::io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}
