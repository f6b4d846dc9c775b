//! [`Servers`]: the local servers, in this process or in one of their own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use millstream::BoxError;
use millstream_io_gcp::connection::Connection;
use millstream_local_gcp::LocalGcp;

use crate::Where;

/// The local servers.
pub(crate) struct Servers {
    connection: Connection,
    place: Place,
}

enum Place {
    Here(LocalGcp),
    There(Child),
}

impl Servers {
    pub(crate) async fn start(place: Where) -> Result<Self, BoxError> {
        match place {
            Where::InProcess => {
                let local = LocalGcp::start().await?;
                let connection = Connection::local(local.endpoint());
                Ok(Self { connection, place: Place::Here(local) })
            }
            Where::Process => {
                let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
                    .arg("local")
                    .stdout(Stdio::piped())
                    .spawn()?;
                let out = child.stdout.take().ok_or("the program has no output")?;
                let mut out = BufReader::new(out);
                let mut line = String::new();
                out.read_line(&mut line)?;
                // It goes on printing, which it could not with nobody there to read.
                std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
                let (_, endpoint) = line.trim().split_once('=').ok_or("no endpoint was printed")?;
                let connection = Connection::local(endpoint.to_owned());
                Ok(Self { connection, place: Place::There(child) })
            }
        }
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The servers' process, if it is one of its own.
    pub(crate) fn process_id(&self) -> Option<u32> {
        match &self.place {
            Place::Here(_) => None,
            Place::There(child) => Some(child.id()),
        }
    }

    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        match self.place {
            Place::Here(local) => local.shutdown().await?,
            Place::There(mut child) => {
                child.kill()?;
                child.wait()?;
            }
        }
        Ok(())
    }
}
