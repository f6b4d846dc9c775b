//! Streams told step by step, through whole pipelines. Source of the cases: Beam's `TestStreamTest` and `GroupByKeyTest`.

use std::time::Duration;

use millstream::prelude::*;
use millstream::testing::{PAssert, Pane, TestPipeline, TestStream};
use millstream::windowing::{TimestampCombiner, Window};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Beam: testLateDataAccumulating.
#[test]
fn late_data_accumulates() {
    let stream = TestStream::new()
        .add_all([(at(0), ((), 1)), (at(0), ((), 2)), (at(0), ((), 3))])
        .advance_watermark(at(360))
        .add_all([(at(0), ((), 4)), (at(0), ((), 5))])
        .advance_watermark(at(1_200))
        .add_all([(at(0), ((), 100)), (at(60), ((), 100))])
        .finish();
    let strategy = FixedWindows::of(secs(300))
        .triggering(
            Trigger::after_watermark()
                .early(Trigger::after_processing_time(secs(0)))
                .late(Trigger::after_count(1)),
        )
        .accumulating()
        .allowed_lateness(secs(300));
    let pipeline = TestPipeline::new();
    let sums = pipeline
        .read("Stream", stream)
        .window("Window", strategy)
        .combine_per_key_with_late("Sum", Sum);
    PAssert::that(&sums.0).in_window(at(0), at(300)).panes([
        (Pane::Early, ((), 6)),
        (Pane::OnTime, ((), 6)),
        (Pane::Late, ((), 15)),
    ]);
    PAssert::that(&sums.1).contains_in_any_order([((), 100), ((), 100)]);
    pipeline.runs(4).run();
}

/// Beam: testDiscardingMode.
#[test]
fn discarding_mode() {
    let stream = TestStream::new()
        .add_all([(at(100), ("first", 1)), (at(100), ("second", 2))].map(named))
        .advance_processing_time(secs(600))
        .add(at(100), ("first".to_owned(), 10))
        .advance_watermark(at(200))
        .add(at(100), ("first".to_owned(), 100))
        .finish();
    let strategy = FixedWindows::of(secs(100))
        .early_firings(Trigger::after_processing_time(secs(300)))
        .late_firings(Trigger::after_count(1))
        .allowed_lateness(secs(1_000))
        .discarding();
    let pipeline = TestPipeline::new();
    let sums =
        pipeline.read("Stream", stream).window("Window", strategy).combine_per_key("Sum", Sum);
    let first = sums.filter("First", |(name, _)| name == "first").values("Values");
    PAssert::that(first).in_window(at(100), at(200)).panes([
        (Pane::Early, 1),
        (Pane::OnTime, 10),
        (Pane::Late, 100),
    ]);
    let second = sums.filter("Second", |(name, _)| name == "second").values("SecondValues");
    PAssert::that(second).panes([(Pane::Early, 2), (Pane::OnTime, 0)]);
    pipeline.runs(4).run();
}

fn named((timestamp, (name, value)): (Timestamp, (&str, i32))) -> (Timestamp, (String, i32)) {
    (timestamp, (name.to_owned(), value))
}

/// Beam: testFirstElementLate.
#[test]
fn the_first_element_is_late() {
    let stream =
        TestStream::new().advance_watermark(at(0)).add(at(-60), ((), "late".to_owned())).finish();
    let strategy = FixedWindows::of(secs(10)).triggering(Trigger::Default);
    let pipeline = TestPipeline::new();
    let (grouped, late) =
        pipeline.read("Stream", stream).window("Window", strategy).group_by_key_with_late("Group");
    PAssert::that(grouped).empty();
    PAssert::that(late).contains_in_any_order([((), "late".to_owned())]);
    let status = pipeline.run();
    assert_eq!(status.step("Group").map(|step| step.late), Some(1));
}

/// Beam: testEarlyPanesOfWindow, testElementsAtAlmostPositiveInfinity.
#[test]
fn early_panes_and_elements_at_the_end_of_time() {
    let end = Window::GLOBAL.max_timestamp();
    let stream = TestStream::new()
        .add_all([(end, ((), 1)), (end, ((), 2))])
        .advance_processing_time(secs(10))
        .add(at(0), ((), 4))
        .advance_processing_time(secs(3_600))
        .finish();
    let strategy = GlobalWindows
        .triggering(Trigger::after_watermark().early(Trigger::after_processing_time(secs(5))))
        .accumulating();
    let pipeline = TestPipeline::new();
    let sums =
        pipeline.read("Stream", stream).window("Window", strategy).combine_per_key("Sum", Sum);
    PAssert::that(&sums).in_global_window().panes([
        (Pane::Early, ((), 3)),
        (Pane::Early, ((), 7)),
        (Pane::OnTime, ((), 7)),
    ]);
    pipeline.run();

    let stream =
        TestStream::new().add_all([(end, "foo".to_owned()), (end, "bar".to_owned())]).finish();
    let pipeline = TestPipeline::new();
    let counted = pipeline
        .read("Stream", stream)
        .window("Window", FixedWindows::of(secs(600)))
        .count_per_element("Count");
    PAssert::that(counted)
        .contains_in_any_order([("foo".to_owned(), 1), ("bar".to_owned(), 1)])
        .satisfies_reified(move |counts| {
            assert!(counts.iter().all(|count| count.window.contains(end)));
        });
    pipeline.run();
}

/// Beam: testMultiStage.
#[test]
fn a_grouping_behind_a_grouping_fires_with_it() {
    let stream = TestStream::new()
        .add_all([(at(1), (1, 1)), (at(2), (2, 10)), (at(3), (1, 100))])
        .advance_watermark(at(15))
        .add_all([(at(4), (2, 1_000)), (at(20), (1, 5))])
        .advance_watermark(at(40))
        .finish();
    let strategy = FixedWindows::of(secs(10))
        .late_firings(Trigger::after_count(1))
        .allowed_lateness(secs(100))
        .discarding();
    let pipeline = TestPipeline::new();
    let total = pipeline
        .read("Stream", stream)
        .window("Window", strategy)
        .combine_per_key("ByKey", Sum)
        .map("Forget", |(_, sum)| ((), sum))
        .combine_per_key("Total", Sum);
    PAssert::that(&total)
        .in_window(at(0), at(10))
        .panes([(Pane::OnTime, ((), 111)), (Pane::Late, ((), 1_000))])
        .in_window(at(20), at(30))
        .panes([(Pane::OnTime, ((), 5))]);
    pipeline.runs(5).run();
}

/// Beam: testProcessingTimeTrigger.
#[test]
fn a_processing_time_trigger_fires_when_its_time_has_come() {
    let stream = TestStream::new()
        .add_all([(at(1), ((), 1)), (at(2), ((), 2)), (at(3), ((), 3))])
        .advance_processing_time(secs(2))
        .add(at(4), ((), 4))
        .advance_processing_time(secs(2))
        .add(at(5), ((), 5))
        .finish();
    let strategy = GlobalWindows
        .triggering(Trigger::after_processing_time(secs(3)).repeatedly())
        .accumulating();
    let pipeline = TestPipeline::new();
    let sums =
        pipeline.read("Stream", stream).window("Window", strategy).combine_per_key("Sum", Sum);
    PAssert::that(sums).panes([(Pane::Early, ((), 10)), (Pane::OnTime, ((), 15))]);
    pipeline.runs(3).run();
}

/// Beam: testMultipleStreams.
#[test]
fn several_streams_in_one_pipeline() {
    let stream = |word: &str| {
        TestStream::new().add(at(1), word.to_owned()).advance_watermark(at(5)).finish()
    };
    let pipeline = TestPipeline::new();
    let one = pipeline.read("One", stream("foo"));
    let other = pipeline.read("Other", stream("bar"));
    PAssert::that(&one).contains_in_any_order(["foo".to_owned()]);
    PAssert::that(&other).contains_in_any_order(["bar".to_owned()]);
    let windowed = |name: &str, collection: &PCollection<String>| {
        collection.window(name, FixedWindows::of(secs(10)))
    };
    let both = windowed("WindowOne", &one).flatten_with("Both", [windowed("WindowOther", &other)]);
    PAssert::that_singleton(both.count("Count")).in_window(at(0), at(10)).is_equal_to(2);
    pipeline.runs(4).run();
}

/// Beam: testGroupByKeyMergingWindows.
#[test]
fn group_by_key_merges_sessions_and_leaves_their_windows_behind_it_alone() {
    let pipeline = TestPipeline::new();
    let sessions = pipeline
        .create_timestamped(
            "Visits",
            [(at(1), (1, 'a')), (at(5), (1, 'b')), (at(5), (2, 'c')), (at(40), (1, 'd'))],
        )
        .window("Window", Sessions::with_gap(secs(10)))
        .group_by_key("Group")
        .map("Sort", |(key, mut visits): (i32, Vec<char>)| {
            visits.sort_unstable();
            (key, visits)
        });
    PAssert::that(&sessions)
        .in_window(at(1), at(15))
        .contains_in_any_order([(1, vec!['a', 'b'])])
        .in_window(at(5), at(15))
        .contains_in_any_order([(2, vec!['c'])])
        .in_window(at(40), at(50))
        .contains_in_any_order([(1, vec!['d'])]);
    let counts = sessions.map("Unit", |_| ((), 1_u64)).combine_per_key("Count", Sum);
    PAssert::that(&counts)
        .satisfies(|counts| assert_eq!(counts.len(), 3, "[1,15) and [5,15) stay apart"));
    pipeline.runs(4).run();
}

/// Beam: testTimestampCombinerEarliest, testTimestampCombinerLatest.
#[test]
fn group_by_key_combines_timestamps() {
    for (combiner, expected) in [
        (TimestampCombiner::Earliest, at(0)),
        (TimestampCombiner::Latest, at(10)),
        (TimestampCombiner::EndOfWindow, Window::new(at(0), at(600)).max_timestamp()),
    ] {
        let pipeline = TestPipeline::new();
        let strategy = FixedWindows::of(secs(600)).timestamp_combiner(combiner);
        let grouped = pipeline
            .create_timestamped(
                "Numbers",
                [(at(0), (0, "hello".to_owned())), (at(10), (0, "goodbye".to_owned()))],
            )
            .window("Window", strategy)
            .group_by_key("Group");
        PAssert::that(grouped).satisfies_reified(move |groups| {
            assert_eq!(groups.len(), 1);
            assert_eq!(groups[0].timestamp, expected);
        });
        pipeline.run();
    }
}

#[test]
fn checkpoints_on_the_way_change_nothing() {
    for interval in [1, 7] {
        let stream = (0..50).fold(TestStream::new(), |stream, second| {
            stream
                .add(at(second), (second % 3, second))
                .advance_processing_time(secs(1))
                .advance_watermark(at(second - 3))
        });
        let strategy = FixedWindows::of(secs(10))
            .early_firings(Trigger::after_processing_time(secs(4)))
            .late_firings(Trigger::after_count(1))
            .allowed_lateness(secs(20))
            .accumulating();
        let pipeline = TestPipeline::new().checkpoint_every(secs(interval));
        let sums = pipeline
            .read("Stream", stream.finish())
            .window("Window", strategy)
            .combine_per_key("Sum", Sum);
        PAssert::that(sums).on_time().satisfies(|sums| {
            assert_eq!(sums.iter().map(|(_, sum)| sum).sum::<i64>(), 1_225);
        });
        let status = pipeline.runs(3).run();
        assert!(status.step("Sum").is_some());
    }
}
