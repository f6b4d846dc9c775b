"""Runs every row of the table: `clients.py`, with PUBSUB_EMULATOR_HOST and BIGQUERY_EMULATOR_HOST set."""

import sys

import bigquery  # noqa: F401  its rows add themselves
import loads  # noqa: F401
import pubsub  # noqa: F401
import storage_read  # noqa: F401
import table

sys.exit(1 if table.run() else 0)
