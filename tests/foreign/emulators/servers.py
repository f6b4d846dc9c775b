"""The servers under comparison: each is started as a process of its own, and says by which variables it is reached."""

import contextlib
import os
import socket
import subprocess
import time

#: How long a server may take until it accepts connections: one is a Java program, another loads a database engine.
START_SECONDS = 60


@contextlib.contextmanager
def process(command, log, **options):
    """Runs a command with its errors going to a file; it ends when its standard input does, or is ended."""
    with open(log, "w") as errors:
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, **options
        )
        try:
            yield running
        finally:
            running.stdin.close()
            try:
                running.wait(2)
            except subprocess.TimeoutExpired:
                running.terminate()
                try:
                    running.wait(10)
                except subprocess.TimeoutExpired:
                    running.kill()
                    running.wait()
            running.stdout.close()


def exported(running, count):
    """The variables that a server prints as lines for a shell."""
    lines = [running.stdout.readline().strip() for _ in range(count)]
    if not all(lines):
        raise RuntimeError(f"{running.args} ended without saying where it is")
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


@contextlib.contextmanager
def ours(places, work, kind):
    with process([places["millstream"], "local"], work / "millstream-local.log") as running:
        variables = exported(running, 2)
        yield {name: value for name, value in variables.items() if name.startswith(kind)}


@contextlib.contextmanager
def google_emulator(places, work, kind):
    port = free_port()
    command = [places["google-emulator"], "--host=127.0.0.1", f"--port={port}"]
    # It writes to both outputs as long as it runs; nobody reads the first.
    with open(work / "google-emulator.out", "w") as out, open(work / "google-emulator.log", "w") as log:
        running = subprocess.Popen(command, stdout=out, stderr=log)
        try:
            wait_for_port(running, port)
            yield {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"}
        finally:
            running.terminate()
            running.wait(20)


@contextlib.contextmanager
def pstest(places, work, kind):
    with process([places["pstest"]], work / "pstest.log") as running:
        yield exported(running, 1)


@contextlib.contextmanager
def local_bigquery(places, work, kind):
    program = os.path.join(os.path.dirname(__file__), "start_local_bigquery.py")
    home = work / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    command = [places["local-bigquery"], program, str(work / "data")]
    with process(command, work / "local-bigquery.log", env=environment) as running:
        yield exported(running, 2)


def free_port():
    """A port that was free a moment ago, for a server that cannot choose one by itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_for_port(running, port):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{running.args} does not listen at port {port}") from None
            time.sleep(0.1)


#: What is under comparison: name, how it is started, what must be there for it.
PUBSUB = {"millstream": ours, "google-emulator": google_emulator, "pstest": pstest}
BIGQUERY = {"millstream": ours, "local-bigquery": local_bigquery}
