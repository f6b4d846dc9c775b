//! `create`: elements given in the program.

use std::sync::Arc;

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::source::{
    Backlog, Boundedness, OffsetRange, OffsetTracker, ReadStatus, Reader, Residual, Source,
};
use crate::time::Timestamp;

/// A bounded source of elements held in memory.
#[derive(Clone, Debug)]
pub struct Elements<T> {
    elements: Arc<Vec<(Timestamp, T)>>,
}

impl<T: Data + Sync> Elements<T> {
    /// The elements, all at the least event time, as in Beam's `Create`.
    #[must_use]
    pub fn new(elements: Vec<T>) -> Self {
        Self::timestamped(elements.into_iter().map(|element| (Timestamp::MIN, element)).collect())
    }

    /// The elements with their event times.
    #[must_use]
    pub fn timestamped(elements: Vec<(Timestamp, T)>) -> Self {
        Self { elements: Arc::new(elements) }
    }
}

impl<T: Data + Sync> Source for Elements<T> {
    type Item = T;
    type Restriction = OffsetRange;
    type Reader = ElementsReader<T>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn split(&self, desired: usize) -> Result<Vec<OffsetRange>, BoxError> {
        Ok(OffsetRange { start: 0, end: self.elements.len() as u64 }.cut(desired))
    }

    fn reader(&self, range: OffsetRange, _ctx: &IoContext) -> Result<Self::Reader, BoxError> {
        let len = self.elements.len() as u64;
        if range.end > len {
            return Err(format!("offsets up to {} of {len} elements", range.end).into());
        }
        Ok(ElementsReader {
            elements: Arc::clone(&self.elements),
            tracker: OffsetTracker::new(range),
        })
    }
}

/// Reads elements held in memory.
#[derive(Debug)]
pub struct ElementsReader<T> {
    elements: Arc<Vec<(Timestamp, T)>>,
    tracker: OffsetTracker,
}

impl<T: Data + Sync> Reader for ElementsReader<T> {
    type Item = T;
    type Restriction = OffsetRange;

    fn poll_read(&mut self, out: &mut Batch<T>, _now: Timestamp) -> Result<ReadStatus, BoxError> {
        let claimed = self.tracker.claim_up_to(Batch::<T>::stage_len());
        let index = |offset: u64| usize::try_from(offset).expect("it is within a vector");
        for (timestamp, element) in &self.elements[index(claimed.start)..index(claimed.end)] {
            out.push(*timestamp, element.clone());
        }
        Ok(if self.tracker.is_done() { ReadStatus::Done } else { ReadStatus::More })
    }

    fn watermark(&self) -> Timestamp {
        if self.tracker.is_done() { Timestamp::MAX } else { Timestamp::MIN }
    }

    fn checkpoint(&mut self) -> Residual<OffsetRange> {
        Residual::new(self.tracker.residual())
    }

    fn try_split(&mut self, fraction: f64) -> Option<OffsetRange> {
        crate::source::RestrictionTracker::try_split(&mut self.tracker, fraction)
    }

    fn backlog(&self) -> Backlog {
        let left = self.tracker.residual().map_or(0, |range| range.end - range.start);
        Backlog { records: Some(left), bytes: None }
    }

    fn watermark_reason(&self) -> String {
        "elements held in memory may have any event time until all are read".to_owned()
    }
}

impl Pipeline {
    /// Elements given here, all at the least event time.
    #[track_caller]
    pub fn create<T: Data + Sync>(
        &self,
        name: &str,
        elements: impl IntoIterator<Item = T>,
    ) -> PCollection<T> {
        self.read(name, Elements::new(elements.into_iter().collect()))
    }

    /// Elements given here with their event times.
    #[track_caller]
    pub fn create_timestamped<T: Data + Sync>(
        &self,
        name: &str,
        elements: impl IntoIterator<Item = (Timestamp, T)>,
    ) -> PCollection<T> {
        self.read(name, Elements::timestamped(elements.into_iter().collect()))
    }
}
