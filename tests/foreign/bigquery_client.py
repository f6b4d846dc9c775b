"""Google's Python client of BigQuery, connected to the local server."""

import os

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

endpoint = os.environ["BIGQUERY_EMULATOR_HOST"]
client = bigquery.Client(
    project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": endpoint}
)


def query(sql, *parameters):
    """The rows of a query, as tuples."""
    config = bigquery.QueryJobConfig(query_parameters=parameters)
    return [tuple(one.values()) for one in client.query(sql, job_config=config).result()]
