//! [`Signals`]: what asks the program to end, gently the first time and at once the second time.

use std::time::Duration;

/// After a second signal, time for the last line on the terminal, no more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// SIGTERM and SIGINT (elsewhere Ctrl-C), from `listen` on.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

/// How a shell calls a process that ended by this signal: 128 and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitStatus(i32);

const INTERRUPTED: ExitStatus = ExitStatus(130);
#[cfg(unix)]
const TERMINATED: ExitStatus = ExitStatus(143);

impl Signals {
    /// Listens; from now on a signal does not end the process by itself.
    #[cfg(unix)]
    pub(crate) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// The next signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> ExitStatus {
        tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.interrupt.recv() => INTERRUPTED,
        }
    }

    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> ExitStatus {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the process ends at the signal by itself.
            std::future::pending::<()>().await;
        }
        INTERRUPTED
    }

    /// The result of `work`, unless `patience` signals come before: then the process ends.
    pub(crate) async fn bear<T>(&mut self, patience: usize, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        for _ in 1..patience {
            tokio::select! {
                done = &mut work => return done,
                _ = self.next() => {}
            }
        }
        let status = tokio::select! {
            done = &mut work => return done,
            status = self.next() => status,
        };
        // What is not through by then is lost, and a restart makes it good: that is what checkpoints are for.
        let _ = tokio::time::timeout(LAST_WORDS, work).await;
        eprintln!("aborted by a second signal");
        std::process::exit(status.0)
    }
}
