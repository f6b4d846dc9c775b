//! Serde rows to Arrow, column by column: what the Storage Write API takes.
//!
//! [`RowEncoder`] serialises each row straight into columns; no row value in between. A row that does not fit is taken out
//! again and comes back as a [`RowRefusal`] that names the column. What fits where:
//!
//! | column | Arrow | from |
//! | --- | --- | --- |
//! | STRING, GEOGRAPHY | utf8 | text, char, unit variants of enums |
//! | BYTES | binary | bytes, lists of numbers up to 255, base64 text |
//! | INT64 | int64 | whole numbers within 64 bits |
//! | FLOAT64 | float64 | numbers, the texts `NaN`, `Infinity`, `-Infinity` |
//! | NUMERIC, BIGNUMERIC | decimal128(38, 9), decimal256(76, 38) | numbers, decimal text |
//! | BOOL | bool | booleans |
//! | TIMESTAMP | timestamp(us, UTC) | RFC 3339 text, whole numbers of microseconds, millstream's `Timestamp` |
//! | DATETIME | timestamp(us) | `2024-01-31T12:00:00.5`, whole numbers of microseconds |
//! | DATE | date32 | `2024-01-31`, whole numbers of days |
//! | TIME | time64(us) | `12:00:00.5`, whole numbers of microseconds |
//! | JSON | utf8 | anything, as serde writes it in JSON; text becomes a JSON string |
//! | STRUCT | struct | structs and maps |
//! | REPEATED | list | sequences; nothing becomes an empty list |
//!
//! Digits of a second beyond microseconds are cut off. A floating point number given for a NUMERIC is taken as the shortest decimal that
//! denotes it. Source: "Supported protocol buffer and Arrow data types" of BigQuery's documentation.

mod civil;
mod column;
mod decimal;
mod encoder;
mod fields;
mod refusal;
mod row;
mod serializer;
#[cfg(test)]
mod tests;
mod writers;

pub use encoder::{RowEncoder, SchemaPolicy};
pub use refusal::RowRefusal;
