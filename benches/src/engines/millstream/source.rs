//! A source over a vector in memory: clones records with their event times, as the other engines' sources do.

use std::sync::Arc;

use ::millstream::batch::Batch;
use ::millstream::io::IoContext;
use ::millstream::source::{
    Boundedness, OffsetRange, OffsetTracker, ReadStatus, Reader, Residual, Source,
};
use ::millstream::{BoxError, Data, Timestamp};

/// A record that knows its event time.
pub(super) trait Timed: Data + Sync {
    fn time(&self) -> Timestamp;
}

/// Records per chunk that a worker reads in a row, so that the workers' event times stay close together.
const CHUNK: u64 = 8_192;

/// Records in memory.
#[derive(Clone, Debug)]
pub(super) struct Slice<T> {
    records: Arc<Vec<T>>,
}

impl<T> Slice<T> {
    pub(super) fn new(records: Arc<Vec<T>>) -> Self {
        Self { records }
    }
}

impl<T: Timed> Source for Slice<T> {
    type Item = T;
    /// The first chunk, and how many to step over.
    type Restriction = (OffsetRange, u64);
    type Reader = SliceReader<T>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn split(&self, desired: usize) -> Result<Vec<Self::Restriction>, BoxError> {
        let (step, end) = (desired as u64, self.records.len() as u64);
        Ok((0..step).map(|part| (OffsetRange { start: part * CHUNK, end }, step)).collect())
    }

    fn reader(
        &self,
        (range, step): Self::Restriction,
        _: &IoContext,
    ) -> Result<Self::Reader, BoxError> {
        let records = Arc::clone(&self.records);
        let chunk = chunk(range.start, range.end);
        Ok(SliceReader { records, range, step, chunk })
    }
}

fn chunk(start: u64, end: u64) -> OffsetTracker {
    let chunk_end = (start / CHUNK + 1) * CHUNK;
    OffsetTracker::new(OffsetRange { start, end: chunk_end.min(end).max(start) })
}

#[derive(Debug)]
pub(super) struct SliceReader<T> {
    records: Arc<Vec<T>>,
    range: OffsetRange,
    step: u64,
    chunk: OffsetTracker,
}

impl<T: Timed> Reader for SliceReader<T> {
    type Item = T;
    type Restriction = (OffsetRange, u64);

    fn poll_read(&mut self, out: &mut Batch<T>, _now: Timestamp) -> Result<ReadStatus, BoxError> {
        let claimed = self.chunk.claim_up_to(Batch::<T>::stage_len());
        let records = &self.records[claimed.start as usize..claimed.end as usize];
        out.extend_cloned(records, Timed::time);
        if self.chunk.is_done() {
            let next = (claimed.end.saturating_sub(1) / CHUNK + self.step) * CHUNK;
            if next >= self.range.end {
                return Ok(ReadStatus::Done);
            }
            self.chunk = chunk(next, self.range.end);
        }
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        self.records.get(self.chunk.next() as usize).map_or(Timestamp::MAX, Timed::time)
    }

    fn checkpoint(&mut self) -> Residual<Self::Restriction> {
        let start = self.chunk.next();
        let left = (start < self.range.end)
            .then_some((OffsetRange { start, end: self.range.end }, self.step));
        Residual::new(left)
    }
}
