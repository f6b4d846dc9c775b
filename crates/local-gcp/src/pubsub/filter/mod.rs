//! The filter language of subscriptions: an expression over the attributes of a message.
//!
//! Source: <https://cloud.google.com/pubsub/docs/subscription-message-filter>.

mod expression;
mod parser;
mod tokens;

pub(super) use expression::Filter;
