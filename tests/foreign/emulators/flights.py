"""The messages: departures of the example's data as JSON, some of them twice, among them some that cannot be used."""

import collections
import csv
import datetime
import gzip
import json

#: Columns that are numbers.
NUMBERS = (
    "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time distance hour minute"
).split()
#: Every so many flights one is published twice.
TWICE = 20
#: Event time may lie so far back without being late: nothing is, whatever the order of delivery.
ALLOWED_LATENESS_SECONDS = 60 * 86_400

Message = collections.namedtuple("Message", "data attributes")


def read(path, count):
    """The first flights of a file, in its order."""
    with gzip.open(path, "rt") as lines:
        return [flight(row) for row, _ in zip(csv.DictReader(lines), range(count))]


def flight(row):
    value = lambda name, text: None if text in ("NA", "") else int(text) if name in NUMBERS else text
    return {name: value(name, text) for name, text in row.items()}


def message(one):
    key = "-".join(str(one[name]) for name in ("carrier", "flight", "origin", "time_hour"))
    return Message(json.dumps(one).encode(), {"id": key})


def messages(flights):
    """What is published for some flights, in an order that brings the repeated ones a while after the first."""
    wanted = [message(one) for one in flights]
    return [*wanted[: len(wanted) // 2], *unusable(flights[0]), *wanted[::TWICE], *wanted[len(wanted) // 2 :]]


def unusable(good):
    """One message for each thing that can be wrong; the attribute makes no two of them the same."""
    without = {name: value for name, value in good.items() if name != "carrier"}
    wrong = [
        b"not JSON at all",
        b"\xff\xfe\x00bytes",
        b"[1, 2]",
        b"{",
        json.dumps(good).encode()[:-20],
        json.dumps(without).encode(),
        json.dumps({**good, "flight": "seventeen"}).encode(),
        json.dumps({**good, "colour": "red"}).encode(),
        json.dumps({**good, "time_hour": "yesterday"}).encode(),
        json.dumps({**good, "carrier": None}).encode(),
        b" ",
    ]
    return [Message(data, {}) for data in wrong]


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def expected_aggregates(flights):
    """The last pane of each hour and carrier, computed without any pipeline."""
    groups = collections.defaultdict(list)
    for one in flights:
        at = time_of(one["time_hour"]) + datetime.timedelta(minutes=one["minute"])
        groups[at.replace(minute=0), one["carrier"]].append(one)
    rows = []
    for (start, carrier), members in groups.items():
        delays = [one["dep_delay"] for one in members if one["dep_delay"] is not None]
        rows.append(
            {
                "window_start": start,
                "window_end": start + datetime.timedelta(hours=1),
                "carrier": carrier,
                "is_last": True,
                "departures": sum(one["dep_time"] is not None for one in members),
                "cancellations": sum(one["dep_time"] is None for one in members),
                "mean_delay": sum(delays) / len(delays) if delays else None,
                "greatest_delay": max(delays, default=None),
            }
        )
    return rows


def columns():
    """Name, type and mode of what a message holds."""
    required = "year month day sched_dep_time carrier flight origin dest hour minute time_hour".split()
    kinds = {name: "INT64" for name in NUMBERS} | {name: "STRING" for name in ("carrier", "tailnum", "origin", "dest")}
    kinds["time_hour"] = "TIMESTAMP"
    return [(name, kind, "REQUIRED" if name in required else "NULLABLE") for name, kind in kinds.items()]


def schemas():
    """Name, type and mode of the columns of each table, as the pipeline's documentation has them."""
    need = lambda text: [(*column.split(":"), "REQUIRED") for column in text.split()]
    may = lambda text: [(*column.split(":"), "NULLABLE") for column in text.split()]
    window = "window_start:TIMESTAMP window_end:TIMESTAMP carrier:STRING pane:INT64 timing:STRING is_last:BOOL"
    letter = "step:STRING reason:STRING bytes:BYTES received_at:TIMESTAMP"
    return {
        "flights": need("id:STRING event_time:TIMESTAMP publish_time:TIMESTAMP") + columns(),
        "carrier_hours": need(f"{window} departures:INT64 cancellations:INT64") + may("mean_delay:FLOAT64 greatest_delay:INT64"),
        "dead_letters": need(letter) + may("detail:STRING event_time:TIMESTAMP"),
    }


def config(subscription):
    """The configuration of the pipeline that reads a subscription."""
    return {
        "name": "other-emulators",
        "subscription": subscription,
        "lease_seconds": 60,
        "message": {
            "fields": [dict(zip(("name", "type", "mode"), column)) for column in columns()],
            "event_time": {"field": "time_hour", "plus_minutes": "minute"},
            "id": ["carrier", "flight", "origin", "time_hour"],
        },
        "deduplicate": {"attribute": "id"},
        "windows": {"size_seconds": 3_600, "allowed_lateness_seconds": ALLOWED_LATENESS_SECONDS},
        "aggregates": {
            "keys": ["carrier"],
            "measures": [
                {"name": "departures", "aggregate": "count_known", "field": "dep_time"},
                {"name": "cancellations", "aggregate": "count_null", "field": "dep_time"},
                {"name": "mean_delay", "aggregate": "mean", "field": "dep_delay"},
                {"name": "greatest_delay", "aggregate": "max", "field": "dep_delay"},
            ],
        },
        "tables": {"rows": "demo.departures.flights", "aggregates": "demo.departures.carrier_hours"},
        "dead_letters": {"table": "demo.departures.dead_letters"},
    }
