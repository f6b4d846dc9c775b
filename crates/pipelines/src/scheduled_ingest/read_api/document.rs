//! The API's OpenAPI document, made from the table's schema. Source: the OpenAPI specification, version 3.1.

use std::collections::BTreeMap;

use millstream_io_gcp::bigquery::{Field, FieldType, Mode, TableSchema};
use serde_json::{Map, Value, json};

use super::super::identity::ID_DIGITS;
use super::super::message::ID;
use super::failure::{Failure, PROBLEM_JSON};
use super::observed::ROWS;

/// The document for rows with these columns.
pub(super) fn openapi(schema: &TableSchema) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ingested rows",
            "description": "Looks up rows that the pipeline scheduled-ingest wrote.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": {
            ROWS: {"get": {
                "operationId": "getRow",
                "summary": "The row with this id",
                "parameters": [{
                    "name": "id",
                    "in": "path",
                    "required": true,
                    "schema": {"type": "string", "pattern": pattern()},
                }],
                "responses": row_responses(),
            }},
            "/healthz": text_path("Whether the process answers", &[200]),
            "/readyz": text_path("Whether BigQuery answers about the table", &[200, 503]),
            "/metrics": text_path("Metrics in Prometheus' text format", &[200]),
            "/slo": json_path("Service levels and error budgets", "ServiceLevels"),
        },
        "components": {"schemas": {
            "Row": row_schema(schema),
            "Problem": problem_schema(),
            "ServiceLevels": levels_schema(),
        }},
    })
}

fn pattern() -> String {
    format!("^[0-9a-f]{{{ID_DIGITS}}}$")
}

fn reference(name: &str) -> Value {
    json!({"schema": {"$ref": format!("#/components/schemas/{name}")}})
}

fn row_responses() -> Value {
    let found = json!({
        "description": "The row",
        "content": {"application/json": reference("Row")},
    });
    let mut responses = Map::from_iter([("200".to_owned(), found)]);
    let mut failures = BTreeMap::<u16, Vec<Failure>>::new();
    for failure in Failure::OF_ROWS {
        failures.entry(failure.status().as_u16()).or_default().push(failure);
    }
    for (status, failures) in failures {
        let titles: Vec<&str> = failures.iter().map(|failure| failure.title()).collect();
        let mut response = json!({
            "description": titles.join("; "),
            "content": {PROBLEM_JSON: reference("Problem")},
        });
        if failures.iter().all(|failure| failure.retry_after().is_some()) {
            response["headers"]["Retry-After"] = json!({
                "description": "Seconds after which it is worth to ask again",
                "schema": {"type": "integer"},
            });
        }
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn text_path(summary: &str, codes: &[u16]) -> Value {
    let response = json!({
        "description": summary,
        "content": {"text/plain": {"schema": {"type": "string"}}},
    });
    let responses: Map<String, Value> =
        codes.iter().map(|code| (code.to_string(), response.clone())).collect();
    json!({"get": {"summary": summary, "responses": responses}})
}

fn json_path(summary: &str, schema: &str) -> Value {
    let content = json!({"application/json": reference(schema)});
    let response = json!({"description": summary, "content": content});
    json!({"get": {"summary": summary, "responses": {"200": response}}})
}

fn row_schema(schema: &TableSchema) -> Value {
    let fields = schema.fields();
    let columns: Map<String, Value> =
        fields.iter().map(|field| (field.name.clone(), column(field))).collect();
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    json!({
        "type": "object",
        "properties": columns,
        "required": names,
        "additionalProperties": false,
    })
}

/// The JSON schema of a column.
fn column(field: &Field) -> Value {
    let (kind, format) = match field.field_type {
        FieldType::Int64 => ("integer", Some("int64")),
        FieldType::Float64 => ("number", Some("double")),
        FieldType::Bool => ("boolean", None),
        FieldType::Timestamp => ("string", Some("date-time")),
        FieldType::Date => ("string", Some("date")),
        _ => ("string", None),
    };
    let mut column = match field.field_type {
        // Anything.
        FieldType::Json => json!({}),
        _ if field.mode == Mode::Required => json!({"type": kind}),
        _ => json!({"type": [kind, "null"]}),
    };
    if let Some(format) = format {
        column["format"] = json!(format);
    }
    if let Some(description) = &field.description {
        column["description"] = json!(description);
    }
    if field.name == ID {
        column["pattern"] = json!(pattern());
    }
    column
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457, Problem Details for HTTP APIs",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
        },
        "required": ["type", "title", "status"],
    })
}

fn levels_schema() -> Value {
    let number = json!({"type": "number"});
    let count = json!({"type": "integer"});
    let level = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "objective": number,
            "reached": number,
            "is_met": {"type": "boolean"},
            "error_budget_left": number,
            "good": count,
            "total": count,
        },
        "required": [
            "name", "objective", "reached", "is_met", "error_budget_left", "good", "total",
        ],
    });
    json!({
        "type": "object",
        "properties": {"service_levels": {"type": "array", "items": level}},
        "required": ["service_levels"],
    })
}
