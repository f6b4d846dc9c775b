"""Google's own Python client of Cloud Scheduler against the local server, over gRPC; messages are pulled by that of Pub/Sub."""

import http.server
import os
import queue
import threading

import grpc
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1
from google.cloud.scheduler_v1 import CloudSchedulerClient, HttpMethod, HttpTarget, Job, PubsubTarget, RetryConfig
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
    CloudSchedulerRestTransport,
)

from table import equal, raises, row

client = CloudSchedulerClient(
    transport=CloudSchedulerGrpcTransport(channel=grpc.insecure_channel(os.environ["CLOUD_SCHEDULER_EMULATOR_HOST"]))
)
publisher = pubsub_v1.PublisherClient()
subscriber = pubsub_v1.SubscriberClient()

PARENT = "projects/demo/locations/europe-west1"
NAME = f"{PARENT}/jobs/hello"
CALL = f"{PARENT}/jobs/call"
topic = publisher.topic_path("demo", "scheduler-ticks")
subscription = subscriber.subscription_path("demo", "scheduler-ticks")


def take_all():
    """Pulls and acknowledges what there is, and returns data and attributes."""
    answer = subscriber.pull(subscription=subscription, max_messages=100, return_immediately=True)
    if answer.received_messages:
        subscriber.acknowledge(
            subscription=subscription, ack_ids=[one.ack_id for one in answer.received_messages]
        )
    return [(one.message.data, dict(one.message.attributes)) for one in answer.received_messages]


@row("Scheduler: create, get and list jobs")
def _():
    publisher.create_topic(name=topic)
    subscriber.create_subscription(name=subscription, topic=topic)
    job = Job(
        name=NAME,
        schedule="*/5 9-17 * * MON-FRI",
        time_zone="Europe/Berlin",
        pubsub_target=PubsubTarget(topic_name=topic, data=b"hello", attributes={"k": "v"}),
        retry_config=RetryConfig(retry_count=2),
    )
    created = client.create_job(parent=PARENT, job=job)
    equal((created.name, created.state, created.retry_config.max_doublings), (NAME, Job.State.ENABLED, 5))
    equal(created.schedule_time > created.user_update_time, True)
    raises(exceptions.AlreadyExists, lambda: client.create_job(parent=PARENT, job=job))
    equal(client.get_job(name=NAME), created)
    equal([one.name for one in client.list_jobs(parent=PARENT)], [NAME])


@row("Scheduler: pages of a list are fetched one after the other")
def _():
    names = [f"{PARENT}/jobs/page-{number}" for number in range(5)]
    for name in names:
        target = PubsubTarget(topic_name=topic, data=b"x")
        client.create_job(parent=PARENT, job=Job(name=name, schedule="0 0 1 1 *", pubsub_target=target))
    listed = client.list_jobs(request={"parent": PARENT, "page_size": 2})
    equal([one.name for one in listed], [NAME, *names])
    for name in names:
        client.delete_job(name=name)


@row("Scheduler: the same over REST")
def _():
    host = os.environ["CLOUD_SCHEDULER_EMULATOR_HOST"]
    transport = CloudSchedulerRestTransport(host=host, url_scheme="http", credentials=AnonymousCredentials())
    over_rest = CloudSchedulerClient(transport=transport)
    equal(over_rest.get_job(name=NAME), client.get_job(name=NAME))
    equal([one.name for one in over_rest.list_jobs(parent=PARENT)], [NAME])
    raises(exceptions.NotFound, lambda: over_rest.pause_job(name=CALL))


@row("Scheduler: a job that is run arrives on its topic")
def _():
    ran = client.run_job(name=NAME)
    equal(ran.status.code, 0)
    equal(take_all(), [(b"hello", {"k": "v"})])


@row("Scheduler: update changes the fields of its mask")
def _():
    job = Job(name=NAME, schedule="every 5 minutes", pubsub_target=PubsubTarget(data=b"bye"))
    mask = {"paths": ["schedule", "pubsub_target.data"]}
    updated = client.update_job(request={"job": job, "update_mask": mask})
    equal((updated.schedule, updated.time_zone), ("every 5 minutes", "Europe/Berlin"))
    client.run_job(name=NAME)
    equal(take_all(), [(b"bye", {"k": "v"})])


@row("Scheduler: pause and resume, each from the other state only")
def _():
    raises(exceptions.FailedPrecondition, lambda: client.resume_job(name=NAME))
    equal(client.pause_job(name=NAME).state, Job.State.PAUSED)
    raises(exceptions.FailedPrecondition, lambda: client.pause_job(name=NAME))
    equal(client.resume_job(name=NAME).state, Job.State.ENABLED)


@row("Scheduler: an HTTP target gets the documented headers, its own and the body")
def _():
    arrived = queue.Queue()

    class Door(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((self.path, dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = HttpTarget(
        uri=f"http://127.0.0.1:{server.server_port}/tick?a=b",
        http_method=HttpMethod.PUT,
        headers={"X-Mine": "yes", "User-Agent": "not me"},
        body=b"hello",
    )
    client.create_job(parent=PARENT, job=Job(name=CALL, schedule="0 0 1 1 *", http_target=target))
    client.run_job(name=CALL)
    path, headers, body = arrived.get(timeout=60)
    headers = {name.lower(): value for name, value in headers.items()}
    equal((path, body), ("/tick?a=b", b"hello"))
    names = ["x-cloudscheduler", "x-cloudscheduler-jobname", "user-agent", "x-mine", "content-type"]
    values = ["true", "call", "Google-Cloud-Scheduler", "yes", "application/octet-stream"]
    equal([headers.get(name) for name in names], values)
    server.shutdown()
    client.delete_job(name=CALL)


@row("Scheduler: what cannot be is refused with Google's codes")
def _():
    def create(**fields):
        job = Job(**{"name": CALL, "schedule": "* * * * *", **fields})
        return lambda: client.create_job(parent=PARENT, job=job)

    target = PubsubTarget(topic_name=topic, data=b"x")
    for wrong in [
        create(),
        create(pubsub_target=PubsubTarget(topic_name=topic)),
        create(pubsub_target=target, schedule="61 * * * *"),
        create(pubsub_target=target, time_zone="Mars/Base"),
        create(pubsub_target=target, retry_config=RetryConfig(retry_count=6)),
        create(pubsub_target=target, name="hello"),
        create(http_target=HttpTarget(uri="ftp://localhost/")),
    ]:
        raises(exceptions.InvalidArgument, wrong)
    raises(exceptions.MethodNotImplemented, create(http_target=HttpTarget(uri="https://localhost/")))
    raises(exceptions.NotFound, lambda: client.get_job(name=CALL))


@row("Scheduler: a job that failed says why")
def _():
    target = PubsubTarget(topic_name=publisher.topic_path("demo", "nothing"), data=b"x")
    client.create_job(parent=PARENT, job=Job(name=CALL, schedule="0 0 1 1 *", pubsub_target=target))
    equal(client.run_job(name=CALL).status.code, 5)
    client.delete_job(name=CALL)


@row("Scheduler: delete")
def _():
    client.delete_job(name=NAME)
    raises(exceptions.NotFound, lambda: client.delete_job(name=NAME))
    equal(list(client.list_jobs(parent=PARENT)), [])
    subscriber.delete_subscription(subscription=subscription)
    publisher.delete_topic(topic=topic)
