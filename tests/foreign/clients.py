"""Runs every row of the table: `clients.py`, with the variables set that `millstream local` prints."""

import sys

import bigquery  # noqa: F401  its rows add themselves
import loads  # noqa: F401
import pubsub  # noqa: F401
import storage_read  # noqa: F401
import scheduler  # noqa: F401
import table

sys.exit(1 if table.run() else 0)
