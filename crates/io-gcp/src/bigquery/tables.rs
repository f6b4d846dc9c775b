//! [`TableAdmin`]: looks tables up and creates them with their datasets, over Google's own client.

use google_cloud_bigquery_v2::builder::{dataset_service, table_service};
use google_cloud_bigquery_v2::client::{DatasetService, TableService};
use google_cloud_bigquery_v2::model;
use google_cloud_gax::error::Error as GoogleError;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::NeverRetry;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result, is_not_found};
use super::schema::{Field, FieldType, Mode, TableSchema};
use super::table::TableReference;
use crate::connection::{Connection, Resolved, Service};

/// How a table is laid out when it is created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TableLayout {
    /// The column whose day decides the partition of a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_by_day: Option<String>,
    /// The columns by which rows are kept together, at most four.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster_by: Vec<String>,
}

/// Looks tables up and creates them.
#[derive(Clone, Debug)]
pub struct TableAdmin {
    tables: TableService,
    datasets: DatasetService,
}

impl TableAdmin {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`] when the endpoint or the credentials cannot be used.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        let resolved = connection.resolve(Service::BigQuery).map_err(connect_error)?;
        let tables = TableService::builder().with_credentials(resolved.credentials());
        let datasets = DatasetService::builder().with_credentials(resolved.credentials());
        Self::build(&resolved, tables, datasets).await
    }

    /// Connects; calls are not tried again by the client itself, so that the caller can say when and count.
    pub(super) async fn connect_without_retries(resolved: &Resolved) -> Result<Self> {
        let tables = TableService::builder().with_credentials(resolved.credentials());
        let datasets = DatasetService::builder().with_credentials(resolved.credentials());
        let (tables, datasets) =
            (tables.with_retry_policy(NeverRetry), datasets.with_retry_policy(NeverRetry));
        Self::build(resolved, tables, datasets).await
    }

    async fn build(
        resolved: &Resolved,
        mut tables: table_service::ClientBuilder,
        mut datasets: dataset_service::ClientBuilder,
    ) -> Result<Self> {
        if let Some(endpoint) = resolved.endpoint() {
            tables = tables.with_endpoint(endpoint);
            datasets = datasets.with_endpoint(endpoint);
        }
        let failed = |cause| connect_error(resolved.client_error(cause));
        Ok(Self {
            tables: tables.build().await.map_err(|cause| failed(Box::new(cause)))?,
            datasets: datasets.build().await.map_err(|cause| failed(Box::new(cause)))?,
        })
    }

    /// The columns of `table`; `None` when it does not exist.
    ///
    /// # Errors
    /// [`Error::Table`] with Google's own error, [`Error::Schema`] when the table has a column of a type that is not supported.
    pub async fn schema(&self, table: &TableReference) -> Result<Option<TableSchema>> {
        let found = self
            .tables
            .get_table()
            .set_project_id(table.project())
            .set_dataset_id(table.dataset())
            .set_table_id(table.table())
            .send()
            .await;
        match found {
            Ok(found) => {
                let fields = found.schema.unwrap_or_default().fields;
                fields.iter().map(from_google).collect::<Result<_>>().map(Some)
            }
            Err(cause) if is_not_found(&cause) => Ok(None),
            Err(cause) => Err(table_error("look up", table.to_string(), cause)),
        }
    }

    /// Creates `table`; false when it exists already.
    ///
    /// # Errors
    /// [`Error::Table`] with Google's own error, for example because the dataset does not exist.
    pub async fn create_table(
        &self,
        table: &TableReference,
        schema: &TableSchema,
        layout: &TableLayout,
    ) -> Result<bool> {
        schema.validate()?;
        let created = self
            .tables
            .insert_table()
            .set_project_id(table.project())
            .set_dataset_id(table.dataset())
            .set_table(to_google(table, schema, layout))
            .send()
            .await;
        match created {
            Ok(_) => Ok(true),
            Err(cause) if is_duplicate(&cause) => Ok(false),
            Err(cause) => Err(table_error("create", table.to_string(), cause)),
        }
    }

    /// Creates a dataset in `location`, such as `EU`; false when it exists already.
    ///
    /// # Errors
    /// [`Error::Table`] with Google's own error.
    pub async fn create_dataset(
        &self,
        project: &str,
        dataset: &str,
        location: Option<&str>,
    ) -> Result<bool> {
        let reference =
            model::DatasetReference::new().set_project_id(project).set_dataset_id(dataset);
        let resource = model::Dataset::new()
            .set_dataset_reference(reference)
            .set_location(location.unwrap_or_default());
        let created = self
            .datasets
            .insert_dataset()
            .set_project_id(project)
            .set_dataset(resource)
            .send()
            .await;
        match created {
            Ok(_) => Ok(true),
            Err(cause) if is_duplicate(&cause) => Ok(false),
            Err(cause) => Err(table_error("create", format!("{project}.{dataset}"), cause)),
        }
    }
}

pub(super) fn connect_error(source: impl Into<millstream::BoxError>) -> Error {
    Error::Connect { source: source.into() }
}

fn table_error(action: &'static str, table: String, cause: GoogleError) -> Error {
    Error::Table { action, table, source: Box::new(cause) }
}

fn is_duplicate(error: &GoogleError) -> bool {
    error.http_status_code() == Some(409)
        || error.status().is_some_and(|status| status.code == Code::AlreadyExists)
}

fn to_google(table: &TableReference, schema: &TableSchema, layout: &TableLayout) -> model::Table {
    let reference = model::TableReference::new()
        .set_project_id(table.project())
        .set_dataset_id(table.dataset())
        .set_table_id(table.table());
    let columns = schema.fields().iter().map(google_field);
    let mut resource = model::Table::new()
        .set_table_reference(reference)
        .set_schema(model::TableSchema::new().set_fields(columns));
    if let Some(column) = &layout.partition_by_day {
        let by_day = model::TimePartitioning::new().set_type("DAY").set_field(column.as_str());
        resource = resource.set_time_partitioning(by_day);
    }
    if !layout.cluster_by.is_empty() {
        let clustering = model::Clustering::new().set_fields(layout.cluster_by.clone());
        resource = resource.set_clustering(clustering);
    }
    resource
}

fn google_field(field: &Field) -> model::TableFieldSchema {
    let plain = model::TableFieldSchema::new()
        .set_name(field.name.as_str())
        .set_type(field.field_type.api_name())
        .set_mode(field.mode.name())
        .set_fields(field.fields().iter().map(google_field));
    match &field.description {
        Some(description) => plain.set_description(description.as_str()),
        None => plain,
    }
}

fn from_google(field: &model::TableFieldSchema) -> Result<Field> {
    let fields = field.fields.iter().map(from_google).collect::<Result<_>>()?;
    let field_type = FieldType::from_name(&field.r#type, fields)
        .map_err(|cause| Error::schema(format!("column {:?}: {cause}", field.name)))?;
    let mode = match field.mode.as_str() {
        "REQUIRED" => Mode::Required,
        "REPEATED" => Mode::Repeated,
        _ => Mode::Nullable,
    };
    Ok(Field::new(&field.name, field_type, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_survives_the_way_to_google_and_back() {
        let schema = TableSchema::new()
            .field(Field::required("id", FieldType::Int64))
            .field(Field::nullable("at", FieldType::Timestamp))
            .field(Field::repeated(
                "lines",
                FieldType::record([Field::nullable("ok", FieldType::Bool)]),
            ));
        let table = TableReference::new("p", "d", "t").unwrap();
        let layout = TableLayout { partition_by_day: Some("at".into()), ..TableLayout::default() };
        let resource = to_google(&table, &schema, &layout);
        let fields = resource.schema.unwrap().fields;
        assert_eq!((fields[0].r#type.as_str(), fields[2].r#type.as_str()), ("INTEGER", "RECORD"));
        let back: TableSchema = fields.iter().map(|field| from_google(field).unwrap()).collect();
        assert_eq!(back, schema);
        assert!(resource.time_partitioning.is_some() && resource.clustering.is_none());
    }

    #[test]
    fn a_column_of_an_unsupported_type_is_named() {
        let field = model::TableFieldSchema::new().set_name("span").set_type("RANGE");
        let message = from_google(&field).unwrap_err().to_string();
        assert!(message.contains("\"span\"") && message.contains("RANGE"), "{message}");
    }
}
