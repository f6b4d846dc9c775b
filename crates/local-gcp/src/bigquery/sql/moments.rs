//! Binds functions of dates, times and instants, with their parts, intervals and zones.

use std::sync::Arc;

use sqlparser::ast::{DateTimeField, Expr, Function as Ast, Interval};

use super::bind::{Binder, Result};
use super::calls::plain_arguments;
use super::cast::cast;
use super::error::SqlError;
use super::expression::{Bound, Call, Function, Node, Row};
use super::operators::{bind_cast, call, coerce, coerces, no_signature};
use super::time::{self, Part};
use super::types::DataType;
use crate::bigquery::civil::{self, DAY, SECOND, Zone};
use crate::bigquery::value::Value;

impl Binder<'_> {
    /// `CURRENT_DATE([zone])` and its sisters.
    pub(super) fn bind_current(&self, name: &str, arguments: Vec<Bound>) -> Result<Bound> {
        let zone = zone_argument(arguments.first())?;
        let local =
            zone.to_local(self.now).ok_or_else(|| SqlError::query("Time is out of range"))?;
        let (days, time) = civil::split_day(local);
        let (value, data_type) = match name {
            "CURRENT_DATE" => (Value::Date(days), DataType::Date),
            "CURRENT_TIME" => (Value::Time(time), DataType::Time),
            _ => (Value::DateTime(local), DataType::DateTime),
        };
        Ok(Bound::new(Node::Constant(value), data_type))
    }

    /// `TIMESTAMP_TRUNC(moment, PART[, zone])` and its sisters.
    pub(super) fn bind_truncate(&mut self, name: &str, function: &Ast) -> Result<Bound> {
        let arguments = plain_arguments(function)?;
        let (moment, part, zone) = match arguments.as_slice() {
            [moment, part] => (self.bind(moment)?, part, None),
            [moment, part, zone] => (self.bind(moment)?, part, Some(self.bind(zone)?)),
            _ => return Err(SqlError::query(format!("{name} takes two or three arguments"))),
        };
        let part = part_argument(part)?;
        let zone = zone_argument(zone.as_ref())?;
        let moment = moment_of(name, moment)?;
        if moment.data_type == DataType::Date && part.is_of_day() {
            return Err(SqlError::query(format!(
                "{name} does not support a part smaller than DAY"
            )));
        }
        let data_type = moment.data_type.clone();
        let truncate: Function = Arc::new(move |arguments| {
            let local = local(&arguments[0], &zone)?;
            moment_from(time::truncate(local, part)?, &arguments[0], &zone)
        });
        Ok(Bound::new(call(truncate, vec![moment.node]), data_type))
    }

    /// `TIMESTAMP_ADD(moment, INTERVAL n PART)` and its sisters.
    pub(super) fn bind_move(&mut self, function: &Ast, back: bool) -> Result<Bound> {
        match plain_arguments(function)?.as_slice() {
            [moment, Expr::Interval(interval)] => {
                let target = moment_type(&function.name.to_string());
                let moment = self.bind(moment)?;
                let moment =
                    if coerces(&moment, &target) { coerce(moment, &target)? } else { moment };
                self.bind_moved(moment, interval, back)
            }
            _ => Err(SqlError::query(format!("{} takes a value and an INTERVAL", function.name))),
        }
    }

    /// A moment moved by an interval.
    pub(super) fn bind_moved(
        &mut self,
        moment: Bound,
        interval: &Interval,
        back: bool,
    ) -> Result<Bound> {
        let part = match (&interval.leading_field, &interval.last_field) {
            (Some(field), None) => part_named(&field.to_string())?,
            _ => return Err(SqlError::unsupported("An INTERVAL of more than one part")),
        };
        let is_moment =
            matches!(moment.data_type, DataType::Date | DataType::DateTime | DataType::Timestamp);
        if !is_moment {
            return Err(no_signature("date arithmetic", [&moment].into_iter()));
        }
        if moment.data_type == DataType::Timestamp
            && matches!(part, Part::Month | Part::Quarter | Part::Year | Part::Week(_))
        {
            return Err(SqlError::query(format!(
                "TIMESTAMP arithmetic does not support the {part:?} date part"
            )));
        }
        let count = self.bind(&interval.value)?;
        let count = bind_cast(count, &DataType::Int64, false)?;
        let data_type = match moment.data_type {
            DataType::Date if part.is_of_day() => DataType::DateTime,
            ref other => other.clone(),
        };
        let moment = coerce(moment, &data_type)?;
        let add: Function = Arc::new(move |arguments| {
            let count = arguments[1].as_i64().unwrap_or(0);
            let count = if back { count.checked_neg() } else { Some(count) };
            let start = local(&arguments[0], &Zone::utc())?;
            let moved = count.and_then(|count| time::add(start, count, part));
            let moved = moved.ok_or_else(|| SqlError::query("Date arithmetic is out of range"))?;
            moment_from(moved, &arguments[0], &Zone::utc())
        });
        Ok(Bound::new(call(add, vec![moment.node, count.node]), data_type))
    }

    /// `TIMESTAMP_DIFF(later, earlier, PART)` and its sisters.
    pub(super) fn bind_difference(&mut self, name: &str, function: &Ast) -> Result<Bound> {
        let arguments = plain_arguments(function)?;
        let [later, earlier, part] = arguments.as_slice() else {
            return Err(SqlError::query(format!("{name} takes three arguments")));
        };
        let part = part_argument(part)?;
        let target = moment_type(name);
        let whole = target == DataType::Timestamp;
        let moments = self.bind_all([*later, *earlier])?;
        if !moments.iter().all(|moment| coerces(moment, &target)) {
            return Err(no_signature(&format!("function {name}"), moments.iter()));
        }
        let nodes: Result<Vec<_>> =
            moments.into_iter().map(|moment| Ok(coerce(moment, &target)?.node)).collect();
        let difference: Function = Arc::new(move |arguments| {
            let (later, earlier) =
                (local(&arguments[0], &Zone::utc())?, local(&arguments[1], &Zone::utc())?);
            let count = if whole { time::whole_parts } else { time::boundaries };
            count(later, earlier, part).map(Value::Int64)
        });
        Ok(Bound::new(call(difference, nodes?), DataType::Int64))
    }

    /// `EXTRACT(PART FROM moment [AT TIME ZONE zone])`.
    pub(super) fn bind_extract(&mut self, field: &DateTimeField, expr: &Expr) -> Result<Bound> {
        let (expr, zone) = match expr {
            Expr::AtTimeZone { timestamp, time_zone } => {
                let zone = self.bind(time_zone)?;
                (timestamp.as_ref(), zone_argument(Some(&zone))?)
            }
            other => (other, Zone::utc()),
        };
        let moment = self.bind(expr)?;
        let name = field.to_string();
        let civil_target = match name.to_ascii_uppercase().as_str() {
            "DATE" => Some(DataType::Date),
            "TIME" => Some(DataType::Time),
            "DATETIME" => Some(DataType::DateTime),
            _ => None,
        };
        if let Some(target) = civil_target {
            return to_civil(moment_of("EXTRACT", moment)?, target, zone);
        }
        let part = part_named(&name)?;
        let moment = match moment.data_type {
            DataType::Time => moment,
            _ => moment_of("EXTRACT", moment)?,
        };
        let extract: Function = Arc::new(move |arguments| {
            Ok(Value::Int64(time::extract(local(&arguments[0], &zone)?, part)))
        });
        Ok(Bound::new(call(extract, vec![moment.node]), DataType::Int64))
    }
}

/// `TIMESTAMP(x[, zone])`, `DATE(x[, zone])`, `DATETIME(x[, zone])`, `TIME(x[, zone])`.
pub(super) fn bind_moment(name: &str, arguments: Vec<Bound>, safe: bool) -> Result<Bound> {
    let zone = zone_argument(arguments.get(1))?;
    let no_match = || no_signature(&format!("function {name}"), arguments.iter());
    let moment = arguments.first().ok_or_else(no_match)?.clone();
    let target = match name {
        "DATE" => DataType::Date,
        "TIME" => DataType::Time,
        "DATETIME" => DataType::DateTime,
        _ => DataType::Timestamp,
    };
    let is_text = moment.data_type == DataType::String;
    let is_moment =
        matches!(moment.data_type, DataType::Date | DataType::DateTime | DataType::Timestamp);
    if moment.is_null_literal() {
        return Ok(Bound::new(Node::Constant(Value::Null), target));
    }
    if !(is_moment || is_text) {
        return Err(no_match());
    }
    let mut bound = to_civil(moment, target, zone)?;
    if let Node::Call(call) = &mut bound.node {
        call.safe = safe;
    }
    Ok(bound)
}

/// `FORMAT_TIMESTAMP(format, moment[, zone])` and its sisters.
pub(super) fn bind_format(name: &str, arguments: Vec<Bound>) -> Result<Bound> {
    let zone = zone_argument(arguments.get(2))?;
    let target = moment_type(&name.replace("FORMAT_", ""));
    let fits = arguments.first().is_some_and(|pattern| coerces(pattern, &DataType::String))
        && arguments.get(1).is_some_and(|moment| coerces(moment, &target));
    let mut arguments = arguments.into_iter();
    match (fits, arguments.next(), arguments.next()) {
        (true, Some(pattern), Some(moment)) => {
            let moment = coerce(moment, &target)?;
            let print: Function = Arc::new(move |arguments| {
                let pattern = arguments[0].as_str().unwrap_or("");
                let instant = local(&arguments[1], &Zone::utc())?;
                time::format(pattern, instant, &zone).map(Value::from)
            });
            Ok(Bound::new(call(print, vec![pattern.node, moment.node]), DataType::String))
        }
        (_, first, second) => {
            let given: Vec<_> = first.into_iter().chain(second).chain(arguments).collect();
            Err(no_signature(&format!("function {name}"), given.iter()))
        }
    }
}

/// `STRING(moment[, zone])`.
pub(super) fn bind_string(arguments: Vec<Bound>) -> Result<Bound> {
    let zone = zone_argument(arguments.get(1))?;
    let is_moment = |bound: &Bound| {
        matches!(
            bound.data_type,
            DataType::Date | DataType::Time | DataType::DateTime | DataType::Timestamp
        )
    };
    let Some(moment) = arguments.first().filter(|bound| is_moment(bound)).cloned() else {
        return Err(no_signature("function STRING", arguments.iter()));
    };
    let print: Function = Arc::new(move |arguments| match &arguments[0] {
        Value::Timestamp(instant) => {
            let local = local(&arguments[0], &zone)?;
            let minutes = (local - instant) / (60 * SECOND);
            let sign = if minutes < 0 { '-' } else { '+' };
            let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
            let rest = if rest == 0 { String::new() } else { format!(":{rest:02}") };
            let text = civil::format_datetime(local, ' ', false);
            Ok(format!("{text}{sign}{hours:02}{rest}").into())
        }
        other => cast(other, &DataType::String),
    });
    Ok(Bound::new(call(print, vec![moment.node]), DataType::String))
}

/// `date + n` and `date - n`.
pub(super) fn move_date_by_days(date: Bound, days: Bound, sign: i64) -> Bound {
    let add: Function = Arc::new(move |arguments| {
        let (start, count) =
            (local(&arguments[0], &Zone::utc())?, arguments[1].as_i64().unwrap_or(0));
        let moved = count.checked_mul(sign).and_then(|count| time::add(start, count, Part::Day));
        let moved = moved.ok_or_else(|| SqlError::query("Date arithmetic is out of range"))?;
        moment_from(moved, &arguments[0], &Zone::utc())
    });
    Bound::new(call(add, vec![date.node, days.node]), DataType::Date)
}

/// Converts text or a moment to a kind of moment, reading and showing local time in `zone`.
fn to_civil(moment: Bound, target: DataType, zone: Zone) -> Result<Bound> {
    let wanted = target.clone();
    let convert: Function = Arc::new(move |arguments| {
        let value = &arguments[0];
        if let (Value::String(text), DataType::Timestamp) = (value, &wanted) {
            let instant = civil::parse_timestamp_in(text, &zone).map(Value::Timestamp);
            return instant.ok_or_else(|| SqlError::query(format!("Invalid timestamp: '{text}'")));
        }
        match (value, &wanted) {
            (Value::Date(_) | Value::DateTime(_), DataType::Timestamp) => {
                moment_from(local(value, &zone)?, &Value::Timestamp(0), &zone)
            }
            (Value::Timestamp(_), DataType::Date | DataType::DateTime | DataType::Time) => {
                cast(&Value::DateTime(local(value, &zone)?), &wanted)
            }
            _ => cast(value, &wanted),
        }
    });
    let node = Call { function: convert, arguments: vec![moment.node], strict: true, safe: false };
    Ok(Bound::new(Node::Call(node), target))
}

/// The type of moment a function's name is about.
fn moment_type(name: &str) -> DataType {
    let name = name.to_ascii_uppercase();
    match name.split('_').next().unwrap_or_default() {
        "DATE" => DataType::Date,
        "DATETIME" => DataType::DateTime,
        _ => DataType::Timestamp,
    }
}

/// The argument as a moment: texts become the type of the function's name.
fn moment_of(name: &str, bound: Bound) -> Result<Bound> {
    match bound.data_type {
        DataType::Date | DataType::DateTime | DataType::Timestamp => Ok(bound),
        _ if coerces(&bound, &moment_type(name)) => coerce(bound, &moment_type(name)),
        _ => Err(no_signature(&format!("function {name}"), [&bound].into_iter())),
    }
}

fn part_argument(expr: &Expr) -> Result<Part> {
    part_named(&expr.to_string())
}

pub(super) fn part_named(name: &str) -> Result<Part> {
    let compact: String = name.chars().filter(|c| !c.is_whitespace()).collect();
    Part::parse(&compact).ok_or_else(|| {
        SqlError::query(format!("A valid date part name is required but found {name}"))
    })
}

/// The zone an argument names, UTC if there is none. It must be the same for all rows.
pub(super) fn zone_argument(argument: Option<&Bound>) -> Result<Zone> {
    let Some(argument) = argument else { return Ok(Zone::utc()) };
    if !argument.node.is_constant() {
        return Err(SqlError::unsupported("A time zone that differs by row"));
    }
    match argument.node.eval(Row::EMPTY)? {
        Value::String(name) => {
            Zone::parse(&name).ok_or_else(|| SqlError::query(format!("Invalid time zone: {name}")))
        }
        _ => Err(SqlError::query("A time zone must be a STRING")),
    }
}

/// A moment as local microseconds.
fn local(value: &Value, zone: &Zone) -> Result<i64> {
    match value {
        Value::Timestamp(micros) => {
            zone.to_local(*micros).ok_or_else(|| SqlError::query("Timestamp is out of range"))
        }
        Value::DateTime(micros) | Value::Time(micros) => Ok(*micros),
        Value::Date(days) => Ok(i64::from(*days) * DAY),
        _ => Err(SqlError::query("Expected a date or time")),
    }
}

/// Local microseconds as the same kind of moment as `like`.
fn moment_from(local: i64, like: &Value, zone: &Zone) -> Result<Value> {
    let moment = match like {
        Value::Timestamp(_) => zone.to_utc(local).map(Value::Timestamp),
        Value::Date(_) => Some(Value::Date(civil::split_day(local).0)),
        _ => Some(Value::DateTime(local)),
    };
    moment.ok_or_else(|| SqlError::query("Timestamp is out of range"))
}
