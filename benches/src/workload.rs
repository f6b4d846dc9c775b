//! The workloads, the input of each, and the results that are known for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::inputs;
use crate::nexmark::{self, Event};
use crate::outcome::Outcome;

/// What an engine is asked to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Every event, unchanged.
    Q0,
    /// Every bid, its price in euros.
    Q1,
    /// The bids for every 123rd auction.
    Q2,
    /// Who sells in category 10 from Oregon, Idaho or California: a join that keeps its state for ever.
    Q3,
    /// The auctions with the most bids of the last 10 s, every 5 s.
    Q5,
    /// The highest bid of each 10 s.
    Q7,
    /// Who registered and opened auctions within the same 10 s.
    Q8,
    /// How often each person bid in each session of activity, sessions ending after 10 s of silence.
    Q11,
    /// A running sum per key, over a million keys: one output for each input.
    Sum,
    /// How often each word occurs.
    WordCount,
    /// The same result, with words added up per batch before they are exchanged.
    WordCountPreaggregated,
}

/// How far outcomes can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// The engine computes something slightly different.
    None,
    /// As many outputs, whose values depend on the order in which workers see the inputs.
    Count,
    /// Equal results.
    Exact,
}

/// The input of a workload, made before the timing starts and shared by the engine's workers.
#[derive(Debug, Clone)]
pub enum Data {
    /// Nexmark events.
    Events(Arc<Vec<Event>>),
    /// Lines of text.
    Lines(Arc<Vec<String>>),
    /// Keys and numbers.
    Pairs(Arc<Vec<(u64, u64)>>),
}

/// The name of no workload.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no workload; there are {all}", all = Workload::names())]
pub struct UnknownWorkload(String);

impl Workload {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 11] = [
        Self::Q0,
        Self::Q1,
        Self::Q2,
        Self::Q3,
        Self::Q5,
        Self::Q7,
        Self::Q8,
        Self::Q11,
        Self::Sum,
        Self::WordCount,
        Self::WordCountPreaggregated,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Q0 => "q0",
            Self::Q1 => "q1",
            Self::Q2 => "q2",
            Self::Q3 => "q3",
            Self::Q5 => "q5",
            Self::Q7 => "q7",
            Self::Q8 => "q8",
            Self::Q11 => "q11",
            Self::Sum => "sum",
            Self::WordCount => "wc",
            Self::WordCountPreaggregated => "wcpre",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The input, of `events` events, pairs or words.
    #[must_use]
    pub fn data(self, events: usize) -> Data {
        match self {
            Self::Sum => Data::Pairs(Arc::new(inputs::pairs(events))),
            Self::WordCount | Self::WordCountPreaggregated => {
                Data::Lines(Arc::new(inputs::lines(events)))
            }
            _ => Data::Events(Arc::new(nexmark::events(events))),
        }
    }

    /// How far two engines' outcomes with `workers` workers each must agree.
    #[must_use]
    pub fn agreement(self, workers: usize) -> Agreement {
        match self {
            // The intermediate sums depend on how the workers' inputs interleave.
            Self::Sum if workers > 1 => Agreement::Count,
            _ => Agreement::Exact,
        }
    }

    /// The outcome for ten million events, as the plain loop, timely and Flink found it.
    #[must_use]
    pub fn published(self, events: usize) -> Option<Outcome> {
        let (count, hash) = match self {
            Self::Q0 => (10_000_000, 0x155d_4e8b_3177_7f61),
            Self::Q1 => (9_200_000, 0x9782_c6a0_a403_e0dd),
            Self::Q2 => (74_828, 0x0d58_192b_11f1_49b5),
            Self::Q3 => (60_650, 0x8900_ba29_2a1c_b520),
            Self::Q5 => (216, 0x1bb7_59c0_55c0_6fa4),
            Self::Q7 => (100, 0x84ab_427b_5190_689d),
            Self::Q8 => (563_209, 0x5c02_3707_4d83_ba8f),
            Self::Q11 => (199_918, 0xa697_cd3d_1179_064a),
            Self::Sum => (10_000_000, 0xe01e_8630_80df_e8e2),
            Self::WordCount | Self::WordCountPreaggregated => (99_995, 0x7dcd_d5ac_787e_5291),
        };
        (events == 10_000_000).then_some(Outcome { count, hash })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, UnknownWorkload> {
        let found = Self::ALL.into_iter().find(|workload| workload.name() == name);
        found.ok_or_else(|| UnknownWorkload(name.to_owned()))
    }
}

impl Data {
    /// The Nexmark events.
    ///
    /// # Panics
    /// When this is the input of a workload that has none.
    #[must_use]
    pub fn events(&self) -> &Arc<Vec<Event>> {
        match self {
            Self::Events(events) => events,
            other => panic!("asked for events where there are {}", other.kind()),
        }
    }

    /// The lines of text.
    ///
    /// # Panics
    /// When this is the input of a workload that has none.
    #[must_use]
    pub fn lines(&self) -> &Arc<Vec<String>> {
        match self {
            Self::Lines(lines) => lines,
            other => panic!("asked for lines where there are {}", other.kind()),
        }
    }

    /// The keys and numbers.
    ///
    /// # Panics
    /// When this is the input of a workload that has none.
    #[must_use]
    pub fn pairs(&self) -> &Arc<Vec<(u64, u64)>> {
        match self {
            Self::Pairs(pairs) => pairs,
            other => panic!("asked for pairs where there are {}", other.kind()),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Events(_) => "events",
            Self::Lines(_) => "lines",
            Self::Pairs(_) => "pairs",
        }
    }
}
