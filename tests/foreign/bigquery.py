"""Google's own Python clients of BigQuery and of its Storage Write API against the local server."""

import datetime
from urllib.parse import urlparse

import grpc
import pyarrow
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport

from bigquery_client import client, endpoint, query
from table import equal, raises, row

writer = BigQueryWriteClient(
    transport=BigQueryWriteGrpcTransport(channel=grpc.insecure_channel(urlparse(endpoint).netloc))
)

SCHEMA = [
    bigquery.SchemaField("id", "INT64", "REQUIRED"),
    bigquery.SchemaField("name", "STRING"),
    bigquery.SchemaField("at", "TIMESTAMP"),
]
ARROW = pyarrow.schema(
    [
        pyarrow.field("id", pyarrow.int64(), nullable=False),
        pyarrow.field("name", pyarrow.string()),
        pyarrow.field("at", pyarrow.timestamp("us", "UTC")),
    ]
)
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)
PARENT = "projects/demo/datasets/shop/tables/orders"


def append(stream, rows, offset=None):
    """Appends rows as Arrow, in a request of its own, and returns the answer."""
    batch = pyarrow.RecordBatch.from_pylist(rows, schema=ARROW)
    arrow = types.AppendRowsRequest.ArrowData(
        writer_schema=types.ArrowSchema(serialized_schema=ARROW.serialize().to_pybytes()),
        rows=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
    )
    request = types.AppendRowsRequest(write_stream=stream, arrow_rows=arrow, offset=offset)
    return next(iter(writer.append_rows(iter([request]))))


def stream_of(kind):
    return writer.create_write_stream(parent=PARENT, write_stream=types.WriteStream(type_=kind)).name


@row("BigQuery: create, get and list datasets and tables")
def _():
    client.create_dataset("shop")
    raises(exceptions.Conflict, lambda: client.create_dataset("shop"))
    client.create_table(bigquery.Table("demo.shop.orders", schema=SCHEMA))
    equal([field.name for field in client.get_table("demo.shop.orders").schema], ["id", "name", "at"])
    equal([one.table_id for one in client.list_tables("shop")], ["orders"])
    raises(exceptions.NotFound, lambda: client.get_table("demo.shop.nothing"))


@row("BigQuery: the default stream shows rows at once")
def _():
    append(f"{PARENT}/streams/_default", [{"id": 1, "name": "tea", "at": NOON}, {"id": 2}])
    equal(query("SELECT id, name, at FROM shop.orders ORDER BY id"), [(1, "tea", NOON), (2, None, None)])


@row("BigQuery: a buffered stream shows rows when they are flushed, each offset once")
def _():
    stream = stream_of(types.WriteStream.Type.BUFFERED)
    answer = append(stream, [{"id": 3}, {"id": 4}], offset=0)
    equal(answer.append_result.offset, 0)
    equal(query("SELECT COUNT(*) FROM shop.orders"), [(2,)])
    writer.flush_rows(types.FlushRowsRequest(write_stream=stream, offset=0))
    equal(query("SELECT COUNT(*) FROM shop.orders"), [(3,)])
    # As the service documents it, these two come in the answer and leave the connection open.
    equal(append(stream, [{"id": 3}], offset=0).error.code, grpc.StatusCode.ALREADY_EXISTS.value[0])
    equal(append(stream, [{"id": 9}], offset=7).error.code, grpc.StatusCode.OUT_OF_RANGE.value[0])
    writer.flush_rows(types.FlushRowsRequest(write_stream=stream, offset=1))
    equal(writer.finalize_write_stream(name=stream).row_count, 2)
    equal(query("SELECT COUNT(*) FROM shop.orders"), [(4,)])


@row("BigQuery: pending streams are committed together")
def _():
    streams = [stream_of(types.WriteStream.Type.PENDING) for _ in range(2)]
    for number, stream in enumerate(streams):
        append(stream, [{"id": 10 + number}], offset=0)
        writer.finalize_write_stream(name=stream)
    equal(query("SELECT COUNT(*) FROM shop.orders"), [(4,)])
    request = types.BatchCommitWriteStreamsRequest(parent=PARENT, write_streams=streams)
    writer.batch_commit_write_streams(request)
    equal(query("SELECT COUNT(*) FROM shop.orders"), [(6,)])


@row("BigQuery: queries with parameters, groups and order")
def _():
    by_id = bigquery.ScalarQueryParameter("id", "INT64", 1)
    equal(query("SELECT name FROM shop.orders WHERE id = @id", by_id), [("tea",)])
    sums = query("SELECT name, COUNT(*) AS n, MAX(id) FROM shop.orders GROUP BY name ORDER BY n")
    equal(sums, [("tea", 1, 1), (None, 5, 11)])
    raises(exceptions.BadRequest, lambda: query("SELECT nothing FROM shop.orders"))


@row("BigQuery: rows are inserted as JSON, refused one by one, each insert id once")
def _():
    rows = [{"id": 20, "name": "oat", "at": NOON.isoformat()}, {"id": 21}]
    for _ in range(2):
        equal(client.insert_rows_json("demo.shop.orders", rows, row_ids=["a", "b"]), [])
    by_id = "SELECT id, name, at FROM shop.orders WHERE id >= 20 ORDER BY id"
    equal(query(by_id), [(20, "oat", NOON), (21, None, None)])
    bad = [{"id": 22}, {"id": "many"}, {"id": 23, "colour": "red"}]
    errors = client.insert_rows_json("demo.shop.orders", bad)
    told = [(one["index"], one["errors"][0]["reason"], one["errors"][0]["location"]) for one in errors]
    equal(told, [(0, "stopped", ""), (1, "invalid", "id"), (2, "invalid", "colour")])
    lenient = {"skip_invalid_rows": True, "ignore_unknown_values": True}
    errors = client.insert_rows_json("demo.shop.orders", bad, **lenient)
    equal([one["index"] for one in errors], [1])
    equal([one[0] for one in query(by_id)], [20, 21, 22, 23])
    equal(client.insert_rows("demo.shop.orders", [(24, "rye", NOON)], selected_fields=SCHEMA), [])
    equal(query(by_id)[-1], (24, "rye", NOON))
    missing = "demo.shop.nothing"
    raises(exceptions.NotFound, lambda: client.insert_rows_json(missing, rows, retry=None))


@row("BigQuery: rows are listed page by page")
def _():
    rows = client.list_rows("demo.shop.orders", page_size=2)
    equal(sorted(one["id"] for one in rows), [1, 2, 3, 4, 10, 11, *range(20, 25)])


@row("BigQuery: a column is added, and old rows have none of it")
def _():
    table = client.get_table("demo.shop.orders")
    table.schema = [*table.schema, bigquery.SchemaField("extra", "STRING")]
    equal(len(client.update_table(table, ["schema"]).schema), 4)
    equal(query("SELECT extra FROM shop.orders WHERE id = 1"), [(None,)])


def statement(sql):
    """Runs a statement and returns how many rows it changed."""
    job = client.query(sql)
    job.result()
    return job.num_dml_affected_rows


def has_sql():
    """Whether the server was built with the cargo feature `sql`."""
    try:
        return query("SELECT 1 FROM (SELECT 1)") == [(1,)]
    except exceptions.BadRequest as error:
        if "cargo feature `sql`" not in str(error):
            raise
        return False


if has_sql():

    @row("BigQuery SQL: CREATE TABLE AS, INSERT, UPDATE, DELETE")
    def _():
        statement("CREATE TABLE shop.stock AS SELECT * FROM UNNEST([STRUCT('tea' AS sku, 3 AS n), ('milk', 0)])")
        equal([field.field_type for field in client.get_table("demo.shop.stock").schema], ["STRING", "INTEGER"])
        equal(statement("INSERT INTO shop.stock (sku, n) VALUES ('rye', 7), ('oat', NULL)"), 2)
        equal(statement("UPDATE shop.stock SET n = IFNULL(n, 0) + 1 WHERE sku != 'milk'"), 3)
        equal(statement("DELETE FROM shop.stock WHERE n = 0"), 1)
        equal(query("SELECT sku, n FROM shop.stock ORDER BY sku"), [("oat", 1), ("rye", 8), ("tea", 4)])
        raises(exceptions.BadRequest, lambda: statement("INSERT INTO shop.stock (sku, n) VALUES ('x', 'y')"))

    @row("BigQuery SQL: JOIN, CTE and window function")
    def _():
        equal(
            query("SELECT o.id, s.n FROM shop.orders o JOIN shop.stock s ON s.sku = o.name ORDER BY o.id"),
            [(1, 4), (20, 1), (24, 8)],
        )
        latest = """
            WITH named AS (SELECT name, id FROM shop.orders WHERE name IS NOT NULL)
            SELECT name, id, ROW_NUMBER() OVER (ORDER BY id DESC) AS place, SUM(id) OVER () AS total
            FROM named QUALIFY place <= 2 ORDER BY place"""
        equal(query(latest), [("rye", 24, 1, 45), ("oat", 20, 2, 45)])

    @row("BigQuery SQL: UNNEST of a parameter, structs and arrays in the result")
    def _():
        ids = bigquery.ArrayQueryParameter("ids", "INT64", [1, 24])
        sql = "SELECT name, place FROM shop.orders o JOIN UNNEST(@ids) AS n WITH OFFSET AS place ON o.id = n ORDER BY place"
        equal(query(sql, ids), [("tea", 0), ("rye", 1)])
        nested = "SELECT ARRAY_AGG(STRUCT(sku, n) ORDER BY n) AS stock FROM shop.stock HAVING COUNT(*) > 1"
        equal(query(nested)[0][0][0], {"sku": "oat", "n": 1})

    @row("BigQuery SQL: MERGE")
    def _():
        merge = """
            MERGE shop.stock t USING UNNEST([STRUCT('tea' AS sku, 10 AS n), ('jam', 1)]) s ON t.sku = s.sku
            WHEN MATCHED THEN UPDATE SET n = t.n + s.n
            WHEN NOT MATCHED THEN INSERT ROW
            WHEN NOT MATCHED BY SOURCE AND t.sku = 'oat' THEN DELETE"""
        equal(statement(merge), 3)
        equal(query("SELECT sku, n FROM shop.stock ORDER BY sku"), [("jam", 1), ("rye", 8), ("tea", 14)])

    @row("BigQuery SQL: a query's result in pages, and in a table")
    def _():
        sql = "SELECT a * 10 + b AS n FROM UNNEST(GENERATE_ARRAY(0, 9)) a, UNNEST(GENERATE_ARRAY(0, 9)) b ORDER BY n"
        equal([one[0] for one in client.query(sql).result(page_size=7)], list(range(100)))
        config = bigquery.QueryJobConfig(destination="demo.shop.numbers")
        client.query(sql, job_config=config).result()
        equal(client.get_table("demo.shop.numbers").num_rows, 100)
        raises(exceptions.Conflict, lambda: client.query(sql, job_config=config).result())
        statement("DROP TABLE shop.numbers")
        statement("DROP TABLE shop.stock")


@row("BigQuery: delete table and dataset")
def _():
    client.delete_table("demo.shop.orders")
    client.delete_dataset("shop")
    raises(exceptions.NotFound, lambda: client.get_dataset("shop"))
