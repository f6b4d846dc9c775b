//! The endpoints of running, finished and failed jobs, asked over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use millstream::engine::StopMode;
use millstream::engine::job::JobControl;
use millstream::prelude::*;
use millstream_http_status::{Recorder, StatusPages};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Serves the pages of a job on a free port.
async fn serve(control: JobControl, recorder: Option<Recorder>) -> u16 {
    let listener = StatusPages::bind(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pages = StatusPages::new(control);
    let pages = recorder.into_iter().fold(pages, StatusPages::with_recorder);
    tokio::spawn(pages.serve(listener));
    port
}

/// Status code and body of a GET request.
async fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Asks until the answer is as wanted; the test's own time limit ends a wait in vain.
async fn until(port: u16, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
    loop {
        let (code, body) = get(port, path).await;
        if wanted(code, &body) {
            return body;
        }
    }
}

#[tokio::test]
async fn a_running_job_is_ready_and_shows_what_it_counts() {
    let pipeline = Pipeline::named("ticks");
    let every = PeriodicImpulse::every(Duration::from_millis(1), Timestamp::EPOCH);
    pipeline.periodic_impulse("Tick", every).for_each("Use", |_| {});
    let recorder = Recorder::new();
    metrics::with_local_recorder(&recorder, || metrics::counter!("own_total").increment(5));
    let engine = Engine::builder().workers(1).report_every(Duration::from_millis(5));
    let job = engine.start(&pipeline).unwrap();
    let port = serve(job.control(), Some(recorder)).await;

    until(port, "/readyz", |code, _| code == 200).await;
    let has_ticked = |_: u16, body: &str| {
        let line = "millstream_step_records_out_total{job=\"ticks\",step=\"Tick\"} ";
        body.lines().any(|found| found.strip_prefix(line).is_some_and(|count| count != "0"))
    };
    let metrics = until(port, "/metrics", has_ticked).await;
    assert!(metrics.contains("own_total 5"), "{metrics}");
    assert!(metrics.contains("millstream_job_running{job=\"ticks\"} 1"), "{metrics}");
    let (code, body) = get(port, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &status["job"], &status["state"]), (200, &"ticks".into(), &"running".into()));
    assert_eq!(get(port, "/healthz").await.0, 200);
    assert_eq!(get(port, "/nothing").await.0, 404);

    job.stop(StopMode::Drain);
    assert_eq!(until(port, "/readyz", |_, body| body == "finished\n").await, "finished\n");
    assert_eq!(get(port, "/healthz").await.0, 200);
}

#[tokio::test]
async fn a_failed_job_is_neither_ready_nor_healthy() {
    let pipeline = Pipeline::named("doomed");
    pipeline.create("Numbers", [1_u64]).for_each("Fail", |_| panic!("on purpose"));
    let job = Engine::builder().workers(1).restarts(0).start(&pipeline).unwrap();
    let port = serve(job.control(), None).await;

    let body = until(port, "/healthz", |code, _| code == 503).await;
    assert!(body.contains("on purpose"), "{body}");
    assert_eq!(get(port, "/readyz").await, (503, "failed\n".to_owned()));
}

#[test]
fn the_job_metrics_have_the_names_that_core_publishes() {
    let recorder = Recorder::new();
    recorder.install().unwrap();
    assert!(Recorder::new().install().is_err(), "a process has one recorder");
    let pipeline = Pipeline::named("named");
    pipeline.create("Numbers", [1_u64]).map("Double", |number| number * 2).for_each("Use", |_| {});
    let job = Engine::builder().workers(1).start(&pipeline).unwrap();
    let control = job.control();
    job.wait().unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let page = runtime.block_on(async {
        let port = serve(control, None).await;
        get(port, "/metrics").await.1
    });
    let names = |text: &str| {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut names: Vec<String> = types.map(str::to_owned).collect();
        names.sort();
        names
    };
    // What only some steps have is on the page in any case.
    let published = names(&recorder.render());
    let own: Vec<_> = published.iter().filter(|line| line.starts_with("millstream_")).collect();
    assert!(own.len() >= 14, "{own:?}");
    for line in own {
        assert!(names(&page).contains(line), "{line} is not in\n{page}");
    }
}
