//! [`Source`] and [`Reader`]: bounded and unbounded input in one pair of traits, fit for any engine.
//!
//! A source is a recipe. It splits into restrictions: descriptions of what to read, which can be stored and sent.
//! A reader reads one restriction, is polled and never blocks, and can at any moment be asked for its
//! residual: the restriction that continues where the elements handed out so far end, with a finalizer
//! to call once those elements' effects are durable. That is what the embedded engine checkpoints,
//! and what Beam calls a splittable DoFn. Sources: "Splittable DoFn" of the Beam programming guide.
//!
//! ```
//! use millstream::batch::Batch;
//! use millstream::io::IoContext;
//! use millstream::source::{OffsetRange, ReadStatus, Reader, Source};
//! use millstream::transforms::create::Elements;
//! use millstream::Timestamp;
//!
//! let source = Elements::new(vec!["a", "b", "c"].into_iter().map(String::from).collect());
//! let mut parts = source.split(1)?;
//! let mut reader = source.reader(parts.remove(0), &IoContext::detached("Letters"))?;
//! let mut batch = Batch::new();
//! while reader.poll_read(&mut batch, Timestamp::EPOCH)? != ReadStatus::Done {}
//! assert_eq!(batch.values(), ["a", "b", "c"]);
//! assert!(reader.checkpoint().restriction.is_none(), "nothing is left to read");
//! # Ok::<(), millstream::BoxError>(())
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::time::Timestamp;

/// Whether a source ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundedness {
    /// It ends once everything is read.
    Bounded,
    /// It goes on until the job is stopped.
    Unbounded,
}

/// Input of a pipeline.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a source that a pipeline can read")]
pub trait Source: Clone + Send + Sync + 'static {
    /// What is read.
    type Item: Data;
    /// What to read: stored in checkpoints, sent to where it is read.
    type Restriction: Data;
    /// Reads one restriction.
    type Reader: Reader<Item = Self::Item, Restriction = Self::Restriction>;

    /// Whether the source ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// The restrictions that together are the whole input, `desired` of them where that is possible.
    /// Called once in the life of a job: a restart continues from residuals.
    ///
    /// # Errors
    /// Whatever keeps the input from being found.
    fn split(&self, desired: usize) -> Result<Vec<Self::Restriction>, BoxError>;

    /// Starts reading `restriction`.
    ///
    /// # Errors
    /// Whatever keeps the input from being opened.
    fn reader(
        &self,
        restriction: Self::Restriction,
        ctx: &IoContext,
    ) -> Result<Self::Reader, BoxError>;
}

/// Reads one restriction of a source; polled by its worker, never blocking.
pub trait Reader: Send {
    /// What is read.
    type Item: Data;
    /// What to read.
    type Restriction: Data;

    /// Appends available elements to `out`, up to about [`Batch::stage_len`] of them.
    ///
    /// # Errors
    /// What makes reading on impossible; the job then restarts from its last checkpoint.
    fn poll_read(
        &mut self,
        out: &mut Batch<Self::Item>,
        now: Timestamp,
    ) -> Result<ReadStatus, BoxError>;

    /// A bound that no element still to be read from this restriction will be earlier than, as far as the source can know.
    /// Asked after each read; it must not go back.
    fn watermark(&self) -> Timestamp;

    /// Divides what was handed out from what is left.
    ///
    /// The residual continues where the elements handed out so far end; reading goes on from there. The finalizer
    /// is called only after everything handed out before this call is durable downstream.
    fn checkpoint(&mut self) -> Residual<Self::Restriction>;

    /// Gives about `fraction` of what is left away as a restriction of its own, where that is possible.
    fn try_split(&mut self, fraction: f64) -> Option<Self::Restriction> {
        let _ = fraction;
        None
    }

    /// How much waits to be read, where the source knows.
    fn backlog(&self) -> Backlog {
        Backlog::default()
    }

    /// Bytes read since the reader was made, as they came from outside; 0 where they are not counted.
    fn bytes_read(&self) -> u64 {
        0
    }

    /// Elements that were read and dropped as duplicates since the reader was made.
    fn duplicates(&self) -> u64 {
        0
    }

    /// Whether the reader would like a checkpoint before the next one is due, because it has handed out about as much
    /// as may be outstanding.
    fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Why the watermark stands where it does, in a few words for people.
    fn watermark_reason(&self) -> String {
        String::from("the source's own estimate")
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// There may be more at once.
    More,
    /// Nothing now: look again when woken, or at this processing time at the latest.
    Pending {
        /// When to look again without being woken.
        wake_at: Option<Timestamp>,
    },
    /// Everything of the restriction was read.
    Done,
}

/// What is left to read, and what to do once that which was read is durable.
pub struct Residual<R> {
    /// Where to go on; `None` when nothing is left.
    pub restriction: Option<R>,
    /// How long an engine that reads in bundles should wait before it reads on.
    pub resume_after: Option<Duration>,
    /// Called once everything handed out before is durable, for example to acknowledge it.
    pub finalizer: Option<Finalizer>,
}

impl<R> Residual<R> {
    /// A residual without a finalizer, to be read on at once.
    pub const fn new(restriction: Option<R>) -> Self {
        Self { restriction, resume_after: None, finalizer: None }
    }

    /// Adds what to do once everything handed out is durable.
    #[must_use]
    pub fn with_finalizer(mut self, finalize: impl FnOnce() + Send + 'static) -> Self {
        self.finalizer = Some(Finalizer::new(finalize));
        self
    }
}

impl<R: fmt::Debug> fmt::Debug for Residual<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Residual")
            .field("restriction", &self.restriction)
            .field("resume_after", &self.resume_after)
            .field("has_finalizer", &self.finalizer.is_some())
            .finish()
    }
}

/// Something to do exactly after a checkpoint became durable; dropped without being called when it never does.
pub struct Finalizer(Box<dyn FnOnce() + Send>);

impl Finalizer {
    /// Calls `finalize` once the checkpoint is durable. It must be quick and must not block.
    pub fn new(finalize: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(finalize))
    }

    /// The checkpoint is durable.
    pub fn call(self) {
        (self.0)();
    }
}

impl fmt::Debug for Finalizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Finalizer")
    }
}

/// How much waits to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Elements, where known.
    pub records: Option<u64>,
    /// Bytes, where known.
    pub bytes: Option<u64>,
}

/// Claims positions of a restriction one by one, so that it can be split while it is read.
pub trait RestrictionTracker {
    /// What is tracked.
    type Restriction;
    /// A place in it.
    type Position;

    /// Claims `position`; false when it lies outside what is left: then it must not be read.
    fn try_claim(&mut self, position: Self::Position) -> bool;

    /// The restriction as it stands.
    fn restriction(&self) -> Self::Restriction;

    /// Cuts the restriction behind about `fraction` of what is not claimed and gives the rest away.
    fn try_split(&mut self, fraction: f64) -> Option<Self::Restriction>;
}

/// The whole numbers from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetRange {
    /// The first offset.
    pub start: u64,
    /// One behind the last offset.
    pub end: u64,
}

impl OffsetRange {
    /// Cuts the range into at most `parts` ranges of about equal length, none of them empty.
    ///
    /// ```
    /// use millstream::source::OffsetRange;
    ///
    /// let parts = OffsetRange { start: 0, end: 10 }.cut(3);
    /// assert_eq!(parts.iter().map(|part| part.end - part.start).collect::<Vec<_>>(), [3, 3, 4]);
    /// ```
    #[must_use]
    pub fn cut(self, parts: usize) -> Vec<Self> {
        let parts = u64::try_from(parts.max(1)).unwrap_or(1);
        let len = u128::from(self.end.saturating_sub(self.start));
        let bound = |part: u64| {
            self.start + u64::try_from(len * u128::from(part) / u128::from(parts)).unwrap_or(0)
        };
        (0..parts)
            .map(|part| Self { start: bound(part), end: bound(part + 1) })
            .filter(|range| range.start < range.end)
            .collect()
    }
}

/// Tracks an [`OffsetRange`] that is read in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct OffsetTracker {
    next: u64,
    end: u64,
}

impl OffsetTracker {
    /// A tracker of which nothing is claimed.
    #[must_use]
    pub const fn new(range: OffsetRange) -> Self {
        Self { next: range.start, end: range.end }
    }

    /// The first offset not claimed.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Claims up to `count` offsets in a row and returns them.
    pub fn claim_up_to(&mut self, count: usize) -> OffsetRange {
        let start = self.next;
        self.next = self.end.min(start.saturating_add(count as u64)).max(start);
        OffsetRange { start, end: self.next }
    }

    /// Whether everything is claimed.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// What is not claimed; `None` when nothing.
    #[must_use]
    pub fn residual(&self) -> Option<OffsetRange> {
        (!self.is_done()).then_some(OffsetRange { start: self.next, end: self.end })
    }
}

impl RestrictionTracker for OffsetTracker {
    type Restriction = OffsetRange;
    type Position = u64;

    fn try_claim(&mut self, position: u64) -> bool {
        debug_assert!(position >= self.next, "offsets are claimed in ascending order");
        if position >= self.end {
            return false;
        }
        self.next = position + 1;
        true
    }

    fn restriction(&self) -> OffsetRange {
        OffsetRange { start: self.next, end: self.end }
    }

    fn try_split(&mut self, fraction: f64) -> Option<OffsetRange> {
        let left = self.end.saturating_sub(self.next);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count, cut to its range right here"
        )]
        let keep = (left as f64 * fraction.clamp(0.0, 1.0)) as u64;
        let cut = self.next + keep.min(left);
        (cut < self.end).then(|| {
            let given = OffsetRange { start: cut, end: self.end };
            self.end = cut;
            given
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_gives_away_what_is_not_claimed_and_nothing_twice() {
        let mut tracker = OffsetTracker::new(OffsetRange { start: 0, end: 100 });
        assert_eq!(tracker.claim_up_to(20), OffsetRange { start: 0, end: 20 });
        let given = tracker.try_split(0.5).unwrap();
        assert_eq!(given, OffsetRange { start: 60, end: 100 });
        assert_eq!(tracker.residual(), Some(OffsetRange { start: 20, end: 60 }));
        assert!(tracker.try_claim(59));
        assert!(!tracker.try_claim(60));
        assert!(tracker.is_done());
        assert_eq!(tracker.try_split(0.0), None);
    }

    #[test]
    fn cut_ranges_cover_everything_once() {
        for parts in 1..20 {
            let cut = OffsetRange { start: 3, end: 16 }.cut(parts);
            assert_eq!(cut.first().unwrap().start, 3);
            assert_eq!(cut.last().unwrap().end, 16);
            assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        assert!(OffsetRange { start: 5, end: 5 }.cut(4).is_empty());
    }
}
