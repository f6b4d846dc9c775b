//! Tests of decoding messages of types known only at run time.

use prost::Message as _;
use prost_types::field_descriptor_proto::Label;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
};

use super::*;
use crate::bigquery::schema::TableSchema;

fn proto_field(
    name: &str,
    number: i32,
    kind: Type,
    label: Label,
    type_name: &str,
) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: (!type_name.is_empty()).then(|| type_name.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn optional(name: &str, number: i32, kind: Type) -> FieldDescriptorProto {
    proto_field(name, number, kind, Label::Optional, "")
}

fn descriptor(fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some("Row".to_owned()), field: fields, ..DescriptorProto::default() }
}

fn plan(descriptor: &DescriptorProto, fields: Vec<Field>) -> Result<MessagePlan, String> {
    MessagePlan::new(descriptor, &TableSchema::new(fields), "s").map_err(|error| error.message)
}

fn decode(plan: &MessagePlan, row: Vec<u8>) -> Result<Vec<Value>, String> {
    decode_rows(plan, &[row.into()], &plan.missing_values())
        .map(|mut rows| rows.remove(0))
        .map_err(|mut errors| errors.remove(0).message)
}

/// The row most tests send, as prost encodes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(int64, optional, tag = "2")]
    at: Option<i64>,
    #[prost(sint32, repeated, tag = "3")]
    numbers: Vec<i32>,
    #[prost(message, optional, tag = "4")]
    place: Option<Place>,
    #[prost(message, optional, tag = "5")]
    count: Option<i64>,
    #[prost(message, optional, tag = "6")]
    seen: Option<prost_types::Timestamp>,
    #[prost(int32, optional, tag = "7")]
    color: Option<i32>,
    #[prost(double, optional, tag = "8")]
    ratio: Option<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Place {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    #[prost(float, optional, tag = "2")]
    height: Option<f32>,
}

fn full_descriptor() -> DescriptorProto {
    let value = |name: &str, number| EnumValueDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let color = EnumDescriptorProto {
        name: Some("Color".to_owned()),
        value: vec![value("RED", 0), value("BLUE", 2)],
        ..EnumDescriptorProto::default()
    };
    let place = DescriptorProto {
        name: Some("Place".to_owned()),
        field: vec![
            proto_field("names", 1, Type::String, Label::Repeated, ""),
            optional("height", 2, Type::Float),
        ],
        ..DescriptorProto::default()
    };
    DescriptorProto {
        nested_type: vec![place],
        enum_type: vec![color],
        ..descriptor(vec![
            optional("ID", 1, Type::String),
            optional("at", 2, Type::Int64),
            proto_field("numbers", 3, Type::Sint32, Label::Repeated, ""),
            proto_field("place", 4, Type::Message, Label::Optional, ".demo.Row.Place"),
            proto_field("count", 5, Type::Message, Label::Optional, ".google.protobuf.Int64Value"),
            proto_field("seen", 6, Type::Message, Label::Optional, "google_protobuf_Timestamp"),
            proto_field("color", 7, Type::Enum, Label::Optional, "Color"),
            optional("ratio", 8, Type::Double),
        ])
    }
}

fn full_table() -> Vec<Field> {
    vec![
        Field::required("id", FieldType::String),
        Field::nullable("ratio", FieldType::Numeric),
        Field::nullable("at", FieldType::Timestamp),
        Field::repeated("numbers", FieldType::Int64),
        Field::nullable(
            "place",
            FieldType::Struct(vec![
                Field::nullable("height", FieldType::Float64),
                Field::repeated("names", FieldType::String),
            ]),
        ),
        Field::nullable("count", FieldType::Int64),
        Field::nullable("seen", FieldType::Timestamp),
        Field::nullable("color", FieldType::String),
    ]
}

#[test]
fn nested_repeated_enum_and_wrapper_fields_are_decoded() {
    let plan = plan(&full_descriptor(), full_table()).unwrap();
    let row = Row {
        id: Some("a".to_owned()),
        at: Some(5),
        numbers: vec![-1, 300],
        place: Some(Place { names: vec!["x".to_owned(), "y".to_owned()], height: Some(1.5) }),
        count: Some(9),
        seen: Some(prost_types::Timestamp { seconds: 2, nanos: 3_000 }),
        color: Some(2),
        ratio: Some(0.25),
    };
    let texts = |texts: [&str; 2]| Value::Array(texts.map(Value::string).into());
    let expected = vec![
        Value::string("a"),
        Value::Numeric(250_000_000),
        Value::Timestamp(5),
        Value::Array([Value::Int64(-1), Value::Int64(300)].into()),
        Value::Struct([Value::Float64(1.5), texts(["x", "y"])].into()),
        Value::Int64(9),
        Value::Timestamp(2_000_003),
        Value::string("BLUE"),
    ];
    assert_eq!(decode(&plan, row.encode_to_vec()).unwrap(), expected);
}

#[test]
fn fields_a_row_lacks_are_null_or_empty_or_their_default() {
    let plan = plan(&full_descriptor(), full_table()).unwrap();
    let row = decode(&plan, Vec::new()).unwrap();
    assert_eq!(row[0], Value::Null);
    assert_eq!(row[3], Value::Array(Arc::from([])));
    let mut missing = plan.missing_values();
    missing[2] = Value::Timestamp(77);
    let rows = decode_rows(&plan, &[Bytes::new()], &missing).unwrap();
    assert_eq!(rows[0][2], Value::Timestamp(77));
}

#[test]
fn an_empty_wrapper_is_its_default_and_unpacked_lists_are_read() {
    let plan = plan(&full_descriptor(), full_table()).unwrap();
    // Field 5 with an empty message; field 3 twice, unpacked: zigzag 1 is -1, 4 is 2.
    let row = decode(&plan, vec![0x2a, 0x00, 0x18, 0x01, 0x18, 0x04]).unwrap();
    assert_eq!(row[5], Value::Int64(0));
    assert_eq!(row[3], Value::Array([Value::Int64(-1), Value::Int64(2)].into()));
}

#[test]
fn bad_rows_are_told_by_index_and_good_ones_are_not() {
    let descriptor = descriptor(vec![optional("n", 1, Type::String)]);
    let plan = plan(&descriptor, vec![Field::nullable("n", FieldType::Int64)]).unwrap();
    let text = |text: &str| Row { id: Some(text.to_owned()), ..Row::default() }.encode_to_vec();
    let rows = [text("1").into(), text("x").into(), Bytes::from_static(&[0x0a, 0x09])];
    let errors = decode_rows(&plan, &rows, &plan.missing_values()).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), vec![1, 2]);
    assert_eq!(errors[0].message, "Field n: Could not convert value to INTEGER: 'x'");
    assert!(errors[1].message.contains("truncated"), "{errors:?}");
}

#[test]
fn messages_that_do_not_fit_the_table_are_refused_when_the_schema_comes() {
    let id = || optional("id", 1, Type::String);
    let table = || vec![Field::required("id", FieldType::String)];
    let extra = descriptor(vec![id(), optional("other", 2, Type::Bool)]);
    let error = plan(&extra, table()).unwrap_err();
    assert_eq!(error, "Input schema has more fields than BigQuery schema, extra fields: 'other'");

    let error = plan(&descriptor(vec![]), table()).unwrap_err();
    assert_eq!(error, "Missing required field: 'id'");

    let number = descriptor(vec![optional("id", 1, Type::Int32)]);
    let error = plan(&number, table()).unwrap_err();
    assert!(error.contains("at Row.id, the proto field type int32, BigQuery field type STRING"));

    let list = descriptor(vec![proto_field("id", 1, Type::String, Label::Repeated, "")]);
    assert!(plan(&list, table()).unwrap_err().contains("the proto field type repeated string"));
}
