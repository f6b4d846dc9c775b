"""Google's own Python client of Pub/Sub against the local server."""

import datetime
import threading

from google.api_core import exceptions
from google.cloud import pubsub_v1

from table import equal, raises, row

publisher = pubsub_v1.PublisherClient()
subscriber = pubsub_v1.SubscriberClient()
topic = publisher.topic_path("demo", "orders")
subscription = subscriber.subscription_path("demo", "orders")


@row("Pub/Sub: create, get and list topics")
def _():
    equal(publisher.create_topic(name=topic).name, topic)
    equal(publisher.get_topic(topic=topic).name, topic)
    equal([one.name for one in publisher.list_topics(project="projects/demo")], [topic])


@row("Pub/Sub: a topic that is there already, one that is not, a wrong name")
def _():
    raises(exceptions.AlreadyExists, lambda: publisher.create_topic(name=topic))
    raises(exceptions.NotFound, lambda: publisher.get_topic(topic=topic + "2"))
    raises(exceptions.InvalidArgument, lambda: publisher.create_topic(name="projects/demo/topics/1"))


@row("Pub/Sub: labels of a topic are updated")
def _():
    changed = {"name": topic, "labels": {"team": "mill"}}
    updated = publisher.update_topic(topic=changed, update_mask={"paths": ["labels"]})
    equal(dict(updated.labels), {"team": "mill"})
    equal(dict(publisher.get_topic(topic=topic).labels), {"team": "mill"})


@row("Pub/Sub: create, get and list subscriptions")
def _():
    created = subscriber.create_subscription(name=subscription, topic=topic, ack_deadline_seconds=30)
    equal((created.topic, created.ack_deadline_seconds), (topic, 30))
    equal(list(publisher.list_topic_subscriptions(topic=topic)), [subscription])
    listed = subscriber.list_subscriptions(project="projects/demo")
    equal([one.name for one in listed], [subscription])


@row("Pub/Sub: publish, pull and acknowledge, attributes and bytes as they were")
def _():
    ids = [publisher.publish(topic, bytes([number, 255]), n=str(number)).result() for number in range(3)]
    pulled = subscriber.pull(subscription=subscription, max_messages=10).received_messages
    messages = sorted((m.message.data, m.message.attributes["n"], m.message.message_id) for m in pulled)
    equal(messages, [(bytes([number, 255]), str(number), ids[number]) for number in range(3)])
    subscriber.acknowledge(subscription=subscription, ack_ids=[m.ack_id for m in pulled])
    again = subscriber.pull(subscription=subscription, max_messages=10, return_immediately=True)
    equal(len(again.received_messages), 0)


@row("Pub/Sub: what is given back is delivered again")
def _():
    publisher.publish(topic, b"again").result()
    first = subscriber.pull(subscription=subscription, max_messages=1).received_messages[0]
    subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[first.ack_id], ack_deadline_seconds=0)
    second = subscriber.pull(subscription=subscription, max_messages=1).received_messages[0]
    equal(second.message.message_id, first.message.message_id)
    subscriber.acknowledge(subscription=subscription, ack_ids=[second.ack_id])


@row("Pub/Sub: streaming pull delivers each of 2,000 messages and takes the acknowledgements")
def _():
    received, complete = set(), threading.Event()

    def take(message):
        received.add(message.data)
        message.ack()
        if len(received) == 2_000:
            complete.set()

    stream = subscriber.subscribe(subscription, take)
    published = [publisher.publish(topic, b"%d" % number) for number in range(2_000)]
    for one in published:
        one.result()
    in_time = complete.wait(60)
    stream.cancel()
    stream.result()
    equal((in_time, received), (True, {b"%d" % number for number in range(2_000)}))


def take_all(name):
    """Pulls and acknowledges what there is, and returns the data."""
    data = []
    while True:
        answer = subscriber.pull(subscription=name, max_messages=100, return_immediately=True)
        if not answer.received_messages:
            return data
        data.extend(one.message.data for one in answer.received_messages)
        subscriber.acknowledge(subscription=name, ack_ids=[one.ack_id for one in answer.received_messages])


@row("Pub/Sub: a seek to a time brings back retained messages, or acknowledges them")
def _():
    retaining = subscriber.subscription_path("demo", "retaining")
    week = datetime.timedelta(days=7)
    request = {"name": retaining, "topic": topic, "retain_acked_messages": True, "message_retention_duration": week}
    equal(subscriber.create_subscription(request=request).retain_acked_messages, True)
    for data in (b"one", b"two"):
        publisher.publish(topic, data).result()
    equal(take_all(retaining), [b"one", b"two"])
    equal(take_all(retaining), [])
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    subscriber.seek(request={"subscription": retaining, "time": now - hour})
    subscriber.seek(request={"subscription": retaining, "time": now + hour})
    equal(take_all(retaining), [])
    subscriber.seek(request={"subscription": retaining, "time": now - hour})
    equal(take_all(retaining), [b"one", b"two"])
    subscriber.delete_subscription(subscription=retaining)
    equal(len(take_all(subscription)), 2)


@row("Pub/Sub: snapshots are created, listed, updated, sought, deleted")
def _():
    snapshot = subscriber.snapshot_path("demo", "noon")
    publisher.publish(topic, b"before").result()
    created = subscriber.create_snapshot(name=snapshot, subscription=subscription)
    equal((created.name, created.topic), (snapshot, topic))
    raises(exceptions.AlreadyExists, lambda: subscriber.create_snapshot(name=snapshot, subscription=subscription))
    equal([one.name for one in subscriber.list_snapshots(project="projects/demo")], [snapshot])
    equal(list(publisher.list_topic_snapshots(topic=topic)), [snapshot])
    changed = {"snapshot": {"name": snapshot, "labels": {"team": "mill"}}, "update_mask": {"paths": ["labels"]}}
    equal(dict(subscriber.update_snapshot(request=changed).labels), {"team": "mill"})
    equal(subscriber.get_snapshot(snapshot=snapshot).expire_time, created.expire_time)
    publisher.publish(topic, b"after").result()
    for _ in range(2):
        equal(take_all(subscription), [b"before", b"after"])
        subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
    equal(take_all(subscription), [b"before", b"after"])
    subscriber.delete_snapshot(snapshot=snapshot)
    raises(exceptions.NotFound, lambda: subscriber.get_snapshot(snapshot=snapshot))


@row("Pub/Sub: delete subscription and topic")
def _():
    subscriber.delete_subscription(subscription=subscription)
    publisher.delete_topic(topic=topic)
    raises(exceptions.NotFound, lambda: subscriber.get_subscription(subscription=subscription))
    raises(exceptions.NotFound, lambda: publisher.get_topic(topic=topic))
