//! [`JobOptions`]: the options of a job that do not depend on which pipeline it runs, and what is served beside it.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use millstream::engine::display::Display;
use millstream::engine::job::JobControl;
use millstream::engine::{Engine, JobHandle, Report};
use millstream_http_status::{Recorder, StatusPages};
use tokio::task::JoinHandle;

use super::error::RunError;

/// How long a stop on a signal may take, unless it is said: most who send SIGTERM wait no longer before they kill.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Options of any job.
#[derive(Args, Clone, Debug, Default)]
#[non_exhaustive]
pub struct JobOptions {
    /// Keep checkpoints in DIR, and beside them what else a run must remember: a run that was killed goes on from there
    #[arg(long, value_name = "DIR")]
    pub checkpoints: Option<PathBuf>,
    /// Number of workers; by default one for each processor
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// How long a stop on SIGTERM or SIGINT may take before the job gives up and fails; 60 by default
    #[arg(long, value_name = "SECONDS")]
    pub stop_within: Option<u64>,
    /// On SIGTERM or SIGINT end for good, even with --checkpoints: open windows fire as if all data had come
    #[arg(long)]
    pub drain: bool,
    /// Serve /metrics, /healthz, /readyz and /status on this port of 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub status_port: Option<u16>,
}

impl JobOptions {
    /// An engine as the options say. It does its asynchronous work on the current runtime and stops on SIGTERM and SIGINT.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn engine(&self, display: Display) -> Engine {
        let mut engine = Engine::builder()
            .io_runtime(tokio::runtime::Handle::current())
            .stop_on_signals(self.stop_within.map_or(STOP_WITHIN, Duration::from_secs))
            .display(display);
        if self.drain {
            engine = engine.drain_on_signals();
        }
        if let Some(workers) = self.workers {
            engine = engine.workers(workers);
        }
        if let Some(directory) = &self.checkpoints {
            engine = engine.checkpoints_in(directory.join("engine"));
        }
        engine
    }

    /// Serves the status pages of a job, if a port is given, and says where in `out`.
    ///
    /// # Errors
    /// When the port cannot be had or `out` is gone.
    pub async fn serve_status(
        &self,
        control: JobControl,
        out: &mut dyn Write,
    ) -> Result<Option<JoinHandle<std::io::Result<()>>>, RunError> {
        let Some(port) = self.status_port else { return Ok(None) };
        let failed = |source| RunError::StatusPages { port, source };
        let listener = StatusPages::bind(port).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        writeln!(out, "status at http://{address}/status, metrics at http://{address}/metrics")?;
        out.flush()?;
        let recorder = Recorder::new();
        let mut pages = StatusPages::new(control);
        // A program that embeds the run may have a recorder of its own.
        if recorder.install().is_ok() {
            pages = pages.with_recorder(recorder);
        }
        Ok(Some(tokio::spawn(pages.serve(listener))))
    }
}

/// Waits for the end of a job without holding up the runtime.
///
/// # Errors
/// What the job failed with.
pub async fn wait(job: JobHandle) -> Result<Report, RunError> {
    let waiting = tokio::task::spawn_blocking(move || job.wait()).await;
    let stopped = |_| millstream::Error::Stopped("the wait for the job was given up".to_owned());
    Ok(waiting.map_err(stopped)??)
}
