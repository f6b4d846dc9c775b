//! The shell between the machine and Google's client: one task pumps deliveries in, one carries requests out.
//!
//! The tasks end when the reader and all finalizers are gone. What was asked to be acknowledged by then is still sent;
//! what was not goes back to the service at once.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::BackoffBuilder;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::Error as GoogleError;
use google_cloud_pubsub::client::{Subscriber, SubscriptionAdmin};
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownBehavior, ShutdownToken};
use millstream::io::Io;

use super::super::error::{PubSubError, is_retryable};
use super::super::message::PubSubMessage;
use super::ids::MessageKey;
use super::link::PubSubLink;
use super::machine::{AckOutcome, Lease, MachineSettings, Request};
use super::options::PubSubSource;
use super::reader::Shared;
use crate::connection::{Resolved, Service};

/// Deliveries carried into the machine at once: enough that its lock and the worker's wake-up cost little for each.
const PUMP_BATCH: usize = 256;
/// How long the last acknowledgements may take when the reader is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a reader that has ended looks whether another one's checkpoint is durable: they end at the same time.
const PARTING_LOOK: Duration = Duration::from_millis(20);
/// Acknowledgements that belong to no group: the machine that would count them has ended.
const NO_GROUP: u64 = 0;
/// How long the service may take to answer that it is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A lease is extended for as long as this. Longer than any outage behind which a checkpoint waits: the service would deliver beyond the
/// outstanding limit what it no longer takes for leased.
const LEASE_MAX: Duration = Duration::from_secs(7 * 86_400);

type SharedToken = Arc<Mutex<Option<ShutdownToken>>>;

/// Connects, and runs both tasks until the reader's life ends.
pub(super) async fn run(link: PubSubLink<Handler>, settings: MachineSettings, io: Io) {
    let clients = match connect(&link.source, settings).await {
        Ok(clients) => clients,
        Err(error) => return link.fail(error),
    };
    let shared = Arc::clone(&link.shared);
    let name = link.source.subscription.clone();
    let token = SharedToken::default();
    let pump = Pump { link, settings, subscriber: clients.subscriber, token: Arc::clone(&token) };
    let service = RequestService {
        shared: Arc::clone(&shared),
        subscription: name.clone(),
        admin: clients.admin,
        token,
        answers: FuturesUnordered::new(),
    };
    io.spawn(reporting_panics(Arc::clone(&shared), name.clone(), pump.run()));
    reporting_panics(shared, name, service.run()).await;
}

/// A panic, which can come from the user's functions, fails the reader instead of leaving it silent.
async fn reporting_panics(
    shared: Arc<Shared<Handler>>,
    resource: String,
    task: impl Future<Output = ()>,
) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let what = format!("a function of the source panicked: {}", text.unwrap_or("no message"));
        shared.fail(PubSubError::Stopped { resource, what });
    }
}

struct Clients {
    subscriber: Subscriber,
    admin: Option<SubscriptionAdmin>,
}

async fn connect(source: &PubSubSource, settings: MachineSettings) -> Result<Clients, PubSubError> {
    let failed = |error| PubSubError::connection(&source.subscription, error);
    let resolved = source.connection.resolve(Service::PubSub).map_err(failed)?;
    let mut builder = Subscriber::builder().with_credentials(resolved.credentials());
    if let Some(endpoint) = resolved.endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    let subscriber = builder.build().await.map_err(|cause| failed(resolved.client_error(cause)))?;
    let admin = match settings.follows_clock {
        true => Some(connect_admin(&resolved).await.map_err(|e| failed(resolved.client_error(e)))?),
        false => None,
    };
    Ok(Clients { subscriber, admin })
}

async fn connect_admin(
    resolved: &Resolved,
) -> Result<SubscriptionAdmin, google_cloud_gax::client_builder::Error> {
    let mut builder = SubscriptionAdmin::builder().with_credentials(resolved.credentials());
    if let Some(endpoint) = resolved.endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().await
}

/// Carries deliveries from the streams of one reader into its machine.
struct Pump {
    link: PubSubLink<Handler>,
    settings: MachineSettings,
    subscriber: Subscriber,
    token: SharedToken,
}

/// Why a stream ended.
enum StreamEnd {
    Closed,
    Reopen,
    Failed(GoogleError),
}

impl Pump {
    async fn run(self) {
        let mut delays = delays();
        loop {
            let stream = self.open();
            let (end, has_delivered) = self.read(stream).await;
            if has_delivered {
                delays = self::delays();
            }
            match end {
                StreamEnd::Closed => return,
                StreamEnd::Reopen => {}
                StreamEnd::Failed(error) if is_retryable(&error) => {
                    tracing::warn!(subscription = self.link.source.subscription, %error, "the stream of the subscription ended; opening it again");
                    metrics::counter!("millstream_pubsub_streams_reopened").increment(1);
                    tokio::time::sleep(delays.next().unwrap_or(DELAY_MAX)).await;
                }
                StreamEnd::Failed(error) => {
                    let name = &self.link.source.subscription;
                    return self.link.fail(PubSubError::call("read", name, Arc::new(error)));
                }
            }
            if self.link.is_closed() {
                return;
            }
        }
    }

    fn open(&self) -> MessageStream {
        let limit = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let stream = self
            .subscriber
            .subscribe(&self.link.source.subscription)
            .set_max_lease(LEASE_MAX)
            .set_max_lease_extension(self.settings.ack_deadline)
            .set_max_outstanding_messages(limit(self.settings.messages_max))
            .set_max_outstanding_bytes(limit(self.settings.bytes_max))
            // Leases outlive a stream that is opened anew; dropping a handler gives its message back.
            .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
            .build();
        *lock(&self.token) = Some(stream.shutdown_token());
        stream
    }

    async fn read(&self, mut stream: MessageStream) -> (StreamEnd, bool) {
        let mut has_delivered = false;
        loop {
            if !self.has_room().await {
                return (StreamEnd::Closed, has_delivered);
            }
            let mut batch = Vec::with_capacity(PUMP_BATCH);
            let mut next = Some(stream.next().await);
            while let Some(Some(Ok((message, handler)))) = next {
                batch.push((PubSubMessage::from_google(message), handler));
                // What the client holds already is taken along, as far as it goes without waiting.
                next = match batch.len() < PUMP_BATCH {
                    true => stream.next().now_or_never(),
                    false => None,
                };
            }
            has_delivered |= !batch.is_empty();
            self.deliver(batch);
            match next {
                Some(Some(Err(error))) => return (StreamEnd::Failed(error), has_delivered),
                Some(None) => return (StreamEnd::Reopen, has_delivered),
                _ => {}
            }
        }
    }

    /// Waits until there is room for deliveries; false when the reader's life has ended.
    async fn has_room(&self) -> bool {
        loop {
            let shared = &self.link.shared;
            if let Some(has_room) = shared.has_room_or_closed() {
                return has_room;
            }
            shared.room.notified().await;
        }
    }

    fn deliver(&self, batch: Vec<(PubSubMessage, Handler)>) {
        if !batch.is_empty() {
            // Dropping a handler gives its message back to the service.
            drop(self.link.deliver(batch));
        }
    }
}

const DELAY_MAX: Duration = Duration::from_secs(60);

fn delays() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(DELAY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

fn lock(token: &SharedToken) -> std::sync::MutexGuard<'_, Option<ShutdownToken>> {
    token.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries the machine's requests to the service, and the answers back.
struct RequestService {
    shared: Arc<Shared<Handler>>,
    subscription: String,
    admin: Option<SubscriptionAdmin>,
    token: SharedToken,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

enum Answer {
    Acknowledged(u64, AckOutcome),
    Probed(Result<(), String>),
}

impl RequestService {
    async fn run(mut self) {
        loop {
            let (requests, is_closed) = self.shared.take_requests();
            for request in requests {
                self.start(request);
            }
            if is_closed {
                return self.close().await;
            }
            tokio::select! {
                () = self.shared.requested.notified() => {}
                Some(answer) = self.answers.next(), if !self.answers.is_empty() => self.take(answer),
            }
        }
    }

    fn start(&mut self, request: Request<Handler>) {
        match request {
            Request::Acknowledge { seq, leases } => self.acknowledge(seq, leases),
            Request::Release(leases) => drop(leases),
            Request::Probe => self.probe(),
            Request::Reopen => {
                if let Some(token) = lock(&self.token).take() {
                    // The first poll closes the stream; its leases go on until their handlers are used.
                    let _ = token.shutdown().now_or_never();
                }
            }
        }
    }

    fn acknowledge(&mut self, seq: u64, leases: Vec<Lease<Handler>>) {
        metrics::counter!("millstream_pubsub_acknowledged").increment(leases.len() as u64);
        let mut confirmations = Vec::new();
        let mut is_confirmed = true;
        for Lease { key, handle } in leases {
            match handle {
                Handler::ExactlyOnce(handler) => confirmations.push((key, handler)),
                other => {
                    is_confirmed = false;
                    other.ack();
                }
            }
        }
        if confirmations.is_empty() {
            return self.take(Answer::Acknowledged(seq, AckOutcome::Sent));
        }
        let acks = confirmations.into_iter().map(|(key, handler)| async move {
            handler.confirmed_ack().await.err().map(|error| failed_ack(key, &error))
        });
        let all = futures::future::join_all(acks).map(move |failed| {
            let failed = failed.into_iter().flatten().collect();
            // A group that crossed a change of the subscription's delivery is as uncertain as its weakest part.
            let outcome =
                if is_confirmed { AckOutcome::Confirmed { failed } } else { AckOutcome::Sent };
            Answer::Acknowledged(seq, outcome)
        });
        self.answers.push(all.boxed());
    }

    fn probe(&mut self) {
        let Some(admin) = self.admin.clone() else { return };
        let call = admin.get_subscription().set_subscription(&self.subscription).send();
        let answer = async move {
            let result = match tokio::time::timeout(PROBE_TIMEOUT, call).await {
                Ok(Ok(_)) => Ok(()),
                // The service is there: reading needs less permission than looking.
                Ok(Err(error)) if has_code(&error, Code::PermissionDenied) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer within {PROBE_TIMEOUT:?}")),
            };
            Answer::Probed(result)
        };
        self.answers.push(answer.boxed());
    }

    fn take(&self, answer: Answer) {
        match answer {
            Answer::Acknowledged(seq, outcome) => {
                self.shared.machine().acknowledged(seq, outcome);
                self.shared.room.notify_one();
            }
            Answer::Probed(result) => {
                self.shared.machine().probed(result);
                self.shared.requested.notify_one();
                self.shared.waker.wake();
            }
        }
    }

    /// Waits until everything is acknowledged or given back.
    async fn close(mut self) {
        let token = lock(&self.token).take();
        let rest = async {
            self.part().await;
            while let Some(answer) = self.answers.next().await {
                if matches!(answer, Answer::Acknowledged(..)) {
                    self.take(answer);
                }
            }
            if let Some(token) = token {
                token.shutdown().await;
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, rest).await.is_err() {
            let subscription = self.subscription.as_str();
            tracing::warn!(subscription, "the last acknowledgements were not answered in time");
        }
    }
}

impl RequestService {
    /// Acknowledges the duplicates that waited for the last checkpoint of another reader.
    async fn part(&mut self) {
        loop {
            let durable = self.shared.machine().part();
            if !durable.is_empty() {
                self.acknowledge(NO_GROUP, durable);
            }
            if !self.shared.machine().is_parting() {
                return;
            }
            tokio::time::sleep(PARTING_LOOK).await;
        }
    }
}

fn failed_ack(key: MessageKey, error: &google_cloud_pubsub::error::AckError) -> MessageKey {
    metrics::counter!("millstream_pubsub_acknowledgements_failed").increment(1);
    tracing::debug!(?key, %error, "an acknowledgement is not confirmed; the message may come back");
    key
}

fn has_code(error: &GoogleError, code: Code) -> bool {
    error.status().is_some_and(|status| status.code == code)
}
