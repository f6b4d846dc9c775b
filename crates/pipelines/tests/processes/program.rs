//! [`Program`]: a `millstream` process: what it prints, signals to it, and how it ends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use millstream::Timestamp;
use millstream::time::{Clock as _, SystemClock};
use serde_json::Value;

/// Nothing here takes long; a hang must not take a build machine with it.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A running process; dropping it kills it.
pub(super) struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: PathBuf,
}

impl Program {
    /// Starts the program; what it says on standard error goes to the file `errors`.
    pub(super) fn start(arguments: &[&str], variables: &[(String, String)], errors: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(arguments)
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(errors).unwrap())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        // Ends with the process.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, errors: errors.to_owned() }
    }

    /// The next line it prints, if it has.
    pub(super) fn next_line(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// What follows `prefix` on a line that it will print.
    pub(super) fn printed(&self, prefix: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {prefix:?}: {}", self.errors()));
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
    }

    /// What it said on standard error.
    pub(super) fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    /// The bytes of it that are in memory, the most there ever were with `VmHWM`, now with `VmRSS`; nothing where the system does not
    /// tell.
    pub(super) fn resident(&self, figure: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'))?;
        let kilobytes: u64 = line.strip_suffix("kB")?.trim().parse().unwrap();
        Some(kilobytes << 10)
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    }

    /// Ends it at once, which it must not have done by itself.
    pub(super) fn kill(mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself, {ended:?}: {}", self.errors());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut looks = tokio::time::interval(LOOK);
        let wait = async {
            loop {
                looks.tick().await;
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
            }
        };
        match tokio::time::timeout(within, wait).await {
            Ok(status) => status,
            Err(_) => panic!("it did not end within {within:?}: {}", self.errors()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("standard error of process {}:\n{}", self.child.id(), self.errors());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What time it is.
pub(super) fn now() -> Timestamp {
    SystemClock::new().now()
}

/// The JSON at an address such as `http://127.0.0.1:8080/status`.
pub(super) fn get(url: &str) -> std::io::Result<Value> {
    request("GET", url, "")
}

/// The JSON that a request is answered with.
pub(super) fn request(method: &str, url: &str, body: &str) -> std::io::Result<Value> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

/// Waits until a condition holds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(LOOK);
    let wait = async {
        while !holds() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"));
}
