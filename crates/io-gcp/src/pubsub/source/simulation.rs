//! A job of two readers against a service that redelivers, forgets acknowledgements and outlives crashes: whatever happens, every
//! message has its effects once in the durable state, and none is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::Timestamp;
use millstream::batch::Batch;
use millstream::source::ReadStatus;
use proptest::prelude::*;

use super::super::message::PubSubMessage;
use super::ids::MessageKey;
use super::machine::{AckOutcome, Delivery, Machine, MachineSettings, Request};
use super::registry::Registry;
use super::restriction::PubSubRestriction;

const READERS: usize = 2;
const ACK_DEADLINE: Duration = Duration::from_secs(60);

const SETTINGS: MachineSettings = MachineSettings {
    messages_max: 1_000,
    bytes_max: 1_000_000,
    ack_deadline: ACK_DEADLINE,
    lease_horizon: None,
    deduplication_horizon: Duration::from_secs(600),
    remembered_max: 1_000_000,
    allowed_skew: Duration::from_secs(5),
    follows_clock: true,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A message is published.
    Publish,
    /// An available message is delivered.
    Deliver { pick: usize, reader: usize },
    /// A leased message is delivered once more, to anyone, as Pub/Sub may.
    Redeliver { pick: usize, reader: usize },
    /// A worker reads.
    Read { reader: usize },
    /// The barrier reaches the next reader.
    Barrier,
    /// The oldest checkpoint becomes durable.
    Durable,
    /// The oldest checkpoint fails; later ones stand for it.
    Abort,
    /// Requests are carried out, or get lost on their way there or back.
    Serve { reader: usize, fate: Fate },
    /// Seconds pass.
    Wait { seconds: u64 },
    /// The process dies and starts again from the last durable checkpoint.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Done,
    LostOnTheWay,
    AnswerLost,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Available,
    Leased { until: Timestamp },
    Acknowledged,
}

type Effects = BTreeMap<u64, u32>;

/// One reader's part of a checkpoint.
#[derive(Clone)]
struct Part {
    restriction: PubSubRestriction,
    effects: Effects,
    seq: u64,
}

struct World {
    confirms: bool,
    now: Timestamp,
    messages: Vec<Standing>,
    machines: Vec<Machine<u64>>,
    effects: Vec<Effects>,
    watermarks: Vec<Timestamp>,
    cut: Vec<Part>,
    pending: Vec<Vec<Part>>,
    durable: Vec<Part>,
}

impl World {
    fn new(confirms: bool) -> Self {
        let start = |split| {
            let restriction = PubSubRestriction::new(split, READERS as u32);
            Part { restriction, effects: Effects::new(), seq: 0 }
        };
        let mut world = Self {
            confirms,
            now: Timestamp::from_secs(1_000),
            messages: Vec::new(),
            machines: Vec::new(),
            effects: Vec::new(),
            watermarks: Vec::new(),
            cut: Vec::new(),
            pending: Vec::new(),
            durable: (0..READERS as u32).map(start).collect(),
        };
        world.restore();
        world
    }

    fn restore(&mut self) {
        let registry = Registry::default();
        let machine = |part: &Part| {
            Machine::new(part.restriction.clone(), SETTINGS, registry.clone()).unwrap()
        };
        self.machines = self.durable.iter().map(machine).collect();
        self.effects = self.durable.iter().map(|part| part.effects.clone()).collect();
        self.watermarks = self.durable.iter().map(|part| part.restriction.watermark()).collect();
        self.cut.clear();
        self.pending.clear();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish => self.messages.push(Standing::Available),
            Step::Deliver { pick, reader } => {
                self.deliver(pick, reader, |standing| standing == Standing::Available);
            }
            Step::Redeliver { pick, reader } => {
                self.deliver(pick, reader, |standing| matches!(standing, Standing::Leased { .. }));
            }
            Step::Read { reader } => self.read(reader),
            Step::Barrier => self.barrier(),
            Step::Durable => self.durable(),
            Step::Abort if !self.pending.is_empty() => drop(self.pending.remove(0)),
            Step::Abort => {}
            Step::Serve { reader, fate } => self.serve(reader, fate),
            Step::Wait { seconds } => self.wait(seconds),
            Step::Crash => self.restore(),
        }
    }

    fn deliver(&mut self, pick: usize, reader: usize, fits: impl Fn(Standing) -> bool) {
        let fitting: Vec<_> =
            (0..self.messages.len()).filter(|&index| fits(self.messages[index])).collect();
        if fitting.is_empty() {
            return;
        }
        self.deliver_message(fitting[pick % fitting.len()], reader);
    }

    fn deliver_message(&mut self, index: usize, reader: usize) {
        self.messages[index] = Standing::Leased { until: self.now + ACK_DEADLINE };
        let number = index as u64;
        let returned = self.machines[reader].deliver(vec![Delivery {
            key: MessageKey::Number(number),
            event_time: Timestamp::from_secs(900 + (number as i64 * 7) % 13),
            bytes: 1,
            message: PubSubMessage::new(number.to_string()),
            handle: number,
        }]);
        assert!(returned.is_empty());
    }

    fn read(&mut self, reader: usize) {
        let mut out = Batch::new();
        while self.machines[reader].read(&mut out, self.now).unwrap() == ReadStatus::More {}
        for message in out.values() {
            let number = std::str::from_utf8(&message.data).unwrap().parse().unwrap();
            *self.effects[reader].entry(number).or_default() += 1;
        }
        let watermark = self.machines[reader].watermark();
        assert!(watermark >= self.watermarks[reader], "the watermark went back");
        self.watermarks[reader] = watermark;
    }

    fn barrier(&mut self) {
        let reader = self.cut.len();
        let (restriction, seq) = self.machines[reader].checkpoint();
        self.cut.push(Part { restriction, effects: self.effects[reader].clone(), seq });
        if self.cut.len() == READERS {
            self.pending.push(std::mem::take(&mut self.cut));
        }
    }

    fn durable(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.durable = self.pending.remove(0);
        for (machine, part) in self.machines.iter_mut().zip(&self.durable) {
            machine.finish(part.seq);
        }
    }

    fn serve(&mut self, reader: usize, fate: Fate) {
        for request in self.machines[reader].requests() {
            match request {
                Request::Acknowledge { seq, leases } => {
                    if fate != Fate::LostOnTheWay {
                        for lease in &leases {
                            self.messages[lease.handle as usize] = Standing::Acknowledged;
                        }
                    }
                    let keys = leases.into_iter().map(|lease| lease.key);
                    let failed = if fate == Fate::Done { Vec::new() } else { keys.collect() };
                    let outcome = match self.confirms {
                        true => AckOutcome::Confirmed { failed },
                        false => AckOutcome::Sent,
                    };
                    self.machines[reader].acknowledged(seq, outcome);
                }
                Request::Release(leases) => {
                    for lease in leases {
                        let standing = &mut self.messages[lease.handle as usize];
                        if *standing != Standing::Acknowledged {
                            *standing = Standing::Available;
                        }
                    }
                }
                Request::Probe => self.machines[reader].probed(Ok(())),
                Request::Reopen => {}
            }
        }
    }

    /// Time passes in rounds; what a lease ran out for is delivered at once, as a service without backlog does.
    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.now = (self.now + Duration::from_secs(2)).min(end);
            for index in 0..self.messages.len() {
                if matches!(self.messages[index], Standing::Leased { until } if until <= self.now) {
                    self.deliver_message(index, index % READERS);
                }
            }
            (0..READERS).for_each(|reader| self.read(reader));
        }
    }

    /// The faults are over: everything comes to rest.
    fn settle(&mut self) {
        for _ in 0..200 {
            if self.messages.iter().all(|standing| *standing == Standing::Acknowledged) {
                return;
            }
            for pick in 0..self.messages.len() {
                self.step(Step::Deliver { pick: 0, reader: pick % READERS });
            }
            self.wait(10);
            (self.cut.len()..READERS).for_each(|_| self.barrier());
            while !self.pending.is_empty() {
                self.durable();
            }
            (0..READERS).for_each(|reader| self.serve(reader, Fate::Done));
        }
        panic!("messages are left: {:?}", self.messages);
    }

    fn check(&self) {
        let mut sum = Effects::new();
        for (number, count) in self.durable.iter().flat_map(|part| &part.effects) {
            *sum.entry(*number).or_default() += count;
        }
        let expected: Effects = (0..self.messages.len() as u64).map(|number| (number, 1)).collect();
        assert_eq!(sum, expected, "each message once in the durable state");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![Just(Fate::Done), Just(Fate::LostOnTheWay), Just(Fate::AnswerLost)];
    let reader = 0..READERS;
    let step = prop_oneof![
        3 => Just(Step::Publish),
        4 => (any::<usize>(), reader.clone()).prop_map(|(pick, reader)| Step::Deliver { pick, reader }),
        2 => (any::<usize>(), reader.clone()).prop_map(|(pick, reader)| Step::Redeliver { pick, reader }),
        4 => reader.clone().prop_map(|reader| Step::Read { reader }),
        4 => Just(Step::Barrier),
        2 => Just(Step::Durable),
        1 => Just(Step::Abort),
        3 => (reader, fate).prop_map(|(reader, fate)| Step::Serve { reader, fate }),
        1 => (1..90_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    // 256 worlds; PROPTEST_CASES makes more.
    #[test]
    fn every_message_counts_once_whatever_happens(steps in steps(), confirms in any::<bool>()) {
        let mut world = World::new(confirms);
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.check();
    }
}
