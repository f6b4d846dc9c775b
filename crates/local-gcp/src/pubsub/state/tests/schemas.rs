//! Schemas, their revisions, and topics that check messages against them.

use super::replay::{from_journal, from_snapshot, recorded};
use super::{SUBSCRIPTION, World, topic};
use crate::proto::pubsub::{self as proto, Encoding, SchemaView, schema};
use crate::pubsub::Error;
use crate::pubsub::message::NewMessage;

const SCHEMA: &str = "projects/p/schemas/order";
const CHECKED: &str = "projects/p/topics/checked";

fn avro(fields: &str) -> proto::Schema {
    proto::Schema {
        r#type: schema::Type::Avro as i32,
        definition: format!(r#"{{"type": "record", "name": "Order", "fields": [{fields}]}}"#),
        ..Default::default()
    }
}

const CENTS: &str = r#"{"name": "cents", "type": "int"}"#;
const SKU: &str = r#"{"name": "sku", "type": "string"}"#;

impl World {
    fn create_schema(&mut self) -> proto::Schema {
        self.state.create_schema(SCHEMA.to_owned(), avro(CENTS), self.now).unwrap()
    }

    fn commit(&mut self, fields: &str) -> proto::Schema {
        self.state.commit_schema(SCHEMA, avro(fields), self.now).unwrap()
    }

    /// A topic with the schema, between two revisions, and a subscription to it.
    fn check(&mut self, first: &str, last: &str) {
        let settings = proto::SchemaSettings {
            schema: SCHEMA.to_owned(),
            encoding: Encoding::Json as i32,
            first_revision_id: first.to_owned(),
            last_revision_id: last.to_owned(),
        };
        let checked = proto::Topic { schema_settings: Some(settings), ..topic(CHECKED) };
        self.state.create_topic(checked).unwrap();
        self.resubscribe(|config| CHECKED.clone_into(&mut config.topic));
    }

    fn publish_checked(&mut self, data: &[&'static str]) -> Result<u64, Error> {
        let messages = data.iter().map(|data| NewMessage::new(*data)).collect();
        self.state.publish(CHECKED, messages, self.now)
    }
}

#[test]
fn a_topic_with_a_schema_takes_what_conforms_and_says_to_which_revision() {
    let mut world = World::new();
    let first = world.create_schema();
    world.check("", "");
    let error = world.publish_checked(&[r#"{"cents": 1}"#, r#"{"cents": "1"}"#]).unwrap_err();
    assert!(error.to_string().contains("cents: not a int"), "{error}");
    assert_eq!(world.state.unacked(), 0, "the request is refused as a whole");
    let second = world.commit(SKU);
    world.publish_checked(&[r#"{"cents": 1}"#, r#"{"sku": "a"}"#]).unwrap();
    let held = world.pull(SUBSCRIPTION, 10);
    let attributes = |at: usize, name: &str| held[at].message.attributes[name].clone();
    assert_eq!(attributes(0, "googclient_schemaencoding"), "JSON");
    assert_eq!(attributes(0, "googclient_schemaname"), SCHEMA);
    assert_eq!(attributes(0, "googclient_schemarevisionid"), first.revision_id);
    assert_eq!(attributes(1, "googclient_schemarevisionid"), second.revision_id);
}

#[test]
fn a_topic_may_keep_to_a_range_of_revisions() {
    let mut world = World::new();
    world.create_schema();
    let second = world.commit(SKU);
    world.commit(CENTS);
    world.check(&second.revision_id, &second.revision_id);
    world.publish_checked(&[r#"{"sku": "a"}"#]).unwrap();
    world.publish_checked(&[r#"{"cents": 1}"#]).unwrap_err();
    world.state.delete_schema(SCHEMA).unwrap();
    world.publish_checked(&[r#"{"sku": "a"}"#]).unwrap_err();
    let settings = world.state.get_topic(CHECKED).unwrap().schema_settings.unwrap();
    assert_eq!(settings.schema, "_deleted-schema_");
}

#[test]
fn topics_with_unknown_schemas_or_no_encoding_are_refused() {
    let mut world = World::new();
    let settings = |schema: &str, encoding: Encoding| proto::Topic {
        schema_settings: Some(proto::SchemaSettings {
            schema: schema.to_owned(),
            encoding: encoding as i32,
            ..Default::default()
        }),
        ..topic(CHECKED)
    };
    let error = world.state.create_topic(settings(SCHEMA, Encoding::Json)).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    world.create_schema();
    world.state.create_topic(settings(SCHEMA, Encoding::Unspecified)).unwrap_err();
    world.state.create_topic(settings("order", Encoding::Json)).unwrap_err();
    world.state.create_topic(settings(SCHEMA, Encoding::Binary)).unwrap();
}

#[test]
fn schemas_are_administered() {
    let mut world = World::new();
    let first = world.create_schema();
    assert_eq!((first.name.as_str(), first.revision_id.len()), (SCHEMA, 8));
    let again = world.state.create_schema(SCHEMA.to_owned(), avro(CENTS), world.now);
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    let second = world.commit(SKU);
    assert_ne!(first.revision_id, second.revision_id);
    let state = &mut world.state;
    assert_eq!(state.get_schema(SCHEMA, SchemaView::Full).unwrap(), second);
    let named = format!("{SCHEMA}@{}", first.revision_id);
    assert_eq!(state.get_schema(&named, SchemaView::Unspecified).unwrap(), first);
    assert_eq!(state.get_schema(SCHEMA, SchemaView::Basic).unwrap().definition, "");
    let listed = state.list_schemas("projects/p", SchemaView::Full, 0, "").unwrap();
    assert_eq!(listed.entries, std::slice::from_ref(&second));
    let page = state.list_schema_revisions(SCHEMA, SchemaView::Full, 1, "").unwrap();
    assert_eq!(page.entries, [second]);
    let next = page.next_page_token;
    let page = state.list_schema_revisions(SCHEMA, SchemaView::Full, 1, &next).unwrap();
    assert_eq!((page.entries, page.next_page_token), (vec![first.clone()], String::new()));

    let third = state.rollback_schema(SCHEMA, &first.revision_id, world.now).unwrap();
    assert_eq!(third.definition, first.definition);
    assert_ne!(third.revision_id, first.revision_id);
    assert_eq!(state.delete_schema_revision(&named).unwrap(), third);
    state.get_schema(&named, SchemaView::Full).unwrap_err();
    state.delete_schema_revision(SCHEMA).unwrap_err();
    let wrong = proto::Schema { r#type: schema::Type::ProtocolBuffer as i32, ..avro(CENTS) };
    state.commit_schema(SCHEMA, wrong, world.now).unwrap_err();
    for _ in 2..20 {
        state.commit_schema(SCHEMA, avro(CENTS), world.now).unwrap();
    }
    let error = state.commit_schema(SCHEMA, avro(CENTS), world.now).unwrap_err();
    assert!(matches!(error, Error::FailedPrecondition { .. }), "{error}");
    state.delete_schema(SCHEMA).unwrap();
    assert!(matches!(state.delete_schema(SCHEMA), Err(Error::NotFound { .. })));
}

#[test]
fn schemas_survive_a_restart_and_ids_are_not_given_out_again() {
    for restart in [from_journal, |world: &mut World| from_snapshot(world)] {
        let mut world = recorded();
        let first = world.create_schema();
        world.check("", "");
        let second = world.commit(SKU);
        let gone = world.commit(CENTS);
        let name = format!("{SCHEMA}@{}", gone.revision_id);
        world.state.delete_schema_revision(&name).unwrap();
        let mut after = restart(&mut world);
        let page = after.state.list_schema_revisions(SCHEMA, SchemaView::Full, 0, "").unwrap();
        assert_eq!(page.entries, [second, first]);
        after.publish_checked(&[r#"{"sku": "a"}"#]).unwrap();
        after.publish_checked(&[r#"{"sku": 1}"#]).unwrap_err();
        assert_ne!(after.commit(CENTS).revision_id, gone.revision_id);
    }
}
