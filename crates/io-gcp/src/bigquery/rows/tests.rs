//! Tests of the encoder as a whole: what arrives in Arrow, what is refused and in which words.

use std::collections::BTreeMap;
use std::io::Cursor;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_buffer::i256;
use millstream::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{RowEncoder, SchemaPolicy};
use crate::bigquery::{Field, FieldType, TableSchema};

fn encoder(fields: impl IntoIterator<Item = Field>) -> RowEncoder {
    RowEncoder::new(&fields.into_iter().collect(), SchemaPolicy::Freeze).unwrap()
}

/// The reason why `row` is refused by a table with the one column `c`.
fn reason(field_type: FieldType, value: Value) -> String {
    let mut encoder = encoder([Field::required("c", field_type)]);
    encoder.push(&json!({ "c": value })).unwrap_err().to_string()
}

fn every_type() -> TableSchema {
    TableSchema::new()
        .field(Field::required("s", FieldType::String))
        .field(Field::nullable("b", FieldType::Bytes))
        .field(Field::nullable("i", FieldType::Int64))
        .field(Field::nullable("f", FieldType::Float64))
        .field(Field::nullable("n", FieldType::Numeric))
        .field(Field::nullable("bn", FieldType::BigNumeric))
        .field(Field::nullable("t", FieldType::Bool))
        .field(Field::nullable("at", FieldType::Timestamp))
        .field(Field::nullable("d", FieldType::Date))
        .field(Field::nullable("tm", FieldType::Time))
        .field(Field::nullable("dt", FieldType::DateTime))
        .field(Field::nullable("j", FieldType::Json))
        .field(Field::nullable("g", FieldType::Geography))
        .field(Field::repeated("tags", FieldType::String))
        .field(Field::nullable(
            "place",
            FieldType::record([
                Field::required("city", FieldType::String),
                Field::repeated("xy", FieldType::Float64),
            ]),
        ))
}

#[derive(Serialize)]
enum Colour {
    Red,
}

#[derive(Serialize)]
struct Place {
    xy: (f32, i8),
    city: &'static str,
}

#[derive(Serialize)]
struct Row {
    place: Option<Place>,
    s: Colour,
    b: Vec<u8>,
    i: u64,
    f: f32,
    n: f64,
    bn: i128,
    t: bool,
    at: Timestamp,
    d: &'static str,
    tm: &'static str,
    dt: i64,
    j: Value,
    g: &'static str,
    #[serde(flatten)]
    rest: BTreeMap<String, Vec<String>>,
}

fn row() -> Row {
    Row {
        place: Some(Place { xy: (0.5, -1), city: "Zürich" }),
        s: Colour::Red,
        b: vec![0, 255],
        i: 7,
        f: 0.25,
        n: 0.1,
        bn: -(10_i128.pow(37)),
        t: true,
        at: Timestamp::from_micros(1_500_000),
        d: "1970-01-03",
        tm: "00:00:01",
        dt: 5,
        j: json!({"deep": [1, null, "x"]}),
        g: "POINT(1 2)",
        rest: BTreeMap::from([("tags".to_owned(), vec!["a".to_owned(), "b".to_owned()])]),
    }
}

#[test]
fn every_type_arrives_in_its_arrow_column() {
    let mut encoder = RowEncoder::new(&every_type(), SchemaPolicy::Freeze).unwrap();
    encoder.push(&row()).unwrap();
    encoder.push(&json!({"s": "only what is required"})).unwrap();
    let batch = encoder.finish().unwrap();
    let column = |name: &str| batch.column_by_name(name).unwrap();

    assert_eq!(column("s").as_string::<i32>().value(0), "Red");
    assert_eq!(column("b").as_binary::<i32>().value(0), [0, 255]);
    assert_eq!(column("i").as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(column("f").as_primitive::<Float64Type>().value(0), 0.25);
    assert_eq!(column("n").as_primitive::<Decimal128Type>().value(0), 100_000_000);
    let scaled = i256::from_string(&format!("-1{}", "0".repeat(75))).unwrap();
    assert_eq!(column("bn").as_primitive::<Decimal256Type>().value(0), scaled);
    assert!(column("t").as_boolean().value(0));
    assert_eq!(column("at").as_primitive::<TimestampMicrosecondType>().value(0), 1_500_000);
    assert_eq!(column("d").as_primitive::<Date32Type>().value(0), 2);
    assert_eq!(column("tm").as_primitive::<Time64MicrosecondType>().value(0), 1_000_000);
    assert_eq!(column("dt").as_primitive::<TimestampMicrosecondType>().value(0), 5);
    assert_eq!(column("j").as_string::<i32>().value(0), r#"{"deep":[1,null,"x"]}"#);
    assert_eq!(column("g").as_string::<i32>().value(0), "POINT(1 2)");
    let tags = column("tags").as_list::<i32>();
    assert_eq!(tags.value(0).as_string::<i32>().value(1), "b");
    let place = column("place").as_struct();
    assert_eq!(place.column(0).as_string::<i32>().value(0), "Zürich");
    let xy = place.column(1).as_list::<i32>().value(0);
    assert_eq!(xy.as_primitive::<Float64Type>().values(), &[0.5, -1.0]);

    for field in every_type().fields().iter().skip(1).filter(|field| field.name != "tags") {
        assert!(column(&field.name).is_null(1), "{}", field.name);
    }
    assert_eq!(tags.value(1).len(), 0);
}

#[test]
fn the_messages_are_readable_as_an_arrow_stream_again_and_again() {
    let mut encoder = RowEncoder::new(&every_type(), SchemaPolicy::Freeze).unwrap();
    let schema = encoder.schema_message().unwrap();
    for round in 0..3 {
        for _ in 0..=round {
            encoder.push(&row()).unwrap();
        }
        let stream = [schema.as_ref(), encoder.finish_message().unwrap().as_ref()].concat();
        let mut reader =
            arrow_ipc::reader::StreamReader::try_new(Cursor::new(stream), None).unwrap();
        let batch: RecordBatch = reader.next().unwrap().unwrap();
        assert_eq!(batch.num_rows(), round + 1);
        assert_eq!(batch.schema(), *encoder.arrow_schema());
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_refused_row_leaves_no_trace() {
    let mut encoder = RowEncoder::new(&every_type(), SchemaPolicy::Freeze).unwrap();
    encoder.push(&row()).unwrap();
    let bytes = encoder.bytes();
    for bad in [
        json!({"s": "x", "tags": ["a", 1]}),
        json!({"s": "x", "i": 1, "place": {"city": "x", "xy": [1.0, "y"]}}),
        json!({"s": "x", "n": "1", "bn": "1", "b": "AA==", "place": {"xy": []}}),
        json!({"place": {"city": "x"}, "j": {}, "at": 1, "d": 1, "tm": 1, "dt": 1, "t": true}),
    ] {
        encoder.push(&bad).unwrap_err();
        assert_eq!((encoder.rows(), encoder.bytes()), (1, bytes), "{bad}");
    }
    encoder.push(&row()).unwrap();
    let batch = encoder.finish().unwrap();
    assert_eq!(batch.slice(0, 1), batch.slice(1, 1));
}

#[test]
fn refusals_name_the_column_what_it_takes_and_what_was_given() {
    use FieldType::{Bool, Bytes, Date, Float64, Int64, Numeric, String, Time, Timestamp};
    for (field_type, value, expected) in [
        (Int64, json!("5"), "column \"c\": expected INT64, got text \"5\""),
        (Int64, json!(1.5), "column \"c\": expected INT64, got number 1.5"),
        (Int64, json!(u64::MAX), "column \"c\": expected INT64, got integer 18446744073709551615"),
        (Int64, Value::Null, "column \"c\": expected INT64 (REQUIRED), got null"),
        (String, json!(1), "column \"c\": expected STRING, got integer 1"),
        (String, json!(["x"]), "column \"c\": expected STRING, got a list"),
        (String, json!({"x": 1}), "column \"c\": expected STRING, got a record"),
        (Bool, json!("true"), "column \"c\": expected BOOL, got text \"true\""),
        (Float64, json!("1.0"), "column \"c\": expected FLOAT64, got text \"1.0\""),
        (Bytes, json!("%"), "column \"c\": expected BYTES (bytes or base64 text), got text \"%\""),
        (Bytes, json!([1, 256]), "column \"c[1]\": expected BYTES (bytes or base64 text), got 256"),
        (
            Numeric,
            json!("0.0000000001"),
            "column \"c\": expected NUMERIC (29 digits before, 9 behind the point), got 0.0000000001, which has more digits behind the point",
        ),
        (
            Timestamp,
            json!("2024-01-31"),
            "column \"c\": expected TIMESTAMP (RFC 3339 text or microseconds, years 1 to 9999), got text \"2024-01-31\"",
        ),
        (
            Timestamp,
            json!(millstream::Timestamp::MAX),
            "column \"c\": expected TIMESTAMP (RFC 3339 text or microseconds, years 1 to 9999), got integer 9223372036854775000",
        ),
        (
            Date,
            json!(2_932_897),
            "column \"c\": expected DATE (such as 2024-01-31, years 1 to 9999), got integer 2932897",
        ),
        (Time, json!(-1), "column \"c\": expected TIME (such as 12:30:00.5), got integer -1"),
    ] {
        assert_eq!(reason(field_type, value), expected);
    }
}

#[test]
fn shapes_that_are_no_row_are_refused() {
    let nested =
        Field::repeated("lines", FieldType::record([Field::required("sku", FieldType::String)]));
    let mut encoder = encoder([Field::required("id", FieldType::Int64), nested]);
    let mut refused = |row: Value| encoder.push(&row).unwrap_err().to_string();
    assert_eq!(refused(json!([1])), "expected a row: a struct or a map, got a list");
    assert_eq!(refused(json!(null)), "expected a row: a struct or a map, got nothing");
    assert_eq!(refused(json!({})), "column \"id\": expected INT64 (REQUIRED), got no such field");
    assert_eq!(
        refused(json!({"id": 1, "lines": [{"sku": "a"}, {"sku": 2}]})),
        "column \"lines[1].sku\": expected STRING, got integer 2"
    );
    assert_eq!(
        refused(json!({"id": 1, "lines": [null]})),
        "column \"lines[0]\": expected STRUCT (REQUIRED), got null"
    );
    assert_eq!(
        refused(json!({"id": 1, "lines": {}})),
        "column \"lines\": expected a list (REPEATED), got a record"
    );
    assert_eq!(
        refused(json!({"id": 1, "ID": 2})),
        "column \"id\": expected one value, got two fields of this name"
    );
    let numbered: BTreeMap<u8, u8> = BTreeMap::from([(1, 1)]);
    let message = encoder.push(&numbered).unwrap_err().to_string();
    assert_eq!(message, "expected the name of a field, got a number");
}

#[test]
fn unknown_fields_are_refused_or_dropped_by_policy() {
    let schema = TableSchema::new().field(Field::nullable("a", FieldType::Int64));
    let row = json!({"a": 1, "extra": {"deep": true}});
    let mut strict = RowEncoder::new(&schema, SchemaPolicy::Freeze).unwrap();
    assert_eq!(
        strict.push(&row).unwrap_err().to_string(),
        "column \"extra\": expected a column of the table, got a field that the table does not have"
    );
    let mut lenient = RowEncoder::new(&schema, SchemaPolicy::DropUnknown).unwrap();
    lenient.push(&row).unwrap();
    assert_eq!((lenient.rows(), lenient.dropped_values()), (1, 1));
}

#[test]
fn column_names_are_found_whatever_their_case_and_order() {
    let mut encoder = encoder([
        Field::required("userId", FieldType::Int64),
        Field::required("name", FieldType::String),
    ]);
    for _ in 0..2 {
        encoder.push(&json!({"USERID": 1, "name": "x"})).unwrap();
        encoder
            .push(
                &[("name", Value::from("y")), ("userid", Value::from(2))]
                    .into_iter()
                    .collect::<BTreeMap<_, _>>(),
            )
            .unwrap();
    }
    let batch = encoder.finish().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 1, 2]);
}

#[test]
fn null_and_json_null_are_the_same_nothing_in_a_json_column() {
    let mut encoder = encoder([Field::nullable("j", FieldType::Json)]);
    for row in [json!({"j": null}), json!({}), json!({"j": "null"}), json!({"j": 0})] {
        encoder.push(&row).unwrap();
    }
    let batch = encoder.finish().unwrap();
    let column = batch.column(0).as_string::<i32>();
    assert_eq!(
        (0..4).map(|row| column.is_null(row)).collect::<Vec<_>>(),
        [true, true, false, false]
    );
    assert_eq!(column.value(2), "\"null\"");
}

#[test]
fn a_row_beyond_the_limit_is_refused_with_its_size() {
    let mut encoder = encoder([Field::required("s", FieldType::String)]);
    encoder.push_within(&json!({"s": "x".repeat(96)}), 100).unwrap();
    let refusal = encoder.push_within(&json!({"s": "x".repeat(97)}), 100).unwrap_err();
    assert_eq!(refusal.to_string(), "expected a row of at most 100 bytes, got 101 bytes");
    assert_eq!(encoder.rows(), 1);
}

#[test]
fn floats_become_the_shortest_decimal_that_denotes_them() {
    let mut encoder = encoder([Field::required("n", FieldType::Numeric)]);
    encoder.push(&BTreeMap::from([("n", 0.1_f32)])).unwrap();
    encoder.push(&BTreeMap::from([("n", 1e-9_f64)])).unwrap();
    encoder.push(&BTreeMap::from([("n", 123_456_789.5_f64)])).unwrap();
    assert!(encoder.push(&BTreeMap::from([("n", f64::NAN)])).is_err());
    assert!(encoder.push(&BTreeMap::from([("n", 1e29_f64)])).is_err());
    let batch = encoder.finish().unwrap();
    let values = batch.column(0).as_primitive::<Decimal128Type>().values().to_vec();
    assert_eq!(values, [100_000_000, 1, 123_456_789_500_000_000]);
}
