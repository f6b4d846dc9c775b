//! Tests of queries as clients write them.

use std::sync::Arc;

use super::*;
use crate::bigquery::civil;
use crate::bigquery::rows::build_batch;
use crate::bigquery::schema::{Field, FieldType};
use crate::bigquery::sql::{Parameter, StructField};

/// One table, `p.d.orders`.
struct Orders(TableSnapshot);

impl Catalog for Orders {
    fn snapshot(&self, table: &TableName) -> Option<TableSnapshot> {
        (*table == TableName::new("p", "d", "orders")).then(|| self.0.clone())
    }
}

fn orders() -> Orders {
    let address = FieldType::Struct(vec![
        Field::nullable("city", FieldType::String),
        Field::nullable("zip", FieldType::Int64),
    ]);
    let schema = TableSchema::new(vec![
        Field::required("id", FieldType::Int64),
        Field::nullable("sku", FieldType::String),
        Field::nullable("price", FieldType::Float64),
        Field::nullable("cost", FieldType::Numeric),
        Field::nullable("at", FieldType::Timestamp),
        Field::nullable("address", address),
        Field::repeated("tags", FieldType::String),
        Field::nullable("paid", FieldType::Bool),
    ]);
    let at = |text| Value::Timestamp(civil::parse_timestamp(text).unwrap());
    let city = |city: &str, zip| Value::Struct(Arc::from([Value::string(city), Value::Int64(zip)]));
    let tags = |tags: &[&str]| Value::Array(tags.iter().map(Value::string).collect());
    let cost = |cents: i128| Value::Numeric(cents * 10_000_000);
    #[rustfmt::skip]
    let rows = [
        vec![Value::Int64(1), Value::string("tea"), Value::Float64(2.5), cost(125), at("2024-01-01 10:00:30"), city("Oslo", 1), tags(&["a", "b"]), Value::Bool(true)],
        vec![Value::Int64(2), Value::string("tea"), Value::Float64(f64::NAN), cost(250), at("2024-01-01 10:01:30"), city("Bern", 2), tags(&[]), Value::Bool(false)],
        vec![Value::Int64(3), Value::string("milk"), Value::Null, Value::Null, at("2024-01-02 00:00:00"), Value::Null, tags(&["b"]), Value::Null],
        vec![Value::Int64(4), Value::Null, Value::Float64(-1.0), cost(-50), Value::Null, city("Oslo", 4), tags(&[]), Value::Bool(true)],
    ];
    // Two batches, so that nothing depends on there being one.
    let batches = [&rows[..1], &rows[1..]].map(|rows| build_batch(&schema, rows).unwrap());
    Orders(TableSnapshot { schema, batches: batches.to_vec(), epoch: 0 })
}

fn options(parameters: Vec<Parameter>) -> QueryOptions {
    QueryOptions {
        project: "p".to_owned(),
        default_dataset: Some(DatasetName::new("p", "d")),
        parameters: Parameters(parameters),
        now: civil::parse_timestamp("2024-05-17 13:45:00").unwrap(),
        dry_run: false,
    }
}

fn parameter(name: &str, data_type: DataType, value: Value) -> Parameter {
    Parameter { name: name.to_owned(), data_type, value }
}

fn query(sql: &str) -> Result<QueryResult, SqlError> {
    query_on(sql, &options(Vec::new()))
}

/// Runs a query, on both engines if there are two.
#[track_caller]
fn query_on(sql: &str, options: &QueryOptions) -> Result<QueryResult, SqlError> {
    let result = run(sql, options, &orders());
    #[cfg(feature = "sql")]
    same_elsewhere(sql, options, &result);
    result
}

/// Checks that DataFusion answers a query as our engine does.
#[cfg(feature = "sql")]
#[track_caller]
fn same_elsewhere(sql: &str, options: &QueryOptions, own: &Result<QueryResult, SqlError>) {
    let answer = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(crate::bigquery::sql::fusion::answer(sql, options, &orders()))
    };
    // As much stack as the server's threads have.
    let other = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(crate::bigquery::jobs::STACK_BYTES);
        thread.spawn_scoped(scope, answer).unwrap().join().unwrap()
    });
    match (own, &other) {
        (Ok(own), Ok(other)) => {
            assert_eq!(own.schema, other.schema, "{sql}");
            let (mut own, mut other) = (show_rows(own), show_rows(other));
            if !sql.contains("ORDER BY") {
                own.sort();
                other.sort();
            }
            assert_eq!(own, other, "{sql}");
        }
        (Ok(_), Err(error)) => panic!("{sql}: {error}"),
        (Err(own), Ok(other)) => {
            assert!(own.unsupported, "{sql}: {own}, but elsewhere {:?}", show_rows(other));
        }
        (Err(_), Err(_)) => {}
    }
}

/// A value as compact text.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Struct(values) => {
            format!("({})", values.iter().map(show).collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(","))
        }
        other => crate::bigquery::sql::cast::to_text(other).unwrap(),
    }
}

fn show_rows(result: &QueryResult) -> Vec<String> {
    result.rows.iter().map(|row| row.iter().map(show).collect::<Vec<_>>().join("|")).collect()
}

#[track_caller]
fn rows(sql: &str) -> Vec<String> {
    match query(sql) {
        Ok(result) => show_rows(&result),
        Err(error) => panic!("{sql}: {error}"),
    }
}

#[track_caller]
fn value(expression: &str) -> String {
    rows(&format!("SELECT {expression}")).remove(0)
}

#[track_caller]
fn error(sql: &str) -> String {
    match query(sql) {
        Ok(result) => panic!("{sql} gave {:?}", show_rows(&result)),
        Err(error) => error.message,
    }
}

#[test]
fn arithmetic_has_bigquerys_types_and_errors() {
    for (expression, expected) in [
        ("1 + 2 * 3", "7"),
        ("7 / 2", "3.5"),
        ("-(3 - 5)", "2"),
        ("1 + NULL", "NULL"),
        ("NUMERIC '1.1' * 2", "2.2"),
        ("NUMERIC '1' / 3", "0.333333333"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("MOD(-7, 3)", "-1"),
        ("DIV(-7, 2)", "-3"),
        ("SAFE_DIVIDE(1, 0)", "NULL"),
        ("SAFE_ADD(9223372036854775807, 1)", "NULL"),
        ("ROUND(2.5)", "3"),
        ("ROUND(-2.345, 2)", "-2.35"),
        ("TRUNC(NUMERIC '1.29', 1)", "1.2"),
        ("CEIL(1.2)", "2"),
        ("FLOOR(-1.2)", "-2"),
        ("ABS(-3)", "3"),
        ("0x1F", "31"),
        ("1e3", "1000"),
        ("DATE '2024-02-28' + 2", "2024-03-01"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    assert_eq!(error("SELECT 1 / 0"), "division by zero: 1 / 0");
    assert_eq!(error("SELECT 9223372036854775807 + 1"), "int64 overflow: 9223372036854775807 + 1");
    assert!(
        error("SELECT 1 + 'a'")
            .starts_with("No matching signature for operator + for argument types: INT64, STRING")
    );
}

#[test]
fn logic_is_three_valued() {
    for (expression, expected) in [
        ("NULL AND FALSE", "false"),
        ("NULL OR TRUE", "true"),
        ("NULL AND TRUE", "NULL"),
        ("NOT NULL", "NULL"),
        ("NULL = NULL", "NULL"),
        ("NULL IS NULL", "true"),
        ("1 IN (2, NULL)", "NULL"),
        ("1 IN (1, NULL)", "true"),
        ("1 NOT IN (2, 3)", "true"),
        ("2 BETWEEN 1 AND NULL", "NULL"),
        ("0 BETWEEN 1 AND NULL", "false"),
        ("(NULL > 1) IS NOT TRUE", "true"),
        ("NULL IS NOT DISTINCT FROM NULL", "true"),
        ("CAST('nan' AS FLOAT64) = CAST('nan' AS FLOAT64)", "false"),
        ("CAST('nan' AS FLOAT64) != 1", "true"),
        ("IF(NULL, 1, 2)", "2"),
        ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' END", "c"),
        ("CASE WHEN FALSE THEN 1 END", "NULL"),
        ("COALESCE(NULL, 2, 1 / 0)", "2"),
        ("IFNULL(NULL, 'x')", "x"),
        ("NULLIF(1, 1)", "NULL"),
        ("GREATEST(1, 2.5)", "2.5"),
        ("LEAST('b', 'a', NULL)", "NULL"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn texts_and_json_have_their_functions() {
    for (expression, expected) in [
        ("CONCAT('a', 'b') || 'c'", "abc"),
        ("LENGTH('é')", "1"),
        ("BYTE_LENGTH('é')", "2"),
        ("UPPER('tea')", "TEA"),
        ("SUBSTR('hello', 2, 3)", "ell"),
        ("SUBSTR('hello', -3)", "llo"),
        ("TRIM('  x ')", "x"),
        ("LTRIM('xxy', 'x')", "y"),
        ("STARTS_WITH('tea', 'te')", "true"),
        ("STRPOS('hello', 'l')", "3"),
        ("REPLACE('aba', 'a', 'c')", "cbc"),
        ("LPAD('7', 3, '0')", "007"),
        ("'50%' LIKE '5\\\\%%'", "false"),
        ("'hello' LIKE 'h%o'", "true"),
        ("'hello' NOT LIKE '_'", "true"),
        ("TO_HEX(b'\\x00ab')", "006162"),
        ("JSON_VALUE('{\"a\": {\"b\": [1, \"x\"]}}', '$.a.b[1]')", "x"),
        ("JSON_VALUE('{\"a\": 1}', '$.b')", "NULL"),
        ("JSON_QUERY('{\"a\": [1, 2]}', '$.a')", "[1,2]"),
        ("\"double\"", "double"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn casts_convert_or_say_why_not() {
    for (expression, expected) in [
        ("CAST('12' AS INT64)", "12"),
        ("CAST(1.5 AS INT64)", "2"),
        ("CAST(TRUE AS STRING)", "true"),
        ("CAST(1.0 AS STRING)", "1"),
        ("SAFE_CAST('x' AS INT64)", "NULL"),
        ("CAST('2024-01-01' AS DATE)", "2024-01-01"),
        ("CAST(TIMESTAMP '2024-01-01 10:00:00+02' AS STRING)", "2024-01-01 08:00:00+00"),
        ("SAFE.PARSE_JSON('{')", "NULL"),
        ("SAFE.TIMESTAMP_SECONDS(9223372036854775807)", "NULL"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    assert_eq!(error("SELECT CAST('x' AS INT64)"), "Bad int64 value: x");
    assert!(error("SELECT CAST(TRUE AS DATE)").starts_with("Invalid cast from BOOL to DATE"));
}

#[test]
fn moments_are_computed_with_parts_and_zones() {
    for (expression, expected) in [
        ("CURRENT_TIMESTAMP()", "2024-05-17 13:45:00+00"),
        ("CURRENT_DATE('Asia/Tokyo')", "2024-05-17"),
        ("TIMESTAMP('2024-01-01 10:00:00', 'Europe/Paris')", "2024-01-01 09:00:00+00"),
        ("TIMESTAMP(DATE '2024-01-01')", "2024-01-01 00:00:00+00"),
        ("DATE(TIMESTAMP '2024-01-01 23:30:00+00', 'Europe/Paris')", "2024-01-02"),
        ("DATE(2024, 2, 29)", "2024-02-29"),
        ("DATETIME(TIMESTAMP '2024-01-01 00:00:00+00')", "2024-01-01 00:00:00"),
        ("TIMESTAMP_TRUNC(TIMESTAMP '2024-05-17 13:45:59+00', HOUR)", "2024-05-17 13:00:00+00"),
        (
            "TIMESTAMP_TRUNC(TIMESTAMP '2024-05-17 23:30:00+00', DAY, 'Europe/Paris')",
            "2024-05-17 22:00:00+00",
        ),
        ("DATE_TRUNC(DATE '2024-05-17', WEEK(MONDAY))", "2024-05-13"),
        (
            "TIMESTAMP_ADD(TIMESTAMP '2024-01-01 00:00:00+00', INTERVAL 90 SECOND)",
            "2024-01-01 00:01:30+00",
        ),
        ("DATE_SUB(DATE '2024-03-31', INTERVAL 1 MONTH)", "2024-02-29"),
        ("TIMESTAMP '2024-01-01 00:00:00+00' - INTERVAL 1 DAY", "2023-12-31 00:00:00+00"),
        (
            "TIMESTAMP_DIFF(TIMESTAMP '2024-01-02 00:00:00+00', TIMESTAMP '2024-01-01 12:00:00+00', HOUR)",
            "12",
        ),
        ("DATE_DIFF(DATE '2024-03-01', DATE '2024-02-28', DAY)", "2"),
        ("EXTRACT(YEAR FROM TIMESTAMP '2024-05-17 13:45:00+00')", "2024"),
        ("EXTRACT(HOUR FROM TIMESTAMP '2024-05-17 13:45:00+00' AT TIME ZONE '+02')", "15"),
        ("EXTRACT(DATE FROM TIMESTAMP '2024-05-17 13:45:00+00')", "2024-05-17"),
        ("UNIX_SECONDS(TIMESTAMP '1970-01-01 00:01:00+00')", "60"),
        ("TIMESTAMP_MILLIS(1500)", "1970-01-01 00:00:01.500+00"),
        (
            "FORMAT_TIMESTAMP('%Y/%m/%d %H', TIMESTAMP '2024-05-17 13:45:00+00', 'Asia/Tokyo')",
            "2024/05/17 22",
        ),
        ("STRING(TIMESTAMP '2024-05-17 13:45:00+00', 'Asia/Kolkata')", "2024-05-17 19:15:00+05:30"),
        ("TIMESTAMP '2024-01-01' = '2024-01-01 00:00:00+00'", "true"),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
    assert!(error("SELECT TIMESTAMP 'yesterday'").starts_with("Invalid timestamp: 'yesterday'"));
    assert!(error("SELECT DATE_TRUNC(DATE '2024-01-01', HOUR)").contains("smaller than DAY"));
}

#[test]
fn columns_fields_and_elements_are_selected() {
    assert_eq!(
        rows("SELECT id, address.city, tags FROM d.orders"),
        ["1|Oslo|[a,b]", "2|Bern|[]", "3|NULL|[b]", "4|Oslo|[]"]
    );
    assert_eq!(
        rows("SELECT o.tags[SAFE_OFFSET(1)] AS second FROM `p.d.orders` AS o WHERE o.id = 1"),
        ["b"]
    );
    assert_eq!(
        rows("SELECT ARRAY_LENGTH(tags) FROM `p`.d.`orders` WHERE 'b' IN UNNEST(tags)"),
        ["2", "1"]
    );
    assert_eq!(rows("SELECT STRUCT(1 AS a, 'x' AS b).b"), ["x"]);
    let result =
        query("SELECT * EXCEPT (price, cost, at, address, tags) FROM orders LIMIT 1").unwrap();
    let names: Vec<_> = result.schema.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "sku", "paid"]);
    let result = query("SELECT 1, 'a' AS x, 2, tags FROM orders LIMIT 0").unwrap();
    let fields = &result.schema.fields;
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["f0_", "x", "f1_", "tags"]);
    assert_eq!(fields[3].mode, crate::bigquery::Mode::Repeated);
}

#[test]
fn rows_are_filtered_by_columns_and_by_expressions() {
    for (condition, expected) in [
        ("id = 2", "2"),
        ("2 < id", "3,4"),
        ("sku = 'tea' AND price > 1", "1"),
        ("sku > 'milk'", "1,2"),
        ("sku != 'tea'", "3"),
        ("price = price", "1,4"),
        ("price <> 2.5", "2,4"),
        ("cost >= 1.25", "1,2"),
        ("cost < 0", "4"),
        ("at < '2024-01-01 10:01:00'", "1"),
        ("at BETWEEN TIMESTAMP '2024-01-01' AND TIMESTAMP('2024-01-02')", "1,2,3"),
        ("DATE(at) = DATE '2024-01-02'", "3"),
        ("address.city = 'Oslo'", "1,4"),
        ("address IS NULL OR paid", "1,3,4"),
        ("sku IS NULL", "4"),
        ("sku IN ('milk', 'tea') AND NOT paid", "2"),
        ("id = NULL", ""),
        ("FALSE", ""),
        ("id + 1 = 3", "2"),
    ] {
        let found = rows(&format!("SELECT id FROM orders WHERE {condition} ORDER BY id")).join(",");
        assert_eq!(found, expected, "{condition}");
    }
    assert!(
        error("SELECT id FROM orders WHERE id")
            .starts_with("WHERE clause should return type BOOL, but returns INT64")
    );
    assert!(error("SELECT id FROM orders WHERE COUNT(*) > 1").contains("COUNT not allowed here"));
}

#[test]
fn aggregates_see_nulls_and_nans_as_bigquery_does() {
    assert_eq!(
        rows(
            "SELECT COUNT(*), COUNT(sku), COUNT(DISTINCT sku), COUNTIF(paid), SUM(id), AVG(id) FROM orders"
        ),
        ["4|3|2|2|10|2.5"]
    );
    assert_eq!(
        rows("SELECT SUM(cost), AVG(cost), MIN(at), MAX(sku), MIN(price), SUM(price) FROM orders"),
        ["3.25|1.083333333|2024-01-01 10:00:30+00|tea|nan|nan"]
    );
    assert_eq!(
        rows("SELECT COUNT(*), SUM(id), MIN(id), LOGICAL_OR(paid) FROM orders WHERE id > 9"),
        ["0|NULL|NULL|NULL"]
    );
    assert_eq!(rows("SELECT SUM(DISTINCT LENGTH(sku)) FROM orders"), ["7"]);
    assert_eq!(rows("SELECT ARRAY_AGG(id) FROM orders"), ["[1,2,3,4]"]);
    assert_eq!(error("SELECT SUM(id + 9223372036854775800) FROM orders"), "int64 overflow in SUM");
    assert!(
        error("SELECT SUM(sku) FROM orders")
            .contains("No matching signature for aggregate function SUM")
    );
    assert!(error("SELECT SUM(COUNT(*)) FROM orders").contains("Aggregations of aggregations"));
}

#[test]
fn groups_go_by_column_ordinal_alias_and_expression() {
    let expected = ["NULL|1|4", "milk|1|3", "tea|2|3"];
    for sql in [
        "SELECT sku, COUNT(*) AS n, SUM(id) FROM orders GROUP BY sku ORDER BY sku",
        "SELECT sku, COUNT(*) AS n, SUM(id) FROM orders GROUP BY 1 ORDER BY 1",
        "SELECT sku AS s, COUNT(*) AS n, SUM(id) FROM orders GROUP BY s ORDER BY s",
        "SELECT o.sku, COUNT(*) AS n, SUM(o.id) FROM orders o GROUP BY SKU ORDER BY sku",
    ] {
        assert_eq!(rows(sql), expected, "{sql}");
    }
    assert_eq!(
        rows(
            "SELECT TIMESTAMP_TRUNC(at, DAY) AS day, COUNT(*) AS n FROM orders WHERE at IS NOT NULL GROUP BY day ORDER BY n DESC, day"
        ),
        ["2024-01-01 00:00:00+00|2", "2024-01-02 00:00:00+00|1"]
    );
    assert_eq!(
        rows("SELECT MOD(id, 2) + 1, MAX(id) FROM orders GROUP BY MOD(id, 2) ORDER BY 1"),
        ["1|4", "2|3"]
    );
    assert_eq!(
        rows("SELECT address.city, COUNT(*) FROM orders GROUP BY address.city ORDER BY 2 DESC, 1"),
        ["Oslo|2", "NULL|1", "Bern|1"]
    );
    assert_eq!(rows("SELECT sku FROM orders GROUP BY sku HAVING COUNT(*) > 1"), ["tea"]);
    assert_eq!(
        rows("SELECT sku, COUNT(*) AS n FROM orders GROUP BY sku HAVING n = 1 AND sku IS NOT NULL"),
        ["milk|1"]
    );
    assert_eq!(
        rows(
            "SELECT price, COUNT(*) FROM (SELECT 1)"
                .replace("(SELECT 1)", "orders GROUP BY price ORDER BY price")
                .as_str()
        )
        .len(),
        4
    );
    assert!(
        error("SELECT id, COUNT(*) FROM orders")
            .contains("references column id which is neither grouped nor aggregated at [1:8]")
    );
    assert!(error("SELECT sku FROM orders GROUP BY 2").contains("out of range"));
}

#[test]
fn results_are_sorted_cut_and_made_distinct() {
    assert_eq!(rows("SELECT id FROM orders ORDER BY price"), ["3", "2", "4", "1"]);
    assert_eq!(rows("SELECT id FROM orders ORDER BY price DESC"), ["1", "4", "2", "3"]);
    assert_eq!(rows("SELECT id FROM orders ORDER BY price DESC NULLS FIRST"), ["3", "1", "4", "2"]);
    assert_eq!(
        rows("SELECT id FROM orders ORDER BY sku NULLS LAST, id DESC"),
        ["3", "2", "1", "4"]
    );
    assert_eq!(rows("SELECT id FROM orders ORDER BY id LIMIT 2 OFFSET 1"), ["2", "3"]);
    assert_eq!(rows("SELECT id FROM orders LIMIT 1 OFFSET 3"), ["4"]);
    assert_eq!(rows("SELECT DISTINCT sku FROM orders ORDER BY sku DESC"), ["tea", "milk", "NULL"]);
    assert_eq!(rows("SELECT DISTINCT sku FROM orders ORDER BY 1 LIMIT 1"), ["NULL"]);
    assert_eq!(rows("SELECT -id AS id FROM orders ORDER BY id LIMIT 1"), ["-4"]);
    assert!(
        error("SELECT DISTINCT sku FROM orders ORDER BY id")
            .contains("not visible after SELECT DISTINCT")
    );
    assert!(
        error("SELECT id FROM orders ORDER BY tags")
            .contains("does not support expressions of type ARRAY<STRING>")
    );
    assert!(
        error("SELECT id FROM orders LIMIT -1").contains("LIMIT expects a non-negative integer")
    );
}

#[test]
fn parameters_are_named_or_positional() {
    let ids = Value::Array(Arc::from([Value::Int64(1), Value::Int64(4)]));
    let named = options(vec![
        parameter("id", DataType::Int64, Value::Int64(3)),
        parameter("Sku", DataType::String, Value::string("tea")),
        parameter("since", DataType::String, Value::string("2024-01-02")),
        parameter("ids", DataType::Array(DataType::Int64.into()), ids),
        parameter(
            "point",
            DataType::Struct(Arc::from([StructField {
                name: "x".to_owned(),
                data_type: DataType::Int64,
            }])),
            Value::Struct(Arc::from([Value::Int64(2)])),
        ),
    ]);
    for (condition, expected) in [
        ("id = @id", "3"),
        ("sku = @sku AND id < @id", "1,2"),
        ("at >= @since", "3"),
        ("id IN UNNEST(@ids)", "1,4"),
        ("id = @point.x", "2"),
    ] {
        let sql = format!("SELECT id FROM orders WHERE {condition} ORDER BY id LIMIT @id");
        let result = query_on(&sql, &named).unwrap();
        assert_eq!(show_rows(&result).join(","), expected, "{condition}");
    }
    let missing = query_on("SELECT @nope", &named).unwrap_err();
    assert_eq!(missing.message, "Query parameter 'nope' not found at [1:8]");

    // Positions go by the text: the first mark is in the SELECT list, bound after WHERE.
    let positional = options(vec![
        parameter("", DataType::String, Value::string("first")),
        parameter("", DataType::Int64, Value::Int64(2)),
        parameter("", DataType::String, Value::string("te%")),
    ]);
    let sql = "SELECT ? AS label, id FROM orders WHERE id = ? AND sku LIKE ?";
    assert_eq!(show_rows(&query_on(sql, &positional).unwrap()), ["first|2"]);
    let sql = "SELECT ?, ?, ?, ?";
    assert!(query_on(sql, &positional).unwrap_err().message.contains("out of range"));
}

#[test]
fn wrong_names_are_told_with_their_place() {
    assert_eq!(error("SELECT nope FROM orders"), "Unrecognized name: nope at [1:8]");
    assert_eq!(error("SELECT id,\n  o.nope FROM orders o"), "Unrecognized name: o.nope at [2:3]");
    assert!(
        error("SELECT address.nope FROM orders")
            .contains("Field name nope does not exist in STRUCT<city STRING, zip INT64>")
    );
    assert!(
        error("SELECT id.x FROM orders")
            .contains("Cannot access field x on a value with type INT64")
    );
    let missing = query("SELECT 1 FROM d.nope").unwrap_err();
    assert_eq!(missing.reason, Reason::NotFound);
    assert!(missing.message.starts_with("Not found: Table p:d.nope"));
    assert!(
        error("SELECT a AS x, id AS X FROM orders".replace("a AS", "sku AS").as_str())
            .contains("Duplicate column names")
    );
    assert!(
        error("SELECT no_such_function(1)").starts_with("Function not found: NO_SUCH_FUNCTION")
    );
    assert!(error("SELEC 1").starts_with("Syntax error"));
    assert!(error("").starts_with("Syntax error"));
}

#[test]
fn what_is_not_supported_is_named() {
    for (sql, construct) in [
        ("SELECT 1 FROM orders a JOIN orders b ON TRUE", "JOIN"),
        ("SELECT 1 FROM orders, orders", "A join of several tables"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "A WITH clause"),
        ("SELECT 1 UNION ALL SELECT 2", "UNION"),
        ("SELECT (SELECT 1)", "A subquery"),
        ("SELECT * FROM (SELECT 1)", "A subquery in FROM"),
        ("SELECT * FROM UNNEST([1])", "UNNEST in FROM"),
        ("SELECT SUM(id) OVER () FROM orders", "A window function (OVER)"),
        ("SELECT id FROM orders QUALIFY TRUE", "QUALIFY"),
        ("INSERT INTO orders (id) VALUES (1)", "The statement INSERT"),
        ("SELECT 1; SELECT 2", "A script of several statements"),
        ("SELECT * FROM d.INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA"),
        ("SELECT @@project_id", "The system variable"),
    ] {
        let message = error(sql);
        assert!(
            message.contains("not supported") && message.contains(construct),
            "{sql}: {message}"
        );
    }
}

#[test]
fn a_hostile_query_is_refused_not_fatal() {
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(query(&deep).is_err());
    let long = format!("SELECT 1{}", " + 1".repeat(300_000));
    assert!(query(&long).is_err());
    let chain = format!("SELECT 1{}", " + 1".repeat(20_000));
    assert!(error(&chain).contains("more than 2000 operators"));
    let sum = format!("SELECT 1{}", " + 1".repeat(1_500));
    assert!(error(&sum).contains("nested deeper"));
    let signs = format!("SELECT {}1", "- ".repeat(1_900));
    assert!(query(&signs).is_err());
    // Long chains of conditions are fine: programs write them.
    let conditions = vec!["id = 3"; 600].join(" OR ");
    assert_eq!(rows(&format!("SELECT id FROM orders WHERE {conditions}")), ["3"]);
}

#[test]
fn bytes_processed_are_those_of_the_columns_read() {
    assert_eq!(query("SELECT COUNT(*) FROM orders").unwrap().bytes_processed, 0);
    assert_eq!(query("SELECT id FROM orders WHERE paid").unwrap().bytes_processed, 4 * 8 + 3);
    let dry = QueryOptions { dry_run: true, ..options(Vec::new()) };
    let result = query_on("SELECT MAX(id) AS top FROM orders", &dry).unwrap();
    assert_eq!((result.rows.len(), result.bytes_processed), (0, 32));
    assert_eq!(result.schema.fields, [Field::nullable("top", FieldType::Int64)]);
}

#[test]
fn defaults_are_constants_of_the_columns_type() {
    let now = civil::parse_timestamp("2024-05-17").unwrap();
    assert_eq!(
        constant("CURRENT_TIMESTAMP()", now, &DataType::Timestamp),
        Ok(Value::Timestamp(now))
    );
    assert_eq!(constant("1 + 1", now, &DataType::Numeric), Ok(Value::Numeric(2_000_000_000)));
    assert!(constant("nope", now, &DataType::Int64).is_err());
}
