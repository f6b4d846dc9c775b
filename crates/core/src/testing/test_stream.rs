//! [`TestStream`]: a source that plays a script of elements, watermarks and processing time.
//!
//! One event at a time: the pipeline comes to rest before the next, because the source then asks to be looked at a
//! microsecond later, and a virtual clock moves only when nobody has anything to do.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::coder::Data;
use crate::error::BoxError;
use crate::io::IoContext;
use crate::source::{Backlog, Boundedness, ReadStatus, Reader, Residual, Source};
use crate::time::Timestamp;

/// Processing time between two events, in which the pipeline comes to rest.
const REST: Duration = Duration::from_micros(1);

#[derive(Clone, Debug)]
enum Event<T> {
    Elements(Vec<(Timestamp, T)>),
    Watermark(Timestamp),
    Advance(Duration),
}

/// An unbounded source for tests, told step by step. Source: Beam's `TestStream`.
///
/// ```
/// use millstream::prelude::*;
/// use millstream::testing::{PAssert, Pane, TestPipeline, TestStream};
/// use std::time::Duration;
///
/// let at = Timestamp::from_secs;
/// let pipeline = TestPipeline::new();
/// let orders = TestStream::new()
///     .add(at(10), ("tea".to_owned(), 200_u64))
///     .advance_watermark(at(60)) // closes [0, 60)
///     .add(at(20), ("tea".to_owned(), 300)) // late, but allowed
///     .finish();
/// let by_minute = FixedWindows::of(Duration::from_secs(60)).allowed_lateness(Duration::from_secs(300)).accumulating();
///
/// let totals = pipeline.read("Orders", orders).window("ByMinute", by_minute).combine_per_key("Sum", Sum);
///
/// let tea = |cents| ("tea".to_owned(), cents);
/// PAssert::that(totals).in_window(at(0), at(60)).panes([(Pane::OnTime, tea(200)), (Pane::Late, tea(500))]);
/// pipeline.run();
/// ```
#[derive(Clone, Debug)]
pub struct TestStream<T> {
    events: Arc<Vec<Event<T>>>,
    watermark: Timestamp,
}

impl<T> Default for TestStream<T> {
    fn default() -> Self {
        Self { events: Arc::default(), watermark: Timestamp::MIN }
    }
}

impl<T: Clone> TestStream<T> {
    /// A script without events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn event(mut self, event: Event<T>) -> Self {
        Arc::make_mut(&mut self.events).push(event);
        self
    }

    /// An element arrives.
    #[must_use]
    pub fn add(self, timestamp: Timestamp, element: T) -> Self {
        self.add_all([(timestamp, element)])
    }

    /// Elements arrive together, in one batch.
    #[must_use]
    pub fn add_all(self, elements: impl IntoIterator<Item = (Timestamp, T)>) -> Self {
        self.event(Event::Elements(elements.into_iter().collect()))
    }

    /// From now on no element before `watermark` is expected; one that comes nevertheless is late.
    ///
    /// # Panics
    /// When the watermark would go back.
    #[must_use]
    pub fn advance_watermark(mut self, watermark: Timestamp) -> Self {
        assert!(
            watermark >= self.watermark,
            "the watermark goes back from {} to {watermark}",
            self.watermark
        );
        self.watermark = watermark;
        self.event(Event::Watermark(watermark))
    }

    /// Processing time moves on; what waits for a time in between is woken at that time.
    #[must_use]
    pub fn advance_processing_time(self, duration: Duration) -> Self {
        self.event(Event::Advance(duration))
    }

    /// No more elements are expected: every window expires. Elements that come nevertheless are late.
    #[must_use]
    pub fn advance_watermark_to_infinity(self) -> Self {
        self.advance_watermark(Timestamp::MAX)
    }

    /// The input ends, if it has not yet.
    #[must_use]
    pub fn finish(self) -> Self {
        let is_finished = self.watermark == Timestamp::MAX;
        if is_finished { self } else { self.advance_watermark_to_infinity() }
    }
}

/// Where a [`TestStream`] goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStreamPosition {
    next: usize,
    started_at: Option<Timestamp>,
}

impl<T: Data + Sync> Source for TestStream<T> {
    type Item = T;
    type Restriction = TestStreamPosition;
    type Reader = TestStreamReader<T>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn split(&self, _desired: usize) -> Result<Vec<TestStreamPosition>, BoxError> {
        Ok(vec![TestStreamPosition { next: 0, started_at: None }])
    }

    fn reader(
        &self,
        position: TestStreamPosition,
        _ctx: &IoContext,
    ) -> Result<TestStreamReader<T>, BoxError> {
        let mut reader = TestStreamReader {
            events: Arc::clone(&self.events),
            position,
            watermark: Timestamp::MIN,
            elapsed: Duration::ZERO,
            ready_at: Timestamp::MIN,
        };
        for event in &self.events[..position.next.min(self.events.len())] {
            reader.pass(event);
        }
        Ok(reader)
    }
}

/// Plays the script of a [`TestStream`].
#[derive(Debug)]
pub struct TestStreamReader<T> {
    events: Arc<Vec<Event<T>>>,
    position: TestStreamPosition,
    watermark: Timestamp,
    /// Processing time since the start, as the script has it.
    elapsed: Duration,
    /// When the next event is due.
    ready_at: Timestamp,
}

impl<T> TestStreamReader<T> {
    /// What an event does to the reader itself.
    fn pass(&mut self, event: &Event<T>) {
        match event {
            Event::Elements(_) => {}
            Event::Watermark(watermark) => self.watermark = *watermark,
            Event::Advance(duration) => self.elapsed += *duration,
        }
    }
}

impl<T: Data + Sync> Reader for TestStreamReader<T> {
    type Item = T;
    type Restriction = TestStreamPosition;

    fn poll_read(&mut self, out: &mut Batch<T>, now: Timestamp) -> Result<ReadStatus, BoxError> {
        let started_at = *self.position.started_at.get_or_insert(now);
        if now < self.ready_at {
            return Ok(ReadStatus::Pending { wake_at: Some(self.ready_at) });
        }
        let events = Arc::clone(&self.events);
        let Some(event) = events.get(self.position.next) else { return Ok(ReadStatus::Done) };
        self.position.next += 1;
        self.pass(event);
        self.ready_at = now + REST;
        match event {
            Event::Elements(elements) => {
                for (timestamp, element) in elements {
                    out.push(*timestamp, element.clone());
                }
            }
            Event::Watermark(_) => {}
            // By the script's own clock, so that the rests between events do not add up.
            Event::Advance(_) => self.ready_at = self.ready_at.max(started_at + self.elapsed),
        }
        Ok(ReadStatus::Pending { wake_at: Some(self.ready_at) })
    }

    fn watermark(&self) -> Timestamp {
        self.watermark
    }

    fn checkpoint(&mut self) -> Residual<TestStreamPosition> {
        let is_over = self.position.next >= self.events.len();
        Residual::new((!is_over).then_some(self.position))
    }

    fn backlog(&self) -> Backlog {
        let left = &self.events[self.position.next.min(self.events.len())..];
        let count = |event: &Event<T>| match event {
            Event::Elements(elements) => elements.len() as u64,
            _ => 0,
        };
        Backlog { records: Some(left.iter().map(count).sum()), bytes: None }
    }

    fn watermark_reason(&self) -> String {
        "the script's own watermark".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn script() -> TestStream<char> {
        TestStream::new()
            .add_all([(at(1), 'a'), (at(2), 'b')])
            .advance_watermark(at(5))
            .advance_processing_time(Duration::from_secs(60))
            .add(at(6), 'c')
            .finish()
    }

    /// Polls at the times asked for, and gives what each poll found.
    fn play(reader: &mut TestStreamReader<char>, mut now: Timestamp) -> Vec<(Timestamp, String)> {
        let mut found = Vec::new();
        loop {
            let mut batch = Batch::new();
            let status = reader.poll_read(&mut batch, now).unwrap();
            found.push((now, batch.values().iter().collect()));
            match status {
                ReadStatus::Pending { wake_at: Some(at) } => now = at,
                ReadStatus::Done => return found,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn events_come_one_by_one_and_the_script_keeps_its_own_clock() {
        let ctx = IoContext::detached("Script");
        let source = script();
        let position = source.split(4).unwrap().remove(0);
        let mut reader = source.reader(position, &ctx).unwrap();
        let found = play(&mut reader, at(100));
        let micro = |count| at(100).saturating_add_micros(count);
        let expected = [
            (micro(0), "ab"),
            (micro(1), ""),
            (micro(2), ""),
            (at(160), "c"),
            (at(160).saturating_add_micros(1), ""),
            (at(160).saturating_add_micros(2), ""),
        ];
        assert_eq!(found, expected.map(|(now, text)| (now, text.to_owned())));
        assert_eq!(reader.watermark(), Timestamp::MAX);
        assert!(reader.checkpoint().restriction.is_none());
    }

    #[test]
    fn a_residual_goes_on_with_watermark_and_clock_and_a_poll_too_early_finds_nothing() {
        let ctx = IoContext::detached("Script");
        let source = script();
        let mut reader = source.reader(source.split(1).unwrap().remove(0), &ctx).unwrap();
        let mut batch = Batch::new();
        for micros in 0..3 {
            let _ = reader.poll_read(&mut batch, at(100).saturating_add_micros(micros)).unwrap();
        }
        let _ = reader.poll_read(&mut batch, at(130)).unwrap();
        assert_eq!(batch.values(), ['a', 'b'], "the next event is due at 160");
        assert_eq!(reader.backlog().records, Some(1));
        let residual = reader.checkpoint().restriction.unwrap();
        let reader = source.reader(residual, &ctx).unwrap();
        assert_eq!((reader.watermark(), reader.elapsed), (at(5), Duration::from_secs(60)));
    }

    #[test]
    #[should_panic(expected = "goes back")]
    fn a_watermark_that_goes_back_is_refused() {
        let _ = TestStream::<u8>::new().advance_watermark(at(5)).advance_watermark(at(4));
    }
}
