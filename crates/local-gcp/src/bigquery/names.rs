//! Names of projects, datasets, tables and write streams: parsing, checking and printing.
//!
//! Two spellings exist: resource paths (`projects/p/datasets/d/tables/t`) in the Storage API, and
//! `p:d.t` in the messages of the REST API. Both stay here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest dataset or table id, in characters; Google's own limit.
const ID_CHARACTERS_MAX: usize = 1_024;

/// The id of a table's default stream.
pub(crate) const DEFAULT_STREAM: &str = "_default";

/// Names a dataset in a project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DatasetName {
    /// The project's id.
    pub project: String,
    /// The dataset's id in its project.
    pub dataset: String,
}

impl DatasetName {
    /// Names a dataset; ids are checked when something is created under the name.
    #[must_use]
    pub fn new(project: impl Into<String>, dataset: impl Into<String>) -> Self {
        Self { project: project.into(), dataset: dataset.into() }
    }

    /// Names a table of this dataset.
    #[must_use]
    pub fn table(&self, table: impl Into<String>) -> TableName {
        TableName { dataset: self.clone(), table: table.into() }
    }

    /// Whether Google would accept the dataset's id.
    pub(crate) fn is_valid(&self) -> bool {
        let id = &self.dataset;
        is_project_id(&self.project)
            && !id.is_empty()
            && id.chars().count() <= ID_CHARACTERS_MAX
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.dataset)
    }
}

/// Names a table in a dataset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableName {
    /// The dataset that holds the table.
    pub dataset: DatasetName,
    /// The table's id in its dataset.
    pub table: String,
}

impl TableName {
    /// Names a table; ids are checked when something is created under the name.
    #[must_use]
    pub fn new(
        project: impl Into<String>,
        dataset: impl Into<String>,
        table: impl Into<String>,
    ) -> Self {
        DatasetName::new(project, dataset).table(table)
    }

    /// Reads `projects/p/datasets/d/tables/t`; `None` if it has another form.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let name = Self::from_parts(&mut parts)?;
        parts.next().is_none().then_some(name)
    }

    /// The resource path, `projects/p/datasets/d/tables/t`.
    #[must_use]
    pub fn path(&self) -> String {
        let DatasetName { project, dataset } = &self.dataset;
        format!("projects/{project}/datasets/{dataset}/tables/{}", self.table)
    }

    /// Whether Google would accept the table's id.
    pub(crate) fn is_valid(&self) -> bool {
        let id = &self.table;
        self.dataset.is_valid()
            && !id.is_empty()
            && id.chars().count() <= ID_CHARACTERS_MAX
            && id.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
    }

    fn from_parts<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let project = labelled(parts, "projects")?;
        let dataset = labelled(parts, "datasets")?;
        let table = labelled(parts, "tables")?;
        Some(Self::new(project, dataset, table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.dataset, self.table)
    }
}

/// Names a write stream of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamName {
    /// The table the stream writes to.
    pub table: TableName,
    /// The stream's id in its table; `_default` for the default stream.
    pub stream: String,
}

impl StreamName {
    /// Names a table's default stream.
    #[must_use]
    pub fn default_of(table: TableName) -> Self {
        Self { table, stream: DEFAULT_STREAM.to_owned() }
    }

    /// Reads `TABLE/streams/ID` or the short form `TABLE/_default`; `None` for anything else.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let table = TableName::from_parts(&mut parts)?;
        let stream = match parts.next()? {
            DEFAULT_STREAM => DEFAULT_STREAM,
            "streams" => parts.next().filter(|id| !id.is_empty())?,
            _ => return None,
        };
        parts.next().is_none().then(|| Self { table, stream: stream.to_owned() })
    }

    /// The resource path, `projects/p/datasets/d/tables/t/streams/s`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/streams/{}", self.table.path(), self.stream)
    }

    /// Whether this is a table's default stream.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.stream == DEFAULT_STREAM
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// Whether a project id has a plausible form; domain-scoped ids (`example.com:p`) are allowed.
pub(crate) fn is_project_id(id: &str) -> bool {
    !id.is_empty()
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))
}

/// Whether a column may bear this name.
pub(crate) fn is_column_name(name: &str) -> bool {
    const COLUMN_CHARACTERS_MAX: usize = 300;
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
        && name.chars().count() <= COLUMN_CHARACTERS_MAX
}

fn labelled<'a>(parts: &mut impl Iterator<Item = &'a str>, label: &str) -> Option<&'a str> {
    (parts.next()? == label).then_some(())?;
    parts.next().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_paths_are_read_in_both_default_spellings() {
        let table = TableName::new("p", "d", "t");
        for path in [
            "projects/p/datasets/d/tables/t/_default",
            "projects/p/datasets/d/tables/t/streams/_default",
        ] {
            let name = StreamName::from_path(path).unwrap();
            assert_eq!(name, StreamName::default_of(table.clone()));
            assert!(name.is_default());
        }
        let name = StreamName::from_path("projects/p/datasets/d/tables/t/streams/s1").unwrap();
        assert_eq!(name.path(), "projects/p/datasets/d/tables/t/streams/s1");
        assert_eq!(name.table, table);
    }

    #[test]
    fn malformed_paths_are_refused() {
        for path in [
            "",
            "projects/p/datasets/d/tables/t",
            "projects/p/datasets/d/tables/t/streams/",
            "projects/p/datasets/d/tables/t/streams/s/more",
            "projects//datasets/d/tables/t/_default",
            "project/p/datasets/d/tables/t/_default",
        ] {
            assert_eq!(StreamName::from_path(path), None, "{path}");
        }
        assert_eq!(TableName::from_path("projects/p/datasets/d/tables/t/x"), None);
    }

    #[test]
    fn ids_follow_googles_rules() {
        assert!(TableName::new("my-project", "ds_1", "table-1 é").is_valid());
        assert!(!TableName::new("p", "d-1", "t").is_valid());
        assert!(!TableName::new("p", "d", "t$20240101").is_valid());
        assert!(!TableName::new("p", "d", "").is_valid());
        assert!(is_column_name("_id") && !is_column_name("1d") && !is_column_name("a.b"));
    }
}
