//! Query parameters: named or positional values of given types.

use super::types::DataType;
use crate::bigquery::value::Value;

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameter {
    /// Its name without the `@`; empty if positional.
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) value: Value,
}

/// The parameters of a query, all named or all positional.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parameters(pub(crate) Vec<Parameter>);

impl Parameters {
    /// A named parameter; names ignore case.
    pub(crate) fn named(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|parameter| {
            !parameter.name.is_empty() && parameter.name.eq_ignore_ascii_case(name)
        })
    }

    /// A positional parameter, counted from 0.
    pub(crate) fn positional(&self, index: usize) -> Option<&Parameter> {
        self.0.get(index).filter(|parameter| parameter.name.is_empty())
    }
}
