//! Schemas of messages: Avro definitions, and messages checked against them.
//!
//! Only what Pub/Sub needs is here: whether a definition is valid and whether a message conforms to it. Source:
//! <https://avro.apache.org/docs/1.12.0/specification/>. Protocol buffer definitions are refused.

mod binary;
mod definition;
mod json;
mod parse;

pub(super) use definition::Definition;
