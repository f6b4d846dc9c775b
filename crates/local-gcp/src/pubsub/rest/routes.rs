//! Paths, methods and bodies of the REST face.

use std::collections::BTreeMap;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::json::{Message, PushConfig, ReceivedMessage, Subscription, Topic};
use super::values::{Time, field_mask};
use super::{schemas, snapshots};
use crate::proto::pubsub as proto;
use crate::proto::pubsub::seek_request::Target;
use crate::proto::rpc::ErrorInfo;
use crate::pubsub::error::{ERROR_INFO_TYPE, Error, error_info, message};
use crate::pubsub::service::{modify_ack_deadline, parse_ack_ids, publish, pull, seek};
use crate::pubsub::{PubSub, Result};
use crate::status::json_error;

/// All routes below `/v1/projects/{project}` that belong to Pub/Sub.
pub(crate) fn router(pubsub: PubSub) -> Router {
    let topic = get(get_topic).put(put_topic).patch(patch_topic).delete(delete_topic);
    let subscription = get(get_subscription)
        .put(put_subscription)
        .patch(patch_subscription)
        .delete(delete_subscription);
    Router::new()
        .route("/v1/projects/{project}/topics", get(list_topics))
        .route("/v1/projects/{project}/topics/{topic}", topic.post(post_topic))
        .route("/v1/projects/{project}/topics/{topic}/subscriptions", get(list_topic_subscriptions))
        .route("/v1/projects/{project}/subscriptions", get(list_subscriptions))
        .route(
            "/v1/projects/{project}/subscriptions/{subscription}",
            subscription.post(post_subscription),
        )
        .merge(schemas::routes())
        .merge(snapshots::routes())
        .with_state(pubsub)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = self.code();
        let mut body = json_error(code.http(), code.name(), &message(&self));
        if let Some(info) = error_info(&self) {
            let ErrorInfo { reason, domain, metadata } = info;
            body["error"]["details"] = json!([
                { "@type": ERROR_INFO_TYPE, "reason": reason, "domain": domain, "metadata": metadata }
            ]);
        }
        (code.http(), Json(body)).into_response()
    }
}

/// A request body; an empty one reads as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> std::result::Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(refused_body)?;
        let text = if bytes.is_empty() { b"{}" } else { bytes.as_ref() };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Error::invalid(format!("Invalid JSON payload received. {error}")).into_response()
        })
    }
}

fn refused_body(rejection: BytesRejection) -> Response {
    let body = json_error(rejection.status(), "INVALID_ARGUMENT", &rejection.body_text());
    (rejection.status(), Json(body)).into_response()
}

/// Query parameters that some route knows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    #[serde(rename = "pageSize")]
    pub(super) page_size: i32,
    #[serde(rename = "pageToken")]
    pub(super) page_token: String,
    #[serde(rename = "$alt")]
    alt: String,
}

impl Parameters {
    pub(super) fn enums_as_numbers(&self) -> bool {
        self.alt.contains("enum-encoding=int")
    }
}

pub(super) type Names = BTreeMap<String, String>;
pub(super) type Answer<T> = Result<Json<T>>;

/// The answer without content.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

pub(super) fn project(path: &Names) -> String {
    format!("projects/{}", path.get("project").map_or("", String::as_str))
}

/// The resource named by the path, and the verb behind its colon.
pub(super) fn resource<'a>(path: &'a Names, kind: &str, parameter: &str) -> (String, &'a str) {
    let last = path.get(parameter).map_or("", String::as_str);
    let (id, verb) = last.split_once(':').unwrap_or((last, ""));
    (format!("{}/{kind}/{id}", project(path)), verb)
}

/// The topic named by a path that must not have a verb.
fn topic_name(path: &Names) -> Result<String> {
    without_verb(resource(path, "topics", "topic"))
}

fn subscription_name(path: &Names) -> Result<String> {
    without_verb(resource(path, "subscriptions", "subscription"))
}

pub(super) fn without_verb((name, verb): (String, &str)) -> Result<String> {
    if verb.is_empty() { Ok(name) } else { Err(unknown_verb(verb)) }
}

fn unknown_verb(verb: &str) -> Error {
    Error::invalid(format!("There is no method {verb:?} on this resource and HTTP method."))
}

async fn put_topic(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
    Body(topic): Body<Topic>,
) -> Answer<Topic> {
    let topic = topic.with_name(topic_name(&path)?).into_proto();
    let created = pubsub.change(|state, _| state.create_topic(topic))?;
    Ok(Json(Topic::from_proto(created, parameters.enums_as_numbers())))
}

async fn get_topic(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
) -> Answer<Topic> {
    let name = topic_name(&path)?;
    let topic = pubsub.change(|state, _| state.get_topic(&name))?;
    Ok(Json(Topic::from_proto(topic, parameters.enums_as_numbers())))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateTopic {
    topic: Topic,
    update_mask: String,
}

async fn patch_topic(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
    Body(request): Body<UpdateTopic>,
) -> Answer<Topic> {
    let update = request.topic.with_name(topic_name(&path)?).into_proto();
    let mask = field_mask(&request.update_mask);
    let updated = pubsub.change(|state, _| state.update_topic(update, &mask))?;
    Ok(Json(Topic::from_proto(updated, parameters.enums_as_numbers())))
}

async fn delete_topic(State(pubsub): State<PubSub>, Path(path): Path<Names>) -> Answer<Empty> {
    let name = topic_name(&path)?;
    pubsub.change(|state, _| state.delete_topic(&name))?;
    Ok(Json(Empty {}))
}

async fn list_topics(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
) -> Answer<serde_json::Value> {
    let project = project(&path);
    let page =
        pubsub.change(|state, _| state.list_topics(&project, it.page_size, &it.page_token))?;
    let numbers = it.enums_as_numbers();
    let topics: Vec<_> =
        page.entries.into_iter().map(|topic| Topic::from_proto(topic, numbers)).collect();
    Ok(Json(json!({ "topics": topics, "nextPageToken": page.next_page_token })))
}

async fn list_topic_subscriptions(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
) -> Answer<serde_json::Value> {
    let name = topic_name(&path)?;
    let page = pubsub
        .change(|state, _| state.list_topic_subscriptions(&name, it.page_size, &it.page_token))?;
    Ok(Json(json!({ "subscriptions": page.entries, "nextPageToken": page.next_page_token })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Publish {
    messages: Vec<Message>,
}

async fn post_topic(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Body(request): Body<Publish>,
) -> Answer<serde_json::Value> {
    let (name, verb) = resource(&path, "topics", "topic");
    if verb != "publish" {
        return Err(unknown_verb(verb));
    }
    let messages = request.messages.into_iter().map(Message::into_new).collect();
    let message_ids = publish(&pubsub, &name, messages)?;
    Ok(Json(json!({ "messageIds": message_ids })))
}

async fn put_subscription(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
    Body(subscription): Body<Subscription>,
) -> Answer<Subscription> {
    let subscription = subscription.with_name(subscription_name(&path)?).into_proto();
    let created = pubsub.change(|state, _| state.create_subscription(subscription))?;
    Ok(Json(Subscription::from_proto(created, parameters.enums_as_numbers())))
}

async fn get_subscription(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
) -> Answer<Subscription> {
    let name = subscription_name(&path)?;
    let subscription = pubsub.change(|state, _| state.get_subscription(&name))?;
    Ok(Json(Subscription::from_proto(subscription, parameters.enums_as_numbers())))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateSubscription {
    subscription: Subscription,
    update_mask: String,
}

async fn patch_subscription(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
    Body(request): Body<UpdateSubscription>,
) -> Answer<Subscription> {
    let update = request.subscription.with_name(subscription_name(&path)?).into_proto();
    let mask = field_mask(&request.update_mask);
    let updated = pubsub.change(|state, _| state.update_subscription(update, &mask))?;
    Ok(Json(Subscription::from_proto(updated, parameters.enums_as_numbers())))
}

async fn delete_subscription(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
) -> Answer<Empty> {
    let name = subscription_name(&path)?;
    pubsub.change(|state, _| state.delete_subscription(&name))?;
    Ok(Json(Empty {}))
}

async fn list_subscriptions(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
) -> Answer<serde_json::Value> {
    let project = project(&path);
    let page = pubsub
        .change(|state, _| state.list_subscriptions(&project, it.page_size, &it.page_token))?;
    let numbers = it.enums_as_numbers();
    let subscriptions: Vec<_> =
        page.entries.into_iter().map(|it| Subscription::from_proto(it, numbers)).collect();
    Ok(Json(json!({ "subscriptions": subscriptions, "nextPageToken": page.next_page_token })))
}

/// The union of the bodies that the verbs of a subscription take.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SubscriptionRequest {
    ack_ids: Vec<String>,
    ack_deadline_seconds: i32,
    max_messages: i32,
    return_immediately: bool,
    push_config: Option<PushConfig>,
    time: Option<Time>,
    snapshot: Option<String>,
}

async fn post_subscription(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Body(it): Body<SubscriptionRequest>,
) -> Answer<serde_json::Value> {
    let (name, verb) = resource(&path, "subscriptions", "subscription");
    match verb {
        "pull" => {
            let received = pull(&pubsub, &name, it.max_messages, it.return_immediately).await?;
            let received: Vec<_> = received.into_iter().map(ReceivedMessage::from).collect();
            return Ok(Json(match received.as_slice() {
                [] => json!({}),
                received => json!({ "receivedMessages": received }),
            }));
        }
        "acknowledge" => pubsub.acknowledge(&name, &parse_ack_ids(&it.ack_ids)?)?,
        "modifyAckDeadline" => {
            modify_ack_deadline(&pubsub, &name, &it.ack_ids, it.ack_deadline_seconds)?;
        }
        "modifyPushConfig" => {
            let push = it.push_config.map(PushConfig::into_proto);
            pubsub.change(|state, _| state.modify_push_config(&name, push))?;
        }
        "detach" => pubsub.change(|state, _| state.detach_subscription(&name))?,
        "seek" => {
            let time = it.time.map(|time| Target::Time(time.0));
            let target = time.or_else(|| it.snapshot.map(Target::Snapshot));
            seek(&pubsub, proto::SeekRequest { subscription: name, target })?;
        }
        verb => return Err(unknown_verb(verb)),
    }
    Ok(Json(json!({})))
}
