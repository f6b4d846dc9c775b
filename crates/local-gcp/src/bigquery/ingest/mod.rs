//! Rows on their way in: from Arrow or protocol-buffer bytes to a checked batch in the table's schema.

mod arrow;
mod check;
mod convert;
mod defaults;
mod json;
mod plan;
mod proto;
mod wire;

pub(crate) use arrow::{decode_arrow, to_canonical};
pub(crate) use check::check_rows;
pub(crate) use convert::{from_text, parse_int64};
pub(crate) use defaults::missing_values;
pub(crate) use json::{JsonFault, JsonRows};
pub(crate) use plan::MessagePlan;
pub(crate) use proto::decode_rows;
