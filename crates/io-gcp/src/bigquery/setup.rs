//! What happens before the first row: the table is looked up, compared, or created.

use google_cloud_bigquery::model::ArrowSchema;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::rows::{RowEncoder, SchemaPolicy};
use super::schema::TableSchema;
use super::table::TableReference;
use super::tables::{TableAdmin, TableLayout};

/// Whether a missing table is created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CreatePolicy {
    /// A missing table is an error.
    #[default]
    Never,
    /// A missing table is created.
    IfNeeded,
    /// A missing table is created, and its dataset too, in this location where one is given.
    WithDataset(Option<String>),
}

/// What is known about the table once it is there.
#[derive(Debug)]
pub(super) struct Table {
    /// The columns that rows are encoded for.
    pub(super) schema: TableSchema,
    /// Whether it was just created, so that parts of BigQuery may not know it yet.
    pub(super) is_new: bool,
}

impl Table {
    /// The columns as Google's client takes them.
    pub(super) fn arrow_schema(&self) -> Result<ArrowSchema> {
        let message = RowEncoder::new(&self.schema, SchemaPolicy::Freeze)?.schema_message()?;
        Ok(ArrowSchema::new().set_serialized_schema(message))
    }
}

/// How the table is to be found.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) table: TableReference,
    /// The columns of the rows; those of the table where none are given.
    pub(super) schema: Option<TableSchema>,
    pub(super) create: CreatePolicy,
    pub(super) layout: TableLayout,
}

impl Setup {
    /// Finds or creates the table.
    pub(super) async fn run(self, admin: &TableAdmin) -> Result<Table> {
        match (admin.schema(&self.table).await, &self.schema) {
            (Ok(Some(found)), _) => self.compare(found),
            (Ok(None), None) => Err(self.missing("and no schema is given to create it with")),
            (Ok(None), Some(_)) if self.create == CreatePolicy::Never => {
                Err(self.missing("and is not to be created"))
            }
            (Ok(None), Some(schema)) => self.create(admin, schema).await,
            (Err(cause), _) if cause.is_unavailable() => Err(cause),
            // Not every writer may look, and a column of another type need not concern the rows: the appends will tell.
            (Err(cause), Some(schema))
                if self.create == CreatePolicy::Never || matches!(cause, Error::Schema { .. }) =>
            {
                tracing::warn!(table = %self.table, %cause, "the table's columns are not compared");
                Ok(Table { schema: schema.clone(), is_new: false })
            }
            (Err(cause), _) => Err(cause),
        }
    }

    fn compare(self, found: TableSchema) -> Result<Table> {
        let Some(schema) = self.schema else { return Ok(Table { schema: found, is_new: false }) };
        let differences = schema.differences_to(&found);
        if differences.is_empty() {
            return Ok(Table { schema, is_new: false });
        }
        let (table, reason) = (self.table.to_string(), differences.join("; "));
        Err(Error::SchemaMismatch { table, reason })
    }

    async fn create(&self, admin: &TableAdmin, schema: &TableSchema) -> Result<Table> {
        let (project, dataset) = (self.table.project(), self.table.dataset());
        if let CreatePolicy::WithDataset(location) = &self.create {
            admin.create_dataset(project, dataset, location.as_deref()).await?;
        }
        if !admin.create_table(&self.table, schema, &self.layout).await?
            && let Some(found) = admin.schema(&self.table).await?
        {
            // Another worker was faster.
            let table = self.clone().compare(found)?;
            return Ok(Table { is_new: true, ..table });
        }
        tracing::info!(table = %self.table, "the table was created");
        Ok(Table { schema: schema.clone(), is_new: true })
    }

    fn missing(&self, and: &str) -> Error {
        let what = format!("the table does not exist {and}");
        Error::Write { table: self.table.to_string(), what }
    }
}
