"""Starts all servers at once and runs the load of `crates/local-gcp/benches/servers` on them in turn.

`compare.py NAME=PROGRAM... -- OPTIONS OF THE LOAD`
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from servers import BIGQUERY, PUBSUB, exported, process

LOAD = ["cargo", "bench", "--quiet", "--workspace", "--bench", "servers", "--"]


@contextlib.contextmanager
def ours(places, work, kind):
    """The local servers: the program of the load can serve as well, and is built with optimisation."""
    with process([*LOAD, "--serve"], work / "millstream.log") as running:
        yield exported(running, 2)


def started(servers, kind, places, work, stack):
    """The variables of each server of a kind that is there, ours first."""
    for name, start in servers.items():
        if name in places:
            directory = work / f"{kind}-{name}"
            directory.mkdir()
            start = ours if name == "millstream" else start
            yield name, stack.enter_context(start(places, directory, kind))


def main(arguments):
    split = arguments.index("--")
    places = dict(argument.split("=", 1) for argument in arguments[:split])
    command = [*LOAD, *arguments[split + 1 :]]
    with tempfile.TemporaryDirectory(prefix="compare-servers-") as temporary, contextlib.ExitStack() as stack:
        work = pathlib.Path(temporary)
        for name, variables in started(PUBSUB, "PUBSUB", places, work, stack):
            command.append(f"--pubsub={name}={variables['PUBSUB_EMULATOR_HOST']}")
        for name, variables in started(BIGQUERY, "BIGQUERY", places, work, stack):
            rest = variables["BIGQUERY_EMULATOR_HOST"]
            grpc = variables.get("BIGQUERY_STORAGE_EMULATOR_HOST", rest)
            command.append(f"--bigquery={name}={rest},{grpc}")
        print(f"load of the machine before: {os.getloadavg()[0]:.2f} of {os.cpu_count()} processors", file=sys.stderr)
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
