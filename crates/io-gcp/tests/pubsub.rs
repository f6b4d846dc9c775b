//! Pub/Sub over the wire: reader and writer driven by hand, through Google's client, against the local server.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test may")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use millstream::batch::Batch;
use millstream::io::{Io, IoContext, Waker};
use millstream::sink::{Refused, Sink, SinkWriter, WriteContext};
use millstream::source::{ReadStatus, Reader, Source};
use millstream::time::{Clock as _, ManualClock};
use millstream::{BoxError, Timestamp};
use millstream_io_gcp::connection::Connection;
use millstream_io_gcp::pubsub::{
    PubSub, PubSubAdmin, PubSubError, PubSubMessage, PubSubPublisher, PubSubReader,
    PubSubRestriction, PubSubSource, PubSubWriter, SubscriptionSettings,
};
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::pubsub::SubscriptionStatistics;
use tokio::sync::Notify;

const TOPIC: &str = "projects/demo/topics/orders";
const SUBSCRIPTION: &str = "projects/demo/subscriptions/orders";
/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands where the engine would: a waker, a runtime, a clock.
struct Job {
    woken: Arc<Notify>,
    clock: ManualClock,
    ctx: IoContext,
}

impl Job {
    fn new() -> Self {
        let woken = Arc::new(Notify::new());
        let runtime = tokio::runtime::Handle::current();
        let waker = Arc::clone(&woken);
        let mut ctx = IoContext::detached("Test");
        ctx.io = Io::new(move |task| drop(runtime.spawn(task)));
        ctx.waker = Waker::new(move || waker.notify_one());
        Self { woken, clock: ManualClock::at(Timestamp::from_secs(2_000_000_000)), ctx }
    }

    fn start(&self, source: &PubSubSource) -> PubSubReader {
        let restriction = source.split(1).unwrap().remove(0);
        self.restore(source, restriction)
    }

    fn restore(&self, source: &PubSubSource, restriction: PubSubRestriction) -> PubSubReader {
        source.reader(restriction, &self.ctx).unwrap()
    }

    /// Waits for the waker, which must come.
    async fn sleep(&self) {
        tokio::time::timeout(PATIENCE, self.woken.notified())
            .await
            .expect("nothing wakes the worker");
    }

    /// Polls until `count` messages came, and what is there at once.
    async fn read(&self, reader: &mut PubSubReader, count: usize) -> Vec<PubSubMessage> {
        let mut messages = Batch::new();
        loop {
            let status = reader.poll_read(&mut messages, self.clock.now()).unwrap();
            match status {
                ReadStatus::More => {}
                _ if messages.len() >= count => break,
                _ => self.sleep().await,
            }
        }
        messages.drain().map(|(_, _, message)| message).collect()
    }

    /// Polls until `done`, which is looked at after each poll.
    async fn read_until(
        &self,
        reader: &mut PubSubReader,
        mut done: impl FnMut(&PubSubReader) -> bool,
    ) -> Vec<PubSubMessage> {
        let mut messages = Batch::new();
        while reader.poll_read(&mut messages, self.clock.now()).unwrap() == ReadStatus::More
            || !done(reader)
        {
            if !done(reader) && reader.backlog().records == Some(0) {
                self.sleep().await;
            }
        }
        messages.drain().map(|(_, _, message)| message).collect()
    }

    async fn fail(&self, reader: &mut PubSubReader) -> BoxError {
        loop {
            match reader.poll_read(&mut Batch::new(), self.clock.now()) {
                Err(error) => return error,
                Ok(_) => self.sleep().await,
            }
        }
    }

    /// Writes everything, and waits at the barrier.
    async fn write(
        &self,
        writer: &mut PubSubWriter,
        messages: Vec<PubSubMessage>,
    ) -> Result<Vec<Refused>, BoxError> {
        let mut refused = Batch::new();
        let mut batch = Batch::new();
        for message in messages {
            batch.push(Timestamp::from_secs(1), message);
        }
        while !batch.is_empty() {
            let left = batch.len();
            writer.write(&mut batch, &mut WriteContext::new(self.clock.now(), &mut refused))?;
            if batch.len() == left {
                self.sleep().await;
            }
        }
        loop {
            let mut ctx = WriteContext::new(self.clock.now(), &mut refused);
            match SinkWriter::<PubSubMessage>::poll_prepare(writer, 1, &mut ctx) {
                Poll::Ready(result) => {
                    result?;
                    return Ok(refused.drain().map(|(_, _, refused)| refused).collect());
                }
                Poll::Pending => self.sleep().await,
            }
        }
    }
}

/// Waits until a condition holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

async fn set_up() -> (LocalGcp, Connection) {
    let local = LocalGcp::start().await.unwrap();
    let connection = Connection::local(local.endpoint());
    let admin = PubSubAdmin::connect(&connection).await.unwrap();
    admin.ensure_topic(TOPIC).await.unwrap();
    admin.ensure_subscription(&SubscriptionSettings::new(SUBSCRIPTION, TOPIC)).await.unwrap();
    (local, connection)
}

fn source(connection: &Connection) -> PubSubSource {
    PubSub::subscription(SUBSCRIPTION).connection(connection.clone())
}

fn statistics(local: &LocalGcp) -> SubscriptionStatistics {
    local.pubsub().subscription_statistics()[SUBSCRIPTION]
}

fn orders(numbers: std::ops::Range<u32>) -> Vec<PubSubMessage> {
    numbers.map(|number| PubSubMessage::new(number.to_string())).collect()
}

async fn publish(connection: &Connection, numbers: std::ops::Range<u32>) {
    let publisher = PubSubPublisher::connect(TOPIC, connection).await.unwrap();
    publisher.publish(orders(numbers)).await.unwrap();
}

/// The numbers in messages, each with how often it came.
fn counts(messages: &[PubSubMessage]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for message in messages {
        let number = std::str::from_utf8(&message.data).unwrap().parse().unwrap();
        *counts.entry(number).or_default() += 1;
    }
    counts
}

fn once(numbers: std::ops::Range<u32>) -> BTreeMap<u32, u32> {
    numbers.map(|number| (number, 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_of_the_sink_arrive_once() {
    let (local, connection) = set_up().await;
    let job = Job::new();
    let sink = PubSub::topic(TOPIC).connection(connection.clone()).max_in_flight_messages(3_000);
    let mut writer = Sink::<PubSubMessage>::writer(&sink, &job.ctx).unwrap();
    assert!(job.write(&mut writer, orders(0..10_000)).await.unwrap().is_empty());
    assert_eq!(local.pubsub().topic_statistics()[TOPIC].published_messages, 10_000);
    assert_eq!(SinkWriter::<PubSubMessage>::bytes_written(&writer), 38_890);

    let mut reader = job.start(&source(&connection));
    let messages = job.read(&mut reader, 10_000).await;
    assert_eq!(counts(&messages), once(0..10_000));
    assert_eq!((reader.duplicates(), reader.bytes_read()), (0, 38_890));
    reader.checkpoint().finalizer.unwrap().call();
    until("every acknowledgement", || local.pubsub().unacked() == 0).await;
    assert_eq!(statistics(&local).counters.acknowledged, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_the_finalizer() {
    let (local, connection) = set_up().await;
    publish(&connection, 0..500).await;
    let job = Job::new();
    let mut reader = job.start(&source(&connection));
    job.read(&mut reader, 500).await;
    // The checkpoint is taken, but never becomes durable: the process dies.
    drop(reader.checkpoint());
    drop(reader);
    // All that a new process without the checkpoint has is the subscription: everything is still there.
    let mut next = job.start(&source(&connection));
    assert_eq!(counts(&job.read(&mut next, 500).await), once(0..500));
    assert_eq!(statistics(&local).counters.acknowledged, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpointed_message_that_comes_back_is_dropped_and_acknowledged() {
    let (local, connection) = set_up().await;
    publish(&connection, 0..1_000).await;
    let job = Job::new();
    let mut reader = job.start(&source(&connection));
    job.read(&mut reader, 1_000).await;
    let restriction = reader.checkpoint().restriction.unwrap();
    assert_eq!(restriction.unconfirmed(), 1_000);
    publish(&connection, 1_000..1_300).await;
    job.read(&mut reader, 300).await;
    drop(reader);

    let mut next = job.restore(&source(&connection), restriction);
    let messages = job.read_until(&mut next, |reader| reader.duplicates() >= 1_000).await;
    let mut seen = messages;
    if seen.len() < 300 {
        let missing = 300 - seen.len();
        seen.extend(job.read(&mut next, missing).await);
    }
    assert_eq!(counts(&seen), once(1_000..1_300));
    assert_eq!(next.duplicates(), 1_000);
    next.checkpoint().finalizer.unwrap().call();
    until("every acknowledgement", || local.pubsub().unacked() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_exactly_once_delivery_an_acknowledged_message_leaves_the_checkpoint() {
    let (local, connection) = set_up().await;
    let name = "projects/demo/subscriptions/exact";
    let admin = PubSubAdmin::connect(&connection).await.unwrap();
    let settings = SubscriptionSettings::new(name, TOPIC).exactly_once();
    admin.ensure_subscription(&settings).await.unwrap();
    publish(&connection, 0..300).await;
    let job = Job::new();
    let mut reader = job.start(&PubSub::subscription(name).connection(connection));
    assert_eq!(counts(&job.read(&mut reader, 300).await), once(0..300));
    let residual = reader.checkpoint();
    assert_eq!(residual.restriction.unwrap().unconfirmed(), 300);
    residual.finalizer.unwrap().call();
    let confirmed = || reader.checkpoint().restriction.unwrap().unconfirmed() == 0;
    until("every confirmation", confirmed).await;
    assert_eq!(local.pubsub().subscription_statistics()[name].counters.acknowledged, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_subscription_is_read_in_the_order_of_its_keys_and_emptied() {
    let (local, connection) = set_up().await;
    let name = "projects/demo/subscriptions/ordered";
    let admin = PubSubAdmin::connect(&connection).await.unwrap();
    let settings = SubscriptionSettings::new(name, TOPIC).ordered().exactly_once();
    admin.ensure_subscription(&settings).await.unwrap();
    let job = Job::new();
    let sink = PubSub::topic(TOPIC).connection(connection.clone());
    let mut writer = Sink::<PubSubMessage>::writer(&sink, &job.ctx).unwrap();
    let keyed =
        |(n, message): (usize, PubSubMessage)| message.with_ordering_key(["a", "b", "c"][n % 3]);
    let messages = orders(0..300).into_iter().enumerate().map(keyed).collect();
    assert!(job.write(&mut writer, messages).await.unwrap().is_empty());

    let mut reader = job.start(&PubSub::subscription(name).connection(connection));
    let read = job.read(&mut reader, 300).await;
    assert_eq!(counts(&read), once(0..300));
    for key in ["a", "b", "c"] {
        let of_key = read.iter().filter(|message| message.ordering_key == key);
        let numbers: Vec<u32> =
            of_key.map(|it| std::str::from_utf8(&it.data).unwrap().parse().unwrap()).collect();
        assert!(numbers.len() == 100 && numbers.is_sorted(), "{key}: {numbers:?}");
    }
    reader.checkpoint().finalizer.unwrap().call();
    let unacked = || local.pubsub().subscription_statistics()[name].unacked;
    until("every acknowledgement", || unacked() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_restarted_in_the_same_process_reads_what_was_not_durable_again() {
    let (local, connection) = set_up().await;
    publish(&connection, 0..200).await;
    let (job, source) = (Job::new(), source(&connection));
    let mut reader = job.start(&source);
    job.read(&mut reader, 200).await;
    let residual = reader.checkpoint();
    publish(&connection, 200..300).await;
    job.read(&mut reader, 100).await;
    // The checkpoint became durable; the worker is gone before its finalizer is called.
    drop(reader);
    residual.finalizer.unwrap().call();
    let mut next = job.restore(&source, residual.restriction.unwrap());
    assert_eq!(counts(&job.read(&mut next, 100).await), once(200..300));
    next.checkpoint().finalizer.unwrap().call();
    until("every acknowledgement", || local.pubsub().unacked() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_the_same_id_of_the_user_are_one() {
    let (local, connection) = set_up().await;
    let publisher = PubSubPublisher::connect(TOPIC, &connection).await.unwrap();
    let twice = orders(0..50).into_iter().chain(orders(0..50));
    let messages = twice.map(|message| {
        let id = std::str::from_utf8(&message.data).unwrap().to_owned();
        message.with_attribute("order", format!("order-{id}"))
    });
    publisher.publish(messages).await.unwrap();
    let job = Job::new();
    let mut reader = job.start(&source(&connection).id_attribute("order"));
    let messages = job.read_until(&mut reader, |reader| reader.duplicates() == 50).await;
    assert_eq!(counts(&messages), once(0..50));
    reader.checkpoint().finalizer.unwrap().call();
    until("every acknowledgement", || local.pubsub().unacked() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_carries_everything_there_and_back() {
    let (_local, connection) = set_up().await;
    let publisher = PubSubPublisher::connect(TOPIC, &connection).await.unwrap();
    let sent = PubSubMessage::new(vec![0, 159, 255])
        .with_attribute("kind", "order")
        .with_ordering_key("tea");
    let ids = publisher.publish([sent.clone(), sent.clone()]).await.unwrap();
    let job = Job::new();
    let mut reader = job.start(&source(&connection));
    let messages = job.read(&mut reader, 2).await;
    for message in &messages {
        assert!(ids.contains(&message.message_id));
        assert!(message.publish_time > Timestamp::EPOCH);
        let PubSubMessage { data, attributes, ordering_key, .. } = message;
        assert_eq!(
            (data, attributes, ordering_key),
            (&sent.data, &sent.attributes, &sent.ordering_key)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_share_a_subscription() {
    let (local, connection) = set_up().await;
    let (job, source) = (Job::new(), source(&connection));
    let mut readers: Vec<_> = source
        .split(2)
        .unwrap()
        .into_iter()
        .map(|restriction| job.restore(&source, restriction))
        .collect();
    until("both streams", || statistics(&local).sessions == 2).await;
    publish(&connection, 0..2_000).await;
    let mut messages = Vec::new();
    while messages.len() < 2_000 {
        for reader in &mut readers {
            messages.extend(job.read(reader, 0).await);
        }
        if messages.len() < 2_000 {
            job.sleep().await;
        }
    }
    assert_eq!(counts(&messages), once(0..2_000));
    readers.iter_mut().for_each(|reader| reader.checkpoint().finalizer.unwrap().call());
    until("every acknowledgement", || local.pubsub().unacked() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_passes_on_in_silence_when_the_service_answers() {
    let (_local, connection) = set_up().await;
    let job = Job::new();
    let mut reader = job.start(&source(&connection).allowed_skew(Duration::from_secs(2)));
    job.read(&mut reader, 0).await;
    assert_eq!(reader.watermark(), Timestamp::MIN);
    job.clock.advance(Duration::from_secs(1));
    let asked = job.clock.now();
    job.read(&mut reader, 0).await;
    while reader.watermark() == Timestamp::MIN {
        job.sleep().await;
        job.read(&mut reader, 0).await;
    }
    assert_eq!(reader.watermark(), asked - Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    let connection = Connection::local(local.endpoint());
    let port = local.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    let admin = PubSubAdmin::connect(&connection).await.unwrap();
    admin.ensure_topic(TOPIC).await.unwrap();
    admin.ensure_subscription(&SubscriptionSettings::new(SUBSCRIPTION, TOPIC)).await.unwrap();
    publish(&connection, 0..100).await;
    let job = Job::new();
    let mut reader = job.start(&source(&connection));
    let mut messages = job.read(&mut reader, 100).await;
    local.shutdown().await.unwrap();

    let local = LocalGcp::builder().data_dir(directory.path()).port(port).start().await.unwrap();
    publish(&connection, 100..150).await;
    messages.extend(job.read(&mut reader, 50).await);
    assert_eq!(counts(&messages), once(0..150));
    reader.checkpoint().finalizer.unwrap().call();
    // The first hundred come back under new leases, are dropped, and acknowledged with the next checkpoint.
    let rest = job.read_until(&mut reader, |reader| reader.duplicates() >= 100).await;
    assert!(rest.is_empty());
    reader.checkpoint().finalizer.unwrap().call();
    until("every acknowledgement", || local.pubsub().unacked() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_subscription_is_named() {
    let (_local, connection) = set_up().await;
    let job = Job::new();
    let name = "projects/demo/subscriptions/nobody";
    let missing = PubSub::subscription(name).connection(connection.clone());
    let error = job.fail(&mut job.start(&missing)).await;
    let error = error.downcast_ref::<PubSubError>().unwrap();
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), format!("{name} does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_function_of_the_user_fails_the_reader() {
    let (_local, connection) = set_up().await;
    publish(&connection, 0..1).await;
    let job = Job::new();
    let source = source(&connection).timestamp_by(|_| panic!("no such field"));
    let error = job.fail(&mut job.start(&source)).await;
    assert!(error.to_string().contains("no such field"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_fails_the_writer_and_is_named() {
    let (_local, connection) = set_up().await;
    let job = Job::new();
    let name = "projects/demo/topics/nobody";
    let sink = PubSub::topic(name).connection(connection.clone());
    let mut writer = Sink::<PubSubMessage>::writer(&sink, &job.ctx).unwrap();
    let error = job.write(&mut writer, orders(0..3)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{name} does not exist"));
    let publisher = PubSubPublisher::connect(name, &connection).await.unwrap();
    assert!(publisher.publish(orders(0..1)).await.unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_the_service_refuses_comes_out_and_the_others_are_published() {
    let (local, connection) = set_up().await;
    let job = Job::new();
    let sink = PubSub::topic(TOPIC).connection(connection.clone());
    let mut writer = Sink::<PubSubMessage>::writer(&sink, &job.ctx).unwrap();
    let mut messages = orders(0..20);
    // Attribute names have at most 256 bytes; only the service says so.
    messages.insert(7, PubSubMessage::new("bad").with_attribute("x".repeat(300), "y"));
    let refused = job.write(&mut writer, messages).await.unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(
        (refused[0].element.as_slice(), refused[0].destination.as_str()),
        (&b"bad"[..], TOPIC)
    );
    assert_eq!(local.pubsub().topic_statistics()[TOPIC].published_messages, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_subscriptions_are_made_once() {
    let (_local, connection) = set_up().await;
    let admin = PubSubAdmin::connect(&connection).await.unwrap();
    admin.ensure_topic(TOPIC).await.unwrap();
    let settings =
        SubscriptionSettings::new(SUBSCRIPTION, TOPIC).ack_deadline(Duration::from_secs(60));
    admin.ensure_subscription(&settings).await.unwrap();
    let other = "projects/demo/topics/other";
    let moved = SubscriptionSettings::new(SUBSCRIPTION, other);
    assert!(admin.ensure_subscription(&moved).await.is_err());
    admin.ensure_topic(other).await.unwrap();
    let error = admin.ensure_subscription(&moved).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{SUBSCRIPTION} exists, but reads {TOPIC}, not {other}"));
    for _ in 0..2 {
        admin.delete_subscription(SUBSCRIPTION).await.unwrap();
        admin.delete_topic(TOPIC).await.unwrap();
    }
}
