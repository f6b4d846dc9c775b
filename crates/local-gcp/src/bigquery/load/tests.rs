//! Tests of load jobs: a file and a configuration in, rows and faults out.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::run::options_of;
use super::{Loaded, load};
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};
use crate::bigquery::{BigQuery, TableName, Value};
use crate::clock::{ManualClock, Timestamp};

fn table() -> TableName {
    TableName::new("p", "d", "t")
}

fn bigquery() -> BigQuery {
    let clock = ManualClock::new(Timestamp::from_secs(1_700_000_000));
    let bigquery = BigQuery::in_memory(Arc::new(clock));
    bigquery.ensure_dataset(&table().dataset).unwrap();
    bigquery
}

fn with_table(fields: Vec<Field>) -> BigQuery {
    let bigquery = bigquery();
    bigquery.ensure_table(&table(), &TableSchema::new(fields)).unwrap();
    bigquery
}

fn two_columns() -> BigQuery {
    with_table(vec![
        Field::required("n", FieldType::Int64),
        Field::nullable("text", FieldType::String),
    ])
}

fn run(bigquery: &BigQuery, configuration: Json, file: &str) -> Loaded {
    load(bigquery, options_of(configuration), file.as_bytes())
}

/// Loads what must load.
fn rows(bigquery: &BigQuery, configuration: Json, file: &str) -> Vec<Vec<Value>> {
    let loaded = run(bigquery, configuration, file);
    assert_eq!(loaded.failure, None);
    bigquery.rows(&table())
}

fn schema(bigquery: &BigQuery) -> Vec<(String, FieldType, Mode)> {
    let schema = bigquery.read(|state| state.table(&table()).unwrap().schema.clone());
    schema.fields.into_iter().map(|it| (it.name, it.field_type, it.mode)).collect()
}

#[test]
fn csv_becomes_rows_and_an_empty_field_is_nothing_unless_quoted() {
    let file = "n,text\r\n1,a\r\n2,\r\n3,\"\"\r\n\r\n0x10,\"with \"\"quotes\"\", and commas\"\r\n";
    let rows = rows(&two_columns(), json!({"skipLeadingRows": "1"}), file);
    let expected = [
        [Value::Int64(1), Value::string("a")],
        [Value::Int64(2), Value::Null],
        [Value::Int64(3), Value::string("")],
        [Value::Int64(16), Value::string("with \"quotes\", and commas")],
    ];
    assert_eq!(rows, expected);
}

#[test]
fn csv_is_spelled_as_the_job_says() {
    let configuration = json!({
        "fieldDelimiter": "\\t", "quote": "'", "nullMarker": "\\N", "allowQuotedNewlines": true,
        "allowJaggedRows": true, "ignoreUnknownValues": true, "encoding": "ISO-8859-1",
    });
    let file = b"1\t'a\nb'\n2\t\\N\n3\n4\t\n5\tcaf\xe9\tmore\n";
    let bigquery = two_columns();
    let loaded = load(&bigquery, options_of(configuration), file);
    assert_eq!(loaded.failure, None);
    let texts: Vec<_> = bigquery.rows(&table()).into_iter().map(|row| row[1].clone()).collect();
    let expected = [
        Value::string("a\nb"),
        Value::Null,
        Value::Null,
        Value::string(""),
        Value::string("caf\u{e9}"),
    ];
    assert_eq!(texts, expected);
}

#[test]
fn bad_rows_are_told_with_their_lines_and_stop_a_job_beyond_their_number() {
    let file = "1,a\nx,b\n3\n4,d,e\n,f\n6,\"g\nh\"\n7,i\n";
    let bigquery = two_columns();
    let refused = run(&bigquery, json!({"maxBadRecords": 4}), file);
    let failure = refused.failure.unwrap();
    assert!(failure.message.contains("Rows: 7; errors: 5"), "{failure}");
    assert_eq!(bigquery.row_count(&table()), 0);
    let errors: Vec<_> = refused.errors.iter().map(|error| error.message.as_str()).collect();
    for (error, told) in errors.iter().zip([
        "Could not parse 'x' as INTEGER for column n; line 2",
        "Too few values in row: 1, the schema has 2 columns; line 3",
        "Too many values in row: 3, the schema has 2 columns; line 4",
        "Required column value for column n is missing; line 5",
        "allowQuotedNewlines allows it; line 6",
    ]) {
        assert!(error.ends_with(told), "{error}");
    }
    let loaded = run(&bigquery, json!({"maxBadRecords": "5"}), file);
    assert_eq!((loaded.failure, loaded.rows, loaded.bad_rows), (None, 2, 5));
    assert_eq!((loaded.file_bytes, loaded.bytes), (file.len() as u64, 2 * (8 + 3)));
    assert_eq!(bigquery.row_count(&table()), 2);
}

const JSON_LINES: &str = "NEWLINE_DELIMITED_JSON";

#[test]
fn json_lines_become_rows_with_records_lists_and_documents() {
    let inner = vec![Field::nullable("x", FieldType::Float64)];
    let bigquery = with_table(vec![
        Field::required("n", FieldType::Int64),
        Field::nullable("inner", FieldType::Struct(inner)),
        Field::repeated("tags", FieldType::String),
        Field::nullable("doc", FieldType::Json),
    ]);
    let file = "{\"n\": \"1\", \"inner\": {\"x\": 1.5}, \"tags\": [\"a\", \"b\"], \"doc\": {\"k\": [1]}}\n\n{\"n\": 2}";
    let rows = rows(&bigquery, json!({"sourceFormat": JSON_LINES}), file);
    let tags: Arc<[Value]> = Arc::from([Value::string("a"), Value::string("b")]);
    let record = Value::Struct(Arc::from([Value::Float64(1.5)]));
    let document = Value::Json("{\"k\":[1]}".into());
    let expected = [
        [Value::Int64(1), record, Value::Array(tags), document],
        [Value::Int64(2), Value::Null, Value::Array(Arc::from([])), Value::Null],
    ];
    assert_eq!(rows, expected);
    let bad = run(&bigquery, json!({"sourceFormat": JSON_LINES}), "{\"n\": 3}\nnot json\n");
    assert!(bad.errors[0].message.ends_with("; line 2"), "{:?}", bad.errors);
    let unknown = json!({"sourceFormat": JSON_LINES, "ignoreUnknownValues": true});
    assert_eq!(run(&bigquery, unknown, "{\"n\": 3, \"more\": 1}").failure, None);
}

#[test]
fn a_csv_schema_is_detected_with_its_header() {
    let bigquery = bigquery();
    let file = "id,at,Day of week,ratio,ok,empty\n1,2024-05-01 12:00:00,mon,1,true,\n2,2024-05-02,tue,2.5,false,\n";
    let rows = rows(&bigquery, json!({"autodetect": true}), file);
    let nullable = |name: &str, kind| (name.to_owned(), kind, Mode::Nullable);
    let expected = [
        nullable("id", FieldType::Int64),
        nullable("at", FieldType::Timestamp),
        nullable("Day_of_week", FieldType::String),
        nullable("ratio", FieldType::Float64),
        nullable("ok", FieldType::Bool),
        nullable("empty", FieldType::String),
    ];
    assert_eq!(schema(&bigquery), expected);
    assert_eq!((rows.len(), &rows[1][3]), (2, &Value::Float64(2.5)));
    assert_eq!(rows[1][1], Value::Timestamp(1_714_608_000_000_000));
}

#[test]
fn without_a_header_columns_are_named_by_type_and_place() {
    let bigquery = bigquery();
    rows(&bigquery, json!({"autodetect": true}), "1,a\n2,b\n");
    let names: Vec<_> = schema(&bigquery).into_iter().map(|field| field.0).collect();
    assert_eq!(names, ["int64_field_0", "string_field_1"]);
}

#[test]
fn a_json_schema_is_detected_from_all_rows() {
    let bigquery = bigquery();
    let file = "{\"a\": 1, \"r\": {\"x\": 1}}\n{\"a\": 1.5, \"r\": {\"y\": [\"2024-01-01\"]}, \"s\": \"5\"}\n";
    rows(&bigquery, json!({"sourceFormat": JSON_LINES, "autodetect": true}), file);
    let record =
        vec![Field::nullable("x", FieldType::Int64), Field::repeated("y", FieldType::Date)];
    let nullable = |name: &str, kind| (name.to_owned(), kind, Mode::Nullable);
    let expected = [
        nullable("a", FieldType::Float64),
        nullable("r", FieldType::Struct(record)),
        nullable("s", FieldType::String),
    ];
    assert_eq!(schema(&bigquery), expected);
}

#[test]
fn columns_are_added_and_relaxed_only_when_the_job_may() {
    let given = json!({"fields": [{"name": "text", "type": "STRING"}, {"name": "n", "type": "INTEGER"}, {"name": "m", "type": "FLOAT"}]});
    let file = "a,1,2.5\nb,,3\n";
    let bigquery = two_columns();
    run(&bigquery, json!({}), "7,old\n");
    for (options, told) in [
        (json!([]), "Field n has changed mode from REQUIRED to NULLABLE"),
        (json!(["ALLOW_FIELD_RELAXATION"]), "Cannot add fields (field: m)"),
        (json!(["ALLOW_FIELD_ADDITION"]), "Field n has changed mode from REQUIRED to NULLABLE"),
    ] {
        let configuration = json!({"schema": given, "schemaUpdateOptions": options});
        let failure = run(&bigquery, configuration, file).failure.unwrap();
        assert!(failure.message.ends_with(told), "{failure}");
    }
    let both = json!(["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"]);
    let loaded = rows(&bigquery, json!({"schema": given, "schemaUpdateOptions": both}), file);
    let expected = [
        [Value::Int64(7), Value::string("old"), Value::Null],
        [Value::Int64(1), Value::string("a"), Value::Float64(2.5)],
        [Value::Null, Value::string("b"), Value::Float64(3.0)],
    ];
    assert_eq!(loaded, expected);
}

#[test]
fn a_table_is_emptied_replaced_or_missed() {
    let bigquery = two_columns();
    run(&bigquery, json!({}), "1,a\n");
    let truncate = |file: &str| run(&bigquery, json!({"writeDisposition": "WRITE_TRUNCATE"}), file);
    assert_eq!(truncate("2,b\n3,c\n").rows, 2);
    assert_eq!(bigquery.row_count(&table()), 2);
    assert_eq!(truncate("").failure, None);
    assert_eq!(bigquery.row_count(&table()), 0);
    let none = json!({"createDisposition": "CREATE_NEVER"});
    let missing = load(&self::bigquery(), options_of(none), b"1,a\n").failure.unwrap();
    assert_eq!(missing.message, "Not found: Table p:d.t");
    let unknown = run(&self::bigquery(), json!({}), "1,a\n").failure.unwrap();
    assert_eq!(unknown.message, "No schema specified on job or table.");
}
