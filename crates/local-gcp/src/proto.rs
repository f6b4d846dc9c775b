//! Google's protocol messages and the gRPC server traits generated over them.
//!
//! The messages come from published crates (byte fields are [`bytes::Bytes`], maps are
//! `BTreeMap`s); the traits are made by `build.rs`.

/// `google.protobuf.Empty`, as prost has it.
pub(crate) type Empty = ();

/// Messages of `google.pubsub.v1`.
pub mod pubsub {
    pub use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::*;
}

/// Messages of `google.cloud.bigquery.storage.v1`.
pub mod bigquery_storage {
    pub use googleapis_tonic_google_cloud_bigquery_storage_v1::google::cloud::bigquery::storage::v1::*;
}

/// Messages of `google.cloud.scheduler.v1`.
pub mod scheduler {
    pub use googleapis_tonic_google_cloud_scheduler_v1::google::cloud::scheduler::v1::*;
}

/// Messages of `google.rpc` (status details).
pub mod rpc {
    pub use googleapis_tonic_google_rpc::google::rpc::*;
}

pub use generated::{
    bigquery_read, bigquery_write, cloud_scheduler, publisher, schema_service, subscriber,
};

/// Written by `build.rs`: one module per service, holding its trait and its tonic server.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unnameable_types,
    clippy::all,
    clippy::restriction,
    clippy::pedantic,
    reason = "generated code"
)]
mod generated {
    pub mod publisher {
        include!(concat!(env!("OUT_DIR"), "/google.pubsub.v1.Publisher.rs"));
        pub use self::publisher_server::*;
    }
    pub mod schema_service {
        include!(concat!(env!("OUT_DIR"), "/google.pubsub.v1.SchemaService.rs"));
        pub use self::schema_service_server::*;
    }
    pub mod subscriber {
        include!(concat!(env!("OUT_DIR"), "/google.pubsub.v1.Subscriber.rs"));
        pub use self::subscriber_server::*;
    }
    pub mod cloud_scheduler {
        include!(concat!(env!("OUT_DIR"), "/google.cloud.scheduler.v1.CloudScheduler.rs"));
        pub use self::cloud_scheduler_server::*;
    }
    pub mod bigquery_write {
        include!(concat!(env!("OUT_DIR"), "/google.cloud.bigquery.storage.v1.BigQueryWrite.rs"));
        pub use self::big_query_write_server::*;
    }
    pub mod bigquery_read {
        include!(concat!(env!("OUT_DIR"), "/google.cloud.bigquery.storage.v1.BigQueryRead.rs"));
        pub use self::big_query_read_server::*;
    }
}
