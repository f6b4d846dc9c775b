"""Runs the same program on the same messages against servers that are not ours, and compares the tables.

`main.py millstream=PROGRAM [google-emulator=PROGRAM] [pstest=PROGRAM] [local-bigquery=PYTHON]`: what is not named is
not there, and its combinations are skipped. The variable KEEP names a folder that keeps logs and checkpoints; ONLY names a server
whose combinations alone are run; FLIGHTS is how many there are.
"""

import os
import pathlib
import sys
import tempfile
import time

import flights
from clients import Clients, normal
from job import job
from servers import BIGQUERY, PUBSUB

DATA = pathlib.Path(__file__).parents[3] / "examples" / "data" / "flights-2013-01.csv.gz"
FLIGHTS = int(os.environ.get("FLIGHTS", "2000"))
#: The reference comes first.
COMBINATIONS = [
    ("millstream", "millstream"),
    ("google-emulator", "millstream"),
    ("pstest", "millstream"),
    ("millstream", "local-bigquery"),
    ("google-emulator", "local-bigquery"),
]
#: Servers that go on delivering to streams that were cancelled, as docs/other-emulators.md describes: a second life of the
#: program would get part of its messages several leases late. There each life has a subscription of its own.
DELIVERS_TO_CANCELLED_STREAMS = {"google-emulator"}
#: Servers that fail when two tables of a dataset are created at once. There the tables are made before the program starts,
#: elsewhere it makes them itself.
CREATES_ONE_TABLE_AT_A_TIME = {"local-bigquery"}
#: Servers that refuse to flush to an offset which is flushed already: what the program does when it goes on from a checkpoint,
#: as it cannot know. There it has one life.
REFUSES_REPEATED_FLUSHES = {"local-bigquery"}


def run(places, pubsub, bigquery, work):
    """The tables after all messages went through one combination of servers."""
    wanted = flights.read(DATA, FLIGHTS)
    halves = [flights.messages(half) for half in (wanted[: FLIGHTS // 2], wanted[FLIGHTS // 2 :])]
    lives = [sum(halves, [])] if bigquery in REFUSES_REPEATED_FLUSHES else halves
    with (
        PUBSUB[pubsub](places, make(work / "pubsub"), "PUBSUB") as to_pubsub,
        BIGQUERY[bigquery](places, make(work / "bigquery"), "BIGQUERY") as to_bigquery,
    ):
        variables = {**to_pubsub, **to_bigquery}
        clients = Clients(variables)
        clients.create()
        if bigquery in CREATES_ONE_TABLE_AT_A_TIME:
            clients.create_tables(flights.schemas())
        for number, messages in enumerate(lives, 1):
            if number > 1 and pubsub in DELIVERS_TO_CANCELLED_STREAMS:
                clients.subscribe("flights-again")
            # Each life goes on from the checkpoint of the one before; the last ends for good.
            more = ["--drain"] if number == len(lives) else []
            config = flights.config(clients.subscription)
            with job(places["millstream"], config, work, f"life-{number}", variables, *more) as running:
                clients.publish(messages)
                running.wait_until_read(len(messages))
                running.stop()
        tables, left_over = clients.tables(), clients.left_over()
        clients.close()
    return tables, left_over


def make(directory):
    directory.mkdir()
    return directory


def truth():
    """What the tables must hold, computed from the messages."""
    wanted = flights.read(DATA, FLIGHTS)
    rows = [{**one, "time_hour": flights.time_of(one["time_hour"])} for one in wanted]
    return {"flights": normal(rows), "carrier_hours": normal(flights.expected_aggregates(wanted))}


def differences(tables, expected):
    """What is different, told by the first rows that are."""
    for name, rows in expected.items():
        given = tables[name]
        if given != rows:
            missing = [row for row in rows if row not in given]
            surplus = [row for row in given if row not in rows]
            yield f"{name}: {len(given)} rows instead of {len(rows)}; missing {missing[:2]}, surplus {surplus[:2]}"


def without_own_columns(tables):
    """The tables without what only the pipeline can know: its ids and event times."""
    own = {"flights": {"id", "event_time"}, "carrier_hours": set()}
    strip = lambda row, name: {key: value for key, value in row.items() if key not in own[name]}
    return {name: normal(strip(row, name) for row in tables[name]) for name in own}


def check(places, pubsub, bigquery, work, reference):
    """Runs a combination, and tells what is wrong with it; also gives its tables."""
    tables, left_over = run(places, pubsub, bigquery, work)
    wrong = list(differences(without_own_columns(tables), truth()))
    wrong += differences(tables, reference or {})
    if left_over:
        wrong.append(f"{len(left_over)} messages are not acknowledged, such as {left_over[:2]}")
    if len(tables["dead_letters"]) != 2 * len(flights.unusable(flights.read(DATA, 1)[0])):
        wrong.append(f"{len(tables['dead_letters'])} dead letters")
    return tables, wrong


def main(arguments):
    places = dict(argument.split("=", 1) for argument in arguments)
    reference, failed, passed = None, 0, 0
    for pubsub, bigquery in COMBINATIONS:
        if (only := os.environ.get("ONLY")) and only not in (pubsub, bigquery):
            continue
        name = f"Pub/Sub of {pubsub}, BigQuery of {bigquery}"
        absent = [one for one in (pubsub, bigquery) if one not in places]
        if absent:
            print(f"SKIPPED {name}: {absent[0]} is not there", flush=True)
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="other-emulators-") as temporary:
            work = make(pathlib.Path(os.environ.get("KEEP", temporary)) / f"{pubsub}-{bigquery}")
            try:
                tables, wrong = check(places, pubsub, bigquery, work, reference)
            except Exception as error:  # one combination that fails must not hide the others
                tables, wrong = {}, [f"{type(error).__name__}: {error}"]
        reference = reference or tables
        counts = ", ".join(f"{len(rows)} {table}" for table, rows in tables.items())
        print(f"{'FAILED ' if wrong else 'ok     '} {name}: {counts} ({time.monotonic() - started:.1f} s)", flush=True)
        for one in wrong:
            print(f"        {one}", flush=True)
        failed, passed = failed + bool(wrong), passed + (not wrong)
    print(f"other emulators: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
