//! `GET /status`: what the servers hold, in numbers, for people and for programs that wait for something.
//!
//! Google's services tell this through Cloud Monitoring, minutes late; here it is as of the moment of the request.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::bigquery::{self, BigQuery, WriteStream};
use crate::pubsub::{PubSub, SubscriptionStatistics, TopicStatistics};

/// The route `/status`.
pub(super) fn router(pubsub: PubSub, bigquery: BigQuery) -> Router {
    Router::new().route("/status", get(status)).with_state((pubsub, bigquery))
}

async fn status(State((pubsub, bigquery)): State<(PubSub, BigQuery)>) -> Json<Value> {
    let topics = pubsub.topic_statistics().into_iter().map(|(name, it)| (name, topic(it)));
    let subscriptions =
        pubsub.subscription_statistics().into_iter().map(|(name, it)| (name, subscription(it)));
    let pubsub = json!({
        "topics": topics.collect::<serde_json::Map<_, _>>(),
        "subscriptions": subscriptions.collect::<serde_json::Map<_, _>>(),
    });
    Json(json!({ "pubsub": pubsub, "bigquery": bigquery.read(tables) }))
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
