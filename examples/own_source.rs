//! A source of one's own: square numbers, read by several workers at once.
//!
//! A source is a recipe. It splits into restrictions, here ranges, which describe what to read and can be stored: what is left of
//! them is what a checkpoint keeps. A reader reads one restriction, is polled, and never blocks.

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use millstream::BoxError;
use millstream::batch::Batch;
use millstream::io::IoContext;
use millstream::prelude::*;
use millstream::source::{
    Boundedness, OffsetRange, OffsetTracker, ReadStatus, Reader, Residual, Source,
};

/// The squares of the numbers below a limit.
#[derive(Clone)]
struct Squares {
    below: u64,
}

impl Source for Squares {
    type Item = u64;
    type Restriction = OffsetRange;
    type Reader = SquaresReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn split(&self, desired: usize) -> Result<Vec<OffsetRange>, BoxError> {
        Ok(OffsetRange { start: 0, end: self.below }.cut(desired))
    }

    fn reader(&self, range: OffsetRange, _: &IoContext) -> Result<SquaresReader, BoxError> {
        Ok(SquaresReader { tracker: OffsetTracker::new(range) })
    }
}

/// Reads a range. It claims before it reads, so that the rest can be given away at any time.
struct SquaresReader {
    tracker: OffsetTracker,
}

impl Reader for SquaresReader {
    type Item = u64;
    type Restriction = OffsetRange;

    fn poll_read(&mut self, out: &mut Batch<u64>, _: Timestamp) -> Result<ReadStatus, BoxError> {
        let claimed = self.tracker.claim_up_to(Batch::<u64>::stage_len());
        for number in claimed.start..claimed.end {
            out.push(Timestamp::EPOCH, number * number);
        }
        Ok(if self.tracker.is_done() { ReadStatus::Done } else { ReadStatus::More })
    }

    fn watermark(&self) -> Timestamp {
        if self.tracker.is_done() { Timestamp::MAX } else { Timestamp::EPOCH }
    }

    fn checkpoint(&mut self) -> Residual<OffsetRange> {
        Residual::new(self.tracker.residual())
    }
}

fn main() -> Result<(), Error> {
    let pipeline = Pipeline::new();
    pipeline
        .read("Squares", Squares { below: 1_000 })
        .combine_globally("Sum", Sum)
        .for_each("Print", |sum| println!("the sum of the squares is {sum}"));
    let report = Engine::builder().workers(2).run(&pipeline)?;
    println!("{} numbers read", report.step("Squares").map_or(0, |step| step.records_out));
    Ok(())
}
