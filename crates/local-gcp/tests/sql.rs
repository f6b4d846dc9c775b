//! Joins and statements over the wire, by Google's own Rust clients. Needs the cargo feature `sql`.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which may panic, are not tests to the lint"
)]

use std::future::Future;
use std::time::Duration;

use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_bigquery::client::BigQuery;
use google_cloud_bigquery_v2::client::JobService;
use google_cloud_bigquery_v2::model;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::bigquery::{DatasetName, TableName, Value};

/// Nothing here takes long; a hang must not take a build machine with it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("nothing here takes long")
}

fn nobody() -> Credentials {
    anonymous::Builder::new().build()
}

async fn job_client(local: &LocalGcp) -> JobService {
    let builder = JobService::builder().with_endpoint(local.endpoint());
    builder.with_credentials(nobody()).build().await.unwrap()
}

/// Runs a statement as a job; the job as it is afterwards.
async fn run(jobs: &JobService, query: model::JobConfigurationQuery) -> model::Job {
    let configuration = model::JobConfiguration::new().set_query(query.set_use_legacy_sql(false));
    let job = model::Job::new().set_configuration(configuration);
    soon(jobs.insert_job().set_project_id("p").set_job(job).send()).await.unwrap()
}

async fn statement(jobs: &JobService, sql: &str) -> model::JobStatistics2 {
    let job = run(jobs, model::JobConfigurationQuery::new().set_query(sql)).await;
    let status = job.status.unwrap();
    assert!(status.error_result.is_none(), "{sql}: {status:?}");
    job.statistics.unwrap().query.unwrap()
}

fn ids(local: &LocalGcp, table: &str) -> Vec<i64> {
    let rows = local.bigquery().rows(&TableName::new("p", "d", table));
    let id = |row: &Vec<Value>| row[0].as_i64();
    let mut ids: Vec<_> = rows.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

async fn filled(local: &LocalGcp) -> JobService {
    local.bigquery().ensure_dataset(&DatasetName::new("p", "d")).unwrap();
    let jobs = job_client(local).await;
    let created = statement(&jobs, "CREATE TABLE d.orders (id INT64 NOT NULL, sku STRING)").await;
    assert_eq!(created.statement_type, "CREATE_TABLE");
    assert_eq!(created.ddl_operation_performed, "CREATE");
    let inserted =
        statement(&jobs, "INSERT INTO d.orders VALUES (1, 'tea'), (2, 'milk'), (3, 'tea')").await;
    assert_eq!(inserted.num_dml_affected_rows, Some(3));
    jobs
}

#[tokio::test]
async fn a_join_is_answered_page_by_page() {
    let local = LocalGcp::start().await.unwrap();
    filled(&local).await;
    let builder = BigQuery::builder().with_endpoint(local.endpoint());
    let queries = builder.with_project_id("p").with_credentials(nobody()).build().await.unwrap();
    let sql = "SELECT o.id * 1000 + n AS number FROM d.orders o CROSS JOIN UNNEST(GENERATE_ARRAY(1, 500)) AS n ORDER BY number";
    let mut rows =
        soon(queries.query(sql).set_page_size(400_u32).until_done()).await.unwrap().read();
    let mut found = Vec::new();
    while let Some(row) = soon(rows.next()).await {
        found.push(row.unwrap().get::<i64>("number").unwrap());
    }
    let expected = (1..=3).flat_map(|id| (1..=500).map(move |n| id * 1_000 + n));
    assert_eq!(found, expected.collect::<Vec<_>>());

    let wrong = "SELECT 1 FROM d.orders a JOIN d.orders b ON a.id = b.sku";
    let error = soon(queries.query(wrong).until_done()).await.unwrap_err();
    assert!(format!("{error:?}").contains("No matching signature for operator ="), "{error:?}");
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn statements_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    let jobs = filled(&local).await;
    let updated = statement(&jobs, "UPDATE d.orders SET id = id + 10 WHERE sku = 'tea'").await;
    assert_eq!(updated.num_dml_affected_rows, Some(2));
    assert_eq!(updated.dml_stats.unwrap().updated_row_count, Some(2));
    statement(&jobs, "CREATE TABLE d.copy AS SELECT * FROM d.orders").await;
    statement(&jobs, "DELETE FROM d.orders WHERE id = 2").await;
    statement(&jobs, "MERGE d.orders t USING (SELECT 13 AS id UNION ALL SELECT 40) s ON t.id = s.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (id)").await;
    local.shutdown().await.unwrap();

    let revived = LocalGcp::builder().data_dir(directory.path()).start().await.unwrap();
    assert_eq!(ids(&revived, "orders"), [11, 40]);
    assert_eq!(ids(&revived, "copy"), [2, 11, 13]);
    revived.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_query_job_writes_to_its_destination() {
    let local = LocalGcp::start().await.unwrap();
    let jobs = filled(&local).await;
    let table = model::TableReference::new().set_project_id("p").set_dataset_id("d");
    let query = |write: &str| {
        model::JobConfigurationQuery::new()
            .set_query("SELECT a.id FROM d.orders a JOIN d.orders b ON a.id = b.id + 1")
            .set_destination_table(table.clone().set_table_id("out"))
            .set_write_disposition(write)
    };
    for (write, expected) in [
        ("WRITE_EMPTY", vec![2, 3]),
        ("WRITE_APPEND", vec![2, 2, 3, 3]),
        ("WRITE_TRUNCATE", vec![2, 3]),
    ] {
        let job = run(&jobs, query(write)).await;
        assert!(job.status.unwrap().error_result.is_none(), "{write}");
        assert_eq!(ids(&local, "out"), expected, "{write}");
    }
    let refused = run(&jobs, query("WRITE_EMPTY")).await;
    assert_eq!(refused.status.unwrap().error_result.unwrap().reason, "duplicate");
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_given_up() {
    let local = LocalGcp::start().await.unwrap();
    let jobs = filled(&local).await;
    let sql = "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 100000)) a, UNNEST(GENERATE_ARRAY(1, 100000)) b WHERE MOD(a * b, 7) = 3";
    let query = model::JobConfigurationQuery::new().set_query(sql).set_use_legacy_sql(false);
    let configuration = model::JobConfiguration::new().set_query(query).set_job_timeout_ms(200_i64);
    let job = model::Job::new().set_configuration(configuration);
    let given_up = soon(jobs.insert_job().set_project_id("p").set_job(job).send()).await.unwrap();
    assert_eq!(given_up.status.unwrap().error_result.unwrap().reason, "stopped");
    // The server answers others meanwhile and afterwards.
    assert_eq!(statement(&jobs, "SELECT 1").await.statement_type, "SELECT");
    local.shutdown().await.unwrap();
}
