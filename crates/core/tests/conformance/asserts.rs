//! The test support itself can fail. Source of the cases: Beam's `PAssertTest` and `TestPipelineTest`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use millstream::prelude::*;
use millstream::testing::{PAssert, Pane, TestPipeline, TestStream};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn numbers(pipeline: &TestPipeline) -> PCollection<u64> {
    pipeline.create("Numbers", [1, 2, 3, 4, 4])
}

/// What is wrong, as the test would print it.
fn failure(pipeline: &TestPipeline) -> String {
    pipeline.try_run().expect_err("an assertion fails").chain().join(": ")
}

#[test]
fn contains_in_any_order() {
    let pipeline = TestPipeline::new();
    PAssert::that(numbers(&pipeline)).contains_in_any_order([4, 2, 4, 1, 3]);
    pipeline.runs(4).run();
}

#[test]
fn contains_in_any_order_false() {
    let pipeline = TestPipeline::new();
    PAssert::that(numbers(&pipeline)).contains_in_any_order([2, 1, 4, 3, 7]);
    let what = failure(&pipeline);
    assert!(what.contains("missing:\n  7"), "{what}");
    assert!(what.contains("unexpected:\n  Reified { value: 4"), "{what}");
    assert!(what.contains("asserts.rs"), "the assertion's place is named: {what}");
}

#[test]
fn an_element_that_comes_too_often_is_unexpected() {
    let pipeline = TestPipeline::new();
    PAssert::that(numbers(&pipeline)).contains_in_any_order([1, 2, 3, 4]);
    assert!(failure(&pipeline).contains("missing: nothing"));
}

#[test]
fn empty_and_empty_false() {
    let pipeline = TestPipeline::new();
    PAssert::that(numbers(&pipeline).filter("None", |_| false)).empty();
    pipeline.run();
    let pipeline = TestPipeline::new();
    PAssert::that(numbers(&pipeline)).empty();
    let what = failure(&pipeline);
    assert!(what.contains("5 where none were expected"), "{what}");
}

#[test]
fn is_equal_to_and_is_equal_to_false() {
    let pipeline = TestPipeline::new();
    PAssert::that_singleton(numbers(&pipeline).count("Count")).is_equal_to(5);
    pipeline.run();
    for expected in [4, 6] {
        let pipeline = TestPipeline::new();
        PAssert::that_singleton(numbers(&pipeline).count("Count")).is_equal_to(expected);
        assert!(failure(&pipeline).contains(&format!("missing:\n  {expected}")));
    }
    let pipeline = TestPipeline::new();
    PAssert::that_singleton(numbers(&pipeline)).satisfies(|_| ());
    assert!(failure(&pipeline).contains("5 where one was expected"));
}

#[test]
fn a_check_that_panics_fails_with_its_own_message() {
    let pipeline = TestPipeline::new();
    PAssert::that(numbers(&pipeline)).satisfies(|numbers| {
        assert!(numbers.iter().sum::<u64>() > 100, "the sum is too small");
    });
    assert!(failure(&pipeline).contains("the sum is too small"));
}

#[test]
fn all_assertions_that_fail_are_reported_and_each_may_be_followed_by_others() {
    let pipeline = TestPipeline::new();
    let numbers = numbers(&pipeline);
    PAssert::that(&numbers)
        .satisfies(|numbers| assert_eq!(numbers.len(), 5))
        .contains_in_any_order([]);
    PAssert::that(&numbers).empty();
    let what = failure(&pipeline);
    assert_eq!(what.matches("asserts.rs").count(), 2, "{what}");
    assert!(what.contains("PAssert0") && what.contains("PAssert1"), "{what}");
}

#[test]
fn an_assertion_without_a_check_fails() {
    let pipeline = TestPipeline::new();
    let _ = PAssert::that(numbers(&pipeline));
    assert!(failure(&pipeline).contains("asserts nothing"));
}

#[test]
fn a_pipeline_with_assertions_has_to_be_run() {
    let dropped = catch_unwind(|| {
        let pipeline = TestPipeline::new();
        PAssert::that(numbers(&pipeline)).empty();
    });
    let message = dropped.expect_err("it was not run");
    let message = message.downcast_ref::<String>().expect("a text");
    assert!(message.contains("without having been run"), "{message}");
    // Without assertions, or while the test fails already, nothing more is said.
    drop(TestPipeline::new());
    let other = catch_unwind(|| {
        let pipeline = TestPipeline::new();
        PAssert::that(numbers(&pipeline)).empty();
        panic!("something else");
    });
    assert_eq!(other.unwrap_err().downcast_ref::<&str>(), Some(&"something else"));
}

#[test]
fn assertions_are_about_pipelines_under_test() {
    let pipeline = Pipeline::new();
    let numbers = pipeline.create("Numbers", [1_u64]);
    let refused = catch_unwind(AssertUnwindSafe(|| PAssert::that(&numbers)));
    assert!(refused.is_err());
}

#[test]
fn a_pipeline_that_fails_fails_the_test_with_the_step() {
    let pipeline = TestPipeline::new();
    let (parsed, failures) = pipeline
        .create("Texts", ["1".to_owned(), "x".to_owned()])
        .try_map("Parse", |text: &String| text.parse::<u64>());
    PAssert::that(parsed).contains_in_any_order([1]);
    PAssert::that(failures.collection()).satisfies(|letters| assert_eq!(letters[0].step, "Parse"));
    pipeline.run();

    let pipeline = TestPipeline::new();
    let _ = pipeline.create("Same", [1]);
    let _ = pipeline.create("Same", [1]);
    assert!(failure(&pipeline).contains("its name is taken"));
}

fn two_windows(pipeline: &TestPipeline) -> PCollection<(u8, u64)> {
    let strategy = FixedWindows::of(Duration::from_secs(10))
        .early_firings(Trigger::after_count(2))
        .late_firings(Trigger::after_count(1))
        .allowed_lateness(Duration::from_secs(100));
    let stream = TestStream::new()
        .add_all([(at(1), (0, 1)), (at(2), (0, 2))])
        .add(at(12), (0, 4))
        .advance_watermark(at(15))
        .add(at(3), (0, 8))
        .finish();
    pipeline.read("Stream", stream).window("Window", strategy).combine_per_key("Sum", Sum)
}

#[test]
fn windowed_contains_in_any_order() {
    let pipeline = TestPipeline::new();
    let sums = two_windows(&pipeline);
    PAssert::that(&sums)
        .in_window(at(0), at(10))
        .contains_in_any_order([(0, 3), (0, 0), (0, 8)])
        .panes([(Pane::Early, (0, 3)), (Pane::OnTime, (0, 0)), (Pane::Late, (0, 8))])
        .in_window(at(10), at(20))
        .contains_in_any_order([(0, 4)])
        .in_global_window()
        .empty();
    PAssert::that(&sums).in_on_time_pane(at(10), at(20)).contains_in_any_order([(0, 4)]);
    PAssert::that(&sums).early().contains_in_any_order([(0, 3)]);
    PAssert::that(&sums).late().contains_in_any_order([(0, 8)]);
    PAssert::that(&sums).on_time().contains_in_any_order([(0, 0), (0, 4)]);
    PAssert::that(&sums)
        .final_pane()
        .contains_in_any_order([(0, 4)])
        .everywhere()
        .satisfies(|all| assert_eq!(all.len(), 4));
    pipeline.runs(4).run();
}

#[test]
fn windowed_contains_in_any_order_false() {
    let pipeline = TestPipeline::new();
    let sums = two_windows(&pipeline);
    PAssert::that(&sums).in_window(at(0), at(10)).late().contains_in_any_order([(0, 9)]);
    PAssert::that(&sums).in_window(at(0), at(10)).panes([(Pane::OnTime, (0, 3))]);
    let what = failure(&pipeline);
    assert!(
        what.contains("in [1970-01-01T00:00:00Z, 1970-01-01T00:00:10Z) of Late panes"),
        "{what}"
    );
    assert!(what.contains("expected panes:\n  (OnTime, (0, 3))"), "{what}");
}

#[test]
fn elements_of_a_collection_without_grouping_are_in_the_windows_it_is_about_to_have() {
    let pipeline = TestPipeline::new();
    let windowed = pipeline
        .create_timestamped("Numbers", [(at(3), 1_u64), (at(14), 2)])
        .window("Window", FixedWindows::of(Duration::from_secs(10)));
    PAssert::that(&windowed).in_window(at(0), at(10)).contains_in_any_order([1]);
    PAssert::that(&windowed).in_window(at(10), at(20)).contains_in_any_order([2]);
    pipeline.run();
}
