//! Scalar functions with fixed argument types: one table of name, types and code.
//!
//! Functions of any type, and those that take parts of dates, are bound in `calls`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::SqlError;
use super::expression::{Bound, Call, Node};
use super::operators::{coerce, coerces, no_signature};
use super::types::DataType;
use crate::bigquery::civil::{self, SECOND};
use crate::bigquery::value::Value;

type Result<T> = std::result::Result<T, SqlError>;

/// One signature of a function.
struct Definition {
    name: &'static str,
    parameters: &'static [DataType],
    /// How many of the parameters must be given.
    required: usize,
    result: DataType,
    code: fn(&[Value]) -> Result<Value>,
}

macro_rules! functions {
    ($($name:literal ($($parameter:ident),*) $required:literal -> $result:ident = $code:expr;)*) => {
        &[$(Definition {
            name: $name,
            parameters: &[$(DataType::$parameter),*],
            required: $required,
            result: DataType::$result,
            code: $code,
        }),*]
    };
}

static FUNCTIONS: &[Definition] = functions! {
    "LENGTH" (String) 1 -> Int64 = |a| Ok(count(text(a, 0).chars().count()));
    "LENGTH" (Bytes) 1 -> Int64 = |a| Ok(count(bytes(a, 0).len()));
    "CHAR_LENGTH" (String) 1 -> Int64 = |a| Ok(count(text(a, 0).chars().count()));
    "CHARACTER_LENGTH" (String) 1 -> Int64 = |a| Ok(count(text(a, 0).chars().count()));
    "BYTE_LENGTH" (String) 1 -> Int64 = |a| Ok(count(text(a, 0).len()));
    "BYTE_LENGTH" (Bytes) 1 -> Int64 = |a| Ok(count(bytes(a, 0).len()));
    "LOWER" (String) 1 -> String = |a| Ok(Value::string(text(a, 0).to_lowercase()));
    "UPPER" (String) 1 -> String = |a| Ok(Value::string(text(a, 0).to_uppercase()));
    "TRIM" (String, String) 1 -> String = |a| Ok(trim(a, true, true));
    "LTRIM" (String, String) 1 -> String = |a| Ok(trim(a, true, false));
    "RTRIM" (String, String) 1 -> String = |a| Ok(trim(a, false, true));
    "SUBSTR" (String, Int64, Int64) 2 -> String = substring;
    "SUBSTRING" (String, Int64, Int64) 2 -> String = substring;
    "LEFT" (String, Int64) 2 -> String = |a| side(a, false);
    "RIGHT" (String, Int64) 2 -> String = |a| side(a, true);
    "STARTS_WITH" (String, String) 2 -> Bool = |a| Ok(Value::Bool(text(a, 0).starts_with(text(a, 1))));
    "ENDS_WITH" (String, String) 2 -> Bool = |a| Ok(Value::Bool(text(a, 0).ends_with(text(a, 1))));
    "CONTAINS_SUBSTR" (String, String) 2 -> Bool = |a| Ok(Value::Bool(text(a, 0).to_lowercase().contains(&text(a, 1).to_lowercase())));
    "STRPOS" (String, String) 2 -> Int64 = |a| Ok(position(text(a, 0), text(a, 1)));
    "INSTR" (String, String) 2 -> Int64 = |a| Ok(position(text(a, 0), text(a, 1)));
    "REPLACE" (String, String, String) 3 -> String = replace;
    "REVERSE" (String) 1 -> String = |a| Ok(text(a, 0).chars().rev().collect::<std::string::String>().into());
    "REPEAT" (String, Int64) 2 -> String = repeat;
    "LPAD" (String, Int64, String) 2 -> String = |a| pad(a, true);
    "RPAD" (String, Int64, String) 2 -> String = |a| pad(a, false);
    "TO_HEX" (Bytes) 1 -> String = |a| Ok(to_hex(bytes(a, 0)));
    "FROM_HEX" (String) 1 -> Bytes = from_hex;
    "TO_BASE64" (Bytes) 1 -> String = |a| Ok(BASE64.encode(bytes(a, 0)).into());
    "FROM_BASE64" (String) 1 -> Bytes = |a| {
        let decoded = BASE64.decode(text(a, 0)).map_err(|_| SqlError::query("Failed to decode invalid base64 string"))?;
        Ok(Value::Bytes(decoded.into()))
    };
    "IS_NAN" (Float64) 1 -> Bool = |a| Ok(Value::Bool(float(a, 0).is_nan()));
    "IS_INF" (Float64) 1 -> Bool = |a| Ok(Value::Bool(float(a, 0).is_infinite()));
    "SQRT" (Float64) 1 -> Float64 = |a| real("SQRT", a, float(a, 0).sqrt());
    "EXP" (Float64) 1 -> Float64 = |a| real("EXP", a, float(a, 0).exp());
    "LN" (Float64) 1 -> Float64 = |a| logarithm(a, f64::ln);
    "LOG" (Float64) 1 -> Float64 = |a| logarithm(a, f64::ln);
    "LOG" (Float64, Float64) 2 -> Float64 = |a| real("LOG", a, float(a, 0).ln() / float(a, 1).ln());
    "LOG10" (Float64) 1 -> Float64 = |a| logarithm(a, f64::log10);
    "POW" (Float64, Float64) 2 -> Float64 = |a| real("POW", a, float(a, 0).powf(float(a, 1)));
    "POWER" (Float64, Float64) 2 -> Float64 = |a| real("POW", a, float(a, 0).powf(float(a, 1)));
    "UNIX_SECONDS" (Timestamp) 1 -> Int64 = |a| Ok(Value::Int64(instant(a, 0).div_euclid(SECOND)));
    "UNIX_MILLIS" (Timestamp) 1 -> Int64 = |a| Ok(Value::Int64(instant(a, 0).div_euclid(1_000)));
    "UNIX_MICROS" (Timestamp) 1 -> Int64 = |a| Ok(Value::Int64(instant(a, 0)));
    "UNIX_DATE" (Date) 1 -> Int64 = |a| Ok(Value::Int64(match a[0] { Value::Date(days) => days.into(), _ => 0 }));
    "TIMESTAMP_SECONDS" (Int64) 1 -> Timestamp = |a| timestamp(a, SECOND);
    "TIMESTAMP_MILLIS" (Int64) 1 -> Timestamp = |a| timestamp(a, 1_000);
    "TIMESTAMP_MICROS" (Int64) 1 -> Timestamp = |a| timestamp(a, 1);
    "DATE_FROM_UNIX_DATE" (Int64) 1 -> Date = |a| {
        let days = i32::try_from(integer(a, 0)).ok();
        let days = days.filter(|days| (civil::DATE_MIN..=civil::DATE_MAX).contains(days));
        days.map(Value::Date).ok_or_else(|| SqlError::query("Date is out of range"))
    };
    "DATE" (Int64, Int64, Int64) 3 -> Date = |a| {
        let days = civil::days_from_civil(integer(a, 0), integer(a, 1), integer(a, 2));
        days.map(Value::Date).ok_or_else(|| SqlError::query("Input calculates to invalid date"))
    };
    "PARSE_JSON" (String) 1 -> Json = |a| match crate::bigquery::ingest::from_text(text(a, 0), &crate::bigquery::FieldType::Json) {
        Some(json) => Ok(json),
        None => Err(SqlError::query(format!("Invalid input to PARSE_JSON: {}", text(a, 0)))),
    };
    "JSON_VALUE" (Json, String) 1 -> String = |a| json_path(a, true);
    "JSON_VALUE" (String, String) 1 -> String = |a| json_path(a, true);
    "JSON_EXTRACT_SCALAR" (Json, String) 1 -> String = |a| json_path(a, true);
    "JSON_EXTRACT_SCALAR" (String, String) 1 -> String = |a| json_path(a, true);
    "JSON_QUERY" (Json, String) 1 -> Json = |a| json_path(a, false).map(|value| match value {
        Value::String(text) => Value::Json(text),
        other => other,
    });
    "JSON_QUERY" (String, String) 1 -> String = |a| json_path(a, false);
};

/// Binds a call of a function of the table; `None` if no function has this name.
pub(crate) fn bind(name: &str, arguments: Vec<Bound>, safe: bool) -> Option<Result<Bound>> {
    let overloads: Vec<_> = FUNCTIONS.iter().filter(|definition| definition.name == name).collect();
    if overloads.is_empty() {
        return None;
    }
    let found = overloads.iter().find(|definition| definition.takes(&arguments));
    Some(match found {
        Some(definition) => definition.call(arguments, safe),
        None => Err(no_signature(&format!("function {name}"), arguments.iter())),
    })
}

impl Definition {
    fn takes(&self, arguments: &[Bound]) -> bool {
        (self.required..=self.parameters.len()).contains(&arguments.len())
            && arguments.iter().zip(self.parameters).all(|(bound, target)| coerces(bound, target))
    }

    fn call(&self, arguments: Vec<Bound>, safe: bool) -> Result<Bound> {
        let arguments = arguments
            .into_iter()
            .zip(self.parameters)
            .map(|(bound, target)| Ok(coerce(bound, target)?.node))
            .collect::<Result<_>>()?;
        let node =
            Node::Call(Call { function: Arc::new(self.code), arguments, strict: true, safe });
        Ok(Bound::new(node, self.result.clone()))
    }
}

// The arguments have the types of the table, so that the fallbacks below are never taken.

fn text(arguments: &[Value], at: usize) -> &str {
    arguments.get(at).and_then(Value::as_str).unwrap_or("")
}

fn bytes(arguments: &[Value], at: usize) -> &[u8] {
    match arguments.get(at) {
        Some(Value::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

fn integer(arguments: &[Value], at: usize) -> i64 {
    arguments.get(at).and_then(Value::as_i64).unwrap_or(0)
}

fn float(arguments: &[Value], at: usize) -> f64 {
    match arguments.get(at) {
        Some(Value::Float64(value)) => *value,
        _ => 0.0,
    }
}

fn instant(arguments: &[Value], at: usize) -> i64 {
    match arguments.get(at) {
        Some(Value::Timestamp(micros)) => *micros,
        _ => 0,
    }
}

fn count(count: usize) -> Value {
    Value::Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

fn timestamp(arguments: &[Value], unit: i64) -> Result<Value> {
    let micros =
        integer(arguments, 0).checked_mul(unit).filter(|micros| civil::is_instant(*micros));
    micros.map(Value::Timestamp).ok_or_else(|| SqlError::query("Timestamp is out of range"))
}

fn real(name: &str, arguments: &[Value], result: f64) -> Result<Value> {
    let finite =
        arguments.iter().all(|value| matches!(value, Value::Float64(value) if value.is_finite()));
    if finite && !result.is_finite() {
        return Err(SqlError::query(format!("Floating point error in function: {name}")));
    }
    Ok(Value::Float64(result))
}

fn logarithm(arguments: &[Value], function: fn(f64) -> f64) -> Result<Value> {
    if float(arguments, 0) <= 0.0 {
        return Err(SqlError::query("Floating point error in function: LOG"));
    }
    Ok(Value::Float64(function(float(arguments, 0))))
}

fn trim(arguments: &[Value], start: bool, end: bool) -> Value {
    let characters: Option<Vec<char>> =
        arguments.get(1).and_then(Value::as_str).map(|text| text.chars().collect());
    let matches = |c: char| match &characters {
        Some(characters) => characters.contains(&c),
        None => c.is_whitespace(),
    };
    let mut trimmed = text(arguments, 0);
    if start {
        trimmed = trimmed.trim_start_matches(matches);
    }
    if end {
        trimmed = trimmed.trim_end_matches(matches);
    }
    Value::string(trimmed)
}

fn substring(arguments: &[Value]) -> Result<Value> {
    let characters: Vec<char> = text(arguments, 0).chars().collect();
    let length = i64::try_from(characters.len()).unwrap_or(i64::MAX);
    let limit = if arguments.len() > 2 { integer(arguments, 2) } else { i64::MAX };
    if limit < 0 {
        return Err(SqlError::query("Third argument in SUBSTR() cannot be negative"));
    }
    let start = match integer(arguments, 1) {
        0 => 0,
        position if position > 0 => position - 1,
        position => length.saturating_add(position).max(0),
    };
    let take = characters.into_iter().skip(start as usize).take(limit as usize);
    Ok(take.collect::<String>().into())
}

fn side(arguments: &[Value], right: bool) -> Result<Value> {
    let wanted = usize::try_from(integer(arguments, 1))
        .map_err(|_| SqlError::query("Second argument in LEFT/RIGHT cannot be negative"))?;
    let length = text(arguments, 0).chars().count();
    let skipped = if right { length.saturating_sub(wanted) } else { 0 };
    let taken = text(arguments, 0).chars().skip(skipped).take(wanted);
    Ok(taken.collect::<String>().into())
}

fn position(text: &str, wanted: &str) -> Value {
    match text.find(wanted) {
        Some(at) => count(text[..at].chars().count() + 1),
        None => Value::Int64(0),
    }
}

/// Longest text a function may make, in bytes; BigQuery's own limit.
const TEXT_BYTES_MAX: usize = 1 << 20;

fn limited(text: String) -> Result<Value> {
    match text.len() {
        0..=TEXT_BYTES_MAX => Ok(text.into()),
        _ => Err(too_long()),
    }
}

fn too_long() -> SqlError {
    SqlError::query(format!("Output of a string function exceeds {TEXT_BYTES_MAX} bytes"))
}

fn replace(arguments: &[Value]) -> Result<Value> {
    match text(arguments, 1) {
        "" => Ok(arguments[0].clone()),
        from => limited(text(arguments, 0).replace(from, text(arguments, 2))),
    }
}

fn repeat(arguments: &[Value]) -> Result<Value> {
    let times = usize::try_from(integer(arguments, 1))
        .map_err(|_| SqlError::query("REPEAT count cannot be negative"))?;
    let fits =
        text(arguments, 0).len().checked_mul(times).is_some_and(|bytes| bytes <= TEXT_BYTES_MAX);
    if fits { Ok(text(arguments, 0).repeat(times).into()) } else { Err(too_long()) }
}

fn pad(arguments: &[Value], left: bool) -> Result<Value> {
    let wanted = usize::try_from(integer(arguments, 1))
        .ok()
        .filter(|wanted| *wanted <= TEXT_BYTES_MAX)
        .ok_or_else(|| SqlError::query("Second argument of LPAD/RPAD is out of range"))?;
    let pattern = if arguments.len() > 2 { text(arguments, 2) } else { " " };
    if pattern.is_empty() {
        return Err(SqlError::query("Pattern of LPAD/RPAD cannot be empty"));
    }
    let length = text(arguments, 0).chars().count();
    if length >= wanted {
        return Ok(text(arguments, 0).chars().take(wanted).collect::<String>().into());
    }
    let padding: String = pattern.chars().cycle().take(wanted - length).collect();
    let (before, after) = if left { (padding.as_str(), "") } else { ("", padding.as_str()) };
    limited(format!("{before}{}{after}", text(arguments, 0)))
}

fn to_hex(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn from_hex(arguments: &[Value]) -> Result<Value> {
    let digits: Option<Vec<u32>> =
        text(arguments, 0).chars().map(|digit| digit.to_digit(16)).collect();
    let mut digits =
        digits.ok_or_else(|| SqlError::query("Failed to decode invalid hexadecimal string"))?;
    if digits.len() % 2 == 1 {
        digits.insert(0, 0);
    }
    Ok(Value::Bytes(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()))
}

/// The part of a JSON document at a path like `$.a[0].b`; scalars as plain text if `scalar`, NULL if there is none.
fn json_path(arguments: &[Value], scalar: bool) -> Result<Value> {
    let path = if arguments.len() > 1 { text(arguments, 1) } else { "$" };
    let steps = path_steps(path)
        .ok_or_else(|| SqlError::query(format!("Unsupported or invalid JSONPath: {path}")))?;
    let Ok(document) = serde_json::from_str::<serde_json::Value>(text(arguments, 0)) else {
        return Ok(Value::Null);
    };
    let found = steps.iter().try_fold(&document, |value, step| match value {
        serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    });
    Ok(match (found, scalar) {
        (None | Some(serde_json::Value::Null), true) | (None, false) => Value::Null,
        (Some(serde_json::Value::String(text)), true) => Value::string(text),
        (Some(serde_json::Value::Array(_) | serde_json::Value::Object(_)), true) => Value::Null,
        (Some(other), _) => other.to_string().into(),
    })
}

fn path_steps(path: &str) -> Option<Vec<String>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(name) = rest.strip_prefix('.') {
            let quoted = name.strip_prefix('"').and_then(|name| name.split_once('"'));
            quoted.unwrap_or_else(|| name.split_at(name.find(['.', '[']).unwrap_or(name.len())))
        } else {
            rest.strip_prefix('[')?.split_once(']')?
        };
        let step = step.trim_matches(['\'', '"']);
        (!step.is_empty()).then(|| steps.push(step.to_owned()))?;
        rest = after;
    }
    Some(steps)
}
