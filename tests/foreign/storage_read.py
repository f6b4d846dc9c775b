"""Google's own Python client of the Storage Read API against the local server."""

import datetime
import decimal
from urllib.parse import urlparse

import grpc
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from bigquery_client import client, endpoint
from table import equal, raises, row

reader = BigQueryReadClient(
    transport=BigQueryReadGrpcTransport(channel=grpc.insecure_channel(urlparse(endpoint).netloc))
)

TABLE = "projects/demo/datasets/reads/tables/things"
ROWS = 25_000
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)
SCHEMA = [
    bigquery.SchemaField("n", "INT64", "REQUIRED"),
    bigquery.SchemaField("name", "STRING"),
    bigquery.SchemaField("price", "NUMERIC"),
    bigquery.SchemaField("at", "TIMESTAMP"),
    bigquery.SchemaField("tags", "STRING", "REPEATED"),
    bigquery.SchemaField(
        "size", "RECORD", fields=[bigquery.SchemaField("w", "FLOAT64"), bigquery.SchemaField("day", "DATE")]
    ),
]


def thing(n):
    return {
        "n": n,
        "name": f"thing {n}" if n % 2 else None,
        "price": f"{n}.25",
        "at": NOON.isoformat(),
        "tags": ["a", "b"][: n % 3],
        "size": {"w": n / 2, "day": "2026-02-03"} if n % 5 else None,
    }


def expected(n):
    """What a client gets for `thing(n)`."""
    size = {"w": n / 2, "day": datetime.date(2026, 2, 3)} if n % 5 else None
    price = decimal.Decimal(n) + decimal.Decimal("0.25")
    return {**thing(n), "price": price, "at": NOON, "size": size}


def session(data_format, streams=1, **options):
    wanted = types.ReadSession(
        table=TABLE, data_format=data_format, read_options=types.ReadSession.TableReadOptions(**options)
    )
    return reader.create_read_session(
        parent="projects/demo", read_session=wanted, max_stream_count=streams
    )


def rows_of(made):
    """All rows of all streams of a session."""
    for stream in made.streams:
        yield from reader.read_rows(stream.name).to_arrow(made).to_pylist()


@row("BigQuery Storage Read: all rows as Arrow, by several streams")
def _():
    client.create_dataset("reads")
    config = bigquery.LoadJobConfig(schema=SCHEMA)
    client.load_table_from_json(map(thing, range(ROWS)), "demo.reads.things", job_config=config).result()
    made = session(types.DataFormat.ARROW, streams=3)
    equal((len(made.streams), made.estimated_row_count), (3, ROWS))
    rows = sorted(rows_of(made), key=lambda one: one["n"])
    equal(len(rows), ROWS)
    for n in (0, 1, 2, 5, ROWS - 1):
        equal(rows[n], expected(n))


@row("BigQuery Storage Read: all rows as Avro")
def _():
    made = session(types.DataFormat.AVRO)
    rows = list(reader.read_rows(made.streams[0].name).rows(made))
    equal(len(rows), ROWS)
    for n in (0, 1, 2, 5, ROWS - 1):
        equal(rows[n], expected(n))


@row("BigQuery Storage Read: selected fields of restricted rows")
def _():
    options = {"selected_fields": ["size.w", "n"], "row_restriction": "n BETWEEN 9 AND 11 AND name IS NOT NULL"}
    made = session(types.DataFormat.ARROW, **options)
    equal(list(rows_of(made)), [{"n": n, "size": {"w": n / 2}} for n in (9, 11)])
    nothing = session(types.DataFormat.ARROW, row_restriction="n < 0")
    equal((len(nothing.streams), nothing.estimated_row_count), (0, 0))


@row("BigQuery Storage Read: a stream is resumed at an offset, and split in two")
def _():
    made = session(types.DataFormat.ARROW, selected_fields=["n"])
    name = made.streams[0].name
    rest = reader.read_rows(name, offset=ROWS - 2).to_arrow(made).to_pylist()
    equal(rest, [{"n": ROWS - 2}, {"n": ROWS - 1}])
    halves = reader.split_read_stream(request={"name": name, "fraction": 0.25})
    counts = [
        reader.read_rows(half.name).to_arrow(made).num_rows
        for half in (halves.primary_stream, halves.remainder_stream)
    ]
    equal(counts, [ROWS // 4, ROWS - ROWS // 4])


@row("BigQuery Storage Read: what is there when the session starts is read, whatever comes after")
def _():
    made = session(types.DataFormat.ARROW, selected_fields=["n"])
    client.load_table_from_json([thing(ROWS)], "demo.reads.things").result()
    equal(sum(1 for _ in rows_of(made)), ROWS)


@row("BigQuery: rows of a table as an Arrow table, through the Storage Read API")
def _():
    table = client.list_rows("demo.reads.things").to_arrow(bqstorage_client=reader)
    equal((table.num_rows, table.column_names), (ROWS + 1, [field.name for field in SCHEMA]))


@row("BigQuery: the result of a query is a table, listed and read through the Storage Read API")
def _():
    job = client.query("SELECT n, name FROM reads.things WHERE n < 1000 ORDER BY n DESC", api_method="INSERT")
    equal(job.result().total_rows, 1000)
    listed = list(client.list_rows(job.destination, max_results=2))
    equal([tuple(one.values()) for one in listed], [(999, "thing 999"), (998, None)])
    wanted = types.ReadSession(table=job.destination.to_bqstorage(), data_format=types.DataFormat.ARROW)
    made = reader.create_read_session(parent="projects/demo", read_session=wanted)
    equal([one["n"] for one in rows_of(made)], list(range(999, -1, -1)))


@row("BigQuery Storage Read: unknown tables, fields and streams, and wrong restrictions")
def _():
    arrow = types.DataFormat.ARROW
    raises(exceptions.InvalidArgument, lambda: session(arrow, selected_fields=["colour"]))
    raises(exceptions.InvalidArgument, lambda: session(arrow, row_restriction="n +"))
    raises(exceptions.InvalidArgument, lambda: session(types.DataFormat.DATA_FORMAT_UNSPECIFIED))
    missing = types.ReadSession(table=f"{TABLE}2", data_format=arrow)
    raises(exceptions.NotFound, lambda: reader.create_read_session(parent="projects/demo", read_session=missing))
    stream = session(arrow).streams[0].name.replace("streams/0", "streams/7")
    raises(exceptions.NotFound, lambda: list(reader.read_rows(stream)))
    client.delete_dataset("reads", delete_contents=True)
