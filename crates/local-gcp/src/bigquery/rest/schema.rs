//! Table schemas as JSON.

use serde_json::{Map, Value as Json, json};

use crate::bigquery::error::ApiError;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};

/// Deeper schemas are refused before the state refuses them, because reading recurses.
const NESTING_MAX: usize = 20;

/// A schema as clients get it.
pub(in crate::bigquery) fn to_json(schema: &TableSchema) -> Json {
    json!({ "fields": schema.fields.iter().map(field_to_json).collect::<Vec<_>>() })
}

fn field_to_json(field: &Field) -> Json {
    let mut json = Map::new();
    json.insert("name".to_owned(), field.name.clone().into());
    json.insert("type".to_owned(), field.field_type.rest_name().into());
    json.insert("mode".to_owned(), field.mode.rest_name().into());
    let texts = [
        ("description", field.description.clone()),
        ("maxLength", field.max_length.map(|length| length.to_string())),
        ("precision", field.precision.map(|precision| precision.to_string())),
        ("scale", field.scale.map(|scale| scale.to_string())),
        ("defaultValueExpression", field.default_value_expression.clone()),
    ];
    for (name, text) in texts {
        json.extend(text.map(|text| (name.to_owned(), text.into())));
    }
    if let FieldType::Struct(fields) = &field.field_type {
        json.insert("fields".to_owned(), fields.iter().map(field_to_json).collect());
    }
    json.into()
}

/// Reads the schema of a request; `None` if it has none.
///
/// # Errors
/// When a field is malformed or of a type this server does not have.
pub(in crate::bigquery) fn from_json(json: &Json) -> Result<Option<TableSchema>, ApiError> {
    match json {
        Json::Null => Ok(None),
        json => Ok(Some(TableSchema::new(fields_from_json(&json["fields"], 0)?))),
    }
}

fn fields_from_json(json: &Json, depth: usize) -> Result<Vec<Field>, ApiError> {
    if depth > NESTING_MAX {
        return Err(ApiError::invalid("The schema is nested too deeply"));
    }
    match json {
        Json::Null => Ok(Vec::new()),
        Json::Array(fields) => fields.iter().map(|field| field_from_json(field, depth)).collect(),
        _ => Err(ApiError::invalid("The fields of a schema must be a list")),
    }
}

fn field_from_json(json: &Json, depth: usize) -> Result<Field, ApiError> {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let name =
        text("name").ok_or_else(|| ApiError::invalid("A field of the schema has no name"))?;
    let type_name = text("type").unwrap_or_default();
    let field_type = match type_name.to_ascii_uppercase().as_str() {
        "RECORD" | "STRUCT" => FieldType::Struct(fields_from_json(&json["fields"], depth + 1)?),
        "INTERVAL" | "RANGE" => {
            let message =
                format!("Field {name}: type {type_name} is not supported by this local BigQuery");
            return Err(ApiError::invalid(message));
        }
        scalar => FieldType::scalar(scalar).ok_or_else(|| {
            ApiError::invalid(format!("Invalid value for type: {type_name} is not a valid value"))
        })?,
    };
    let mode = match text("mode").unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "NULLABLE" => Mode::Nullable,
        "REQUIRED" => Mode::Required,
        "REPEATED" => Mode::Repeated,
        other => {
            return Err(ApiError::invalid(format!(
                "Invalid value for mode: {other} is not a valid value"
            )));
        }
    };
    // Numbers come as texts or as numbers.
    let number = |key: &str| match &json[key] {
        Json::Null => Ok(None),
        Json::String(text) => text.parse().map(Some).map_err(|_| ()),
        other => other.as_i64().map(Some).ok_or(()),
    };
    let number = |key: &str| {
        number(key).map_err(|()| ApiError::invalid(format!("Field {name}: invalid {key}")))
    };
    let (max_length, precision, scale) =
        (number("maxLength")?, number("precision")?, number("scale")?);
    let mut field = Field::new(name.clone(), field_type, mode);
    field.description = text("description");
    field.default_value_expression = text("defaultValueExpression");
    (field.max_length, field.precision, field.scale) = (max_length, precision, scale);
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_survive_a_round_trip_in_the_names_of_the_api() {
        let json = json!({"fields": [
            {"name": "id", "type": "INTEGER", "mode": "REQUIRED", "description": "key"},
            {"name": "price", "type": "NUMERIC", "mode": "NULLABLE", "precision": "10", "scale": "2"},
            {"name": "lines", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "sku", "type": "STRING", "mode": "NULLABLE", "maxLength": "8"},
            ]},
        ]});
        let schema = from_json(&json).unwrap().unwrap();
        assert_eq!(to_json(&schema), json);
    }

    #[test]
    fn sql_names_and_plain_numbers_are_understood() {
        let json = json!({"fields": [
            {"name": "a", "type": "int64"},
            {"name": "b", "type": "STRING", "maxLength": 3},
        ]});
        let schema = from_json(&json).unwrap().unwrap();
        assert_eq!(schema.fields[0], Field::nullable("a", FieldType::Int64));
        assert_eq!(schema.fields[1].max_length, Some(3));
        assert_eq!(from_json(&Json::Null), Ok(None));
    }

    #[test]
    fn bad_fields_are_refused() {
        let error = |field: Json| from_json(&json!({"fields": [field]})).unwrap_err().message;
        assert!(error(json!({"type": "STRING"})).contains("no name"));
        assert!(error(json!({"name": "a", "type": "TEXT"})).contains("TEXT is not a valid value"));
        assert!(error(json!({"name": "a", "type": "INTERVAL"})).contains("not supported"));
        assert!(error(json!({"name": "a", "type": "STRING", "mode": "MANY"})).contains("MANY"));
        assert!(
            error(json!({"name": "a", "type": "STRING", "maxLength": "x"})).contains("maxLength")
        );
    }
}
