//! Stories of the machine in virtual time: redeliveries, crashes, failed acknowledgements, silence.

use std::time::Duration;

use millstream::Timestamp;
use millstream::batch::Batch;
use millstream::source::ReadStatus;

use super::super::message::PubSubMessage;
use super::ids::MessageKey;
use super::machine::{AckOutcome, Delivery, Lease, Machine, MachineSettings, Request};
use super::registry::Registry;
use super::restriction::PubSubRestriction;

const SETTINGS: MachineSettings = MachineSettings {
    messages_max: 100,
    bytes_max: 1_000,
    ack_deadline: Duration::from_secs(60),
    lease_horizon: Some(Duration::from_secs(60)),
    deduplication_horizon: Duration::from_secs(600),
    remembered_max: 1_000,
    allowed_skew: Duration::from_secs(5),
    follows_clock: true,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// A machine, and what the service would see of it. Deliveries are numbered by their handles.
struct Story {
    machine: Machine<u64>,
    now: Timestamp,
}

impl Story {
    fn start(registry: &Registry) -> Self {
        Self::restore(registry, PubSubRestriction::new(0, 1))
    }

    fn restore(registry: &Registry, restriction: PubSubRestriction) -> Self {
        Self::with(registry, restriction, SETTINGS)
    }

    fn with(
        registry: &Registry,
        restriction: PubSubRestriction,
        settings: MachineSettings,
    ) -> Self {
        // Through the coder, as a checkpoint goes.
        let stored = millstream::coder::encode(&restriction).unwrap();
        let restriction = millstream::coder::decode(&stored).unwrap();
        let machine = Machine::new(restriction, settings, registry.clone()).unwrap();
        Self { machine, now: at(1_000) }
    }

    fn deliver(&mut self, id: u64, event_seconds: i64, handle: u64) {
        let returned = self.machine.deliver(vec![Delivery {
            key: MessageKey::Number(id),
            event_time: at(event_seconds),
            bytes: 10,
            message: PubSubMessage::new(id.to_string()),
            handle,
        }]);
        assert!(returned.is_empty());
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    /// Reads all there is, and returns the messages as numbers.
    fn read(&mut self) -> Vec<u64> {
        let mut out = Batch::new();
        while self.machine.read(&mut out, self.now).unwrap() == ReadStatus::More {}
        let number = |message: &PubSubMessage| {
            std::str::from_utf8(&message.data).unwrap().parse::<u64>().unwrap()
        };
        out.values().iter().map(number).collect()
    }

    /// Lets `duration` pass in rounds of five seconds.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now = (self.now + Duration::from_secs(5)).min(end);
            assert_eq!(self.read(), [] as [u64; 0]);
        }
    }

    /// A checkpoint that becomes durable: acknowledges, answered with `outcome`, and returns the handles used.
    fn commit(&mut self, outcome: &AckOutcome) -> (PubSubRestriction, Vec<u64>) {
        let (restriction, seq) = self.machine.checkpoint();
        self.machine.finish(seq);
        (restriction, self.acknowledge(outcome))
    }

    fn acknowledge(&mut self, outcome: &AckOutcome) -> Vec<u64> {
        let mut used = Vec::new();
        for request in self.machine.requests() {
            if let Request::Acknowledge { seq, leases } = request {
                self.machine.acknowledged(seq, outcome.clone());
                used.extend(leases.into_iter().map(|lease| lease.handle));
            }
        }
        used
    }
}

fn confirmed() -> AckOutcome {
    AckOutcome::Confirmed { failed: Vec::new() }
}

#[test]
fn nothing_is_acknowledged_before_its_checkpoint_is_durable() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    story.deliver(2, 11, 101);
    assert_eq!(story.read(), [1, 2]);
    let (_, first) = story.machine.checkpoint();
    story.deliver(3, 12, 102);
    assert_eq!(story.read(), [3]);
    assert_eq!(story.machine.requests(), []);
    story.machine.finish(first);
    assert_eq!(story.acknowledge(&confirmed()), [100, 101]);
    let (_, second) = story.machine.checkpoint();
    story.machine.finish(second);
    assert_eq!(story.acknowledge(&confirmed()), [102]);
    story.machine.finish(second);
    assert_eq!(story.machine.requests(), []);
}

#[test]
fn a_later_durable_checkpoint_stands_for_one_that_failed() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    story.read();
    let _ = story.machine.checkpoint();
    story.deliver(2, 10, 101);
    story.read();
    assert_eq!(story.commit(&confirmed()).1, [100, 101]);
}

#[test]
fn a_duplicate_joins_the_epoch_it_arrives_in() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    assert_eq!(story.read(), [1]);
    story.deliver(1, 10, 101);
    assert_eq!(story.read(), [] as [u64; 0]);
    assert_eq!(story.commit(&confirmed()).1, [100, 101]);
    story.deliver(1, 10, 102);
    assert_eq!(story.read(), [] as [u64; 0]);
    assert_eq!(story.machine.duplicates(), 2);
    assert_eq!(story.machine.bytes_read(), 30);
    assert_eq!(story.commit(&confirmed()).1, [102]);
}

#[test]
fn a_message_whose_acknowledgement_was_lost_in_a_crash_is_not_read_again() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    story.read();
    let (restriction, _) = story.machine.checkpoint();
    assert_eq!(restriction.unconfirmed(), 1);
    story.deliver(2, 10, 101);
    assert_eq!(story.read(), [2]);
    drop(story);

    let mut next = Story::restore(&Registry::default(), restriction);
    next.deliver(1, 10, 200);
    next.deliver(2, 10, 201);
    assert_eq!(next.read(), [2], "1 is in the checkpoint, 2 is not");
    assert_eq!(next.machine.duplicates(), 1);
    assert_eq!(next.commit(&confirmed()).1, [200, 201]);
}

#[test]
fn an_unconfirmed_message_stays_in_every_checkpoint() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    story.read();
    // Nothing confirms: it is doubted until the lease has run out.
    story.commit(&AckOutcome::Sent);
    story.run(Duration::from_secs(55));
    assert_eq!(story.machine.checkpoint().0.unconfirmed(), 1);
    story.run(Duration::from_secs(10));
    assert_eq!(story.machine.checkpoint().0.unconfirmed(), 0);
    // A confirmed one is out at once.
    story.deliver(2, 10, 101);
    story.read();
    story.commit(&confirmed());
    assert_eq!(story.machine.checkpoint().0.unconfirmed(), 0);
}

#[test]
fn a_message_whose_acknowledgement_failed_never_expires() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    story.deliver(2, 10, 101);
    story.read();
    story.commit(&AckOutcome::Confirmed { failed: vec![MessageKey::Number(2)] });
    story.run(Duration::from_secs(3_000));
    assert_eq!(story.machine.checkpoint().0.unconfirmed(), 1);
    story.deliver(2, 10, 102);
    assert_eq!(story.read(), [] as [u64; 0]);
    assert_eq!(story.commit(&confirmed()).1, [102]);
    assert_eq!(story.machine.checkpoint().0.unconfirmed(), 0);
}

#[test]
fn the_horizon_starts_at_the_confirmation_and_counts_running_time() {
    let registry = Registry::default();
    let mut story = Story::start(&registry);
    story.deliver(1, 10, 100);
    story.read();
    story.run(Duration::from_secs(700));
    story.commit(&confirmed());
    story.run(Duration::from_secs(590));
    story.deliver(1, 10, 101);
    assert_eq!(story.read(), [] as [u64; 0], "within the horizon");
    story.commit(&confirmed());
    // A clock that jumps a day ahead, or a job that stood still: not a second of it was running time.
    story.wait(Duration::from_secs(86_400));
    story.deliver(1, 10, 102);
    assert_eq!(story.read(), [] as [u64; 0], "the clock jumped");
    story.commit(&confirmed());
    story.run(Duration::from_secs(605));
    assert_eq!(registry.lock().len(), 0);
    story.deliver(1, 10, 103);
    assert_eq!(story.read(), [1], "beyond the horizon");
}

#[test]
fn the_oldest_are_forgotten_when_too_many_are_remembered() {
    let registry = Registry::default();
    let settings = MachineSettings { remembered_max: 5, ..SETTINGS };
    let mut story = Story::with(&registry, PubSubRestriction::new(0, 1), settings);
    for id in 0..20 {
        story.deliver(id, 10, id);
        story.read();
        story.commit(&confirmed());
    }
    story.read();
    assert_eq!(registry.lock().len(), 5);
    story.deliver(19, 10, 100);
    assert_eq!(story.read(), [] as [u64; 0]);
}

#[test]
fn the_watermark_waits_for_what_is_received_and_not_in_a_checkpoint() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 100, 100);
    story.deliver(2, 200, 101);
    assert_eq!(story.machine.watermark(), Timestamp::MIN);
    story.read();
    assert_eq!(story.machine.watermark(), at(100));
    assert!(story.machine.watermark_reason().contains("not yet in a checkpoint"));
    story.commit(&confirmed());
    story.read();
    assert_eq!(story.machine.watermark(), at(195));
    story.deliver(3, 50, 102);
    story.read();
    assert_eq!(story.machine.watermark(), at(195), "it never goes back");
}

#[test]
fn messages_in_the_queue_hold_the_watermark_too() {
    let mut story = Story::start(&Registry::default());
    let mut out = Batch::new();
    let batch = Batch::<PubSubMessage>::stage_len() as u64;
    for id in 0..batch {
        story.deliver(id, 500, id);
    }
    story.deliver(batch, 100, batch);
    assert_eq!(story.machine.read(&mut out, story.now).unwrap(), ReadStatus::More);
    assert_eq!(out.len() as u64, batch);
    let (restriction, _) = story.machine.checkpoint();
    assert_eq!(story.machine.watermark(), at(100));
    assert_eq!(restriction.watermark(), at(100), "the last message is not in this checkpoint");
    assert_eq!(story.machine.backlog().records, Some(1));
}

#[test]
fn after_a_restart_the_watermark_stays_until_earlier_leases_ran_out() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 100, 100);
    story.read();
    let (_, _) = story.commit(&confirmed());
    story.read();
    let (restriction, _) = story.machine.checkpoint();
    assert_eq!(restriction.watermark(), at(95));

    let mut next = Story::restore(&Registry::default(), restriction);
    next.deliver(9, 900, 1);
    next.read();
    next.commit(&confirmed());
    next.run(Duration::from_secs(55));
    assert_eq!(next.machine.watermark(), at(95));
    assert!(next.machine.watermark_reason().contains("leased to the earlier process"));
    // A late message of the dead process is in time.
    next.deliver(2, 96, 2);
    assert_eq!(next.read(), [2]);
    next.commit(&confirmed());
    next.run(Duration::from_secs(10));
    assert_eq!(next.machine.watermark(), at(895));
}

#[test]
fn a_second_restart_during_the_hold_keeps_the_longer_horizon() {
    let long = MachineSettings { lease_horizon: Some(Duration::from_secs(600)), ..SETTINGS };
    let mut first = Story::with(&Registry::default(), PubSubRestriction::new(0, 1), long);
    first.deliver(1, 100, 100);
    first.read();
    let (restriction, _) = first.commit(&confirmed());
    let mut second = Story::restore(&Registry::default(), restriction);
    second.run(Duration::from_secs(5));
    let (restriction, _) = second.commit(&confirmed());
    let mut third = Story::restore(&Registry::default(), restriction);
    third.deliver(5, 5_000, 1);
    third.read();
    third.commit(&confirmed());
    third.run(Duration::from_secs(590));
    assert!(third.machine.watermark() <= at(100));
    third.run(Duration::from_secs(20));
    assert_eq!(third.machine.watermark(), at(4_995));
}

#[test]
fn in_silence_the_clock_carries_the_watermark_once_the_service_answered() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 990, 100);
    story.read();
    story.commit(&confirmed());
    story.read();
    assert_eq!(story.machine.watermark(), at(985));
    story.wait(Duration::from_secs(10));
    story.read();
    assert_eq!(story.machine.requests(), [Request::Probe]);
    story.read();
    assert_eq!(story.machine.watermark(), at(985), "silence alone proves nothing");
    story.machine.probed(Ok(()));
    story.read();
    assert_eq!(story.machine.watermark(), at(1_005));
    assert!(story.machine.watermark_reason().contains("nothing waited"));
}

#[test]
fn an_outage_is_not_silence() {
    let mut story = Story::start(&Registry::default());
    story.read();
    story.wait(Duration::from_secs(5));
    story.read();
    story.machine.requests();
    story.machine.probed(Err(String::from("connection refused")));
    story.run(Duration::from_secs(300));
    assert_eq!(story.machine.requests(), [Request::Probe]);
    assert!(story.machine.watermark_reason().contains("connection refused"));
    assert_eq!(story.machine.watermark(), Timestamp::MIN);
    story.machine.probed(Ok(()));
    assert_eq!(story.machine.requests(), [Request::Reopen]);
    // What was published during the outage comes through the new stream, and is in time.
    story.read();
    story.deliver(1, 1_100, 100);
    assert_eq!(story.read(), [1]);
    assert!(story.machine.watermark() <= at(1_100));
}

#[test]
fn event_times_of_the_users_do_not_follow_the_clock() {
    let settings = MachineSettings { follows_clock: false, ..SETTINGS };
    let mut story = Story::with(&Registry::default(), PubSubRestriction::new(0, 1), settings);
    story.run(Duration::from_secs(100));
    assert_eq!(story.machine.requests(), []);
    assert_eq!(story.machine.watermark(), Timestamp::MIN);
    assert_eq!(story.machine.watermark_reason(), "no message was received yet");
}

#[test]
fn what_may_be_outstanding_is_bounded_in_messages_and_bytes() {
    let mut story = Story::start(&Registry::default());
    for id in 0..49 {
        story.deliver(id, 10, id);
    }
    story.read();
    assert!(!story.machine.wants_checkpoint());
    story.deliver(49, 10, 49);
    story.read();
    assert!(story.machine.wants_checkpoint(), "half of the messages");
    let (_, seq) = story.machine.checkpoint();
    assert!(!story.machine.wants_checkpoint());
    for id in 50..100 {
        assert!(story.machine.has_room());
        story.deliver(id, 10, id);
    }
    assert!(!story.machine.has_room(), "100 messages, 1,000 bytes");
    story.machine.finish(seq);
    story.acknowledge(&confirmed());
    assert!(story.machine.has_room());
}

#[test]
fn a_reader_that_gets_nothing_does_not_hold_the_others_back() {
    let registry = Registry::default();
    let settings = MachineSettings { follows_clock: false, ..SETTINGS };
    let mut first = Story::with(&registry, PubSubRestriction::new(0, 2), settings);
    let mut second = Story::with(&registry, PubSubRestriction::new(1, 2), settings);
    first.deliver(1, 100, 100);
    first.read();
    second.read();
    assert_eq!(second.machine.watermark(), Timestamp::MIN, "an earlier one may be under way to it");
    second.wait(Duration::from_secs(1));
    second.read();
    assert_eq!(second.machine.watermark(), at(95));
    second.deliver(2, 90, 200);
    second.deliver(3, 300, 201);
    second.read();
    assert_eq!(second.machine.watermark(), at(95), "it does not go back");
    first.wait(Duration::from_secs(2));
    first.read();
    assert_eq!(first.machine.watermark(), at(100), "its own message is in no checkpoint");
}

#[test]
fn a_duplicate_at_another_reader_is_not_acknowledged_before_the_original_is_safe() {
    let registry = Registry::default();
    let mut first = Story::restore(&registry, PubSubRestriction::new(0, 2));
    let mut second = Story::restore(&registry, PubSubRestriction::new(1, 2));
    first.deliver(1, 10, 100);
    assert_eq!(first.read(), [1]);
    second.deliver(1, 10, 200);
    assert_eq!(second.read(), [] as [u64; 0]);
    assert_eq!(second.commit(&confirmed()).1, [] as [u64; 0]);
    assert_eq!(second.commit(&confirmed()).1, [] as [u64; 0], "still in flight at the first");
    assert_eq!(first.commit(&confirmed()).1, [100]);
    assert_eq!(second.commit(&confirmed()).1, [200]);
}

#[test]
fn a_duplicate_of_a_message_that_went_with_its_reader_comes_again() {
    let registry = Registry::default();
    let mut first = Story::restore(&registry, PubSubRestriction::new(0, 2));
    let mut second = Story::restore(&registry, PubSubRestriction::new(1, 2));
    first.deliver(1, 10, 100);
    first.read();
    second.deliver(1, 10, 200);
    second.read();
    first.machine.close();
    let (_, seq) = second.machine.checkpoint();
    second.machine.finish(seq);
    let released = Request::Release(vec![Lease { key: MessageKey::Number(1), handle: 200 }]);
    assert!(second.machine.requests().contains(&released));
    second.deliver(1, 10, 201);
    assert_eq!(second.read(), [1]);
}

#[test]
fn a_duplicate_waits_for_the_reader_that_ends_later_with_the_same_checkpoint() {
    for is_durable in [true, false] {
        let registry = Registry::default();
        let mut first = Story::restore(&registry, PubSubRestriction::new(0, 2));
        let mut second = Story::restore(&registry, PubSubRestriction::new(1, 2));
        first.deliver(1, 10, 100);
        assert_eq!(first.read(), [1]);
        second.deliver(1, 10, 200);
        assert_eq!(second.read(), [] as [u64; 0]);
        let (_, seq) = first.machine.checkpoint();
        assert_eq!(second.commit(&confirmed()).1, [] as [u64; 0]);
        second.machine.close();
        assert_eq!((second.machine.part(), second.machine.is_parting()), (vec![], true));
        if is_durable {
            first.machine.finish(seq);
        }
        first.machine.close();
        let lease = Lease { key: MessageKey::Number(1), handle: 200 };
        let expected = if is_durable { vec![lease] } else { vec![] };
        assert_eq!((second.machine.part(), second.machine.is_parting()), (expected, false));
    }
}

#[test]
fn a_restored_reader_waits_for_what_the_others_know() {
    let mut first = Story::restore(&Registry::default(), PubSubRestriction::new(0, 2));
    first.deliver(1, 10, 100);
    first.read();
    let (knows, _) = first.machine.checkpoint();
    let mut other = PubSubRestriction::new(1, 2);
    other.lease_horizon = Duration::from_secs(60);

    let registry = Registry::default();
    let mut second = Story::restore(&registry, other);
    second.deliver(1, 10, 200);
    assert_eq!(second.read(), [] as [u64; 0]);
    assert!(second.machine.watermark_reason().contains("all 2 splits"));
    let _first = Story::restore(&registry, knows);
    assert_eq!(second.read(), [] as [u64; 0]);
    assert_eq!(second.machine.duplicates(), 1);
}

#[test]
fn a_restored_reader_does_not_wait_for_others_for_ever() {
    let mut alone = PubSubRestriction::new(1, 2);
    alone.lease_horizon = Duration::from_secs(60);
    let mut story = Story::restore(&Registry::default(), alone);
    story.deliver(1, 10, 200);
    assert_eq!(story.read(), [] as [u64; 0]);
    story.wait(Duration::from_secs(10));
    assert_eq!(story.read(), [1]);
}

#[test]
fn what_is_not_durable_when_the_reader_goes_is_read_again_in_the_same_process() {
    let registry = Registry::default();
    let mut story = Story::start(&registry);
    story.deliver(1, 10, 100);
    story.read();
    let (restriction, seq) = story.machine.checkpoint();
    story.deliver(2, 10, 101);
    story.read();
    story.machine.finish(seq);
    story.machine.close();
    assert!(story.machine.is_closed());
    assert_eq!(story.acknowledge(&confirmed()), [100], "what was asked for still goes out");
    assert_eq!(registry.lock().len(), 0);

    let mut next = Story::restore(&registry, restriction);
    next.deliver(1, 10, 200);
    next.deliver(2, 10, 201);
    assert_eq!(next.read(), [2]);
}

#[test]
fn a_retired_reader_takes_nothing_but_its_checkpoint_may_still_become_durable() {
    let mut story = Story::start(&Registry::default());
    story.deliver(1, 10, 100);
    story.read();
    let (_, seq) = story.machine.checkpoint();
    story.machine.retire();
    assert!(!story.machine.has_room());
    let late = Delivery {
        key: MessageKey::Number(2),
        event_time: at(1),
        bytes: 1,
        message: PubSubMessage::new("2"),
        handle: 101,
    };
    assert_eq!(story.machine.deliver(vec![late]).len(), 1);
    story.machine.finish(seq);
    assert_eq!(story.acknowledge(&AckOutcome::Sent), [100]);
}

#[test]
fn a_failure_is_reported_by_every_read() {
    let mut story = Story::start(&Registry::default());
    let what = String::from("gone");
    let resource = String::from("projects/p/subscriptions/s");
    story.machine.fail(super::super::error::PubSubError::Stopped { resource, what });
    for _ in 0..2 {
        assert!(story.machine.read(&mut Batch::new(), at(1)).is_err());
    }
}
