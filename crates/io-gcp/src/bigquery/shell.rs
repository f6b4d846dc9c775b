//! The asynchronous half of a writer: carries the protocol machine's requests out over Google's client.
//!
//! Decides nothing. Requests of one connection go out in the order in which they come; answers are sent back as they arrive, and
//! the worker is woken. It ends when its writer is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use google_cloud_bigquery::client::Write;
use google_cloud_bigquery::model::{ArrowRecordBatch, ArrowSchema};
use google_cloud_bigquery::write::format::Arrow;
use google_cloud_bigquery::write::stream_type::BufferedStream;
use google_cloud_bigquery::write::{BufferedWriter, DefaultWriter};
use google_cloud_gax::error::Error as GoogleError;
use google_cloud_gax::retry_policy::NeverRetry;
use rustc_hash::FxHashMap;

use super::clients::{Clients, Pace};
use super::error::{Error, Result};
use super::failure;
use super::link::{Reply, WriterLink};
use super::protocol::{Answer, ConnectionId, Failure, FailureKind, Request, StreamKind};
use super::setup::{Setup, Table};

/// What a shell needs to start.
#[derive(Debug)]
pub(super) struct ShellSetup {
    pub(super) clients: Clients,
    pub(super) setup: Setup,
    pub(super) append_timeout: Duration,
    pub(super) control_timeout: Duration,
    pub(super) link: WriterLink,
}

/// An open stream.
#[derive(Clone, Debug)]
enum Writer {
    Buffered(Arc<BufferedWriter<Arrow>>),
    Default(Arc<DefaultWriter<Arrow>>),
}

/// What a finished request leaves behind.
struct Finished {
    answer: Answer,
    writer: Option<(ConnectionId, Writer)>,
}

impl From<Answer> for Finished {
    fn from(answer: Answer) -> Self {
        Self { answer, writer: None }
    }
}

/// How long a call may take here: the client tries some again by itself, at growing intervals, and what is called anew is there sooner
/// when a service comes back. The machine waits longer, as streams take turns to be opened.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest pause before the table is looked for again, before jitter.
const PAUSE_MAX: Duration = Duration::from_secs(5);

fn no_answer(start: &ShellSetup) -> Error {
    let source = Box::new(GoogleError::timeout("no answer in time"));
    Error::Table { action: "look up", table: start.setup.table.to_string(), source }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

type Pending = FuturesUnordered<Pin<Box<dyn Future<Output = Finished> + Send>>>;

struct Shell {
    client: Arc<Write>,
    pace: Pace,
    /// Name of the table as the Storage API has it.
    table: String,
    arrow_schema: ArrowSchema,
    append_timeout: Duration,
    control_timeout: Duration,
    writers: FxHashMap<ConnectionId, Writer>,
    pending: Pending,
}

/// Runs until the writer is dropped.
pub(super) async fn run(start: ShellSetup) {
    let (reply, shell) = match Shell::start(&start).await {
        Some(Ok((table, shell))) => (Reply::Ready(table), Some(shell)),
        Some(Err(cause)) => (Reply::Failed(cause), None),
        None => return,
    };
    let mut link = start.link;
    if link.replies.send(reply).await.is_err() {
        return;
    }
    link.waker.wake();
    let Some(mut shell) = shell else { return };
    loop {
        let finished = tokio::select! {
            request = link.requests.recv() => match request {
                Some(request) => {
                    shell.carry_out(request);
                    continue;
                }
                None => return,
            },
            Some(finished) = shell.pending.next() => finished,
        };
        if let Some((connection, writer)) = finished.writer {
            shell.writers.insert(connection, writer);
        }
        if link.replies.send(Reply::Answer(finished.answer)).await.is_err() {
            return;
        }
        link.waker.wake();
    }
}

impl Shell {
    /// Connects and finds the table, however long that takes; `None` when nobody waits for it any more.
    async fn start(start: &ShellSetup) -> Option<Result<(Table, Self)>> {
        let mut pauses = pauses();
        loop {
            let cause = match Self::try_start(start).await {
                Err(cause) if cause.is_unavailable() => cause,
                done => return Some(done),
            };
            let pause = pauses.next().unwrap_or(PAUSE_MAX);
            let reason = millstream::error::reason_chain(&cause).join(": ");
            tracing::warn!(reason, ?pause, "the table cannot be reached; trying again");
            // A writer that is behind with its replies misses only a count.
            let _ = start.link.replies.try_send(Reply::Retrying);
            start.link.waker.wake();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = start.link.replies.closed() => return None,
            }
        }
    }

    async fn try_start(start: &ShellSetup) -> Result<(Table, Self)> {
        let connected = start.clients.get().await?;
        let setup = start.setup.clone().run(&connected.admin);
        let table = match tokio::time::timeout(CALL_TIMEOUT, setup).await {
            Ok(done) => done?,
            Err(_) => return Err(no_answer(start)),
        };
        let shell = Self {
            client: Arc::clone(&connected.write),
            pace: start.clients.pace.clone(),
            table: start.setup.table.resource_name(),
            arrow_schema: table.arrow_schema()?,
            append_timeout: start.append_timeout,
            control_timeout: start.control_timeout,
            writers: FxHashMap::default(),
            pending: FuturesUnordered::new(),
        };
        Ok((table, shell))
    }

    fn carry_out(&mut self, request: Request<Bytes>) {
        match request {
            Request::Open { connection, kind: StreamKind::Buffered } => self.open(connection),
            Request::Open { connection, kind: StreamKind::Default } => {
                self.open_default(connection)
            }
            Request::Connect { connection, stream } => self.connect(connection, stream),
            Request::Append { connection, append, offset, body } => {
                self.append(connection, append, offset, body);
            }
            Request::Close { connection } => {
                self.writers.remove(&connection);
            }
            Request::Flush { stream, rows } => self.flush(stream, rows),
            Request::Finalize { stream } => self.finalize(stream),
        }
    }

    fn open(&self, connection: ConnectionId) {
        let opening = self
            .client
            .create_stream::<BufferedStream>(&self.table)
            .build_arrow(self.arrow_schema.clone());
        let opening =
            self.in_time(async { opening.await.map_err(|cause| failure::of_opening(&cause)) });
        let pace = self.pace.clone();
        self.pending.push(Box::pin(async move {
            pace.turn().await;
            let opened = opening.await.map(Arc::new);
            let name = opened.as_ref().map(|writer| writer.write_stream().to_owned());
            Finished {
                answer: Answer::Opened { connection, result: name.map_err(Clone::clone) },
                writer: opened.ok().map(|writer| (connection, Writer::Buffered(writer))),
            }
        }));
    }

    fn open_default(&self, connection: ConnectionId) {
        // The machine decides what is tried again and counts it.
        let opening = self
            .client
            .open_default_stream(&self.table)
            .with_retry_policy(NeverRetry)
            .with_attempt_timeout(self.append_timeout)
            .build_arrow(self.arrow_schema.clone());
        let name = format!("{}/streams/_default", self.table);
        let opening = self.in_time(async {
            let opened: Result<DefaultWriter<Arrow>, _> = opening.await;
            opened.map_err(|cause| failure::of_opening(&cause))
        });
        self.pending.push(Box::pin(async move {
            match opening.await {
                Ok(writer) => Finished {
                    answer: Answer::Opened { connection, result: Ok(name) },
                    writer: Some((connection, Writer::Default(Arc::new(writer)))),
                },
                Err(failure) => Answer::Opened { connection, result: Err(failure) }.into(),
            }
        }));
    }

    fn connect(&self, connection: ConnectionId, stream: String) {
        let attaching = self.attach(stream);
        self.pending.push(Box::pin(async move {
            match attaching.await {
                Ok(writer) => Finished {
                    answer: Answer::Connected { connection, result: Ok(()) },
                    writer: Some((connection, Writer::Buffered(writer))),
                },
                Err(failure) => Answer::Connected { connection, result: Err(failure) }.into(),
            }
        }));
    }

    fn append(&self, connection: ConnectionId, append: u64, offset: Option<u64>, body: Bytes) {
        let rows = ArrowRecordBatch::new().set_serialized_record_batch(body);
        let sent = match (self.writers.get(&connection), offset) {
            (Some(Writer::Buffered(writer)), Some(offset)) => {
                writer.append(rows).set_offset(i64::try_from(offset).unwrap_or(i64::MAX)).send()
            }
            (Some(Writer::Default(writer)), None) => writer.append(rows).send(),
            _ => {
                let result = Err(Failure::new(FailureKind::ConnectionLost, "not connected"));
                let answer = Answer::Appended { connection, append, result };
                self.pending.push(Box::pin(std::future::ready(answer.into())));
                return;
            }
        };
        self.pending.push(Box::pin(async move {
            let result = match sent.await {
                Ok(response) => Ok(response.offset.and_then(|offset| u64::try_from(offset).ok())),
                Err(cause) => Err(failure::of_append(cause)),
            };
            Answer::Appended { connection, append, result }.into()
        }));
    }

    fn flush(&self, stream: String, rows: u64) {
        let writer = self.by_stream(stream.clone());
        let flushing = self.in_time(async move {
            // The offset is that of the last row, not one behind it.
            let offset = i64::try_from(rows.saturating_sub(1)).unwrap_or(i64::MAX);
            let flushed = writer.await?.flush(offset).await;
            flushed.map(drop).map_err(|cause| failure::of_call(&cause))
        });
        self.pending.push(Box::pin(async move {
            Answer::Flushed { stream, rows, result: flushing.await }.into()
        }));
    }

    fn finalize(&self, stream: String) {
        let writer = self.by_stream(stream.clone());
        let finalizing = self.in_time(async move {
            let finalized = writer.await?.finalize().await;
            finalized.map(drop).map_err(|cause| failure::of_call(&cause))
        });
        self.pending.push(Box::pin(async move {
            Answer::Finalized { stream, result: finalizing.await }.into()
        }));
    }

    /// The open writer of `stream`, or one that is made for the purpose.
    fn by_stream(
        &self,
        stream: String,
    ) -> impl Future<Output = Result<Arc<BufferedWriter<Arrow>>, Failure>> + Send + use<> {
        let open = self.writers.values().find_map(|writer| match writer {
            Writer::Buffered(writer) if writer.write_stream() == stream => Some(Arc::clone(writer)),
            _ => None,
        });
        let attaching = open.is_none().then(|| self.attach(stream));
        async move {
            match (open, attaching) {
                (Some(writer), _) => Ok(writer),
                (None, Some(attaching)) => attaching.await,
                (None, None) => Err(Failure::new(FailureKind::Other, "no writer")),
            }
        }
    }

    fn attach(
        &self,
        stream: String,
    ) -> impl Future<Output = Result<Arc<BufferedWriter<Arrow>>, Failure>> + Send + use<> {
        let attaching = self
            .client
            .attach_to_stream::<BufferedStream>(stream)
            .build_arrow(self.arrow_schema.clone());
        self.in_time(async {
            let attached: Result<BufferedWriter<Arrow>, _> = attaching.await;
            attached.map(Arc::new).map_err(|cause| failure::of_opening(&cause))
        })
    }

    /// Ends `call` with a failure when there is no answer in time.
    fn in_time<T, F>(&self, call: F) -> impl Future<Output = Result<T, Failure>> + Send + use<T, F>
    where
        F: Future<Output = Result<T, Failure>> + Send,
        T: Send,
    {
        let timeout = self.control_timeout.min(CALL_TIMEOUT);
        async move {
            let late = || Failure::new(FailureKind::Unavailable, "no answer in time");
            tokio::time::timeout(timeout, call).await.unwrap_or_else(|_| Err(late()))
        }
    }
}
