//! [`run`]: a whole life story. The servers, the disk and the network outlive the job; the job dies and starts again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream::checkpoint::DirectoryStore;
use millstream::engine::drivers::single::{Outcome as Step, SingleDriver, SingleOptions};
use millstream::pipeline_graph::PipelineGraph as _;
use millstream::testing::sim::{DiskFaults, SimDisk};
use millstream::time::{Clock as _, ManualClock};
use millstream::{Error, Timestamp};
use millstream_io_gcp::pubsub::PubSubSource;
use millstream_local_gcp::pubsub::NewMessage;

use crate::job::{self, ON_TIME, Order, Sockets, Table, window_of};
use crate::network::{Journal, Network};
use crate::scenario::{Outcome, Scenario, Violation};
use crate::service::Service;
use crate::storage::{self, Client, Heard, Sent, Storage};
use crate::subscriber::{Call, Reply, Subscriber};

/// Virtual time within which the job must come to rest once nothing fails any more.
const REST_WITHIN: Duration = Duration::from_secs(60);
/// Steps that count as one too many.
const STEPS_MAX: usize = 2_000_000;
/// Distinct keys.
const KEYS: i64 = 3;

/// Which connector of which life of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) life: u32,
    pub(crate) client: usize,
}

/// What travels through the network.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// The publisher publishes its next message.
    Publish,
    /// Something goes wrong at the servers.
    Trouble,
    /// Pub/Sub notices that a process is gone.
    Forget(u32),
    Call(Address, Call),
    Reply(Address, Reply),
    Sent(Address, Sent),
    Heard(Address, Heard),
}

/// How a life ended.
enum End {
    Finished,
    Crashed,
    Failed(Error),
}

struct World {
    scenario: Scenario,
    net: Network<Message>,
    clock: ManualClock,
    disk: SimDisk,
    service: Service,
    storage: Storage,
    published: Vec<(Order, Timestamp)>,
    /// What the sums of the published messages are, by window and key.
    sums: BTreeMap<(i64, i64), i64>,
    last_published: Timestamp,
    calm_since: Timestamp,
    life: u32,
    epoch: u64,
    /// The source of the process that runs.
    source: PubSubSource,
    sockets: Sockets,
    subscribers: Vec<Subscriber>,
    clients: Vec<Client>,
}

/// A run that ended badly: how, and what happened.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) violation: Violation,
    pub(crate) journal: Journal,
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.violation.fmt(formatter)
    }
}

/// Runs a scenario to its end.
pub(crate) fn run(scenario: &Scenario) -> Result<Outcome, Failed> {
    let mut world = World::new(scenario);
    let outcome = world.story();
    outcome.map_err(|violation| Failed { violation, journal: world.net.journal })
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let clock = ManualClock::at(Timestamp::from_secs(1_000_000));
        let mut net = Network::new(scenario.seed, clock.now());
        let percent = scenario.faults.disk;
        let faults = DiskFaults {
            write_percent: percent,
            sync_percent: percent,
            rename_percent: percent,
            ..DiskFaults::default()
        };
        let disk = SimDisk::new(net.rng.u64(..), faults);
        let mut world = Self {
            service: Service::new(scenario),
            storage: Storage::new(scenario, clock.now()),
            net,
            disk,
            published: Vec::new(),
            sums: BTreeMap::new(),
            last_published: clock.now(),
            calm_since: Timestamp::MIN,
            life: 0,
            epoch: 0,
            source: job::source(scenario),
            sockets: Sockets::default(),
            subscribers: Vec::new(),
            clients: Vec::new(),
            clock,
            scenario: scenario.clone(),
        };
        for _ in 0..scenario.backlog {
            world.publish();
            world.clock.advance(scenario.pace);
            world.net.set_now(world.clock.now());
        }
        world.net.post(Duration::ZERO, Message::Publish);
        world.net.post(scenario.faults.server_pause, Message::Trouble);
        world
    }

    fn story(&mut self) -> Result<Outcome, Violation> {
        for _ in 0..self.scenario.crashes {
            let until = self.clock.now() + self.net.delay(self.scenario.life_max);
            match self.live(Some(until))? {
                End::Finished => unreachable!("nobody asked it to stop"),
                End::Crashed => self.crash(),
                End::Failed(_) => self.net.note("a life fails", 0, u64::from(self.life)),
            }
        }
        self.net.calm();
        self.net.note("calm", 0, 0);
        self.disk.set_faults(DiskFaults::default());
        self.storage.calm();
        self.calm_since = self.clock.now();
        // What went wrong just before may still fail a life; then there is another.
        for _ in 0..3 {
            match self.live(None)? {
                End::Finished => return self.check(),
                End::Crashed => unreachable!("a life without an end does not crash"),
                End::Failed(error) => {
                    self.net.note("a life fails in calm", 0, u64::from(self.life));
                    if self.clock.now().since(self.calm_since) > REST_WITHIN {
                        return Err(Violation::CannotRun(error.chain().join(": ")));
                    }
                }
            }
        }
        Err(Violation::CannotRun("lives fail without a fault".to_owned()))
    }

    fn publish(&mut self) {
        let id = self.published.len() as i64;
        let (key, amount) = (self.net.rng.i64(0..KEYS), self.net.rng.i64(1..100));
        let order = Order { id, key, amount };
        let mut message = NewMessage::new(order.text());
        let mut at = self.net.now();
        if !self.scenario.follows_clock {
            at = Timestamp::from_millis((at - self.net.delay(Duration::from_secs(1))).as_millis());
            message.attributes.insert("at".to_owned(), at.as_millis().to_string());
        }
        *self.sums.entry((window_of(at), order.key)).or_default() += order.amount;
        self.published.push((order, at));
        self.last_published = self.net.now();
        self.service.publish(message, &mut self.net);
    }

    fn crash(&mut self) {
        self.net.note("crash", 0, u64::from(self.life));
        self.disk.crash();
        self.source = job::source(&self.scenario);
        // Somebody has to notice and restart.
        let pause = self.net.delay(Duration::from_secs(3));
        self.clock.advance(pause);
    }

    /// One life, until it crashes at `until`, or has done everything.
    fn live(&mut self, until: Option<Timestamp>) -> Result<End, Violation> {
        self.life += 1;
        self.sockets = Sockets::default();
        let pipeline = job::pipeline(&self.scenario, &self.source, &self.sockets);
        let graph = pipeline.checked_graph().expect("the pipeline is right");
        let store = match DirectoryStore::on(self.disk.clone(), "simulated disk") {
            Ok(store) => Arc::new(store),
            Err(error) => return Ok(End::Failed(error)),
        };
        let options = SingleOptions {
            workers: self.scenario.workers,
            seed: self.net.rng.u64(..),
            checkpoint_interval: Some(self.scenario.checkpoint_interval),
            job: "simulated".to_owned(),
        };
        let started = SingleDriver::start(graph, &options, &*store, self.clock.clone());
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => return Ok(End::Failed(error)),
        };
        if driver.epoch() < self.epoch {
            return Err(Violation::EpochWentBack(self.epoch, driver.epoch()));
        }
        self.connect();
        let end = self.go_on(&mut driver, &store, until);
        self.net.journal.mix(driver.trace());
        if !matches!(end, Ok(End::Failed(_))) {
            // The process is gone before it can give anything back.
            self.subscribers.clear();
            self.clients.clear();
        }
        drop(driver);
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.pump(&mut self.net));
        self.subscribers.clear();
        self.clients.clear();
        let pause = self.net.delay(Duration::from_secs(1));
        self.net.post(pause, Message::Forget(self.life));
        end
    }

    fn connect(&mut self) {
        self.net.set_now(self.clock.now());
        let Scenario { faults, confirms, is_late, bug, .. } = self.scenario.clone();
        let mut ends = self.sockets.lock();
        for (client, link) in ends.readers.drain(..).enumerate() {
            let address = Address { life: self.life, client };
            let kind = (faults, confirms, is_late);
            self.subscribers.push(Subscriber::start(link, address, kind, &mut self.net));
        }
        for (client, end) in ends.writers.drain(..).enumerate() {
            let address = Address { life: self.life, client };
            self.clients.push(Client::start(end, address, bug, &mut self.net));
        }
    }

    fn go_on(
        &mut self,
        driver: &mut SingleDriver,
        store: &DirectoryStore<SimDisk>,
        until: Option<Timestamp>,
    ) -> Result<End, Violation> {
        let mut is_stopping = false;
        for _ in 0..STEPS_MAX {
            self.exchange();
            driver.expect_outside(self.next_at());
            match driver.step(store) {
                Ok(Step::Running) => {}
                Ok(Step::Finished) => return Ok(End::Finished),
                Ok(Step::Stuck) => return Err(Violation::Stuck("nothing moves".to_owned())),
                Err(error) => return Ok(End::Failed(error)),
            }
            self.epoch = self.epoch.max(driver.epoch());
            self.pass_time();
            match until {
                Some(until) if self.clock.now() >= until => return Ok(End::Crashed),
                Some(_) => {}
                None if self.is_at_rest() && !is_stopping => {
                    is_stopping = true;
                    self.net.note("at rest", 0, 0);
                    driver.stop(true);
                }
                None if self.clock.now().since(self.last_trouble()) > REST_WITHIN => {
                    return Err(self.why_stuck(driver));
                }
                None => {}
            }
        }
        Err(Violation::Stuck(format!("{STEPS_MAX} steps were not enough; {}", driver.describe())))
    }

    /// A step takes a moment, and now and then the process gets no processor.
    fn pass_time(&mut self) {
        let is_paused = self.net.fault(1, "the process pauses");
        let most = if is_paused { Duration::from_secs(3) } else { Duration::from_micros(1_200) };
        let moment = if is_paused {
            self.net.delay(most)
        } else {
            Duration::from_micros(self.net.rng.u64(0..300))
        };
        self.clock.advance(moment);
    }

    fn next_at(&self) -> Option<Timestamp> {
        [self.net.next_at(), Some(self.service.next_at())].into_iter().flatten().min()
    }

    /// Everything outside happens that is due, each at its time.
    fn exchange(&mut self) {
        self.pump();
        let mut is_received = false;
        while let Some(at) = self.next_at().filter(|at| *at <= self.clock.now()) {
            self.net.set_now(at);
            if self.service.next_at() <= at {
                self.service.advance(&mut self.net);
            } else if let Some(message) = self.net.receive() {
                self.take(message);
            }
            is_received = true;
        }
        if is_received {
            self.pump();
        }
    }

    fn pump(&mut self) {
        self.net.set_now(self.clock.now());
        self.subscribers.iter_mut().for_each(|subscriber| subscriber.pump(&mut self.net));
        self.clients.iter_mut().for_each(|client| client.pump(&mut self.net));
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Publish => {
                if (self.published.len() as u64) < self.scenario.messages {
                    self.publish();
                    let pause = self.net.delay(self.scenario.pace * 2);
                    self.net.post(pause, Message::Publish);
                }
            }
            Message::Trouble => {
                if !self.net.is_calm() {
                    self.service.trouble(&mut self.net);
                    self.storage.trouble(&mut self.net);
                    let pause = self.net.delay(self.scenario.faults.server_pause * 2);
                    self.net.post(pause, Message::Trouble);
                }
            }
            Message::Forget(life) => self.service.forget(life, &mut self.net),
            Message::Call(from, call) => self.service.on_call(from, call, &mut self.net),
            Message::Reply(to, reply) if to.life == self.life => {
                if let Reply::Delivered { message, .. } = &reply {
                    let at = message.attribute("at").and_then(|at| at.parse().ok());
                    let at = at.map_or(message.publish_time, Timestamp::from_millis);
                    let greatest = &mut self.sockets.lock().greatest;
                    *greatest = Some(greatest.map_or(at, |before| before.max(at)));
                }
                if let Some(subscriber) = self.subscribers.get_mut(to.client) {
                    subscriber.on_reply(reply, &mut self.net);
                }
            }
            Message::Sent(from, sent) => self.arrive(from, sent),
            Message::Heard(to, heard) if to.life == self.life => {
                if let Some(client) = self.clients.get_mut(to.client) {
                    client.on_heard(heard, &mut self.net);
                }
            }
            Message::Reply(..) | Message::Heard(..) => {}
        }
    }

    /// A request reaches BigQuery, unless its connection is gone: then perhaps, and much later.
    fn arrive(&mut self, from: Address, sent: Sent) {
        let client = self.clients.get(from.client).filter(|_| from.life == self.life);
        let is_lost = client.is_none_or(|client| client.has_lost(&sent.request));
        if is_lost && !sent.is_stray {
            if let Some(delay) = storage::stray(&mut self.net) {
                self.net.post(delay, Message::Sent(from, Sent { is_stray: true, ..sent }));
            }
            return;
        }
        self.storage.on_request(from, sent, &mut self.net);
    }

    /// Since when there was nothing more to hold the job up.
    fn last_trouble(&self) -> Timestamp {
        self.calm_since.max(self.last_published)
    }

    fn is_at_rest(&self) -> bool {
        self.published.len() as u64 == self.scenario.messages
            && self.service.unacked() == 0
            && self.storage.row_count(Table::Raw) >= self.scenario.messages
            && (!self.scenario.follows_clock
                || self.storage.row_count(Table::Sums) >= self.sums.len() as u64)
    }

    /// What keeps the job from being at rest.
    fn left(&self) -> String {
        format!(
            "{} of {} messages published, {} not acknowledged, {} rows, {} of {} sums",
            self.published.len(),
            self.scenario.messages,
            self.service.unacked(),
            self.storage.row_count(Table::Raw),
            self.storage.row_count(Table::Sums),
            self.sums.len(),
        )
    }

    /// What is acknowledged and has left no row will never have one: it is lost, not late.
    fn why_stuck(&self, driver: &SingleDriver) -> Violation {
        let is_read = self.service.unacked() == 0;
        match self.check_rows() {
            Err(violation) if is_read => violation,
            _ => Violation::Stuck(format!("{}\n{}", self.left(), driver.describe())),
        }
    }

    fn check_rows(&self) -> Result<(), Violation> {
        let mut counts = vec![0; self.published.len()];
        for row in self.storage.rows(Table::Raw) {
            counts[usize::try_from(row[0]).expect("ids count from 0")] += 1;
        }
        let of = |wanted: fn(i32) -> bool| -> Vec<String> {
            let found = counts.iter().enumerate().filter(|(_, count)| wanted(**count));
            found.map(|(id, count)| format!("message {id}: {count} times")).collect()
        };
        let (lost, doubled) = (of(|count| count == 0), of(|count| count > 1));
        if !lost.is_empty() {
            return Err(Violation::Lost(lost));
        }
        if !doubled.is_empty() {
            return Err(Violation::Doubled(doubled));
        }
        Ok(())
    }

    fn check(&self) -> Result<Outcome, Violation> {
        self.check_rows()?;
        self.check_sums()?;
        let rest = self.clock.now().since(self.last_trouble());
        if rest > REST_WITHIN {
            return Err(Violation::Stuck(format!("it took {rest:?}")));
        }
        let counts = self.net.journal.counts().clone();
        Ok(Outcome { lives: self.life, trace: self.net.journal.hash(), rest, counts })
    }

    fn check_sums(&self) -> Result<(), Violation> {
        let mut panes: BTreeMap<(i64, i64), BTreeMap<i64, (i64, i64)>> = BTreeMap::new();
        for row in self.storage.rows(Table::Sums) {
            let [window, key, sum, pane, timing] = row[..] else { unreachable!("five columns") };
            let before = panes.entry((window, key)).or_default().insert(pane, (sum, timing));
            if before.is_some() {
                return Err(Violation::Doubled(vec![format!(
                    "pane {pane} of {window}, key {key}"
                )]));
            }
        }
        for (at, &sum) in &self.sums {
            let found = panes.remove(at).unwrap_or_default();
            let is_right = match self.scenario.is_late {
                true => {
                    is_story(&found) && found.values().last().is_some_and(|(last, _)| *last == sum)
                }
                false => found.len() == 1 && found.get(&0) == Some(&(sum, ON_TIME)),
            };
            if !is_right {
                let what = format!("window and key {at:?} should have {sum}, has {found:?}");
                return Err(Violation::WrongPane(what));
            }
        }
        match panes.first_key_value() {
            None => Ok(()),
            Some((at, _)) => Err(Violation::WrongPane(format!("nothing belongs to {at:?}"))),
        }
    }
}

/// Whether the panes of a window, each with its sum and its timing, can follow one another: numbered without a gap, only the first on
/// time, each with more in it than the one before.
fn is_story(panes: &BTreeMap<i64, (i64, i64)>) -> bool {
    let is_dense = (0..).zip(panes.keys()).all(|(index, pane)| index == *pane);
    let is_first = panes.iter().all(|(pane, (_, timing))| *pane == 0 || *timing != ON_TIME);
    is_dense && is_first && panes.values().is_sorted_by(|before, after| before.0 < after.0)
}
