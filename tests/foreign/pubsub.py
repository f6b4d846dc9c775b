"""Google's own Python client of Pub/Sub against the local server."""

import datetime
import threading

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeStatus

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


def collect(name, count, handle):
    """Streams until `handle`, called with each message, has returned true `count` times."""
    done, lock, left = threading.Event(), threading.Lock(), [count]

    def take(message):
        with lock:
            if handle(message):
                left[0] -= 1
            if left[0] == 0:
                done.set()

    stream = subscriber.subscribe(name, take)
    in_time = done.wait(60)
    stream.cancel()
    stream.result()
    equal(in_time, True)


def subscribe(identifier, **options):
    """Creates a subscription of the topic of orders."""
    name = subscriber.subscription_path("demo", identifier)
    return subscriber.create_subscription(request={"name": name, "topic": topic, **options})


@row("Pub/Sub: ordered publishing and streaming pull; a refused message comes again with all later ones")
def _():
    name = subscribe("ordered", enable_message_ordering=True).name
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    ordered = pubsub_v1.PublisherClient(publisher_options=options)
    published = [ordered.publish(topic, b"%d" % number, ordering_key="key %d" % (number % 3)) for number in range(60)]
    # What is not published yet when the client is stopped may never be.
    equal(len({one.result(timeout=60) for one in published}), 60)
    ordered.stop()
    seen, refused, early = {}, [], []

    def handle(message):
        number, of_key = int(message.data), seen.setdefault(message.ordering_key, [])
        if number == 30 and not refused:
            refused.append(number)
            message.nack()
            return False
        message.ack()
        if number != (of_key[-1] + 3 if of_key else int(message.ordering_key[-1])):
            early.append(number)
            return False
        of_key.append(number)
        return True

    collect(name, 60, handle)
    equal(seen, {"key %d" % key: list(range(key, 60, 3)) for key in range(3)})
    # The client had them already; their acknowledgements counted for nothing, as they all came again.
    equal([number for number in early if number not in range(33, 60, 3)], [])
    subscriber.delete_subscription(subscription=name)
    equal(len(take_all(subscription)), 60)


@row("Pub/Sub: dead letter after exactly five deliveries, with attributes of its origin")
def _():
    grave = publisher.create_topic(name=publisher.topic_path("demo", "grave")).name
    mourner = subscriber.subscription_path("demo", "mourner")
    subscriber.create_subscription(name=mourner, topic=grave)
    policy = {"dead_letter_topic": grave, "max_delivery_attempts": 5}
    raises(exceptions.NotFound, lambda: subscribe("doomed", dead_letter_policy={**policy, "dead_letter_topic": grave + "2"}))
    raises(exceptions.InvalidArgument, lambda: subscribe("doomed", dead_letter_policy={**policy, "max_delivery_attempts": 4}))
    doomed = subscribe("doomed", dead_letter_policy=policy).name
    publisher.publish(topic, b"poison", taste="bitter").result()
    attempts = []

    def refuse(message):
        attempts.append(message.delivery_attempt)
        message.nack()
        return True

    collect(doomed, 5, refuse)
    equal(attempts, [1, 2, 3, 4, 5])
    dead = subscriber.pull(subscription=mourner, max_messages=10).received_messages
    equal([(one.message.data, one.delivery_attempt) for one in dead], [(b"poison", 0)])
    attributes = dict(dead[0].message.attributes)
    published = datetime.datetime.fromisoformat(attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime"))
    equal(published <= dead[0].message.publish_time, True)
    source = {"DeliveryCount": "5", "Subscription": "doomed", "SubscriptionProject": "demo"}
    equal(attributes, {"taste": "bitter", **{"CloudPubSubDeadLetterSource" + name: value for name, value in source.items()}})
    equal(take_all(doomed), [])
    subscriber.delete_subscription(subscription=doomed)
    equal(take_all(subscription), [b"poison"])


@row("Pub/Sub: filters select by attributes; a wrong one is refused with its position")
def _():
    chosen = 'hasPrefix(attributes.kind, "ord") AND NOT attributes:draft'
    filtered = subscribe("filtered", filter=chosen)
    equal(filtered.filter, chosen)
    for kind, more in (("order", {}), ("order", {"draft": "1"}), ("note", {}), ("ordinary", {})):
        publisher.publish(topic, kind.encode(), kind=kind, **more).result()
    equal(take_all(filtered.name), [b"order", b"ordinary"])
    raises(exceptions.InvalidArgument, lambda: subscribe("wrong", filter="attributes.kind = order"))
    subscriber.delete_subscription(subscription=filtered.name)
    equal(len(take_all(subscription)), 4)


@row("Pub/Sub: exactly once, every acknowledgement is confirmed and an expired one refused")
def _():
    exact = subscribe("exact", enable_exactly_once_delivery=True).name
    for number in range(20):
        publisher.publish(topic, b"%d" % number).result()
    pulled = subscriber.pull(subscription=exact, max_messages=1).received_messages[0]
    subscriber.modify_ack_deadline(subscription=exact, ack_ids=[pulled.ack_id], ack_deadline_seconds=0)
    late = raises(exceptions.InvalidArgument, lambda: subscriber.acknowledge(subscription=exact, ack_ids=[pulled.ack_id]))
    equal(late.metadata[pulled.ack_id], "PERMANENT_FAILURE_INVALID_ACK_ID")
    confirmations = []

    def confirm(message):
        confirmations.append(message.ack_with_response())
        return True

    collect(exact, 20, confirm)
    equal({one.result(60) for one in confirmations}, {AcknowledgeStatus.SUCCESS})
    equal(take_all(exact), [])
    subscriber.delete_subscription(subscription=exact)
    equal(len(take_all(subscription)), 20)


@row("Pub/Sub: a retry policy is returned as given")
def _():
    minimum, maximum = datetime.timedelta(seconds=1), datetime.timedelta(seconds=30)
    policy = {"minimum_backoff": minimum, "maximum_backoff": maximum}
    retrying = subscribe("retrying", retry_policy=policy)
    equal((retrying.retry_policy.minimum_backoff, retrying.retry_policy.maximum_backoff), (minimum, maximum))
    subscriber.delete_subscription(subscription=retrying.name)


@row("Pub/Sub: schemas are created, committed, listed; what does not conform is refused")
def _():
    schemas = pubsub_v1.SchemaServiceClient()
    cents = '{"type": "record", "name": "Order", "fields": [{"name": "cents", "type": "int"}]}'
    avro = {"type_": "AVRO", "definition": cents}
    path = schemas.schema_path("demo", "order")
    created = schemas.create_schema(parent="projects/demo", schema=avro, schema_id="order")
    equal((created.name, created.definition), (path, cents))
    wrong = {"schema": {**avro, "definition": "{"}, "parent": "projects/demo"}
    raises(exceptions.InvalidArgument, lambda: schemas.validate_schema(request=wrong))
    message = {"parent": "projects/demo", "name": path, "encoding": "JSON"}
    schemas.validate_message(request={**message, "message": b'{"cents": 5}'})
    raises(exceptions.InvalidArgument, lambda: schemas.validate_message(request={**message, "message": b"{}"}))
    checked = publisher.topic_path("demo", "checked")
    settings = {"schema": path, "encoding": "BINARY"}
    publisher.create_topic(request={"name": checked, "schema_settings": settings})
    reader = subscriber.create_subscription(name=subscriber.subscription_path("demo", "checked"), topic=checked).name
    publisher.publish(checked, b"\x0a").result()
    raises(exceptions.InvalidArgument, lambda: publisher.publish(checked, b'{"cents": 5}').result())
    pulled = subscriber.pull(subscription=reader, max_messages=10).received_messages
    expected = {"encoding": "BINARY", "name": path, "revisionid": created.revision_id}
    equal([dict(one.message.attributes) for one in pulled], [{"googclient_schema" + k: v for k, v in expected.items()}])
    committed = schemas.commit_schema(name=path, schema={"name": path, "type_": "AVRO", "definition": '"int"'})
    revisions = [one.revision_id for one in schemas.list_schema_revisions(name=path)]
    equal(revisions, [committed.revision_id, created.revision_id])
    schemas.delete_schema(name=path)
    raises(exceptions.NotFound, lambda: schemas.get_schema(name=path))


@row("Pub/Sub: delete subscription and topic")
def _():
    subscriber.delete_subscription(subscription=subscription)
    publisher.delete_topic(topic=topic)
    raises(exceptions.NotFound, lambda: subscriber.get_subscription(subscription=subscription))
    raises(exceptions.NotFound, lambda: publisher.get_topic(topic=topic))
