//! Steps on schemas and their revisions, and the check of messages against those of their topic.

use std::collections::BTreeMap;

use super::admin::{Page, page};
use super::machine::State;
use super::record::Record;
use crate::clock::Timestamp;
use crate::proto::pubsub::{self as proto, SchemaView, validate_message_request::SchemaSpec};
use crate::pubsub::config;
use crate::pubsub::error::{Error, Result};
use crate::pubsub::message::NewMessage;
use crate::pubsub::names;
use crate::pubsub::schema::Definition;

/// The schema of topics whose schema was deleted.
pub(super) const DELETED_SCHEMA: &str = "_deleted-schema_";

/// Revisions of one schema.
const REVISIONS_MAX: usize = 20;

/// One revision of a schema.
#[derive(Debug)]
struct Revision {
    /// Its place among all revisions of all schemas.
    number: u64,
    schema: proto::Schema,
    definition: Definition,
}

impl Revision {
    fn view(&self, view: SchemaView) -> proto::Schema {
        match view {
            SchemaView::Basic => proto::Schema { definition: String::new(), ..self.schema.clone() },
            _ => self.schema.clone(),
        }
    }
}

/// All schemas, each with its revisions, oldest first, never none.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    by_name: BTreeMap<String, Vec<Revision>>,
    pub(super) next_revision: u64,
}

impl Schemas {
    /// A revision by `projects/P/schemas/S` (the newest) or `projects/P/schemas/S@R`.
    fn find(&self, name: &str) -> Result<&Revision> {
        let (name, id) = split(name)?;
        let revisions = self.by_name.get(name).ok_or_else(|| Error::not_found(name))?;
        let revision = match id {
            Some(id) => revisions.iter().find(|it| it.schema.revision_id == id),
            None => revisions.last(),
        };
        revision.ok_or_else(|| Error::not_found(id.unwrap_or(name)))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.by_name.values().flatten().map(|it| Record::schema(it.number, &it.schema))
    }
}

/// The schema's name, and the id of the revision if there is one.
fn split(name: &str) -> Result<(&str, Option<&str>)> {
    let (name, id) = name.split_once('@').map_or((name, None), |(name, id)| (name, Some(id)));
    names::check_schema(name)?;
    Ok((name, id))
}

/// Eight digits that do not follow one another visibly: an odd factor and a shift lose no number.
fn revision_id(number: u64) -> String {
    let mixed = (number as u32).wrapping_mul(0x9e37_79b1);
    format!("{:08x}", mixed ^ (mixed >> 15))
}

/// Steps on schemas.
impl State {
    /// Creates a schema with its first revision.
    ///
    /// # Errors
    /// When the name or the definition is invalid, or the schema exists.
    pub fn create_schema(
        &mut self,
        name: String,
        schema: proto::Schema,
        now: Timestamp,
    ) -> Result<proto::Schema> {
        names::check_schema(&name)?;
        if self.schemas.by_name.contains_key(&name) {
            return Err(Error::already_exists(&name));
        }
        self.add_revision(proto::Schema { name, ..schema }, now)
    }

    fn add_revision(&mut self, schema: proto::Schema, now: Timestamp) -> Result<proto::Schema> {
        Definition::parse(&schema)?;
        let number = self.schemas.next_revision;
        let schema = proto::Schema {
            revision_id: revision_id(number),
            revision_create_time: Some(config::from_instant(now)),
            ..schema
        };
        self.apply(Record::schema(number, &schema));
        Ok(schema)
    }

    /// A revision of a schema, the newest unless the name has an id after an `@`.
    ///
    /// # Errors
    /// When the name is invalid or there is no such revision.
    pub fn get_schema(&self, name: &str, view: SchemaView) -> Result<proto::Schema> {
        Ok(self.schemas.find(name)?.view(view))
    }

    /// The newest revisions of the schemas of `projects/P`.
    ///
    /// # Errors
    /// When the project name, page size or token is invalid.
    pub fn list_schemas(
        &self,
        project: &str,
        view: SchemaView,
        size: i32,
        token: &str,
    ) -> Result<Page<proto::Schema>> {
        names::check_project(project)?;
        let all = &self.schemas.by_name;
        let found = page(all, &format!("{project}/schemas/"), size, token, |_, revisions| {
            revisions.last().map(|newest| newest.view(view))
        })?;
        let entries = found.entries.into_iter().flatten().collect();
        Ok(Page { entries, next_page_token: found.next_page_token })
    }

    /// All revisions of a schema, newest first.
    ///
    /// # Errors
    /// When there is no such schema, or page size or token are invalid.
    pub fn list_schema_revisions(
        &self,
        name: &str,
        view: SchemaView,
        size: i32,
        token: &str,
    ) -> Result<Page<proto::Schema>> {
        let (name, _) = split(name)?;
        let revisions = self.schemas.by_name.get(name).ok_or_else(|| Error::not_found(name))?;
        let newest_first = revisions.iter().rev().enumerate();
        let by_place: BTreeMap<String, &Revision> =
            newest_first.map(|(place, it)| (format!("{place:04}"), it)).collect();
        page(&by_place, "", size, token, |_, revision| revision.view(view))
    }

    /// Adds a revision.
    ///
    /// # Errors
    /// When there is no such schema, the definition is invalid or of another type, or there are too many revisions.
    pub fn commit_schema(
        &mut self,
        name: &str,
        schema: proto::Schema,
        now: Timestamp,
    ) -> Result<proto::Schema> {
        let newest = &self.schemas.find(name)?.schema;
        if schema.r#type != newest.r#type {
            return Err(Error::invalid("The type of a schema cannot change."));
        }
        let name = newest.name.clone();
        if self.schemas.by_name.get(&name).is_some_and(|it| it.len() >= REVISIONS_MAX) {
            let reason = format!("A schema has at most {REVISIONS_MAX} revisions.");
            return Err(Error::FailedPrecondition { reason });
        }
        self.add_revision(proto::Schema { name, ..schema }, now)
    }

    /// Adds a revision that repeats an older one.
    ///
    /// # Errors
    /// When there is no such revision, or there are too many.
    pub fn rollback_schema(
        &mut self,
        name: &str,
        revision_id: &str,
        now: Timestamp,
    ) -> Result<proto::Schema> {
        let (name, _) = split(name)?;
        let old = self.get_schema(&format!("{name}@{revision_id}"), SchemaView::Full)?;
        self.commit_schema(name, old, now)
    }

    /// Deletes one revision, named after an `@`; returns what is then the newest.
    ///
    /// # Errors
    /// When there is no such revision, or it is the only one.
    pub fn delete_schema_revision(&mut self, name: &str) -> Result<proto::Schema> {
        let (schema, id) = split(name)?;
        let Some(id) = id else {
            return Err(Error::invalid("The name must end with the revision: SCHEMA@REVISION."));
        };
        self.schemas.find(name)?;
        if self.schemas.by_name.get(schema).is_some_and(|it| it.len() == 1) {
            let reason = "The only revision of a schema cannot be deleted.".to_owned();
            return Err(Error::FailedPrecondition { reason });
        }
        let (name, revision_id) = (schema.to_owned(), id.to_owned());
        self.apply(Record::SchemaRevisionDeleted { name, revision_id });
        self.get_schema(schema, SchemaView::Full)
    }

    /// Deletes a schema with all revisions; its topics take no messages any more.
    ///
    /// # Errors
    /// When the name is invalid or there is no such schema.
    pub fn delete_schema(&mut self, name: &str) -> Result<()> {
        names::check_schema(name)?;
        self.schemas.find(name)?;
        self.apply(Record::SchemaDeleted { name: name.to_owned() });
        Ok(())
    }

    /// Checks a message against a schema, named or given.
    ///
    /// # Errors
    /// When there is no such schema, it is invalid, or the message does not conform to it.
    pub fn validate_message(
        &self,
        spec: Option<SchemaSpec>,
        encoding: proto::Encoding,
        message: &[u8],
    ) -> Result<()> {
        match spec {
            Some(SchemaSpec::Name(name)) => {
                self.schemas.find(&name)?.definition.check(encoding, message)
            }
            Some(SchemaSpec::Schema(schema)) => {
                Definition::parse(&schema)?.check(encoding, message)
            }
            None => Err(Error::invalid("Neither the name of a schema nor a schema given.")),
        }
    }
}

/// Checks a schema definition without keeping it.
///
/// # Errors
/// When it is invalid or of a type that is not served.
pub(in crate::pubsub) fn validate_schema(schema: Option<proto::Schema>) -> Result<()> {
    let schema = schema.ok_or_else(|| Error::invalid("No schema given."))?;
    Definition::parse(&schema).map(|_| ())
}

/// Schemas of topics.
impl State {
    pub(super) fn check_schema_settings(&self, topic: &proto::Topic) -> Result<()> {
        let Some(settings) = &topic.schema_settings else { return Ok(()) };
        if settings.schema == DELETED_SCHEMA {
            return Ok(());
        }
        self.schemas.find(&settings.schema)?;
        for id in [&settings.first_revision_id, &settings.last_revision_id] {
            if !id.is_empty() {
                self.schemas.find(&format!("{}@{id}", settings.schema))?;
            }
        }
        if settings.encoding() == proto::Encoding::Unspecified {
            return Err(Error::invalid("No encoding given in schema_settings."));
        }
        Ok(())
    }

    /// Messages with the attributes that tell the revision they conform to: the newest of those the topic allows.
    pub(super) fn conform(
        &self,
        settings: &proto::SchemaSettings,
        mut messages: Vec<NewMessage>,
    ) -> Result<Vec<NewMessage>> {
        let revisions = self.schemas.by_name.get(&settings.schema).ok_or_else(|| {
            Error::invalid("The schema of the topic was deleted; nothing can be published.")
        })?;
        let place = |id: &str| revisions.iter().position(|it| it.schema.revision_id == id);
        let first = place(&settings.first_revision_id).unwrap_or(0);
        let last = place(&settings.last_revision_id).unwrap_or(revisions.len() - 1);
        let allowed = revisions.get(first..=last).unwrap_or_default();
        let encoding = settings.encoding();
        for message in &mut messages {
            let revision = conforming(allowed, encoding, &message.data)?;
            let attributes = [
                ("googclient_schemaencoding", encoding.as_str_name()),
                ("googclient_schemaname", settings.schema.as_str()),
                ("googclient_schemarevisionid", revision),
            ];
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
            message.attributes.extend(attributes);
        }
        Ok(messages)
    }
}

/// The newest revision that a message conforms to; if none, what the newest has against it.
fn conforming<'a>(
    revisions: &'a [Revision],
    encoding: proto::Encoding,
    data: &[u8],
) -> Result<&'a str> {
    let mut refusal = None;
    for revision in revisions.iter().rev() {
        match revision.definition.check(encoding, data) {
            Ok(()) => return Ok(&revision.schema.revision_id),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| Error::invalid("The topic allows no revision of its schema.")))
}

/// The changes behind these steps; the same at run time and in a replay.
impl State {
    pub(super) fn put_schema(&mut self, number: u64, schema: proto::Schema) {
        self.schemas.next_revision = self.schemas.next_revision.max(number + 1);
        // It was read when the revision was made.
        let Ok(definition) = Definition::parse(&schema) else { return };
        let revisions = self.schemas.by_name.entry(schema.name.clone()).or_default();
        revisions.push(Revision { number, schema, definition });
    }

    pub(super) fn remove_schema_revision(&mut self, name: &str, revision_id: &str) {
        if let Some(revisions) = self.schemas.by_name.get_mut(name) {
            revisions.retain(|it| it.schema.revision_id != revision_id);
        }
    }

    pub(super) fn remove_schema(&mut self, name: &str) {
        self.schemas.by_name.remove(name);
        let settings = self.topics.values_mut().filter_map(|it| it.config.schema_settings.as_mut());
        settings.filter(|it| it.schema == name).for_each(|it| {
            it.schema = DELETED_SCHEMA.to_owned();
        });
    }
}
