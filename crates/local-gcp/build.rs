//! Generates the gRPC server traits over published message types; no protocol compiler is needed.
//!
//! Each method is one row of a table: the Rust name, the route, input, output, and which sides stream.

use tonic_build::manual::{Builder, Method, Service};

/// Which sides of a method are streams.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Unary,
    ServerStreaming,
    Bidirectional,
}
use Kind::{Bidirectional, ServerStreaming, Unary};

/// Rust name, route name, request, response, kind.
type Row = (&'static str, &'static str, &'static str, &'static str, Kind);

/// `google.protobuf.Empty`; message paths must be identifiers, so the unit type goes by a name.
const EMPTY: &str = "crate::proto::Empty";

const PUBLISHER: &[Row] = &[
    ("create_topic", "CreateTopic", "Topic", "Topic", Unary),
    ("update_topic", "UpdateTopic", "UpdateTopicRequest", "Topic", Unary),
    ("publish", "Publish", "PublishRequest", "PublishResponse", Unary),
    ("get_topic", "GetTopic", "GetTopicRequest", "Topic", Unary),
    ("list_topics", "ListTopics", "ListTopicsRequest", "ListTopicsResponse", Unary),
    (
        "list_topic_subscriptions",
        "ListTopicSubscriptions",
        "ListTopicSubscriptionsRequest",
        "ListTopicSubscriptionsResponse",
        Unary,
    ),
    (
        "list_topic_snapshots",
        "ListTopicSnapshots",
        "ListTopicSnapshotsRequest",
        "ListTopicSnapshotsResponse",
        Unary,
    ),
    ("delete_topic", "DeleteTopic", "DeleteTopicRequest", EMPTY, Unary),
    (
        "detach_subscription",
        "DetachSubscription",
        "DetachSubscriptionRequest",
        "DetachSubscriptionResponse",
        Unary,
    ),
];

const SUBSCRIBER: &[Row] = &[
    ("create_subscription", "CreateSubscription", "Subscription", "Subscription", Unary),
    ("get_subscription", "GetSubscription", "GetSubscriptionRequest", "Subscription", Unary),
    (
        "update_subscription",
        "UpdateSubscription",
        "UpdateSubscriptionRequest",
        "Subscription",
        Unary,
    ),
    (
        "list_subscriptions",
        "ListSubscriptions",
        "ListSubscriptionsRequest",
        "ListSubscriptionsResponse",
        Unary,
    ),
    ("delete_subscription", "DeleteSubscription", "DeleteSubscriptionRequest", EMPTY, Unary),
    ("modify_ack_deadline", "ModifyAckDeadline", "ModifyAckDeadlineRequest", EMPTY, Unary),
    ("acknowledge", "Acknowledge", "AcknowledgeRequest", EMPTY, Unary),
    ("pull", "Pull", "PullRequest", "PullResponse", Unary),
    (
        "streaming_pull",
        "StreamingPull",
        "StreamingPullRequest",
        "StreamingPullResponse",
        Bidirectional,
    ),
    ("modify_push_config", "ModifyPushConfig", "ModifyPushConfigRequest", EMPTY, Unary),
    ("get_snapshot", "GetSnapshot", "GetSnapshotRequest", "Snapshot", Unary),
    ("list_snapshots", "ListSnapshots", "ListSnapshotsRequest", "ListSnapshotsResponse", Unary),
    ("create_snapshot", "CreateSnapshot", "CreateSnapshotRequest", "Snapshot", Unary),
    ("update_snapshot", "UpdateSnapshot", "UpdateSnapshotRequest", "Snapshot", Unary),
    ("delete_snapshot", "DeleteSnapshot", "DeleteSnapshotRequest", EMPTY, Unary),
    ("seek", "Seek", "SeekRequest", "SeekResponse", Unary),
];

const SCHEMA_SERVICE: &[Row] = &[
    ("create_schema", "CreateSchema", "CreateSchemaRequest", "Schema", Unary),
    ("get_schema", "GetSchema", "GetSchemaRequest", "Schema", Unary),
    ("list_schemas", "ListSchemas", "ListSchemasRequest", "ListSchemasResponse", Unary),
    (
        "list_schema_revisions",
        "ListSchemaRevisions",
        "ListSchemaRevisionsRequest",
        "ListSchemaRevisionsResponse",
        Unary,
    ),
    ("commit_schema", "CommitSchema", "CommitSchemaRequest", "Schema", Unary),
    ("rollback_schema", "RollbackSchema", "RollbackSchemaRequest", "Schema", Unary),
    (
        "delete_schema_revision",
        "DeleteSchemaRevision",
        "DeleteSchemaRevisionRequest",
        "Schema",
        Unary,
    ),
    ("delete_schema", "DeleteSchema", "DeleteSchemaRequest", EMPTY, Unary),
    ("validate_schema", "ValidateSchema", "ValidateSchemaRequest", "ValidateSchemaResponse", Unary),
    (
        "validate_message",
        "ValidateMessage",
        "ValidateMessageRequest",
        "ValidateMessageResponse",
        Unary,
    ),
];

const BIGQUERY_WRITE: &[Row] = &[
    ("create_write_stream", "CreateWriteStream", "CreateWriteStreamRequest", "WriteStream", Unary),
    ("append_rows", "AppendRows", "AppendRowsRequest", "AppendRowsResponse", Bidirectional),
    ("get_write_stream", "GetWriteStream", "GetWriteStreamRequest", "WriteStream", Unary),
    (
        "finalize_write_stream",
        "FinalizeWriteStream",
        "FinalizeWriteStreamRequest",
        "FinalizeWriteStreamResponse",
        Unary,
    ),
    (
        "batch_commit_write_streams",
        "BatchCommitWriteStreams",
        "BatchCommitWriteStreamsRequest",
        "BatchCommitWriteStreamsResponse",
        Unary,
    ),
    ("flush_rows", "FlushRows", "FlushRowsRequest", "FlushRowsResponse", Unary),
];

const BIGQUERY_READ: &[Row] = &[
    ("create_read_session", "CreateReadSession", "CreateReadSessionRequest", "ReadSession", Unary),
    ("read_rows", "ReadRows", "ReadRowsRequest", "ReadRowsResponse", ServerStreaming),
    (
        "split_read_stream",
        "SplitReadStream",
        "SplitReadStreamRequest",
        "SplitReadStreamResponse",
        Unary,
    ),
];

const CLOUD_SCHEDULER: &[Row] = &[
    ("list_jobs", "ListJobs", "ListJobsRequest", "ListJobsResponse", Unary),
    ("get_job", "GetJob", "GetJobRequest", "Job", Unary),
    ("create_job", "CreateJob", "CreateJobRequest", "Job", Unary),
    ("update_job", "UpdateJob", "UpdateJobRequest", "Job", Unary),
    ("delete_job", "DeleteJob", "DeleteJobRequest", EMPTY, Unary),
    ("pause_job", "PauseJob", "PauseJobRequest", "Job", Unary),
    ("resume_job", "ResumeJob", "ResumeJobRequest", "Job", Unary),
    ("run_job", "RunJob", "RunJobRequest", "Job", Unary),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let pubsub = "crate::proto::pubsub";
    Builder::new().build_client(false).compile(&[
        service("Publisher", "google.pubsub.v1", pubsub, PUBLISHER),
        service("SchemaService", "google.pubsub.v1", pubsub, SCHEMA_SERVICE),
        service("Subscriber", "google.pubsub.v1", pubsub, SUBSCRIBER),
        service(
            "BigQueryWrite",
            "google.cloud.bigquery.storage.v1",
            "crate::proto::bigquery_storage",
            BIGQUERY_WRITE,
        ),
        service(
            "BigQueryRead",
            "google.cloud.bigquery.storage.v1",
            "crate::proto::bigquery_storage",
            BIGQUERY_READ,
        ),
        service(
            "CloudScheduler",
            "google.cloud.scheduler.v1",
            "crate::proto::scheduler",
            CLOUD_SCHEDULER,
        ),
    ]);
}

fn service(name: &str, package: &str, messages: &str, rows: &[Row]) -> Service {
    let path = |message: &str| match message {
        EMPTY => EMPTY.to_owned(),
        message => format!("{messages}::{message}"),
    };
    let mut builder = Service::builder().name(name).package(package);
    for &(name, route, input, output, kind) in rows {
        let mut method = Method::builder()
            .name(name)
            .route_name(route)
            .input_type(path(input))
            .output_type(path(output))
            .codec_path("tonic_prost::ProstCodec");
        method = match kind {
            Unary => method,
            ServerStreaming => method.server_streaming(),
            Bidirectional => method.client_streaming().server_streaming(),
        };
        builder = builder.method(method.build());
    }
    builder.build()
}
