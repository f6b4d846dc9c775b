"""The program under test, `millstream scheduled-ingest`, as a process: started, watched over HTTP, stopped by a signal."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request

#: How long all messages may take to come through; the servers deliver at least 80 a second.
PATIENCE_SECONDS = 120
#: How long a stop may take.
STOP_SECONDS = 90


class Job:
    def __init__(self, running, log):
        self._running, self._log = running, log
        self._status = self._printed("status at ").split(",")[0]

    def _printed(self, start):
        for line in self._running.stdout:
            if line.startswith(start):
                return line.removeprefix(start).strip()
        raise RuntimeError(f"the job ended: {self._log.read_text()[-2000:]}")

    def received(self):
        """How many messages were received, those dropped as duplicates among them; none before there is a first report."""
        with urllib.request.urlopen(self._status, timeout=10) as answer:
            steps = json.load(answer)["steps"]
        return sum(step["records_out"] + step["duplicates"] for step in steps if step["path"] == "ReadMessages")

    def wait_until_read(self, count):
        """Waits until so many messages were received."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            received = self.received()
            if received >= count:
                return
            if self._running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{received} of {count} messages came: {self._log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self):
        """Asks the job to end, which must succeed, and returns what it says at its end."""
        self._running.send_signal(signal.SIGTERM)
        said, _ = self._running.communicate(timeout=STOP_SECONDS)
        if self._running.returncode != 0:
            raise RuntimeError(f"the job failed: {self._log.read_text()[-4000:]}")
        return said.strip()


@contextlib.contextmanager
def job(millstream, config, work, name, variables, *more):
    """Runs the program with the servers that the variables name, from the checkpoints that are there."""
    path = work / "config.json"
    path.write_text(json.dumps(config))
    command = [millstream, "scheduled-ingest", "--config", str(path), "--checkpoints", str(work / "checkpoints")]
    command += ["--status-port", "0", "--workers", "2", *more]
    log = work / f"{name}.log"
    with open(log, "w") as errors:
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **variables}
        )
        try:
            yield Job(running, log)
        finally:
            running.kill()
            running.wait()
            running.stdout.close()
