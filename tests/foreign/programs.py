"""Google's command-line programs against the local servers: `programs.py`, in the environment that scripts/google-programs makes."""

import http.server
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading

import table
from table import equal, row

LOCATION = "--location=europe-west1"
JOB = "projects/demo/locations/europe-west1/jobs/hello"
TOPIC = "projects/demo/topics/program-ticks"
SUBSCRIPTION = "projects/demo/subscriptions/program-ticks"
SNAPSHOT = "projects/demo/snapshots/program-noon"
FAR = ["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"]


def run(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def said(command):
    """What a program prints that must succeed."""
    done = run(command)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def gcloud(*arguments):
    """What gcloud prints as JSON."""
    text = said(["gcloud", *arguments, "--format=json"])
    return json.loads(text) if text.strip() else None


def refused(words, *arguments):
    """Runs gcloud, which must fail and say these words."""
    done = run(["gcloud", *arguments])
    equal((done.returncode != 0, words in done.stderr), (True, True))


def bq(*arguments):
    # Without a token bq wants somebody to be signed in; the server does not look at it.
    flags = ["--bigqueryrc=/dev/null", "--oauth_access_token=none", "--project_id=demo", "--quiet", "--headless"]
    return said(["bq", "--api", os.environ["BIGQUERY_EMULATOR_HOST"], *flags, *arguments])


def pulled():
    """Data of the messages that there are, in order."""
    messages = gcloud("pubsub", "subscriptions", "pull", SUBSCRIPTION, "--auto-ack", "--limit=100")
    return sorted(one["message"]["data"] for one in messages)


ONE, TWO, TICK, BYE = "b25l", "dHdv", "dGljaw==", "Ynll"  # "one", "two", "tick" and "bye" as base64


@row("gcloud pubsub topics: create, list, describe, publish")
def _():
    gcloud("pubsub", "topics", "create", TOPIC)
    refused("already exists", "pubsub", "topics", "create", TOPIC)
    equal([one["name"] for one in gcloud("pubsub", "topics", "list")], [TOPIC])
    equal(gcloud("pubsub", "topics", "describe", TOPIC)["name"], TOPIC)
    gcloud("pubsub", "subscriptions", "create", SUBSCRIPTION, f"--topic={TOPIC}", "--retain-acked-messages")
    ids = gcloud("pubsub", "topics", "publish", TOPIC, "--message=one", "--attribute=k=v")["messageIds"]
    equal(len(ids), 1)


@row("gcloud pubsub subscriptions: list, pull, seek to times")
def _():
    listed = gcloud("pubsub", "subscriptions", "list")
    equal([(one["name"], one["topic"]) for one in listed], [(SUBSCRIPTION, TOPIC)])
    message = gcloud("pubsub", "subscriptions", "pull", SUBSCRIPTION, "--auto-ack")[0]["message"]
    equal((message["data"], message["attributes"]), (ONE, {"k": "v"}))
    equal(pulled(), [])
    gcloud("pubsub", "subscriptions", "seek", SUBSCRIPTION, f"--time={FAR[0]}")
    equal(pulled(), [ONE])
    gcloud("pubsub", "topics", "publish", TOPIC, "--message=two")
    gcloud("pubsub", "subscriptions", "seek", SUBSCRIPTION, f"--time={FAR[1]}")
    equal(pulled(), [])


@row("gcloud pubsub snapshots: create, list, seek, delete")
def _():
    gcloud("pubsub", "topics", "publish", TOPIC, "--message=two")
    gcloud("pubsub", "snapshots", "create", SNAPSHOT, f"--subscription={SUBSCRIPTION}")
    equal([one["name"] for one in gcloud("pubsub", "snapshots", "list")], [SNAPSHOT])
    equal(pulled(), [TWO])
    gcloud("pubsub", "subscriptions", "seek", SUBSCRIPTION, f"--snapshot={SNAPSHOT}")
    equal(pulled(), [TWO])
    gcloud("pubsub", "snapshots", "delete", SNAPSHOT)
    equal(gcloud("pubsub", "snapshots", "list"), [])


@row("gcloud scheduler jobs: create for a topic, list, describe")
def _():
    command = ["scheduler", "jobs", "create", "pubsub", "hello", LOCATION, "--schedule=*/5 9-17 * * MON-FRI"]
    options = ["--time-zone=Europe/Berlin", f"--topic={TOPIC}", "--message-body=tick", "--attributes=k=v"]
    created = gcloud(*command, *options, "--max-retry-attempts=2")
    target = {"topicName": TOPIC, "data": TICK, "attributes": {"k": "v"}}
    equal((created["name"], created["state"], created["pubsubTarget"]), (JOB, "ENABLED", target))
    equal((created["timeZone"], created["retryConfig"]["retryCount"]), ("Europe/Berlin", 2))
    refused("ALREADY_EXISTS", *command, *options)
    equal(gcloud("scheduler", "jobs", "list", LOCATION), [created])
    equal(gcloud("scheduler", "jobs", "describe", "hello", LOCATION), created)


@row("gcloud scheduler jobs: pause, resume and run")
def _():
    said(["gcloud", "scheduler", "jobs", "pause", "hello", LOCATION])
    refused("FAILED_PRECONDITION", "scheduler", "jobs", "pause", "hello", LOCATION)
    equal(gcloud("scheduler", "jobs", "describe", "hello", LOCATION)["state"], "PAUSED")
    said(["gcloud", "scheduler", "jobs", "run", "hello", LOCATION])
    equal(pulled(), [TICK])
    said(["gcloud", "scheduler", "jobs", "resume", "hello", LOCATION])
    job = gcloud("scheduler", "jobs", "describe", "hello", LOCATION)
    equal((job["state"], job["status"], "lastAttemptTime" in job), ("ENABLED", {}, True))


@row("gcloud scheduler jobs: update")
def _():
    options = ["--schedule=every 10 minutes", "--message-body=bye", "--description=says bye"]
    updated = gcloud("scheduler", "jobs", "update", "pubsub", "hello", LOCATION, *options)
    equal((updated["schedule"], updated["timeZone"]), ("every 10 minutes", "Europe/Berlin"))
    equal((updated["description"], updated["pubsubTarget"]["attributes"]), ("says bye", {"k": "v"}))
    said(["gcloud", "scheduler", "jobs", "run", "hello", LOCATION])
    equal(pulled(), [BYE])
    refused("INVALID_ARGUMENT", "scheduler", "jobs", "update", "pubsub", "hello", LOCATION, "--schedule=61 * * * *")


@row("gcloud scheduler jobs: an HTTP target is created, called and updated")
def _():
    arrived = queue.Queue()

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.put((self.path, self.headers["X-Mine"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    create = ["scheduler", "jobs", "create", "http", "call", LOCATION, "--schedule=0 0 1 1 *"]
    made = gcloud(*create, f"--uri={address}/a", "--message-body=x", "--headers=X-Mine=yes", "--attempt-deadline=60s")
    equal((made["attemptDeadline"], made["httpTarget"]["httpMethod"]), ("60s", "POST"))
    said(["gcloud", "scheduler", "jobs", "run", "call", LOCATION])
    equal(arrived.get(timeout=60), ("/a", "yes", b"x"))
    update = ["scheduler", "jobs", "update", "http", "call", LOCATION, f"--uri={address}/b", "--clear-headers"]
    equal("headers" in gcloud(*update)["httpTarget"], False)
    said(["gcloud", "scheduler", "jobs", "run", "call", LOCATION])
    equal(arrived.get(timeout=60), ("/b", None, b"x"))
    server.shutdown()


@row("gcloud scheduler: locations, and delete")
def _():
    ids = [one["locationId"] for one in gcloud("scheduler", "locations", "list")]
    equal("europe-west1" in ids, True)
    for name in ("hello", "call"):
        said(["gcloud", "scheduler", "jobs", "delete", name, LOCATION])
    refused("NOT_FOUND", "scheduler", "jobs", "delete", "hello", LOCATION)
    equal(gcloud("scheduler", "jobs", "list", LOCATION), [])


@row("gcloud pubsub: delete subscription and topic")
def _():
    gcloud("pubsub", "subscriptions", "delete", SUBSCRIPTION)
    gcloud("pubsub", "topics", "delete", TOPIC)
    equal((gcloud("pubsub", "subscriptions", "list"), gcloud("pubsub", "topics", "list")), ([], []))
    refused("not found", "pubsub", "topics", "describe", TOPIC)


@row("bq: mk, ls and show")
def _():
    bq("mk", "--dataset", "program_shop")
    bq("mk", "--table", "program_shop.orders", "id:INT64,name:STRING,at:TIMESTAMP")
    datasets = json.loads(bq("--format=json", "ls"))
    equal("program_shop" in [one["datasetReference"]["datasetId"] for one in datasets], True)
    tables = json.loads(bq("--format=json", "ls", "program_shop"))
    equal([one["tableReference"]["tableId"] for one in tables], ["orders"])
    fields = json.loads(bq("--format=json", "show", "program_shop.orders"))["schema"]["fields"]
    equal([(one["name"], one["type"]) for one in fields], [("id", "INTEGER"), ("name", "STRING"), ("at", "TIMESTAMP")])


@row("bq: insert, head and query")
def _():
    with tempfile.TemporaryDirectory() as work:
        rows = pathlib.Path(work, "rows.json")
        rows.write_text('{"id": 1, "name": "tea", "at": "2026-01-01T12:00:00Z"}\n{"id": 2, "name": "milk"}\n')
        bq("insert", "program_shop.orders", str(rows))
    head = json.loads(bq("--format=json", "head", "--max_rows=1", "program_shop.orders"))
    equal(head, [{"at": "2026-01-01 12:00:00", "id": "1", "name": "tea"}])
    sql = "SELECT name, COUNT(*) AS orders FROM program_shop.orders GROUP BY name ORDER BY name"
    answer = json.loads(bq("--format=json", "query", "--use_legacy_sql=false", sql))
    equal(answer, [{"name": "milk", "orders": "1"}, {"name": "tea", "orders": "1"}])
    parameter = ["--parameter=wanted:INT64:2", "SELECT name FROM program_shop.orders WHERE id = @wanted"]
    equal(json.loads(bq("--format=json", "query", "--use_legacy_sql=false", *parameter)), [{"name": "milk"}])


@row("bq: load, a file that is uploaded")
def _():
    with tempfile.TemporaryDirectory() as work:
        rows = pathlib.Path(work, "rows.csv")
        rows.write_text("id,name,at\n3,oat,2026-01-02 08:00:00\n4,,\n")
        bq("load", "--source_format=CSV", "--skip_leading_rows=1", "program_shop.orders", str(rows))
        bq("load", "--autodetect", "--source_format=CSV", "program_shop.detected", str(rows))
    sql = "SELECT name, at FROM program_shop.orders WHERE id > 2 ORDER BY id"
    answer = json.loads(bq("--format=json", "query", "--use_legacy_sql=false", sql))
    equal(answer, [{"at": "2026-01-02 08:00:00", "name": "oat"}, {"at": None, "name": None}])
    fields = json.loads(bq("--format=json", "show", "program_shop.detected"))["schema"]["fields"]
    equal([(one["name"], one["type"]) for one in fields], [("id", "INTEGER"), ("name", "STRING"), ("at", "TIMESTAMP")])
    bq("rm", "-f", "-t", "program_shop.detected")


@row("bq: rm")
def _():
    bq("rm", "-f", "-t", "program_shop.orders")
    equal(bq("--format=json", "ls", "program_shop").strip(), "")
    bq("rm", "-f", "-d", "program_shop")
    datasets = bq("--format=json", "ls").strip()
    equal("program_shop" in datasets, False)


sys.exit(1 if table.run("Google's command-line programs") else 0)
