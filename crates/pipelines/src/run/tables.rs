//! [`TableReader`]: reads the tables of a run back through queries, to export and to show them.

use millstream_io_gcp::bigquery::query::Row;
use millstream_io_gcp::bigquery::{QueryClient, TableReference, TableSchema};
use serde_json::Value;

use super::error::RunError;
use crate::scheduled_ingest::{
    DeadLetterConfig, DeadLetterRow, EVENT_TIME, ID, IS_LAST, PANE, Prepared,
    ScheduledIngestConfig, WINDOW_END, WINDOW_START,
};

/// A table, read.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: TableReference,
    /// Its columns in order.
    pub columns: Vec<String>,
    /// Its rows, sorted.
    pub rows: Vec<Row>,
}

/// The beginning of a table.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The table's name.
    pub name: TableReference,
    /// Columns read, in order.
    pub columns: Vec<String>,
    /// How many rows there are.
    pub count: u64,
    /// The first of them, sorted.
    pub rows: Vec<Row>,
}

/// Reads the tables of a run.
#[derive(Clone, Debug)]
pub struct TableReader {
    client: QueryClient,
    config: ScheduledIngestConfig,
    prepared: Prepared,
}

impl TableReader {
    /// A reader of the tables of `config`.
    ///
    /// # Errors
    /// When the configuration does not fit together or no client can be made.
    pub async fn connect(config: &ScheduledIngestConfig) -> Result<Self, RunError> {
        let project = config.tables.rows.project();
        let client = QueryClient::connect(&config.bigquery, project).await?;
        Ok(Self { client, config: config.clone(), prepared: config.prepare()? })
    }

    /// The first rows by event time, of some columns.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn first_rows(&self, columns: &[&str], limit: usize) -> Result<Preview, RunError> {
        let order = [EVENT_TIME, ID];
        self.preview(&self.config.tables.rows, "TRUE", columns, &order, limit).await
    }

    /// The first aggregates, only the last pane of each window and group, of some columns.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn first_aggregates(
        &self,
        columns: &[&str],
        limit: usize,
    ) -> Result<Preview, RunError> {
        let keys = self.config.aggregates.keys.iter().map(String::as_str);
        let order: Vec<&str> = std::iter::once(WINDOW_START).chain(keys).collect();
        self.preview(&self.config.tables.aggregates, IS_LAST, columns, &order, limit).await
    }

    async fn preview(
        &self,
        name: &TableReference,
        condition: &str,
        columns: &[&str],
        order: &[&str],
        limit: usize,
    ) -> Result<Preview, RunError> {
        let table = name.sql();
        let count = format!("SELECT COUNT(*) AS n FROM {table} WHERE {condition}");
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let mut preview = Preview { name: name.clone(), columns, count: 0, rows: Vec::new() };
        let counted = match self.client.query(count).rows().await {
            // A table is made with its first row.
            Err(error) if error.is_not_found() => return Ok(preview),
            answered => answered?,
        };
        preview.count = counted.first().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0);
        let (columns, order) = (preview.columns.join(", "), order.join(", "));
        let first = format!(
            "SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {limit}"
        );
        preview.rows = self.client.query(first).rows().await?;
        Ok(preview)
    }

    /// The table of rows, by event time.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn rows(&self) -> Result<Table, RunError> {
        let schema = self.prepared.message.table();
        self.read(&self.config.tables.rows, schema, &[EVENT_TIME, ID]).await
    }

    /// The table of aggregates, every pane, by window, group and pane.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn panes(&self) -> Result<Table, RunError> {
        let schema = self.prepared.aggregates.table();
        let mut order = vec![WINDOW_START, WINDOW_END];
        order.extend(self.config.aggregates.keys.iter().map(String::as_str));
        order.push(PANE);
        self.read(&self.config.tables.aggregates, schema, &order).await
    }

    /// The table of aggregates, only the last pane of each window and group.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn aggregates(&self) -> Result<Table, RunError> {
        let mut table = self.panes().await?;
        let keys = &self.config.aggregates.keys;
        let group: Vec<&str> =
            [WINDOW_START, WINDOW_END].into_iter().chain(keys.iter().map(String::as_str)).collect();
        let is_same =
            |one: &Row, other: &Row| group.iter().all(|key| one.get(*key) == other.get(*key));
        let mut last: Vec<Row> = Vec::new();
        for row in table.rows {
            match last.last_mut() {
                Some(before) if is_same(before, &row) => *before = row,
                _ => last.push(row),
            }
        }
        table.rows = last;
        Ok(table)
    }

    /// The table of dead letters, in the order they were found; nothing where they go to a topic.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn dead_letters(&self) -> Result<Option<Table>, RunError> {
        let DeadLetterConfig::Table(name) = &self.config.dead_letters else { return Ok(None) };
        Ok(Some(self.read(name, &DeadLetterRow::table(), &["received_at", "bytes"]).await?))
    }

    async fn read(
        &self,
        name: &TableReference,
        schema: &TableSchema,
        order: &[&str],
    ) -> Result<Table, RunError> {
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name.clone()).collect();
        let sql = format!("SELECT * FROM {}", name.sql());
        let mut rows = match self.client.query(sql).rows().await {
            // A table is made with its first row.
            Err(error) if error.is_not_found() => Vec::new(),
            answered => answered?,
        };
        rows.sort_by(|one, other| {
            let compared = order.iter().map(|column| compare(one.get(*column), other.get(*column)));
            compared.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
        Ok(Table { name: name.clone(), columns, rows })
    }
}

/// Numbers by size, text (and points in time, which are text in their normal form) by its characters, NULL first.
fn compare(one: Option<&Value>, other: Option<&Value>) -> std::cmp::Ordering {
    match (one, other) {
        (Some(Value::Number(one)), Some(Value::Number(other))) => {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            one.total_cmp(&other)
        }
        (Some(Value::String(one)), Some(Value::String(other))) => one.cmp(other),
        (one, other) => rank(one).cmp(&rank(other)),
    }
}

fn rank(value: Option<&Value>) -> u8 {
    match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(false)) => 1,
        Some(Value::Bool(true)) => 2,
        Some(Value::Number(_)) => 3,
        Some(_) => 4,
    }
}
