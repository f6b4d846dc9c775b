"""Google's own Python clients, for the servers of one combination."""

import datetime
import os

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, pubsub_v1

TOPIC = "projects/demo/topics/flights"
DATASET = "demo.departures"
#: Columns whose values depend on when and in which order messages come, by table.
RUN_DEPENDENT = {
    "flights": {"publish_time"},
    "carrier_hours": {"pane", "timing"},
    "dead_letters": {"event_time", "received_at"},
}
#: Of the aggregates only what holds at the end: how many panes there are before depends on the run.
ONLY = {"carrier_hours": "is_last"}


class Clients:
    subscription = None

    def __init__(self, variables):
        # The client of Pub/Sub goes by this variable itself.
        os.environ["PUBSUB_EMULATOR_HOST"] = variables["PUBSUB_EMULATOR_HOST"]
        self._publisher, self._subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
        options = {"api_endpoint": variables["BIGQUERY_EMULATOR_HOST"]}
        self._bigquery = bigquery.Client("demo", AnonymousCredentials(), client_options=options)

    def create(self):
        """Makes the topic, the subscription and the dataset; the tables are left to the program."""
        self._publisher.create_topic(name=TOPIC)
        self.subscribe("flights")
        self._bigquery.create_dataset(DATASET)

    def create_tables(self, schemas):
        for name, columns in schemas.items():
            fields = [bigquery.SchemaField(*column) for column in columns]
            self._bigquery.create_table(bigquery.Table(f"{DATASET}.{name}", schema=fields))

    def subscribe(self, name):
        """Makes a subscription, which is the one that counts from now on."""
        if self.subscription and self.left_over():
            raise RuntimeError("a subscription that holds messages is not replaced")
        self.subscription = f"projects/demo/subscriptions/{name}"
        self._subscriber.create_subscription(name=self.subscription, topic=TOPIC, ack_deadline_seconds=60)

    def publish(self, messages):
        sent = [self._publisher.publish(TOPIC, one.data, **one.attributes) for one in messages]
        for one in sent:
            one.result(60)

    def left_over(self):
        """The ids of the messages that the subscription still delivers."""
        answer = self._subscriber.pull(subscription=self.subscription, max_messages=1_000, return_immediately=True)
        return [dict(one.message.attributes).get("id") for one in answer.received_messages]

    def table(self, name):
        """The rows of a table, sorted, without what depends on the run: a mapping of columns each."""
        rows = self._bigquery.query_and_wait(f"SELECT * FROM `{DATASET}.{name}`")
        kept = [dict(row.items()) for row in rows if name not in ONLY or row[ONLY[name]]]
        return normal(({key: value for key, value in row.items() if key not in RUN_DEPENDENT[name]}) for row in kept)

    def tables(self):
        return {name: self.table(name) for name in RUN_DEPENDENT}

    def close(self):
        self._publisher.stop()
        self._subscriber.close()
        self._bigquery.close()


def normal(rows):
    """Rows sorted, with columns in the order of their names and points in time in UTC."""
    in_utc = lambda value: value.astimezone(datetime.timezone.utc) if isinstance(value, datetime.datetime) else value
    return sorted(({name: in_utc(row[name]) for name in sorted(row)} for row in rows), key=repr)
