//! `millstream local`: the local servers as a program of their own.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use millstream::BoxError;
use millstream_local_gcp::LocalGcp;

use crate::signals::Signals;

/// Options of the local servers.
#[derive(Args)]
pub(crate) struct Local {
    /// Port of 127.0.0.1 for REST and gRPC; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A port of its own for gRPC, for clients that cannot share one with REST
    #[arg(long)]
    grpc_port: Option<u16>,
    /// Keep everything in DIR, across restarts and crashes; without it in memory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Local {
    /// Serves until a signal; prints the variables that make clients use the servers, ready for a shell.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        // Before anybody knows where the servers are, so that no signal is missed.
        let mut signals = Signals::listen()?;
        let mut builder = LocalGcp::builder().port(self.port);
        if let Some(port) = self.grpc_port {
            builder = builder.grpc_port(port);
        }
        if let Some(directory) = self.data_dir {
            builder = builder.data_dir(directory);
        }
        let local = builder.start().await?;
        say(&local)?;
        signals.next().await;
        Ok(signals.bear(1, local.shutdown()).await?)
    }
}

fn say(local: &LocalGcp) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, value) in local.emulator_variables() {
        writeln!(out, "export {name}={value}")?;
    }
    // A reader that waits for the variables must not wait for a buffer to fill.
    out.flush()
}
