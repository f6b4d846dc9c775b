//! A definition that messages can be checked against.

use std::collections::BTreeMap;

use super::{binary, json, parse};
use crate::proto::pubsub::{Encoding, Schema, schema};
use crate::pubsub::error::{Error, Result};

/// Longest definition, in bytes.
const DEFINITION_BYTES_MAX: usize = 300_000;

/// An Avro type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Self>),
    Map(Box<Self>),
    Union(Vec<Self>),
    /// A record, enumeration or fixed type, by its full name.
    Named(String),
}

/// What a full name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Named {
    Record(Vec<(String, Type)>),
    Enumeration(Vec<String>),
    Fixed(usize),
}

/// A valid Avro definition.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pubsub) struct Definition {
    pub(super) root: Type,
    pub(super) names: BTreeMap<String, Named>,
}

impl Definition {
    /// Reads the definition of a schema.
    ///
    /// # Errors
    /// When it is too long, of a type that is not served, or invalid.
    pub(in crate::pubsub) fn parse(schema: &Schema) -> Result<Self> {
        match schema.r#type() {
            schema::Type::Avro => {}
            schema::Type::ProtocolBuffer => {
                return Err(Error::Unimplemented { what: "a protocol buffer schema" });
            }
            schema::Type::Unspecified => return Err(Error::invalid("No schema type given.")),
        }
        if schema.definition.is_empty() || schema.definition.len() > DEFINITION_BYTES_MAX {
            return Err(Error::invalid(format!(
                "Invalid schema definition given: it must have 1 to {DEFINITION_BYTES_MAX} bytes."
            )));
        }
        parse::parse(&schema.definition)
            .map_err(|reason| Error::invalid(format!("Invalid schema definition given: {reason}.")))
    }

    /// Checks one message.
    ///
    /// # Errors
    /// When there is no such encoding, or the bytes do not conform to the definition.
    pub(in crate::pubsub) fn check(&self, encoding: Encoding, data: &[u8]) -> Result<()> {
        let checked = match encoding {
            Encoding::Json => json::check(self, data),
            Encoding::Binary => binary::check(self, data),
            Encoding::Unspecified => return Err(Error::invalid("No schema encoding given.")),
        };
        checked.map_err(|reason| {
            Error::invalid(format!(
                "Invalid data in message: it does not match the schema: {reason}."
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
        "type": "record", "name": "Order", "namespace": "shop", "fields": [
            {"name": "sku", "type": "string"},
            {"name": "cents", "type": "long"},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["TEA", "RUM"]}},
            {"name": "note", "type": ["null", "string"], "default": null},
            {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
            {"name": "tags", "type": {"type": "map", "values": "double"}},
            {"name": "parts", "type": {"type": "array", "items": "Order"}}
        ]}"#;

    fn definition(text: &str) -> Result<Definition> {
        Definition::parse(&Schema {
            r#type: schema::Type::Avro as i32,
            definition: text.to_owned(),
            ..Default::default()
        })
    }

    #[test]
    fn json_messages_are_checked() {
        let order = definition(ORDER).unwrap();
        let good = r#"{"sku": "a", "cents": 5, "kind": "TEA", "note": {"string": "x"}, "hash": "ab",
            "tags": {"w": 1.5, "n": 2}, "parts": []}"#;
        order.check(Encoding::Json, good.as_bytes()).unwrap();
        let nested = good.replace("[]", &format!("[{good}]")).replace(r#"{"string": "x"}"#, "null");
        order.check(Encoding::Json, nested.as_bytes()).unwrap();
        for (from, to, reason) in [
            ("5,", "5.5,", "cents: not a long"),
            ("5,", "9223372036854775808,", "cents: not a long"),
            ("\"TEA\"", "\"GIN\"", "kind: not a symbol of shop.Kind"),
            ("{\"string\": \"x\"}", "\"x\"", "note: not a branch of the union"),
            ("{\"string\": \"x\"}", "{\"int\": 1}", "note: not a branch of the union"),
            ("\"ab\"", "\"abc\"", "hash: not 2 bytes"),
            ("\"ab\"", "\"a\u{20ac}\"", "hash: not 2 bytes"),
            ("1.5", "\"1\"", "tags.w: not a double"),
            ("[]", "[1]", "parts[0]: not an object"),
            ("\"sku\": \"a\", ", "", "sku: missing"),
            ("\"sku\"", "\"more\": 1, \"sku\"", "more: unknown field"),
            ("}", "", "not JSON"),
        ] {
            let error = order.check(Encoding::Json, good.replacen(from, to, 1).as_bytes());
            let text = error.unwrap_err().to_string();
            assert!(text.contains(reason), "{text}, not {reason}");
        }
    }

    #[test]
    fn binary_messages_are_checked() {
        let order = definition(ORDER).unwrap();
        // sku "a", cents 5, RUM, note null, hash, tags {"w": 0.0}, parts [].
        let tags = [&[2, 2, b'w'][..], &[0; 8], &[0]].concat();
        let good = [&[2, b'a', 10, 2, 0, b'x', b'y'][..], &tags, &[0]].concat();
        order.check(Encoding::Binary, &good).unwrap();
        for length in 0..good.len() {
            let error = order.check(Encoding::Binary, &good[..length]).unwrap_err().to_string();
            assert!(error.contains("it ends too early"), "{length}: {error}");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(order.check(Encoding::Binary, &longer).unwrap_err().to_string().contains("1 byte"));
        for (at, byte) in [(1, 0xff), (3, 4), (4, 4), (4, 1)] {
            let mut bad = good.clone();
            bad[at] = byte;
            order.check(Encoding::Binary, &bad).unwrap_err();
        }
        // Blocks with a size, and numbers of the wrong width.
        let array = definition(r#"{"type": "array", "items": "int"}"#).unwrap();
        array.check(Encoding::Binary, &[3, 4, 2, 4, 0]).unwrap();
        array.check(Encoding::Binary, &[2, 0xff, 0xff, 0xff, 0xff, 0x1f, 0]).unwrap_err();
        // Neither endless nesting nor an endless array of nothing keeps the server busy.
        let endless = r#"{"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}"#;
        definition(endless).unwrap().check(Encoding::Binary, &[]).unwrap_err();
        let nothing = definition(r#"{"type": "array", "items": "null"}"#).unwrap();
        let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
        nothing.check(Encoding::Binary, &many).unwrap_err();
    }

    #[test]
    fn wrong_definitions_are_refused() {
        for (text, reason) in [
            ("", "1 to 300000 bytes"),
            ("{", "not JSON"),
            ("\"text\"", "unknown type text"),
            ("{\"name\": \"A\"}", "a type is missing"),
            ("[\"int\", \"int\"]", "occurs twice in a union"),
            ("[\"int\", [\"null\"]]", "a union in a union"),
            (r#"{"type": "record", "name": "9", "fields": []}"#, "the name 9"),
            (r#"{"type": "record", "name": "A"}"#, "A has no fields"),
            (r#"{"type": "record", "name": "A", "fields": [{"name": "x"}]}"#, "a type is missing"),
            (
                r#"{"type": "record", "name": "A", "fields": [{"name": "x", "type": "int"}, {"name": "x", "type": "int"}]}"#,
                "x occurs twice",
            ),
            (r#"{"type": "enum", "name": "E", "symbols": ["A", "A"]}"#, "A occurs twice"),
            (r#"{"type": "fixed", "name": "F", "size": -1}"#, "F has no size"),
            (r#"{"type": "array"}"#, "a type is missing"),
            (
                r#"[{"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 2}]"#,
                "F is defined twice",
            ),
        ] {
            let error = definition(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let proto = Schema { r#type: schema::Type::ProtocolBuffer as i32, ..Default::default() };
        assert!(matches!(Definition::parse(&proto), Err(Error::Unimplemented { .. })));
        let unspecified = definition("\"int\"").unwrap().check(Encoding::Unspecified, b"1");
        unspecified.unwrap_err();
    }
}
