//! Schemas over REST.

use axum::extract::{Path, Query, State};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::routes::{Answer, Body, Empty, Names, Parameters, project, resource, without_verb};
use super::values::{Base64, Enumeration, Time};
use crate::proto::pubsub::validate_message_request::SchemaSpec;
use crate::proto::pubsub::{self as proto, Encoding, SchemaView, schema};
use crate::pubsub::service::{create_schema, list_schema_revisions, list_schemas};
use crate::pubsub::state::validate_schema;
use crate::pubsub::{Error, PubSub, Result};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Schema {
    name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Enumeration>,
    #[serde(skip_serializing_if = "String::is_empty")]
    definition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    revision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_create_time: Option<Time>,
}

impl Schema {
    fn into_proto(self) -> proto::Schema {
        let kind = self.kind.map_or(0, |kind| {
            kind.number(|name| schema::Type::from_str_name(name).map(|it| it as i32))
        });
        // The rest is set by the server only.
        let (name, definition) = (self.name, self.definition);
        proto::Schema { name, r#type: kind, definition, ..Default::default() }
    }

    fn from_proto(it: proto::Schema, parameters: &Parameters) -> Self {
        let kind = it.r#type();
        let as_number = parameters.enums_as_numbers();
        Self {
            kind: Some(Enumeration::new(kind as i32, kind.as_str_name(), as_number)),
            name: it.name,
            definition: it.definition,
            revision_id: it.revision_id,
            revision_create_time: it.revision_create_time.map(Time),
        }
    }
}

/// The routes below `/v1/projects/{project}`.
pub(super) fn routes() -> Router<PubSub> {
    let one: MethodRouter<PubSub> =
        get(get_or_list_revisions).post(post_schema).delete(delete_schema_or_revision);
    Router::new()
        .route("/v1/projects/{project}/schemas", get(list).post(create))
        .route("/v1/projects/{project}/schemas:validate", post(validate))
        .route("/v1/projects/{project}/schemas:validateMessage", post(validate_message))
        .route("/v1/projects/{project}/schemas/{schema}", one)
}

/// Query parameters beside the common ones.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct More {
    schema_id: String,
    view: String,
}

impl More {
    fn view(&self) -> i32 {
        let by_name = || SchemaView::from_str_name(&self.view).map_or(0, |view| view as i32);
        self.view.parse().unwrap_or_else(|_| by_name())
    }
}

async fn create(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
    Query(more): Query<More>,
    Body(schema): Body<Schema>,
) -> Answer<Schema> {
    let request = proto::CreateSchemaRequest {
        parent: project(&path),
        schema: Some(schema.into_proto()),
        schema_id: more.schema_id,
    };
    Ok(Json(Schema::from_proto(create_schema(&pubsub, request)?, &parameters)))
}

fn page(schemas: Vec<proto::Schema>, next_page_token: &str, it: &Parameters) -> Value {
    let schemas: Vec<_> =
        schemas.into_iter().map(|schema| Schema::from_proto(schema, it)).collect();
    json!({ "schemas": schemas, "nextPageToken": next_page_token })
}

async fn list(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
    Query(more): Query<More>,
) -> Answer<Value> {
    let request = proto::ListSchemasRequest {
        parent: project(&path),
        view: more.view(),
        page_size: it.page_size,
        page_token: it.page_token.clone(),
    };
    let found = list_schemas(&pubsub, &request)?;
    Ok(Json(page(found.schemas, &found.next_page_token, &it)))
}

async fn get_or_list_revisions(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(it): Query<Parameters>,
    Query(more): Query<More>,
) -> Answer<Value> {
    let (name, verb) = resource(&path, "schemas", "schema");
    if verb == "listRevisions" {
        let request = proto::ListSchemaRevisionsRequest {
            name,
            view: more.view(),
            page_size: it.page_size,
            page_token: it.page_token.clone(),
        };
        let found = list_schema_revisions(&pubsub, &request)?;
        return Ok(Json(page(found.schemas, &found.next_page_token, &it)));
    }
    let name = without_verb((name, verb))?;
    let view = SchemaView::try_from(more.view()).unwrap_or_default();
    let schema = pubsub.change(|state, _| state.get_schema(&name, view))?;
    Ok(Json(json!(Schema::from_proto(schema, &it))))
}

/// The union of the bodies that the verbs of a schema take.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SchemaRequest {
    schema: Option<Schema>,
    revision_id: String,
}

async fn post_schema(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
    Body(request): Body<SchemaRequest>,
) -> Answer<Schema> {
    let (name, verb) = resource(&path, "schemas", "schema");
    let schema = match verb {
        "commit" => {
            let schema = request.schema.ok_or_else(|| Error::invalid("No schema given."))?;
            pubsub.change(|state, now| state.commit_schema(&name, schema.into_proto(), now))?
        }
        "rollback" => {
            pubsub.change(|state, now| state.rollback_schema(&name, &request.revision_id, now))?
        }
        verb => return Err(unknown(verb)),
    };
    Ok(Json(Schema::from_proto(schema, &parameters)))
}

fn unknown(verb: &str) -> Error {
    Error::invalid(format!("There is no method {verb:?} on a schema."))
}

async fn delete_schema_or_revision(
    State(pubsub): State<PubSub>,
    Path(path): Path<Names>,
    Query(parameters): Query<Parameters>,
) -> Answer<Value> {
    let (name, verb) = resource(&path, "schemas", "schema");
    match verb {
        "" => {
            pubsub.change(|state, _| state.delete_schema(&name))?;
            Ok(Json(json!(Empty {})))
        }
        "deleteRevision" => {
            let left = pubsub.change(|state, _| state.delete_schema_revision(&name))?;
            Ok(Json(json!(Schema::from_proto(left, &parameters))))
        }
        verb => Err(unknown(verb)),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ValidateSchema {
    schema: Option<Schema>,
}

async fn validate(Body(request): Body<ValidateSchema>) -> Answer<Empty> {
    validate_schema(request.schema.map(Schema::into_proto))?;
    Ok(Json(Empty {}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ValidateMessage {
    name: Option<String>,
    schema: Option<Schema>,
    message: Base64,
    encoding: Option<Enumeration>,
}

async fn validate_message(
    State(pubsub): State<PubSub>,
    Body(request): Body<ValidateMessage>,
) -> Answer<Empty> {
    let ValidateMessage { name, schema, message, encoding } = request;
    let given = schema.map(|schema| SchemaSpec::Schema(schema.into_proto()));
    let spec = name.map(SchemaSpec::Name).or(given);
    let encoding = encoding
        .map_or(0, |it| it.number(|name| Encoding::from_str_name(name).map(|it| it as i32)));
    let encoding = Encoding::try_from(encoding).unwrap_or_default();
    let validated: Result<()> =
        pubsub.change(|state, _| state.validate_message(spec, encoding, &message.0));
    validated?;
    Ok(Json(Empty {}))
}
