//! `periodic_impulse`: an element at regular intervals.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::source::{Boundedness, ReadStatus, Reader, Residual, Source};
use crate::time::Timestamp;

/// Gives its own due time at regular intervals of processing time. Source: Beam's `PeriodicImpulse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodicImpulse {
    start: Timestamp,
    end: Timestamp,
    interval_micros: i64,
}

impl PeriodicImpulse {
    /// One element each `interval`, at least a microsecond, from `start` on.
    #[must_use]
    pub fn every(interval: Duration, start: Timestamp) -> Self {
        let interval_micros = crate::time::duration_micros(interval).max(1);
        Self { start, end: Timestamp::MAX, interval_micros }
    }

    /// Ends before `end`.
    #[must_use]
    pub const fn until(mut self, end: Timestamp) -> Self {
        self.end = end;
        self
    }
}

impl Source for PeriodicImpulse {
    type Item = Timestamp;
    type Restriction = Self;
    type Reader = ImpulseReader;

    fn boundedness(&self) -> Boundedness {
        if self.end == Timestamp::MAX { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn split(&self, _desired: usize) -> Result<Vec<Self>, BoxError> {
        Ok(vec![*self])
    }

    fn reader(&self, left: Self, _ctx: &IoContext) -> Result<ImpulseReader, BoxError> {
        Ok(ImpulseReader { left })
    }
}

/// Reads a [`PeriodicImpulse`].
#[derive(Debug)]
pub struct ImpulseReader {
    left: PeriodicImpulse,
}

impl Reader for ImpulseReader {
    type Item = Timestamp;
    type Restriction = PeriodicImpulse;

    fn poll_read(
        &mut self,
        out: &mut Batch<Timestamp>,
        now: Timestamp,
    ) -> Result<ReadStatus, BoxError> {
        while self.left.start < self.left.end {
            if self.left.start > now {
                return Ok(ReadStatus::Pending { wake_at: Some(self.left.start) });
            }
            if out.len() >= Batch::<Timestamp>::stage_len() {
                return Ok(ReadStatus::More);
            }
            out.push(self.left.start, self.left.start);
            self.left.start = self.left.start.saturating_add_micros(self.left.interval_micros);
        }
        Ok(ReadStatus::Done)
    }

    fn watermark(&self) -> Timestamp {
        self.left.start
    }

    fn checkpoint(&mut self) -> Residual<PeriodicImpulse> {
        Residual::new((self.left.start < self.left.end).then_some(self.left))
    }

    fn watermark_reason(&self) -> String {
        "the next impulse is due then".to_owned()
    }
}

impl Pipeline {
    /// One element, the time it was due at, at regular intervals of processing time.
    #[must_use]
    #[track_caller]
    pub fn periodic_impulse(&self, name: &str, impulse: PeriodicImpulse) -> PCollection<Timestamp> {
        self.read(name, impulse)
    }
}
