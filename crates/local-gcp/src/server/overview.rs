//! `GET /status`: what the servers hold, in numbers, for people and for programs that wait for something.
//!
//! Google's services tell this through Cloud Monitoring, minutes late; here it is as of the moment of the request.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::bigquery::{self, BigQuery, WriteStream};
use crate::clock::Timestamp;
use crate::pubsub::{PubSub, SubscriptionStatistics, TopicStatistics};
use crate::scheduler::{JobStatus, LocalScheduler};

/// The route `/status`.
pub(super) fn router(pubsub: PubSub, bigquery: BigQuery, scheduler: LocalScheduler) -> Router {
    Router::new().route("/status", get(status)).with_state((pubsub, bigquery, scheduler))
}

type Services = (PubSub, BigQuery, LocalScheduler);

async fn status(State((pubsub, bigquery, scheduler)): State<Services>) -> Json<Value> {
    let topics = pubsub.topic_statistics().into_iter().map(|(name, it)| (name, topic(it)));
    let subscriptions =
        pubsub.subscription_statistics().into_iter().map(|(name, it)| (name, subscription(it)));
    let pubsub = json!({
        "topics": topics.collect::<serde_json::Map<_, _>>(),
        "subscriptions": subscriptions.collect::<serde_json::Map<_, _>>(),
    });
    let jobs = scheduler.list().into_iter().map(|it| (it.name.clone(), job(&it)));
    let jobs = jobs.collect::<serde_json::Map<_, _>>();
    let scheduler = json!({ "jobs": jobs });
    Json(json!({ "pubsub": pubsub, "bigquery": bigquery.read(tables), "scheduler": scheduler }))
}

fn job(it: &JobStatus) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "schedule": it.schedule,
        "is_paused": it.is_paused,
        "next_run": time(it.next_run),
        "last_run": time(it.last_run),
        "last_error": it.last_error,
        "runs": it.runs,
        "failures": it.failures,
        "missed": it.missed,
    })
}

fn topic(it: TopicStatistics) -> Value {
    json!({
        "published_messages": it.published_messages,
        "published_bytes": it.published_bytes,
        "subscriptions": it.subscriptions,
    })
}

fn subscription(it: SubscriptionStatistics) -> Value {
    json!({
        "undelivered": it.undelivered,
        "outstanding": it.outstanding,
        "unacked": it.unacked,
        "unacked_bytes": it.unacked_bytes,
        "sessions": it.sessions,
        "delivered": it.counters.delivered,
        "redelivered": it.counters.redelivered,
        "acknowledged": it.counters.acknowledged,
        "nacked": it.counters.nacked,
        "expired": it.counters.expired,
        "dropped": it.counters.dropped,
    })
}

fn tables(state: &bigquery::State) -> Value {
    let table = |table: &bigquery::Table| {
        (table.name.to_string(), json!({ "rows": state.row_count(&table.name) }))
    };
    let stream = |it: &WriteStream| {
        let about = json!({
            "type": it.stream_type,
            "appended": it.appended,
            "visible": it.visible,
            "finalized": it.finalized,
        });
        (it.name.path(), about)
    };
    json!({
        "tables": state.tables().map(table).collect::<serde_json::Map<_, _>>(),
        "streams": state.write_streams().map(stream).collect::<serde_json::Map<_, _>>(),
    })
}
