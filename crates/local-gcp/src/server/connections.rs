//! Accepts connections and serves HTTP/1.1 and HTTP/2 (with prior knowledge) on each.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::mux::Mux;

/// Connections at one time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 2_048;
/// Requests at one time on one HTTP/2 connection: a publisher may have many batches under way.
const STREAMS_MAX: u32 = 1_000;
/// Flow control windows: a whole publish request (10 MB) should not wait for a round trip more than a few
/// times.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Larger frames mean fewer system calls per megabyte.
const FRAME_BYTES_MAX: u32 = 256 << 10;
/// Responses buffered per HTTP/2 stream before backpressure.
const SEND_BUFFER_BYTES_MAX: usize = 2 << 20;
/// A client that does not finish its request head by then is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an idle HTTP/2 client is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long requests may take to end after shutdown began.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// After a failed accept (no more file handles), some time for others to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a port until `shutdown`, then lets requests end for a while.
pub(super) async fn serve(listener: TcpListener, mux: Mux, shutdown: CancellationToken) {
    let builder = Arc::new(http_builder());
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let cut_off = CancellationToken::new();
    while let Some(stream) = accept(&listener, &shutdown).await {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
        let watcher = graceful.watcher();
        let (builder, mux, cut_off) = (Arc::clone(&builder), mux.clone(), cut_off.clone());
        tokio::spawn(async move {
            let service = TowerToHyperService::new(mux);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                result = watcher.watch(connection) => {
                    if let Err(error) = result {
                        tracing::debug!(error, "connection ended");
                    }
                }
                () = cut_off.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, graceful.shutdown()).await;
    cut_off.cancel();
}

/// The next connection; `None` on shutdown.
async fn accept(listener: &TcpListener, shutdown: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers are small and awaited: they must not wait for more to send.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return Some(stream);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX);
    builder
}
