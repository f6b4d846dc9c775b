//! [`AggregateSchema`]: from rows to groups, and from a pane of a group to a row of the table of aggregates.

use std::sync::Arc;

use millstream::Kv;
use millstream::operator::map::Reified;
use millstream::pane::Timing;
use millstream_io_gcp::bigquery::{Field, FieldType, TableSchema};

use super::config::{Aggregate, AggregatesConfig, Measure};
use super::measures::{GroupKey, KeyCell, MeasureFn};
use super::message::MessageSchema;
use super::row::{Cell, Columns, Row};

/// First instant of the window.
pub const WINDOW_START: &str = "window_start";
/// First instant behind the window.
pub const WINDOW_END: &str = "window_end";
/// Number of the pane among those of its window and group, from 0; the highest holds.
pub const PANE: &str = "pane";
/// `early`, `on_time` or `late`.
pub const TIMING: &str = "timing";
/// Whether no pane of the window and group will follow.
pub const IS_LAST: &str = "is_last";

/// The groups, and the table of aggregates.
#[derive(Clone, Debug)]
pub struct AggregateSchema {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Places in a row of the fields grouped by.
    keys: Vec<usize>,
    /// Places in a row of the measured fields; nothing for a count of all.
    measured: Vec<Option<usize>>,
    aggregates: Vec<Aggregate>,
    columns: Columns,
    table: TableSchema,
}

impl AggregateSchema {
    /// Prepares a configuration; every problem is added to `problems`.
    pub(super) fn new(
        config: &AggregatesConfig,
        message: &MessageSchema,
        problems: &mut Vec<String>,
    ) -> Self {
        let (mut keys, mut key_columns) = (Vec::new(), Vec::new());
        for name in &config.keys {
            match message.column(name) {
                Some((_, field)) if field.field_type == FieldType::Float64 => {
                    problems.push(format!(
                        "keys: field {name:?} has type FLOAT64, which groups nothing"
                    ));
                }
                Some((index, field)) => {
                    keys.push(index);
                    key_columns.push(field.clone());
                }
                None => problems.push(format!("keys: the message has no field {name:?}")),
            }
        }
        if config.measures.is_empty() {
            problems.push("aggregates: there must be at least one measure".to_owned());
        }
        let (mut measured, mut measure_columns) = (Vec::new(), Vec::new());
        for measure in &config.measures {
            match measured_field(measure, message) {
                Ok((index, column)) => {
                    measured.push(index);
                    measure_columns.push(column);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let table = aggregate_table(key_columns, measure_columns);
        if let Err(error) = table.validate() {
            problems.push(format!("the table of aggregates: {error}"));
        }
        let columns = table.fields().iter().map(|field| Arc::from(field.name.as_str())).collect();
        let aggregates = config.measures.iter().map(|measure| measure.aggregate).collect();
        Self { shared: Arc::new(Shared { keys, measured, aggregates, columns, table }) }
    }

    /// The table of aggregates.
    #[must_use]
    pub fn table(&self) -> &TableSchema {
        &self.shared.table
    }

    /// Computes the measures of a group.
    #[must_use]
    pub fn measures(&self) -> MeasureFn {
        MeasureFn::new(self.shared.aggregates.iter().copied())
    }

    /// The group of a row, and what is measured of it.
    #[must_use]
    pub fn keyed(&self, row: &Row) -> Kv<GroupKey, Vec<Cell>> {
        let cells = row.cells();
        let key = self.shared.keys.iter().map(|index| KeyCell::of(&cells[*index])).collect();
        let cell = |index: &Option<usize>| match index.map(|index| &cells[index]) {
            None | Some(Cell::Null) => Cell::Null,
            // Only whether it is there counts; numbers are measured as they are.
            Some(Cell::Text(_)) => Cell::Bool(true),
            Some(known) => known.clone(),
        };
        (key, self.shared.measured.iter().map(cell).collect())
    }

    /// The row for a pane.
    #[must_use]
    pub fn row(&self, pane: Reified<Kv<GroupKey, Vec<Cell>>>) -> Row {
        let Reified { value: (key, measures), window, pane, .. } = pane;
        let mut cells = Vec::with_capacity(self.shared.columns.len());
        cells.push(Cell::Text(window.start.to_string()));
        cells.push(Cell::Text(window.end.to_string()));
        cells.extend(key.into_iter().map(Cell::from));
        cells.push(Cell::Int(i64::try_from(pane.index).unwrap_or(i64::MAX)));
        cells.push(Cell::Text(timing_name(pane.timing).to_owned()));
        cells.push(Cell::Bool(pane.is_last));
        cells.extend(measures);
        Row::new(&self.shared.columns, cells)
    }
}

/// The name of a pane's timing in the table.
#[must_use]
pub(super) const fn timing_name(timing: Timing) -> &'static str {
    match timing {
        Timing::Early => "early",
        Timing::OnTime => "on_time",
        Timing::Late => "late",
        Timing::Unknown => "unknown",
    }
}

/// Where the measured field is in a row, and the column of the measure.
fn measured_field(
    measure: &Measure,
    message: &MessageSchema,
) -> Result<(Option<usize>, Field), String> {
    let Measure { name, aggregate, field } = measure;
    let Some(field) = field else {
        return match aggregate {
            Aggregate::Count => Ok((None, Field::required(name, FieldType::Int64))),
            _ => Err(format!("measure {name:?} needs a field")),
        };
    };
    let Some((index, of)) = message.column(field) else {
        return Err(format!("measure {name:?}: the message has no field {field:?}"));
    };
    let column = match aggregate {
        Aggregate::Count => return Err(format!("measure {name:?} counts all: it takes no field")),
        Aggregate::CountKnown | Aggregate::CountNull => Field::required(name, FieldType::Int64),
        Aggregate::Mean => Field::nullable(name, FieldType::Float64),
        Aggregate::Sum | Aggregate::Min | Aggregate::Max => {
            Field::nullable(name, of.field_type.clone())
        }
    };
    let is_numeric = matches!(of.field_type, FieldType::Int64 | FieldType::Float64);
    if !is_numeric && !matches!(aggregate, Aggregate::CountKnown | Aggregate::CountNull) {
        return Err(format!("measure {name:?}: field {field:?} is no INT64 or FLOAT64"));
    }
    Ok((Some(index), column))
}

fn aggregate_table(keys: Vec<Field>, measures: Vec<Field>) -> TableSchema {
    let window = [
        Field::required(WINDOW_START, FieldType::Timestamp),
        Field::required(WINDOW_END, FieldType::Timestamp),
    ];
    let pane = [
        Field::required(PANE, FieldType::Int64)
            .description("the highest of a window and group holds"),
        Field::required(TIMING, FieldType::String).description("early, on_time or late"),
        Field::required(IS_LAST, FieldType::Bool)
            .description("no pane of this window and group follows"),
    ];
    window.into_iter().chain(keys).chain(pane).chain(measures).collect()
}
