//! [`MessageSchema`]: the configured form of a message, ready to parse with; one JSON object becomes one [`Row`].
//!
//! Nothing is guessed: a value of another type, a missing required field, a field twice and, unless configured otherwise, an
//! unknown field make the message a dead letter.

use std::fmt;
use std::sync::Arc;

use millstream::Timestamp;
use millstream_io_gcp::bigquery::{Field, FieldType, Mode, TableSchema};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::config::{MessageConfig, UnknownFields};
use super::fields::{CellSeed, Kind, fail};
use super::identity::stable_id;
use super::problem::{Problem, Reason, shown};
use super::row::{Cell, Columns, Row};

/// The columns in front of the message's own fields.
pub const ID: &str = "id";
/// Event time of the message.
pub const EVENT_TIME: &str = "event_time";
/// When Pub/Sub took the message.
pub const PUBLISH_TIME: &str = "publish_time";

/// How many columns stand in front of the message's own fields.
const OWN_COLUMNS: usize = 3;

/// The configured form of a message.
#[derive(Clone, Debug)]
pub struct MessageSchema {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fields: Vec<MessageField>,
    unknown: UnknownFields,
    id: Vec<usize>,
    event_time: Option<EventTimeFields>,
    columns: Columns,
    table: TableSchema,
}

#[derive(Debug)]
struct MessageField {
    name: Arc<str>,
    kind: Kind,
    is_required: bool,
}

#[derive(Clone, Copy, Debug)]
struct EventTimeFields {
    field: usize,
    plus_minutes: Option<usize>,
}

impl MessageSchema {
    /// Prepares a configuration; every problem is added to `problems`.
    pub(super) fn new(config: &MessageConfig, problems: &mut Vec<String>) -> Self {
        let mut fields = Vec::new();
        for field in &config.fields {
            let kind = Kind::of(field).unwrap_or_else(|problem| {
                problems.push(problem);
                Kind::Json
            });
            let is_required = field.mode == Mode::Required;
            fields.push(MessageField { name: field.name.as_str().into(), kind, is_required });
        }
        let table = row_table(config);
        if let Err(error) = table.validate() {
            problems.push(format!("the table of rows: {error}"));
        }
        if config.id.is_empty() {
            problems.push("the id needs at least one field".to_owned());
        }
        let id = config.id.iter().filter_map(|name| find(&fields, name, "id", problems)).collect();
        let event_time = event_time_fields(config, &fields, problems);
        let columns = table.fields().iter().map(|field| Arc::from(field.name.as_str())).collect();
        let unknown = config.unknown_fields.clone();
        Self { shared: Arc::new(Shared { fields, unknown, id, event_time, columns, table }) }
    }

    /// The table of rows.
    #[must_use]
    pub fn table(&self) -> &TableSchema {
        &self.shared.table
    }

    /// The place in a row of the field called `name`, and its column.
    pub(super) fn column(&self, name: &str) -> Option<(usize, &Field)> {
        let index = self.shared.fields.iter().position(|field| &*field.name == name)?;
        Some((index + OWN_COLUMNS, &self.shared.table.fields()[index + OWN_COLUMNS]))
    }

    /// Parses and checks a message.
    ///
    /// # Errors
    /// Why the message cannot be used.
    pub fn parse(&self, data: &[u8], publish_time: Timestamp) -> Result<Row, Problem> {
        let mut cells = self.read(data)?;
        self.check_required(&cells)?;
        let event_time = match self.shared.event_time {
            Some(fields) => fields.of(&cells)?.unwrap_or(publish_time),
            None => publish_time,
        };
        cells[0] = Cell::Text(self.id_of(&cells));
        cells[1] = Cell::Text(event_time.to_string());
        cells[2] = Cell::Text(publish_time.to_string());
        Ok(Row::new(&self.shared.columns, cells))
    }

    /// The id that [`MessageSchema::parse`] gives a message; nothing where the message cannot be used.
    #[must_use]
    pub fn id(&self, data: &[u8]) -> Option<String> {
        let cells = self.read(data).ok()?;
        self.check_required(&cells).ok()?;
        Some(self.id_of(&cells))
    }

    fn id_of(&self, cells: &[Cell]) -> String {
        stable_id(self.shared.id.iter().map(|index| &cells[index + OWN_COLUMNS]))
    }

    fn check_required(&self, cells: &[Cell]) -> Result<(), Problem> {
        let fields = self.shared.fields.iter().zip(&cells[OWN_COLUMNS..]);
        let mut missing = fields.filter(|(field, cell)| field.is_required && cell.is_null());
        match missing.next() {
            None => Ok(()),
            Some((field, _)) => {
                let detail = format!("field {:?} is required", field.name);
                Err(Problem::new(Reason::MissingField, detail))
            }
        }
    }

    /// The cells of a row, its own columns still empty.
    fn read(&self, data: &[u8]) -> Result<Vec<Cell>, Problem> {
        if data.trim_ascii().is_empty() {
            return Err(Problem::new(Reason::EmptyMessage, "the message has no payload"));
        }
        let mut problem = None;
        let mut deserializer = serde_json::Deserializer::from_slice(data);
        let seed = MessageSeed { schema: &self.shared, problem: &mut problem };
        let read = seed.deserialize(&mut deserializer);
        let cells = read.and_then(|cells| deserializer.end().map(|()| cells));
        cells.map_err(|cause| {
            problem.unwrap_or_else(|| Problem::new(Reason::BadJson, cause.to_string()))
        })
    }
}

fn row_table(config: &MessageConfig) -> TableSchema {
    let own = [
        Field::required(ID, FieldType::String).description("stable hash of the identifying fields"),
        Field::required(EVENT_TIME, FieldType::Timestamp).description("when it happened"),
        Field::required(PUBLISH_TIME, FieldType::Timestamp).description("when Pub/Sub took it"),
    ];
    let kept = match &config.unknown_fields {
        UnknownFields::Keep(column) => {
            Some(Field::nullable(column, FieldType::Json).description("fields not listed"))
        }
        UnknownFields::DeadLetter | UnknownFields::Drop => None,
    };
    own.into_iter().chain(config.fields.iter().cloned()).chain(kept).collect()
}

fn find(
    fields: &[MessageField],
    name: &str,
    what: &str,
    problems: &mut Vec<String>,
) -> Option<usize> {
    let index = fields.iter().position(|field| &*field.name == name);
    if index.is_none() {
        problems.push(format!("{what}: the message has no field {name:?}"));
    }
    index
}

fn event_time_fields(
    config: &MessageConfig,
    fields: &[MessageField],
    problems: &mut Vec<String>,
) -> Option<EventTimeFields> {
    let config = config.event_time.as_ref()?;
    let mut of_kind = |name: &str, kind: Kind, type_name: &str| {
        let index = find(fields, name, "event_time", problems)?;
        if fields[index].kind != kind {
            problems.push(format!("event_time: field {name:?} must have type {type_name}"));
        }
        Some(index)
    };
    let field = of_kind(&config.field, Kind::Timestamp, "TIMESTAMP")?;
    let plus_minutes = match &config.plus_minutes {
        Some(name) => Some(of_kind(name, Kind::Int, "INT64")?),
        None => None,
    };
    Some(EventTimeFields { field, plus_minutes })
}

/// Microseconds of a minute.
const MINUTE_MICROS: i64 = 60_000_000;

/// Years 1 to 9999: what a TIMESTAMP column can hold.
pub(super) fn fits_a_column(at: Timestamp) -> bool {
    (-62_135_596_800_000_000..253_402_300_800_000_000).contains(&at.as_micros())
}

impl EventTimeFields {
    fn of(self, cells: &[Cell]) -> Result<Option<Timestamp>, Problem> {
        let cell = |index: usize| &cells[index + OWN_COLUMNS];
        let Some(text) = cell(self.field).as_text() else { return Ok(None) };
        let base = Timestamp::parse(text).ok();
        let minutes = self.plus_minutes.and_then(|index| cell(index).as_int()).unwrap_or(0);
        let moved = base
            .map(|base| base.saturating_add_micros(minutes.saturating_mul(MINUTE_MICROS)))
            .filter(|at| fits_a_column(*at));
        moved.map(Some).ok_or_else(|| {
            let detail = format!("{text} and {minutes} minutes is no event time");
            Problem::new(Reason::WrongType, detail)
        })
    }
}

/// Reads a message into the cells of a row.
struct MessageSeed<'a> {
    schema: &'a Shared,
    problem: &'a mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = Vec<Cell>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Cell>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = Vec<Cell>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Cell>, A::Error> {
        let Self { schema, problem } = self;
        let mut cells = vec![Cell::Null; schema.columns.len()];
        let mut seen = vec![false; schema.fields.len()];
        let mut kept = serde_json::Map::new();
        // Fields mostly come in the configured order, so the search starts behind the one before.
        let mut next = 0;
        while let Some(name) = map.next_key_seed(NameSeed { schema, next })? {
            match name {
                Name::Known(index) => {
                    next = index + 1;
                    let field = &schema.fields[index];
                    if std::mem::replace(&mut seen[index], true) {
                        let detail = format!("field {:?} is there twice", field.name);
                        return Err(fail(problem, Problem::new(Reason::DuplicateField, detail)));
                    }
                    let seed = CellSeed { name: &field.name, kind: field.kind, problem };
                    cells[index + OWN_COLUMNS] = map.next_value_seed(seed)?;
                }
                Name::Unknown(name) => match schema.unknown {
                    UnknownFields::DeadLetter => {
                        let detail = format!("field {} is not known", shown(&name));
                        return Err(fail(problem, Problem::new(Reason::UnknownField, detail)));
                    }
                    UnknownFields::Drop => drop(map.next_value::<IgnoredAny>()?),
                    UnknownFields::Keep(_) => drop(kept.insert(name, map.next_value()?)),
                },
            }
        }
        if let (false, Some(last)) = (kept.is_empty(), cells.last_mut()) {
            *last = Cell::Text(serde_json::Value::Object(kept).to_string());
        }
        Ok(cells)
    }
}

enum Name {
    Known(usize),
    Unknown(String),
}

/// Reads the name of a field without copying it.
struct NameSeed<'a> {
    schema: &'a Shared,
    next: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        let fields = &self.schema.fields;
        let is_it = |index: &usize| &*fields[*index].name == name;
        let known = (self.next..fields.len()).chain(0..self.next.min(fields.len())).find(is_it);
        Ok(known.map_or_else(|| Name::Unknown(name.to_owned()), Name::Known))
    }
}
