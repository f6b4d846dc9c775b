//! The embedded engine on real threads: results, restarts, failures, ways to stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use millstream::batch::Batch;
use millstream::checkpoint::MemoryStore;
use millstream::engine::StopMode;
use millstream::io::IoContext;
use millstream::metrics::JobState;
use millstream::prelude::*;
use millstream::sink::{Sink, SinkWriter, WriteContext};
use millstream::source::{Boundedness, ReadStatus, Reader, Residual, Source};
use millstream::testing::sim::{
    QueueFaults, SimMessage, SimQueue, SimQueueSource, SimTable, SimTableSink,
};

/// What a pipeline emitted, from all workers.
#[derive(Clone)]
struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T: Data + Ord + Sync> Collected<T> {
    fn of(collection: &PCollection<T>) -> Self {
        let collected = Self(Arc::default());
        let into = Arc::clone(&collected.0);
        collection.for_each("Collect", move |element| into.lock().expect("no panic").push(element));
        collected
    }

    fn sorted(&self) -> Vec<T> {
        let mut all = self.0.lock().expect("no panic").clone();
        all.sort();
        all
    }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

#[test]
fn results_do_not_depend_on_the_number_of_workers() {
    let elements: Vec<(Timestamp, (u64, u64))> =
        (0..20_000).map(|n| (seconds(n as i64 % 600), (n % 97, n))).collect();
    let mut expected: BTreeMap<(u64, i64), u64> = BTreeMap::new();
    for (at, (key, value)) in &elements {
        *expected.entry((*key, at.as_micros() / 60_000_000)).or_default() += value;
    }
    let mut expected: Vec<(u64, u64)> =
        expected.into_iter().map(|((key, _), sum)| (key, sum)).collect();
    expected.sort_unstable();
    for workers in [1, 2, 3, 8] {
        let pipeline = Pipeline::new();
        let sums = pipeline
            .create_timestamped("Numbers", elements.clone())
            .reshuffle("Spread")
            .window("ByMinute", FixedWindows::of(minute()))
            .combine_per_key("Sum", Sum);
        let collected = Collected::of(&sums);
        let report = Engine::builder().workers(workers).run(&pipeline).unwrap();
        assert_eq!(collected.sorted(), expected, "{workers} workers");
        assert_eq!(report.step("Numbers").unwrap().records_out, 20_000);
        assert_eq!(report.step("Sum").unwrap().records_out, expected.len() as u64);
    }
}

#[test]
fn sliding_windows_overlap_and_a_second_grouping_keeps_them() {
    let pipeline = Pipeline::new();
    let most = pipeline
        .create_timestamped(
            "Clicks",
            [(seconds(1), "a"), (seconds(6), "a"), (seconds(7), "b")].map(owned),
        )
        .window(
            "Sliding",
            SlidingWindows::of(Duration::from_secs(10)).every(Duration::from_secs(5)),
        )
        .count_per_element("Count")
        .map("Swap", |(word, count)| (count, word))
        .combine_globally("Most", Max)
        .reify("Window")
        .map("Row", |most| (most.window.start, most.value.map(|(count, word)| (word, count))));
    let collected = Collected::of(&most);
    Engine::builder().workers(2).run(&pipeline).unwrap();
    let row = |start, word: &str, count| (seconds(start), Some((word.to_owned(), count)));
    assert_eq!(collected.sorted(), [row(-5, "a", 1), row(0, "a", 2), row(5, "b", 1)]);
}

fn owned((at, word): (Timestamp, &str)) -> (Timestamp, String) {
    (at, word.to_owned())
}

#[test]
fn flatten_partition_and_join_lose_nothing() {
    let pipeline = Pipeline::new();
    let numbers = pipeline.create("Numbers", 0..1_000_u64);
    let parts = numbers.partition("Thirds", 3, |number| (*number % 3) as usize);
    let again = parts[0].flatten_with("Again", [parts[1].clone(), parts[2].clone()]);
    let joined = again
        .with_keys("ByTen", |number| number % 10)
        .co_group_by_key("Join", &numbers.map("Square", |number| (number % 10, number * number)));
    let sizes =
        Collected::of(&joined.map("Sizes", |(key, (left, right))| (key, left.len(), right.len())));
    let report = Engine::builder().workers(3).run(&pipeline).unwrap();
    let expected: Vec<_> = (0..10).map(|key| (key, 100, 100)).collect();
    assert_eq!(sizes.sorted(), expected, "{report}");
}

#[test]
fn equal_elements_are_dropped_within_the_horizon() {
    let pipeline = Pipeline::new();
    let words = pipeline.create("Words", (0..300_u32).map(|n| n % 7));
    let distinct = Collected::of(&words.deduplicate("Distinct", Duration::from_secs(600)));
    let report = Engine::builder().workers(2).run(&pipeline).unwrap();
    assert_eq!(distinct.sorted(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(report.step("Distinct/Deduplicate").unwrap().duplicates, 293);
}

#[test]
fn a_failing_step_is_named_with_its_place_and_cause() {
    #[derive(Clone)]
    struct Fails;
    impl DoFn<u32> for Fails {
        type Out = u32;
        fn process(
            &mut self,
            number: u32,
            ctx: &mut ProcessContext<'_, u32>,
        ) -> Result<(), BoxError> {
            if number == 3 {
                return Err("three is too much".into());
            }
            ctx.emit(number);
            Ok(())
        }
    }
    let pipeline = Pipeline::new();
    pipeline.create("Numbers", [1, 2, 3]).par_do("Check", Fails);
    let error = Engine::builder().workers(1).restarts(0).run(&pipeline).unwrap_err();
    let chain = error.chain();
    assert!(chain[0].contains("\"Check\"") && chain[0].contains("tests/engine.rs:"), "{chain:?}");
    assert_eq!(chain[1], "three is too much");
}

#[test]
fn a_panic_in_user_code_is_an_error_that_names_the_step() {
    let pipeline = Pipeline::new();
    pipeline
        .create("Numbers", [1, 0])
        .map("Divide", |number: u32| 10 / number)
        .for_each("Use", drop);
    let error = Engine::builder().workers(2).restarts(0).run(&pipeline).unwrap_err();
    assert_eq!(error.step_path(), Some("Divide"), "{error}");
    assert!(error.to_string().contains("divide by zero"), "{error}");
}

#[test]
fn all_problems_of_a_graph_are_reported_at_once() {
    let pipeline = Pipeline::new();
    let words = pipeline.create("Words", ["a".to_owned()]);
    let (_numbers, _failures) = words.try_map("Parse", |word| word.parse::<u32>());
    words.map("Parse", |word| word.len());
    words.window("Nothing", FixedWindows::of(Duration::ZERO));
    let error = Engine::builder().run(&pipeline).unwrap_err();
    let text = error.to_string();
    for part in ["nobody reads its failures output", "its name is taken", "\"Nothing\"", "hint:"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(!error.is_retryable());
}

fn messages(count: u64) -> Vec<SimMessage> {
    let message =
        |id| SimMessage { id, key: (id % 5) as u32, event_time: seconds(id as i64), amount: 1 };
    (0..count).map(message).collect()
}

#[test]
fn a_failed_job_restarts_from_its_checkpoint_and_doubles_nothing() {
    let queue = SimQueue::new(messages(500), 1, QueueFaults::default());
    let table = SimTable::new(2, 0);
    let failures = Arc::new(AtomicU64::new(0));
    let pipeline = Pipeline::new();
    let fails = Arc::clone(&failures);
    // The source's leases last ten seconds, so the messages of the failed life would come late: give them back at once.
    pipeline
        .read("Read", SimQueueSource::new(&queue).releasing_on_open())
        .map("Id", move |message| {
            if message.id == 333 && fails.fetch_add(1, Ordering::SeqCst) == 0 {
                panic!("once");
            }
            message.id
        })
        .write("Write", SimTableSink::new(&table));
    let engine = Engine::builder().workers(2).checkpoint_every(Duration::from_millis(5));
    let report = engine.run(&pipeline).unwrap();
    assert_eq!(report.restarts, 1);
    let mut rows = table.rows();
    rows.sort_unstable();
    assert_eq!(rows, (0..500).collect::<Vec<u64>>());
    assert_eq!(queue.unacked(), 0);
}

#[test]
fn a_suspended_job_goes_on_where_it_stopped() {
    let store = Arc::new(MemoryStore::new());
    let table = SimTable::new(3, 0);
    let run = |mode: Option<StopMode>| {
        let pipeline = Pipeline::new();
        let ticks =
            PeriodicImpulse::every(Duration::from_secs(1), seconds(0)).until(seconds(100_000));
        let seen = Arc::new(AtomicBool::new(false));
        let saw = Arc::clone(&seen);
        pipeline
            .periodic_impulse("Ticks", ticks)
            .map("One", move |at| {
                saw.store(true, Ordering::SeqCst);
                (at.as_micros() % 2, 1_u64)
            })
            .combine_per_key("Count", Sum)
            .write("Write", SimTableSink::new(&table));
        let engine = Engine::builder().workers(2).checkpoint_store(Arc::clone(&store) as Arc<_>);
        let handle = engine.checkpoint_every(Duration::from_millis(1)).start(&pipeline).unwrap();
        if let Some(mode) = mode {
            while !seen.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            handle.stop(mode);
        }
        handle.wait().unwrap()
    };
    run(Some(StopMode::Suspend));
    assert!(
        table.rows().is_empty() || table.rows() == [(0, 100_000)],
        "no window fires by suspending"
    );
    let report = run(None);
    assert_eq!(table.rows(), [(0, 100_000)], "{report}");
}

#[test]
fn the_status_of_a_run_adds_up() {
    let pipeline = Pipeline::named("adds-up");
    let (numbers, failures) = pipeline
        .create("Words", (0..100).map(|n| if n % 10 == 0 { "x".to_owned() } else { n.to_string() }))
        .try_map("Parse", |word| word.parse::<u64>());
    failures.ignore("only their number matters here");
    numbers.for_each("Use", drop);
    let report = Engine::builder().workers(2).run(&pipeline).unwrap();
    let parse = report.step("Parse").unwrap();
    assert_eq!((parse.records_in, parse.errors), (100, 10));
    assert_eq!(report.step("Use").unwrap().records_in, 90);
    assert!(report.to_string().contains("adds-up finished"), "{report}");
}

/// A sink that is never through with an epoch.
#[derive(Clone)]
struct NeverReady;

impl Sink<u64> for NeverReady {
    type Writer = Self;

    fn writer(&self, _: &IoContext) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

impl SinkWriter<u64> for NeverReady {
    type Committable = ();

    fn write(&mut self, batch: &mut Batch<u64>, _: &mut WriteContext<'_>) -> Result<(), BoxError> {
        batch.clear();
        Ok(())
    }

    fn poll_prepare(&mut self, _: u64, _: &mut WriteContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Pending
    }
}

#[test]
fn a_job_that_does_not_come_to_an_end_is_given_up_when_asked_again() {
    let pipeline = Pipeline::new();
    pipeline.create("Numbers", 0..10).write("Write", NeverReady);
    let job = Engine::builder()
        .workers(1)
        .report_every(Duration::from_millis(1))
        .start(&pipeline)
        .unwrap();
    let hour = Duration::from_secs(3_600);
    job.control().stop(StopMode::Drain, Some(hour));
    while job.status().state != JobState::Stopping {
        std::thread::yield_now();
    }
    job.control().stop(StopMode::Drain, Some(Duration::ZERO));
    let error = job.wait().unwrap_err();
    assert!(error.to_string().contains("the deadline for stopping passed"), "{error}");
}

/// A source that fails in its first life, and notes what each of its lives is told.
#[derive(Clone)]
struct Told {
    is_restored: Arc<Mutex<Vec<bool>>>,
}

struct FailsFirst {
    is_first: bool,
}

impl Source for Told {
    type Item = u64;
    type Restriction = ();
    type Reader = FailsFirst;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn split(&self, _: usize) -> Result<Vec<()>, BoxError> {
        Ok(vec![()])
    }

    fn reader(&self, (): (), ctx: &IoContext) -> Result<FailsFirst, BoxError> {
        self.is_restored.lock().expect("no panic").push(ctx.is_restored);
        Ok(FailsFirst { is_first: !ctx.is_restored })
    }
}

impl Reader for FailsFirst {
    type Item = u64;
    type Restriction = ();

    fn poll_read(&mut self, _: &mut Batch<u64>, _: Timestamp) -> Result<ReadStatus, BoxError> {
        if self.is_first { Err("the first life ends".into()) } else { Ok(ReadStatus::Done) }
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::MIN
    }

    fn checkpoint(&mut self) -> Residual<()> {
        Residual::new(Some(()))
    }
}

#[test]
fn a_life_that_ended_before_its_first_checkpoint_is_known_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let source = Told { is_restored: Arc::default() };
    let pipeline = Pipeline::new();
    pipeline.read("Read", source.clone()).for_each("Use", drop);
    let engine = Engine::builder().workers(1).restarts(0).checkpoints_in(directory.path());
    let error = engine.run(&pipeline).unwrap_err();
    assert!(error.chain().contains(&"the first life ends".to_owned()), "{error}");
    engine.run(&pipeline).unwrap();
    assert_eq!(*source.is_restored.lock().unwrap(), [false, true]);
}
