//! Tests of queries that need DataFusion, as clients write them; answers are written out.

use std::sync::Arc;

use super::answer;
use crate::bigquery::civil;
use crate::bigquery::names::{DatasetName, TableName};
use crate::bigquery::rows::build_batch;
use crate::bigquery::schema::{Field, FieldType, TableSchema};
use crate::bigquery::sql::error::SqlError;
use crate::bigquery::sql::query::{Catalog, QueryOptions, QueryResult, TableSnapshot};
use crate::bigquery::sql::{DataType, Parameter, Parameters, StructField};
use crate::bigquery::value::Value;

/// `p.d.customers`, `p.d.orders` with their items, and `p.d.prices`.
struct Shop;

fn table(fields: Vec<Field>, rows: &[Vec<Value>]) -> TableSnapshot {
    let schema = TableSchema::new(fields);
    // Two batches, so that nothing depends on there being one.
    let (first, rest) = rows.split_at(1);
    let batches = [first, rest].map(|rows| build_batch(&schema, rows).unwrap()).to_vec();
    TableSnapshot { schema, batches, ..TableSnapshot::default() }
}

fn customers() -> TableSnapshot {
    let fields = vec![
        Field::required("Id", FieldType::Int64),
        Field::nullable("Name", FieldType::String),
        Field::nullable("City", FieldType::String),
    ];
    let row = |id, name: &str, city| vec![Value::Int64(id), Value::string(name), city];
    let rows = [
        row(1, "Ann", Value::string("Oslo")),
        row(2, "Bob", Value::string("Bern")),
        row(3, "Cid", Value::Null),
    ];
    table(fields, &rows)
}

fn orders() -> TableSnapshot {
    let item = vec![
        Field::nullable("sku", FieldType::String),
        Field::nullable("quantity", FieldType::Int64),
    ];
    let fields = vec![
        Field::required("id", FieldType::Int64),
        Field::nullable("customer_id", FieldType::Int64),
        Field::nullable("at", FieldType::Timestamp),
        Field::nullable("total", FieldType::Numeric),
        Field::repeated("items", FieldType::Struct(item)),
        Field::repeated("tags", FieldType::String),
        Field::nullable("note", FieldType::Json),
    ];
    let at = |text| Value::Timestamp(civil::parse_timestamp(text).unwrap());
    let item = |sku: &str, n| Value::Struct(Arc::from([Value::string(sku), Value::Int64(n)]));
    let tags = |tags: &[&str]| Value::Array(tags.iter().map(Value::string).collect());
    let cents = |cents: i128| Value::Numeric(cents * 10_000_000);
    let json = |text: &str| Value::Json(text.into());
    #[rustfmt::skip]
    let rows = [
        vec![Value::Int64(10), Value::Int64(1), at("2024-01-01 10:00:00"), cents(1_250), Value::Array(Arc::from([item("tea", 2), item("milk", 1)])), tags(&["a", "b"]), json("{\"gift\":true}")],
        vec![Value::Int64(11), Value::Int64(1), at("2024-01-01 11:30:00"), cents(300), Value::Array(Arc::from([item("tea", 1)])), tags(&[]), Value::Null],
        vec![Value::Int64(12), Value::Int64(2), at("2024-01-02 09:00:00"), cents(2_000), Value::Array(Arc::from([])), tags(&["b"]), Value::Null],
        vec![Value::Int64(13), Value::Int64(9), at("2024-01-03 09:00:00"), Value::Null, Value::Array(Arc::from([item("milk", 5)])), tags(&["c"]), Value::Null],
    ];
    table(fields, &rows)
}

fn prices() -> TableSnapshot {
    let fields = vec![
        Field::nullable("sku", FieldType::String),
        Field::nullable("price", FieldType::Float64),
    ];
    let row = |sku: &str, price| vec![Value::string(sku), Value::Float64(price)];
    table(fields, &[row("tea", 2.5), row("milk", f64::NAN), row("jam", -1.0)])
}

impl Catalog for Shop {
    fn snapshot(&self, name: &TableName) -> Option<TableSnapshot> {
        if name.dataset != DatasetName::new("p", "d") {
            return None;
        }
        match name.table.as_str() {
            "customers" => Some(customers()),
            "orders" => Some(orders()),
            "prices" => Some(prices()),
            _ => None,
        }
    }
}

fn query_with(sql: &str, parameters: Vec<Parameter>) -> Result<QueryResult, SqlError> {
    let options = QueryOptions {
        project: "p".to_owned(),
        default_dataset: Some(DatasetName::new("p", "d")),
        parameters: Parameters(parameters),
        now: civil::parse_timestamp("2024-05-17 13:45:00").unwrap(),
        dry_run: false,
    };
    let answer = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(answer(sql, &options, &Shop))
    };
    // As much stack as the server's threads have.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(crate::bigquery::jobs::STACK_BYTES);
        thread.spawn_scoped(scope, answer).unwrap().join().unwrap()
    })
}

/// A value as compact text.
fn show(value: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(show).collect::<Vec<_>>().join(",");
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Struct(values) => format!("({})", list(values)),
        Value::Array(values) => format!("[{}]", list(values)),
        other => crate::bigquery::sql::cast::to_text(other).unwrap(),
    }
}

fn show_rows(result: &QueryResult) -> Vec<String> {
    result.rows.iter().map(|row| row.iter().map(show).collect::<Vec<_>>().join("|")).collect()
}

#[track_caller]
fn rows(sql: &str) -> Vec<String> {
    match query_with(sql, Vec::new()) {
        Ok(result) => show_rows(&result),
        Err(error) => panic!("{sql}: {error}"),
    }
}

#[track_caller]
fn check(cases: &[(&str, &[&str])]) {
    for (sql, expected) in cases {
        assert_eq!(rows(sql), *expected, "{sql}");
    }
}

#[track_caller]
fn error(sql: &str) -> String {
    match query_with(sql, Vec::new()) {
        Ok(result) => panic!("{sql} gave {:?}", show_rows(&result)),
        Err(error) => error.message,
    }
}

#[test]
fn tables_join_in_every_way() {
    check(&[
        (
            "SELECT c.Name, o.id FROM customers AS c JOIN orders AS o ON o.customer_id = c.id ORDER BY o.id",
            &["Ann|10", "Ann|11", "Bob|12"],
        ),
        (
            "SELECT c.name, COUNT(o.id) AS n, SUM(o.total) FROM d.customers c LEFT JOIN `p.d.orders` o ON c.Id = o.customer_id GROUP BY c.name ORDER BY n DESC, name",
            &["Ann|2|15.5", "Bob|1|20", "Cid|0|NULL"],
        ),
        (
            "SELECT o.id, c.name FROM customers c RIGHT JOIN orders o ON c.id = o.customer_id ORDER BY 1",
            &["10|Ann", "11|Ann", "12|Bob", "13|NULL"],
        ),
        (
            "SELECT c.name, o.id FROM customers c FULL JOIN orders o ON c.id = o.customer_id WHERE c.id IS NULL OR o.id IS NULL ORDER BY 2",
            &["Cid|NULL", "NULL|13"],
        ),
        (
            "SELECT a.id, b.id AS other FROM orders a, orders b WHERE a.customer_id = b.customer_id AND a.id < b.id",
            &["10|11"],
        ),
        ("SELECT COUNT(*) FROM customers CROSS JOIN orders", &["12"]),
        (
            "SELECT sku, COUNT(*) AS n FROM (SELECT 'tea' AS sku, 1 AS x UNION ALL SELECT 'jam', 2) JOIN prices USING (sku) GROUP BY sku ORDER BY sku",
            &["jam|1", "tea|1"],
        ),
        // INT64 meets NUMERIC, and NaN equals nothing.
        (
            "SELECT c.id FROM customers c JOIN (SELECT NUMERIC '2' AS n UNION ALL SELECT 7) v ON c.id = v.n",
            &["2"],
        ),
        ("SELECT COUNT(*) FROM prices a JOIN prices b ON a.price = b.price", &["2"]),
    ]);
    assert!(
        error("SELECT 1 FROM customers c JOIN orders o ON c.name = o.id")
            .starts_with("No matching signature for operator = for argument types: STRING, INT64")
    );
}

#[test]
fn subqueries_stand_wherever_values_and_tables_do() {
    check(&[
        (
            "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders) ORDER BY name",
            &["Ann", "Bob"],
        ),
        ("SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)", &["Cid"]),
        (
            "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 10) ORDER BY 1",
            &["Ann", "Bob"],
        ),
        (
            "SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
            &["Cid"],
        ),
        (
            "SELECT name, (SELECT MAX(o.total) FROM orders o WHERE o.customer_id = c.id) AS top FROM customers c ORDER BY name",
            &["Ann|12.5", "Bob|20", "Cid|NULL"],
        ),
        ("SELECT id FROM orders WHERE total = (SELECT MAX(total) FROM orders)", &["12"]),
        ("SELECT MAX(n) FROM (SELECT customer_id, COUNT(*) AS n FROM orders GROUP BY 1)", &["2"]),
        (
            "WITH totals AS (SELECT customer_id AS id, SUM(total) AS total FROM orders GROUP BY id), big AS (SELECT * FROM Totals WHERE total > 16) SELECT id, total FROM big",
            &["2|20"],
        ),
        (
            "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT SUM(i) FROM n",
            &["10"],
        ),
        ("SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 2 ORDER BY x DESC", &["2", "2", "1"]),
        ("SELECT 1 AS x UNION DISTINCT SELECT 1", &["1"]),
        ("SELECT sku FROM prices EXCEPT DISTINCT SELECT 'tea' ORDER BY 1", &["jam", "milk"]),
        ("(SELECT sku FROM prices) INTERSECT DISTINCT (SELECT 'tea')", &["tea"]),
    ]);
}

#[test]
fn window_functions_number_compare_and_accumulate() {
    check(&[
        (
            "SELECT id, ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY at DESC) AS n FROM orders ORDER BY id",
            &["10|2", "11|1", "12|1", "13|1"],
        ),
        (
            "SELECT id FROM orders WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY at DESC) = 1 ORDER BY id",
            &["11", "12", "13"],
        ),
        (
            "SELECT id, SUM(total) OVER (ORDER BY id) AS running, LAG(id) OVER (ORDER BY id) AS before, COUNT(*) OVER () AS n FROM orders ORDER BY id",
            &["10|12.5|NULL|4", "11|15.5|10|4", "12|35.5|11|4", "13|35.5|12|4"],
        ),
        (
            "SELECT id, SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM orders ORDER BY id",
            &["10|10", "11|21", "12|23", "13|25"],
        ),
        (
            "SELECT customer_id, RANK() OVER w AS r, FIRST_VALUE(id) OVER w AS f FROM orders WINDOW w AS (ORDER BY customer_id) ORDER BY id",
            &["1|1|10", "1|1|10", "2|3|10", "9|4|10"],
        ),
        (
            "SELECT customer_id, COUNT(*) AS n, RANK() OVER (ORDER BY COUNT(*) DESC) AS r FROM orders GROUP BY customer_id ORDER BY r, customer_id",
            &["1|2|1", "2|1|2", "9|1|2"],
        ),
        (
            "SELECT id + ROW_NUMBER() OVER (ORDER BY id) AS x FROM orders ORDER BY x LIMIT 1",
            &["11"],
        ),
    ]);
}

#[test]
fn arrays_are_unnested() {
    check(&[
        (
            "SELECT o.id, item.sku, item.quantity FROM orders o, UNNEST(o.items) AS item ORDER BY 1, 2",
            &["10|milk|1", "10|tea|2", "11|tea|1", "13|milk|5"],
        ),
        (
            "SELECT id, sku FROM orders, orders.items WHERE quantity > 1 ORDER BY id",
            &["10|tea", "13|milk"],
        ),
        (
            "SELECT id, tag, at FROM (SELECT id, tags FROM orders) o CROSS JOIN UNNEST(o.tags) AS tag WITH OFFSET AS at ORDER BY id, at",
            &["10|a|0", "10|b|1", "12|b|0", "13|c|0"],
        ),
        (
            "SELECT o.id, tag FROM orders o LEFT JOIN UNNEST(o.tags) AS tag ORDER BY id, tag",
            &["10|a", "10|b", "11|NULL", "12|b", "13|c"],
        ),
        (
            "SELECT item.sku, SUM(item.quantity * p.price) AS value FROM orders o, UNNEST(items) item JOIN prices p ON p.sku = item.sku WHERE p.sku = 'tea' GROUP BY item.sku",
            &["tea|7.5"],
        ),
        (
            "SELECT o.id, item FROM orders o, UNNEST(o.items) AS item WHERE o.id = 11",
            &["11|(tea,1)"],
        ),
    ]);
}

#[test]
fn subqueries_range_over_arrays_of_outer_rows() {
    check(&[
        (
            "SELECT o.id, (SELECT SUM(i.quantity) FROM UNNEST(o.items) AS i) AS n, ARRAY(SELECT UPPER(sku) FROM o.items ORDER BY quantity) AS skus FROM orders o ORDER BY id",
            &["10|3|[MILK,TEA]", "11|1|[TEA]", "12|NULL|[]", "13|5|[MILK]"],
        ),
        (
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE EXISTS (SELECT 1 FROM UNNEST(tags) AS tag WHERE tag = 'b' AND o.id > 10)",
            &["12"],
        ),
        (
            "SELECT id FROM orders WHERE NOT EXISTS (SELECT * FROM UNNEST(items)) ORDER BY id",
            &["12"],
        ),
        (
            "SELECT ARRAY(SELECT AS STRUCT at, tag FROM UNNEST(tags) AS tag WITH OFFSET AS at ORDER BY at DESC) AS pairs FROM orders WHERE id = 10",
            &["[(1,b),(0,a)]"],
        ),
        ("SELECT ARRAY(SELECT x * 2 FROM UNNEST([1, 2, 3]) AS x WHERE x != 2)", &["[2,6]"]),
    ]);
    assert!(
        error("SELECT (SELECT sku FROM UNNEST(items)) FROM orders")
            .contains("more than one element")
    );
}

#[test]
fn aggregates_take_order_limits_and_separators() {
    check(&[
        (
            "SELECT customer_id, STRING_AGG(CAST(id AS STRING), '+' ORDER BY id DESC) AS ids, ARRAY_AGG(id ORDER BY id DESC LIMIT 1) AS last FROM orders GROUP BY customer_id ORDER BY 1",
            &["1|11+10|[11]", "2|12|[12]", "9|13|[13]"],
        ),
        ("SELECT ARRAY_AGG(total IGNORE NULLS ORDER BY id) FROM orders", &["[12.5,3,20]"]),
        ("SELECT ARRAY_CONCAT_AGG(tags ORDER BY id) FROM orders", &["[a,b,b,c]"]),
        (
            "SELECT STRING_AGG(DISTINCT tag ORDER BY tag) FROM orders, UNNEST(tags) AS tag",
            &["a,b,c"],
        ),
        (
            "SELECT customer_id, GROUPING(customer_id) AS g, COUNT(*) AS n FROM orders GROUP BY ROLLUP (customer_id) ORDER BY n DESC, customer_id LIMIT 2",
            &["NULL|1|4", "1|0|2"],
        ),
        ("SELECT ROUND(STDDEV(id), 3), VAR_POP(id) FROM orders", &["1.291|1.25"]),
    ]);
}

#[test]
fn results_keep_types_names_and_spelling() {
    let result = query_with(
        "SELECT c.*, o.note, o.items[SAFE_OFFSET(0)].sku, o.at AS Moment, 1 FROM customers c JOIN orders o ON c.id = o.customer_id ORDER BY o.id LIMIT 1",
        Vec::new(),
    )
    .unwrap();
    let fields: Vec<_> = result
        .schema
        .fields
        .iter()
        .map(|field| format!("{} {}", field.name, field.field_type.rest_name()))
        .collect();
    assert_eq!(
        fields,
        [
            "Id INTEGER",
            "Name STRING",
            "City STRING",
            "note JSON",
            "sku STRING",
            "Moment TIMESTAMP",
            "f0_ INTEGER"
        ]
    );
    assert_eq!(show_rows(&result), ["1|Ann|Oslo|{\"gift\":true}|tea|2024-01-01 10:00:00+00|1"]);
    assert_eq!(
        rows(
            "SELECT * EXCEPT (at, items, tags, note) REPLACE (id * 2 AS id) FROM (SELECT * FROM orders) ORDER BY ID LIMIT 1"
        ),
        ["20|1|12.5"]
    );
    assert!(
        error("SELECT * FROM customers a JOIN customers b ON a.id = b.id").contains("Duplicate")
    );
}

#[test]
fn parameters_of_all_kinds_are_values() {
    let parameter =
        |name: &str, data_type, value| Parameter { name: name.to_owned(), data_type, value };
    let list = DataType::Array(Arc::new(DataType::Int64));
    let pair = DataType::Struct(Arc::from([StructField {
        name: "city".to_owned(),
        data_type: DataType::String,
    }]));
    let named = query_with(
        "SELECT c.name, @who.city AS city FROM customers c JOIN UNNEST(@ids) AS id ON c.id = id WHERE c.city = @who.city LIMIT @n",
        vec![
            parameter("ids", list, Value::Array(Arc::from([Value::Int64(1), Value::Int64(2)]))),
            parameter("who", pair, Value::Struct(Arc::from([Value::string("Oslo")]))),
            parameter("n", DataType::Int64, Value::Int64(5)),
        ],
    );
    assert_eq!(show_rows(&named.unwrap()), ["Ann|Oslo"]);
    let positional = query_with(
        "SELECT ? + 1, ? + 1 FROM customers a JOIN customers b ON a.id = b.id LIMIT 1",
        vec![
            parameter("", DataType::Int64, Value::Int64(1)),
            parameter("", DataType::Int64, Value::Int64(5)),
        ],
    );
    assert_eq!(show_rows(&positional.unwrap()), ["2|6"]);
}

#[test]
fn wrong_queries_are_refused_with_their_place_or_name() {
    for (sql, expected) in [
        ("SELECT nope FROM customers a JOIN orders b ON a.id = b.id", "Unrecognized name: nope"),
        ("SELECT id FROM customers a JOIN orders b ON a.id = b.id", "Column name id is ambiguous"),
        ("SELECT 1 FROM customers a JOIN missing b ON a.id = b.id", "Not found: Table p:d.missing"),
        (
            "SELECT a.id, COUNT(*) FROM customers a JOIN orders b ON a.id = b.id",
            "references column a.id which is neither grouped nor aggregated",
        ),
        ("SELECT 1 FROM customers a JOIN orders b ON a.id", ""),
        ("SELECT 1 / (SELECT 0)", "division by zero"),
        ("SELECT id FROM orders QUALIFY id = 1", "QUALIFY"),
        ("SELECT (SELECT id FROM orders)", ""),
    ] {
        let message = error(sql);
        assert!(message.contains(expected), "{sql}: {message}");
        assert!(!message.contains('\n'), "{sql}: {message}");
    }
}

#[test]
fn long_conditions_over_joins_fit_the_stack() {
    let conditions = vec!["a.id != b.id + 100"; 300].join(" AND ");
    let sql = format!(
        "SELECT COUNT(*) FROM customers a JOIN orders b ON a.id = b.customer_id AND {conditions}"
    );
    assert_eq!(rows(&sql), ["3"]);
}
