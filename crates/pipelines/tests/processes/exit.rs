//! How the program ends: the exit statuses that its help lists.

use std::time::Duration;

use super::flights::Flights;
use super::program::{Program, until};
use super::scene::{Pipeline, Scene};

/// Ending at once takes no longer, and is far from the 60 s that a gentle stop may take.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Runs the program to its end: exit status, standard error.
async fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start(arguments, &[], &directory.path().join("errors.txt"));
    let status = program.ended(AT_ONCE).await;
    (status.code(), program.errors())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_2_and_a_job_that_cannot_run_is_1() {
    let (code, errors) = run(&["scheduled-ingest", "--no-such-option"]).await;
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("--no-such-option"), "{errors}");
    let (code, errors) = run(&["scheduled-ingest", "--config", "no-such-file.json"]).await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("no-such-file.json"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_stop_at_a_signal_with_0() {
    for signal in ["TERM", "INT"] {
        let mut scene = Scene::open(Flights::january().first(1)).await;
        scene.local.signal(signal);
        let status = scene.local.ended(AT_ONCE).await;
        assert_eq!(status.code(), Some(0), "{status}: {}", scene.local.errors());
    }
}

/// A job with messages under way that it cannot bring to an end: its servers have stopped answering.
async fn stuck(more: &[&str]) -> (Scene, Pipeline) {
    let mut scene = Scene::open(Flights::january().first(1_000)).await;
    let mut pipeline = scene.start(more);
    scene.publish(500).await;
    until("the first rows", || scene.subscription("acknowledged") > 0).await;
    let before = scene.subscription("delivered");
    scene.publish(500).await;
    until("more messages", || scene.subscription("delivered") > before).await;
    scene.local.signal("STOP");
    until("the status", || pipeline.status().is_some()).await;
    (scene, pipeline)
}

fn is_stopping(pipeline: &mut Pipeline) -> bool {
    pipeline.status().is_some_and(|status| status["state"] == "stopping")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once_and_says_so() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let (_scene, mut pipeline) = stuck(&[]).await;
        pipeline.program.signal("TERM");
        until("the first signal's effect", || is_stopping(&mut pipeline)).await;
        assert!(!pipeline.program.has_ended());
        pipeline.program.signal(signal);
        let status = pipeline.program.ended(AT_ONCE).await;
        assert_eq!(status.code(), Some(code), "{status}: {}", pipeline.program.errors());
        assert!(pipeline.program.errors().contains("aborted by a second signal"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_stop_in_time_has_failed() {
    let (_scene, mut pipeline) = stuck(&["--stop-within", "1"]).await;
    pipeline.program.signal("TERM");
    let status = pipeline.program.ended(AT_ONCE).await;
    let errors = pipeline.program.errors();
    assert_eq!(status.code(), Some(1), "{status}: {errors}");
    assert!(errors.contains("the deadline for stopping passed"), "{errors}");
}
