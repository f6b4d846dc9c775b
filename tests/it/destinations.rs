//! Rows that name their own table: many tables, each exact, also when the job fails in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use millstream::BoxError;
use millstream::batch::Batch;
use millstream::engine::Report;
use millstream::io::{Io, IoContext};
use millstream::prelude::*;
use millstream::sink::{Sink, SinkWriter, WriteContext};
use millstream::time::{Clock, SystemClock};
use millstream_io_gcp::bigquery::{BigQuery, BigQueryTables, Field, FieldType, TableSchema};
use millstream_io_gcp::connection::Connection;
use millstream_local_gcp::LocalGcp;
use millstream_local_gcp::bigquery::{Calls, Code, Refusal, State, TableName, Value};
use serde::{Deserialize, Serialize};

const TABLES: u64 = 200;

#[derive(Clone, Serialize, Deserialize)]
struct Reading {
    sensor: u64,
    number: u64,
}

/// `count` readings, spread over the tables.
fn readings(count: u64) -> Vec<Reading> {
    (0..count).map(|number| Reading { sensor: number * 7 % TABLES, number }).collect()
}

/// A sink with a table for each sensor.
fn by_sensor(local: &LocalGcp) -> BigQueryTables<Reading> {
    let schema = TableSchema::new()
        .field(Field::required("sensor", FieldType::Int64))
        .field(Field::required("number", FieldType::Int64));
    let connection = Connection::local(local.endpoint());
    BigQuery::table_by(|reading: &Reading| match reading.sensor {
        TABLES => "demo.plant.no/table".to_owned(),
        sensor => format!("demo.plant.sensor_{sensor}"),
    })
    .each(|table| table.connection(connection).schema(schema).create_with_dataset(""))
}

fn rows(local: &LocalGcp, sensor: u64) -> Vec<i64> {
    let rows = local.bigquery().rows(&TableName::new("demo", "plant", format!("sensor_{sensor}")));
    let number = |row: Vec<Value>| match row[1] {
        Value::Int64(number) => number,
        ref other => panic!("{other:?} is no number"),
    };
    let mut numbers: Vec<i64> = rows.into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

async fn run(engine: Engine, pipeline: Pipeline) -> Result<Report, Error> {
    tokio::task::spawn_blocking(move || engine.run(&pipeline)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_for_two_hundred_tables_are_there_once_though_the_job_fails_in_between() {
    let local = LocalGcp::start().await.unwrap();
    let pipeline = Pipeline::named("sensors");
    let failures = Arc::new(AtomicU64::new(0));
    let fails = Arc::clone(&failures);
    let all = readings(20_000);
    let is_under_way = {
        let bigquery = local.bigquery().clone();
        move || bigquery.read(|state| state.write_streams().any(|stream| stream.appended > 0))
    };
    pipeline
        .create("Readings", all.clone())
        .map("FailOnce", move |reading| {
            if reading.number == 15_000 && fails.fetch_add(1, Ordering::SeqCst) == 0 {
                // The other worker has rows in streams by then, which must never show.
                while !is_under_way() {
                    std::thread::yield_now();
                }
                panic!("once");
            }
            reading
        })
        .write("Write", by_sensor(&local).max_tables(200))
        .ignore_refused("every row fits");
    let engine = Engine::builder().workers(2).checkpoint_every(Duration::from_millis(20));
    let report = run(engine, pipeline).await.unwrap();

    assert_eq!(report.restarts, 1);
    let mut expected = BTreeMap::<u64, Vec<i64>>::new();
    for reading in all {
        expected.entry(reading.sensor).or_default().push(reading.number as i64);
    }
    assert_eq!(expected.len(), 200);
    for (sensor, numbers) in expected {
        assert_eq!(rows(&local, sensor), numbers, "sensor {sensor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_take_nothing_stop_the_intake_together() {
    const HELD_MAX: usize = 1 << 20;
    let local = LocalGcp::start().await.unwrap();
    let refuse = |state: &mut State, _| -> Result<(), millstream_local_gcp::journal::Error> {
        state.faults().refuse(Calls::Appends, Code::Unavailable, Refusal::Requests(u32::MAX));
        Ok(())
    };
    local.bigquery().change(refuse).unwrap();
    let sink = by_sensor(&local).max_tables(200).each(|table| table.max_outstanding(24, HELD_MAX));
    let mut ctx = IoContext::detached("Write");
    let runtime = tokio::runtime::Handle::current();
    ctx.io = Io::new(move |task| drop(runtime.spawn(task)));
    let mut writer = sink.writer(&ctx).unwrap();

    let clock = SystemClock::new();
    let mut rounds = 0;
    let (mut refused, mut rows) = (Batch::new(), Batch::new());
    let mut taken = 0;
    // Rows of 16 bytes are offered until for many rounds none is taken, or there are far too many.
    while rounds < 2_000 && taken * 16 < 8 * HELD_MAX {
        if rows.is_empty() {
            let batch = readings(10_000);
            rows.extend(batch.into_iter().map(|reading| (Timestamp::EPOCH, reading)));
        }
        let offered = rows.len();
        let mut ctx = WriteContext::new(clock.now(), &mut refused);
        writer.write(&mut rows, &mut ctx).unwrap();
        taken += offered - rows.len();
        let streams = local.bigquery().read(|state| state.write_streams().count());
        rounds = if offered == rows.len() && streams == 200 { rounds + 1 } else { 0 };
        tokio::task::yield_now().await;
    }
    // What is encoded takes somewhat more than the values; what a batch adds is not known before it is encoded.
    let bytes = taken * 16;
    assert!((HELD_MAX / 4..4 * HELD_MAX).contains(&bytes), "{bytes} bytes were taken");
}

/// Waits for what a writer is polled for.
async fn polled<R>(mut poll: impl FnMut(&mut WriteContext<'_>) -> Poll<Result<R, BoxError>>) -> R {
    let clock = SystemClock::new();
    let mut refused = Batch::new();
    loop {
        if let Poll::Ready(done) = poll(&mut WriteContext::new(clock.now(), &mut refused)) {
            return done.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_gets_no_rows_any_more_makes_room_for_another() {
    let local = LocalGcp::start().await.unwrap();
    let mut ctx = IoContext::detached("Write");
    let runtime = tokio::runtime::Handle::current();
    ctx.io = Io::new(move |task| drop(runtime.spawn(task)));
    let mut writer = by_sensor(&local).max_tables(1).writer(&ctx).unwrap();
    let batch = |sensor| {
        let mut batch = Batch::new();
        batch.push(Timestamp::EPOCH, Reading { sensor, number: sensor });
        batch
    };

    let (mut refused, clock) = (Batch::new(), SystemClock::new());
    for sensor in [1, 2] {
        let mut write = WriteContext::new(clock.now(), &mut refused);
        writer.write(&mut batch(sensor), &mut write).unwrap();
        for epoch in 1..=3 {
            let prepared = polled(|ctx| writer.poll_prepare(epoch, ctx)).await;
            writer.commit(epoch, prepared, false).unwrap();
            polled(|ctx| writer.poll_committed(ctx)).await;
            if epoch == 1 {
                let mut write = WriteContext::new(clock.now(), &mut refused);
                let error = writer.write(&mut batch(3), &mut write).unwrap_err();
                assert!(error.to_string().contains("1 tables already"), "{error}");
            }
        }
    }
    assert_eq!((rows(&local, 1), rows(&local, 2)), (vec![1], vec![2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_table_has_no_possible_name_is_refused() {
    let local = LocalGcp::start().await.unwrap();
    let pipeline = Pipeline::named("sensors");
    let (sender, refused) = std::sync::mpsc::channel();
    let elements = [Reading { sensor: 1, number: 1 }, Reading { sensor: TABLES, number: 2 }];
    pipeline
        .create("Readings", elements)
        .write("Write", by_sensor(&local))
        .refused()
        .for_each("Refused", move |row| sender.send(row).unwrap());
    run(Engine::builder().workers(1), pipeline).await.unwrap();

    let refused: Vec<_> = refused.try_iter().collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].destination, "demo.plant.no/table");
    assert!(refused[0].reason.contains("no table reference"), "{}", refused[0].reason);
    assert_eq!(refused[0].element, br#"{"sensor":200,"number":2}"#);
    assert_eq!(rows(&local, 1), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tables_at_a_time_than_allowed_are_a_clear_error() {
    let local = LocalGcp::start().await.unwrap();
    let pipeline = Pipeline::named("sensors");
    pipeline
        .create("Readings", readings(1_000))
        .write("Write", by_sensor(&local).max_tables(50))
        .ignore_refused("every row fits");
    let error = run(Engine::builder().workers(1).restarts(0), pipeline).await.unwrap_err();

    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(text.contains("Write"), "{text}");
    assert!(text.contains("writes to 50 tables already; `max_tables` allows more"), "{text}");
}
