//! [`PubSubSource`]: which subscription is read, and how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream::io::IoContext;
use millstream::source::{Boundedness, Source};
use millstream::{BoxError, Timestamp};

use super::super::error::PubSubError;
use super::super::message::PubSubMessage;
use super::super::names::check_subscription;
use super::ids::MessageKey;
use super::link::PubSubLink;
use super::machine::MachineSettings;
use super::reader::PubSubReader;
use super::registry::Registry;
use super::restriction::PubSubRestriction;
use super::shell;
use crate::connection::Connection;

/// Outstanding messages: 100,000 messages a second with epochs of 1 s that take up to 1 s to commit. Small ones are bounded by this, large ones
/// by their bytes.
const OUTSTANDING_MESSAGES: u64 = 200_000;
/// Outstanding bytes: bounds the memory where messages are large.
const OUTSTANDING_BYTES: u64 = 256 << 20;
/// The ack deadline of the stream, as Google's client has it.
const ACK_DEADLINE: Duration = Duration::from_secs(60);
/// Within ten minutes nearly all redeliveries come; the horizon costs memory.
const DEDUPLICATION_HORIZON: Duration = Duration::from_secs(600);
/// At about 40 bytes each, 400 MB.
const REMEMBERED_MESSAGES: u64 = 10_000_000;
/// Publish times of messages come this far out of order in practice.
const ALLOWED_SKEW: Duration = Duration::from_secs(5);

type TimestampFn = dyn Fn(&PubSubMessage) -> Option<Timestamp> + Send + Sync;
type IdFn = dyn Fn(&PubSubMessage) -> Option<String> + Send + Sync;

/// Reads a subscription of Pub/Sub; made by [`PubSub::subscription`](crate::pubsub::PubSub::subscription).
///
/// A message is acknowledged only after the checkpoint that contains its effects is durable. Redelivered messages are
/// dropped. Event time is the publish time unless said otherwise.
#[derive(Clone)]
pub struct PubSubSource {
    pub(super) subscription: String,
    pub(super) connection: Connection,
    pub(super) identity: Identity,
    pub(super) event_time: EventTime,
    allowed_skew: Duration,
    outstanding_messages: u64,
    outstanding_bytes: u64,
    ack_deadline: Duration,
    lease_horizon: Option<Duration>,
    deduplication_horizon: Duration,
    remembered_messages: u64,
    pub(super) registry: Registry,
}

impl PubSubSource {
    pub(crate) fn new(subscription: String) -> Self {
        Self {
            subscription,
            connection: Connection::new(),
            identity: Identity::MessageId,
            event_time: EventTime::PublishTime,
            allowed_skew: ALLOWED_SKEW,
            outstanding_messages: OUTSTANDING_MESSAGES,
            outstanding_bytes: OUTSTANDING_BYTES,
            ack_deadline: ACK_DEADLINE,
            lease_horizon: None,
            deduplication_horizon: DEDUPLICATION_HORIZON,
            remembered_messages: REMEMBERED_MESSAGES,
            registry: Registry::default(),
        }
    }

    /// Reaches the service through `connection`; without it the cloud, or the server `PUBSUB_EMULATOR_HOST` names.
    #[must_use]
    pub fn connection(mut self, connection: Connection) -> Self {
        self.connection = connection;
        self
    }

    /// Takes messages with the same value of attribute `name` for the same message; those without it go by their message id.
    #[must_use]
    pub fn id_attribute(mut self, name: impl Into<String>) -> Self {
        self.identity = Identity::Attribute(name.into());
        self
    }

    /// Takes messages for which `id` returns the same for the same message; those without go by their message id.
    #[must_use]
    pub fn id_by(
        mut self,
        id: impl Fn(&PubSubMessage) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.identity = Identity::By(Arc::new(id));
        self
    }

    /// Takes the event time from attribute `name`: an RFC 3339 timestamp, or milliseconds since the epoch. Messages without a
    /// readable one have their publish time.
    #[must_use]
    pub fn timestamp_attribute(mut self, name: impl Into<String>) -> Self {
        self.event_time = EventTime::Attribute(name.into());
        self
    }

    /// Takes the event time from `timestamp`; messages for which it returns nothing have their publish time.
    #[must_use]
    pub fn timestamp_by(
        mut self,
        timestamp: impl Fn(&PubSubMessage) -> Option<Timestamp> + Send + Sync + 'static,
    ) -> Self {
        self.event_time = EventTime::By(Arc::new(timestamp));
        self
    }

    /// How far out of order event times may come: the watermark stays this far behind the greatest one seen. Default 5 s.
    ///
    /// After a longer pause of the job, a backlog may come in another order than it was published in: what then comes more than
    /// the skew behind the greatest event time is late. Allowed lateness of the windows catches that without holding results
    /// back in ordinary times.
    #[must_use]
    pub fn allowed_skew(mut self, skew: Duration) -> Self {
        self.allowed_skew = skew;
        self
    }

    /// How many messages the job may have received and not yet acknowledged: the rate wanted times an epoch and its commit.
    /// An epoch is closed early at half of it. Default 200,000.
    #[must_use]
    pub fn max_outstanding_messages(mut self, messages: u64) -> Self {
        self.outstanding_messages = messages;
        self
    }

    /// How many bytes the job may have received and not yet acknowledged. Default 256 MiB.
    #[must_use]
    pub fn max_outstanding_bytes(mut self, bytes: u64) -> Self {
        self.outstanding_bytes = bytes;
        self
    }

    /// How long a lease lasts unless it is extended, 10 s to 10 min: messages leased to a process that died come back
    /// after it, and so long the watermark stands still after a restart. Default 60 s.
    #[must_use]
    pub fn ack_deadline(mut self, deadline: Duration) -> Self {
        self.ack_deadline = deadline;
        self
    }

    /// How long after a restart the watermark stays where it was, because messages leased to the earlier process come back
    /// late; also how long an unconfirmed acknowledgement is doubted. Default: the ack deadline and 5 s.
    #[must_use]
    pub fn lease_horizon(mut self, horizon: Duration) -> Self {
        self.lease_horizon = Some(horizon);
        self
    }

    /// How long a message is remembered after its acknowledgement is confirmed, in running time. Default 10 min.
    #[must_use]
    pub fn deduplication_horizon(mut self, horizon: Duration) -> Self {
        self.deduplication_horizon = horizon;
        self
    }

    /// How many acknowledged messages the job remembers at most, about 40 bytes each; beyond, the oldest are forgotten before
    /// the horizon. Default 10,000,000.
    #[must_use]
    pub fn max_remembered_messages(mut self, messages: u64) -> Self {
        self.remembered_messages = messages;
        self
    }

    /// The name of the subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// A reader whose messages the caller carries, through the link beside it: for simulations and for other transports. The
    /// source itself puts Google's client there.
    ///
    /// # Errors
    /// [`PubSubError`] when an option or the restriction is wrong.
    pub fn link<H>(
        &self,
        mut restriction: PubSubRestriction,
        ctx: &IoContext,
    ) -> Result<(PubSubReader<H>, PubSubLink<H>), PubSubError> {
        self.validate()?;
        if ctx.is_restored && !restriction.was_read() {
            // A life that ended before its first checkpoint left no word of what it had leased.
            restriction.lease_horizon = self.settings(restriction.splits).lease_horizon();
        }
        PubSubReader::start(self, restriction, ctx)
    }

    fn validate(&self) -> Result<(), PubSubError> {
        check_subscription(&self.subscription)?;
        let wrong =
            |what: String| Err(PubSubError::Option { resource: self.subscription.clone(), what });
        let deadline = self.ack_deadline;
        if !(Duration::from_secs(10)..=Duration::from_secs(600)).contains(&deadline) {
            return wrong(format!("the ack deadline {deadline:?} is not between 10 s and 10 min"));
        }
        if self.outstanding_messages == 0 || self.outstanding_bytes == 0 {
            return wrong(String::from("nothing may be outstanding, so nothing can be read"));
        }
        Ok(())
    }

    /// The settings of one of `splits` readers: what is bounded for the job is shared evenly.
    pub(super) fn settings(&self, splits: u32) -> MachineSettings {
        let share = |whole: u64| (whole / u64::from(splits.max(1))).max(1);
        MachineSettings {
            messages_max: share(self.outstanding_messages),
            bytes_max: share(self.outstanding_bytes),
            ack_deadline: self.ack_deadline,
            lease_horizon: self.lease_horizon,
            deduplication_horizon: self.deduplication_horizon,
            remembered_max: share(self.remembered_messages),
            allowed_skew: self.allowed_skew,
            follows_clock: matches!(self.event_time, EventTime::PublishTime),
        }
    }
}

impl fmt::Debug for PubSubSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PubSubSource")
            .field("subscription", &self.subscription)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Source for PubSubSource {
    type Item = PubSubMessage;
    type Restriction = PubSubRestriction;
    type Reader = PubSubReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn split(&self, desired: usize) -> Result<Vec<PubSubRestriction>, BoxError> {
        self.validate()?;
        let splits = u32::try_from(desired.max(1)).unwrap_or(u32::MAX);
        Ok((0..splits).map(|split| PubSubRestriction::new(split, splits)).collect())
    }

    fn reader(
        &self,
        restriction: PubSubRestriction,
        ctx: &IoContext,
    ) -> Result<PubSubReader, BoxError> {
        let splits = restriction.splits;
        let (reader, link) = self.link(restriction, ctx)?;
        ctx.io.spawn(shell::run(link, self.settings(splits), ctx.io.clone()));
        Ok(reader)
    }
}

/// What makes a message the same message.
#[derive(Clone)]
pub(super) enum Identity {
    MessageId,
    Attribute(String),
    By(Arc<IdFn>),
}

impl Identity {
    pub(super) fn of(&self, message: &PubSubMessage) -> MessageKey {
        let own = match self {
            Self::MessageId => return MessageKey::new(&message.message_id),
            Self::Attribute(name) => message.attribute(name).map(MessageKey::new),
            Self::By(id) => id(message).map(|id| MessageKey::new(&id)),
        };
        // A message id must not meet a user's id that happens to be the same number.
        own.unwrap_or_else(|| MessageKey::Text(format!("\0{}", message.message_id).into()))
    }
}

/// Where the event time comes from.
#[derive(Clone)]
pub(super) enum EventTime {
    PublishTime,
    Attribute(String),
    By(Arc<TimestampFn>),
}

impl EventTime {
    pub(super) fn of(&self, message: &PubSubMessage) -> Timestamp {
        let own = match self {
            Self::PublishTime => None,
            Self::Attribute(name) => message.attribute(name).and_then(parse_time),
            Self::By(timestamp) => timestamp(message),
        };
        own.unwrap_or(message.publish_time)
    }
}

/// Source: `withTimestampAttribute` of Beam's `PubsubIO`, which takes the same two forms.
fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().map(Timestamp::from_millis).ok().or_else(|| Timestamp::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use millstream::batch::Batch;
    use millstream::source::Reader as _;

    use super::*;

    fn message() -> PubSubMessage {
        PubSubMessage {
            message_id: String::from("7"),
            publish_time: Timestamp::from_secs(50),
            ..PubSubMessage::new("x")
        }
    }

    #[test]
    fn a_message_without_the_attribute_falls_back_and_meets_nobody() {
        let identity = Identity::Attribute(String::from("id"));
        let with = identity.of(&message().with_attribute("id", "7"));
        assert_eq!(with, MessageKey::Number(7));
        assert_ne!(identity.of(&message()), with);
        assert_eq!(Identity::MessageId.of(&message()), MessageKey::Number(7));
        let by = Identity::By(Arc::new(|message| Some(message.message_id.repeat(2))));
        assert_eq!(by.of(&message()), MessageKey::Number(77));
    }

    #[test]
    fn event_time_is_read_in_both_forms_or_is_the_publish_time() {
        let attribute = EventTime::Attribute(String::from("ts"));
        let time = |text: &str| attribute.of(&message().with_attribute("ts", text));
        assert_eq!(time("1970-01-01T00:00:01Z"), Timestamp::from_secs(1));
        assert_eq!(time("1500"), Timestamp::from_millis(1_500));
        assert_eq!(time("soon"), Timestamp::from_secs(50));
        assert_eq!(attribute.of(&message()), Timestamp::from_secs(50));
    }

    #[test]
    fn after_a_life_without_a_checkpoint_the_watermark_waits_for_its_leases() {
        let source = PubSubSource::new(String::from("projects/p/subscriptions/orders"));
        let reason = |is_restored: bool| {
            let ctx = IoContext { is_restored, ..IoContext::detached("Read") };
            let mut reader = source.reader(PubSubRestriction::new(0, 1), &ctx).unwrap();
            reader.poll_read(&mut Batch::with_capacity(1), Timestamp::from_secs(100)).unwrap();
            assert_eq!(reader.watermark(), Timestamp::MIN);
            reader.watermark_reason()
        };
        let held = reason(true);
        assert!(held.contains("until 1970-01-01T00:02:45Z"), "{held}");
        assert!(!reason(false).contains("until"));
    }

    #[test]
    fn what_cannot_work_is_refused_when_the_source_is_split() {
        let source = PubSubSource::new(String::from("projects/p/subscriptions/orders"));
        assert_eq!(source.split(3).unwrap().len(), 3);
        let errors = [
            PubSubSource::new(String::from("orders")).split(1).unwrap_err(),
            source.clone().ack_deadline(Duration::from_secs(1)).split(1).unwrap_err(),
            source.max_outstanding_messages(0).split(1).unwrap_err(),
        ];
        assert!(errors[0].to_string().contains("\"orders\" is no name"));
        assert!(errors[1].to_string().contains("between 10 s and 10 min"));
        assert!(errors[2].to_string().contains("nothing may be outstanding"));
    }
}
