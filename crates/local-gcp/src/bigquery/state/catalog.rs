//! Datasets and tables: creating, changing and deleting them, with Google's rules and errors.

use serde_json::Map;

use super::machine::State;
use super::record::Record;
use super::resources::{Dataset, Table};
use crate::bigquery::error::{ApiError, Reason};
use crate::bigquery::names::{DatasetName, TableName};
use crate::bigquery::schema::TableSchema;
use crate::clock::Timestamp;

/// Properties as in REST resources.
type Properties = Map<String, serde_json::Value>;

impl State {
    /// Creates a dataset.
    ///
    /// # Errors
    /// When its name is invalid or taken.
    pub fn create_dataset(
        &mut self,
        now: Timestamp,
        name: DatasetName,
        location: &str,
        properties: Properties,
    ) -> Result<Dataset, ApiError> {
        if !name.is_valid() {
            let id = &name.dataset;
            return Err(ApiError::invalid(format!(
                "Invalid dataset ID \"{id}\". Dataset IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long."
            )));
        }
        if self.datasets.contains_key(&name) {
            return Err(ApiError::new(
                Reason::Duplicate,
                format!("Already Exists: Dataset {name}"),
            ));
        }
        let location = location.to_owned();
        let dataset =
            Dataset { name, location, created: now, modified: now, version: 1, properties };
        self.change_catalog(Record::Dataset(dataset.clone()))?;
        Ok(dataset)
    }

    /// Replaces a dataset's properties. With `etag`, only if it is the dataset's current one.
    ///
    /// # Errors
    /// When there is no such dataset, or it has another etag.
    pub fn update_dataset(
        &mut self,
        now: Timestamp,
        name: &DatasetName,
        etag: Option<&str>,
        properties: Properties,
    ) -> Result<Dataset, ApiError> {
        let old = self.datasets.get(name).ok_or_else(|| ApiError::dataset_not_found(name))?;
        check_etag(etag, &old.etag())?;
        let mut dataset = old.clone();
        dataset.properties = properties;
        dataset.modified = now;
        dataset.version += 1;
        self.change_catalog(Record::Dataset(dataset.clone()))?;
        Ok(dataset)
    }

    /// Deletes a dataset, with `contents` also its tables.
    ///
    /// # Errors
    /// When there is no such dataset, or it has tables and `contents` is not set.
    pub fn delete_dataset(&mut self, name: &DatasetName, contents: bool) -> Result<(), ApiError> {
        if !self.datasets.contains_key(name) {
            return Err(ApiError::dataset_not_found(name));
        }
        let tables: Vec<_> =
            self.tables.keys().filter(|table| table.dataset == *name).cloned().collect();
        if !tables.is_empty() && !contents {
            let message = format!("Dataset {name} is still in use");
            return Err(ApiError::new(Reason::ResourceInUse, message));
        }
        for table in tables {
            self.change_catalog(Record::TableDeleted(table))?;
        }
        self.change_catalog(Record::DatasetDeleted(name.clone()))
    }

    /// Creates a table.
    ///
    /// # Errors
    /// When its name is invalid or taken, its dataset is missing, or its schema is invalid.
    pub fn create_table(
        &mut self,
        now: Timestamp,
        name: TableName,
        schema: TableSchema,
        properties: Properties,
    ) -> Result<Table, ApiError> {
        self.check_new_table(&name, &schema)?;
        if self.tables.contains_key(&name) {
            return Err(ApiError::new(Reason::Duplicate, format!("Already Exists: Table {name}")));
        }
        let table = Table { name, schema, created: now, modified: now, version: 1, properties };
        self.change_catalog(Record::Table(table.clone()))?;
        Ok(table)
    }

    /// Checks what must hold for a table to be created, but not whether it exists.
    pub(super) fn check_new_table(
        &self,
        name: &TableName,
        schema: &TableSchema,
    ) -> Result<(), ApiError> {
        if !self.datasets.contains_key(&name.dataset) {
            return Err(ApiError::dataset_not_found(&name.dataset));
        }
        if !name.is_valid() {
            return Err(ApiError::invalid(format!("Invalid table ID \"{}\".", name.table)));
        }
        schema.check().map_err(ApiError::invalid)
    }

    /// Replaces a table's properties and, if given, its schema, which may only get wider. With `etag`, only if it is the
    /// table's current one.
    ///
    /// # Errors
    /// When there is no such table, it has another etag, or the schema does not fit its rows.
    pub fn update_table(
        &mut self,
        now: Timestamp,
        name: &TableName,
        etag: Option<&str>,
        schema: Option<TableSchema>,
        properties: Properties,
    ) -> Result<Table, ApiError> {
        let old = self.table(name).ok_or_else(|| ApiError::table_not_found(name))?;
        check_etag(etag, &old.etag())?;
        let mut table = old.clone();
        if let Some(schema) = schema {
            table.schema.check_change(&schema).map_err(|reason| {
                ApiError::invalid(format!("Provided Schema does not match Table {name}. {reason}"))
            })?;
            table.schema = schema;
        }
        table.properties = properties;
        table.modified = now;
        table.version += 1;
        self.change_catalog(Record::Table(table.clone()))?;
        Ok(table)
    }

    /// Deletes a table with its rows and streams.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn delete_table(&mut self, name: &TableName) -> Result<(), ApiError> {
        if !self.tables.contains_key(name) {
            return Err(ApiError::table_not_found(name));
        }
        self.change_catalog(Record::TableDeleted(name.clone()))
    }

    /// Applies a checked change. It can only fail on a fault of this module.
    fn change_catalog(&mut self, record: Record) -> Result<(), ApiError> {
        self.commit(record).map_err(|error| ApiError::new(Reason::InternalError, error.to_string()))
    }
}

fn check_etag(wanted: Option<&str>, current: &str) -> Result<(), ApiError> {
    match wanted {
        Some(wanted) if wanted != current => {
            let message = format!("Precondition Failed: etag is {current}, not {wanted}");
            Err(ApiError::new(Reason::ConditionNotMet, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bigquery::schema::{Field, FieldType};

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn schema(columns: &[&str]) -> TableSchema {
        let fields = columns.iter().map(|name| Field::nullable(*name, FieldType::Int64));
        TableSchema::new(fields.collect())
    }

    #[test]
    fn names_are_unique_and_parents_must_exist() {
        let mut state = State::new();
        let table = TableName::new("p", "d", "t");
        let create = |state: &mut State| {
            state.create_table(NOW, table.clone(), schema(&["a"]), Map::new()).map(|_| ())
        };
        let error = create(&mut state).unwrap_err();
        assert_eq!(error, ApiError::new(Reason::NotFound, "Not found: Dataset p:d"));

        let dataset = || DatasetName::new("p", "d");
        state.create_dataset(NOW, dataset(), "US", Map::new()).unwrap();
        let error = state.create_dataset(NOW, dataset(), "US", Map::new()).unwrap_err();
        assert_eq!(error, ApiError::new(Reason::Duplicate, "Already Exists: Dataset p:d"));

        create(&mut state).unwrap();
        let error = create(&mut state).unwrap_err();
        assert_eq!(error, ApiError::new(Reason::Duplicate, "Already Exists: Table p:d.t"));
    }

    #[test]
    fn a_dataset_with_tables_is_deleted_only_with_its_contents() {
        let mut state = State::new();
        let dataset = DatasetName::new("p", "d");
        state.create_dataset(NOW, dataset.clone(), "US", Map::new()).unwrap();
        state.create_table(NOW, dataset.table("t"), schema(&["a"]), Map::new()).unwrap();
        let error = state.delete_dataset(&dataset, false).unwrap_err();
        assert_eq!(error.reason, Reason::ResourceInUse);
        state.delete_dataset(&dataset, true).unwrap();
        assert_eq!(state.tables().count() + state.datasets().count(), 0);
    }

    #[test]
    fn changes_need_the_current_etag_and_a_fitting_schema() {
        let mut state = State::new();
        let dataset = DatasetName::new("p", "d");
        state.create_dataset(NOW, dataset.clone(), "US", Map::new()).unwrap();
        let name = dataset.table("t");
        let table = state.create_table(NOW, name.clone(), schema(&["a"]), Map::new()).unwrap();
        let mut update = |etag: &str, columns: &[&str]| {
            state.update_table(NOW, &name, Some(etag), Some(schema(columns)), Map::new())
        };
        let wider = update(&table.etag(), &["a", "b"]).unwrap();
        assert_ne!(wider.etag(), table.etag());
        let error = update(&table.etag(), &["a", "b"]).unwrap_err();
        assert_eq!(error.reason, Reason::ConditionNotMet);
        let error = update(&wider.etag(), &["a"]).unwrap_err();
        assert_eq!(
            error.message,
            "Provided Schema does not match Table p:d.t. Field b is missing in new schema"
        );
    }
}
