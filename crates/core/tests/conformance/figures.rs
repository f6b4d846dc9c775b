//! The figures of the Dataflow paper, with the panes that `takidau/streamingbook` (commit d5ee324) expects of Beam.
//!
//! One team's scores: nine points of event time, which arrive in another order of processing time. All times are offsets from
//! 12:00, as minutes and seconds.

use std::time::Duration;

use millstream::operator::map::Reified;
use millstream::prelude::*;
use millstream::testing::{PAssert, TestPipeline, TestStream};
use millstream::windowing::{Merge, Window, WindowFn, WindowingStrategy};
use millstream::{Kv, PCollection};

const NOON: &str = "2024-05-04T12:00:00Z";
const TWO_MINUTES: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);
const THOUSAND_DAYS: Duration = Duration::from_secs(1_000 * 86_400);

type Score = Kv<String, i64>;

fn noon() -> Timestamp {
    Timestamp::parse(NOON).expect("a constant")
}

/// An offset such as `12:34`, minutes and seconds.
fn offset(text: &str) -> Duration {
    let (minutes, seconds) = text.split_once(':').expect("minutes:seconds");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    Duration::from_secs(number(minutes) * 60 + number(seconds))
}

fn at(text: &str) -> Timestamp {
    noon() + offset(text)
}

fn score(points: i64) -> Score {
    ("TeamX".to_owned(), points)
}

/// Points, event time.
const BATCH: [(i64, &str); 9] = [
    (5, "00:26"),
    (7, "02:26"),
    (3, "03:39"),
    (4, "04:19"),
    (8, "03:06"),
    (3, "06:39"),
    (9, "01:26"),
    (8, "07:26"),
    (1, "07:46"),
];

/// What happens in the stream, and when in processing time.
#[derive(Clone, Copy)]
enum Happens {
    Score(i64, &'static str),
    Watermark(&'static str),
}
use Happens::{Score as Points, Watermark};

/// The arrivals of the streaming figures. The events of two scores are fudged, as in the book, so that sessions connect.
const ARRIVALS: [(&str, Happens); 9] = [
    ("04:59", Points(5, "00:26")),
    ("05:39", Points(7, "02:24")),
    ("06:13", Points(3, "03:39")),
    ("06:39", Points(4, "04:19")),
    ("07:06", Points(8, "03:06")),
    ("07:19", Points(3, "06:39")),
    ("08:19", Points(9, "01:25")),
    ("08:39", Points(8, "07:26")),
    ("09:00", Points(1, "07:46")),
];

/// Knows when everything has arrived.
const PERFECT: [(&str, Happens); 4] = [
    ("08:39", Watermark("02:00")),
    ("09:00", Watermark("04:00")),
    ("09:10", Watermark("06:00")),
    ("09:20", Watermark("08:00")),
];

/// Guesses, and misses the nine.
const HEURISTIC: [(&str, Happens); 4] = [
    ("06:00", Watermark("02:00")),
    ("07:30", Watermark("04:00")),
    ("07:40", Watermark("06:00")),
    ("09:30", Watermark("08:00")),
];

/// The stream of arrivals and watermarks until `end`, when the watermark goes to infinity.
fn stream(
    watermarks: &[(&'static str, Happens)],
    extra: &[(&'static str, Happens)],
    end: &str,
) -> TestStream<Score> {
    let mut happenings: Vec<_> = ARRIVALS.iter().chain(extra).chain(watermarks).copied().collect();
    // At the same time the perfect watermark of 8:39 comes before the score, as in the book; the others behind.
    happenings.sort_by_key(|(when, what)| {
        let behind = matches!(what, Watermark(to) if *to != "02:00");
        (offset(when), behind, matches!(what, Points(..)))
    });
    let mut now = Duration::ZERO;
    let mut stream = TestStream::new().advance_watermark(noon());
    for (when, what) in happenings {
        stream = stream.advance_processing_time(offset(when) - now);
        now = offset(when);
        stream = match what {
            Points(points, event_time) => stream.add(at(event_time), score(points)),
            Watermark(to) => stream.advance_watermark(at(to)),
        };
    }
    stream.advance_processing_time(offset(end) - now).finish()
}

fn clock_text(timestamp: Timestamp) -> String {
    if timestamp >= Window::GLOBAL.max_timestamp() {
        return "end".to_owned();
    }
    let seconds = timestamp.since(noon()).as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// A pane as `[start, end) sum pane`, after a check that its time is the end of its window.
fn text(sum: &Reified<Score>) -> String {
    assert_eq!(sum.timestamp, sum.window.max_timestamp());
    let Reified { value: (team, points), window, pane, .. } = sum;
    assert_eq!(team, "TeamX");
    if *window == Window::GLOBAL {
        return format!("global {points} {pane:?}");
    }
    format!("[{}, {}) {points} {pane:?}", clock_text(window.start), clock_text(window.end))
}

/// Runs with several workers and orders of steps; the panes of one team come in the same order each time.
fn expect(pipeline: TestPipeline, sums: PCollection<Score>, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|pane| (*pane).to_owned()).collect();
    PAssert::that(sums).satisfies_reified(move |sums| {
        // The book gives the panes window by window.
        let mut found: Vec<_> = sums.iter().collect();
        found.sort_by_key(|sum| (sum.window.end, std::cmp::Reverse(sum.window.start)));
        let found: Vec<String> = found.into_iter().map(text).collect();
        assert_eq!(found, expected);
    });
    pipeline.runs(5).run();
}

fn from_stream(
    stream: TestStream<Score>,
    strategy: impl Into<WindowingStrategy>,
    expected: &[&str],
) {
    let pipeline = TestPipeline::new().starting_at(noon());
    let sums =
        pipeline.read("Scores", stream).window("Window", strategy).combine_per_key("Sum", Sum);
    expect(pipeline, sums, expected);
}

fn fixed() -> FixedWindows {
    FixedWindows::of(TWO_MINUTES)
}

fn early_and_late() -> Trigger {
    Trigger::after_watermark()
        .early(Trigger::after_processing_time(MINUTE))
        .late(Trigger::after_count(1))
}

fn from_batch(strategy: impl Into<WindowingStrategy>, expected: &[&str]) {
    let pipeline = TestPipeline::new();
    let scores = BATCH.map(|(points, event_time)| (at(event_time), score(points)));
    let sums = pipeline
        .create_timestamped("Scores", scores)
        .window("Window", strategy)
        .combine_per_key("Sum", Sum);
    expect(pipeline, sums, expected);
}

#[test]
fn figure_2_3_classic_batch() {
    from_batch(GlobalWindows, &["global 48 OnTime#0/0 first last"]);
}

#[test]
fn figure_2_5_windowed_batch() {
    let expected = [
        "[00:00, 02:00) 14 OnTime#0/0 first last",
        "[02:00, 04:00) 18 OnTime#0/0 first last",
        "[04:00, 06:00) 4 OnTime#0/0 first last",
        "[06:00, 08:00) 12 OnTime#0/0 first last",
    ];
    from_batch(fixed(), &expected);
}

#[test]
fn figure_2_6_per_record_streaming() {
    let strategy = fixed()
        .triggering(Trigger::after_count(1).repeatedly())
        .allowed_lateness(THOUSAND_DAYS)
        .accumulating();
    let expected = [
        "[00:00, 02:00) 5 Early#0 first",
        "[00:00, 02:00) 14 Early#1",
        "[02:00, 04:00) 7 Early#0 first",
        "[02:00, 04:00) 10 Early#1",
        "[02:00, 04:00) 18 Early#2",
        "[04:00, 06:00) 4 Early#0 first",
        "[06:00, 08:00) 3 Early#0 first",
        "[06:00, 08:00) 11 Early#1",
        "[06:00, 08:00) 12 Early#2",
    ];
    from_stream(stream(&[], &[], "09:30"), strategy, &expected);
}

const MICRO_BATCHES: [&str; 8] = [
    "[00:00, 02:00) 5 Early#0 first",
    "[00:00, 02:00) 14 OnTime#1/0 last",
    "[02:00, 04:00) 18 Early#0 first",
    "[02:00, 04:00) 18 OnTime#1/0 last",
    "[04:00, 06:00) 4 Early#0 first",
    "[04:00, 06:00) 4 OnTime#1/0 last",
    "[06:00, 08:00) 12 Early#0 first",
    "[06:00, 08:00) 12 OnTime#1/0 last",
];

/// Beam aligns a time before its alignment's origin to the second boundary behind it: two minutes and up to the next. The clock starts
/// half a minute past the hour, so that the boundaries lie where Beam's did.
#[test]
fn figure_2_7_aligned_delay() {
    let aligned = Trigger::after_processing_time(TWO_MINUTES).aligned_to(TWO_MINUTES);
    let strategy =
        fixed().triggering(aligned.repeatedly()).allowed_lateness(THOUSAND_DAYS).accumulating();
    let pipeline = TestPipeline::new().starting_at(noon() + Duration::from_secs(30));
    let sums = pipeline
        .read("Scores", stream(&[], &[], "10:00"))
        .window("Window", strategy)
        .combine_per_key("Sum", Sum);
    expect(pipeline, sums, &MICRO_BATCHES);
}

#[test]
fn figure_2_8_unaligned_delay() {
    let strategy = fixed()
        .triggering(Trigger::after_processing_time(TWO_MINUTES).repeatedly())
        .allowed_lateness(THOUSAND_DAYS)
        .accumulating();
    from_stream(stream(&[], &[], "09:30"), strategy, &MICRO_BATCHES);
}

#[test]
fn figure_2_10_left_perfect_watermark() {
    let expected = [
        "[00:00, 02:00) 14 OnTime#0/0 first last",
        "[02:00, 04:00) 18 OnTime#0/0 first last",
        "[04:00, 06:00) 4 OnTime#0/0 first last",
        "[06:00, 08:00) 12 OnTime#0/0 first last",
    ];
    from_stream(stream(&PERFECT, &[], "09:30"), fixed(), &expected);
}

#[test]
fn figure_2_10_right_heuristic_watermark() {
    let expected = [
        "[00:00, 02:00) 5 OnTime#0/0 first last",
        "[02:00, 04:00) 18 OnTime#0/0 first last",
        "[04:00, 06:00) 4 OnTime#0/0 first last",
        "[06:00, 08:00) 12 OnTime#0/0 first last",
    ];
    from_stream(stream(&HEURISTIC, &[], "09:30"), fixed(), &expected);
}

#[test]
fn figure_2_11_left_early_on_time_late_perfect_watermark() {
    let strategy =
        fixed().triggering(early_and_late()).allowed_lateness(THOUSAND_DAYS).accumulating();
    let expected = [
        "[00:00, 02:00) 5 Early#0 first",
        "[00:00, 02:00) 14 OnTime#1/0",
        "[02:00, 04:00) 10 Early#0 first",
        "[02:00, 04:00) 18 Early#1",
        "[02:00, 04:00) 18 OnTime#2/0",
        "[04:00, 06:00) 4 Early#0 first",
        "[04:00, 06:00) 4 OnTime#1/0",
        "[06:00, 08:00) 3 Early#0 first",
        "[06:00, 08:00) 12 OnTime#1/0",
    ];
    from_stream(stream(&PERFECT, &[], "09:30"), strategy, &expected);
}

#[test]
fn figure_2_11_right_early_on_time_late_heuristic_watermark() {
    let strategy =
        fixed().triggering(early_and_late()).allowed_lateness(THOUSAND_DAYS).accumulating();
    let expected = [
        "[00:00, 02:00) 5 Early#0 first",
        "[00:00, 02:00) 5 OnTime#1/0",
        "[00:00, 02:00) 14 Late#2/1",
        "[02:00, 04:00) 10 Early#0 first",
        "[02:00, 04:00) 18 OnTime#1/0",
        "[04:00, 06:00) 4 Early#0 first",
        "[04:00, 06:00) 4 OnTime#1/0",
        "[06:00, 08:00) 3 Early#0 first",
        "[06:00, 08:00) 12 OnTime#1/0",
    ];
    from_stream(stream(&HEURISTIC, &[], "09:30"), strategy, &expected);
}

#[test]
fn figure_2_12_allowed_lateness() {
    let strategy =
        fixed().triggering(early_and_late()).allowed_lateness(TWO_MINUTES).accumulating();
    let expected = [
        "[00:00, 02:00) 5 Early#0 first",
        "[00:00, 02:00) 5 OnTime#1/0",
        "[00:00, 02:00) 11 Late#2/1",
        "[02:00, 04:00) 10 Early#0 first",
        "[02:00, 04:00) 18 OnTime#1/0",
        "[04:00, 06:00) 4 Early#0 first",
        "[04:00, 06:00) 4 OnTime#1/0",
        "[06:00, 08:00) 3 Early#0 first",
        "[06:00, 08:00) 12 OnTime#1/0",
    ];
    let extra_six = [("06:39", Points(6, "00:53"))];
    from_stream(stream(&HEURISTIC, &extra_six, "09:30"), strategy, &expected);
}

#[test]
fn figure_2_13_discarding() {
    let strategy =
        fixed().triggering(early_and_late()).allowed_lateness(THOUSAND_DAYS).discarding();
    let expected = [
        "[00:00, 02:00) 5 Early#0 first",
        "[00:00, 02:00) 0 OnTime#1/0",
        "[00:00, 02:00) 9 Late#2/1",
        "[02:00, 04:00) 10 Early#0 first",
        "[02:00, 04:00) 8 OnTime#1/0",
        "[04:00, 06:00) 4 Early#0 first",
        "[04:00, 06:00) 0 OnTime#1/0",
        "[06:00, 08:00) 3 Early#0 first",
        "[06:00, 08:00) 9 OnTime#1/0",
    ];
    from_stream(stream(&HEURISTIC, &[], "09:30"), strategy, &expected);
}

#[test]
fn figure_4_7_sessions() {
    let strategy = Sessions::with_gap(MINUTE)
        .triggering(early_and_late())
        .allowed_lateness(THOUSAND_DAYS)
        .accumulating();
    let expected = [
        "[00:26, 01:26) 5 Early#0 first",
        "[00:26, 01:26) 5 OnTime#1/0",
        "[02:24, 03:24) 7 Early#0 first",
        "[02:24, 05:19) 22 Early#0 first",
        "[02:24, 05:19) 22 OnTime#1/0",
        "[00:26, 05:19) 36 Late#0/0 first",
        "[06:39, 07:39) 3 Early#0 first",
        "[06:39, 08:46) 12 OnTime#0/0 first last",
    ];
    from_stream(stream(&HEURISTIC, &[], "09:30"), strategy, &expected);
}

/// From each score until the next: windows that shrink by merging.
#[derive(Debug)]
struct ValidityWindows;

impl WindowFn for ValidityWindows {
    fn name(&self) -> &'static str {
        "ValidityWindows"
    }

    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::new(timestamp, Window::GLOBAL.end));
    }

    fn fingerprint(&self) -> String {
        "validity".to_owned()
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Merge> {
        let mut sorted = windows.to_vec();
        sorted.sort_unstable_by_key(|window| (window.start, window.end));
        let cut = |pair: &[Window]| Merge {
            into: Window::new(pair[0].start, pair[1].start),
            from: vec![pair[0]],
        };
        sorted.windows(2).filter(|pair| pair[1].start < pair[0].end).map(cut).collect()
    }
}

#[test]
fn validity_windows() {
    let expected = [
        "[00:26, 01:25) 5 OnTime#0/0 first last",
        "[01:25, 02:24) 9 OnTime#0/0 first last",
        "[02:24, 03:06) 7 OnTime#0/0 first last",
        "[03:06, 03:39) 8 OnTime#0/0 first last",
        "[03:39, 04:19) 3 OnTime#0/0 first last",
        "[04:19, 06:39) 4 OnTime#0/0 first last",
        "[06:39, 07:26) 3 OnTime#0/0 first last",
        "[07:26, 07:46) 8 OnTime#0/0 first last",
        "[07:46, end) 1 OnTime#0/0 first last",
    ];
    from_stream(
        stream(&PERFECT, &[], "09:30"),
        WindowingStrategy::from(ValidityWindows),
        &expected,
    );
}
