//! Snapshots over REST.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::routes::{Answer, Body, Empty, Names, Parameters, project, resource, without_verb};
use super::values::{Time, field_mask};
use crate::proto::pubsub as proto;
use crate::pubsub::{PubSub, Result};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Snapshot {
    name: String,
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<Time>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

impl From<proto::Snapshot> for Snapshot {
    fn from(it: proto::Snapshot) -> Self {
        let proto::Snapshot { name, topic, expire_time, labels } = it;
        Self { name, topic, expire_time: expire_time.map(Time), labels }
    }
}

/// The routes below `/v1/projects/{project}`.
pub(super) fn routes() -> Router<PubSub> {
    let snapshot: MethodRouter<PubSub> =
        get(get_snapshot).put(put_snapshot).patch(patch_snapshot).delete(delete_snapshot);
    Router::new()
        .route("/v1/projects/{project}/topics/{topic}/snapshots", get(list_topic_snapshots))
        .route("/v1/projects/{project}/snapshots", get(list_snapshots))
        .route("/v1/projects/{project}/snapshots/{snapshot}", snapshot)
}

fn snapshot_name(path: &Names) -> Result<String> {
    without_verb(resource(path, "snapshots", "snapshot"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CreateSnapshot {
    subscription: String,
    labels: BTreeMap<String, String>,
}

async fn put_snapshot(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Body(request): Body<CreateSnapshot>,
) -> Answer<Snapshot> {
    let request = proto::CreateSnapshotRequest {
        name: snapshot_name(&path)?,
        subscription: request.subscription,
        labels: request.labels,
        ..Default::default()
    };
    let created = pubsub.change(|state, now| state.create_snapshot(request, now))?;
    Ok(Json(created.into()))
}

async fn get_snapshot(State(pubsub): State<PubSub>, Path(path): Path<Names>) -> Answer<Snapshot> {
    let name = snapshot_name(&path)?;
    Ok(Json(pubsub.change(|state, _| state.get_snapshot(&name))?.into()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateSnapshot {
    snapshot: Snapshot,
    update_mask: String,
}

async fn patch_snapshot(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Body(request): Body<UpdateSnapshot>,
) -> Answer<Snapshot> {
    let Snapshot { topic, expire_time, labels, .. } = request.snapshot;
    let name = snapshot_name(&path)?;
    let expire_time = expire_time.map(|time| time.0);
    let update = proto::Snapshot { name, topic, expire_time, labels };
    let mask = field_mask(&request.update_mask);
    let updated = pubsub.change(|state, now| state.update_snapshot(update, &mask, now))?;
    Ok(Json(updated.into()))
}

async fn delete_snapshot(State(pubsub): State<PubSub>, Path(path): Path<Names>) -> Answer<Empty> {
    let name = snapshot_name(&path)?;
    pubsub.change(|state, _| state.delete_snapshot(&name))?;
    Ok(Json(Empty {}))
}

async fn list_snapshots(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
) -> Answer<serde_json::Value> {
    let project = project(&path);
    let page =
        pubsub.change(|state, _| state.list_snapshots(&project, it.page_size, &it.page_token))?;
    let snapshots: Vec<_> = page.entries.into_iter().map(Snapshot::from).collect();
    Ok(Json(json!({ "snapshots": snapshots, "nextPageToken": page.next_page_token })))
}

async fn list_topic_snapshots(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
) -> Answer<serde_json::Value> {
    let name = without_verb(resource(&path, "topics", "topic"))?;
    let page = pubsub
        .change(|state, _| state.list_topic_snapshots(&name, it.page_size, &it.page_token))?;
    Ok(Json(json!({ "snapshots": page.entries, "nextPageToken": page.next_page_token })))
}
