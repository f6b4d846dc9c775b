//! The read API as a process of its own, and beside a job: it says where it is, answers, and ends at a signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::flights::Flights;
use super::program::{Program, get};
use super::scene::Scene;

/// Ending takes no longer.
const AT_ONCE: Duration = Duration::from_secs(10);
const PRINTED: &str = "read API at ";

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_job_are_served_beside_it_and_by_a_process_of_their_own() {
    let mut scene = Scene::open(Flights::january().first(300)).await;
    let mut pipeline = scene.start(&["--api-port", "0"]);
    let beside = pipeline.program.printed(PRINTED);
    scene.publish(300).await;
    scene.all_acknowledged(&mut pipeline).await;
    let (id, flight) = scene.flights.messages().next().unwrap();
    let row = get(&format!("{beside}api/v1/{id}")).unwrap();
    assert_eq!((&row["id"], &row["tailnum"]), (&json!(id), &flight["tailnum"]));
    let levels = get(&format!("{beside}slo")).unwrap();
    assert_eq!(levels["service_levels"][1]["name"], "processing");
    pipeline.program.signal("TERM");
    assert_eq!(pipeline.program.ended(AT_ONCE).await.code(), Some(0));

    let config = scene.path("config.json");
    let arguments = ["read-api", "--config", config.to_str().unwrap(), "--port", "0"];
    let servers = [("BIGQUERY_EMULATOR_HOST".to_owned(), scene.bigquery().endpoint.clone())];
    for signal in ["TERM", "INT"] {
        let mut api = Program::start(&arguments, &servers, &scene.path("read-api.txt"));
        let printed = api.printed(PRINTED);
        let address = printed.split(',').next().unwrap();
        assert_eq!(get(&format!("{address}api/v1/{id}")).unwrap(), row);
        api.signal(signal);
        let status = api.ended(AT_ONCE).await;
        assert_eq!(status.code(), Some(0), "{status}: {}", api.errors());
    }
}

/// Asks for a row without pause until told to stop; how often it was answered as expected, or the first other answer.
fn keep_asking(
    url: String,
    expected: Value,
    stop: Arc<AtomicBool>,
) -> JoinHandle<Result<u64, String>> {
    std::thread::spawn(move || {
        let mut answered = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = get(&url).map_err(|error| format!("after {answered} answers: {error}"))?;
            if answer != expected {
                return Err(format!("after {answered} answers: {answer}"));
            }
            answered += 1;
        }
        Ok(answered)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_answered_all_the_while_that_the_pipeline_is_killed_and_started_again() {
    const LIVES: usize = 4;
    const PER_LIFE: usize = 100;
    let mut scene = Scene::open(Flights::january().first(LIVES * PER_LIFE)).await;
    let checkpoints = scene.path("checkpoints").into_os_string().into_string().unwrap();
    let mut pipeline = scene.start(&["--checkpoints", &checkpoints]);
    scene.publish(PER_LIFE).await;
    scene.all_acknowledged(&mut pipeline).await;

    let config = scene.path("config.json");
    let arguments = ["read-api", "--config", config.to_str().unwrap(), "--port", "0"];
    let servers = [("BIGQUERY_EMULATOR_HOST".to_owned(), scene.bigquery().endpoint.clone())];
    let api = Program::start(&arguments, &servers, &scene.path("read-api.txt"));
    let printed = api.printed(PRINTED);
    let address = printed.split(',').next().unwrap().to_owned();
    let rows: Vec<String> = scene.flights.messages().map(|(id, _)| id).collect();
    let url = format!("{address}api/v1/{}", rows[0]);
    let expected = get(&url).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let asking = keep_asking(url, expected, Arc::clone(&stop));

    for life in 1..LIVES {
        pipeline.program.kill();
        pipeline = scene.start(&["--checkpoints", &checkpoints]);
        scene.publish(PER_LIFE).await;
        scene.all_acknowledged(&mut pipeline).await;
        // Rows of the life just begun are answered by the API that was there before it.
        let newest = &rows[(life + 1) * PER_LIFE - 1];
        assert_eq!(get(&format!("{address}api/v1/{newest}")).unwrap()["id"], json!(newest));
    }
    stop.store(true, Ordering::Relaxed);
    let answered = asking.join().unwrap().unwrap();
    eprintln!("{answered} answers over {} restarts", LIVES - 1);
    assert!(answered > 0);
    let ready = get(&format!("{address}slo")).unwrap();
    assert_eq!(ready["service_levels"][0]["good"], ready["service_levels"][0]["total"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let scene = Scene::open(Flights::january().first(1)).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let config = scene.path("config.json");
    let arguments = ["read-api", "--config", config.to_str().unwrap(), "--port", &port];
    let servers = [("BIGQUERY_EMULATOR_HOST".to_owned(), scene.bigquery().endpoint.clone())];
    let mut api = Program::start(&arguments, &servers, &scene.path("read-api.txt"));
    assert_eq!(api.ended(AT_ONCE).await.code(), Some(1));
    assert!(api.errors().contains(&format!("on port {port}")), "{}", api.errors());
}
