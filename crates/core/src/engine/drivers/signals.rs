//! [`Signals`]: what asks a process to end.

#[cfg(unix)]
use std::task::Poll;

/// SIGTERM and SIGINT; none is missed between two calls of `next`.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    /// Listens from now on; to be called in the context of a runtime.
    pub(crate) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]))
    }

    pub(crate) async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            let received = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if received { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What Ctrl-C sends.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
