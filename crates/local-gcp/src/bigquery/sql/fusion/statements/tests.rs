//! Tests of statements that change tables, on a whole BigQuery in memory.

use std::sync::Arc;

use super::super::answer;
use crate::bigquery::handle::BigQuery;
use crate::bigquery::names::DatasetName;
use crate::bigquery::sql::effect::EffectKind;
use crate::bigquery::sql::error::SqlError;
use crate::bigquery::sql::query::{QueryOptions, QueryResult};
use crate::bigquery::sql::{Parameter, Parameters};
use crate::bigquery::value::Value;
use crate::clock::{ManualClock, Timestamp};

struct Shop(BigQuery);

impl Shop {
    /// A dataset with the tables `stock` (3 rows) and `delivery` (3 rows).
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_secs(1_700_000_000));
        let shop = Self(BigQuery::in_memory(Arc::new(clock)));
        shop.0.ensure_dataset(&DatasetName::new("p", "d")).unwrap();
        shop.done("CREATE TABLE d.stock (sku STRING NOT NULL, n INT64, price NUMERIC, tags ARRAY<STRING>, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP())");
        shop.done("INSERT INTO d.stock (sku, n, price, tags) VALUES ('tea', 1, 2.5, ['a', 'b']), ('milk', 2, 1, []), ('jam', NULL, NULL, NULL)");
        shop.done("CREATE TABLE d.delivery AS SELECT * FROM UNNEST([STRUCT('tea' AS sku, 10 AS n), ('rye', 7), ('milk', 0)])");
        shop
    }

    fn run(&self, sql: &str, dry_run: bool) -> Result<QueryResult, SqlError> {
        self.run_with(sql, dry_run, Vec::new())
    }

    fn run_with(
        &self,
        sql: &str,
        dry_run: bool,
        parameters: Vec<Parameter>,
    ) -> Result<QueryResult, SqlError> {
        let options = QueryOptions {
            project: "p".to_owned(),
            default_dataset: Some(DatasetName::new("p", "d")),
            parameters: Parameters(parameters),
            now: self.0.now().as_micros(),
            dry_run,
        };
        let answer = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(answer(sql, &options, &self.0))
        };
        // As much stack as the server's threads have.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(crate::bigquery::jobs::STACK_BYTES);
            thread.spawn_scoped(scope, answer).unwrap().join().unwrap()
        })
    }

    /// What a statement did: rows inserted, updated and deleted, or the operation.
    #[track_caller]
    fn done(&self, sql: &str) -> String {
        let result = self.run(sql, false).unwrap_or_else(|error| panic!("{sql}: {error}"));
        match result.effect.unwrap().kind {
            EffectKind::Rows { inserted, updated, deleted } => {
                format!("+{inserted} ~{updated} -{deleted}")
            }
            EffectKind::Table { operation, .. } => operation.to_owned(),
        }
    }

    #[track_caller]
    fn error(&self, sql: &str) -> String {
        self.run(sql, false).expect_err(sql).message
    }

    #[track_caller]
    fn rows(&self, sql: &str) -> Vec<String> {
        let result = self.run(sql, false).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let text = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            other => crate::bigquery::sql::cast::to_text(other).unwrap(),
        };
        let rows = result.rows.iter();
        rows.map(|row| row.iter().map(text).collect::<Vec<_>>().join("|")).collect()
    }

    #[track_caller]
    fn stock(&self) -> Vec<String> {
        self.rows("SELECT sku, n, price FROM d.stock ORDER BY sku")
    }
}

#[test]
fn inserts_fill_columns_with_values_queries_and_defaults() {
    let shop = Shop::new();
    assert_eq!(shop.stock(), ["jam|NULL|NULL", "milk|2|1", "tea|1|2.5"]);
    assert_eq!(
        shop.rows("SELECT COUNT(*), MAX(ARRAY_LENGTH(tags)) FROM d.stock WHERE at = TIMESTAMP_SECONDS(1700000000)"),
        ["3|2"]
    );
    assert_eq!(
        shop.done("INSERT stock (sku, n) SELECT sku, n FROM delivery WHERE sku = 'rye'"),
        "+1 ~0 -0"
    );
    assert_eq!(
        shop.done("INSERT INTO d.stock (sku, n) VALUES ('max', (SELECT MAX(n) FROM delivery)), ('none', DEFAULT)"),
        "+2 ~0 -0"
    );
    assert_eq!(
        shop.stock(),
        ["jam|NULL|NULL", "max|10|NULL", "milk|2|1", "none|NULL|NULL", "rye|7|NULL", "tea|1|2.5"]
    );
    let parameter = Parameter {
        name: String::new(),
        data_type: crate::bigquery::sql::DataType::Int64,
        value: Value::Int64(77),
    };
    shop.run_with("INSERT INTO d.stock (sku, n) VALUES ('?', ?)", false, vec![parameter]).unwrap();
    assert_eq!(shop.rows("SELECT n FROM d.stock WHERE sku = '?'"), ["77"]);
}

#[test]
fn wrong_rows_change_nothing() {
    let shop = Shop::new();
    for (sql, expected) in [
        ("INSERT INTO d.stock (sku) VALUES ('a'), (NULL)", "REQUIRED field has no value"),
        ("INSERT INTO d.stock (sku, n) VALUES ('a')", "wrong column count; Has 1, expected 2"),
        (
            "INSERT INTO d.stock (sku, n) VALUES ('a', 'b')",
            "Value of type STRING cannot be assigned to n, which has type INT64",
        ),
        ("INSERT INTO d.stock (sku, nope) VALUES ('a', 1)", "Column nope is not present"),
        ("INSERT INTO d.stock (sku, sku) VALUES ('a', 'b')", "named twice"),
        ("INSERT INTO d.nothing (a) VALUES (1)", "Not found: Table p:d.nothing"),
        ("UPDATE d.stock SET n = 1", "must have a WHERE clause"),
        ("DELETE FROM d.stock", "must have a WHERE clause"),
        ("UPDATE d.stock SET n = 1, n = 2 WHERE TRUE", "assigned more than once"),
        ("UPDATE d.stock SET n = 1 / 0 WHERE TRUE", "division by zero"),
        (
            "UPDATE d.stock AS s SET n = v FROM (SELECT 1 AS v UNION ALL SELECT 2) AS two WHERE TRUE",
            "at most one source row",
        ),
        ("CREATE TABLE d.stock (a INT64)", "Already Exists: Table p:d.stock"),
        ("DROP TABLE d.nothing", "Not found: Table p:d.nothing"),
        (
            "MERGE d.stock t USING d.delivery s ON TRUE WHEN MATCHED THEN UPDATE SET n = s.n",
            "at most one source row",
        ),
    ] {
        let error = shop.error(sql);
        assert!(error.contains(expected), "{sql}: {error}");
    }
    assert_eq!(shop.stock(), ["jam|NULL|NULL", "milk|2|1", "tea|1|2.5"]);
    let dry = shop.run("DELETE FROM d.stock WHERE TRUE", true).unwrap();
    assert_eq!(dry.effect.unwrap().statement_type, "DELETE");
    assert_eq!(shop.stock().len(), 3);
}

#[test]
fn updates_and_deletes_change_the_rows_they_match() {
    let shop = Shop::new();
    assert_eq!(
        shop.done("UPDATE d.stock SET n = IFNULL(n, 0) + 1, price = DEFAULT WHERE sku != 'milk'"),
        "+0 ~2 -0"
    );
    assert_eq!(shop.stock(), ["jam|1|NULL", "milk|2|1", "tea|2|NULL"]);
    assert_eq!(
        shop.done("UPDATE d.stock s SET s.n = s.n + d.n FROM d.delivery d WHERE d.sku = s.sku"),
        "+0 ~2 -0"
    );
    assert_eq!(shop.stock(), ["jam|1|NULL", "milk|2|1", "tea|12|NULL"]);
    assert_eq!(
        shop.rows("SELECT ARRAY_TO_STRING(tags, '') FROM d.stock WHERE sku = 'tea'"),
        ["ab"]
    );
    assert_eq!(shop.done("DELETE d.stock WHERE sku IN (SELECT sku FROM d.delivery)"), "+0 ~0 -2");
    assert_eq!(shop.stock(), ["jam|1|NULL"]);
    assert_eq!(shop.done("DELETE FROM d.stock WHERE n > 5"), "+0 ~0 -0");
    assert_eq!(shop.done("TRUNCATE TABLE d.stock"), "+0 ~0 -1");
    assert!(shop.stock().is_empty());
}

#[test]
fn a_merge_updates_inserts_and_deletes_at_once() {
    let shop = Shop::new();
    let merge = "MERGE INTO d.stock AS t USING d.delivery AS s ON t.sku = s.sku
        WHEN MATCHED AND s.n = 0 THEN DELETE
        WHEN MATCHED THEN UPDATE SET n = t.n + s.n
        WHEN NOT MATCHED THEN INSERT (sku, n) VALUES (s.sku, s.n)
        WHEN NOT MATCHED BY SOURCE AND t.n IS NULL THEN UPDATE SET n = -1";
    assert_eq!(shop.done(merge), "+1 ~2 -1");
    assert_eq!(shop.stock(), ["jam|-1|NULL", "rye|7|NULL", "tea|11|2.5"]);
    let upsert = "MERGE d.delivery t USING (SELECT 'rye' AS sku, 8 AS n UNION ALL SELECT 'oat', 1) s ON t.sku = s.sku
        WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED BY TARGET THEN INSERT ROW";
    assert_eq!(shop.done(upsert), "+1 ~1 -0");
    assert_eq!(
        shop.rows("SELECT sku, n FROM d.delivery ORDER BY sku"),
        ["milk|0", "oat|1", "rye|8", "tea|10"]
    );
    let replace = "MERGE d.delivery t USING d.stock s ON FALSE WHEN NOT MATCHED THEN INSERT (sku, n) VALUES (sku, n) WHEN NOT MATCHED BY SOURCE THEN DELETE";
    assert_eq!(shop.done(replace), "+3 ~0 -4");
}

#[test]
fn tables_are_created_replaced_and_dropped() {
    let shop = Shop::new();
    assert_eq!(shop.done("CREATE TABLE IF NOT EXISTS d.stock (a INT64)"), "SKIP");
    assert_eq!(shop.done("CREATE OR REPLACE TABLE d.delivery AS SELECT sku, SUM(n) AS Total FROM d.delivery GROUP BY sku"), "REPLACE");
    let schema =
        shop.0.tables().into_iter().find(|table| table.name.table == "delivery").unwrap().schema;
    let names: Vec<_> = schema.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["sku", "Total"]);
    assert_eq!(shop.done("DROP TABLE d.delivery"), "DROP");
    assert_eq!(shop.done("DROP TABLE IF EXISTS `p.d.delivery`"), "SKIP");
    assert_eq!(
        shop.done("CREATE TABLE d.typed (a STRING(5), b NUMERIC(10, 2) NOT NULL, c STRUCT<x INT64, y ARRAY<DATE>>, d JSON OPTIONS (description = 'text'))"),
        "CREATE"
    );
    let error = shop.error("INSERT INTO d.typed (a, b) VALUES ('123456', 1)");
    assert!(error.contains('a'), "{error}");
    assert_eq!(
        shop.done(
            "INSERT INTO d.typed VALUES ('12345', 1.25, STRUCT(1, [DATE '2024-01-01']), JSON '{}')"
        ),
        "+1 ~0 -0"
    );
    assert_eq!(shop.rows("SELECT b, c.x FROM d.typed"), ["1.25|1"]);
}
