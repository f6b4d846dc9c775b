//! `millstream scheduled-ingest`: the pipeline as a file configures it.

use std::path::PathBuf;

use clap::Args;
use millstream::BoxError;
use millstream::engine::display::Display;
use millstream_pipelines::run::{ApiOptions, JobOptions, wait};
use millstream_pipelines::scheduled_ingest::{build, step};

use crate::config_file;
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
    #[command(flatten)]
    api: ApiOptions,
}

impl Run {
    /// Runs the job to its end, or that of everybody's patience, and prints how it went.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let config = config_file::read(&self.config)?;
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
        let api = self.api.serve(&config, job.control(), &mut out).await?;
        // Progress and the final table are on standard error already.
        let report = signals.bear(2, wait(job)).await?;
        pages.into_iter().chain(api).for_each(|served| served.abort());
        let status = report.status();
        let read = status.step(step::READ).map_or(0, |read| read.records_out);
        say(&mut out, &format!("{} messages read in {:.1} s", read, status.seconds))?;
        Ok(())
    }
}

fn say(out: &mut impl std::io::Write, line: &str) -> std::io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}
