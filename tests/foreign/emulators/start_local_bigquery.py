"""Starts local-bigquery on free ports and says which, until standard input ends: `start_local_bigquery.py DIRECTORY`.

Runs in the environment that local-bigquery is installed in. Its database engine loads extensions from the user's home
and fetches those that are not there, so HOME must be a folder of the test's; the extensions come from packages.
"""

import pathlib
import shutil
import socket
import sys
import threading

import duckdb
import uvicorn

EXTENSIONS = ["ducklake", "icu", "json", "spatial", "sqlite_scanner"]


def install_extensions():
    """Copies the extensions to where the database engine looks for them."""
    version, platform = duckdb.sql("SELECT * FROM pragma_version()").fetchone()[0], platform_name()
    folder = pathlib.Path.home() / ".duckdb" / "extensions" / version / platform
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXTENSIONS:
        package = pathlib.Path(__import__(f"duckdb_extension_{name}").__file__).parent
        (file,) = package.rglob(f"{name}.duckdb_extension")
        shutil.copy(file, folder)


def platform_name():
    return duckdb.sql("CALL pragma_platform()").fetchone()[0]


def serve(directory):
    from local_bigquery.settings import settings

    settings.data_dir = pathlib.Path(directory)
    settings.default_project_id = "demo"
    from local_bigquery.grpc import server

    grpc_server, grpc_port = server.start("127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    rest = uvicorn.Server(uvicorn.Config("local_bigquery:app", log_level="warning"))
    running = threading.Thread(target=rest.run, kwargs={"sockets": [listener]})
    running.start()
    print(f"export BIGQUERY_EMULATOR_HOST=http://127.0.0.1:{listener.getsockname()[1]}")
    print(f"export BIGQUERY_STORAGE_EMULATOR_HOST=http://127.0.0.1:{grpc_port}", flush=True)
    # Whoever started this holds the other end; when they are gone, so is the reason to serve.
    sys.stdin.read()
    rest.should_exit = True
    running.join()
    grpc_server.stop(None)


install_extensions()
serve(sys.argv[1])
