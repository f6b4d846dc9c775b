//! The read API as a process of its own, and beside a job: it says where it is, answers, and ends at a signal.

use std::time::Duration;

use serde_json::json;

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
