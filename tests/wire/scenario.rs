//! [`Scenario`]: what is run, all of it from the seed; the bugs that can be planted; and how a run can go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// A bug planted to see whether the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Messages are acknowledged before the checkpoint with their effects is durable.
    AckBeforeCheckpoint,
    /// After a restart rows go to the old stream, behind the rows of the checkpoint, and what is there already counts as written.
    ReusedOffset,
    /// After a restart the watermark does not wait for messages that are leased to the life before.
    DroppedHold,
    /// A message is forgotten as soon as its acknowledgement is confirmed.
    IdForgottenEarly,
    /// A message whose acknowledgement is not confirmed is not in the checkpoint.
    UnconfirmedNotStored,
    /// The watermark goes by the latest message received, whatever waits to be handed out.
    WatermarkPastUnacked,
}

/// How often what goes wrong, in so many of 1,000 cases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) duplicates: u32,
    pub(crate) lost_acks: u32,
    pub(crate) lost_extensions: u32,
    pub(crate) broken_streams: u32,
    pub(crate) unavailable: u32,
    pub(crate) throttled: u32,
    pub(crate) lost_answers: u32,
    pub(crate) silence: u32,
    pub(crate) disk: u8,
    /// Mean time between things that happen by themselves at the servers.
    pub(crate) server_pause: Duration,
}

/// What is run: everything follows from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) messages: u64,
    /// So many of them are published before the job starts.
    pub(crate) backlog: u64,
    /// Time between two messages, on average.
    pub(crate) pace: Duration,
    pub(crate) workers: usize,
    pub(crate) crashes: usize,
    /// How long a life lasts, at most.
    pub(crate) life_max: Duration,
    pub(crate) checkpoint_interval: Duration,
    /// Whether acknowledgements are confirmed.
    pub(crate) confirms: bool,
    /// Whether messages come late beyond the allowed skew. Otherwise every window must have its one pane, on time.
    pub(crate) is_late: bool,
    /// Whether event time is publish time, so that windows close by themselves.
    pub(crate) follows_clock: bool,
    pub(crate) outstanding: u64,
    pub(crate) faults: Faults,
    pub(crate) bug: Option<Bug>,
}

impl Scenario {
    /// The scenario of a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x0057_1E3D);
        let workers = rng.usize(1..=3);
        let is_late = rng.bool();
        // Several readers get a backlog out of order: then it may be late.
        let has_backlog = (is_late || workers == 1) && rng.bool();
        // Where nothing may be late, one that does not fit into a batch: what is left behind must hold the watermark.
        let messages = if has_backlog && !is_late { rng.u64(120..200) } else { rng.u64(30..80) };
        Self {
            seed,
            messages,
            backlog: if has_backlog { messages * 2 / 3 } else { 0 },
            pace: Duration::from_millis(rng.u64(80..350)),
            workers,
            crashes: rng.usize(0..=4),
            life_max: Duration::from_millis(rng.u64(500..12_000)),
            checkpoint_interval: Duration::from_millis(rng.u64(150..2_500)),
            confirms: rng.bool(),
            is_late,
            follows_clock: rng.bool(),
            outstanding: if is_late { rng.u64(8..80) } else { 10_000 },
            faults: Faults::seeded(&mut rng, is_late),
            bug: None,
        }
    }

    /// The same with a planted bug.
    pub(crate) fn with_bug(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }
}

impl Faults {
    /// Some kinds of trouble often, some never: a seed with everything at once hides what a single kind does.
    fn seeded(rng: &mut Rng, is_late: bool) -> Self {
        let mut often = |max: u32| if rng.bool() { rng.u32(0..=max) } else { 0 };
        Self {
            duplicates: often(150),
            lost_acks: often(400),
            lost_extensions: often(500),
            broken_streams: if is_late { often(60) } else { 0 },
            unavailable: often(100),
            throttled: often(100),
            lost_answers: often(150),
            silence: often(30),
            disk: u8::try_from(often(3)).unwrap_or(0),
            server_pause: Duration::from_millis(u64::from(1_000 + often(9_000))),
        }
    }
}

/// What a run without violations did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) lives: u32,
    /// A hash of everything that happened.
    pub(crate) trace: u64,
    /// How long it took to come to rest after the last fault.
    pub(crate) rest: Duration,
    /// How often what happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Rows that should be there are not.
    Lost(Vec<String>),
    /// Rows are there that should not be, or more often than they should.
    Doubled(Vec<String>),
    /// A window has not the one pane that it should have, or its last pane is wrong.
    WrongPane(String),
    /// The job did not come to rest.
    Stuck(String),
    /// The latest checkpoint went back from the first number to the second.
    EpochWentBack(u64, u64),
    /// A life ended although nothing was wrong any more.
    CannotRun(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(rows) => write!(formatter, "{} rows are lost: {rows:?}", rows.len()),
            Self::Doubled(rows) => write!(formatter, "{} rows are doubled: {rows:?}", rows.len()),
            Self::WrongPane(what) => write!(formatter, "a pane is wrong: {what}"),
            Self::Stuck(why) => write!(formatter, "the job did not come to rest: {why}"),
            Self::EpochWentBack(from, to) => {
                write!(formatter, "the epoch went from {from} back to {to}")
            }
            Self::CannotRun(why) => write!(formatter, "the job cannot go on: {why}"),
        }
    }
}
