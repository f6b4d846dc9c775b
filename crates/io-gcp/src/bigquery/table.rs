//! [`TableReference`]: the name of a table, checked when it is read, so that no unchecked text reaches a request or a query.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// Longest name of a dataset or a table in bytes; BigQuery's own limit.
const NAME_BYTES_MAX: usize = 1_024;
/// Longest project name accepted: Google's are at most 30 characters, with a domain in front where there is one.
const PROJECT_BYTES_MAX: usize = 128;

/// The name of a table: project, dataset and table.
///
/// ```
/// use millstream_io_gcp::bigquery::TableReference;
///
/// let table: TableReference = "my-project.sales.orders".parse()?;
/// assert_eq!(table.dataset(), "sales");
/// assert_eq!(table, "my-project:sales.orders".parse()?);
/// assert_eq!(table.resource_name(), "projects/my-project/datasets/sales/tables/orders");
/// assert!("my-project.sales.orders; DROP TABLE x".parse::<TableReference>().is_err());
/// # Ok::<(), millstream_io_gcp::bigquery::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableReference {
    project: String,
    dataset: String,
    table: String,
}

impl TableReference {
    /// The table `table` of the dataset `dataset` of `project`.
    ///
    /// # Errors
    /// [`Error::TableReference`] when one of the names is not allowed by BigQuery.
    pub fn new(
        project: impl Into<String>,
        dataset: impl Into<String>,
        table: impl Into<String>,
    ) -> Result<Self> {
        let reference =
            Self { project: project.into(), dataset: dataset.into(), table: table.into() };
        match reference.problem() {
            None => Ok(reference),
            Some(reason) => Err(Error::TableReference { text: reference.to_string(), reason }),
        }
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The dataset.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The table's own name.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The form `projects/P/datasets/D/tables/T` that the Storage API uses.
    #[must_use]
    pub fn resource_name(&self) -> String {
        format!("projects/{}/datasets/{}/tables/{}", self.project, self.dataset, self.table)
    }

    /// The form in backticks that stands in a query; safe, because the names were checked.
    #[must_use]
    pub fn sql(&self) -> String {
        format!("`{self}`")
    }

    fn problem(&self) -> Option<String> {
        if !is_project(&self.project) {
            return Some(format!("{:?} is no project id", self.project));
        }
        if !is_dataset(&self.dataset) {
            let allowed = "letters, digits and underscores";
            return Some(format!("{:?} is no dataset name ({allowed})", self.dataset));
        }
        if !is_table(&self.table) {
            let allowed = "letters, digits, underscores, dashes and spaces";
            return Some(format!("{:?} is no table name ({allowed})", self.table));
        }
        None
    }
}

fn is_project(text: &str) -> bool {
    let (domain, id) = text.split_once(':').map_or((None, text), |(front, id)| (Some(front), id));
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= PROJECT_BYTES_MAX
        && !id.is_empty()
        && id.bytes().all(is_word)
        && domain.is_none_or(|domain| {
            domain.contains('.') && domain.bytes().all(|b| is_word(b) || b == b'.')
        })
}

fn is_dataset(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_table(text: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
    !text.trim().is_empty() && text.len() <= NAME_BYTES_MAX && text.chars().all(is_allowed)
}

impl FromStr for TableReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let error = || Error::TableReference {
            text: text.to_owned(),
            reason: "expected project.dataset.table or project:dataset.table".to_owned(),
        };
        if let Some(rest) = text.strip_prefix("projects/") {
            let mut parts = rest.split('/');
            let names = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
            return match (names, parts.next()) {
                (
                    (Some(project), Some("datasets"), Some(dataset), Some("tables"), Some(table)),
                    None,
                ) => Self::new(project, dataset, table),
                _ => Err(error()),
            };
        }
        let (front, table) = text.rsplit_once('.').ok_or_else(error)?;
        let (project, dataset) = front.rsplit_once(['.', ':']).ok_or_else(error)?;
        Self::new(project, dataset, table).map_err(|cause| match cause {
            Error::TableReference { reason, .. } => {
                Error::TableReference { text: text.to_owned(), reason }
            }
            other => other,
        })
    }
}

impl fmt::Display for TableReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

impl TryFrom<String> for TableReference {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<TableReference> for String {
    fn from(table: TableReference) -> Self {
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TableReference> {
        text.parse()
    }

    #[test]
    fn every_form_of_a_name_is_understood() {
        let expected = TableReference::new("p-1", "d", "t").unwrap();
        for text in ["p-1.d.t", "p-1:d.t", "projects/p-1/datasets/d/tables/t"] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        let scoped = parse("example.com:proj.d.t").unwrap();
        assert_eq!((scoped.project(), scoped.dataset()), ("example.com:proj", "d"));
        assert_eq!(parse("example.com:proj:d.t").unwrap(), scoped);
        assert_eq!(parse("p.d.daily orders-ü").unwrap().table(), "daily orders-ü");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_part_that_is_wrong() {
        for (text, part) in [
            ("", "expected project.dataset.table"),
            ("d.t", "expected project.dataset.table"),
            ("P.d.t", "\"P\" is no project id"),
            ("p.d-x.t", "\"d-x\" is no dataset name"),
            ("p.d.t`", "\"t`\" is no table name"),
            ("p.d.t$20240101", "is no table name"),
            ("p.d.", "is no table name"),
            ("p..t", "is no dataset name"),
            ("projects/p/datasets/d", "expected"),
            ("projects/p/datasets/d/tables/t/streams/s", "expected"),
            ("a.b.c.d", "is no project id"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_configuration_carries_it_as_text() {
        let table: TableReference = serde_json::from_str("\"p.d.t\"").unwrap();
        assert_eq!(serde_json::to_string(&table).unwrap(), "\"p.d.t\"");
        assert_eq!(table.sql(), "`p.d.t`");
        assert!(serde_json::from_str::<TableReference>("\"nonsense\"").is_err());
    }
}
