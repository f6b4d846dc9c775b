"""Load jobs of files and changes of schemas by Google's Python client of BigQuery."""

import io
import json

from google.api_core import exceptions
from google.cloud import bigquery

from bigquery_client import client, query
from table import equal, raises, row

TABLE = "demo.loads.people"
SCHEMA = [bigquery.SchemaField("id", "INT64", "REQUIRED"), bigquery.SchemaField("name", "STRING")]


def start(text, **options):
    """Starts to load a file, by a resumable upload."""
    config = bigquery.LoadJobConfig(**options)
    return client.load_table_from_file(io.BytesIO(text.encode()), TABLE, job_config=config)


def load(text, **options):
    return start(text, **options).result()


@row("BigQuery: a CSV file is loaded into a table that is created for it")
def _():
    client.create_dataset("loads")
    job = load("id;name\n1;tea\n2;\n", schema=SCHEMA, skip_leading_rows=1, field_delimiter=";")
    equal((job.state, job.output_rows, job.errors), ("DONE", 2, None))
    equal(query("SELECT id, name FROM loads.people ORDER BY id"), [(1, "tea"), (2, None)])


@row("BigQuery: JSON rows are loaded in one request, appended, or instead of those there")
def _():
    rows = [{"id": 3, "name": "oat"}]
    client.load_table_from_json(rows, TABLE).result()
    equal(client.get_table(TABLE).num_rows, 3)
    config = bigquery.LoadJobConfig(write_disposition="WRITE_TRUNCATE", schema=SCHEMA)
    client.load_table_from_json(rows, TABLE, job_config=config).result()
    equal(query("SELECT id, name FROM loads.people"), [(3, "oat")])
    config = bigquery.LoadJobConfig(write_disposition="WRITE_EMPTY")
    raises(exceptions.Conflict, lambda: client.load_table_from_json(rows, TABLE, job_config=config).result())


@row("BigQuery: a load with a bad row loads nothing, unless bad rows are allowed")
def _():
    text = "4,rye\nmany,corn\n"
    job = start(text)
    raises(exceptions.BadRequest, job.result)
    equal([one["message"].split("; ")[-1] for one in job.errors][1:], ["line 2"])
    equal(load(text, max_bad_records=1).output_rows, 1)
    equal(query("SELECT id FROM loads.people ORDER BY id"), [(3,), (4,)])


@row("BigQuery: a file of several parts, its schema detected")
def _():
    lines = (json.dumps({"n": n, "at": "2026-01-01T12:00:00Z", "text": "x" * 1000}) for n in range(12_000))
    text = "\n".join(lines)
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", autodetect=True)
    file = io.BytesIO(text.encode())
    job = client.load_table_from_file(file, "demo.loads.many", job_config=config).result()
    equal((job.output_rows, job.input_file_bytes), (12_000, len(text)))
    fields = [(field.name, field.field_type) for field in client.get_table("demo.loads.many").schema]
    equal(sorted(fields), [("at", "TIMESTAMP"), ("n", "INTEGER"), ("text", "STRING")])


@row("BigQuery: a load adds a column and relaxes another, if it may")
def _():
    schema = [bigquery.SchemaField("id", "INT64"), SCHEMA[1], bigquery.SchemaField("age", "INT64")]
    raises(exceptions.BadRequest, lambda: load(",rye,7\n", schema=schema))
    load(",rye,7\n", schema=schema, schema_update_options=["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"])
    equal(query("SELECT id, age FROM loads.people ORDER BY id"), [(None, 7), (3, None), (4, None)])


@row("BigQuery: formats and sources that are not read are refused by name")
def _():
    error = raises(exceptions.MethodNotImplemented, lambda: load("x", source_format="AVRO"))
    equal("AVRO" in str(error), True)
    uri = "gs://bucket/file.csv"
    raises(exceptions.MethodNotImplemented, lambda: client.load_table_from_uri(uri, TABLE, retry=None))
    client.delete_dataset("loads", delete_contents=True)
