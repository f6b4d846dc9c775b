//! Schemas by Google's own Rust client, which speaks REST.

use google_cloud_pubsub::client::SchemaService;
use google_cloud_pubsub::model::{Encoding, Message, Schema, SchemaSettings, SchemaView, schema};
use millstream_local_gcp::LocalGcp;

use crate::support::*;

const SCHEMA: &str = "projects/p/schemas/order";
const CENTS: &str =
    r#"{"type": "record", "name": "Order", "fields": [{"name": "cents", "type": "int"}]}"#;

fn avro(definition: &str) -> Schema {
    Schema::new().set_name(SCHEMA).set_type(schema::Type::Avro).set_definition(definition)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_created_committed_validated_and_holds_for_its_topic() {
    let local = LocalGcp::start().await.unwrap();
    let builder = SchemaService::builder().with_endpoint(local.endpoint());
    let schemas = builder.with_credentials(nobody()).build().await.unwrap();
    let create = schemas.create_schema().set_parent("projects/p").set_schema_id("order");
    let created = create.set_schema(avro(CENTS)).send().await.unwrap();
    assert_eq!((created.name.as_str(), created.definition.as_str()), (SCHEMA, CENTS));
    let wrong = schemas.validate_schema().set_parent("projects/p").set_schema(avro("{")).send();
    assert_eq!(wrong.await.unwrap_err().status().unwrap().code.name(), "INVALID_ARGUMENT");
    let validate = |message: &'static str| {
        let request = schemas.validate_message().set_parent("projects/p").set_name(SCHEMA);
        request.set_encoding(Encoding::Json).set_message(message).send()
    };
    validate(r#"{"cents": 5}"#).await.unwrap();
    validate(r#"{"cents": 5.5}"#).await.unwrap_err();

    let admin = topic_admin(&local).await;
    let settings = SchemaSettings::new().set_schema(SCHEMA).set_encoding(Encoding::Json);
    let topic = admin.create_topic().set_name(TOPIC).set_schema_settings(settings);
    assert_eq!(topic.send().await.unwrap().schema_settings.unwrap().schema, SCHEMA);
    let publisher = publisher(&local).await;
    publisher.publish(Message::new().set_data(r#"{"cents": 5}"#)).await.unwrap();
    let refused = publisher.publish(Message::new().set_data("5")).await;
    assert!(format!("{:?}", refused.unwrap_err()).contains("does not match the schema"));

    let commit = schemas.commit_schema().set_name(SCHEMA).set_schema(avro("\"int\""));
    let second = commit.send().await.unwrap();
    publisher.publish(Message::new().set_data("5")).await.unwrap();
    let revisions = schemas.list_schema_revisions().set_name(SCHEMA).set_view(SchemaView::Full);
    let revisions = revisions.send().await.unwrap().schemas;
    assert_eq!(revisions, [second.clone(), created.clone()]);
    let rollback = schemas.rollback_schema().set_name(SCHEMA);
    let third = rollback.set_revision_id(created.revision_id).send().await.unwrap();
    assert_eq!(third.definition, CENTS);
    let name = format!("{SCHEMA}@{}", second.revision_id);
    let newest = schemas.delete_schema_revision().set_name(name).send().await.unwrap();
    assert_eq!(newest, third);
    let got = schemas.get_schema().set_name(SCHEMA).set_view(SchemaView::Full).send().await;
    assert_eq!(got.unwrap(), third);
    let listed = schemas.list_schemas().set_parent("projects/p").send().await.unwrap();
    assert_eq!(listed.schemas.len(), 1);
    schemas.delete_schema().set_name(SCHEMA).send().await.unwrap();
    let gone = schemas.get_schema().set_name(SCHEMA).send().await.unwrap_err();
    assert_eq!(gone.status().unwrap().code.name(), "NOT_FOUND");
    local.shutdown().await.unwrap();
}
